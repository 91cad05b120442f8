"""Layers that really are left in float: built, evaluated, and run beside the build that they are left out of."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness import budget
from harness.errors import WorkerError
from harness.explain import cases
from harness.explain.cases import Say
from harness.explain.model import LeftInFloat
from harness.flow.execute import evaluate, workload
from harness.flow.session import Session, key
from harness.measure.pairs import GroupSpec, measure_block
from harness.records import Artifact, Case, Evaluation, Refusal
from harness.runtimes.client import Client
from harness.store.rows import plain

BLOCKS = 3
"""Live groups in which what a layer in float costs is measured."""

TOGETHER = 5
"""Builds that live at once beside the one that they are compared with."""

BASE = "base"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildQuality:
    """How good a build is.

    Attributes:
        closeness_db: fidelity; infinite where it is exact, None where there is none.
        metric, value: its accuracy; None without labels.
        excess: why it is outside its budget; empty where it is inside, None where that is not known.
        unjudged: why that is not known; empty where it is.
    """

    closeness_db: float | None
    metric: str = ""
    value: float | None = None
    excess: str | None = None
    unjudged: str = ""

    @property
    def finite_db(self) -> float | None:
        """Fidelity as JSON can hold it: None where it is exact, too."""
        return self.closeness_db if self.closeness_db is not None and math.isfinite(self.closeness_db) else None


def quality(session: Session, case: Case, artifact: Artifact) -> BuildQuality:
    """How good a build is on the case's target: the flow's own evaluation, cached as that is.

    Raises:
        WorkerError, WorkerRefusal: the runtime cannot run it.
        ValueError: its outputs are not what was asked for.
    """
    return quality_of(case, artifact, evaluated(session, case, artifact))


def quality_of(case: Case, artifact: Artifact, found: Evaluation) -> BuildQuality:
    """How good a build is, of its evaluation."""
    fidelity, accuracy = found.fidelity, found.accuracy
    closeness = None
    if fidelity is not None:
        closeness = math.inf if fidelity.max_abs == 0 else fidelity.centred_sqnr_db
        closeness = fidelity.sqnr_db if closeness is None else closeness
    row = judged_row(case, artifact, found)
    excess = budget.excess(row)
    return BuildQuality(
        closeness_db=closeness,
        metric=accuracy.metric if accuracy else "",
        value=accuracy.value if accuracy else None,
        excess=excess,
        unjudged=budget.unjudged(row),
    )


def evaluated(session: Session, case: Case, artifact: Artifact) -> Evaluation:
    """What the flow's evaluation says of a build on the case's target.

    Raises:
        WorkerError, WorkerRefusal, ValueError: as `execute.evaluate`.
    """
    job = replace(session.job(session.cases[0]), case=case, built=artifact)
    if job.runtime is None:
        raise WorkerError(job.absent or job.unusable or f"{case.target.name}: its worker does not start")
    return evaluate(job, artifact, job.runtime, session.cache)


def judged_row(case: Case, artifact: Artifact, found: Evaluation) -> dict[str, object]:
    """What `harness.budget` reads of a stored row, of a build that was not timed: no limit of what timing tells."""
    known = replace(case.model.budget, latency_s=None, memory_bytes=None, energy_j=None)
    return {
        "budget": plain(known),
        "metric_budgets": plain(known.metrics) or None,
        "metrics": plain(found.metrics) or None,
        "fidelity": plain(found.fidelity) if found.fidelity else None,
        "accuracy": plain(found.accuracy) if found.accuracy else None,
        "artifact": {"bytes": artifact.bytes},
        "latency": None,
    }


def one_by_one(
    session: Session, case: Case, artifact: Artifact, layers: Sequence[str], *, blocks: int, say: Say
) -> tuple[LeftInFloat, ...]:
    """Leave each layer in float, and see how good and how fast that is; what helps most comes first."""
    if not layers:
        return ()
    base = quality(session, case, artifact)
    others = {
        layer: cases.leaving(case, (layer,), f"{case.recipe.name}.float-{number}")
        for number, layer in enumerate(layers, start=1)
    }
    say(f"leaving each of {len(layers)} layers in float")
    built = session.build(list(others.values()))
    found, made = [], {}
    for layer, other in others.items():
        one = built[key(other)]
        if isinstance(one, Refusal):
            found.append(LeftInFloat(layer=layer, reason=one.reason))
            continue
        try:
            found.append(_compared(layer, base, quality(session, other, one)))
            made[layer] = (other, one)
        except (WorkerError, ValueError, OSError) as error:
            found.append(LeftInFloat(layer=layer, reason=str(error)))
    ratios = slower(session, (case, artifact), made, blocks, say) if blocks else {}
    found = [replace(one, ratio=ratios.get(one.layer)) for one in found]
    return tuple(sorted(found, key=_gain, reverse=True))


def _compared(layer: str, base: BuildQuality, found: BuildQuality) -> LeftInFloat:
    both = (base.closeness_db, found.closeness_db)
    gained = None if None in both else both[1] - both[0]  # type: ignore[operator]
    return LeftInFloat(
        layer=layer,
        closeness_db=found.finite_db,
        gained_db=gained if gained is not None and math.isfinite(gained) else None,
        metric=found.metric,
        value=found.value,
        gained=None if base.value is None or found.value is None else found.value - base.value,
        excess=found.excess,
    )


def _gain(one: LeftInFloat) -> tuple[bool, float, float]:
    return not one.reason, -math.inf if one.gained_db is None else one.gained_db, one.gained or 0.0


def slower(
    session: Session,
    base: tuple[Case, Artifact],
    others: Mapping[str, tuple[Case, Artifact]],
    blocks: int,
    say: Say,
) -> dict[str, float]:
    """How many times as long as the base each of these takes: the median over live groups.

    Processes of all of a group live at once and take turns, so that a slow minute slows all of them. What fails to run
    has no ratio.
    """
    found: dict[str, float] = {}
    names = list(others)
    rng = random.Random(session.run.id)  # noqa: S311  (an order, no secret)
    client = session.job(session.cases[0]).client or Client
    for start in range(0, len(names), TOGETHER):
        group = {BASE: base, **{name: others[name] for name in names[start : start + TOGETHER]}}
        say(f"running {len(group) - 1} builds beside the one that they differ from in one layer")
        works = {name: workload(case, artifact, session.cache) for name, (case, artifact) in group.items()}
        spec = GroupSpec(workloads=works, clients=dict.fromkeys(works, client))
        try:
            seen = [measure_block(spec, rng=rng) for _ in range(blocks)]
        except (WorkerError, OSError) as error:
            say(f"their speed is not known: {error}")
            continue
        for name in list(group)[1:]:
            found[name] = math.exp(statistics.median(_log_ratio(one.members, name) for one in seen))
    return found


def _log_ratio(members: Mapping[str, object], name: str) -> float:
    from harness.measure.pairs import log_ratio

    return log_ratio(members[BASE], members[name])  # type: ignore[arg-type] # SideSamples both
