"""Whether head computes as well as base: both artifacts on the same evaluation data, compared example by example.

Outputs are deterministic as far as a verdict goes: where nothing changed, no example differs, so that these checks add
nothing to the gate's chance of a false alarm.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import scratch, tasks
from harness.build.cache import Cache
from harness.errors import WorkerError, WorkerRefusal
from harness.flow.execute import UNSUPPORTED_KINDS, evaluation_target, workload
from harness.gate.checks import fidelity as fidelity_check
from harness.gate.checks import stored
from harness.gate.checks.fidelity import fidelity
from harness.gate.model import Contender, Finding, GateSettings, Match, Verdict
from harness.gate.sides.matching import changed_file, retrained
from harness.gate.text import scores
from harness.gate.timing.rounds import Broken
from harness.leaves import copied
from harness.measure import coordinator
from harness.measure.coordinator import Observed
from harness.records import Artifact, Budget
from harness.runtimes.client import Client
from harness.stats import correctness
from harness.stats.rule import Margin
from harness.store.examples import JudgedScores
from harness.tasks import evaluation
from harness.tasks import fidelity as closeness
from harness.tasks.base import Evaluated, Paired
from harness.tasks.fidelity import ComparedPart


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedOutputs:
    """What one contender computes on its evaluation data.

    Attributes:
        given: its outputs (in memory), the fp32 framework's, and the labels where there are any.
        observed: the kernels it ran.
    """

    given: Evaluated
    observed: Observed


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What comparing the outputs of one match gave.

    Attributes:
        observed: role -> kernels, where the side ran.
        broken: why a side has no outputs, or none that can be compared.
    """

    findings: tuple[Finding, ...] = ()
    observed: Mapping[str, Observed] = dataclasses.field(default_factory=dict)
    broken: Broken | None = None


Computed = Callable[[Contender], EvaluatedOutputs]


def computed(contender: Contender) -> EvaluatedOutputs:
    """Run every evaluation example once, on the side's own runtime.

    Raises:
        WorkerError: as `coordinator.observe`.
        ValueError, OSError: if the cache holds no such reference.
    """
    artifact = contender.built
    assert isinstance(artifact, Artifact)  # noqa: S101  (matches without artifacts are not compared)
    cache = Cache(contender.cache)
    case = dataclasses.replace(contender.case, target=evaluation_target(contender.case, artifact))
    folder = cache.reference_dir(artifact.reference.digest)
    with scratch.folder("outputs") as outputs:
        observed = coordinator.observe(
            workload(case, artifact, cache),
            examples=artifact.reference.examples,
            folder=Path(outputs),
            client=lambda: Client(contender.worker, within=contender.case.target.limits),
        )
        given = evaluation.stored(
            artifact.reference, folder, observed.outputs, Path(outputs), contender.case.model.outputs
        )
        held = {name: [copied(value) for value in values] for name, values in given.outputs.items()}
    return EvaluatedOutputs(given=dataclasses.replace(given, outputs=held), observed=observed)


def key(contender: Contender) -> tuple[Any, ...]:
    """What decides the outputs: neither threads nor batch."""
    target, artifact = contender.case.target, contender.built
    return (
        artifact.digest if isinstance(artifact, Artifact) else None,
        artifact.reference.digest if isinstance(artifact, Artifact) else None,
        contender.worker,
        target.provider,
        tuple(sorted(target.provider_options.items())),
        tuple(sorted(target.session_config.items())),
        contender.case.recipe.optimization,
    )


def compare(match: Match, settings: GateSettings, run: Computed = computed, results: Path | None = None) -> Quality:
    """Compare the outputs of a match, both of whose sides have an artifact. Never raises for what a side does.

    Args:
        match: of two sides.
        settings: how the gate decides.
        run: computes a side's outputs.
        results: where results per example may be stored, so that a side need not be run.
    """
    if match.base is None or match.head is None:
        return Quality()
    found: dict[str, EvaluatedOutputs] = {}
    errors: dict[str, Exception] = {}
    if results is not None:
        known, found, errors = partly_stored(match, settings, run, results)
        if known is not None:
            return known
    for role, contender in (("base", match.base), ("head", match.head)):
        if role in found or role in errors:
            continue
        try:
            found[role] = run(contender)
        except (WorkerError, ValueError, OSError) as error:
            errors[role] = error
    observed = {role: outputs.observed for role, outputs in found.items()}
    if errors:
        return Quality(broken=because(errors), observed=observed)
    ours, theirs = match.base.built, match.head.built
    apart: tuple[Finding, ...] = ()
    if isinstance(ours, Artifact) and isinstance(theirs, Artifact) and changed_file(ours, theirs):
        # Each file is its own reference: that head is true to itself says nothing of the change.
        given, apart = comparable(against(found["head"].given, found["base"].given))
        found["head"] = dataclasses.replace(found["head"], given=given)
    else:
        given = found["base"].given
        found["base"] = dataclasses.replace(found["base"], given=under_names_of(given, found["head"].given))
    sides = found["base"].given, found["head"].given
    try:
        head = match.head.side
        task = tasks.find(match.head.case.model.task, (*head.path, str(head.zoo.parent)))
        paired = task.paired(*sides) if task is not None else None
        findings = (
            *([accuracy(match.head, paired, settings)] if paired is not None else []),
            # Each side is close to weights of its own: how close says nothing of the other.
            *([] if retrained(match) else fidelity(match.head, *sides, settings, judged_by_labels=paired is not None)),
            *apart,
        )
    except ValueError as error:
        return Quality(broken=Broken(reason=str(error)), observed=observed)
    return Quality(findings=findings, observed=observed)


