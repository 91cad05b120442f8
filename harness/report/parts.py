"""What pages are put together from: tables, charts and filters, as values that the templates draw."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from harness import shown
from harness.report.figures.base import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of several things in a cell.

    Attributes:
        href: where a click leads, as of a `Cell`.
        at: the page's row that the filters know it by, or None where filters do not touch it.
    """

    text: str
    href: str = ""
    at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of a table.

    Attributes:
        sort: what the column is sorted by; None sorts by the text.
        href: where a click leads, relative to the page; an address of another kind is not made a link.
        title: shown on hover.
        kind: a class of the style sheet: `num`, `status-failed`, `slower`, ...
        spark: an SVG drawing put before the text, made by `harness.report.sparkline`.
        parts: stand in the place of the text where there are any.
    """

    text: str
    sort: float | str | None = None
    href: str = ""
    title: str = ""
    kind: str = ""
    spark: str = ""
    parts: Sequence[Part] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that can be sorted and copied.

    Attributes:
        columns: headings; one that ends with `#` is right-aligned, the sign itself is not shown.
        rows: a cell per column each.
        at: for each row the page's row that the filters know it by, or None where filters do not touch it.
        facets: for each row a facet value of its own instead, such as `{"host": "0123"}`.
        groups: for each row the page's rows that it stands for, instead of `at`.
        lead: so many columns say what a row is; on a phone they are one, so that the numbers are seen.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    at: Sequence[int | None] = ()
    facets: Sequence[Mapping[str, str]] = ()
    searchable: bool = False
    id: str = ""
    groups: Sequence[Sequence[int]] = ()
    lead: int = 1

    def lines(self) -> Iterable[tuple[Sequence[Cell], int | None, Mapping[str, str]]]:
        """Each row with what filters know it by."""
        for place, row in enumerate(self.rows):
            yield row, self.at[place] if self.at else None, self.facets[place] if self.facets else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Rows of a page that several charts tell about: each chart's table takes some of the columns.

    The page's script makes such a table when it is opened. Written out, the tables under a model's charts would be
    most of its page, and say the same thing many times.

    Attributes:
        columns: heading -> a cell per row; a heading that ends with `#` is one of numbers.
        at: for each row the page's row that the filters know it by.
    """

    columns: Mapping[str, Sequence[Cell]]
    at: Sequence[int]

    def data(self) -> dict[str, Any]:
        """What the page's script needs."""
        return {
            "at": self.at,
            "columns": {
                name: [[cell.text for cell in cells], [_sort(cell.sort) for cell in cells]]
                for name, cells in self.columns.items()
            },
        }


def _sort(value: float | str | None) -> float | str | None:
    return "inf" if value == math.inf else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """A table of some columns of the page's `Grid`."""

    columns: Sequence[str]
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart with its text alternative.

    Attributes:
        id: unique on its page.
        note: how to read it.
        figure: None where `source` brings it on demand.
        table: the same numbers as text.
        pick: the same, from the page's grid.
        source: a script, relative to the page, that assigns the figure when it is asked for.
        ask: the label of the button that asks.
        small: fits beside another one.
        wide: takes the whole width, whatever stands beside it.
    """

    id: str
    title: str
    note: str = ""
    figure: Figure | None = None
    table: Table | None = None
    pick: Pick | None = None
    source: str = ""
    ask: str = ""
    small: bool = False
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Facet:
    """One of the filters that all charts of a page share.

    Attributes:
        values: value -> label.
        chosen: the value at first; empty shows all.
        every: whether "all" can be chosen.
    """

    name: str
    label: str
    values: Mapping[str, str]
    chosen: str = ""
    every: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One HTML file.

    Attributes:
        path: relative to the site's folder.
        template: a file of `templates`.
        facets: the page's filters.
        rows: for each row of the page the facet values that it has, in the facets' order.
        context: what the template needs beyond that.
    """

    path: str
    template: str
    title: str
    facets: Sequence[Facet] = ()
    rows: Sequence[Sequence[str | Sequence[str]]] = ()
    context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """The way from the page to the site's folder."""
        return "../" * self.path.count("/")

    def filters(self) -> dict[str, Any]:
        """What the page's script filters by."""
        return {"facets": [facet.name for facet in self.facets], "rows": self.rows}


def script_json(value: Any) -> str:
    """JSON that may stand inside a script element: no `</script>`, no comment; NaN and infinity are null."""
    # orjson because most of a large site is numbers, and the standard library takes twenty times as long for them.
    option = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
    try:
        text = orjson.dumps(value, option=option).decode()
    except TypeError:  # half a surrogate pair, as paths have them
        text = orjson.dumps(spelled(value), option=option).decode()
    text = shown.script(text)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def spelled(value: Any) -> Any:
    """The same value with every unseen character of its texts spelled."""
    if isinstance(value, str):
        return shown.page(value)
    if isinstance(value, Mapping):
        return {spelled(key): spelled(one) for key, one in value.items()}
    return [spelled(one) for one in value] if isinstance(value, (list, tuple)) else value


def assign(kind: str, key: str, value: Any) -> str:
    """A script that hands data to the page that asked for it; a JSON file could not be read from file://."""
    return f"harness.receive({script_json(kind)},{script_json(key)},{script_json(value)});\n"


def text(value: object, **more: Any) -> Cell:
    """A cell of text."""
    return Cell(text=str(value), **more)


def num(shown: str, value: float | None, **more: Any) -> Cell:
    """A cell of a number: shown with its unit, sorted by its value; absent ones come last."""
    kind = f"num {more.pop('kind', '')}".strip()
    return Cell(text=shown, sort=math.inf if value is None or not math.isfinite(value) else value, kind=kind, **more)


def status(name: str, reason: str = "") -> Cell:
    """A cell for what became of a case, with its reason on hover."""
    return Cell(text=name, title=reason, kind=f"status status-{name}")
