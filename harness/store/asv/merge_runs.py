"""Samples of runs from elsewhere: a run is whole or not there, so that there is nothing to put together."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from harness.errors import StoreError
from harness.shown import one_line
from harness.store import compaction, examples, files, run_files, samples, stored_files
from harness.store.rows import Row
from harness.store.run_files import DifferingRow

CONFLICTS: Final = "conflicts"
"""The folder of the results that keeps what lost, as it came."""

_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingRun:
    """What a run of theirs changes here.

    Attributes:
        contents: what is written where: bytes.
        copies: the same for files that are copied.
        stored: the file here that has the run; None where it is new.
        differing: its rows that say something else than those of the same run here.
        aside: where theirs is kept then.
    """

    contents: Mapping[Path, bytes] = field(default_factory=dict)
    copies: Mapping[Path, Path] = field(default_factory=dict)
    stored: Path | None = None
    differing: Sequence[DifferingRow] = ()
    aside: Path = Path()


class RunMerge:
    """What of theirs is new in a results folder, file by file."""

    def __init__(self, results: Path) -> None:
        """Nothing is read yet.

        Args:
            results: the folder.
        """
        self._results = results
        self._copied: dict[Path, Path] = {}
        self._rows: dict[Path, Sequence[Row]] = {}

    def of(self, path: Path) -> Iterator[IncomingRun]:
        """What a file of theirs changes; a file of many runs is taken apart, since its name speaks of its folder.

        Raises:
            StoreError: it is damaged.
        """
        if path.name.startswith(stored_files.COMPACT):
            yield from self._apart(path)
            return
        target = self._results / "samples" / path.name
        stored = self._holding(path) or self._copied.get(target, target)
        with files.guarded("read", path):
            if stored.exists() and run_files.same_bytes(stored, path):
                return
        if not stored.exists() and target not in self._rows:
            copies = {target: path, **run_files.checked(path, self._results)}
            self._copied |= copies
            yield IncomingRun(copies=copies)
        elif differing := list(run_files.differing(samples.stream(path), self._known(target, stored))):
            aside = self._aside(target, run_files.sha256(path))
            yield IncomingRun(copies={aside: path}, stored=stored, differing=differing, aside=aside)

    def _apart(self, path: Path) -> Iterator[IncomingRun]:
        runs: dict[str, list[Row]] = {}
        for row in samples.read(path):
            runs.setdefault(row["run"], []).append(row)
        if strange := next((run for run in runs if not _NAME.fullmatch(run)), None):
            raise StoreError(f"{path} holds a run whose name is none: {one_line(strange)}")
        for run, rows in runs.items():
            target = self._results / "samples" / f"{run}.parquet"
            content = samples.encode(rows)
            stored = self._merged.get(run) or self._copied.get(target, target)
            if target not in self._rows and not stored.exists():
                self._rows[target] = rows
                yield IncomingRun(contents={target: content}, copies=examples.beside(path, rows, self._results))
                continue
            if differing := list(run_files.differing(rows, self._known(target, stored))):
                aside = self._aside(target, hashlib.sha256(content).hexdigest())
                yield IncomingRun(contents={aside: content}, stored=stored, differing=differing, aside=aside)

    def _known(self, target: Path, stored: Path) -> Iterable[Row]:
        """The rows of the same run that are here, or are about to be."""
        return self._rows[target] if target in self._rows else samples.stream(stored)

    def _aside(self, target: Path, sha256: str) -> Path:
        """A name that says what is in it: the same thing is kept once."""
        return self._results / CONFLICTS / "samples" / f"{target.stem}.{sha256[:8]}{target.suffix}"

    def _holding(self, path: Path) -> Path | None:
        """Which file of many runs here holds the run of a file of theirs; None where none does."""
        return self._merged.get(next((row["run"] for row in samples.stream(path)), "")) if self._merged else None

    @functools.cached_property
    def _merged(self) -> Mapping[str, Path]:
        """Which file here holds a run, of those that lie in files of many."""
        merged = [
            path for path in stored_files.finished_files(self._results) if path.name.startswith(stored_files.COMPACT)
        ]
        return {run: one.path for one in compaction.sources(merged, lambda _: None) for run in one.runs}
