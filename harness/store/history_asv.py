"""Points of history from asv's result files: those of a sweep, those of `asv run`, and imported ones."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from harness import flavours, foreign
from harness.errors import NewerSchema, StoreError
from harness.records.case_id import case_name, target_label
from harness.records.case_id import parts as case_parts
from harness.store.asv import files as asv_files
from harness.store.asv.benchmarks import BENCHMARKS, PARAMETERS, SHORT
from harness.store.asv.environments import WEIGHTS_OF, environment_name
from harness.store.asv.files import Columns, ResultFile
from harness.store.commits import Commits
from harness.store.series import FOREIGN, Key, Point, iso

UNITS = {metric.name: metric.unit for metric in BENCHMARKS}
OURS = {metric.name: metric for metric in BENCHMARKS}
CONFIDENCE = 0.99
MOST_REPEATS = 1e9

Wanted = Callable[[str], bool]


def points(
    results: Path,
    order: Commits,
    case: Wanted,
    metric: Wanted,
    problems: list[StoreError],
    paths: Sequence[Path] | None = None,
) -> Iterator[tuple[Key, Point]]:
    """Every value and every failure in asv's files; places that are not applicable (NaN) are left out.

    Args:
        results: asv's `results_dir`.
        order: the commits of the clone.
        case: says of a case id whether it is wanted.
        metric: the same of a name such as `latency`.
        problems: gets one error for every file or benchmark that is left out.
        paths: the result files to read; None reads all.
    """
    try:
        benchmarks = asv_files.benchmarks(results / "benchmarks.json")
    except StoreError as error:
        problems.append(error)
        benchmarks = {}
    labels: dict[Key, set[str]] = {}
    waiting: list[tuple[Key, Point, str, str]] = []
    for found, name, columns in _read(asv_files.result_paths(results) if paths is None else paths, problems):
        held, python = weights_of(found), str(found.params.get("python") or "")
        own = OURS.get(name)
        apart = own.told_apart(str(columns.get("version"))) if own is not None else ""
        by_policy = name in SHORT and not found.environment.startswith(SWEPT)
        for key, point in _of_benchmark(found, name, columns, benchmarks.get(name, {}), order, case, metric):
            label = held.get(case_parts(key.case).model) if by_policy else None
            if label is not None:
                labels.setdefault(_policy_of(key), set()).add(label)
                yield _apart(joined(key, label, python), apart), point
            elif by_policy:
                waiting.append((key, point, python, apart))
            else:
                yield _apart(key, apart), point
    # What was stored before files named the weights joins where its environment only ever had these.
    for key, point, python, apart in waiting:
        known = labels.get(_policy_of(key), set())
        same = joined(key, next(iter(known)), python) if len(known) == 1 else key
        yield _apart(same, apart), point


def _apart(key: Key, mark: str) -> Key:
    """A series of an earlier meaning of its metric, which is not that of today's numbers."""
    return key._replace(environment=key.environment + mark)


def _read(paths: Sequence[Path], problems: list[StoreError]) -> Iterator[tuple[ResultFile, str, Columns]]:
    """Every benchmark of harness's, and every imported one, in the result files that can be read."""
    reported: set[tuple[str, str]] = set()
    for path in paths:
        try:
            found = asv_files.read(path)
        except StoreError as error:
            problems.append(error)
            continue
        for name, columns in found.benchmarks.items():
            if name not in SHORT and not name.startswith(FOREIGN):
                continue
            version = str(columns.get("version"))
            own = OURS.get(name)
            if own is None or version == own.version or version in own.metric.earlier:
                yield found, name, columns
            elif (name, version) not in reported:
                reported.add((name, version))
                problems.append(_other_meaning(path, name, version))


SWEPT = "harness-"
"""How the environments begin that a sweep writes to asv's files."""


def weights_of(found: ResultFile) -> Mapping[str, str]:
    """Model -> the label of the weights that `asv run` built; empty in files that name what was asked for alone."""
    held = found.header.get(WEIGHTS_OF)
    return held if isinstance(held, Mapping) else {}


def joined(key: Key, label: str, python: str) -> Key:
    """The series that a sweep of the same weights has."""
    runtime = "".join(flavours.of_tag(key.runtime))
    return key._replace(weights=label, environment=environment_name(python, runtime, label, key.host))


