"""History as tables: series, points, and what to say of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli import sparklines, tables
from harness.cli.wide import print_table
from harness.shown import cell
from harness.units import seconds, size

if TYPE_CHECKING:
    from rich.table import Table

    from harness.cli.console import Console
    from harness.store.history import History, Point, Series

HASH = 8
"""Digits of a commit, as in the names of asv's files."""


def show(found: History, case: str | None, results: Path, *, asked: str, chosen: bool) -> None:
    """Series for people: one line each, or all points where a case was given."""
    from harness.cli.console import Console

    console = Console()
    if not found.series:
        console.out.print(
            f"no history{asked} under {results}; make some with: harness sweep --models digits_cnn",
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
    blocks = sparklines.fits(console.out.encoding)
    if case is None:
        print_table(console.out, listing(shown, blocks=blocks))
    else:
        for series, which in zip(shown, apart(shown), strict=True):
            print_table(console.out, points_table(series, which, blocks=blocks))
            console.out.print()
    if others:
        console.out.print(
            f"also stored: {', '.join(others)} (--metric NAME, or --metric '*')", markup=False, style="dim"
        )
    unordered(console, shown)


def unordered(console: Console, shown: Sequence[Series]) -> None:
    """Say so where git could not order the points."""
    unknown = {
        point.commit[:HASH] for series in shown for point in series.points if point.commit and point.position is None
    }
    if unknown:
        listed = tables.brief(sorted(unknown))
        console.out.print(f"not in this clone, ordered by time: {listed}", markup=False, style="dim", soft_wrap=True)


def listing(shown: Sequence[Series], *, blocks: bool) -> Table:
    """One line per series."""
    from rich.table import Table

    table = Table(header_style="bold", box=None, pad_edge=False)
    columns = [
        ("case", "left"),
        ("metric", "left"),
        ("", "left"),
        ("points", "right"),
        ("last", "right"),
        ("change", "right"),
    ]
    for name, side in columns:
        table.add_column(
            name, justify="right" if side == "right" else "left", no_wrap=name in ("case", "last", "change")
        )
    table.add_column("oldest to newest", no_wrap=True)
    for series, which in zip(shown, apart(shown), strict=True):
        change, worse = difference(series)
        table.add_row(
            cell(series.case),
            cell(series.metric),
            cell(which),
            str(len(series.points)),
            cell(with_interval(series.points[-1], series.unit)),
            cell(change, style="red" if worse else ""),
            cell(sparklines.spark([point.value for point in series.points], blocks=blocks)),
        )
    return table


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
