"""Head against base from paired processes: screening, confirming, and what a pass means.

One number per fresh pair of processes, the logarithm of head / base, whose interval and p-value `harness.stats.ratio`
gives. The same functions serve latency, first inference and peak memory. Size and node counts are exact and need
none of this.

A confirmation is tested on pairs that had no part in the screening, at numbers of pairs fixed beforehand
(`harness.stats.sequential`): to look again after every pair would raise false alarms.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.stats import ranks, sequential
from harness.stats.power import detectable, pairs_needed
from harness.stats.ranks import spread
from harness.stats.ratio import Interval, Side, log_ratios, ratio_interval, signed_rank
from harness.stats.rule import EFFECT, FAMILY_ALPHA, MIN_EFFECT, SCREEN_P

__all__ = [
    "Confirmed",
    "Interval",
    "Judgement",
    "Screened",
    "confirm",
    "detectable",
    "holm",
    "judge",
    "log_ratios",
    "pairs_needed",
    "ratio_interval",
    "screen",
    "signed_rank",
    "spread",
]

Direction = Literal["slower", "faster"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """What screening says of one case.

    Attributes:
        flagged: whether it has to be measured again on fresh pairs.
        direction: `slower` or `faster`: where the smaller one-sided p lies.
        p: two-sided.
        median: of the ratio, head over base.
        n: pairs that it rests on.
    """

    flagged: bool
    direction: Direction
    p: float
    median: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """What the fresh pairs say of a flagged case.

    Attributes:
        p: one-sided, in the direction that was screened.
        adjusted: the same after Holm over all cases that were confirmed together.
        significant: adjusted p within the family's alpha, and the change larger than `MIN_EFFECT`.
        interval: from the fresh pairs alone; those of the screening were selected and would exaggerate.
    """

    direction: Direction
    p: float
    adjusted: float
    significant: bool
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict on one metric of one case, by the word that reports use for it, and what it rests on."""

    verdict: Literal["pass", "regression", "improvement", "inconclusive"]
    reason: str


def _beyond(margin: float, direction: Direction) -> float:
    """The logarithm that an estimate must pass before it is called a change, counted in the direction asked."""
    return math.log1p(max(margin, MIN_EFFECT)) if direction == "slower" else -math.log1p(-MIN_EFFECT)


def screen(
    log_ratios: Sequence[float], *, margin: float = 0.0, level: float = SCREEN_P, hosts: Sequence[str] = ()
) -> Screened:
    """Whether a case looks changed enough to be measured again on fresh pairs.

    Flagged where the two-sided signed-rank p is at most `level` and the median differs by more than `MIN_EFFECT`.
    Slower is judged against 1 + margin, faster against 1, so that improvements are found whatever the margin.
    `hosts` are the strata, as in `signed_rank`.

    Raises:
        ValueError: as in `signed_rank`.
    """
    values = ranks.checked(log_ratios)
    slower = signed_rank(values, margin, "greater", hosts)
    faster = signed_rank(values, 0.0, "less", hosts)
    direction: Direction = "slower" if slower <= faster else "faster"
    p = min(1.0, 2 * min(slower, faster))
    median = statistics.median(values)
    size = median if direction == "slower" else -median
    return Screened(
        flagged=p <= level and size > _beyond(margin, direction),
        direction=direction,
        p=p,
        median=math.exp(median),
        n=len(values),
    )


def holm(ps: Sequence[float]) -> list[float]:
    """Adjusted p-values that control the chance of any false alarm (Holm, 1979), in the order given."""
    order = sorted(range(len(ps)), key=ps.__getitem__)
    adjusted, worst = [0.0] * len(ps), 0.0
    for place, index in enumerate(order):
        worst = max(worst, min(1.0, ps[index] * (len(ps) - place)))
        adjusted[index] = worst
    return adjusted


