"""A run's numbers as asv's own result files: the only module that knows asv's layout.

`asv show`, `asv compare` and `asv publish` (asv 0.6) read them. asv writes its files in place and without a lock;
here everything is read and checked first, and then written whole, under the lock of the results folder.

There is one file per commit and environment (see `harness.store.asv.environments`). Places of a benchmark's grid that
are not a case hold NaN (n/a), never null (failed).
"""

from __future__ import annotations

import itertools
import math
import platform
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import foreign
from harness.errors import NewerSchema, StoreError
from harness.metrics import METRICS
from harness.records import Run, Status
from harness.store import files
from harness.store.asv import files as asv_files
from harness.store.asv.benchmarks import BENCHMARKS, PARAMETERS, AsvBenchmark, nullable, parameters
from harness.store.asv.environments import AsvEnvironment, environments
from harness.store.asv.files import BENCHMARKS_VERSION, MACHINE_VERSION, RESULTS_VERSION, broken, dump, load
from harness.store.query import natural
from harness.store.rows import Row


def write(results: Path, run: Run, rows: Iterable[Row]) -> tuple[Path, ...]:
    """Merge a run's rows into asv's files. Doing it again changes nothing.

    Values of the same case, commit and environment are replaced, but never a number by a failure, which stands in the
    run's own file; every other value, benchmark and environment stays.

    Args:
        results: asv's `results_dir`.
        run: of a clean checkout.
        rows: with their samples (`Journal.whole_rows`, `samples.stream`), all of that run. What asv keeps of the
            samples is taken from each as it comes, so that they need not be in memory together.

    Returns:
        The files that were written.

    Raises:
        ValueError: if the run has no commit or its tree was dirty, or rows carry no samples or are of another run.
        NewerSchema: if a newer asv or harness wrote one of the files.
        StoreError: if one of the files is damaged or cannot be written. Nothing is overwritten then.
    """
    if run.commit is None or run.dirty:
        raise ValueError("only a clean checkout's commit has a place in asv's history")
    rows = [_summed_up(row, run) for row in rows]
    with files.Lock.wait(files.lock_of(results)):
        machine = _machine(results)
        contents = {results / machine["machine"] / "machine.json": dump(machine, MACHINE_VERSION)}
        for environment, group in environments(rows).items():
            path = results / machine["machine"] / f"{run.commit[:8]}-{environment}.json"
            contents[path] = _merged(path, run, machine, group)
        contents[results / "benchmarks.json"] = dump(_benchmarks(results, rows), BENCHMARKS_VERSION)
        for path, content in contents.items():
            files.write(path, content)
    return tuple(contents)


KEPT = (
    "case", "model", "variant", "provider", "target_name", "runtime", "intra_threads", "inter_threads", "batch",
    "scenario", "status", "weights", "measured_by", "versions", "fingerprint", "run",
)  # fmt: skip
"""The columns that say which value of asv's a row is."""

READ = tuple(dict.fromkeys([*KEPT, *(read.partition(".")[0] for metric in METRICS for read in metric.reads)]))
"""`KEPT`, and what the metrics are made of."""


def _summed_up(row: Row, run: Run) -> Row:
    """As much of a row as its values in asv's files need; `samples` are those that asv computes its statistics from.

    Raises:
        ValueError: if it carries no samples or is of another run.
    """
    if "processes" not in row or row["run"] != run.id:
        raise ValueError("asv's statistics need rows of this very run, with their samples")
    measured = bool(row["processes"]) and Status(row["status"]).has_numbers
    of = {one.name: one.samples(row) for one in BENCHMARKS if one.samples and measured}
    return {**{name: row[name] for name in READ}, "samples": of}


def check(results: Path, run: Run) -> None:
    """Find damaged or newer files that `write` would stumble over, before anything is measured.

    Raises:
        NewerSchema, StoreError: as `write`.
    """
    if run.commit is None or run.dirty:
        return
    machine = _machine(results)["machine"]
    asv_files.benchmarks(results / "benchmarks.json")
    for path in (results / machine).glob(f"{run.commit[:8]}-harness-*.json"):
        _old(path, run.commit)


# --- machine -------------------------------------------------------------------------------------


def _machine(results: Path) -> dict[str, str]:
    """This machine as asv knows it: from ~/.asv-machine.json, else as stored before, else from the system.

    What is stored stays as it is: `os` names the kernel's release, and since asv starts a new series wherever any of
    these changes, a kernel update would end them all. A real change of the host shows in the dimension `host`.
    """
    from asv.machine import Machine

    node = platform.node() or "unknown"
    known = load(Path.home() / ".asv-machine.json", MACHINE_VERSION)
    machines = {name: info for name, info in known.items() if isinstance(info, dict)}
    # As asv does it: the only machine in the file is this one, whatever the host is called.
    own = machines.get(node) or (next(iter(machines.values())) if len(machines) == 1 else None)
    if own is None:
        own = asv_files.machine(results / node / "machine.json")
    if not own or not isinstance(own.get("machine"), str):
        own = {**Machine.get_defaults(), "machine": node}
    return {key: str(value) for key, value in own.items()}


# --- benchmarks.json -----------------------------------------------------------------------------


def _benchmarks(results: Path, rows: Sequence[Row]) -> dict[str, Any]:
    """What is in benchmarks.json, with the parameters of these rows added to harness's own benchmarks."""
    content = asv_files.benchmarks(results / "benchmarks.json")
    for metric in BENCHMARKS:
        old = content.get(metric.name, {})
        _refuse_newer(results / "benchmarks.json", metric, old.get("version"))
        known = old.get("params", []) if old.get("param_names") == list(PARAMETERS) else []
        content[metric.name] = {
            "code": old.get("code", metric.meaning),
            **{key: value for key, value in old.items() if key not in ("params", "param_names")},
            "name": metric.name,
            "param_names": list(PARAMETERS),
            "params": _axes(known, rows),
            "type": metric.type,
            "unit": metric.unit,
            "version": metric.version,
        }
    return content


