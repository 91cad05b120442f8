"""How a column that a stored file lacks is read: as null, and so is a struct's field.

Files of earlier versions lack the columns that were added later, and stay readable for good. Every reader of rows
comes through here: `row` for what Arrow or DuckDB made Python objects of, `STORED` for whoever asks DuckDB.
Columns and fields that this version does not know are left out.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from harness.store.columns import COLUMNS, JSON

REQUIRED: Final = ("case", "run")
"""Without these a row cannot be distinguished from another: a file that lacks one is damaged."""


def row(record: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """What was read, as a row of these columns, each as whole as `COLUMNS` has it; JSON text becomes mappings again."""
    found = {name: record.get(name) for name in names}
    for name in MADE & found.keys():
        if (value := found[name]) is not None:
            found[name] = READERS[name](value)
    return found


def problem(leaves: Iterable[str]) -> str:
    """Why a file of these columns is none that a harness wrote; empty where it may be.

    Columns are only added, so a file has some of the known ones, or all of them and more. One with a column that
    nobody knows in place of a known one is damaged, as by a changed letter in a name, and must not read as null.

    Args:
        leaves: of the file's schema, as Parquet writes their paths: `latency.median_s`, `notes.list.element`.
    """
    there = frozenset(leaves)
    if missing := [name for name in REQUIRED if name not in there]:
        return f"it has no column {', '.join(missing)}"
    unknown, absent = there - LEAVES, LEAVES - there
    if not unknown or not absent:
        return ""
    strange = min(unknown)
    (known,) = difflib.get_close_matches(strange, sorted(absent), 1, cutoff=0)
    return f"it has a column {strange} and lacks {known}"


def stored(columns: Mapping[str, Any]) -> str:
    """A query for rows that have all of these columns, whichever of them the files have; one `?` for the files.

    `filename` is one more column, the file that holds the row.
    """
    typed = ", ".join(f'NULL::{sql_type(kind)} AS "{name}"' for name, kind in columns.items())
    # An empty table of the whole schema: what the files lack comes from it, as null.
    return (
        f"(SELECT {typed} WHERE false UNION ALL BY NAME "  # noqa: S608  (our own names)
        "SELECT * FROM read_parquet(?, union_by_name = true, filename = true, hive_partitioning = false))"
    )


def sql_type(kind: Any) -> str:
    """A column's type as DuckDB writes it."""
    if isinstance(kind, Mapping):
        fields = ", ".join(f'"{name}" {sql_type(inner)}' for name, inner in kind.items())
        return f"STRUCT({fields})"
    if isinstance(kind, list):
        return f"{sql_type(kind[0])}[]"
    return {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN", JSON: "VARCHAR"}[kind]


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Any:
    """JSON text; the rows of a run have most of theirs in common, so that one value stands in all of them."""
    return json.loads(text)


def _same(value: Any) -> Any:
    return value


def _reader(kind: Any) -> Callable[[Any], Any]:
    """What makes a stored value, not null, one with every field of its type; decided once for each column."""
    if kind is JSON:
        return _parsed
    if isinstance(kind, list):
        of = _reader(kind[0])
        return _same if of is _same else lambda value: [None if one is None else of(one) for one in value]
    if not isinstance(kind, Mapping):
        return _same
    names = tuple(kind)
    inner = {name: of for name, one in kind.items() if (of := _reader(one)) is not _same}

    def whole(value: Any) -> dict[str, Any]:
        # What a file of this version holds is whole already, which is cheaper to see than to make.
        found = (
            value if isinstance(value, dict) and tuple(value) == names else {name: value.get(name) for name in names}
        )
        for name, of in inner.items():
            if found[name] is not None:
                found[name] = of(found[name])
        return found

    return whole


def _leaves(columns: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """The paths of the values of columns, as Parquet writes them."""
    for name, kind in columns.items():
        path, inner = f"{before}{name}", kind
        while isinstance(inner, list):
            path, inner = f"{path}.list.element", inner[0]
        if isinstance(inner, Mapping):
            yield from _leaves(inner, f"{path}.")
        else:
            yield path


LEAVES: Final = frozenset(_leaves(COLUMNS))

STORED: Final = stored(COLUMNS)
"""`stored` of all columns: what stands after FROM."""

READERS: Final = {name: _reader(kind) for name, kind in COLUMNS.items()}
MADE: Final = frozenset(name for name, of in READERS.items() if of is not _same)
"""The columns whose values are made of what is stored; the others are taken as they are."""
