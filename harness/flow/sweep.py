"""The whole program: zoo -> plan -> build -> measure and evaluate -> store.

Read `sweep` from top to bottom; every line is a room of its own. Nothing here prints: what a person sees goes
through a `SweepWatcher`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from harness import provenance
from harness.build import pipeline
from harness.build.cache import Cache
from harness.errors import WorkerError, WorkerRefusal
from harness.flow import plan as planning
from harness.flow.execute import UNSUPPORTED_KINDS, Bench, run_case
from harness.flow.preview import Preview, SweepRequest, preview
from harness.measure import coordinator, host
from harness.records import Artifact, Built, Case, ModelSpec, Outcome, Recipe, Run, Target
from harness.store.asv import results as asv
from harness.store.files import probe
from harness.store.journal import Journal

Row = Mapping[str, Any]
Executor = Callable[[Callable[[Case], Outcome], Iterable[Case]], Iterator[Outcome]]
"""Runs every case through a function and yields outcomes as they finish. `map` does it one after the other on this
host; a fleet would take its place."""


class SweepWatcher(Protocol):
    """Somebody who looks on: a console, a test, nobody."""

    def planned(self, preview: Preview) -> None:
        """The plan is known and nothing has happened yet."""

    def building(self, event: pipeline.BuildEvent) -> None:
        """A build step started or ended."""

    def measuring(self, todo: Sequence[Case], kept: Sequence[Row], problems: Sequence[str]) -> None:
        """Builds are done; `kept` comes from the interrupted sweep that is resumed, `problems` could not be kept."""

    def started(self, case: Case) -> None:
        """A case is about to be measured."""

    def tick(self) -> None:
        """Some time has passed, and no worker is timing at this moment."""

    def finished(self, row: Row) -> None:
        """A case is done and stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep leaves behind.

    Attributes:
        rows: every case of the plan, in its order, with the keys of `harness results --format json`.
        samples: the run's Parquet file.
        asv_files: what was written for asv; empty where `why_no_asv` says why.
    """

    run: Run
    rows: tuple[Row, ...]
    samples: Path
    asv_files: tuple[Path, ...]
    why_no_asv: str


def sweep(request: SweepRequest, watch: SweepWatcher, *, executor: Executor = map) -> Swept:
    """Build, measure and store every case that was asked for.

    Raises:
        UsageError: if the zoo or the selection is wrong.
        StoreError: if results or cache cannot be written; what was stored before stays.
        KeyboardInterrupt: passed on; everything finished is stored, and the same request resumes.
    """
    ahead = preview(request)
    cases = ahead.plan.cases
    watch.planned(ahead)
    probe(request.results)
    cache = Cache(request.cache)
    checkout = provenance.checkout(ahead.zoo.path.parent, ignore=request.results)

    built = pipeline.build(cache, by_model(cases), on_event=watch.building)
    unusable, floors = try_targets(cases)
    run = describe(ahead, checkout, floors)
    asv.check(request.results, run)
    with Journal.open(request.results, run, resume=request.resume) as journal:
        kept: dict[str, Row] = {}
        for case in cases:
            row = journal.rows.get(case.id)
            if row is not None and still_valid(row, built[key(case)]):
                kept[case.id] = row
        todo = [case for case in cases if case.id not in kept]
        watch.measuring(todo, list(kept.values()), journal.problems)
        bench = Bench(
            cache=cache,
            settings=ahead.settings,
            fingerprint=run.fingerprint,
            unusable=unusable,
            floor_s=floors,
            on_burst=watch.tick,
        )

        def measure(case: Case) -> Outcome:
            watch.started(case)
            return run_case(case, built[key(case)], bench)

        for outcome in executor(measure, todo):
            kept[outcome.case.id] = journal.append(outcome)
            watch.finished(kept[outcome.case.id])
        why_not = checkout.why_not_clean
        # Before the run is finished: a damaged asv file then leaves it open, and nothing is measured again.
        asv_files = () if why_not else asv.write(request.results, journal.run, journal.read())
        samples = journal.finish()

    rows = tuple(kept[case.id] for case in cases)
    return Swept(run=journal.run, rows=rows, samples=samples, asv_files=asv_files, why_no_asv=why_not)


def key(case: Case) -> tuple[str, str]:
    """What an artifact is built for: model and variant."""
    return case.model.name, case.recipe.name


def by_model(cases: Sequence[Case]) -> list[tuple[ModelSpec, list[Recipe]]]:
    """The recipes to build for each model, each once."""
    wanted: dict[str, tuple[ModelSpec, dict[str, Recipe]]] = {}
    for case in cases:
        wanted.setdefault(case.model.name, (case.model, {}))[1][case.recipe.name] = case.recipe
    return [(model, list(recipes.values())) for model, recipes in wanted.values()]


def try_targets(cases: Sequence[Case]) -> tuple[dict[str, str], dict[str, float]]:
    """Run a one-node model on every target's provider once.

    Returns:
        Target name -> why it cannot be used here, and target name -> its measurement floor in seconds.
    """
    unusable: dict[str, str] = {}
    floors: dict[str, float] = {}
    tried: dict[str, Target] = {}
    for case in cases:
        tried.setdefault(case.target.name, case.target)
    for name, target in tried.items():
        try:
            floors[name], _ = coordinator.floor(replace(target, intra_threads=1, batch=1))
        except WorkerRefusal as error:
            if error.kind in UNSUPPORTED_KINDS:
                unusable[name] = str(error)
        except WorkerError:
            # A worker that does not even run is not a missing provider: its cases shall fail, each with the reason.
            continue
    return unusable, floors


def describe(ahead: Preview, checkout: provenance.Checkout, floors: Mapping[str, float]) -> Run:
    """The run that is about to start: its host, commit, versions and settings."""
    facts = host.facts()
    settings = {
        "processes": ahead.settings.processes,
        "time_per_case": ahead.settings.time_per_case,
        "ci_width": ahead.settings.ci_width,
    }
    changes = hashlib.sha256(json.dumps(checkout.changed).encode()).hexdigest() if checkout.changed else None
    return Run(
        id=provenance.run_id(),
        plan=planning.plan_digest(ahead.zoo, ahead.plan.cases, {"settings": settings, "changes": changes}),
        started_at=coordinator.utc_now(),
        commit=checkout.commit,
        dirty=bool(checkout.changed),
        commit_time=checkout.commit_time,
        fingerprint=host.fingerprint(facts),
        host=facts,
        versions=provenance.versions(),
        settings=settings,
        floor_s=floors,
    )


def still_valid(row: Row, built: Built) -> bool:
    """Whether a row of an interrupted sweep may stand: it did not fail; artifact and reference are still the same."""
    if row["status"] == "failed":
        return False
    if isinstance(built, Artifact):
        same = (row.get("artifact") or {}).get("digest") == built.digest
        return bool(same and (row.get("reference") or {}).get("digest") == built.reference.digest)
    return bool(row["status"] == built.status)
