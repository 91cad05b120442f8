"""History as tables: series, points, and what to say of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness import layout
from harness.cli import sparklines, tables
from harness.cli.wide import print_table
from harness.layout import TextColumn, TextTable, print_grid
from harness.shown import cell
from harness.units import joules, seconds, size

if TYPE_CHECKING:
    from rich.table import Table

    from harness.cli.console import Console
    from harness.store.history import History, Point, Series

FEW_SERIES = 3
"""Series whose every point is shown; of more there is a line each."""

LEAST_SPAN, MOST_SPAN = 1.1, 4.0
"""The factor from the bottom to the top of every plot is between these: a percent of noise draws no mountains, and a
case that got ten times as slow does not make the others flat."""

LEAST_NAMES = {"case": 20, "": 12}
"""Characters that remain of a case's name, and of what tells series of one case apart, however narrow the terminal."""

HASH = 8
"""Digits of a commit, as in the names of asv's files."""


def show(found: History, case: str | None, results: Path, *, asked: str, chosen: bool) -> None:
    """Series for people: one line each, or all points where a case was given."""
    from harness.cli.console import Console

    console = Console()
    if not found.series:
        console.out.print(
            f"no history{asked} under {results}; make some with: harness sweep",
            markup=False,
            soft_wrap=True,
        )
        return
    shown, others = list(found.series), []
    if not chosen and len({series.case for series in shown}) > 1:
        several = sorted({series.metric for series in shown})
        kept = {name for name in several if name == "latency" or "." in name or name == "pytest"} or set(several[:1])
        shown = [series for series in shown if series.metric in kept]
        others = [name for name in several if name not in kept]
    # Each point is looked at several times: of what is shown they are made once.
    shown = [replace(series, points=tuple(series.points)) for series in shown]
    blocks = sparklines.fits(console.out.encoding)
    if case is None:
        lines(console, shown, blocks=blocks)
    else:
        page(console, shown, blocks=blocks)
    if others:
        console.out.print(
            f"also stored: {', '.join(others)} (--metric NAME, or --metric '*')", markup=False, style="dim"
        )
    unordered(console, shown)


def lines(console: Console, shown: Sequence[Series], *, blocks: bool) -> None:
    """A line for each series, and what the height of their plots is."""
    print_grid(console.out, listing(shown, blocks=blocks))
    factor = f"{spread(shown):.2f}x"
    console.out.print(
        f"plots: bottom to top is {factor} in all of them, about each one's median; oldest to newest",
        style="dim",
        soft_wrap=True,
    )


def page(console: Console, shown: Sequence[Series], *, blocks: bool) -> None:
    """One case or a few: the points of a metric each, and one line for what never changed.

    A few series have their points with their intervals. Of more, only latencies have, where these are few, and the
    others share one table, a line for each, whose plots begin and end at the same commits.
    """
    constant, moving = folded(shown)
    names = dict(zip(map(id, shown), apart(shown), strict=True))
    detail = moving if len(moving) <= FEW_SERIES else [series for series in moving if series.metric == "latency"]
    if len(detail) > FEW_SERIES:
        detail = []
    for series in detail:
        print_table(console.out, points_table(series, names[id(series)], blocks=blocks))
        console.out.print()
    if brief := [series for series in moving if series not in detail]:
        lines(console, brief, blocks=blocks)
        console.out.print("every point: --metric NAME", markup=False, style="dim")
    for line in constant_lines(constant, names):
        console.out.print(line, markup=False, soft_wrap=True)


def folded(shown: Sequence[Series]) -> tuple[list[Series], list[Series]]:
    """Series of several points that all have one value, failures aside, and the others.

    A single series and latencies, which say which commits there are, are shown anyway.
    """
    constant = [
        series
        for series in shown
        if series.metric != "latency" and len(series.points) > 1 and len(values_of(series)) == 1
    ]
    if len(shown) == 1:
        constant = []
    kept = set(map(id, constant))
    return constant, [series for series in shown if id(series) not in kept]