def _axes(known: Sequence[Sequence[str]], rows: Sequence[Row]) -> list[list[str]]:
    """Every value of every parameter, those known before included, in natural order."""
    points = [parameters(row) for row in rows]
    return [
        sorted({*(known[axis] if known else ()), *(point[axis] for point in points)}, key=natural)
        for axis in range(len(PARAMETERS))
    ]


def _refuse_newer(path: Path, metric: AsvBenchmark, version: object) -> None:
    if isinstance(version, str) and version.isdecimal() and foreign.whole(version) > int(metric.version):
        raise NewerSchema(
            f"{path} holds {metric.name} in version {version}; this harness writes version {metric.version}: update "
            "onnx-harness, or choose another results folder with --results."
        )


# --- results -------------------------------------------------------------------------------------


def _merged(path: Path, run: Run, machine: Mapping[str, str], group: tuple[AsvEnvironment, Sequence[Row]]) -> bytes:
    """A result file with these rows in it, as bytes."""
    from asv.results import Results
    from asv.runner import BenchmarkResult

    environment, rows = group
    assert run.commit is not None  # noqa: S101  (checked by `write`)
    params = {**machine, **environment.params}
    results = _old(path, run.commit)
    if results is None:
        results = Results(
            params,
            dict(environment.requirements),
            run.commit,
            run.commit_time,
            environment.params["python"],
            environment.name,
            {},
        )
    elif any(results.params.get(key) != value for key, value in environment.params.items()):
        raise StoreError(f"{path} holds another environment of the same short name: move it away.")
    started = datetime.fromisoformat(run.started_at)
    started = started if started.tzinfo else started.replace(tzinfo=UTC)
    by_point = {parameters(row): row for row in rows}
    for metric in BENCHMARKS:
        _refuse_newer(path, metric, results.benchmark_version.get(metric.name))
        known = _known(results, metric)
        axes = _axes(known, rows)
        there = set(itertools.product(*known)) if known else set()
        points = list(itertools.product(*axes))
        values, samples = zip(*(_point(metric, by_point.get(point)) for point in points), strict=True)
        numbers = _numbers(results, metric, known)
        failed = {point for point, value in zip(points, values, strict=True) if value is None}
        results.add_result(
            {"name": metric.name, "version": metric.version, "params": axes},
            BenchmarkResult(
                result=list(values),
                samples=list(samples),
                number=[None if entry is None else 1 for entry in samples],
                errcode=0,
                stderr="",
                profile=None,
            ),
            started_at=started,
            record_samples=True,
            selected_idx={
                i
                for i, point in enumerate(points)
                if (point in by_point or point not in there) and not (point in failed and point in numbers)
            },
        )
    return _saved(results, path)


def _known(results: Any, metric: AsvBenchmark) -> list[list[str]]:
    """The axes of what is stored for a benchmark, empty where there is nothing that means the same."""
    if metric.name not in results.get_all_result_keys() or results.benchmark_version.get(metric.name) != metric.version:
        return []
    params: list[list[str]] = results.get_result_params(metric.name)
    return params if len(params) == len(PARAMETERS) else []


def _numbers(results: Any, metric: AsvBenchmark, known: Sequence[Sequence[str]]) -> set[tuple[str, ...]]:
    """The places of a benchmark's grid that hold a number, neither a failure nor n/a."""
    if not known:
        return set()
    held = results.get_result_value(metric.name, known)
    return {
        point
        for point, value in zip(itertools.product(*known), held, strict=True)
        if value is not None and not math.isnan(value)
    }


def _point(metric: AsvBenchmark, row: Row | None) -> tuple[float | None, list[float] | None]:
    """One case's value and samples; NaN at a place of the grid that is not a case."""
    if row is None:
        return math.nan, None
    value = nullable(metric.value, row)
    if metric.samples is None or value is None or math.isnan(value):
        return value, None
    return value, row["samples"].get(metric.name) or None


def _saved(results: Any, path: Path) -> bytes:
    """What asv would write, without letting it write in place."""
    with files.guarded("write", path), tempfile.TemporaryDirectory() as folder:
        results.save(folder)
        (saved,) = Path(folder).glob("*/*.json")
        return saved.read_bytes()


def _old(path: Path, commit: str) -> Any:
    """A stored result file, checked, or None where there is none."""
    from asv.results import Results

    content = load(path, RESULTS_VERSION)
    if not content:
        return None
    try:
        results = Results.load(str(path))
        for name in results.get_all_result_keys():
            params = results.get_result_params(name)
            if not isinstance(params, list) or not all(isinstance(axis, list) for axis in params):
                raise TypeError(f"the parameters of {name} are not lists")
            size = math.prod(len(axis) for axis in params)
            for column in _columns(results, name):
                if column is not None and len(column) != size:
                    raise ValueError(f"{name} has {len(column)} values for {size} combinations")
    except Exception as error:  # asv raises whatever a wrong shape leads to
        raise broken(path, error) from error
    if results.commit_hash != commit:
        raise StoreError(f"{path} belongs to commit {results.commit_hash}, which begins like {commit}: move it away.")
    return results


def _columns(results: Any, name: str) -> Iterator[Any]:
    yield results._results[name]  # noqa: SLF001  (asv offers these only after matching them to parameters, which hides a wrong length)
    yield results._samples[name]  # noqa: SLF001  (ditto)
    yield results._stats[name]  # noqa: SLF001  (ditto)
