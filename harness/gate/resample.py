"""Gates played from recorded pairs: how often the rule raises a false alarm, and how often it sees a true change.

Where nothing changed, base and head may trade places: each null pair is played with a random sign, so that an accident
of the recording does not become the truth of every gate. Slowed pairs are played as they were recorded.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.gate.nouns import Settings
from harness.stats import paired

TIE = 1e-9

Recorded = Mapping[str, Sequence[float]]
"""Case -> log-ratios of its pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A share, and the range in which it lay when cases and pairs were drawn anew from the recording, twenty times."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What became of one gate.

    Attributes:
        alarms: cases, by their place, that were confirmed as slower.
        flagged: how many went into confirmation.
    """

    alarms: frozenset[int]
    flagged: int


def play(cases: Sequence[Sequence[float]], null: Sequence[bool], settings: Settings, rng: random.Random) -> Played:
    """One gate over these recordings.

    Args:
        cases: of each case its recorded log-ratios.
        null: whether nothing changed in it.
        settings: the rule.
        rng: draws pairs and signs.
    """
    pairs = [drawn(values, same, settings, rng) for values, same in zip(cases, null, strict=True)]
    screened = [paired.screen(screen, margin=settings.max_slowdown) for screen, _ in pairs]
    chosen = [index for index, found in enumerate(screened) if found.flagged]
    confirmed = paired.confirm(
        {str(i): pairs[i][1] for i in chosen},
        directions={str(i): screened[i].direction for i in chosen},
        margin=settings.max_slowdown,
        family_alpha=settings.family_alpha,
    )
    alarms = frozenset(int(i) for i, one in confirmed.items() if one.significant and one.direction == "slower")
    return Played(alarms=alarms, flagged=len(chosen))


def drawn(
    values: Sequence[float], same: bool, settings: Settings, rng: random.Random
) -> tuple[list[float], list[float]]:
    """Pairs to screen with and others to confirm with; the two overlap only where the recording has too few."""
    first, second = settings.screen_pairs, settings.confirm_pairs
    if len(values) >= first + second:
        found = rng.sample(values, first + second)
    else:
        found = [one for count in (first, second) for one in taken(values, count, rng)]
    if same:
        found = [value if rng.random() < 0.5 else -value for value in found]  # noqa: PLR2004  (a fair coin)
    return found[:first], found[first:]


def taken(values: Sequence[float], count: int, rng: random.Random) -> list[float]:
    """So many of the values, none twice while there are enough."""
    return rng.sample(values, count) if len(values) >= count else untied(rng.choices(values, k=count), rng)


def untied(values: Sequence[float], rng: random.Random) -> list[float]:
    """Values that were drawn twice, told apart by less than anybody could measure: ranks need an order."""
    return [value + rng.uniform(-TIE, TIE) for value in values]


def any_alarm(recorded: Recorded, cases: int, gates: int, settings: Settings, rng: random.Random) -> float:
    """Chance of any alarm in a gate of so many cases, none of which changed."""
    series = list(recorded.values())
    return statistics.fmean(
        bool(play(rng.choices(series, k=cases), [True] * cases, settings, rng).alarms) for _ in range(gates)
    )


def found_share(
    slow: Recorded, null: Recorded, cases: int, gates: int, settings: Settings, rng: random.Random
) -> float:
    """Chance that a gate of so many cases, one of which is slower, confirms that one."""
    slowed, others = list(slow.values()), list(null.values())

    def one() -> bool:
        chosen = [rng.choice(slowed), *rng.choices(others, k=cases - 1)]
        return 0 in play(chosen, [False] + [True] * (cases - 1), settings, rng).alarms

    return statistics.fmean(one() for _ in range(gates))


def rate(
    share: Callable[[Sequence[Recorded]], float], recorded: Sequence[Recorded], rng: random.Random, *, outer: int = 20
) -> Rate:
    """A share with its range where cases and their pairs are drawn anew from what was recorded.

    The range of twenty drawings holds nine tenths of what further drawings would give.

    Args:
        share: computes it from recordings.
        recorded: what it takes.
        rng: draws.
        outer: how often it is computed anew.
    """
    value = share(recorded)
    again = sorted(share([redrawn(one, rng) for one in recorded]) for _ in range(outer))
    low, high = again[0], again[-1]
    return Rate(value=value, low=min(low, value), high=max(high, value))


def redrawn(recorded: Recorded, rng: random.Random) -> Recorded:
    """Cases drawn with replacement, and of each its pairs."""
    names = rng.choices(list(recorded), k=len(recorded))
    return {
        f"{place}": untied(rng.choices(recorded[name], k=len(recorded[name])), rng) for place, name in enumerate(names)
    }
