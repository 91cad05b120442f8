"""What the gate's rule can see: the minimum detectable effect, and the pairs that an effect needs.

Both follow the rule itself (screening, then confirming), not a textbook's approximation of some other test.
A signed-rank test rejects exactly where a certain Walsh average lies beyond the null, so every simulated gate has one
smallest effect that it would have seen; the minimum detectable effect is the quantile of those at the power asked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from harness.stats import ranks
from harness.stats.rule import CONFIRM_PAIRS, FAMILY_ALPHA, MIN_EFFECT, POWER, SCREEN_P, SCREEN_PAIRS
from harness.stats.sequential import looks

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

GATES = 4000
SEED = 20
MOST_SIMULATED = 40
"""Beyond this many pairs per stage the result of this many is scaled by the square root."""


def _walsh(draws: Floats) -> Floats:
    """Sorted Walsh averages of every row: (gates, n) -> (gates, n (n + 1) / 2)."""
    import numpy as np

    first, second = np.triu_indices(draws.shape[1])
    averages = (draws[:, first] + draws[:, second]) / 2
    averages.sort(axis=1)
    return averages


@lru_cache(maxsize=64)
def _stage(n: int, level: float, seed: int, estimator: str) -> tuple[Floats, Floats] | None:
    """Of simulated stages with n standard normal pairs each: the bound that must pass the null, and the estimate.

    None where n pairs cannot be significant at this level at all.
    """
    import numpy as np

    least = ranks.critical(n, level)
    if least is None:
        return None
    draws = np.random.default_rng([SEED, seed, n]).standard_normal((GATES, n))
    averages = _walsh(draws)
    estimate = np.median(draws if estimator == "median" else averages, axis=1)
    return averages[:, averages.shape[1] - least].copy(), estimate


@lru_cache(maxsize=64)
def _doubt(n: int) -> Floats:
    """Spread seen in n standard normal pairs: by how much an estimate of the spread may be off."""
    import numpy as np

    draws = np.random.default_rng([SEED, 3, n]).standard_normal((GATES, n))
    first, second = np.triu_indices(n, 1)
    seen: Floats = ranks.SHAMOS * np.median(np.abs(draws[:, first] - draws[:, second]), axis=1)
    return seen


def smallest_effect(
    spread: float,
    *,
    pairs: tuple[int, int] = (SCREEN_PAIRS, CONFIRM_PAIRS),
    seen_in: int | None = None,
    alpha: float = FAMILY_ALPHA,
    cases: int = 1,
    power: float = POWER,
    margin: float = 0.0,
) -> float:
    """The smallest slow-down (ratio - 1) that the two-stage rule sees with the power asked, at a given spread.

    Args:
        spread: standard deviation of the log-ratios between pairs.
        pairs: of screening and of confirming.
        seen_in: the number of pairs in which the spread was seen, to account for its own uncertainty; None takes
            it as known.
        alpha: of the family in the confirmation.
        cases: how many cases are confirmed together (Holm's first step divides alpha by it).
        power: chance of being seen, between 0 and 1.
        margin: the slow-down that is allowed.

    Returns:
        Infinity where so few pairs cannot see any effect.

    Raises:
        ValueError: if the spread is negative or not finite, or power, alpha, cases or pairs make no sense.
    """
    import numpy as np

    if not (math.isfinite(spread) and spread >= 0):
        raise ValueError(f"spread is {spread}: it must be a finite number, zero or more")
    if not (0 < power < 1 and 0 < alpha < 1 and cases >= 1 and min(pairs) >= 1 and margin > -1):
        raise ValueError(
            f"power {power} and alpha {alpha} must lie between 0 and 1, cases {cases} and pairs {pairs} be at least 1 "
            f"and the margin {margin} above -1"
        )
    used = [min(n, MOST_SIMULATED) for n in pairs]
    stages = [
        _stage(used[0], SCREEN_P / 2, 1, "median"),
        # As if there were the last look alone: the earlier ones can only add to what is seen.
        _stage(used[1], looks(pairs[1])[-1].share * alpha / cases, 2, "hodges-lehmann"),
    ]
    null, floor = math.log1p(margin), math.log1p(max(margin, MIN_EFFECT))
    need = np.full(GATES, -math.inf)
    sigma = spread / np.maximum(_doubt(seen_in), 1e-9) if seen_in is not None else np.full(GATES, spread)
    for stage, n, simulated in zip(stages, pairs, used, strict=True):
        if stage is None:
            return math.inf
        bound, estimate = (column * math.sqrt(simulated / n) for column in stage)
        need = np.maximum(need, np.maximum(null - sigma * bound, floor - sigma * estimate))
    return math.expm1(float(np.quantile(need, power)))


def detectable(
    log_ratios: Sequence[float],
    *,
    pairs: tuple[int, int] | None = None,
    alpha: float = FAMILY_ALPHA,
    cases: int = 1,
    power: float = POWER,
    margin: float = 0.0,
) -> float:
    """Minimum detectable effect: the smallest slow-down (ratio - 1) that a gate of this spread sees with the power.

    The uncertainty of a spread that was seen in few pairs is part of it: with fewer pairs the same spread gives a
    larger effect. The true change, if there is one, does not matter: it moves the numbers, not their spread.

    Args:
        log_ratios: one number per pair of fresh processes, whichever stage they come from.
        pairs: of screening and of confirming; the rule's own where None.
        alpha: of the family in the confirmation.
        cases: how many cases are confirmed together.
        power: chance of being seen.
        margin: the slow-down that is allowed.

    Returns:
        Infinity where there are fewer than three pairs to see a spread in, or too few to see anything.

    Raises:
        ValueError: if there is no pair, a number is not finite, or an option makes no sense.
    """
    values = ranks.checked(log_ratios)
    if len(values) < 3:  # noqa: PLR2004  (one distance says nothing of a spread)
        return math.inf
    return smallest_effect(
        ranks.spread(values),
        pairs=pairs or (SCREEN_PAIRS, CONFIRM_PAIRS),
        seen_in=len(values),
        alpha=alpha,
        cases=cases,
        power=power,
        margin=margin,
    )


def pairs_needed(
    spread: float,
    effect: float,
    *,
    alpha: float = FAMILY_ALPHA,
    cases: int = 1,
    power: float = POWER,
    margin: float = 0.0,
) -> tuple[int, int]:
    """About how many screening and confirming pairs see a slow-down of `effect` (ratio - 1) at this spread.

    The two keep the proportion of the rule's own numbers, and are never fewer than those.

    Raises:
        ValueError: if the effect is not above the margin and above what the rule ever flags, or as in
            `smallest_effect`.
    """
    wanted = math.log1p(effect) - math.log1p(margin) if effect > -1 else -math.inf
    if not (effect > MIN_EFFECT and wanted > 0):
        raise ValueError(f"effect is {effect}: it must be above the margin ({margin}) and above {MIN_EFFECT}")

    def enough(factor: float) -> bool:
        pairs = (math.ceil(SCREEN_PAIRS * factor), math.ceil(CONFIRM_PAIRS * factor))
        found = smallest_effect(spread, pairs=pairs, alpha=alpha, cases=cases, power=power, margin=margin)
        return found <= effect

    low, high = 1.0, 1.0
    while not enough(high):
        low, high = high, high * 2
    while high - low > low / 50:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return math.ceil(SCREEN_PAIRS * high), math.ceil(CONFIRM_PAIRS * high)
