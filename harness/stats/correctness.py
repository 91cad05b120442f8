"""Accuracy and fidelity of head against base, example by example on the same data.

Two means hide that the same examples were asked: pairing removes everything that makes some examples harder than
others. A drop is base minus head, so larger is worse, as everywhere in this package.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from harness.stats import ranks
from harness.stats.rule import POWER

CONFIDENCE = 0.95
RESAMPLES = 9999
SEED = 20
FEW = 5
"""With fewer differing examples than this a bootstrap interval is narrower than honest, and is widened."""

SAME = 1e-12
"""Differences that are equal on paper are equal up to this share of the scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemar:
    """How often the two sides disagree on what is right, and whether that could be chance.

    Attributes:
        lost: examples that base has right and head wrong.
        gained: examples that head has right and base wrong.
        n: all examples.
        p_worse: one-sided exact p that head is worse.
        p: two-sided exact p.
    """

    lost: int
    gained: int
    n: int
    p_worse: float
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Mean of base minus head over the examples, with its interval, in the units of the scores.

    Attributes:
        reference: base's own mean, for margins that are a share of it.
        detectable: the smallest drop that n such examples would have shown (one-sided, power 80%).
        identical: whether no example scores differently on the two sides.
    """

    value: float
    low: float
    high: float
    reference: float
    n: int
    detectable: float
    identical: bool


def _both(base: Sequence[float], head: Sequence[float]) -> tuple[list[float], list[float]]:
    if len(base) != len(head):
        raise ValueError(f"{len(base)} examples of base and {len(head)} of head: they must be the same ones")
    return ranks.checked(base, "base score"), ranks.checked(head, "head score")


def mcnemar(base_right: Sequence[bool], head_right: Sequence[bool]) -> McNemar:
    """Exact McNemar test (McNemar, 1947): among examples that one side alone has right, each side is a fair coin.

    Args:
        base_right: one truth value per example.
        head_right: the same examples in the same order.

    Raises:
        ValueError: if there is no example, or the lengths differ.
    """
    if len(base_right) != len(head_right):
        raise ValueError(f"{len(base_right)} examples of base and {len(head_right)} of head: they must be the same")
    if not len(base_right):
        raise ValueError("no examples: at least one is needed")
    lost = sum(bool(b) and not h for b, h in zip(base_right, head_right, strict=True))
    gained = sum(bool(h) and not b for b, h in zip(base_right, head_right, strict=True))
    n = lost + gained

    def tail(count: int) -> float:
        term, total = math.comb(n, count), 0
        for k in range(count, n + 1):
            total += term
            term = term * (n - k) // (k + 1)
        return total / (1 << n)

    return McNemar(
        lost=lost,
        gained=gained,
        n=len(base_right),
        p_worse=tail(lost),
        p=min(1.0, 2 * tail(max(lost, gained))),
    )


def wilson(right: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Score interval of a share (Wilson, JASA 22, 1927): right of n examples.

    Raises:
        ValueError: if there is no example, or more are right than there are.
    """
    if not 0 <= right <= n or not n:
        raise ValueError(f"{right} of {n} examples: at least one is needed, and no more right than there are")
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    centre, share = (right + z * z / 2) / (n + z * z), right / n
    half = z / (n + z * z) * math.sqrt(n * share * (1 - share) + z * z / 4)
    return (max(0.0, centre - half) if right else 0.0), (min(1.0, centre + half) if right < n else 1.0)


def tango(lost: int, gained: int, n: int, confidence: float) -> tuple[float, float]:
    """Score interval of a difference of paired shares (Tango, Statistics in Medicine 17, 1998).

    It keeps its confidence for few examples and has a width even where no example differs.
    """
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)

    def score(difference: float) -> float:
        # The share of gained examples that is most likely if the true difference is this one.
        b = -lost - gained + (2 * n - lost + gained) * difference
        c = -gained * difference * (1 - difference)
        share = max((math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n), 0.0)
        variance = n * (2 * share + difference * (1 - difference))
        gap = lost - gained - n * difference
        return gap / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, gap) if gap else 0.0

    def solve(low: float, high: float, target: float) -> float:
        while high - low > 1e-12:  # noqa: PLR2004  (shares are given to three digits)
            middle = (low + high) / 2
            low, high = (middle, high) if score(middle) > target else (low, middle)
        return (low + high) / 2

    value = (lost - gained) / n
    return solve(-1.0, value, z) if value > -1 else -1.0, solve(value, 1.0, -z) if value < 1 else 1.0


