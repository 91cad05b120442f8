"""Results from elsewhere on top of what is stored here, without losing either.

What is stored here stays as it is. A value that it has no place for yet is added; one that says something else is a
conflict: it is reported, and kept in `conflicts/`, as a file that `harness import` reads and asv does not. Doing it
again changes nothing.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.store import asv_files, files, samples
from harness.store.asv_files import Columns, ResultFile
from harness.store.asv_merge import same_series
from harness.store.foreign import RESULT, Incoming, joined
from harness.store.foreign_base import digest, safe
from harness.store.merge_grid import Grid, known
from harness.store.rows import Row

CONFLICTS = "conflicts"
LONGEST = 128
"""From this many characters on asv replaces an environment's name in that of a file by a hash."""

HARDWARE = ("arch", "cpu", "num_cpu")
RAM_TOLERANCE = 0.05
"""The kernel keeps a little memory for itself, and not the same at every start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A value that says something else than the one that is stored.

    Attributes:
        path: of the stored file, which keeps its value.
        what: the case or combination, for people.
        kept, other: both values; None is a failure.
        aside: the file that keeps the other.
    """

    path: Path
    what: str
    kept: object
    other: object
    aside: Path


@dataclass(slots=True)
class Merged:
    """What became of one source.

    Attributes:
        added, same: values that are new here, and those that were here already.
        runs: files of samples that are new here.
        renamed: machine -> the name it got here, because another machine of that name is stored.
    """

    incoming: Incoming
    added: int = 0
    same: int = 0
    runs: int = 0
    conflicts: list[Conflict] = field(default_factory=list)
    problems: list[StoreError] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)


def merge(results: Path, sources: Sequence[Incoming], *, dry_run: bool = False) -> tuple[Merged, ...]:
    """Add what the sources hold to a results folder.

    Everything is read, checked and put together before the first file is written; files are written whole, under the
    lock of the folder.

    Args:
        results: the folder to add to.
        sources: in order; where two of them differ, the first one's value is stored.
        dry_run: write nothing.

    Raises:
        NewerSchema: if a newer harness or asv wrote benchmarks.json here.
        StoreError: if that file is damaged, or something cannot be written.
    """
    if dry_run:
        return _Merge(results).all_of(sources)
    with files.Lock.wait(files.lock_of(results)):
        merging = _Merge(results)
        found = merging.all_of(sources)
        for path, content in merging.contents.items():
            files.write(path, content if isinstance(content, bytes) else content.read_bytes())
    return found


