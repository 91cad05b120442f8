"""Gates played from recorded pairs: how often the rule raises a false alarm, and how often it sees a true change.

Where nothing changed it does not matter which side was called head, so that each gate draws one sign for all pairs of a
case. A sign for every pair would make them symmetric and independent by force, which is what is to be found out: a host
that favours one side, or pairs that follow each other, must show as false alarms. Slowed pairs are played as recorded.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.gate.model import GateSettings
from harness.stats import paired

Recorded = Mapping[str, Sequence[float]]
"""Case -> log-ratios of its pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A share, and the range in which it lay when the cases were resampled from the recording, twenty times."""

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


def play(cases: Sequence[Sequence[float]], null: Sequence[bool], settings: GateSettings, rng: random.Random) -> Played:
    """One gate over these recordings.

    Args:
        cases: of each case its recorded log-ratios.
        null: whether nothing changed in it.
        settings: the rule.
        rng: chooses pairs and signs.

    Raises:
        UsageError: if a recording has fewer pairs than a gate takes.
    """
    pairs = [sample_pairs(values, same, settings, rng) for values, same in zip(cases, null, strict=True)]
    screened = [paired.screen(screen, margin=settings.max_slowdown) for screen, _ in pairs]
    chosen = [index for index, found in enumerate(screened) if found.flagged]
    confirmed = paired.confirm(
        {str(i): pairs[i][1] for i in chosen},
        directions={str(i): screened[i].direction for i in chosen},
        margin=settings.max_slowdown,
        family_alpha=settings.family_alpha,
        planned=settings.confirm_pairs,
    )
    alarms = frozenset(int(i) for i, one in confirmed.items() if one.significant and one.direction == "slower")
    return Played(alarms=alarms, flagged=len(chosen))


def sample_pairs(
    values: Sequence[float], same: bool, settings: GateSettings, rng: random.Random
) -> tuple[list[float], list[float]]:
    """Pairs to screen with and others to confirm with, none of them twice; where nothing changed, under one sign.

    Raises:
        UsageError: if there are too few of them.
    """
    first, second = settings.screen_pairs, settings.confirm_pairs
    if len(values) < first + second:
        raise UsageError(
            f"a recorded case has {len(values)} pairs, and a gate of {first} screening and {second} confirming pairs "
            f"takes {first + second}: record more, or judge it by fewer (--pairs N stands for {first} + N)"
        )
    sign = -1 if same and rng.random() < 0.5 else 1  # noqa: PLR2004  (a fair coin)
    found = [sign * value for value in rng.sample(values, first + second)]
    return found[:first], found[first:]


def any_alarm(recorded: Recorded, cases: int, gates: int, settings: GateSettings, rng: random.Random) -> float:
    """Chance of any alarm in a gate of so many cases, none of which changed."""
    series = list(recorded.values())
    return statistics.fmean(
        bool(play(rng.choices(series, k=cases), [True] * cases, settings, rng).alarms) for _ in range(gates)
    )


def found_share(
    slow: Recorded, null: Recorded, cases: int, gates: int, settings: GateSettings, rng: random.Random
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
    """A share with its range where the cases are resampled from those that were recorded.

    The range of twenty resamples holds nine tenths of what further ones would give. Pairs are not resampled: one
    that is in it twice would count as two, and raise alarms that no gate raises.

    Args:
        share: computes it from recordings.
        recorded: what it takes.
        rng: draws.
        outer: how often it is computed anew.
    """
    value = share(recorded)
    again = sorted(share([resampled(one, rng) for one in recorded]) for _ in range(outer))
    low, high = again[0], again[-1]
    return Rate(value=value, low=min(low, value), high=max(high, value))


def resampled(recorded: Recorded, rng: random.Random) -> Recorded:
    """As many cases, sampled with replacement."""
    names = rng.choices(list(recorded), k=len(recorded))
    return {f"{place}": recorded[name] for place, name in enumerate(names)}
