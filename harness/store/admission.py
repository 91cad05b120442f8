"""Which Parquet files are read at all: those of harness's own, of columns that some version wrote, with whole rows."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from harness.errors import StoreError
from harness.special_files import special
from harness.store import absent, content
from harness.store.samples import check_schema, damaged

NODES = (
    "SELECT file_name, name, coalesce(num_children, 0), coalesce(type, ''), "
    "CASE WHEN logical_type LIKE 'Null%' OR logical_type LIKE 'UnknownType%' THEN 'NULL' "
    "ELSE coalesce(converted_type, 'NONE') END FROM parquet_schema(?)"
)
"""The schema of every file, depth first."""


SETTLED_NS: Final = 50_000_000
"""How long a file has to lie unchanged until a later change is sure to show in its times: several ticks of a kernel."""

COARSE_NS: Final = 2_000_000_000
"""The same of a file system that keeps no parts of a millisecond: the coarsest has a clock of two seconds."""

MOST_KNOWN: Final = 100_000
"""Files that a process remembers."""

_known: set[tuple[str, int, int, int, int]] = set()
"""Files, with their states, that this process found to be harness's own: questions ask for the same ones again."""


def admitted(connection: Any, paths: Sequence[Path], problems: list[StoreError]) -> list[Path]:
    """The files that are harness's own; each is read for that once in a process, as long as it stays as it was.

    Raises:
        FileNotFoundError: one has gone: a run that has just finished replaced its parts.
    """
    states = {path: _state(path) for path in paths}
    known = {path for path in paths if states[path] in _known}
    good = {*_judged(connection, [path for path in paths if path not in known], problems)}
    if len(_known) + len(good) > MOST_KNOWN:
        _known.clear()
    _known.update(state for path in good if (state := states[path]) is not None)
    return [path for path in paths if path in known or path in good]


def _state(path: Path) -> tuple[str, int, int, int, int] | None:
    """What tells a file from one that took its place; None where there is none, or it has not settled yet."""
    try:
        found = path.stat()
    except OSError:
        return None
    changed = max(found.st_mtime_ns, found.st_ctime_ns)
    fine = found.st_mtime_ns % 1_000_000 or found.st_ctime_ns % 1_000_000
    if not 0 <= changed < time.time_ns() - (SETTLED_NS if fine else COARSE_NS):
        return None
    return str(path), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _judged(connection: Any, paths: Sequence[Path], problems: list[StoreError]) -> list[Path]:
    """`admitted`, read now: all asked at once, and where that fails each half, down to the culprit."""
    import duckdb

    try:
        _check(connection, paths)
    except (duckdb.Error, StoreError, UnicodeDecodeError):
        middle = len(paths) // 2
        if not middle:
            return [path for path in paths if _admit(connection, path, problems)]
        return [one for half in (paths[:middle], paths[middle:]) for one in _judged(connection, half, problems)]
    return list(paths)


def _check(connection: Any, paths: Sequence[Path]) -> None:
    """Refuse files that are not harness's own, newer, or of columns that no version wrote.

    Raises:
        StoreError, duckdb.Error, UnicodeDecodeError: if one of them is.
    """
    if not paths:
        return
    for path in paths:
        if what := special(path):
            raise damaged(path, f"it is {what}")
    literals = [[literal(path) for path in paths]]
    said: dict[str, dict[str, str]] = {}
    for name, key, value in connection.execute(
        "SELECT file_name, key, value FROM parquet_kv_metadata(?)", literals
    ).fetchall():
        said.setdefault(name, {})[key.decode()] = value.decode()
    for path in paths:
        check_schema(path, said.get(str(path), {}))
    nodes = connection.execute(NODES, literals)
    for name, found in groupby(nodes.fetchall(), key=lambda node: node[0]):
        if wrong := _wrong(tuple(node[1:] for node in found)):
            raise damaged(Path(name), wrong)
    _check_rows(connection, literals)


def _check_rows(connection: Any, literals: list[list[str]]) -> None:
    """Refuse files with a row that a reader could not read.

    Raises:
        StoreError, duckdb.Error: if one of them has such a row.
    """
    deep = []
    for name, perhaps_deep, *values in connection.execute(content.WRONG, literals).fetchall():
        if wrong := content.wrong(tuple(values)):
            raise damaged(Path(name), wrong)
        if perhaps_deep:
            deep.append(literal(Path(name)))
    if deep:
        for name, *texts in connection.execute(content.PERHAPS_DEEP, [deep]).fetchall():
            if wrong := content.too_deep(tuple(texts)):
                raise damaged(Path(name), wrong)


@lru_cache(maxsize=64)
def _wrong(nodes: tuple[tuple[str, int, str, str], ...]) -> str:
    """`absent.problem` of a schema's nodes, each with its number of children and its types, depth first."""
    left = iter(nodes)

    def leaves(count: int, before: str) -> Iterator[tuple[str, str, str]]:
        for _ in range(count):
            name, children, *types = next(left)
            if children:
                yield from leaves(children, f"{before}{name}.")
            else:
                yield f"{before}{name}", types[0], types[1]

    count = next(left)[1]
    return absent.problem(leaves(count, ""))


def _admit(connection: Any, path: Path, problems: list[StoreError]) -> bool:
    import duckdb

    try:
        _check(connection, [path])
    except duckdb.Error as error:
        require_there(path)
        problems.append(damaged(path, error))
    except (StoreError, UnicodeDecodeError) as error:
        problems.append(error if isinstance(error, StoreError) else damaged(path, error))
    else:
        return True
    return False


def require_there(path: Path) -> None:
    """Tell a file that is gone from one that is damaged."""
    path.stat()


def literal(path: Path) -> str:
    """A path that DuckDB does not take for a glob."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))
