"""The tables of docs/zoo.md that are made of declarations, as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from harness import data, frameworks
from harness.build import steps
from harness.options import Option
from harness.zoo.schema import data_options


def tables() -> tuple[str, ...]:
    """The options of steps, the data sources, their options, and the frameworks; each ends with a line break."""
    return (_of_steps(), _of_data(), _of_data_options(), _of_frameworks())


def _of_steps() -> str:
    kinds = [steps.get(name) for name in steps.names()]
    rows = [(f"`{kind.name}`", *_cells(option)) for kind in kinds for option in kind.options]
    return _table(("step", "option", "default", "meaning"), rows)


def _of_data() -> str:
    rows = [
        (f"`{name}`", data.summary(name), ", ".join(f"`{option.name}`" for option in data.options(name)))
        for name in data.names()
    ]
    return _table(("source", "what it gives", "options"), rows)


def _of_data_options() -> str:
    return _table(("option", "default", "meaning"), [_cells(option) for option in data_options()])


def _of_frameworks() -> str:
    found = [frameworks.get(name) for name in frameworks.names()]
    rows = [
        (f"`{one.name}`", one.doc, one.id_doc, one.options_doc, f"`{one.extra}`" if one.extra else "") for one in found
    ]
    return _table(("source", "what it brings", "`id`", "`options`", "extra"), rows)


def _cells(option: Option) -> tuple[str, str, str]:
    """An option's name, its default and its meaning with the choices."""
    words = f"{', '.join(option.only)}: {option.doc}" if option.only else option.doc
    named = [_value(choice) for choice in option.choices]
    default = "required" if option.required else "" if option.default is None else _value(option.default)
    return f"`{option.name}`", default, f"{words} ({', '.join(named)})" if named else words


def _value(value: Any) -> str:
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |").replace("|  |", "| |") for line in lines)