def partly_stored(
    match: Match, settings: GateSettings, run: Computed, results: Path
) -> tuple[Quality | None, dict[str, EvaluatedOutputs], dict[str, Exception]]:
    """The comparison where a side's results per example are stored; None, and what was run for it, where it is not."""
    sides = sides_of(match)
    kept = {role: one for role, side in sides.items() if (one := stored.of(side, results)) is not None}
    ran: dict[str, EvaluatedOutputs] = {}
    errors: dict[str, Exception] = {}
    for role in sides.keys() - kept.keys() if kept else ():
        try:
            ran[role] = run(sides[role])
        except (WorkerError, ValueError, OSError) as error:
            errors[role] = error
    found = from_stored(match, settings, kept, ran) if kept and not errors else None
    return found, ran, errors


def sides_of(match: Match) -> dict[str, Contender]:
    """Role -> contender where stored results may stand for outputs: each file being its own reference, they may not."""
    if match.base is None or match.head is None:
        return {}
    ours, theirs = match.base.built, match.head.built
    if not isinstance(ours, Artifact) or not isinstance(theirs, Artifact) or changed_file(ours, theirs):
        return {}
    return {"base": match.base, "head": match.head}


def from_stored(
    match: Match,
    settings: GateSettings,
    kept: Mapping[str, JudgedScores],
    ran: Mapping[str, EvaluatedOutputs],
) -> Quality | None:
    """The comparison of what is stored of one side or both with what was run; None where outputs have to be compared.

    Only labels can be judged so, and fidelity beside them: closeness of single examples is not stored.
    """
    sides = sides_of(match)
    try:
        scores = {**kept, **{role: judged_scores(sides[role], one) for role, one in ran.items()}}
    except ValueError:  # outputs that the task cannot read: comparing them says it
        return None
    base, head = scores["base"], scores["head"]
    if base is None or head is None or (paired := stored.pair(base.paired, head.paired)) is None:
        return None
    was, now = (fidelity_check.by_label(ComparedPart(part=one) for one in side.parts) for side in (base, head))
    if was.keys() != now.keys():  # an output was renamed, or has other parts
        return None
    examples = max((one.n for one in base.parts), default=0)
    closer = fidelity_check.judged(sides["head"], was, now, settings, examples=examples, judged_by_labels=True)
    findings = (accuracy(sides["head"], paired, settings), *([] if retrained(match) else closer))
    observed = {role: stored.observed(one, sides[role]) for role, one in (("base", base), ("head", head))}
    return Quality(findings=stored.said(findings, kept), observed=observed)


def judged_scores(contender: Contender, found: EvaluatedOutputs) -> JudgedScores | None:
    """What is stored of a side, of one that was run; None without labels.

    Raises:
        ValueError: its outputs are not what the task is about.
    """
    task = tasks.find(contender.case.model.task)
    paired = evaluation.paired(found.given, task) if task is not None else None
    if paired is None:
        return None
    given, seen = found.given, found.observed
    parts = closeness.parts(given.reference, given.outputs, given.random)
    return JudgedScores(paired=paired, parts=parts, kernels=seen.kernels, placement=seen.placement)


def against(head: Evaluated, base: Evaluated) -> Evaluated:
    """The head's outputs with the base's for a reference; outputs that are called something else meet by position."""
    if len(base.reference) != len(head.outputs):
        return dataclasses.replace(head, reference=base.reference, random=base.random)
    names = [name if name in head.outputs else None for name in base.reference]
    rest = iter([name for name in head.outputs if name not in base.reference])
    met = [name if name is not None else next(rest) for name in names]
    random = tuple(now for now, name in zip(met, base.reference, strict=True) if name in base.random)
    return dataclasses.replace(head, reference=dict(zip(met, base.reference.values(), strict=True)), random=random)


def under_names_of(base: Evaluated, head: Evaluated) -> Evaluated:
    """The base's outputs under the head's names: one that was renamed is the same output, which may have got worse.

    They meet by position, where both have as many; else those of the same name do.
    """
    if base.outputs.keys() == head.outputs.keys() or len(base.outputs) != len(head.outputs):
        return base
    fresh = iter([name for name in head.outputs if name not in base.outputs])
    names = {name: name if name in head.outputs else next(fresh) for name in base.outputs}
    return dataclasses.replace(
        base,
        outputs={names[name]: values for name, values in base.outputs.items()},
        reference={names.get(name, name): values for name, values in base.reference.items()},
        roles={role: names.get(name, name) for role, name in base.roles.items()},
        random=tuple(names.get(name, name) for name in base.random),
    )