def values_of(series: Series) -> set[float]:
    """The different values of a series."""
    return {point.value for point in series.points if point.value is not None}


def constant_lines(constant: Sequence[Series], names: Mapping[int, str]) -> list[str]:
    """What never changed, a line for each case."""
    found: dict[str, list[str]] = {}
    for series in constant:
        (value,) = values_of(series)
        failed = sum(point.value is None for point in series.points)
        more = [names[id(series)]] if names[id(series)] else []
        more += [f"failed at {failed} of {len(series.points)}"] if failed else []
        said = f"{series.metric} {amount(value, series.unit)}"
        found.setdefault(series.case, []).append(f"{said} ({', '.join(more)})" if more else said)
    return [f"{case}, the same at every point: {'; '.join(said)}" for case, said in found.items()]


def unordered(console: Console, shown: Sequence[Series]) -> None:
    """Say so where git could not order the points."""
    unknown = {
        point.commit[:HASH] for series in shown for point in series.points if point.commit and point.position is None
    }
    if unknown:
        listed = tables.brief(sorted(unknown))
        console.out.print(f"not in this clone, ordered by time: {listed}", markup=False, style="dim", soft_wrap=True)


def listing(shown: Sequence[Series], *, blocks: bool) -> TextTable:
    """One line per series."""
    axis, span = commits_of(shown), spread(shown)
    rows = []
    for series, which in zip(shown, apart(shown), strict=True):
        change, worse = difference(series)
        rows.append(
            (
                series.case,
                series.metric,
                which,
                str(len(series.points)),
                with_interval(series.points[-1], series.unit),
                layout.cell(change, style="red" if worse else ""),
                sparklines.relative(on_axis(series, axis), span, blocks=blocks),
            )
        )
    return TextTable(
        columns=(
            TextColumn(name="case", least=LEAST_NAMES["case"], above=True),
            TextColumn(name="metric", rank=2),
            TextColumn(name="", least=LEAST_NAMES[""]),
            TextColumn(name="points", right=True, rank=4),
            TextColumn(name="last", right=True),
            TextColumn(name="change", right=True),
            TextColumn(name="trend"),
        ),
        rows=rows,
    )


def commits_of(shown: Sequence[Series]) -> list[tuple[str, bool]]:
    """The newest commits of some series, oldest first: the places that all of their plots share."""
    found: dict[tuple[str, bool], tuple[bool, float]] = {}
    for series in shown:
        for point in series.points:
            key = (point.commit or point.run or point.started_at, point.dirty)
            place = float(point.position) if point.position is not None else float(point.commit_time or 0)
            found.setdefault(key, (point.position is None, place))
    ordered = sorted(found, key=lambda key: (*found[key], key[1]))
    return ordered[-sparklines.WIDTH :]


def on_axis(series: Series, axis: Sequence[tuple[str, bool]]) -> list[float | str | None]:
    """The last value of a series at each of some commits: None where it failed, empty where it was not measured."""
    values: dict[tuple[str, bool], float | None] = {}
    for point in series.points:
        values[point.commit or point.run or point.started_at, point.dirty] = point.value
    return [values.get(key, "") for key in axis]


def spread(shown: Sequence[Series]) -> float:
    """By what factor the series that moved most did, at least `LEAST_SPAN`: the height of all plots."""
    found = LEAST_SPAN
    for series in shown:
        there = [point.value for point in series.points if point.value is not None and point.value > 0]
        if there:
            found = max(found, max(there) / min(there))
    return min(found, MOST_SPAN)


