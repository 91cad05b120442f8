"""How a column that a stored file lacks is read: as null, and so is a struct's field.

Files of earlier versions lack the columns that were added later, and stay readable for good. Every reader of rows
comes through here: `row` for what Arrow or DuckDB made Python objects of, `STORED` for whoever asks DuckDB.
Columns and fields that this version does not know are left out.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Final

from harness import foreign
from harness.store import shapes
from harness.store.columns import COLUMNS, JSON

NOTHING: Final = ("INT32", "NULL")
"""How a column that is null in every row may be written."""

REQUIRED: Final = ("case", "run", "model", "variant", "target", "status")
"""Without these nobody can say what a row is of, or what became of it: every version writes them."""


def row(record: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """What was read, as a row of these columns, each as whole as `COLUMNS` has it; JSON text becomes mappings again."""
    found = {name: record.get(name) for name in names}
    for name in MADE & found.keys():
        if (value := found[name]) is not None:
            found[name] = READERS[name](value)
    return found


def reader(names: Sequence[str]) -> Callable[[Sequence[Any]], dict[str, Any]]:
    """As `row`, of values in the order of these columns: for whoever reads thousands."""
    made = [(name, READERS[name]) for name in names if name in MADE]

    def read(values: Sequence[Any]) -> dict[str, Any]:
        found = dict(zip(names, values, strict=True))
        for name, of in made:
            if (value := found[name]) is not None:
                found[name] = of(value)
        return found

    return read


def rows(names: Sequence[str], batch: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """As `reader` of each of several, which one query has given: all structs of a column have the same fields."""
    found = [dict(zip(names, values, strict=True)) for values in batch]
    for name in names:
        if name not in MADE or _whole(name, found):
            continue
        of = READERS[name]
        for one in found:
            if (value := one[name]) is not None:
                one[name] = of(value)
    return found


def _whole(name: str, found: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a column's structs are as whole as `COLUMNS` has them, or there are none: the first of them tells."""
    first = next((value for one in found if (value := one[name]) is not None), None)
    return first is None or (name in FLAT and isinstance(first, dict) and tuple(first) == FLAT[name])


def problem(leaves: Iterable[tuple[str, str, str]]) -> str:
    """Why a file of these columns is none that a harness wrote; empty where it may be.

    Columns are only added, so a file has some of the known ones, or all of them and more. One with a column that
    nobody knows in place of a known one is damaged, as by a changed letter in a name, and must not read as null.

    Args:
        leaves: of the file's schema, each with its physical and its converted type, as Parquet writes them:
            `("latency.median_s", "DOUBLE", "NONE")`, `("notes.list.element", "BYTE_ARRAY", "UTF8")`.
    """
    found = tuple(leaves)
    there = frozenset(name for name, _, _ in found)
    for name, physical, converted in found:
        if name in LEAVES and (physical, converted) not in STORED_AS[LEAVES[name]]:
            return f"its column {name} holds {_named(physical, converted)}"
    if missing := [name for name in REQUIRED if name not in there]:
        return f"it has no column {', '.join(missing)}"
    unknown, absent = there - LEAVES.keys(), LEAVES.keys() - there
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


@lru_cache(maxsize=4096)
def _parsed(column: str, text: str) -> Any:
    """JSON text; the rows of a run have most of theirs in common, so that one value stands in all of them.

    What is nested deeper than any harness wrote is nothing, should a file change after it was admitted.
    """
    try:
        return shapes.shaped(column, foreign.parsed(text))
    except ValueError:
        return None


def _same(value: Any) -> Any:
    return value


def _reader(kind: Any, column: str = "") -> Callable[[Any], Any]:
    """What makes a stored value, not null, one with every field of its type; decided once for each column."""
    if kind is JSON:
        return partial(_parsed, column)
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


def _named(physical: str, converted: str) -> str:
    return physical if converted == "NONE" else converted


def _leaves(columns: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """The paths of the values of columns, as Parquet writes them, each with its type."""
    for name, kind in columns.items():
        path, inner = f"{before}{name}", kind
        while isinstance(inner, list):
            path, inner = f"{path}.list.element", inner[0]
        if isinstance(inner, Mapping):
            yield from _leaves(inner, f"{path}.")
        else:
            yield path, inner


LEAVES: Final = dict(_leaves(COLUMNS))

_TEXT: Final = frozenset({("BYTE_ARRAY", "UTF8"), ("BYTE_ARRAY", "JSON"), ("BYTE_ARRAY", "ENUM"), NOTHING})
_WHOLE: Final = frozenset(
    {(size, kind) for size in ("INT32", "INT64") for kind in ("NONE", "INT_8", "INT_16", "INT_32", "INT_64")}
)
STORED_AS: Final[Mapping[Any, frozenset[tuple[str, str]]]] = {
    str: _TEXT,
    JSON: _TEXT,
    int: _WHOLE | {NOTHING, ("INT32", "UINT_8"), ("INT32", "UINT_16"), ("INT32", "UINT_32")},
    float: _WHOLE | {NOTHING, ("DOUBLE", "NONE"), ("FLOAT", "NONE")},
    bool: frozenset({("BOOLEAN", "NONE"), NOTHING}),
}
"""How Parquet may hold each type of a column: other tools that copied a file may have chosen another width."""

STORED: Final = stored(COLUMNS)
"""`stored` of all columns: what stands after FROM."""


def stored_in(literals: Iterable[str]) -> str:
    """`STORED` of these files, as DuckDB takes them, without a parameter."""
    quoted = ", ".join("'" + text.replace("'", "''") + "'" for text in literals)
    return STORED.replace("?", f"[{quoted}]")


READERS: Final = {name: _reader(kind, name) for name, kind in COLUMNS.items()}
FLAT: Final = {
    name: tuple(kind)
    for name, kind in COLUMNS.items()
    if isinstance(kind, Mapping) and all(_reader(inner) is _same for inner in kind.values())
}
"""The fields of structs that are taken as they are where they have all of these, in this order."""
MADE: Final = frozenset(name for name, of in READERS.items() if of is not _same)
"""The columns whose values are made of what is stored; the others are taken as they are."""
