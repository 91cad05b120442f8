"""What a gate says of accuracy and fidelity; as in `harness.gate.text.sentences`, numbers in, one sentence out."""

from __future__ import annotations

from harness.gate.text.phrases import SCORES, p_value, percent
from harness.units import count, points, share


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
    whole = f"{text} ({', '.join(details)}{margin})"
    if detectable is None:
        return whole
    return f"{whole}; {count(n, noun)} can only show a drop of {points(detectable)} or more: evaluate on more"


def metric(
    name: str,
    unit: str,
    base: float,
    head: float,
    n: int,
    *,
    interval: tuple[float, float] | None = None,
    allowed: float | None = None,
    detectable: float | None = None,
) -> str:
    """A task metric in a unit of its own on the same data, paired.

    Such as `mae rose from 1.2 s to 1.5 s (450 examples, 95% interval +0.1 to +0.5; allowed 0.012)`.

    Args:
        name: of the metric.
        unit: of the values; empty for plain numbers.
        base: the metric of the base.
        head: of the head.
        n: examples.
        interval: 95%, of head minus base.
        allowed: how much worse head may be.
        detectable: where so many examples cannot tell: the smallest loss that they would show.
    """
    told_base, told_head = (f"{x:.4g} {unit}".strip() for x in (base, head))
    details = [count(n, "example")]
    if head == base:
        text = f"{name} as before: {told_base}"
    else:
        text = f"{name} {'fell' if head < base else 'rose'} from {told_base} to {told_head}"
    if interval is not None:
        details.append(f"95% interval {interval[0]:+.3g} to {interval[1]:+.3g}")
    margin = "" if allowed is None else f"; allowed {allowed:.3g}"
    scored = f"{text} ({', '.join(details)}{margin})"
    if detectable is None:
        return scored
    return f"{scored}; {count(n, 'example')} can only show a loss of {detectable:.3g} or more: evaluate on more"


def fidelity(
    base_db: float | None,
    head_db: float | None,
    *,
    budget_db: float | None = None,
    allowed_db: float | None = None,
    judged_by: str = "",
    part: str = "",
) -> str:
    """Centred SQNR against the fp32 reference: `fidelity fell from 42.1 dB to 35.0 dB (budget: at least 20 dB)`.

    None stands for outputs that are the reference's own. `judged_by` names what decides in place of fidelity, `part`
    the worst output, or part of one, where there are several.
    """
    before, after = (f"{x:.1f} dB" if x is not None else "exact" for x in (base_db, head_db))
    limits = [f"budget: at least {budget_db:g} dB"] if budget_db is not None else []
    limits += [f"allowed: {allowed_db:g} dB less"] if allowed_db is not None else []
    limits += [f"for information: {judged_by} decides"] if judged_by and before != after else []
    tail = f" ({', '.join(limits)})" if limits else ""
    place = f" at {part}" if part and head_db is not None else ""
    if before == after:
        return f"fidelity as before: {before}{place}{tail}"
    fell = head_db is not None and (base_db is None or head_db < base_db)
    return f"fidelity {'fell' if fell else 'rose'} from {before} to {after}{place}{tail}"


def equal(
    base: float, head: float, *, budget: float | None = None, allowed: float | None = None, part: str = ""
) -> str:
    """Share of values that are the reference's own: `equal values fell from 99.8% to 96.7% (budget: at least 98%)`.

    Args:
        base: share of one.
        head: as well.
        budget: the smallest share that is good enough.
        allowed: how much of it may be lost, as a share.
        part: the worst output, where there are several.
    """
    limits = [f"budget: at least {share(budget)}"] if budget is not None else []
    limits += [f"allowed: {points(allowed)} less"] if allowed is not None else []
    tail = f" ({', '.join(limits)})" if limits else ""
    place = f" at {part}" if part else ""
    if base == head:
        return f"equal values as before: {percent(head)}{place}{tail}"
    word = "fell" if head < base else "rose"
    return f"equal values {word} from {percent(base)} to {percent(head)}{place}{tail}"


def faults(found: tuple[str, ...]) -> str:
    """Parts that are dead, or no numbers, in head alone."""
    return f"not so in base: {'; '.join(found)}"
