"""Samples of runs from elsewhere: a run is whole or not there, so that there is nothing to put together."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import StoreError
from harness.shown import one_line
from harness.store import compaction, files, samples, stored_files
from harness.store.rows import Row

_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingRun:
    """A run of theirs, or a file of their rows as it is.

    Attributes:
        target: where it belongs here.
        content: what is written there: a file that is copied, or the bytes of one.
        rows: of `content`.
        differing: its rows that say something else than those of the same run here, each with ours.
        stored: the file here that has the run; None where it is new.
    """

    target: Path
    content: bytes | Path
    rows: Sequence[Row]
    differing: Sequence[tuple[Row | None, Row]] = ()
    stored: Path | None = None

    def data(self) -> bytes:
        """What is written."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


class RunMerge:
    """What of theirs is new in a results folder, file by file."""

    def __init__(self, results: Path, pending: Mapping[Path, bytes | Path]) -> None:
        """Nothing is read yet.

        Args:
            results: the folder.
            pending: what is to be written there.
        """
        self._results, self._pending = results, pending

    def of(self, path: Path) -> list[IncomingRun]:
        """What a file of theirs amounts to; a file of many runs is taken apart, since its name speaks of its folder.

        Raises:
            StoreError: it is damaged.
        """
        with files.guarded("read", path):
            content = path.read_bytes()
        target = self._results / "samples" / path.name
        stored = self._pending.get(target, target)
        if isinstance(stored, Path) and stored.exists() and stored.read_bytes() == content:
            return []
        runs: dict[str, list[Row]] = {}
        for row in samples.read(path):
            runs.setdefault(row["run"], []).append(row)
        if not path.name.startswith(stored_files.COMPACT):
            held = self._merged.get(next(iter(runs))) if len(runs) == 1 else None
            return [self._compared(target, path, [row for rows in runs.values() for row in rows], held)]
        if strange := next((run for run in runs if not _NAME.fullmatch(run)), None):
            raise StoreError(f"{path} holds a run whose name is none: {one_line(strange)}")
        folder = self._results / "samples"
        return [
            self._compared(folder / f"{run}.parquet", samples.encode(rows), rows, self._merged.get(run))
            for run, rows in runs.items()
        ]

    def _compared(self, target: Path, content: bytes | Path, rows: Sequence[Row], held: Path | None) -> IncomingRun:
        if target not in self._pending and not target.exists() and held is None:
            return IncomingRun(target=target, content=content, rows=rows)
        stored = held or self._pending.get(target, target)
        known = samples.read(stored) if isinstance(stored, Path) else []
        ours = {(row["run"], row["case"]): row for row in known}
        pairs = [(ours.get((row["run"], row["case"])), row) for row in rows]
        return IncomingRun(
            target=target,
            content=content,
            rows=rows,
            differing=[(our, row) for our, row in pairs if our != row],
            stored=held or target,
        )

    @functools.cached_property
    def _merged(self) -> Mapping[str, Path]:
        """Which file here holds a run, of those that lie in files of many."""
        merged = [
            path for path in stored_files.finished_files(self._results) if path.name.startswith(stored_files.COMPACT)
        ]
        return {run: one.path for one in compaction.sources(merged, lambda _: None) for run in one.runs}
