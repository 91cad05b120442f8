"""What a build may cost at most by its model's budget: latency, size, memory and energy, as this gate measured them.

Other findings ask whether head is worse than base. These ask whether head has left what the budget allows while base
was inside it. A limit that both sides pass, or that cannot be judged here, fails nothing and is said.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness import metrics, units
from harness.gate.model import Contender, Finding, Match, Pair, SideSamples, Verdict
from harness.metrics import Metric
from harness.records import Artifact, Budget
from harness.stats.estimate import median_interval

NAMES = {
    metrics.LATENCY.name: "budget_latency",
    metrics.ARTIFACT_SIZE.name: "budget_size",
    metrics.MODEL_MEMORY.name: "budget_memory",
    metrics.ENERGY.name: "budget_energy",
}
"""Metric -> what the finding about its limit is called: each is accepted for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLimit:
    """One limit of a budget.

    Attributes:
        metric: what is limited.
        most: the limit; None where there is none.
        value: of one process; None where it does not tell.
    """

    metric: Metric
    most: Callable[[Budget], float | None]
    value: Callable[[SideSamples], float | None]


TIMED = (
    CostLimit(
        metric=metrics.LATENCY,
        most=lambda budget: budget.latency_s,
        value=lambda samples: statistics.median(samples.bursts_ns) / 1e9,
    ),
    CostLimit(
        metric=metrics.MODEL_MEMORY,
        most=lambda budget: budget.memory_bytes,
        value=lambda samples: samples.model_bytes,
    ),
    CostLimit(
        metric=metrics.ENERGY,
        most=lambda budget: budget.energy_j,
        value=lambda samples: samples.energy_j,
    ),
)
"""The limits on what pairs of processes tell."""

Range = tuple[float, float, float]
"""A median with its 95% interval over processes; of fewer than `FEWEST` the lowest and the highest."""

FEWEST = 6
"""Processes that a 95% interval of a median needs: of five, lowest and highest hold it in 94% of cases."""


def check(match: Match, pairs: Sequence[Pair]) -> tuple[Finding, ...]:
    """What the budget's limits say of head, one finding for each limit that there is.

    Where one case is set against another, or base has no artifact, what is outside is reported with the verdict pass.

    Args:
        match: with an artifact on both sides; without, nothing is found.
        pairs: of its processes; without, only the size is looked at.
    """
    base, head = match.base, match.head
    if base is None or head is None or not isinstance(head.built, Artifact) or not isinstance(base.built, Artifact):
        return ()
    budget = head.case.model.budget
    found = [_size(budget, base.built, head.built)] if budget.size_bytes is not None else []
    for limit in TIMED if pairs else ():
        most = limit.most(budget)
        if most is not None:
            was = _range([limit.value(one.base) for one in pairs])
            now = _range([limit.value(one.head) for one in pairs])
            found.append(_judged(limit.metric, most, was, now, len(pairs)))
    return tuple(_reported(one) if _free(base) else one for one in found)


def _free(base: Contender) -> bool:
    return base.side.kind == "case"


def _reported(found: Finding) -> Finding:
    """A finding between two cases that differ on purpose: for information."""
    if found.verdict is Verdict.NOT_COMPARABLE:
        return found
    return Finding(**{name: getattr(found, name) for name in _KEPT}, verdict=Verdict.PASS)


_KEPT = ("metric", "sentence", "base", "head", "n", "unit")


def _size(budget: Budget, base: Artifact, head: Artifact) -> Finding:
    exact = [(float(one.bytes),) * 3 for one in (base, head)]
    return _judged(metrics.ARTIFACT_SIZE, float(budget.size_bytes or 0), exact[0], exact[1], 1, exact=True)


def _range(values: Sequence[float | None]) -> Range | None:
    """None where not every process tells."""
    known = [float(one) for one in values if one is not None]
    if not known or len(known) < len(values):
        return None
    return statistics.median(known), *median_interval(known)


def _judged(
    metric: Metric, most: float, was: Range | None, now: Range | None, n: int, *, exact: bool = False
) -> Finding:
    limit = f"{metric.label}, budget {_said(most, metric)}: "
    if now is None or was is None:
        why = f"{limit}cannot be judged, it was not measured on this host"
        return Finding(metric=NAMES[metric.name], verdict=Verdict.NOT_COMPARABLE, sentence=why, unit=metric.unit)
    verdict, what = _verdict(most, was, now)
    few = f"; lowest to highest of {n}, too few pairs for a 95% interval" if n < FEWEST and not exact else ""
    if few and verdict is Verdict.REGRESSION:
        verdict, what = Verdict.INCONCLUSIVE, "base was inside and head outside in the few pairs that there are"
    return Finding(
        metric=NAMES[metric.name],
        verdict=verdict,
        sentence=f"{limit}{what} ({_with_interval(was, metric)} -> {_with_interval(now, metric)}{few})",
        base=was[0],
        head=now[0],
        n=n,
        unit=metric.unit,
    )


def _verdict(most: float, was: Range, now: Range) -> tuple[Verdict, str]:
    """Outside where the whole interval is; a side that lies on both sides of the limit is in doubt."""
    if now[2] <= most:
        return Verdict.PASS, "inside"
    base_inside, outside = was[2] <= most, now[1] > most
    if outside and base_inside:
        return Verdict.REGRESSION, "base was inside and head is outside"
    if was[1] > most:
        return Verdict.PASS, "base is outside of it already, so that it is not head that left it"
    if outside or base_inside:
        return Verdict.INCONCLUSIVE, "these pairs cannot tell on which side of it both are"
    return Verdict.PASS, "base and head lie on it alike"


def _said(value: float, metric: Metric) -> str:
    return units.value(value, metric.unit)


def _with_interval(one: Range, metric: Metric) -> str:
    middle, low, high = one
    if low == high:
        return _said(middle, metric)
    return f"{_said(middle, metric)} [{_said(low, metric)} to {_said(high, metric)}]"
