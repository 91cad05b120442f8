"""What a gate says of one finding, whole, for a tired reviewer: numbers in, one sentence out.

Ratios are head over base: above 1 is slower or larger. Every sentence stands after a case's name (`about`), so none
repeats it, and none ends with a full stop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.gate.text.phrases import UNITS, WORDS, by, interval, signed
from harness.records import case_id
from harness.stats.rule import MIN_EFFECT
from harness.units import change, count, share, value

OTHER_WEIGHTS = "the weights differ"

VERSUS = " vs "
"""Between the two names of a comparison of cases."""


def about(name: str, sentence: str) -> str:
    """A sentence with the name of what it is about: `resnet50/int8-static/cpu-t2-b1: 4.8% slower (...)`."""
    return f"{name}: {sentence}"


def earlier_name(name: str) -> str:
    """A case's id as earlier versions of the reports had it, from which people copy: `m/v on cpu-t1`."""
    if VERSUS in name:
        return VERSUS.join(map(earlier_name, name.split(VERSUS)))
    case, note, rest = name.partition(" ")
    named = case_id.parts(case)
    return f"{named.model}/{named.variant} on {named.label.removesuffix('-b1')}{note}{rest}" if all(named) else name


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
    margin = f"; allowed {share(allowed)}, {change(ratio / (1 + allowed))} beyond" if allowed > 0 and ratio >= 1 else ""
    return f"{subject}{by(ratio, word)} ({interval(ratio, low, high, confidence)}, {count(n, counted)}{margin})"


def informed(metric: str, ratio: float, low: float, high: float, n: int) -> str:
    """What a metric that is not judged came to, such as `peak memory +0.3% (95% interval ...), for information`."""
    subject, _, _ = WORDS[metric]
    return f"{subject}{change(ratio, sign=True)} ({signed(low, high, 0.95)}, {count(n, 'pair')}), for information"


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
    if low > 1 and verdict.startswith("within"):
        verdict += f", which forgives a {'growth' if worse == 'larger' else 'slow-down'} that is certain"
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
    allowed: float = 0.0,
    why: str = "",
    stage: str = "",
    remedy: str = "",
    counted: str = "pair",
    confidence: float = 0.95,
) -> str:
    """Inconclusive: why, and what would help.

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
        allowed: the margin within `wanted`; named where above zero.
        why: what stopped the measurement, such as `time limit`.
        stage: when it did, such as `before confirmation`; empty where screening was not over.
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
        parts.append(" ".join(filter(None, ("stopped", stage, "by", why))))
    if detectable is not None and math.isfinite(detectable):
        asked = f"{share(wanted)} was asked for" + (f", the allowed {share(allowed)} included" if allowed > 0 else "")
        if detectable > wanted:
            when = f"even with all its {counted}s " if why else ""
            parts.append(f"{when}only a change of {share(detectable)} or more would have been seen, {asked}")
        elif why:
            parts.append(f"with all its {counted}s a change of {share(detectable)} or more would have been seen")
        else:
            parts.append(f"it looked {worse}, and fresh {counted}s neither confirm that nor exclude {share(wanted)}")
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


# --- cases without a number ------------------------------------------------------------------------


def incomparable(fields: Sequence[str]) -> str:
    """Why two cases are not set against each other; each entry as `field` writes it."""
    return f"no verdict, since the sides differ in {'; '.join(fields)}"


def retrained(sentence: str) -> str:
    """A sentence about two sides that compute with different weights."""
    return f"{sentence}; {OTHER_WEIGHTS}"


def failed(role: str, asked: str, reason: str) -> str:
    """Which side broke, and why: `head (main) failed: the worker died`."""
    return f"{role} ({asked}) failed: {' '.join(reason.split()).rstrip('.')}"


def missing(role: str, asked: str) -> str:
    """A case that one side does not have."""
    return f"only the {'head' if role == 'base' else 'base'} has it: the zoo of {role} ({asked}) holds no such case"