class _Merge:
    """One import: what is to be written, and what was put together so far."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.contents: dict[Path, bytes | Path] = {}
        self.pending: dict[Path, ResultFile] = {}
        self.machines: dict[str, dict[str, str]] = {}

    def all_of(self, sources: Sequence[Incoming]) -> tuple[Merged, ...]:
        """Every source; benchmarks.json last."""
        path = self.results / "benchmarks.json"
        stored = asv_files.load(path, asv_files.BENCHMARKS_VERSION)
        found = tuple(self.source(one) for one in sources)
        both = joined([stored, *(one.benchmarks for one in sources)])
        if both != stored:
            self.contents[path] = asv_files.dump(both, asv_files.BENCHMARKS_VERSION)
        return found

    def source(self, incoming: Incoming) -> Merged:
        """One source, file by file; one that cannot be added costs itself alone."""
        done = Merged(incoming=incoming, problems=list(incoming.problems))
        for file in incoming.files:
            try:
                self.file(file, done)
            except StoreError as error:
                done.problems.append(error)
        for path in incoming.samples:
            try:
                self.run(path, done)
            except StoreError as error:
                done.problems.append(error)
        return done

    # --- asv's files ---

    def file(self, theirs: ResultFile, done: Merged) -> None:
        """One result file."""
        name = self.machine(theirs, done)
        header = {**theirs.header, "params": {**theirs.params, "machine": name}}
        path = self.results / name / _file_name(header)
        ours = self.pending.get(path) or (asv_files.read(path) if path.exists() else None)
        if ours is None:
            done.added += sum(known(columns) for columns in theirs.benchmarks.values())
            self.keep(replace(theirs, path=path, header=header))
            return
        if (
            ours.commit != theirs.commit
            or ours.environment != theirs.environment
            or not same_series(ours.header, header)
        ):
            raise StoreError(
                f"{theirs.path} was not added: {path} has its name and is of another commit or environment. Rename "
                "one of the two and import it again."
            )
        both = dict(ours.benchmarks)
        losers: dict[str, Columns] = {}
        told: list[tuple[str, object, object]] = []
        for benchmark, columns in theirs.benchmarks.items():
            grid = Grid(ours.benchmarks.get(benchmark), columns)
            both[benchmark] = grid.columns
            done.added += grid.added
            done.same += grid.same
            if grid.losers:
                losers[benchmark] = grid.losers
                told += [(f"{benchmark} {what}", kept, other) for what, kept, other in grid.told]
        if both != ours.benchmarks and _differ(both, ours.benchmarks):
            self.keep(replace(ours, benchmarks=both))
        if losers:
            content = asv_files.encode(header, losers)
            aside = self.aside(name, path.stem, RESULT, content)
            done.conflicts += [
                Conflict(path=path, what=what, kept=kept, other=other, aside=aside) for what, kept, other in told
            ]

    def keep(self, file: ResultFile) -> None:
        """Take a result file as it will be written."""
        self.pending[file.path] = file
        self.contents[file.path] = asv_files.encode(file.header, file.benchmarks)

    def machine(self, theirs: ResultFile, done: Merged) -> str:
        """The machine's name here: another machine that is called the same gets a name of its own."""
        given = str(theirs.params.get("machine") or theirs.path.parent.name)
        name = safe(given).lstrip(".") or "unknown"  # it becomes a folder
        told = done.incoming.machines.get(given) or _machine_of(theirs.params, name)
        described = {**told, "machine": name}
        stored = self.stored_machine(name)
        if stored and not _same_hardware(stored, described):
            name = f"{name}-{digest([described.get(key) for key in HARDWARE])}"
            done.renamed[described["machine"]] = name
            described["machine"] = name
            stored = self.stored_machine(name)
        if not stored:
            self.machines[name] = described
            self.contents[self.results / name / "machine.json"] = asv_files.dump(described, asv_files.MACHINE_VERSION)
        return name

    def stored_machine(self, name: str) -> Mapping[str, str]:
        """A machine as it is described here; by its results, and written anew, where its description is missing."""
        if name not in self.machines:
            path = self.results / name / "machine.json"
            found = {key: str(value) for key, value in asv_files.load(path, asv_files.MACHINE_VERSION).items()}
            if not found and (described := self.described(name)):
                found = described
                self.contents[path] = asv_files.dump(found, asv_files.MACHINE_VERSION)
            if found:
                self.machines[name] = found
        return self.machines.get(name, {})

    def described(self, name: str) -> dict[str, str]:
        """What the first result of a machine that can be read says about it."""
        for path in sorted((self.results / name).glob("*.json")):
            try:
                return _machine_of(asv_files.read(path).params, name)
            except StoreError:
                continue
        return {}

    def aside(self, folder: str, stem: str, suffix: str, content: bytes) -> Path:
        """Keep what lost, under a name that says what is in it: the same thing is kept once."""
        short = hashlib.sha256(content).hexdigest()[:8]
        path = self.results / CONFLICTS / folder / f"{stem}.{short}{suffix}"
        self.contents[path] = content
        return path

    # --- samples ---

    def run(self, path: Path, done: Merged) -> None:
        """One run's samples: a file is whole or not there, so that there is nothing to put together."""
        with files.guarded("read", path):
            content = path.read_bytes()
        target = self.results / "samples" / path.name
        stored = self.contents.get(target, target)
        if isinstance(stored, Path) and stored.exists() and stored.read_bytes() == content:
            return
        rows = samples.read(path)
        if target not in self.contents and not target.exists():
            self.contents[target] = path
            done.runs += 1
            return
        kept = {row["case"]: row for row in (samples.read(stored) if isinstance(stored, Path) else [])}
        differing = [row for row in rows if kept.get(row["case"]) != row]
        if not differing:
            return
        aside = self.aside("samples", path.stem, ".parquet", content)
        done.conflicts += [
            Conflict(
                path=target,
                what=f"run {row['run']}, {row['case']}",
                kept=_latency(kept.get(row["case"])),
                other=_latency(row),
                aside=aside,
            )
            for row in differing
        ]


def _differ(one: Mapping[str, Columns], other: Mapping[str, Columns]) -> bool:
    """Whether two sets of benchmarks would be written differently; NaN is not equal to itself."""
    return asv_files.encode({}, one) != asv_files.encode({}, other)


def _machine_of(params: Mapping[str, Any], name: str) -> dict[str, str]:
    """A machine's description, from the params of one of its results."""
    return {**{key: str(params[key]) for key in (*HARDWARE, "os", "ram") if key in params}, "machine": name}


def _same_hardware(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    if any(one.get(key) and other.get(key) and one[key] != other[key] for key in HARDWARE):
        return False
    try:
        first, second = float(one.get("ram") or 0), float(other.get("ram") or 0)
    except ValueError:
        return True
    return not first or not second or math.isclose(first, second, rel_tol=RAM_TOLERANCE)


def _file_name(header: Mapping[str, Any]) -> str:
    """As asv names a result file."""
    environment = str(header.get("env_name") or "")
    if len(environment) >= LONGEST:
        environment = f"env-{hashlib.md5(environment.encode(), usedforsecurity=False).hexdigest()}"
    commit = header["commit_hash"]
    if not re.fullmatch("[0-9a-f]{7,64}", commit):
        raise StoreError(f"{commit!r} is no commit: the file that names it was not added.")
    return f"{commit[:8]}-{safe(environment)}.json"


def _latency(row: Row | None) -> object:
    return row["latency"]["median_s"] if row and row["latency"] else None
