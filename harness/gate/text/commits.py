"""What a gate says of a series over commits; as in `harness.gate.text.sentences`, numbers in, one sentence out."""

from __future__ import annotations

from harness.gate.text.phrases import UNITS, WORDS, by, decibels, interval, p_value, short
from harness.gate.text.scores import fidelity
from harness.gate.text.sentences import exact
from harness.units import count, points


def in_history(
    metric: str,
    ratio: float | None,
    low: float,
    high: float,
    *,
    values: tuple[float, float],
    before: tuple[str, int],
    after: tuple[str, int],
    p: float | None = None,
    confidence: float = 0.95,
) -> str:
    """A change between two commits of a series.

    Such as `4.8% slower between 1a2b3c4d5 and 9f8e7d6c5 (95% interval 3.9 to 5.6%, 6 runs before and 4 after)`.

    Args:
        metric: a key of `WORDS`.
        ratio: after over before; None where one of the values is zero.
        low: lower end of its interval; the ratio itself where the metric has no noise.
        high: upper end.
        values: the typical values before and after.
        before: the last commit before the change, and how many points there were before it.
        after: the first commit after it, and how many points there are since.
        p: of the permutation test.
        confidence: of the interval.
    """
    subject, worse, better = WORDS[metric]
    where = f"between {short(before[0])} and {short(after[0])}"
    if metric == "accuracy_drop":
        moved_by = points(abs(values[1] - values[0]))
        return f"accuracy {'fell' if values[1] > values[0] else 'rose'} by {moved_by} {where}"
    if metric == "fidelity_loss":
        return f"{fidelity(*(decibels(loss) for loss in values))} {where}"
    if metric in UNITS and low == high:
        return f"{exact(metric, *values)} {where}"
    details = [f"{count(before[1], 'run')} before and {after[1]} after"]
    if p is not None:
        details.append(p_value(p))
    if ratio is None:
        return f"{subject}{worse if values[1] > values[0] else better} {where} ({', '.join(details)})"
    details.insert(0, interval(ratio, low, high, confidence))
    return f"{subject}{by(ratio, worse if ratio >= 1 else better)} {where} ({', '.join(details)})"


def still(metric: str, ratio: float | None, *, values: tuple[float, float]) -> str:
    """What is left of a change today: `the newest level is still 16.4% slower than before it`.

    Args:
        metric: a key of `WORDS`.
        ratio: the newest level over the one before the change; None where one of them is zero.
        values: both levels.
    """
    _, worse, better = WORDS[metric]
    grown = values[1] > values[0]
    if metric == "accuracy_drop":
        left = f"{points(abs(values[1] - values[0]))} {'lower' if grown else 'higher'}"
    elif ratio is None:
        left = worse if grown else better
    else:
        left = by(ratio, worse if ratio >= 1 else better)
    return f"the newest level is {'still ' if grown else ''}{left} than before it"


def quiet(metric: str, n: int) -> str:
    """A series without a change."""
    return f"{WORDS[metric][0]}no change in {count(n, 'run')}"


NOT_JUDGED = "not judged: "
"""What stands before the reason why a series cannot be judged."""


def abstained(metric: str, why: str) -> str:
    """A series that cannot be judged."""
    return f"{WORDS[metric][0] or 'latency '}{NOT_JUDGED}{why}"
