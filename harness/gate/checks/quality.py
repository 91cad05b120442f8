"""Whether head computes as well as base: both artifacts on the same evaluation data, compared example by example.

Outputs are deterministic as far as a verdict goes: where nothing changed, no example differs, so that these checks add
nothing to the gate's chance of a false alarm.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.build.cache import Cache
from harness.errors import WorkerError, WorkerRefusal
from harness.flow.execute import UNSUPPORTED_KINDS, batch_is_free, workload
from harness.gate.model import Contender, Finding, GateSettings, Match, Verdict
from harness.gate.sides.matching import changed_file
from harness.gate.text import scores
from harness.gate.timing.rounds import Broken
from harness.measure import coordinator
from harness.measure.coordinator import Observed
from harness.records import Artifact
from harness.runtimes.client import Client
from harness.stats import correctness
from harness.stats.rule import Margin
from harness.tasks import examples
from harness.tasks import fidelity as whole

Array = examples.Array


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedOutputs:
    """What one contender computes on its evaluation data.

    Attributes:
        arrays: one per output, examples on axis 0, in memory.
        reference: the fp32 framework's, the same shapes.
        labels: true classes, None where there are none.
        observed: the kernels it ran.
    """

    arrays: tuple[Array, ...]
    reference: tuple[Array, ...]
    labels: Array | None
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
    case = contender.case
    if batch_is_free(case):
        case = dataclasses.replace(case, target=dataclasses.replace(case.target, batch=1))
    folder = cache.reference_dir(artifact.reference.digest)
    count = range(len(artifact.reference.outputs))
    with tempfile.TemporaryDirectory(prefix="harness-outputs-") as outputs:
        observed = coordinator.observe(
            workload(case, artifact, cache),
            examples=artifact.reference.examples,
            folder=Path(outputs),
            client=lambda: Client(contender.worker),
        )
        arrays = tuple(np.load(Path(outputs) / f"{i}.npy") for i in count)
    labels = np.load(folder / "labels.npy") if artifact.reference.labelled else None
    reference = tuple(np.load(folder / "outputs" / f"{i}.npy", mmap_mode="r") for i in count)
    return EvaluatedOutputs(arrays=arrays, reference=reference, labels=labels, observed=observed)


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


def compare(match: Match, settings: GateSettings, run: Computed = computed) -> Quality:
    """Compare the outputs of a match, both of whose sides have an artifact. Never raises for what a side does."""
    if match.base is None or match.head is None:
        return Quality()
    found: dict[str, EvaluatedOutputs] = {}
    errors: dict[str, Exception] = {}
    for role, contender in (("base", match.base), ("head", match.head)):
        try:
            found[role] = run(contender)
        except (WorkerError, ValueError, OSError) as error:
            errors[role] = error
    observed = {role: outputs.observed for role, outputs in found.items()}
    if errors:
        return Quality(broken=because(errors), observed=observed)
    ours, theirs = match.base.built, match.head.built
    if isinstance(ours, Artifact) and isinstance(theirs, Artifact) and changed_file(ours, theirs):
        # Each file is its own reference: that head is true to itself says nothing of the change.
        found["head"] = dataclasses.replace(found["head"], reference=found["base"].reference)
    try:
        findings = (
            *accuracy(match.head, found["base"], found["head"], settings),
            *fidelity(match.head, found["base"], found["head"], settings),
        )
    except ValueError as error:
        return Quality(broken=Broken(reason=str(error)), observed=observed)
    return Quality(findings=findings, observed=observed)


def because(errors: Mapping[str, Exception]) -> Broken:
    """Why sides have no outputs; unsupported where all that they say is that nothing here can run it."""
    refusals = [e for e in errors.values() if isinstance(e, WorkerRefusal) and e.kind in UNSUPPORTED_KINDS]
    return Broken(
        reason="; ".join(f"{role}: {error}" for role, error in errors.items()),
        unsupported=tuple(errors) if len(refusals) == len(errors) else (),
    )


def accuracy(
    contender: Contender, base: EvaluatedOutputs, head: EvaluatedOutputs, settings: GateSettings
) -> list[Finding]:
    """Top-1 on labelled data; nothing where there are no labels.

    A drop within the margin passes on these data, also where its interval reaches beyond: to exclude a drop of one
    point takes hundreds of examples even where no answer changed, so that small data sets would never pass. The
    sentence then has the interval. Beyond the margin, the verdict is regression where the interval excludes that the
    true drop is within it, else inconclusive: the data are too few to say.
    """
    if contender.case.model.task != "classification" or base.labels is None or head.labels is None:
        return []
    was, now = examples.right(base.arrays[0], base.labels), examples.right(head.arrays[0], head.labels)
    counts, drop = correctness.mcnemar(was, now), correctness.right_drop(was, now)
    budget = contender.case.model.budget
    margin = Margin(points=budget.accuracy_drop, share=budget.accuracy_share)
    if margin == Margin():
        margin = Margin(points=settings.max_accuracy_drop)
    allowed = margin.allowed(drop.reference)
    if drop.value > allowed:
        verdict = Verdict.REGRESSION if drop.low > allowed or decisive(counts, allowed) else Verdict.INCONCLUSIVE
    else:
        verdict = Verdict.IMPROVEMENT if drop.high < 0 else Verdict.PASS
    return [
        Finding(
            metric="accuracy",
            verdict=verdict,
            sentence=scores.accuracy(
                "top1",
                drop.reference,
                drop.reference - drop.value,
                drop.n,
                newly_wrong=counts.lost,
                newly_right=counts.gained,
                low=-drop.high if drop.high > allowed else None,
                high=-drop.low if drop.high > allowed else None,
                p=counts.p_worse if drop.value > 0 else None,
                allowed=allowed,
                detectable=drop.detectable if verdict is Verdict.INCONCLUSIVE else None,
            ),
            base=drop.reference,
            head=drop.reference - drop.value,
            n=drop.n,
            p=counts.p_worse,
            detectable=drop.detectable if np.isfinite(drop.detectable) else None,
            unit="fraction",
        )
    ]


def decisive(counts: correctness.McNemar, allowed: float) -> bool:
    """Whether McNemar's exact test alone decides: it asks whether anything was lost, so only without a margin."""
    return not allowed and counts.p_worse <= (1 - correctness.CONFIDENCE) / 2


