"""Changes in stored histories: which series changed level, where, by how much, and which cannot be judged.

Every series is searched for a change of level by ranks (`harness.stats.changes`); Benjamini and Hochberg's procedure
over all series bounds the share of false findings, or Holm's the chance of any; a series with a finding is split there
and both parts are searched again (binary segmentation). Neighbouring points that correlate mean that the host drifts:
the search is widened by as much (`harness.stats.drift`), and where they correlate strongly a series is not judged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.stats import changes, drift
from harness.stats.paired import holm
from harness.stats.strength import FEWEST_AFTER

if TYPE_CHECKING:
    from harness.stats.strength import Floats, Numbers

FDR = 0.05
CONFIDENCE = 0.95

Span = tuple[int, int]
"""First point of a level, and the first one after it."""


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


def fewest(level: float = FDR) -> int:
    """Points that a series needs before anything in it can be as rare as this level."""
    n = 2 * FEWEST_AFTER
    while 2 / math.comb(n, n // 2) > level:
        n += 1
    return n


def scan(
    series: Mapping[str, Numbers],
    *,
    fdr: float = FDR,
    exact: Collection[str] = (),
    any_false: float | None = None,
    kinds: Mapping[str, object] | None = None,
    unpaced: Collection[str] = (),
) -> dict[str, Scan]:
    """Search all series at once.

    Args:
        series: name -> values in order of time, above zero (latencies, bytes); any finite numbers where exact.
        fdr: largest expected share of false ones among the findings of a round.
        exact: names of series without noise, such as size or node counts: every step in them is a change at once.
        any_false: where given, the chance of any false finding at all in a round (Holm), instead of `fdr`.
        kinds: name -> what it shares its drift with, such as host and metric (`harness.stats.drift`).
        unpaced: names of series that a host's pace is still in; where those of a kind moved together none is judged.

    Returns:
        For every name its changes, or why it was not judged.

    Raises:
        ValueError: if a value is not finite, or not above zero in a series with noise, or a level is not between 0
            and 1.
    """
    import numpy as np

    level = fdr if any_false is None else any_false
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in series.items()}
    _check(arrays, level, exact)
    found: dict[str, Scan] = {}
    judged: dict[str, Floats] = {}
    noisy = [name for name in arrays if name not in exact]
    # Where any false finding counts, the level is shared by all that can be judged.
    short: dict[int, Scan] = {}
    quiet = Scan()
    least = _fewest_together([len(arrays[name]) for name in noisy], level) if any_false is not None else fewest(fdr)
    for name, values in arrays.items():
        if name in exact:
            found[name] = Scan(changes=steps) if (steps := _steps(values)) else quiet
        elif len(values) < least:
            found[name] = short.setdefault(len(values), _too_short(len(values), least))
        elif values.min() == values.max():
            found[name] = quiet  # it could never be called a change, so it takes no share of the level
        else:
            judged[name] = np.log(values)
    left = {name: judged[name] for name in unpaced if name in judged}
    for name, why in drift.moved_together(left, kinds or {}).items():
        found[name] = Scan(abstained=why)
        del judged[name]
    # Correlation is looked at with the levels that would be found if nothing else were searched; only series that
    # pass it enter the family.
    alone = _segment(judged, FDR, {}, adjust=list)
    together = drift.correlations(judged, alone, kinds or {})
    wider = {}
    for name, (correlation, why) in together.items():
        if why:
            found[name] = Scan(abstained=why)
            del judged[name]
        else:
            wider[name] = correlation
    for name, cuts in _segment(judged, level, wider, adjust=benjamini_hochberg if any_false is None else holm).items():
        found[name] = Scan(changes=_sized(arrays[name], cuts))
    return {name: found[name] for name in series}


def _too_short(count: int, least: int) -> Scan:
    points = "1 point" if count == 1 else f"{count} points"
    return Scan(abstained=f"{points}; at least {least} are needed")


def _fewest_together(lengths: Sequence[int], level: float) -> int:
    """Points that a series needs among so many; those that are too short to be judged take no share of the level."""
    least = fewest(level)
    while (able := sum(1 for n in lengths if n >= least)) and (more := fewest(level / able)) > least:
        least = more
    return least


def _check(series: Mapping[str, Floats], fdr: float, exact: Collection[str]) -> None:
    import numpy as np

    if not 0 < fdr < 1:
        raise ValueError(f"fdr is {fdr}: it must lie between 0 and 1, such as 0.05")
    whole = np.concatenate([*series.values(), np.ones(1)])
    if np.isfinite(whole).all() and (whole > 0).all():
        return
    for name, values in series.items():
        wrong = ~np.isfinite(values) if name in exact else ~(np.isfinite(values) & (values > 0))
        if wrong.any():
            index = int(np.argmax(wrong))
            valid = "a finite number" if name in exact else "a finite number above zero"
            raise ValueError(f"{name}: value {index} is {values[index]}; every one must be {valid}, leave gaps out")


def _segment(
    series: Mapping[str, Floats],
    level: float,
    correlated: Mapping[str, float],
    *,
    adjust: Callable[[list[float]], list[float]],
) -> dict[str, dict[int, tuple[float, float]]]:
    """Binary segmentation of all series in rounds: name -> {first point after: (p, adjusted)}.

    Args:
        series: name -> values.
        level: of every round.
        correlated: name -> correlation of its neighbours; none where a name is missing.
        adjust: p-values for how many were searched in a round.
    """
    cuts: dict[str, dict[int, tuple[float, float]]] = {name: {} for name in series}
    parts = [(name, 0, len(values)) for name, values in series.items()]
    while parts:
        alike: dict[tuple[int, float], list[tuple[str, int, int]]] = {}
        for part in parts:
            if part[2] - part[1] >= fewest(level):
                alike.setdefault((part[2] - part[1], correlated.get(part[0], 0.0)), []).append(part)
        searched = []
        for (length, correlation), group in alike.items():
            wider = drift.widening(length, correlation) if correlation else None
            found = changes.places([series[name][start:stop] for name, start, stop in group], level, wider)
            searched += list(zip(group, found, strict=True))
        adjusted = adjust([place.p for _, place in searched])
        parts = []
        for ((name, start, stop), place), q in zip(searched, adjusted, strict=True):
            if q <= level:
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
    """The changes with their sizes; a cut that later ones on both its sides explain is none.

    Of a series that goes up twice the first cut may lie in the middle of its second level.
    """
    kept = sorted(cuts)
    while True:
        edges = [0, *kept, len(values)]
        found = [
            between(values, (first, index), (index, last), exact=False, p=cuts[index][0], adjusted=cuts[index][1])
            for first, index, last in zip(edges, edges[1:], edges[2:], strict=False)
        ]
        none = [one for one in found if 0 < one.low <= 1 <= one.high < math.inf]
        if not none:
            return tuple(found)
        kept.remove(min(none, key=lambda one: abs(math.log(one.ratio))).index)


def _steps(values: Floats) -> tuple[Change, ...]:
    """Every step of a series without noise."""
    import numpy as np

    edges = (np.flatnonzero(values[1:] != values[:-1]) + 1).tolist()
    return tuple(between(values, (index - 1, index), (index, index + 1), exact=True) for index in edges)
