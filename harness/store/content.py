"""Whether the rows of a Parquet file may be read: what every reader relies on, asked of a file once, where it comes in.

A file that others wrote or changed can hold anything in any column. Names that are missing, a status that nobody knows,
a time that is none, JSON that is none and numbers whose ratios or powers no float can hold would each stop a reader
somewhere; such a file is left out, with its reason, and costs its own rows alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from harness import foreign
from harness.records import Status
from harness.store.absent import REQUIRED, STORED
from harness.store.columns import COLUMNS, JSON

TIMES: Final = ("started_at", "run_started_at")
TIME: Final = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?"
OPEN: Final = tuple(name for name, kind in COLUMNS.items() if kind is JSON)
SHAPED: Final = ("OBJECT", "ARRAY")

SHORTEST_S: Final = 1e-15
LONGEST_S: Final = 1e9
"""Seconds that a duration may take, where it takes any: thirty years."""

MOST_DB: Final = 6000.0
"""Decibels either way: what the largest float over the smallest makes, and nearly."""


def _numbers(columns: Mapping[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """The paths of fractional numbers in rows, each with its unit; those of single processes are left out."""
    for name, kind in columns.items():
        unit = name.rpartition("_")[2]
        if isinstance(kind, Mapping):
            yield from _numbers(kind, (*before, name))
        elif kind is float:
            yield (*before, name), unit


NUMBERS: Final = tuple(_numbers(COLUMNS))


def _beyond(unit: str, value: float) -> bool:
    """Whether no measurement gives a number; what is none is stored as null."""
    if not math.isfinite(value):
        return True
    if unit == "s":
        return value != 0 and not SHORTEST_S <= value <= LONGEST_S
    return unit == "db" and abs(value) > MOST_DB


def _beyond_sql(path: Sequence[str], unit: str) -> str:
    """`_beyond` as DuckDB asks it."""
    value = ".".join(f'"{part}"' for part in path)
    more = {
        "s": f" OR {value} <> 0 AND {value} NOT BETWEEN {SHORTEST_S} AND {LONGEST_S}",
        "db": f" OR abs({value}) > {MOST_DB}",
    }
    return f"NOT isfinite({value}){more.get(unit, '')}"


def _said(path: Sequence[str], unit: str) -> str:
    sizes = {
        "s": f"finite, and 0 or from {SHORTEST_S:g} to {LONGEST_S:g} seconds",
        "db": f"finite, and within {MOST_DB:g} dB",
    }
    return f"{'.'.join(path)} of a row is not a number that a measurement gives ({sizes.get(unit, 'finite')})"


def _conditions() -> dict[str, str]:
    """What is wrong -> DuckDB's condition for it."""
    known = ", ".join(f"'{status.value}'" for status in Status)
    found = {f"a row has no {name}": f'"{name}" IS NULL' for name in REQUIRED}
    found["a row has a status that is not known"] = f"status NOT IN ({known})"
    for name in TIMES:
        found[f"{name} of a row is not a time"] = (
            f"try_cast({name} AS TIMESTAMPTZ) IS NULL AND {name} IS NOT NULL OR NOT regexp_full_match({name}, '{TIME}')"
        )
    found |= {_said(path, unit): _beyond_sql(path, unit) for path, unit in NUMBERS}
    for name in OPEN:
        found[f"{name} of a row is not a mapping or a list"] = (
            f"NOT json_valid({name}) OR json_type({name}) NOT IN {SHAPED}"
        )
    return found


CONDITIONS: Final = _conditions()


def _levels(name: str) -> str:
    """DuckDB's condition for a text that may be nested too deep; most are too short for it, which costs nothing."""
    opened = f"strlen({name}) - strlen(replace(replace({name}, '[', ''), '{{', ''))"
    return f"CASE WHEN strlen({name}) > {2 * foreign.DEEPEST} THEN {opened} > {foreign.DEEPEST} ELSE false END"


DEEP: Final = " OR ".join(map(_levels, OPEN))
WRONG: Final = (
    "SELECT filename, "  # noqa: S608  (our own names)
    f"{', '.join(f'bool_or({condition})' for condition in [DEEP, *CONDITIONS.values()])} "
    f"FROM {STORED} GROUP BY filename"
)
"""For each file (one `?` stands for them) whether a text may be nested too deep, and whether it breaks each of
`CONDITIONS`."""

PERHAPS_DEEP: Final = (
    f"SELECT filename, {', '.join(f'CASE WHEN {_levels(name)} THEN {name} END' for name in OPEN)} "  # noqa: S608  (our own names)
    f"FROM {STORED} WHERE {DEEP}"
)
"""The texts that may be nested too deep, with the file (one `?` stands for all): DuckDB takes any depth for JSON."""


def too_deep(texts: Sequence[str | None]) -> str:
    """What is wrong with a row of `PERHAPS_DEEP`, without its file; empty where nothing is."""
    return next((said for name, text in zip(OPEN, texts, strict=True) if (said := _wrong_json(name, text))), "")


def wrong(flags: tuple[Any, ...]) -> str:
    """What is wrong with a file, from its row of `WRONG` without the name; empty where nothing is."""
    return next((said for said, flag in zip(CONDITIONS, flags, strict=True) if flag), "")


def wrong_row(record: Mapping[str, Any]) -> str:
    """The same of one row as Arrow gives it, JSON as text."""
    for name in REQUIRED:
        if record.get(name) is None:
            return f"a row has no {name}"
    if record["status"] not in {status.value for status in Status}:
        return "a row has a status that is not known"
    for name in TIMES:
        if (value := record.get(name)) is not None and not re.fullmatch(TIME, value):
            return f"{name} of a row is not a time"
    for path, unit in NUMBERS:
        held: Any = record
        for part in path:
            held = None if held is None else held.get(part)
        if held is not None and _beyond(unit, held):
            return _said(path, unit)
    return next((said for name in OPEN if (said := _wrong_json(name, record.get(name)))), "")


def _wrong_json(name: str, text: str | None) -> str:
    try:
        held = {} if text is None else foreign.parsed(text)
    except ValueError as error:
        return f"{name} of a row is not JSON: {error}"
    return "" if isinstance(held, (dict, list)) else f"{name} of a row is not a mapping or a list"
