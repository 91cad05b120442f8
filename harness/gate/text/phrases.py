"""What sentences are made of: what a metric is called, how a change, an interval and a commit are written."""

from __future__ import annotations

import math

from harness.metrics import ARTIFACT_SIZE, METRICS
from harness.units import TWICE, change, share

SHORT_COMMIT = 9

NAMES = {ARTIFACT_SIZE.name: "size"}
"""Metric -> what findings call it, where that differs."""

WORDS = {NAMES.get(one.name, one.name): (one.subject, one.worse, one.better) for one in METRICS} | {
    "nodes": ("graph ", "larger", "smaller")
}
"""Metric -> how a sentence begins, the word for a ratio above 1 and the word for one below."""

UNITS = {NAMES.get(one.name, one.name): one.unit for one in METRICS if one.unit == "bytes"} | {"nodes": "nodes"}

SCORES = {"top1": "top-1", "top5": "top-5", "map50": "mAP50", "map50_95": "mAP50-95"}


def short(commit: str) -> str:
    """A commit as sentences cite it; anything that is not a hash stays whole."""
    whole = len(commit) >= SHORT_COMMIT and all(c in "0123456789abcdef" for c in commit)
    return commit[:SHORT_COMMIT] if whole else commit


def by(ratio: float, word: str) -> str:
    """`4.8% slower`, or `2.30 times as slow` where percentages stop helping."""
    base = {"slower": "slow", "faster": "fast", "larger": "large", "smaller": "small"}[word]
    if ratio >= TWICE:
        return f"{ratio:.2f} times as {base}"
    if 0 < ratio <= 1 / TWICE:
        return f"{1 / ratio:.2f} times as {base}"
    return f"{change(ratio)} {word}"


def interval(ratio: float, low: float, high: float, confidence: float) -> str:
    """`95% interval 3.9 to 5.6%`: in the direction and unit of `by`, signed where it reaches over no change."""
    if low <= 1 <= high or not (low > 0 and math.isfinite(high)):
        return signed(low, high, confidence)
    if ratio >= TWICE:
        text = f"{low:.2f} to {high:.2f} times"
    elif ratio <= 1 / TWICE:
        text = f"{1 / high:.2f} to {1 / low:.2f} times"
    else:
        near, far = (low, high) if ratio >= 1 else (high, low)
        text = f"{change(near).removesuffix('%')} to {change(far)}"
    return f"{share(confidence)} interval {text}"


def signed(low: float, high: float, confidence: float) -> str:
    """`95% interval -0.5 to +1.1%`; so few pairs that nothing bounds it have none."""
    if not (low > 0 and math.isfinite(high)):
        return "too few for an interval"
    return f"{share(confidence)} interval {change(low, sign=True).removesuffix('%')} to {change(high, sign=True)}"


def decibels(loss: float) -> float | None:
    """Centred SQNR of an error relative to the signal; None where there is none."""
    return -20 * math.log10(loss) if loss > 0 else None


def percent(value: float) -> str:
    """A share of right answers with as many decimals as say something: `97.1%`, `99.33%`."""
    text = f"{value * 100:.2f}"
    return text[:-1] + "%" if text.endswith("0") else text + "%"


def p_value(p: float) -> str:
    """A p-value with two significant digits, such as `p = 0.002`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"  # noqa: PLR2004