def confirm(
    cases: Mapping[str, Sequence[float]],
    *,
    directions: Mapping[str, Direction],
    margin: float = 0.0,
    margins: Mapping[str, float] | None = None,
    hosts: Mapping[str, Sequence[str]] | None = None,
    family_alpha: float = FAMILY_ALPHA,
    planned: int | None = None,
) -> dict[str, Confirmed]:
    """Judge every flagged case on fresh pairs, all in one family.

    Args:
        cases: name -> log-ratios of fresh pairs, none of which took part in the screening. Everything that is
            confirmed in one gate belongs into one call, further metrics under names of their own.
        directions: name -> the direction that screening saw; the test is one-sided in it.
        margin: as in `screen`; it counts for slower only.
        margins: name -> its own margin, where it is not `margin`.
        hosts: name -> which host each of its pairs was measured on, where they are of several.
        family_alpha: chance of any false alarm among the cases.
        planned: pairs at the last of several looks (`harness.stats.sequential`); None takes what there is as one look.

    Raises:
        ValueError: if a case has no pair, or a number is not finite; the text names the case.
        KeyError: if a case has no direction.
    """
    ps: dict[str, float] = {}
    for name, values in cases.items():
        slower = directions[name] == "slower"
        null = (margins or {}).get(name, margin) if slower else 0.0
        try:
            side: Side = "greater" if slower else "less"
            strata = (hosts or {}).get(name, ())
            ps[name] = (
                signed_rank(values, null, side, strata)
                if planned is None
                else sequential.signed_rank_p(values, planned=planned, margin=null, side=side, hosts=strata)
            )
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    confirmed = {}
    for (name, p), adjusted in zip(ps.items(), holm(list(ps.values())), strict=True):
        values = cases[name]
        interval = ratio_interval(values) if planned is None else sequential.interval(values, planned=planned)
        direction = directions[name]
        size = math.log(interval.ratio) * (1 if direction == "slower" else -1)
        confirmed[name] = Confirmed(
            direction=direction,
            p=p,
            adjusted=adjusted,
            significant=adjusted <= family_alpha and size > _beyond((margins or {}).get(name, margin), direction),
            interval=interval,
        )
    return confirmed


def judge(
    screened: Screened,
    confirmed: Confirmed | None,
    *,
    interval: Interval,
    seen: float,
    margin: float = 0.0,
    effect: float = EFFECT,
) -> Judgement:
    """Regression, improvement, pass or inconclusive.

    A pass says: a slow-down of `effect` beyond the margin is excluded, or it would have been seen.

    - A confirmed change is a regression or an improvement.
    - A case that was flagged as slower and not confirmed is under suspicion, so power alone does not clear it: it
      passes only where the interval of the fresh pairs excludes such a slow-down.
    - Any other case passes where its interval excludes such a slow-down, or where one of that size would have been
      seen with a chance of 80% (`seen`, from `detectable`, is not larger); never where the whole interval lies beyond
      it, as that of pairs can that were measured again for the sake of another metric.
    - Everything else is inconclusive.

    Args:
        screened: what screening said.
        confirmed: what the fresh pairs said; None where there were none.
        interval: of the confirmation's pairs where there were any, else of the screening's.
        seen: the smallest slow-down (ratio - 1) that these numbers of pairs would have shown.
        margin: the slow-down that was allowed.
        effect: the slow-down beyond the margin that a pass must have been able to see.

    Raises:
        ValueError: if the effect is not above `MIN_EFFECT`, which the rule never flags.
    """
    if not effect > MIN_EFFECT:
        raise ValueError(f"effect is {effect}: ask for more than {MIN_EFFECT}, smaller changes are never flagged")
    limit = (1 + margin) * (1 + effect)
    if confirmed is not None and confirmed.significant:
        return Judgement(
            verdict="regression" if confirmed.direction == "slower" else "improvement",
            reason=f"confirmed on {confirmed.interval.n} fresh pairs (adjusted p {confirmed.adjusted:.2g})",
        )
    excluded = interval.high < limit
    if screened.flagged and confirmed is None:
        return Judgement(
            verdict="inconclusive", reason=f"looked {screened.direction}, but no fresh pairs were measured"
        )
    if excluded:
        return Judgement(
            verdict="pass", reason=f"at most {100 * (interval.high - 1):.1f}% slower (upper end of the interval)"
        )
    if screened.flagged and screened.direction == "slower":
        return Judgement(
            verdict="inconclusive",
            reason=f"looked slower; fresh pairs neither confirm it nor exclude {100 * (limit - 1):.1f}%",
        )
    beyond = interval.low > limit
    if seen <= limit - 1 and not beyond:
        return Judgement(verdict="pass", reason=f"a slow-down of {100 * seen:.1f}% would have been seen")
    smallest = f"only from {100 * seen:.1f}% on" if math.isfinite(seen) else "of any size not at all"
    return Judgement(
        verdict="inconclusive",
        reason=f"screening saw nothing, yet all that the pairs allow lies beyond {100 * (limit - 1):.1f}%"
        if beyond
        else f"a slow-down of {100 * (limit - 1):.1f}% might have been missed: with {interval.n} pairs of this "
        f"spread it would have been seen {smallest}",
    )
