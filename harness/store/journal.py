"""A run while it is being measured: one small Parquet file per case, then all of them as one.

::

    results/samples/<run id>.parts/run.header     the Run as JSON, with the schema version
    results/samples/<run id>.parts/lock           held by the process that measures
    results/samples/<run id>.parts/<case>.parquet one case with its processes so far; each process replaces it
    results/samples/<run id>.parquet              the finished run

Each file is renamed into place whole, so an interruption at any point loses at most the process in flight. A run is
finished from the moment its one file exists; parts that are still beside it are leftovers. The header's name does
not end in .json because asv looks at every such file under results/.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness import foreign
from harness.errors import StoreError
from harness.records import Outcome, Run
from harness.store import examples, files, parts, samples
from harness.store.columns import COLUMNS, JSON, SCHEMA, SCHEMA_KEY
from harness.store.rows import Row, plain, public, to_row

SAME = ("plan", "commit", "dirty", "fingerprint", "versions", "settings")
"""What an unfinished run must share with a new one to be resumed: all that its numbers depend on."""

SHARED = tuple(name for name, kind in COLUMNS.items() if kind is JSON or isinstance(kind, Mapping))
"""Columns whose values many rows of a run have in common."""


class Journal:
    """The finished cases of one run, safe on disk. Made by `open`, ended by `finish` or `close`.

    Attributes:
        run: the run that the cases belong to: an earlier, unfinished one where it was resumed.
        rows: what is finished, by case id, without samples (`harness.store.rows.public`).
        problems: parts of a resumed run that cannot be read, one sentence each; their cases are not in `rows`.
    """

    def __init__(self, results: Path, folder: Path, run: Run, lock: files.Lock) -> None:
        self.run = run
        self.rows: dict[str, Row] = {}
        self.problems: tuple[str, ...] = ()
        self._results = results
        self._folder = folder
        self._lock = lock
        self._facts: dict[str, Any] = {}

    @classmethod
    def open(cls, results: Path, run: Run, *, resume: bool) -> Self:
        """Start the record of a run, or take up the newest unfinished one that measures the same.

        An unfinished run that a live process is still measuring is not touched: two sweeps at once are two runs.

        Args:
            results: the results folder; made where it is missing.
            run: what would be started.
            resume: whether to look for an unfinished run with the same `SAME` fields.

        Raises:
            StoreError: where the folder cannot be written. Nothing has been measured yet.
        """
        files.require_utf8(results)
        files.probe(results)
        files.probe(results / "samples")
        with files.Lock.wait(files.lock_of(results)):
            for folder, lock in _abandoned(results):
                earlier = _read_header(folder)
                if resume and earlier is not None and _same(earlier, run):
                    journal = cls(results, folder, earlier, lock)
                    journal._load()
                    return journal
                lock.release()
            folder = results / "samples" / f"{run.id}.parts"
            if folder.exists() or finished(folder).exists():
                raise StoreError(f"{folder} belongs to another run of the same id: run the command again.")
            with files.guarded("create", folder):
                folder.mkdir()
            lock = files.Lock.wait(folder / "lock")
            try:
                files.write(folder / "run.header", _header(run))
            except BaseException:
                lock.release()
                shutil.rmtree(folder, ignore_errors=True)
                raise
        return cls(results, folder, run, lock)

    def append(self, outcome: Outcome) -> Row:
        """Keep a case as far as it has come; one with the same id is replaced.

        Returns:
            Its row, without samples.

        Raises:
            StoreError: where it cannot be written; the cases before it are safe.
        """
        examples.write(self._results, outcome.evaluation)
        return self.put(to_row(self.run, outcome))

    def put(self, row: Row) -> Row:
        """Keep a whole row, as `append` does."""
        files.write(self._part(row["case"]), samples.encode([row], brief=True))
        self.rows[row["case"]] = self._shared(public(row))
        return self.rows[row["case"]]

    def whole(self, case: str) -> Row:
        """A case of `rows` with its samples, which are not kept in memory.

        Raises:
            StoreError: if its part has been damaged by others.
        """
        (row,) = samples.read(self._part(case))
        return row

    def whole_rows(self) -> Iterator[Row]:
        """Every finished case with its samples, in order of measurement, a few of them in memory at a time.

        Raises:
            StoreError: if a part has been damaged by others.
        """
        path = finished(self._folder)
        if path.exists():
            yield from samples.stream(path)
            return
        for part in self._parts():
            yield from samples.stream(part)

    def finish(self) -> Path:
        """Turn the parts into the run's one file. Doing it again, or after a crash half-way, changes nothing.

        Returns:
            results/samples/<run id>.parquet.

        Raises:
            StoreError: where it cannot be written or a part is damaged; the parts stay and the run can be resumed.
        """
        path = finished(self._folder)
        if not path.exists():
            parts.merge(self._parts(), path)
        self._remove()
        return path

    def close(self) -> None:
        """Stop without finishing: what is there stays and can be resumed; a run without any case leaves no trace."""
        if self._folder.exists() and (finished(self._folder).exists() or next(part_files(self._folder), None) is None):
            self._remove()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _shared(self, row: Row) -> Row:
        """A row whose facts of the whole run are the ones that the other rows have: thousands of rows are kept."""
        for name in SHARED:
            text = json.dumps(row[name])
            row[name] = self._facts.setdefault(text, row[name])
        return row

    def _load(self) -> None:
        problems = []
        for part in part_files(self._folder):
            try:
                found = samples.read(part, samples=False)
            except StoreError as error:
                problems.append(str(error))
            else:
                self.rows.update({row["case"]: self._shared(row) for row in found})
        self.problems = tuple(problems)

    def _parts(self) -> list[Path]:
        """The parts in order of their cases' start; those that cannot be read come last, for whoever reads them."""
        known = {self._part(row["case"]): (row["started_at"], row["case"]) for row in self.rows.values()}
        return sorted(part_files(self._folder), key=lambda part: (part not in known, known.get(part, ("", ""))))

    def _part(self, case: str) -> Path:
        return self._folder / f"{hashlib.sha256(case.encode()).hexdigest()[:20]}.parquet"

    def _remove(self) -> None:
        # Under the folder's lock nobody else can be about to take up this journal.
        with files.Lock.wait(files.lock_of(self._results)), files.guarded("remove", self._folder):
            self._lock.release()
            if self._folder.exists():
                shutil.rmtree(self._folder)


