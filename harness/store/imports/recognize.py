"""Results from elsewhere, recognized and read: asv's and harness's own folders, pytest-benchmark, optimum-benchmark.

Everything becomes one noun, `Incoming`, which `harness.store.asv.merge` then adds to a results folder. A file that
cannot be read costs itself and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness import foreign
from harness.errors import StoreError
from harness.store import files, stored_files
from harness.store.asv import files as asv_files
from harness.store.asv.files import ResultFile, union
from harness.store.imports import optimum, pytest_benchmark
from harness.store.imports.base import Booked, Foreign

RESULT = ".asv"
"""How a file ends that holds what lost against a stored value; inside it is one of asv's result files."""

FORMATS = (
    "a results folder (of harness or asv), a file of one, pytest-benchmark's JSON, or optimum-benchmark's "
    "benchmark.json or benchmark_report.json"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """What one source holds.

    Attributes:
        source: as it was given.
        kind: what it is, for people.
        machines: asv's name of a machine -> its description, where there is one.
        files: result files; those made of other formats carry the path of their source.
        benchmarks: benchmarks.json.
        samples: Parquet files of runs.
        problems: files that were left out and why, one error each.
        notes: what was left out on purpose.
    """

    source: Path
    kind: str
    machines: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    files: tuple[ResultFile, ...] = ()
    benchmarks: Mapping[str, Any] = field(default_factory=dict)
    samples: tuple[Path, ...] = ()
    problems: tuple[StoreError, ...] = ()
    notes: tuple[str, ...] = ()


def read(source: Path, booked: Booked | None = None) -> Incoming:
    """Recognize a source by what is in it, and read it.

    Args:
        source: a file or a folder; a clone that has a folder `results` stands for that folder.
        booked: the commit to book numbers on whose file does not name one.

    Returns:
        What could be read; its `problems` say what could not.
    """
    if not source.exists():
        return Incoming(
            source=source, kind="nothing", problems=(StoreError(f"{source} is not there; give {FORMATS}."),)
        )
    if not source.is_dir():
        return _of_file(source, booked)
    if _is_results(source):
        return _of_results(source)
    if _is_results(source / "results"):
        return _of_results(source / "results")
    return _of_folder(source, booked)


def _is_results(folder: Path) -> bool:
    return (
        (folder / "benchmarks.json").is_file()
        or any(folder.glob("*/machine.json"))
        or bool(stored_files.finished_files(folder))
    )


def _of_results(folder: Path) -> Incoming:
    """A results folder, file by file."""
    problems: list[StoreError] = []
    machines = {}
    for path in sorted(folder.glob("*/machine.json")):
        try:
            content = asv_files.machine(path)
        except StoreError as error:
            problems.append(error)
        else:
            machines[path.parent.name] = {key: str(value) for key, value in content.items()}
    benchmarks: Mapping[str, Any] = {}
    try:
        benchmarks = asv_files.benchmarks(folder / "benchmarks.json")
    except StoreError as error:
        problems.append(error)
    found = []
    for path in asv_files.result_paths(folder):
        try:
            found.append(asv_files.read(path))
        except StoreError as error:
            problems.append(error)
    unfinished = len(list(folder.glob("samples/*.parts")))
    return Incoming(
        source=folder,
        kind="results",
        machines=machines,
        files=tuple(found),
        benchmarks=benchmarks,
        samples=tuple(path for path in stored_files.sample_files(folder) if path.parent.suffix != ".parts"),
        problems=tuple(problems),
        notes=(f"{unfinished} unfinished runs stay where they are: finish them there first",) if unfinished else (),
    )


def _of_folder(folder: Path, booked: Booked | None) -> Incoming:
    """A folder of other tools' files, such as pytest-benchmark's .benchmarks or a run of optimum-benchmark."""
    parts = [_of_file(path, booked) for path in _candidates(folder)]
    known = [part for part in parts if part.kind != "unknown"]
    if not known:
        return Incoming(
            source=folder, kind="unknown", problems=(StoreError(f"{folder} holds no results; give {FORMATS}."),)
        )
    return Incoming(
        source=folder,
        kind=", ".join(dict.fromkeys(part.kind for part in known)),
        machines={name: info for part in known for name, info in part.machines.items()},
        files=tuple(file for part in known for file in part.files),
        benchmarks=joined([part.benchmarks for part in known]),
        samples=tuple(path for part in known for path in part.samples),
        problems=tuple(problem for part in known for problem in part.problems),
        notes=tuple(dict.fromkeys(note for part in known for note in part.notes)),
    )


def _candidates(folder: Path) -> Iterator[Path]:
    """Files that may hold results; of optimum-benchmark's three files of a run only the one that has it all."""
    whole = {path.parent for path in folder.rglob("benchmark.json")}
    for path in sorted(folder.rglob("*")):
        beside = path.parent in whole and path.name in ("benchmark_report.json", "benchmark_config.json")
        if path.suffix in (".json", ".parquet", RESULT) and path.is_file() and not beside:
            yield path


def _of_file(path: Path, booked: Booked | None) -> Incoming:
    """One file, by its content."""
    if path.suffix == ".parquet":
        return Incoming(source=path, kind="samples", samples=(path,))
    try:
        with files.guarded("read", path):
            content = foreign.mapping(foreign.content(path))
    except StoreError as error:
        return Incoming(source=path, kind="a file", problems=(error,))
    except (ValueError, TypeError) as error:
        problem = StoreError(f"{path} is damaged ({type(error).__name__}: {error}): restore it or export it again.")
        return Incoming(source=path, kind="a damaged file", problems=(problem,))
    if "result_columns" in content:
        return _of_result_file(path)
    for tool in (pytest_benchmark, optimum):
        if tool.recognizes(content):
            return _made(path, tool, content, booked)
    unknown = StoreError(f"{path} is in no format that harness knows; give {FORMATS}.")
    return Incoming(source=path, kind="unknown", problems=(unknown,))


def _of_result_file(path: Path) -> Incoming:
    try:
        return Incoming(source=path, kind="a result file", files=(asv_files.read(path),))
    except StoreError as error:
        return Incoming(source=path, kind="a result file", problems=(error,))


class Tool(Protocol):
    """A module that reads one foreign format."""

    KIND: str

    def convert(self, path: Path, content: Mapping[str, Any], booked: Booked | None) -> Foreign:
        """A whole file."""


def _made(path: Path, tool: Tool, content: Mapping[str, Any], booked: Booked | None) -> Incoming:
    """Another tool's file as one of asv's."""
    kind = tool.KIND
    try:
        made = tool.convert(path, content, booked)
    except StoreError as error:
        return Incoming(source=path, kind=kind, problems=(error,))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = StoreError(f"{path} is not as {kind} writes it ({type(error).__name__}: {error}): export it again.")
        return Incoming(source=path, kind=kind, problems=(problem,))
    header = {
        "commit_hash": made.commit,
        "env_name": made.environment,
        "date": made.commit_time,
        "params": {**made.machine, **made.params},
        "python": made.params.get("python", ""),
        "requirements": dict(made.requirements),
        "env_vars": {},
        "durations": {},
    }
    return Incoming(
        source=path,
        kind=kind,
        machines={made.machine["machine"]: made.machine},
        files=(ResultFile(path=path, header=header, benchmarks=made.columns),),
        benchmarks=made.benchmarks,
        notes=made.notes,
    )


def joined(all_of_them: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Descriptions of benchmarks on top of each other: every parameter of each stays."""
    out: dict[str, Any] = {}
    for benchmarks in all_of_them:
        for name, new in benchmarks.items():
            old = out.get(name)
            if old is None:
                out[name] = new
            elif old.get("param_names") == new.get("param_names"):
                out[name] = {**old, "params": union(old["params"], new["params"])}
    return out