def _policy_of(key: Key) -> Key:
    """What earlier values of one model in one environment of asv have in common, whatever the metric and variant."""
    return key._replace(case=case_parts(key.case).model, metric="", unit="")


def case_id(name: str, names: Sequence[str], values: Sequence[str]) -> str:
    """The case that a place in a benchmark's grid stands for.

    Args:
        name: of the benchmark, as asv has it.
        names: of its parameters; those of a sweep are `model, variant, provider, threads, batch`.
        values: one `repr` for each parameter.
    """
    plain = tuple(_plain(value) for value in values)
    if name in SHORT and len(values) == len(PARAMETERS):
        model, variant, provider, threads, batch = plain
        return case_name(model, variant, target_label(provider.rpartition(":")[2], threads, batch))
    if name.startswith("optimum.") and names:
        return "/".join(plain)
    base = name.partition(".")[2] if name.startswith(FOREIGN) else name
    return f"{base}({', '.join(plain)})" if plain else base


def metric_name(name: str) -> str:
    """A benchmark's metric: `latency`, `pytest`, or the imported name as it is."""
    return SHORT.get(name) or ("pytest" if name.startswith("pytest.") else name)


def identity(found: ResultFile) -> tuple[str, str, str, str]:
    """Host, runtime, weights and environment of a result file.

    `asv run` names the runtime by its requirement and what weights were asked for by an environment variable, where
    nothing better was stored.
    """
    params = found.params
    requirements: Mapping[str, Any] = found.header.get("requirements") or {}
    variables: Mapping[str, Any] = found.header.get("env_vars") or {}
    named = flavours.chosen({name: str(version) for name, version in requirements.items()})
    runtime = params.get("onnxruntime") or (flavours.tag(*named) if named else "")
    weights = params.get("weights") or variables.get("HARNESS_WEIGHTS") or ""
    return str(params.get("host") or params.get("machine") or ""), str(runtime), str(weights), found.environment


def _of_benchmark(
    found: ResultFile,
    name: str,
    columns: Columns,
    described: Mapping[str, Any],
    order: Commits,
    case: Wanted,
    metric: Wanted,
) -> Iterator[tuple[Key, Point]]:
    short = metric_name(name)
    if not metric(short):
        return
    unit = UNITS.get(name) or str(described.get("unit") or "")
    host, runtime, weights, environment = identity(found)
    started = iso(columns.get("started_at"))
    position = order.positions.get(found.commit)
    names = tuple(described.get("param_names") or ())
    failed = "result" not in columns
    for place, values in asv_files.points(columns):
        value = None if failed else columns["result"][place]
        if value is not None and (not isinstance(value, (int, float)) or not math.isfinite(value)):
            continue
        of = _cached(name, names, values)
        if not case(of):
            continue
        low, high = (_finite(asv_files.at(columns, column, place)) for column in ("stats_ci_99_a", "stats_ci_99_b"))
        whole = value is not None and low is not None and high is not None
        yield (
            Key(of, short, unit, host, runtime, weights, environment),
            Point(
                commit=found.commit,
                commit_time=found.commit_time,
                value=None if value is None else float(value),
                status="failed" if value is None else "measured",
                low=low if whole else None,
                high=high if whole else None,
                confidence=CONFIDENCE if whole else None,
                n=_repeats(asv_files.at(columns, "stats_repeat", place)),
                dirty=False,
                started_at=started,
                source="asv",
                run=None,
                position=position,
            ),
        )


_cached = cache(case_id)


def _repeats(value: object) -> int:
    """How many samples are behind a value: at least one, and no more than anybody takes."""
    found = _finite(value)
    return 1 if found is None else int(min(max(found, 1.0), MOST_REPEATS))


def _finite(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


@cache
def _plain(value: str) -> str:
    """A parameter without the quotes of its `repr`."""
    try:
        return str(ast.literal_eval(value))
    except (ValueError, SyntaxError):
        return value


def _other_meaning(path: Path, name: str, version: str) -> StoreError:
    mine = OURS[name].version
    if version.isdecimal() and foreign.whole(version) > int(mine):
        return NewerSchema(
            f"{path} holds {name} in version {version}; this harness reads version {mine}: update onnx-harness."
        )
    return StoreError(
        f"{path} holds {name} in version {version}, whose meaning is not that of version {mine}: its numbers do not "
        "belong to the same series. `git log` tells when the meaning changed."
    )