def comparable(head: Evaluated) -> tuple[Evaluated, tuple[Finding, ...]]:
    """The head's outputs that can be set against the base's, and a finding of those that cannot.

    An output of another shape is a change on purpose or a mistake, and the run is sound: everything else is compared.
    """
    apart: dict[str, str] = {}
    for name in head.reference:
        if name not in head.outputs:
            apart[name] = f"head has no output `{name}`"
            continue
        try:
            closeness.compared({name: head.reference[name]}, {name: head.outputs[name]}, head.random)
        except ValueError as error:
            apart[name] = str(error).replace("the reference", "base")
    if not apart:
        return head, ()
    rest = {name: values for name, values in head.outputs.items() if name not in apart}
    reference = {name: values for name, values in head.reference.items() if name not in apart}
    sentence = f"fidelity cannot be compared where outputs changed: {'; '.join(apart.values())}"
    found = Finding(metric="fidelity", verdict=Verdict.INCONCLUSIVE, sentence=sentence, n=head.examples, unit="dB")
    return dataclasses.replace(head, outputs=rest, reference=reference), (found,)


def because(errors: Mapping[str, Exception]) -> Broken:
    """Why sides have no outputs; unsupported where all that they say is that nothing here can run it."""
    refusals = [e for e in errors.values() if isinstance(e, WorkerRefusal) and e.kind in UNSUPPORTED_KINDS]
    return Broken(
        reason="; ".join(f"{role}: {error}" for role, error in errors.items()),
        unsupported=tuple(errors) if len(refusals) == len(errors) else (),
    )


def accuracy(contender: Contender, paired: Paired, settings: GateSettings) -> Finding:
    """The task's metric on labelled data, example by example.

    A drop within the margin passes on these data, also where its interval reaches beyond: to exclude a drop of one
    point takes hundreds of examples even where no answer changed, so that small data sets would never pass. The
    sentence then has the interval. Beyond the margin, the verdict is regression where the interval excludes that the
    true drop is within it, else inconclusive: the data are too few to say.
    """
    sign = 1.0 if paired.direction == "higher" else -1.0
    counts: correctness.McNemar | None = None
    if paired.right:
        was, now = [bool(one) for one in paired.base], [bool(one) for one in paired.head]
        counts, drop = correctness.mcnemar(was, now), correctness.right_drop(was, now)
    else:
        drop = correctness.bootstrap_drop(
            [sign * one for one in paired.base], [sign * one for one in paired.head], span=paired.span
        )
    allowed = accuracy_margin(contender.case.model.budget, paired, settings).allowed(drop.reference)
    if drop.value > allowed:
        verdict = Verdict.REGRESSION if drop.low > allowed or decisive(counts, allowed) else Verdict.INCONCLUSIVE
    else:
        verdict = Verdict.IMPROVEMENT if drop.high < 0 else Verdict.PASS
    base, head = sign * drop.reference + 0.0, sign * (drop.reference - drop.value) + 0.0  # no -0
    low, high = sorted((0.0 - sign * drop.high, 0.0 - sign * drop.low))
    beyond = drop.high > allowed
    p = counts.p_worse if counts is not None else None
    detectable = drop.detectable if verdict is Verdict.INCONCLUSIVE else None
    sentence = (
        scores.accuracy(
            paired.metric,
            base,
            head,
            drop.n,
            newly_wrong=counts.lost if counts is not None else None,
            newly_right=counts.gained if counts is not None else None,
            low=low if beyond else None,
            high=high if beyond else None,
            p=p if drop.value > 0 else None,
            allowed=allowed,
            detectable=detectable,
        )
        if paired.unit == "fraction"
        else scores.metric(
            paired.metric,
            paired.unit,
            base,
            head,
            drop.n,
            interval=(low, high) if beyond else None,
            allowed=allowed,
            detectable=detectable,
        )
    )
    return Finding(
        metric="accuracy" if paired.direction == "higher" else paired.metric,
        verdict=verdict,
        sentence=sentence,
        base=base,
        head=head,
        n=drop.n,
        p=p,
        detectable=drop.detectable if math.isfinite(drop.detectable) else None,
        unit=paired.unit,
    )


def accuracy_margin(budget: Budget, paired: Paired, settings: GateSettings) -> Margin:
    """How much of a task's metric may be lost: what the model's budget says, else what the gate's settings do.

    The budget's and the settings' points are shares of one. A metric in any other unit has no points: there, both are
    shares of the base's own value.
    """
    own = budget.metrics.get(paired.metric)
    if own is not None and (own.drop is not None or own.share is not None):
        return Margin(points=own.drop, share=own.share)
    points, share = budget.accuracy_drop, budget.accuracy_share
    if points is None and share is None:
        points = settings.max_accuracy_drop
    if paired.unit == "fraction" or points is None:
        return Margin(points=points, share=share)
    return Margin(share=max(1 - points, share or 0.0))


def decisive(counts: correctness.McNemar | None, allowed: float) -> bool:
    """Whether McNemar's exact test alone decides: it asks whether anything was lost, so only without a margin."""
    return counts is not None and not allowed and counts.p_worse <= (1 - correctness.CONFIDENCE) / 2
