"""Which changes of a series still stand: the levels before and after each, and whether what was lost came back.

A change is looked for from the level that was last judged on, not from its neighbour alone: many steps below the margin
add up to one that is not. A regression stands until a later level lies within the margin of the level before it again;
whoever wants to keep the loss accepts it, which does not concern the series (`harness.gate.accepted_changes`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.gate.model import GateSettings, Verdict
from harness.metrics import ACCURACY_DROP, ARTIFACT_SIZE, BY_NAME, FIDELITY_LOSS, METRICS
from harness.stats import scan
from harness.stats.rule import MIN_EFFECT
from harness.stats.scan import Change, Span

if TYPE_CHECKING:
    from harness.stats.strength import Numbers

EXACT = frozenset(metric.name for metric in METRICS if not metric.noisy)
"""Metrics without noise: the same artifact gives the same number again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelChange:
    """A change of level beyond the margin.

    Attributes:
        before, after: the two levels, as the points that they span.
        change: from the one to the other; `index` is the first point after it.
        verdict: regression or improvement.
        now: to the newest level, from the one that was last judged on before the change.
        cleared: whether some later level lay within the margin of that level again.
    """

    before: Span
    after: Span
    change: Change
    verdict: Verdict
    now: Change
    cleared: bool


def level_changes(
    metric: str, values: Numbers, changes: Sequence[Change], settings: GateSettings
) -> tuple[LevelChange, ...]:
    """The changes beyond the margin, oldest first.

    Args:
        metric: whose margin counts.
        values: of the series, in order of time.
        changes: from `scan`.
        settings: the margins are those of a gate between two sides.
    """
    edges = [0, *(change.index for change in changes), len(values)]
    levels = list(itertools.pairwise(edges))
    exact = metric in EXACT
    found: list[LevelChange] = []
    anchor = 0
    for place in range(1, len(levels)):
        known = changes[place - 1]
        before = anchor
        step = scan.between(values, levels[anchor], levels[place], exact=exact, p=known.p, adjusted=known.adjusted)
        verdict = beyond(metric, step, settings)
        if verdict is Verdict.PASS:
            continue
        if beyond(metric, known, settings) is verdict:  # the neighbour alone explains it: its commits are closer
            before, step = place - 1, known
        later = [scan.between(values, levels[anchor], one, exact=exact) for one in levels[place:]]
        found.append(
            LevelChange(
                before=levels[before],
                after=levels[place],
                change=step,
                verdict=verdict,
                now=replace(later[-1], p=known.p, adjusted=known.adjusted),
                cleared=any(within(metric, one, settings) for one in later[1:]),
            )
        )
        anchor = place
    return tuple(found)


def beyond(metric: str, change: Change, settings: GateSettings) -> Verdict:
    """By the margins of a gate between two sides. Improvements count from the same size on as losses do.

    Of a metric with noise the near end of the interval has to lie beyond the margin.
    """
    smaller, larger = sorted((change.before, change.after))
    if metric in EXACT:
        counts = exceeds(metric, smaller, larger, settings)
    else:
        margin = margin_of(metric, settings)
        counts = larger > smaller * (1 + MIN_EFFECT) and (not margin or _nearest(change) > 1 + margin)
    if not counts:
        return Verdict.PASS
    return Verdict.REGRESSION if change.after > change.before else Verdict.IMPROVEMENT


def within(metric: str, change: Change, settings: GateSettings) -> bool:
    """Whether a later level is not worse than the margin allows: by its typical value, whatever its interval."""
    if metric in EXACT:
        return change.after <= change.before or not exceeds(metric, change.before, change.after, settings)
    return change.after <= change.before * (1 + max(margin_of(metric, settings), MIN_EFFECT))


def exceeds(metric: str, smaller: float, larger: float, settings: GateSettings) -> bool:
    """Whether two values without noise differ by more than the margin."""
    match metric:
        case ACCURACY_DROP.name:
            return larger - smaller > settings.max_accuracy_drop
        case FIDELITY_LOSS.name:
            return larger > smaller * 10 ** (settings.max_fidelity_drop / 20)
        case ARTIFACT_SIZE.name:
            return larger > smaller * (1 + settings.max_size)
        case _:
            return larger > smaller * (1 + margin_of(metric, settings))


def margin_of(metric: str, settings: GateSettings) -> float:
    """The setting that is a metric's margin."""
    margin: float = getattr(settings, BY_NAME[metric].option)
    return margin


def _nearest(change: Change) -> float:
    """How large a change is for sure, as a ratio above 1: the near end of its interval, where it has one."""
    low, high = (change.low, change.high) if change.ratio >= 1 else (1 / change.high, 1 / max(change.low, 1e-300))
    return low if low > 0 and math.isfinite(high) else max(change.ratio, 1 / change.ratio)
