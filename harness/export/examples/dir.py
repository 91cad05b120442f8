"""No program: model, settings and samples, for whoever has one."""

from __future__ import annotations

from harness.export.examples.base import LanguageExample

EXAMPLE = LanguageExample(
    write=lambda _: None, start=lambda _: ("# session.json says how the model is opened, fed and checked",)
)
