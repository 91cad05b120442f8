"""What a gate says of one finding, whole, for a tired reviewer: numbers in, one sentence out.

Ratios are head over base: above 1 is slower or larger. Every sentence stands after a case's name (`about`), so none
repeats it, and none ends with a full stop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.amounts import change, count, points, share, value
from harness.gate.outputs.phrases import (
    SCORES,
    UNITS,
    WORDS,
    by,
    decibels,
    interval,
    p_value,
    percent,
    short,
    signed,
)
from harness.stats.rule import MIN_EFFECT

VERSUS = " vs "
"""Between the two names of a comparison of cases."""


def about(name: str, sentence: str) -> str:
    """A sentence with the name of what it is about: `resnet50/int8-static on cpu-t2: 4.8% slower (...)`."""
    return f"{spoken(name)}: {sentence}"


def spoken(name: str) -> str:
    """A case's id as people say it: `resnet50/int8-static on cpu-t2`; any other name as it is.

    A batch of one goes without saying; any other is named. Of `a vs b` each is said so.
    """
    if VERSUS in name:
        return VERSUS.join(spoken(part) for part in name.split(VERSUS))
    case, note, rest = name.partition(" ")
    parts = case.split("/")
    if len(parts) != 3:  # noqa: PLR2004  (model, variant, target)
        return name
    return f"{parts[0]}/{parts[1]} on {parts[2].removesuffix('-b1')}{note}{rest}"


# --- timed metrics: a ratio with an interval -----------------------------------------------------


def moved(
    metric: str,
    ratio: float,
    low: float,
    high: float,
    n: int,
    *,
    allowed: float = 0.0,
    counted: str = "pair",
    confidence: float = 0.95,
) -> str:
    """A confirmed change: `4.8% slower (95% interval 3.9 to 5.6%, 20 pairs)`.

    Args:
        metric: a key of `WORDS`.
        ratio: head over base.
        low: lower end of its interval.
        high: upper end.
        n: how many pairs it rests on.
        allowed: the margin of `--max-slowdown` as a share; named where above zero and the change is a loss.
        counted: what `n` counts, in the singular.
        confidence: of the interval.
    """
    subject, worse, better = WORDS[metric]
    word = worse if ratio >= 1 else better
    margin = f"; allowed {share(allowed)}" if allowed > 0 and ratio >= 1 else ""
    return f"{subject}{by(ratio, word)} ({interval(ratio, low, high, confidence)}, {count(n, counted)}{margin})"


def unchanged(
    metric: str,
    ratio: float,
    low: float,
    high: float,
    n: int,
    *,
    allowed: float = 0.0,
    detectable: float | None = None,
    counted: str = "pair",
    confidence: float = 0.95,
) -> str:
    """No change that counts.

    Such as `not slower: +0.3% (95% interval -0.5 to +1.1%, 8 pairs; 2.5% would have been seen)`. A number that looks
    worse than what is allowed, and was not confirmed, is not called within it.

    `detectable` is the smallest change that this would have shown, as a share; the rest is as in `moved`.
    """
    subject, worse, _ = WORDS[metric]
    limit = 1 + allowed
    if low > limit or ratio > limit + MIN_EFFECT:
        verdict = f"not shown to be {f'more than {share(allowed)} ' if allowed > 0 else ''}{worse}"
    else:
        verdict = f"within the allowed {share(allowed)}" if allowed > 0 else f"not {worse}"
    seen = f"; {share(detectable)} would have been seen" if detectable is not None and math.isfinite(detectable) else ""
    return (
        f"{subject}{verdict}: {change(ratio, sign=True)} ({signed(low, high, confidence)}, {count(n, counted)}{seen})"
    )


def unclear(
    metric: str,
    n: int,
    *,
    wanted: float,
    detectable: float | None = None,
    ratio: float | None = None,
    low: float | None = None,
    high: float | None = None,
    why: str = "",
    remedy: str = "",
    counted: str = "pair",
    confidence: float = 0.95,
) -> str:
    """Nobody can tell, why, and what would help.

    Such as `cannot tell whether it is slower: +1.2% (95% interval -3.0 to +5.6%, 8 pairs); only a change of 6.1% or
    more would have been seen, 3% was asked for; about 34 pairs would show it`.

    Args:
        metric: a key of `WORDS`.
        n: how many pairs there were; with none, only the reason is given.
        wanted: the change that was to be seen, as a share.
        detectable: the smallest that would have been seen.
        ratio: head over base, None where there is none.
        low: lower end of its interval.
        high: upper end.
        why: what stopped the measurement, such as `time limit`.
        remedy: what would help; by default the number of pairs that the spread asks for.
        counted: what `n` counts, in the singular.
        confidence: of the interval.
    """
    subject, worse, _ = WORDS[metric]
    text = f"{subject}cannot tell whether it is {worse}"
    if ratio is not None and low is not None and high is not None:
        text += f": {change(ratio, sign=True)} ({signed(low, high, confidence)}, {count(n, counted)})"
    else:
        text += f" from {count(n, counted)}" if n else ": nothing was measured"
    parts = [text]
    if why:
        parts.append(f"stopped by {why}")
    if detectable is not None and math.isfinite(detectable):
        parts.append(
            f"only a change of {share(detectable)} or more would have been seen, {share(wanted)} was asked for"
        )
    parts.append(remedy or help_for(n, detectable=detectable, wanted=wanted, counted=counted))
    return "; ".join(part for part in parts if part)


def help_for(n: int, *, detectable: float | None, wanted: float, counted: str = "pair") -> str:
    """What would let a case be decided: the spread of a mean falls with the square root of the number of pairs."""
    if not n or detectable is None or not math.isfinite(detectable) or wanted <= 0:
        return "give it more time (--time-limit), or fewer cases (--models)"
    if detectable <= wanted:
        return "more pairs would narrow it"
    needed = math.ceil(n * (math.log1p(detectable) / math.log1p(wanted)) ** 2)
    return f"about {count(needed, counted)} or a quieter host would show that"


# --- exact metrics ---------------------------------------------------------------------------------


def exact(metric: str, base: float, head: float, *, allowed: float = 0.0) -> str:
    """Sizes and node counts, which need no statistics: `artifact grew from 12.3 MB to 12.9 MB (+4.9%; allowed 1%)`."""
    unit = UNITS.get(metric, "")
    subject = WORDS[metric][0].rstrip()
    if base == head:
        return f"{subject} as before: {value(base, unit)}"
    before, after = value(base, unit), value(head, unit)
    if before == after:
        before, after = f"{base:,.0f} {unit}", f"{head:,.0f} {unit}"
    word = "grew" if head > base else "shrank"
    relative = change(head / base, sign=True) if base else "from nothing"
    margin = f"; allowed {share(allowed)}" if allowed > 0 and head > base else ""
    return f"{subject} {word} from {before} to {after} ({relative}{margin})"


# --- accuracy and fidelity -------------------------------------------------------------------------


def accuracy(
    metric: str,
    base: float,
    head: float,
    n: int,
    *,
    newly_wrong: int | None = None,
    newly_right: int | None = None,
    low: float | None = None,
    high: float | None = None,
    p: float | None = None,
    allowed: float | None = None,
    noun: str = "example",
    share_of_reference: bool = False,
    detectable: float | None = None,
) -> str:
    """A task metric on the same data, paired.

    Such as `top-1 fell from 99.33% to 97.1% (10 of 450 digits newly wrong, 0 newly right, p = 0.002; allowed 1 point)`.

    Args:
        metric: as `records.Accuracy.metric`.
        base: the metric of the base as a share of one.
        head: of the head.
        n: examples.
        newly_wrong: for metrics of right and wrong answers: right on the base, wrong on the head.
        newly_right: the other way round.
        low: for metrics that are scores: lower end of the 95% interval of head minus base, as a share.
        high: its upper end.
        p: of the test.
        allowed: the margin: points as a share (0.01 is one point).
        noun: what one example is called.
        share_of_reference: whether `allowed` is instead a share of the base, as MLPerf's 99% (0.01) is.
        detectable: where so many examples cannot tell: the smallest drop that they would show, as a share.
    """
    name = SCORES.get(metric, metric)
    if head == base and not newly_wrong and not newly_right:
        text = f"{name} as before: {percent(base)}"
        details = [f"the same {count(n, noun)} right and wrong" if newly_wrong is not None else count(n, noun)]
    else:
        word = "fell" if head < base else "rose" if head > base else "stayed at"
        text = f"{name} {word} {percent(base)}" if head == base else f"{name} {word} from {percent(base)}"
        text += "" if head == base else f" to {percent(head)}"
        details = []
        if newly_wrong is not None and newly_right is not None:
            details.append(f"{newly_wrong} of {count(n, noun)} newly wrong, {newly_right} newly right")
        else:
            details.append(count(n, noun))
        if low is not None and high is not None:
            details.append(f"95% interval {low * 100:+.2f} to {high * 100:+.2f} points")
        if p is not None:
            details.append(p_value(p))
    margin = ""
    if allowed is not None:
        margin = f"; at least {share(1 - allowed)} of it" if share_of_reference else f"; allowed {points(allowed)}"
    told = f"{text} ({', '.join(details)}{margin})"
    if detectable is None:
        return told
    return f"{told}; {count(n, noun)} can only show a drop of {points(detectable)} or more: evaluate on more"


def fidelity(
    base_db: float | None,
    head_db: float | None,
    *,
    budget_db: float | None = None,
    allowed_db: float | None = None,
    judged_by: str = "",
) -> str:
    """Centred SQNR against the fp32 reference: `fidelity fell from 42.1 dB to 35.0 dB (budget: at least 20 dB)`.

    None stands for outputs that are the reference's own. `judged_by` names what decides in place of fidelity.
    """
    before, after = (f"{x:.1f} dB" if x is not None else "exact" for x in (base_db, head_db))
    limits = [f"budget: at least {budget_db:g} dB"] if budget_db is not None else []
    limits += [f"allowed: {allowed_db:g} dB less"] if allowed_db is not None else []
    limits += [f"for information: {judged_by} decides"] if judged_by and before != after else []
    tail = f" ({', '.join(limits)})" if limits else ""
    if before == after:
        return f"fidelity as before: {before}{tail}"
    fell = head_db is not None and (base_db is None or head_db < base_db)
    return f"fidelity {'fell' if fell else 'rose'} from {before} to {after}{tail}"


# --- cases without a number ------------------------------------------------------------------------


def incomparable(fields: Sequence[str]) -> str:
    """Why two cases are not set against each other; each entry as `field` writes it."""
    return f"not comparable, the sides differ in {'; '.join(fields)}"


def failed(role: str, asked: str, reason: str) -> str:
    """Which side broke, and why: `head (main) failed: the worker died`."""
    return f"{role} ({asked}) failed: {' '.join(reason.split()).rstrip('.')}"


def missing(role: str, asked: str) -> str:
    """A case that one side does not have."""
    return f"only the {'head' if role == 'base' else 'base'} has it: the zoo of {role} ({asked}) holds no such case"


# --- history ---------------------------------------------------------------------------------------


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


def quiet(metric: str, n: int) -> str:
    """A series without a change."""
    return f"{WORDS[metric][0]}no change in {count(n, 'run')}"


def abstained(metric: str, why: str) -> str:
    """A series that cannot be judged."""
    return f"{WORDS[metric][0] or 'latency '}not judged: {why}"
