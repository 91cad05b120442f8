"""What a benchmark's process does: one case, measured once by harness's own flow, and an answer of each metric."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness import bounds, zoo
from harness.asv.commit import Place, axes_of, cases, load, policy, root, zoo_path
from harness.asv.exchange import (
    DIMENSIONS_FILE,
    NONE_FILE,
    PROCESSES,
    QUICK_FILE,
    TARGETS_FILE,
    TIME_PER_CASE,
    WEIGHTS,
    WEIGHTS_FILE,
    leave,
    left,
)
from harness.bounds import Bound
from harness.build.cache import default_root
from harness.errors import HarnessError, UsageError
from harness.flow.execute import run_case
from harness.flow.preview import SweepSettings
from harness.flow.session import Session, TriedTargets, TryTargets, try_targets
from harness.records import Artifact, Case, Outcome, Refusal, Status
from harness.store.asv.benchmarks import BENCHMARKS, PARAMETERS, AsvBenchmark, nullable
from harness.store.asv.environments import dimensions, weights_label
from harness.store.rows import Row, to_row

QUICK_S: Final = 0.3
"""Seconds of inference per case under `asv run --quick`, in one process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one metric's process gives to asv.

    Attributes:
        value: a number, NaN for n/a, `{"samples": [...], "number": 1}`, or None where the case failed.
        out: what goes to stderr.
    """

    value: Any
    out: str = ""


def ask(metric: AsvBenchmark, at: Place, axes: Sequence[Sequence[str | int]]) -> Any:
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
    return {metric.name: one for metric in BENCHMARKS}


def no_case(at: Place, known: Mapping[Place, Case]) -> str:
    """Why a place is not a case of this commit."""
    for name, value, there in zip(PARAMETERS, at, axes_of(known), strict=True):
        if value not in there:
            return f"this commit's zoo has no {name} {value!r}"
    return f"this commit's zoo has no such case: {', '.join(map(str, at))} is left out as it could not differ"


def replies(row: Row) -> Iterator[tuple[AsvBenchmark, Answer]]:
    """What each metric answers to a measured row."""
    reason = f"{row['case']} is {row['status']}: {row['reason']}" if row["reason"] else ""
    for metric in BENCHMARKS:
        value: Any = nullable(metric.value, row)
        out = reason
        if value is not None and math.isnan(value):
            out = f"n/a: {reason or row['case'] + ' has no such number'}"
        elif value is not None and metric.samples is not None and (samples := metric.samples(row)):
            value = {"samples": samples, "number": 1}
        notes = row["notes"] if metric is BENCHMARKS[0] else []  # once is enough
        yield metric, Answer(value=value, out="\n".join([out, *notes]).strip())


def measured(the_zoo: zoo.Zoo, case: Case) -> Row:
    """One case, built and measured as `harness sweep` does it, with its samples."""
    session = Session(
        zoo=the_zoo,
        cases=(case,),
        settings=settings(the_zoo),
        cache=default_root(),
        results=the_zoo.path.parent / "results",
        attempt=tried,
    )
    # asv starts a benchmark in a folder of its own; what a `torch` model names is looked for in the working folder.
    with contextlib.chdir(root()):
        session.build()
    job = session.job(case)
    # Before anything is timed: also a process that asv ends at its time limit belongs to a series.
    nothing = Outcome(case=case, status=Status.FAILED, reason="", started_at="", runtime=job.runtime)
    leave(DIMENSIONS_FILE, dimensions(to_row(session.run, nothing)))
    built = job.built
    if isinstance(built, Artifact):
        label = weights_label(case.model.name, built.weights.kind, built.weights.digest)
        leave(WEIGHTS_FILE, {**(left(WEIGHTS_FILE) or {}), case.model.name: label})
    if isinstance(built, Artifact) and policy() == "pretrained" and built.weights.kind == "seeded":
        reason = f"{WEIGHTS}=pretrained, but {built.weights.reason or 'the zoo asks for seeded weights'}"
        job = dataclasses.replace(job, built=Refusal(status=Status.UNSUPPORTED, reason=reason))
    return to_row(session.run, run_case(job))


def settings(the_zoo: zoo.Zoo) -> SweepSettings:
    """The zoo's own settings, unless the environment or `asv run --quick` says otherwise.

    Raises:
        UsageError: where the environment holds no number.
    """
    defaults = the_zoo.defaults
    if left(QUICK_FILE):
        return SweepSettings(processes=1, time_per_case=QUICK_S, ci_width=defaults.ci_width)
    return SweepSettings(
        processes=int(number(PROCESSES, bounds.PROCESSES) or defaults.processes),
        time_per_case=number(TIME_PER_CASE, bounds.TIME_PER_CASE) or defaults.time_per_case_s,
        ci_width=defaults.ci_width,
    )


def number(name: str, bound: Bound) -> float | None:
    """A number of a range from the environment, None where there is none.

    Raises:
        UsageError: where it is something else.
    """
    text = os.environ.get(name)
    if not text:
        return None
    value = bound.parse(text)
    if math.isnan(value):
        raise UsageError(f"{name}={text[: bounds.LONGEST]}: expected {bound}")
    return value


def tried(cases: Sequence[Case], cache: Path, *, attempt: TryTargets = try_targets) -> TriedTargets:
    """What an attempt says of one case's target: once per target for all processes that share a folder."""
    (name,) = {case.target.name for case in cases}
    known: dict[str, Any] = left(TARGETS_FILE) or {}
    if name not in known:
        known[name] = attempt(cases, cache).to_json()
        leave(TARGETS_FILE, known)
    return TriedTargets.from_json(known[name])