def points_table(series: Series, which: str, *, blocks: bool) -> Table:
    """Every point of a series, oldest first."""
    from rich.table import Table

    title = ", ".join(part for part in (f"{series.case}  {series.metric}", which) if part)
    table = Table(
        title=cell(title), title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False
    )
    ends = [end for point in series.points for end in (point.value, point.low, point.high) if end is not None]
    span = (min(ends), max(ends)) if ends else (0.0, 0.0)
    for name in ("commit", "date"):
        table.add_column(name, no_wrap=True)
    sure = sorted({f"{point.confidence:.0%}" for point in series.points if point.confidence is not None})
    header = f"value [{' or '.join(sure)} interval]" if sure else "value"
    table.add_column(cell(header), justify="right", no_wrap=True)
    table.add_column("n", justify="right")
    table.add_column(f"{amount(span[0], series.unit)} .. {amount(span[1], series.unit)}" if ends else "", no_wrap=True)
    for point in series.points:
        interval = None if point.low is None or point.high is None else (point.low, point.high)
        plot = "" if point.value is None else sparklines.whisker(point.value, interval, span, blocks=blocks)
        table.add_row(
            cell(commit_of(point)),
            cell(date_of(point)),
            cell(with_interval(point, series.unit), style=tables.STYLES["failed"] if point.value is None else ""),
            str(point.n) if point.value is not None else "",
            cell(plot),
        )
    return table


def commit_of(point: Point) -> str:
    """The commit's first digits, and whether the tree differed from it."""
    return f"{point.commit[:HASH] if point.commit else 'no commit'}{' + changes' if point.dirty else ''}"


def date_of(point: Point) -> str:
    """The commit's day; the run's where there is no commit."""
    from harness.store.series import iso

    return ((iso(point.commit_time) if point.commit_time is not None else "") or point.started_at)[:10]


def amount(value: float, unit: str) -> str:
    """A number in its unit, with as many digits as mean something."""
    if unit == "seconds":
        return seconds(value)
    if unit == "bytes":
        return size(value)
    if unit == "joules":
        return joules(value)
    if unit == "fraction":
        return f"{value * 100:.2f} points"
    if unit == "noise to signal":
        return "exact" if value == 0 else f"{value:.3g} ({-20 * math.log10(value):.1f} dB)"
    return f"{value:.4g} {unit}".rstrip()


def with_interval(point: Point, unit: str) -> str:
    """A point's value with its interval, or what became of it."""
    if point.value is None:
        return point.status
    if point.low is None or point.high is None:
        return amount(point.value, unit)
    if unit == "seconds":
        return tables.interval({"median_s": point.value, "ci95_low_s": point.low, "ci95_high_s": point.high})
    return f"{amount(point.value, unit)} [{amount(point.low, unit)}, {amount(point.high, unit)}]"


def difference(series: Series) -> tuple[str, bool]:
    """The last value against the one before, in brackets where their intervals overlap; and whether it is worse."""
    values = [point for point in series.points if point.value is not None]
    last = series.points[-1]
    if last.value is None or len(values) < 2:  # noqa: PLR2004  (a change needs two)
        return "-", False
    before = values[-2]
    old, new = before.value or 0.0, last.value
    if old == new:
        return "none", False
    text = f"{(new - old) / old * 100:+.1f}%" if old else f"from {amount(old, series.unit)}"
    ends = (before.low, before.high, last.low, last.high)
    if None in ends:
        return text, new > old
    overlap = max(before.low or 0.0, last.low or 0.0) <= min(before.high or 0.0, last.high or 0.0)
    return (f"({text})" if overlap else text), new > old and not overlap


def apart(shown: Sequence[Series]) -> list[str]:
    """For each series what tells it from the others of its case and metric; empty where it is the only one."""
    groups: dict[tuple[str, str], list[Series]] = {}
    for series in shown:
        groups.setdefault((series.case, series.metric), []).append(series)
    kinds = ("runtime", "weights", "host")
    names = {
        group: [name for name in kinds if len({getattr(other, name) for other in same}) > 1]
        for group, same in groups.items()
    }
    twins = Counter((series.case, series.metric, *(getattr(series, name) for name in kinds)) for series in shown)
    found = []
    for series in shown:
        own = [getattr(series, name) or f"no {name}" for name in names[series.case, series.metric]]
        if twins[series.case, series.metric, *(getattr(series, name) for name in kinds)] > 1:
            own.append(series.environment)
        found.append(", ".join(own))
    return found
