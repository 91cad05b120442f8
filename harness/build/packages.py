"""The packages that have a part in builds, collected from where frameworks, data sources and steps declare them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from harness import data, frameworks
from harness.build import steps
from harness.flavours import FLAVOURS
from harness.frameworks.base import Framework

OF_HARNESS: Final = ("onnx", "numpy")
"""What builds need whatever the model."""

LEFT_OUT: Final = ("onnxruntime", "numpy")
"""Modules that are looked at elsewhere, or without which nothing here would run."""


def distributions() -> tuple[str, ...]:
    """Every distribution whose version can change a number: runtimes first."""
    declared: list[Iterable[str]] = [FLAVOURS, OF_HARNESS, *_loaders(), *_exporters(), *_helpers()]
    return tuple(dict.fromkeys(name for names in declared for name in names))


def modules() -> tuple[str, ...]:
    """The modules that these install beside harness, those of frameworks first."""
    declared = [*(packages.values() for packages in (*_loaders(apart=False), *_helpers())), *_exporters(apart=False)]
    return tuple(dict.fromkeys(name for names in declared for name in names if name not in LEFT_OUT))


def _loaders(*, apart: bool = True) -> list[Mapping[str, str]]:
    """Distribution -> module of what frameworks load models with; without those that run apart, where asked."""
    return [one.packages for one in _frameworks(apart)]


def _frameworks(apart: bool) -> list[Framework]:
    return [one for one in map(frameworks.get, frameworks.names()) if apart or not one.apart]


def _exporters(*, apart: bool = True) -> list[tuple[str, ...]]:
    """What has a part in exported files; exporters' modules are called like their distributions."""
    found = _frameworks(apart)
    return [names for one in found for names in (one.export_packages, *one.exporter_packages.values())]


def _helpers() -> list[Mapping[str, str]]:
    """Distribution -> module of what data sources and steps use."""
    return [data.packages(name) for name in data.names()] + [steps.get(name).packages for name in steps.names()]
