"""The whole gate: sides -> cases of both -> what cannot be compared -> outputs and structure -> pairs -> verdicts.

Read `gate` from top to bottom; how a verdict comes about is in `judge`. Nothing here prints: what a person sees goes
through a `GateWatcher`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.build.cache import Cache
from harness.build.pipeline import BuildEvent
from harness.errors import BuildError, UsageError
from harness.flow.execute import workload
from harness.flow.plan import Selection
from harness.gate import judge, trial
from harness.gate.checks import quality, signature, structure
from harness.gate.checks.quality import Quality
from harness.gate.checks.signature import Signature
from harness.gate.model import (
    CaseVerdict,
    Contender,
    Finding,
    GateSettings,
    Match,
    MeasuringHost,
    Report,
    Side,
    Verdict,
)
from harness.gate.sides import build, matching
from harness.gate.sides import resolve as sides
from harness.gate.timing import findings, lock, phases, rounds
from harness.gate.timing.rounds import CTRL_C, TIME_LIMIT, Measured
from harness.gate.trusted import added_acceptances, with_budgets_of_base
from harness.init.bare import Refinements
from harness.measure import coordinator, host
from harness.measure.coordinator import ClientFactory, Observed
from harness.measure.pairs import PairSpec, measure_pair
from harness.processes import OutOfTime, ending_at
from harness.records import Artifact, HostInfo
from harness.runtimes.client import Client
from harness.store import files

GRACE_S = 30.0
"""How much longer than the time limit building and comparing outputs may take: much of a verdict needs no pair."""

LEAST_S = 5.0
"""What pairs get at least, where building took the time; never more than the limit itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRequest:
    """What a person asked for.

    Attributes:
        base, head, base_runtime, head_runtime, base_python, head_python: as `sides.resolve` takes them.
        results: where the pairs' numbers are kept.
        budgets_of_head: judge by the budgets of head's zoo where base's has others.
        refine: what is said of sides that are files, which have no zoo.
        outputs: files that the report will be written to: like the results, no change of the tree.
    """

    zoo: Path
    results: Path
    cache: Path
    base: str | None = None
    head: str | None = None
    base_runtime: str | None = None
    head_runtime: str | None = None
    base_python: str | None = None
    head_python: str | None = None
    budgets_of_head: bool = False
    selection: Selection = field(default_factory=Selection)
    refine: Refinements = field(default_factory=Refinements)
    outputs: tuple[Path, ...] = ()
    settings: GateSettings = field(default_factory=GateSettings)


class GateWatcher(rounds.RoundsWatcher, Protocol):
    """Somebody who looks on: a console, a test, nobody."""

    def say(self, text: str) -> None:
        """Something that takes a while, in words."""

    def sides(self, base: Side, head: Side) -> None:
        """Both sides are known."""

    def building(self, event: BuildEvent) -> None:
        """A build step of a side started or ended."""

    def matched(self, matches: Sequence[Match], to_measure: Sequence[str], settings: GateSettings) -> None:
        """Both sides are built, and it is known what there is to measure."""

    def evaluating(self, case: str) -> None:
        """Outputs of a case are about to be compared."""


