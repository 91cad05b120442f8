"""One look at a results folder: its files, those of them that are summarized, and their rows as a question asks.

Small stores are read as they are. Of a large one each file is read once, for the summaries in the cache
(`harness.store.summaries.segments`); later looks read those, and the files that are new or going on. A summary counts
as long as its file is the one that was read (`harness.store.summaries.ledger`); where the cache cannot be written, is
damaged, or belongs to another process at this moment, files are read as they are.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.errors import StoreError
from harness.store import absent, admission, stored_files
from harness.store.clock import limit
from harness.store.summaries import ledger, making, narrow, segments
from harness.store.summaries.ledger import Ledger

FEWEST_FILES: Final = 32
FEWEST_BYTES: Final = 8_000_000
"""A store of so many files, or of so many bytes, is worth summaries."""

KEYS: Final = '"case", model, variant, target, failed, n, run, run_started_at, filename'
"""What is known of the newest rows of a case (`StoreLook.newest`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """A segment as far as it counts.

    Attributes:
        files: whose rows count, as paths below `samples`.
        whole: whether all of its rows do.
        last: when the newest run among them says that it started.
    """

    name: str
    files: frozenset[str]
    whole: bool
    last: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLook:
    """The files of a results folder, and what is summarized of them.

    Attributes:
        samples: the folder that the files lie in.
        folder: of the summaries.
        direct: files that are read as they are.
        counting: the segments that have the rows of all others.
        once: whether each case of a run is known to be there once.
    """

    samples: Path
    folder: Path
    direct: tuple[Path, ...]
    counting: tuple[Counting, ...]
    once: bool

    @property
    def paths(self) -> list[Path]:
        """All files, sorted."""
        return sorted([*self.direct, *(self.samples / name for one in self.counting for name in one.files)])

    def without(self, paths: Collection[Path]) -> StoreLook:
        """The same look without some files, which turned out to be damaged."""
        gone = {os.path.relpath(path, self.samples) for path in paths}
        counting = [
            Counting(name=one.name, files=one.files - gone, whole=one.whole and not one.files & gone, last=one.last)
            for one in self.counting
        ]
        return StoreLook(
            samples=self.samples,
            folder=self.folder,
            direct=tuple(path for path in self.direct if path not in paths),
            counting=tuple(one for one in counting if one.files),
            once=self.once,
        )

    def newest(self, connection: Any) -> str:
        """A relation of `KEYS`: of each case, failed or not, at least its newest row; of other files every one.

        `n` is how many rows there are of that case in one place. A row that appears twice may come so.

        Raises:
            FileNotFoundError: summaries were damaged and are forgotten, or a file has gone: look again.
        """
        import pyarrow as pa

        now, tables, rest = limit(), [], []
        for one in self.counting:
            if one.whole and one.last <= now:
                tables.append(self._guarded(segments.newest, one.name))
            else:
                rest.append(one)  # what is the newest depends on what counts
        relations = []
        if tables:
            connection.register("look_newest", pa.concat_tables(tables).unify_dictionaries())
            relations.append(f"SELECT {KEYS.replace('filename', self._filename())} FROM look_newest")  # noqa: S608  (our own names)
        keys = ("case", "model", "variant", "target", "status", "run", "run_started_at")
        every = KEYS.replace("failed", "status = 'failed' AS failed").replace(" n,", " 1::BIGINT AS n,")
        if rest:
            self._register(connection, "look_rest", rest, keys, None)
            relations.append(f"SELECT {every.replace('filename', self._filename())} FROM look_rest")  # noqa: S608  (as above)
        if self.direct:
            relations.append(f"SELECT {every} FROM {self._direct()}")  # noqa: S608  (as above)
        return f"({' UNION ALL BY NAME '.join(relations)})"

    def rows(self, connection: Any, columns: Sequence[str], cases: Collection[str] | None = None) -> str:
        """A relation of `filename`, `case` and kept columns of every row.

        Args:
            connection: DuckDB's.
            columns: their paths, as `harness.store.summaries.narrow.read_by` has them.
            cases: those that are wanted; None for all.

        Raises:
            FileNotFoundError: summaries were damaged and are forgotten: look again.
        """
        paths = tuple(dict.fromkeys(["case", *columns]))
        relations = []
        if self.counting:
            self._register(connection, "look_rows", self.counting, paths, cases)
            names = ", ".join(f'"{path}"' for path in paths)
            relations.append(f"SELECT {self._filename()}, {names} FROM look_rows")  # noqa: S608  (our own names)
        if self.direct:
            taken = ", ".join(narrow.taken(path) for path in paths)
            relations.append(f"SELECT filename, {taken} FROM {self._direct()}")  # noqa: S608  (as above)
        return f"(SELECT filename, {narrow.packed(paths)} FROM ({' UNION ALL BY NAME '.join(relations)}))"  # noqa: S608  (as above)

    def perhaps_after(self, time: str) -> list[Path]:
        """The files that may hold a run which says that it started later than this."""
        late = [one for one in self.counting if one.last > time]
        return sorted([*self.direct, *(self.samples / name for one in late for name in one.files)])

    def _direct(self) -> str:
        return absent.stored_in(admission.literal(path) for path in self.direct)

    def _filename(self) -> str:
        return f"concat({_quoted(f'{self.samples}{os.sep}')}, {narrow.NAME}) AS filename"

    def _register(
        self,
        connection: Any,
        view: str,
        counting: Sequence[Counting],
        columns: Sequence[str],
        cases: Collection[str] | None,
    ) -> None:
        import pyarrow as pa

        tables = [
            self._guarded(segments.rows, one.name, columns, None if one.whole else one.files, cases) for one in counting
        ]
        connection.register(view, pa.concat_tables(tables).unify_dictionaries())

    def _guarded(self, read: Any, name: str, *arguments: Any) -> Any:
        import pyarrow as pa

        try:
            return read(self.folder, name, *arguments)
        except (OSError, pa.ArrowException, KeyError) as error:
            ledger.forget(self.folder)
            raise FileNotFoundError(f"{self.folder / name}: {error}") from error


def look(connection: Any, results: Path, problems: list[StoreError]) -> StoreLook:
    """The files of a results folder that may be read.

    Args:
        connection: DuckDB's.
        results: the results folder; one that is missing holds nothing.
        problems: gets one error for each file that is left out.

    Raises:
        StoreError: where the folder cannot be listed.
        FileNotFoundError: a file has gone: look again.
    """
    samples = results / "samples"
    finished = stored_files.finished_files(results)
    if not _worth(finished):
        paths = admission.admitted(connection, stored_files.sample_files(results), problems)
        return StoreLook(samples=samples, folder=samples, direct=tuple(paths), counting=(), once=False)
    folder = ledger.folder_of(results)
    lock = ledger.attempt_lock(folder)
    try:
        noted = ledger.read(folder)
        paths = stored_files.sample_files(results, _replaced_by(samples, noted))
        fresh, gone = _compared(samples, noted, paths)
        if lock is not None and (gone or fresh):
            fresh = _updated(connection, folder, samples, noted, fresh, gone=gone)
    finally:
        if lock is not None:
            lock.release()
    direct = tuple(admission.admitted(connection, fresh, problems))
    return _look(samples, folder, noted, direct)


def _worth(finished: Sequence[Path]) -> bool:
    """Whether a store is large enough."""
    if len(finished) >= FEWEST_FILES:
        return True
    held = 0
    for path in finished:
        try:
            held += path.stat().st_size
        except OSError:
            continue
    return held >= FEWEST_BYTES


def _replaced_by(samples: Path, noted: Ledger) -> Any:
    """As `harness.store.stored_files.replaced_by`, without opening a file that is noted."""

    def replaced_by(path: Path) -> stored_files.Replaced:
        known = noted.files.get(str(path.relative_to(samples)))
        if known is not None and known.state == ledger.state(path):
            return known.replaces
        return stored_files.replaced_by(path)

    return replaced_by


def _compared(samples: Path, noted: Ledger, paths: Sequence[Path]) -> tuple[list[Path], bool]:
    """The files that are not noted as they are, and whether others that are noted have gone; takes those out."""
    fresh = []
    there = set()
    for path in paths:
        name = str(path.relative_to(samples))
        known = noted.files.get(name)
        if known is not None and known.segment in noted.segments and known.state == ledger.state(path):
            there.add(name)
        else:
            fresh.append(path)
    gone = noted.files.keys() - there
    for name in gone:
        del noted.files[name]
    return fresh, bool(gone)


def _updated(
    connection: Any,
    folder: Path,
    samples: Path,
    noted: Ledger,
    fresh: Sequence[Path],
    *,
    gone: bool,
) -> list[Path]:
    """Bring the summaries up to date; the files that have to be read as they are all the same."""
    import duckdb
    import pyarrow as pa

    finished = [path for path in fresh if path.parent.suffix != ".parts" and ledger.state(path) is not None]
    said: list[StoreError] = []
    try:
        making.update(connection, folder, samples, noted, finished, said)
        making.tidy(connection, folder, noted)
        if finished or gone:
            ledger.write(folder, noted)
    except (StoreError, duckdb.Error, OSError, pa.ArrowException) as error:
        if isinstance(error, FileNotFoundError):
            raise
        # Whatever is in the way of a cache is in nobody's way: files are read as they are.
        ledger.forget(folder)
        noted.files.clear()
        return sorted({*stored_files.sample_files(samples.parent)})
    del said  # a file that cannot be read is looked at as it is, and named there
    return [path for path in fresh if str(path.relative_to(samples)) not in noted.files]


def _look(samples: Path, folder: Path, noted: Ledger, direct: tuple[Path, ...]) -> StoreLook:
    held: dict[str, set[str]] = {}
    runs: set[str] = set()
    once = not direct
    for name, file in noted.files.items():
        held.setdefault(file.segment, set()).add(name)
        once = once and file.once and runs.isdisjoint(file.runs)
        runs.update(file.runs)
    counting = [
        Counting(
            name=name,
            files=frozenset(files),
            whole=len(files) == noted.segments[name].files,
            last=noted.segments[name].last,
        )
        for name, files in sorted(held.items())
    ]
    return StoreLook(samples=samples, folder=folder, direct=direct, counting=tuple(counting), once=once)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
