"""A confirmation that may end early: the fresh pairs are looked at three times, and an obvious change is settled first.

Each look may spend a share of the level that a case has. A case's p-value is the smallest p of the looks so far, each
divided by its share; Holm's correction over such p-values keeps the chance of any false alarm in the family, since a
case's p only falls as looks are added (Maurer and Bretz, Statistics in Biopharmaceutical Research 5, 2013). Under no
change the signs are fair coins and the order of the sizes is random, so that the joint distribution of the looks is
the same whatever the noise: that the shares hold their level is simulated once for all (docs/statistics.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from harness.stats.ratio import Interval, Side, ratio_interval, signed_rank

PLACES = (0.4, 0.7, 1.0)
"""Where the looks lie, as shares of the pairs that are planned: at 8, 14 and 20 of 20."""

SHARES = (0.16, 0.24, 0.75)
"""What each may spend of the level. Together more than all of it: looks at the same pairs go together, so that the
chance of any of them, simulated for up to 20 pairs at levels from .05 down, is at most 0.94 of the level. The first is
large enough that eight pairs without exception settle a case that is confirmed alone (1 / 256 of 2.5%)."""

FEW = 20
"""Up to so many pairs `SHARES` hold; with more, looks go together less the lower the level is, and the last one gets
what the first two leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look: after how many fresh pairs, and the share of the level that it may spend."""

    pairs: int
    share: float


@lru_cache(maxsize=64)
def looks(planned: int) -> tuple[Look, ...]:
    """The looks of a confirmation of so many pairs, in order; the last is at all of them."""
    shares = (*SHARES[:2], SHARES[2] if planned <= FEW else 1 - sum(SHARES[:2]))
    at = [max(1, round(place * planned)) for place in PLACES]
    known = {pairs: Look(pairs=pairs, share=share) for pairs, share in zip(at, shares, strict=True)}
    return tuple(known.values())


def share_of(n: int, planned: int) -> float:
    """What the look at n pairs may spend; one that was not planned (something ended the gate) stands for the last."""
    return next((look.share for look in looks(planned) if look.pairs == n), looks(planned)[-1].share)


def signed_rank_p(
    log_ratios: Sequence[float],
    *,
    planned: int,
    margin: float = 0.0,
    side: Side = "greater",
    hosts: Sequence[str] = (),
) -> float:
    """p-value over all looks so far.

    Args:
        log_ratios: one number per fresh pair, in the order in which they were measured.
        planned: pairs at the last look.
        margin: the ratio under the null hypothesis, minus one.
        side: as in `signed_rank`.
        hosts: as in `signed_rank`.

    Raises:
        ValueError: as in `signed_rank`.
    """
    n = len(log_ratios)
    reached = {look.pairs: look.share for look in looks(planned) if look.pairs < n}
    reached[n] = share_of(n, planned)
    found = (signed_rank(log_ratios[:pairs], margin, side, hosts[:pairs]) / share for pairs, share in reached.items())
    return min(1.0, *found)


def interval(log_ratios: Sequence[float], *, planned: int, confidence: float = 0.95) -> Interval:
    """An interval that holds the truth with this confidence although the pairs may have been ended early.

    At every look the interval leaves out no more than the look's share (repeated confidence intervals, Jennison and
    Turnbull, Journal of the Royal Statistical Society B 51, 1989).
    """
    return ratio_interval(log_ratios, 1 - (1 - confidence) * share_of(len(log_ratios), planned))