class PairPlaces(Protocol):
    """Where pairs are measured, if not on this host."""

    def spread(self, match: Match) -> tuple[Match, ...]:
        """A match as each class of hosts measures it; names tell them apart."""

    def measure(
        self, matches: Mapping[str, Match], settings: GateSettings, choose: rounds.Chooser, watch: rounds.RoundsWatcher
    ) -> Measured:
        """Screen and confirm matches that `spread` gave, by name."""

    def hosts(self, done: Measured) -> tuple[MeasuringHost, ...]:
        """Who measured what was measured."""

    def host(self) -> HostInfo | None:
        """What stands for them all; None where they are not alike."""

    def disagreement(self, cases: Sequence[CaseVerdict]) -> tuple[str, ...]:
        """Notes on matches that differ between classes of hosts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSteps:
    """What a gate has done for it; a fleet or a test may have it done in another way."""

    resolve: Callable[..., tuple[Side, Side]] = sides.resolve
    build: Callable[..., tuple[tuple[Contender, ...], tuple[str, ...]]] = build.contenders
    match: Callable[[Sequence[Contender], Sequence[Contender]], tuple[Match, ...]] = matching.match
    read_signatures: Callable[[Sequence[Path]], Mapping[Path, Signature]] = signature.read
    compare_outputs: Callable[[Match, GateSettings], Quality] = quality.compare
    measure_pair: rounds.MeasurePair = measure_pair
    refuses: trial.Refuses = field(default_factory=lambda: refuses)
    places: PairPlaces | None = None


def gate(request: GateRequest, watch: GateWatcher, *, steps: GateSteps | None = None) -> Report:
    """Compare two sides.

    Ctrl-C while outputs are compared or pairs are measured gives the verdicts that can be given by then.

    Args:
        request: what a person asked for.
        watch: hears of everything as it happens.
        steps: what does the work; the real ones where none are given.

    Raises:
        UsageError: if a side, the zoo or the selection is wrong.
        StoreError: if the results folder or the cache cannot be written.
        KeyboardInterrupt: if it comes before there is anything to judge.
        OutOfTime: if the time limit is over before the sides are known.
    """
    steps = steps or GateSteps(compare_outputs=functools.partial(quality.compare, results=request.results))
    started_at, started = coordinator.utc_now(), time.monotonic()
    files.probe(request.results)
    settings = request.settings

    # The two sides, their cases and artifacts.
    end = None if settings.time_limit_s is None else started + settings.time_limit_s + GRACE_S
    with ending_at(end):
        base, head = resolved(request, watch, steps)
        watch.sides(base, head)
        built: list[tuple[tuple[Contender, ...], tuple[str, ...]]] = []
        try:
            built += [steps.build(base, request.selection, request.cache, on_event=watch.building)]
            built += [steps.build(head, request.selection, request.cache, on_event=watch.building)]
        except OutOfTime:
            return unbuilt(base, head, built, request, started_at, time.monotonic() - started)
    (of_base, base_notes), (of_head, head_notes) = built
    matches = with_budgets_of_base(steps.match(of_base, of_head), of_head=request.budgets_of_head)

    # What needs no measuring: one side lacks it, did not build it, or it cannot be compared.
    by_role = {"base": base, "head": head}
    verdicts = {m.name: found for m in matches if (found := judge.without_measuring(m, by_role)) is not None}
    comparable = [m for m in matches if m.name not in verdicts]
    same = [m for m in comparable if m.same and not settings.remeasure_same]
    with ending_at(end):
        verdicts |= trial.neither(same, steps.refuses, watch.say)
    matches = spread(matches, settings, steps.places, verdicts)
    comparable = [m for m in matches if m.name not in verdicts]
    specs = {m.name: pair_spec(m, settings) for m in comparable if not m.same or settings.remeasure_same}
    watch.matched(
        [dataclasses.replace(m, same="") if m.name in verdicts else m for m in matches], list(specs), settings
    )

    # What their files say and compute, then how long they take.
    qualities = {m.name: Quality() for m in comparable}
    signatures: Mapping[Path, Signature] = {}
    unread: tuple[str, ...] = ()
    try:
        with ending_at(end):
            signatures, unread = read(comparable, steps)
            evaluate([m for m in comparable if not m.same], settings, watch, steps, qualities)
        sound = {name: one for name, one in specs.items() if qualities[name].broken is None}
        here = sound and steps.places is None
        with lock.alone(request.cache, watch.say, end=end) if here else contextlib.nullcontext():
            limit = to_measure_s(settings.time_limit_s, time.monotonic() - started)  # a wait for others counts
            done = measured(sound, matches, dataclasses.replace(settings, time_limit_s=limit), watch, steps)
    except OutOfTime:
        done = Measured(pairs={name: [] for name in specs}, interrupted=TIME_LIMIT)
    except KeyboardInterrupt:
        done = Measured(pairs={name: [] for name in specs}, interrupted=CTRL_C)

    # The verdicts, each from all that was found of its match.
    family = phases.confirmed(done, settings)
    for m in comparable:
        exact = structural(m, signatures, qualities[m.name], settings)
        verdicts[m.name] = judge.judged(m, done, family, settings, exact=exact, quality=qualities[m.name])
    cases = tuple(verdicts[m.name] for m in matches)
    apart = steps.places.disagreement(cases) if steps.places is not None else ()
    notes = (*apart, *base.notes, *head.notes, *base_notes, *head_notes, *unread, *added_acceptances(base, head))
    where = (steps.places.host() if steps.places is not None else None) or host.here()
    return Report(
        base=base,
        head=head,
        cases=cases,
        settings=settings,
        fingerprint=where.fingerprint,
        host=where.facts,
        started_at=started_at,
        wall_s=time.monotonic() - started,
        interrupted=done.interrupted,
        spread=findings.spread(done),
        notes=tuple(dict.fromkeys(notes)),
        hosts=steps.places.hosts(done) if steps.places is not None else (),
    )


def spread(
    matches: Sequence[Match], settings: GateSettings, places: PairPlaces | None, verdicts: Mapping[str, CaseVerdict]
) -> tuple[Match, ...]:
    """All matches; with a fleet, those that are to be measured as each class of its hosts measures them."""
    if places is None:
        return tuple(matches)
    found: list[Match] = []
    for one in matches:
        measured = one.name not in verdicts and (not one.same or settings.remeasure_same)
        found += places.spread(one) if measured else (one,)
    return tuple(found)


def measured(
    sound: Mapping[str, PairSpec], matches: Sequence[Match], timed: GateSettings, watch: GateWatcher, steps: GateSteps
) -> Measured:
    """The pairs of everything whose outputs can be compared, here or on the hosts of a fleet."""
    choose = phases.chooser(timed)
    if steps.places is None:
        return rounds.measure(sound, timed, choose, watch, pair=steps.measure_pair)
    return steps.places.measure({m.name: m for m in matches if m.name in sound}, timed, choose, watch)


def to_measure_s(limit_s: float | None, spent_s: float) -> float | None:
    """What is left of the time limit for pairs, and a little where nothing is; None where there is no limit."""
    return None if limit_s is None else max(limit_s - spent_s, min(limit_s, LEAST_S))


def unbuilt(
    base: Side,
    head: Side,
    built: Sequence[tuple[tuple[Contender, ...], tuple[str, ...]]],
    request: GateRequest,
    started_at: str,
    wall_s: float,
) -> Report:
    """The report where the time limit was over before both sides were built: no case was measured.

    Args:
        base: the side that is built first.
        head: the side that is built after it.
        built: what was built of them.
        request: what a person asked for.
        started_at: when the gate began.
        wall_s: seconds since then.
    """
    side = (base, head)[len(built)]
    why = f"the time limit was over while {side.role} was built"
    names = dict.fromkeys(one.case.id for cases, _ in built for one in cases)
    facts = host.facts()
    return Report(
        base=base,
        head=head,
        cases=tuple(CaseVerdict(name=name, verdict=Verdict.INCONCLUSIVE, reason=why) for name in names),
        settings=request.settings,
        fingerprint=host.fingerprint(facts),
        host=facts,
        started_at=started_at,
        wall_s=wall_s,
        interrupted=TIME_LIMIT,
        notes=tuple(dict.fromkeys((why, *base.notes, *head.notes))),
    )


def resolved(request: GateRequest, watch: GateWatcher, steps: GateSteps) -> tuple[Side, Side]:
    """The two sides.

    Raises:
        UsageError: if one of them is wrong, or cases are chosen where both sides name theirs.
    """
    base, head = steps.resolve(
        base=request.base,
        head=request.head,
        base_runtime=request.base_runtime,
        head_runtime=request.head_runtime,
        base_python=request.base_python,
        head_python=request.head_python,
        zoo=request.zoo,
        cache=request.cache,
        own=(request.results, *request.outputs),
        refine=request.refine,
        say=watch.say,
    )
    if base.kind == "case" and request.selection != Selection():
        raise UsageError(
            f"{base.asked} against {head.asked} names both cases: omit --models, --variants, --targets, --threads and "
            f"--batch"
        )
    return base, head


def pair_spec(match: Match, settings: GateSettings) -> PairSpec:
    """What is paired for a match whose two sides have artifacts: with the inputs that the head's zoo asks for.

    A side that repeats one input is faster than one that rotates, whatever changed.
    """
    found = judge.both(match)
    mode = found["head"].case.model.timed_inputs
    cases = {
        role: dataclasses.replace(one.case, model=dataclasses.replace(one.case.model, timed_inputs=mode))
        for role, one in found.items()
    }
    return PairSpec(
        workloads={role: workload(cases[role], artifact(one), Cache(one.cache)) for role, one in found.items()},
        clients={role: starter(one) for role, one in found.items()},
        bursts=settings.bursts,
        burst_s=settings.burst_s,
    )


def starter(contender: Contender) -> ClientFactory:
    """Starts a worker of this contender."""
    return lambda: Client(contender.worker, within=contender.case.target.limits)


def refuses(match: Match) -> str | None:
    """Why the head of a match cannot open its artifact and run it once; None where it can."""
    head = match.head
    assert head is not None  # noqa: S101  (the same on both sides)
    spec = PairSpec(
        workloads={"head": workload(head.case, artifact(head), Cache(head.cache))},
        clients={"head": starter(head)},
    )
    return rounds.refusal(spec, "head")


def artifact(contender: Contender) -> Artifact:
    """The artifact of a contender that has one."""
    assert isinstance(contender.built, Artifact)  # noqa: S101  (`judge.without_measuring` has taken out the others)
    return contender.built


def path(contender: Contender) -> Path:
    """Its model file."""
    return Cache(contender.cache).artifact_path(artifact(contender).digest)


def read(matches: Sequence[Match], steps: GateSteps) -> tuple[Mapping[Path, Signature], tuple[str, ...]]:
    """Opsets and signatures of every artifact that may have changed, and a note where they could not be read."""
    paths = [path(one) for m in matches if not m.same for one in judge.both(m).values()]
    try:
        return steps.read_signatures(paths), ()
    except BuildError as error:
        return {}, (f"opsets and signatures were not compared: {error}",)


def evaluate(
    matches: Sequence[Match], settings: GateSettings, watch: GateWatcher, steps: GateSteps, found: dict[str, Quality]
) -> None:
    """Compare the outputs of every match; matches that differ in threads alone are compared once."""
    known: dict[tuple[object, ...], Quality] = {}
    for m in matches:
        key = tuple(quality.key(one) for one in judge.both(m).values())
        if key not in known:
            watch.evaluating(m.name)
            known[key] = steps.compare_outputs(m, settings)
        found[m.name] = known[key]


def structural(
    match: Match, signatures: Mapping[Path, Signature], found: Quality, settings: GateSettings
) -> tuple[Finding, ...]:
    """Findings that need no statistics: size, nodes, placement, fusions, quantization, signature and opset."""
    whole = {
        role: with_kernels(signatures.get(path(one), Signature()), found.observed.get(role))
        for role, one in judge.both(match).items()
    }
    return structure.check(match, whole["base"], whole["head"], margin=settings.max_size)


def with_kernels(known: Signature, observed: Observed | None) -> Signature:
    """What the file says and what its session ran."""
    if observed is None:
        return known
    return Signature(
        opsets=known.opsets,
        inputs=known.inputs,
        outputs=known.outputs,
        placement=observed.placement,
        kernels=observed.kernels,
    )
