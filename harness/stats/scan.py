"""Changes in stored histories: which series changed level, where, by how much, and which cannot be judged.

Every series is searched for a change of level by ranks (`harness.stats.changes`); Benjamini and Hochberg's procedure
over all series bounds the share of false findings; a series with a finding is split there and both parts are searched
again (binary segmentation). Neighbouring points that still correlate once the levels are taken out mean that the host
drifted: permutation knows nothing of that, so such a series is reported as unjudgeable instead of alarmed on.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.stats import changes
from harness.stats.strength import FEWEST_AFTER

if TYPE_CHECKING:
    from harness.stats.strength import Floats, Numbers

FDR = 0.05
CONFIDENCE = 0.95
CORRELATED = 0.25
"""Correlation of neighbours, levels taken out, above which a series is not judged (and 1.64 standard errors)."""


Span = tuple[int, int]
"""First point of a level, and the first one after it."""

Known = dict[tuple[str, int, int], changes.StepPosition]
"""Series, first point and end of a part -> what was found in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of level.

    Attributes:
        index: the first point after it; it happened between `index - 1` and `index`.
        ratio: typical value after over before, with its 95% interval; for exact series low = ratio = high.
        before, after: typical values of the levels on both sides, up to the neighbouring changes.
        p: of the search that found it; 0 for exact series.
        adjusted: the same after Benjamini and Hochberg over everything searched in that round.
    """

    index: int
    ratio: float
    low: float
    high: float
    before: float
    after: float
    p: float
    adjusted: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What the scan says of one series.

    Attributes:
        changes: in order of time; empty where nothing was found.
        abstained: why the series cannot be judged; empty where it was.
    """

    changes: tuple[Change, ...] = ()
    abstained: str = ""


def benjamini_hochberg(ps: Sequence[float]) -> list[float]:
    """Adjusted p-values that bound the share of false findings (Benjamini and Hochberg, 1995), in the order given."""
    adjusted, best = [0.0] * len(ps), 1.0
    order = sorted(range(len(ps)), key=ps.__getitem__, reverse=True)
    for place, index in enumerate(order):
        best = min(best, ps[index] * len(ps) / (len(ps) - place))
        adjusted[index] = best
    return adjusted


def fewest(fdr: float = FDR) -> int:
    """Points that a series needs before any change in it could be significant on its own."""
    n = 2 * FEWEST_AFTER
    while 2 / math.comb(n, n // 2) > fdr:
        n += 1
    return n


def scan(series: Mapping[str, Numbers], *, fdr: float = FDR, exact: Collection[str] = ()) -> dict[str, Scan]:
    """Search all series at once.

    Args:
        series: name -> values in order of time, above zero (latencies, bytes); any finite numbers where exact.
        fdr: largest expected share of false ones among the findings of a round.
        exact: names of series without noise, such as size or node counts: every step in them is a change at once.

    Returns:
        For every name its changes, or why it was not judged.

    Raises:
        ValueError: if a value is not finite, or not above zero in a series with noise, or fdr is not between 0 and 1.
    """
    import numpy as np

    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in series.items()}
    _check(arrays, fdr, exact)
    found: dict[str, Scan] = {}
    judged: dict[str, Floats] = {}
    for name, values in arrays.items():
        if name in exact:
            found[name] = Scan(changes=_steps(values))
        elif len(values) < fewest(fdr):
            points = "1 point" if len(values) == 1 else f"{len(values)} points"
            found[name] = Scan(abstained=f"{points}; at least {fewest(fdr)} are needed")
        else:
            judged[name] = np.log(values)
    # Correlation is looked at with the levels that would be found if nothing else were searched; only series that
    # pass it enter the family.
    known: Known = {}
    alone = _segment(judged, fdr, known, together=False)
    alike: dict[tuple[int, ...], list[str]] = {}
    for name, cuts in alone.items():
        alike.setdefault((*sorted(cuts), len(judged[name])), []).append(name)
    for (*edges, length), names in alike.items():
        correlations = changes.neighbours_of(np.stack([judged[name] for name in names]), edges)
        for name, strong in zip(names, correlations.tolist(), strict=True):
            if strong <= max(CORRELATED, 1.64 / math.sqrt(length)):
                continue
            found[name] = Scan(abstained=f"neighbouring points correlate ({strong:.2f}): the host drifted")
            del judged[name]
    for name, cuts in _segment(judged, fdr, known, together=True).items():
        found[name] = Scan(changes=_sized(arrays[name], cuts))
    return {name: found[name] for name in series}