def finished(folder: Path) -> Path:
    """The file that a journal's folder becomes."""
    return folder.with_suffix(".parquet")


def _same(earlier: Run, run: Run) -> bool:
    return all(getattr(earlier, name) == plain(getattr(run, name)) for name in SAME)


def part_files(folder: Path) -> Iterator[Path]:
    """The finished cases of a run that is going on."""
    return (path for path in sorted(folder.glob("*.parquet")) if not path.name.startswith("."))


def _abandoned(results: Path) -> Iterator[tuple[Path, files.Lock]]:
    """Journals that no live process holds, newest first, each with its lock; leftovers of finished runs go away."""
    for folder in sorted((results / "samples").glob("*.parts"), reverse=True):
        lock = files.Lock.attempt(folder / "lock")
        if lock is None:
            continue
        with files.guarded("remove", folder):
            files.temporary_of(finished(folder)).unlink(missing_ok=True)  # whoever was writing it was killed
        empty = not (folder / "run.header").exists() and next(part_files(folder), None) is None
        if empty or finished(folder).exists():
            lock.release()
            with files.guarded("remove", folder):
                shutil.rmtree(folder)
            continue
        yield folder, lock


def _header(run: Run) -> bytes:
    return json.dumps({SCHEMA_KEY: SCHEMA, "run": plain(run)}, allow_nan=False, indent=1).encode()


def _read_header(folder: Path) -> Run | None:
    """The run that a journal belongs to; None where this harness cannot tell, which leaves the journal as it is."""
    try:
        content = foreign.mapping(foreign.content(folder / "run.header"))
        if content[SCHEMA_KEY] != SCHEMA:
            return None
        values: Mapping[str, Any] = content["run"]
        return Run(**{field.name: values[field.name] for field in fields(Run)})
    except (OSError, ValueError, KeyError, TypeError):
        return None
