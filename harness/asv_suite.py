"""asv's benchmarks: the cases of the zoo of the commit that is measured, by harness's own flow.

`benchmarks/sweep.py` of a project takes its functions from here. asv starts a process for every metric of every case;
the first one of a case measures it once and leaves what the other metrics are going to answer in a folder of
`harness.asv_plugin`, which hands each answer out once.

A combination of parameters that is no case of this commit, or that this host cannot run, answers NaN, asv's n/a, with
the reason on stderr. A case that fails raises: asv stores null.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import itertools
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness import plan as planning
from harness import provenance, zoo
from harness.build import pipeline
from harness.build.cache import Cache, default_root
from harness.errors import HarnessError, UsageError
from harness.execute import Bench, run_case
from harness.preview import Preview, Settings
from harness.records import Artifact, Case, Refusal, Status
from harness.store.environments import dimensions
from harness.store.files import write
from harness.store.metrics import METRICS, PARAMETERS, Metric, nullable, place
from harness.store.rows import Row, to_row
from harness.sweep import by_model, describe, key, try_targets

TIMEOUT_S: Final = 3600
"""For one case, its build included. The slowest shipped one takes minutes; a download of weights may take more."""

QUICK_S: Final = 0.3
"""Seconds of inference per case under `asv run --quick`, in one process."""

POLICIES: Final = ("seeded", "pretrained")

# What the environment says. The plugin sets the first one; the others are for asv.conf.json's matrix and for people.
FOLDER: Final = "HARNESS_ASV_FOLDER"
ZOO: Final = "HARNESS_ZOO"
WEIGHTS: Final = "HARNESS_WEIGHTS"
TIME_PER_CASE: Final = "HARNESS_TIME_PER_CASE"
PROCESSES: Final = "HARNESS_PROCESSES"

# What lies in the plugin's folder.
AXES_FILE: Final = "axes.json"
QUICK_FILE: Final = "quick.json"
NONE_FILE: Final = "no-case.json"
TARGETS_FILE: Final = "targets.json"
DIMENSIONS_FILE: Final = "dimensions.json"

Place = tuple[str | int, ...]
"""A combination of parameters, in the order of `PARAMETERS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one metric's process gives to asv.

    Attributes:
        value: a number, NaN for n/a, `{"samples": [...], "number": 1}`, or None where the case failed.
        out: what goes to stderr.
    """

    value: Any
    out: str = ""


def benchmarks() -> dict[str, Callable[..., Any]]:
    """The functions that asv looks for in `benchmarks/sweep.py`: `track_latency` and so on, one per metric.

    Raises:
        HarnessError: without the plugin, and while asv looks for benchmarks where the commit has no zoo to be read.
    """
    axes = handed_axes() or axes_of(cases(load()))

    def function(metric: Metric) -> Callable[..., Any]:
        def track(*at: str | int) -> Any:
            return ask(metric, at, axes)

        track.__name__ = track.__qualname__ = metric.name.rpartition(".")[2]
        track.__doc__ = metric.meaning
        for attribute, value in {
            "params": axes,
            "param_names": list(PARAMETERS),
            "unit": metric.unit,
            "type": metric.type,
            "version": metric.version,
            "timeout": TIMEOUT_S,
            "pretty_source": metric.meaning,
        }.items():
            setattr(track, attribute, value)
        return track

    return {track.__name__: track for track in map(function, METRICS)}


# --- the zoo of the commit -----------------------------------------------------------------------


def root() -> Path:
    """The folder that stands for asv.conf.json's in the checkout of the commit that is measured.

    asv checks commits out in `project` under an environment's folder. An existing environment has none: there the
    working tree is measured. `ASV_COMMIT` and `ASV_BUILD_DIR` are not asked: asv leaves them stale in environments
    that share a folder, and with --parallel.
    """
    configured = Path(os.environ.get("ASV_CONF_DIR") or Path.cwd())
    environment = os.environ.get("ASV_ENV_DIR")
    if environment is None:
        return configured
    return Path(environment) / "project" / (provenance.git(configured, "rev-parse", "--show-prefix") or "")


def load() -> zoo.Zoo:
    """The commit's zoo, with the weights policy applied.

    Raises:
        UsageError: where there is none.
        ZooError: where it has mistakes.
    """
    path = zoo_path()
    if not path.is_file():
        raise UsageError(f"this commit has no {path.name} in {path.parent}: nothing to measure")
    loaded = zoo.load(path)
    return dataclasses.replace(
        loaded,
        models={
            name: dataclasses.replace(model, weights=dataclasses.replace(model.weights, kind="seeded"))
            if policy() == "seeded" and asks_hub(model.source, model.weights.kind, model.weights.path)
            else model
            for name, model in loaded.models.items()
        },
    )


def zoo_path() -> Path:
    """Where the commit's zoo lies, if it has one."""
    return root() / os.environ.get(ZOO, "model_zoo.yaml")


def asks_hub(source: str, kind: str, path: str | None) -> bool:
    """Whether a model's weights would depend on what a hub answers today."""
    return kind == "pretrained" and path is None and source != "onnx"


def policy() -> str:
    """Which weights models get that ask for a hub's: one policy per series, so that they never mix.

    Raises:
        UsageError: for a policy that does not exist.
    """
    found = os.environ.get(WEIGHTS) or POLICIES[0]
    if found not in POLICIES:
        raise UsageError(f"{WEIGHTS}={found}: expected one of {', '.join(POLICIES)}")
    return found


def cases(the_zoo: zoo.Zoo) -> dict[Place, Case]:
    """Every case of the zoo's defaults by its place on the axes."""
    return {place_of(case): case for case in planning.plan(the_zoo, planning.Selection()).cases}


def place_of(case: Case) -> Place:
    """A case's place on the axes."""
    target = case.target
    return place(
        {
            "model": case.model.name,
            "variant": case.recipe.name,
            "provider": target.provider,
            "target_name": target.name,
            "intra_threads": target.intra_threads,
            "inter_threads": target.inter_threads,
            "batch": target.batch,
        }
    )


def axes_of(places: Mapping[Place, Case]) -> list[list[str | int]]:
    """The values of each parameter, in the order of the plan."""
    return [list(dict.fromkeys(at[axis] for at in places)) for axis in range(len(PARAMETERS))]


# --- the plugin's folder -------------------------------------------------------------------------


def folder() -> Path:
    """Where answers are left.

    Raises:
        UsageError: without the plugin.
    """
    found = os.environ.get(FOLDER)
    if not found:
        raise UsageError(
            'asv runs without harness\'s plugin: list it in asv.conf.json, `"plugins": [".harness.asv_plugin"]`. It '
            "tells the benchmarks which case asv means; without it numbers could be booked on the wrong one."
        )
    return Path(found)


def handed_axes() -> list[list[str | int]] | None:
    """The axes that asv counts combinations by; None while it is looking for them.

    asv looks for benchmarks in one commit, then names a combination in every commit by its number alone. Counted on
    the axes of another commit's zoo, that number would mean another case.
    """
    axes = left(AXES_FILE)
    return None if axes is None else [[ast.literal_eval(value) for value in axis] for axis in axes]


def leave(name: str, content: Any) -> None:
    """Put a file into the plugin's folder."""
    write(folder() / name, json.dumps(content).encode())


def left(name: str) -> Any:
    """What such a file holds, None where there is none."""
    path = folder() / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


# --- answering -----------------------------------------------------------------------------------


def ask(metric: Metric, at: Place, axes: Sequence[Sequence[str | int]]) -> Any:
    """Measure the case at a place and give one metric's value to asv; the other metrics' answers are left behind.

    Raises:
        HarnessError: if the case failed.
    """
    answers = answer(at, axes)
    index = list(itertools.product(*axes)).index(at)
    leave(f"{index}.json", {name: dataclasses.asdict(own) for name, own in answers.items() if name != metric.name})
    own = answers[metric.name]
    if own.value is None:
        raise HarnessError(own.out)
    if own.out:
        sys.stderr.write(f"{own.out}\n")
    return own.value


def answer(at: Place, axes: Sequence[Sequence[str | int]]) -> dict[str, Answer]:
    """Every metric's answer for a place."""
    try:
        the_zoo = load()
        known = cases(the_zoo)
    except UsageError as error:
        if zoo_path().is_file():
            return same(Answer(value=None, out=str(error)))
        reasons = dict.fromkeys(itertools.product(*axes), str(error))
    else:
        reasons = {other: no_case(other, known) for other in itertools.product(*axes) if other not in known}
    if left(NONE_FILE) is None:
        leave(NONE_FILE, {str(i): reasons[o] for i, o in enumerate(itertools.product(*axes)) if o in reasons})
    if at in reasons:
        return same(Answer(value=math.nan, out=f"n/a: {reasons[at]}"))
    return {metric.name: reply for metric, reply in replies(measured(the_zoo, known[at]))}


def same(one: Answer) -> dict[str, Answer]:
    """One answer for all metrics."""
    return {metric.name: one for metric in METRICS}


def no_case(at: Place, known: Mapping[Place, Case]) -> str:
    """Why a place is no case of this commit."""
    for name, value, there in zip(PARAMETERS, at, axes_of(known), strict=True):
        if value not in there:
            return f"this commit's zoo has no {name} {value!r}"
    return f"this commit's zoo has no such case: {', '.join(map(str, at))} is left out as it could not differ"


def replies(row: Row) -> Iterator[tuple[Metric, Answer]]:
    """What each metric answers to a measured row."""
    reason = f"{row['case']} is {row['status']}: {row['reason']}" if row["reason"] else ""
    for metric in METRICS:
        value: Any = nullable(metric.value, row)
        out = reason
        if value is not None and math.isnan(value):
            out = f"n/a: {reason or row['case'] + ' has no such number'}"
        elif value is not None and metric.samples is not None and (samples := metric.samples(row)):
            value = {"samples": samples, "number": 1}
        notes = row["notes"] if metric is METRICS[0] else []  # once is enough
        yield metric, Answer(value=value, out="\n".join([out, *notes]).strip())


def measured(the_zoo: zoo.Zoo, case: Case) -> Row:
    """One case, built and measured as `harness sweep` does it, with its samples."""
    cache = Cache(default_root())
    # asv starts a benchmark in a folder of its own; what a `torch` model names is looked for in the working folder.
    with contextlib.chdir(root()):
        built = pipeline.build(cache, by_model([case]), on_event=lambda _: None)[key(case)]
    unusable, floors = tried(case)
    ahead = Preview(zoo=the_zoo, plan=planning.Plan(cases=(case,)), settings=settings(the_zoo), missing=())
    checkout = provenance.checkout(the_zoo.path.parent, ignore=the_zoo.path.parent / "results")
    run = describe(ahead, checkout, floors)
    leave(DIMENSIONS_FILE, dimensions(run, case.target.runtime))
    bench = Bench(cache=cache, settings=ahead.settings, fingerprint=run.fingerprint, unusable=unusable, floor_s=floors)
    if isinstance(built, Artifact) and policy() == "pretrained" and built.weights.kind == "seeded":
        reason = f"{WEIGHTS}=pretrained, but {built.weights.reason or 'the zoo asks for seeded weights'}"
        built = Refusal(status=Status.UNSUPPORTED, reason=reason)
    return to_row(run, run_case(case, built, bench))


def settings(the_zoo: zoo.Zoo) -> Settings:
    """The zoo's own settings, unless the environment or `asv run --quick` says otherwise.

    Raises:
        UsageError: where the environment holds no number.
    """
    defaults = the_zoo.defaults
    if left(QUICK_FILE):
        return Settings(processes=1, time_per_case=QUICK_S, ci_width=defaults.ci_width)
    return Settings(
        processes=int(number(PROCESSES) or defaults.processes),
        time_per_case=number(TIME_PER_CASE) or defaults.time_per_case_s,
        ci_width=defaults.ci_width,
    )


def number(name: str) -> float | None:
    """A positive number from the environment, None where there is none.

    Raises:
        UsageError: where it is something else.
    """
    text = os.environ.get(name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"{name}={text}: expected a number above 0")
    return value


def tried(case: Case) -> tuple[dict[str, str], dict[str, float]]:
    """What `try_targets` says of a case's target: once per target for all cases that share a folder."""
    known: dict[str, Any] = left(TARGETS_FILE) or {}
    if case.target.name not in known:
        known[case.target.name] = try_targets([case])
        leave(TARGETS_FILE, known)
    unusable, floors = known[case.target.name]
    return unusable, floors