def _check(series: Mapping[str, Floats], fdr: float, exact: Collection[str]) -> None:
    import numpy as np

    if not 0 < fdr < 1:
        raise ValueError(f"fdr is {fdr}: it must lie between 0 and 1, such as 0.05")
    for name, values in series.items():
        wrong = ~np.isfinite(values) if name in exact else ~(np.isfinite(values) & (values > 0))
        if wrong.any():
            index = int(np.argmax(wrong))
            valid = "a finite number" if name in exact else "a finite number above zero"
            raise ValueError(f"{name}: value {index} is {values[index]}; every one must be {valid}, leave gaps out")


def _segment(
    series: Mapping[str, Floats], fdr: float, known: Known, *, together: bool
) -> dict[str, dict[int, tuple[float, float]]]:
    """Binary segmentation of all series in rounds: name -> {first point after: (p, adjusted)}.

    Args:
        series: name -> values.
        fdr: level of every round.
        known: gets what was found in each part, and is asked before one is searched.
        together: whether p-values are adjusted over everything searched in a round, or every one stands alone.
    """
    cuts: dict[str, dict[int, tuple[float, float]]] = {name: {} for name in series}
    parts = [(name, 0, len(values)) for name, values in series.items()]
    while parts:
        lengths: dict[int, list[tuple[str, int, int]]] = {}
        for part in parts:
            if part[2] - part[1] >= fewest(fdr):
                lengths.setdefault(part[2] - part[1], []).append(part)
        for group in lengths.values():
            if new := [part for part in group if part not in known]:
                found = changes.places([series[name][start:stop] for name, start, stop in new], ignore=fdr)
                known.update(zip(new, found, strict=True))
        searched = [(part, known[part]) for group in lengths.values() for part in group]
        ps = [place.p for _, place in searched]
        adjusted = benjamini_hochberg(ps) if together else ps
        parts = []
        for ((name, start, stop), place), q in zip(searched, adjusted, strict=True):
            if q <= fdr:
                middle = start + place.index
                cuts[name][middle] = (place.p, q)
                parts += [(name, start, middle), (name, middle, stop)]
    return cuts


def between(
    values: Numbers, before: Span, after: Span, *, exact: bool, p: float = 0.0, adjusted: float = 0.0
) -> Change:
    """The change from one level of a series to another, which need not be its neighbour.

    Args:
        values: of the whole series, above zero unless exact.
        before: the one level, as the points that it spans.
        after: the other.
        exact: whether the series has no noise: a level is then its last value.
        p: of the search that found the level.
        adjusted: the same over everything that was searched.
    """
    import numpy as np

    whole = np.asarray(values, dtype=np.float64)
    old, new = whole[slice(*before)], whole[slice(*after)]
    if exact:
        first, last = float(old[-1]), float(new[-1])
        ratio = last / first if first > 0 and last > 0 else math.nan
        return Change(
            index=after[0], ratio=ratio, low=ratio, high=ratio, before=first, after=last, p=p, adjusted=adjusted
        )
    estimate, low, high = changes.step_interval(np.log(old), np.log(new), CONFIDENCE)
    return Change(
        index=after[0],
        ratio=math.exp(estimate),
        low=math.exp(low),
        high=math.exp(high),
        before=float(np.median(old)),
        after=float(np.median(new)),
        p=p,
        adjusted=adjusted,
    )


def _sized(values: Floats, cuts: Mapping[int, tuple[float, float]]) -> tuple[Change, ...]:
    edges = [0, *sorted(cuts), len(values)]
    return tuple(
        between(values, (first, index), (index, last), exact=False, p=cuts[index][0], adjusted=cuts[index][1])
        for first, index, last in zip(edges, edges[1:], edges[2:], strict=False)
    )


def _steps(values: Floats) -> tuple[Change, ...]:
    """Every step of a series without noise."""
    import numpy as np

    edges = (np.flatnonzero(values[1:] != values[:-1]) + 1).tolist()
    return tuple(between(values, (index - 1, index), (index, index + 1), exact=True) for index in edges)