def fidelity(
    contender: Contender, base: EvaluatedOutputs, head: EvaluatedOutputs, settings: GateSettings
) -> list[Finding]:
    """Closeness to the framework's own outputs; nothing for a single example.

    Where the zoo sets a floor (`fidelity_db`), falling through it is the regression. Elsewhere a mean loss beyond
    `max_fidelity_drop` is, where its bootstrap interval excludes less. With labels, accuracy has the word.
    """
    if base.arrays[0].shape[0] < 2:  # noqa: PLR2004  (the centre of one example is the example)
        return []
    drop = correctness.bootstrap_drop(
        examples.closeness_db(base.reference, base.arrays),
        examples.closeness_db(head.reference, head.arrays),
        span=examples.EXACT_DB,
    )
    before, after = whole_db(base), whole_db(head)
    if before is None or after is None:
        return []
    floor, allowed = contender.case.model.budget.fidelity_db, settings.max_fidelity_drop
    judged_by_labels = base.labels is not None and contender.case.model.task == "classification"
    verdict = Verdict.PASS
    if floor is not None and (after >= floor or before >= floor):
        verdict = Verdict.PASS if after >= floor else Verdict.REGRESSION
    elif not judged_by_labels and drop.value > allowed:
        verdict = Verdict.REGRESSION if drop.low > allowed else Verdict.INCONCLUSIVE
    limit = None if floor is not None or judged_by_labels else allowed
    judge = "accuracy" if judged_by_labels and floor is None else ""
    return [
        Finding(
            metric="fidelity",
            verdict=verdict,
            sentence=scores.fidelity(told(before), told(after), budget_db=floor, allowed_db=limit, judged_by=judge),
            base=told(before),
            head=told(after),
            n=drop.n,
            unit="dB",
        )
    ]


def whole_db(outputs: EvaluatedOutputs) -> float | None:
    """Centred SQNR over all examples, as a sweep reports it; infinite where the outputs are the reference's own.

    None for a reference that does not vary: it has no centred signal.
    """
    found = whole.compare(outputs.reference, outputs.arrays, classes=False)
    return math.inf if not found.max_abs else found.centred_sqnr_db


def told(decibels: float) -> float | None:
    """Decibels as findings hold them: None for exact."""
    return decibels if math.isfinite(decibels) else None