def _detectable(differences: Sequence[float], n: int, span: float) -> float:
    """Drop that a one-sided test at 2.5% sees with the usual power, never below what the fewest examples can show.

    Five or fewer one-sided differences are not evidence at that level (2**-5 > 2.5%): six examples' worth is the least.
    """
    normal = statistics.NormalDist()
    factor = normal.inv_cdf((1 + CONFIDENCE) / 2) + normal.inv_cdf(POWER)
    deviation = statistics.stdev(differences) if n > 1 else math.inf
    fewest = next(k for k in range(1, 100) if 2**-k <= (1 - CONFIDENCE) / 2)
    if n < fewest:
        return math.inf
    return max(factor * deviation / math.sqrt(n), fewest * span / n)


def right_drop(base_right: Sequence[bool], head_right: Sequence[bool], confidence: float = CONFIDENCE) -> Drop:
    """Drop of the share of right answers, with Tango's score interval for paired shares.

    Raises:
        ValueError: as in `mcnemar`.
    """
    counts = mcnemar(base_right, head_right)
    low, high = tango(counts.lost, counts.gained, counts.n, confidence)
    differences = [float(bool(b)) - float(bool(h)) for b, h in zip(base_right, head_right, strict=True)]
    return Drop(
        value=(counts.lost - counts.gained) / counts.n,
        low=low,
        high=high,
        reference=sum(map(bool, base_right)) / counts.n,
        n=counts.n,
        detectable=_detectable(differences, counts.n, 1.0),
        identical=not counts.lost and not counts.gained,
    )


def bootstrap_drop(
    base_scores: Sequence[float],
    head_scores: Sequence[float],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    span: float = 1.0,
) -> Drop:
    """Mean drop of a score, with a bias-corrected and accelerated bootstrap interval over examples (Efron, 1987).

    Where fewer than `FEW` examples differ, or all by as much, the bootstrap has seen too little: the interval is then
    widened by what n examples cannot exclude, that a share 1 - (1 - confidence)**(1 / n) of all examples (3 / n at
    95%, the rule of three) differs by `span`.

    Args:
        base_scores: one number per example, larger is better.
        head_scores: the same examples in the same order.
        confidence: of the two-sided interval.
        resamples: of the bootstrap.
        seed: of its generator; the same numbers give the same interval.
        span: the largest difference that one example can make, in the units of the score.

    Raises:
        ValueError: if there is no example, the lengths differ, or a score is not finite.
    """
    import numpy as np

    base, head = _both(base_scores, head_scores)
    differences = np.subtract(base, head)
    n, value = len(differences), float(differences.mean())
    differing = int(np.count_nonzero(differences))
    low = high = value
    varies = n > 1 and float(np.ptp(differences)) > SAME * float(np.abs([base, head]).max())
    if varies:
        low, high = _bca(differences, confidence, resamples, seed)
    if differing < FEW or not varies:
        unseen = span * (1 - (1 - confidence) ** (1 / n))
        low, high = min(low, value - unseen), max(high, value + unseen)
    return Drop(
        value=value,
        low=low,
        high=high,
        reference=statistics.fmean(base),
        n=n,
        detectable=_detectable(differences.tolist(), n, 0.0 if differing >= FEW else span),
        identical=not differing,
    )


def _bca(differences: object, confidence: float, resamples: int, seed: int) -> tuple[float, float]:
    """BCa interval of the mean of differences, not all equal."""
    import numpy as np

    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    step = max(1, 2_000_000 // n)  # keeps a block of indices in a few megabytes
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        means[start : start + size] = values[generator.integers(0, n, (size, n))].mean(axis=1)
    means.sort()
    normal = statistics.NormalDist()
    mean = values.mean()
    tolerance = 1e-12 * float(np.abs(values).max())
    below = (np.count_nonzero(means < mean - tolerance) + np.count_nonzero(means <= mean + tolerance)) / 2 / resamples
    bias = normal.inv_cdf(min(max(float(below), 1 / (resamples + 1)), resamples / (resamples + 1)))
    # Leaving one example out moves a mean by its distance from it: the jackknife needs no loop.
    gaps = values - mean
    acceleration = float((gaps**3).sum() / (6 * (gaps**2).sum() ** 1.5))

    def bound(probability: float) -> float:
        z = bias + normal.inv_cdf(probability)
        share = normal.cdf(bias + z / (1 - acceleration * z))
        return float(np.quantile(means, share))

    return bound((1 - confidence) / 2), bound((1 + confidence) / 2)
