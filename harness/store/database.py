"""The database in memory that stored files are asked through: one in each process, a connection for each question."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

KEPT_FILES = frozenset({"enable_external_file_cache", "enable_object_cache", "parquet_metadata_cache"})
"""Settings of DuckDB, as far as a version has them, that keep parts of files in memory."""


@contextmanager
def connected() -> Iterator[Any]:
    """A connection that draws nothing: DuckDB prints its progress on standard output of `python -c`."""
    with _database(os.getpid()).cursor() as connection:
        connection.execute("SET enable_progress_bar = false")
        yield connection


@cache
def _database(process: int) -> Any:
    """The database in memory of this process; opening one starts a dozen threads, which costs more than most questions.

    Args:
        process: its id; one that was forked has none of its parent's threads, and opens a database of its own.
    """
    import duckdb

    del process
    connection = duckdb.connect()
    # Nothing is kept of a file from one question to the next: it may have been written anew.
    known = {name for (name,) in connection.execute("SELECT name FROM duckdb_settings()").fetchall()}
    for name in sorted(known & KEPT_FILES):
        connection.execute(f"SET GLOBAL {name} = false")
    return connection
