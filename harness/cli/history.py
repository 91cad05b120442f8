"""`harness history`: what became of a number over the commits."""

from __future__ import annotations

import csv
import glob
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness import shown
from harness.cli import ending, options
from harness.cli.sweep import print_list
from harness.errors import UsageError
from harness.suggest import suggest

if TYPE_CHECKING:
    from harness.store.history import Series


def history(
    case: Annotated[
        str | None, typer.Argument(metavar="[CASE]", help="A case, the beginning of one, or a glob.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            metavar="A,B",
            help="Metrics, by name or glob.",
            show_default="latency in a table of several cases, else all",
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="REV", help="Only this commit and those that are not older.")
    ] = None,
    format_: options.Format = None,
    as_json: options.AsJson = False,
    results: options.Results = options.RESULTS,
) -> None:
    """Show how numbers changed over commits: every series, or the points of one case.

    Example: harness history digits_cnn/int8-static --metric latency --since v0.1
    """
    format_ = options.chosen_format(format_, as_json=as_json)
    from harness.cli.wide import kept
    from harness.store.history import history as read

    metrics = options.names(metric)
    with kept():
        found = read(results, repo=Path.cwd(), cases=patterns(case), metrics=metrics, since=since)
    for problem in found.problems:
        ending.say(f"left out: {problem}")
    for note in found.notes:
        ending.say(note)
    known = {series.metric for series in found.series}
    if not found.series or any(name not in known for name in metrics if not has_glob(name)):
        refuse_unknown(results, case, metrics)
    if format_ == "json":
        print_list(as_dict(series) for series in found.series)
    elif format_ == "csv":
        write_csv(found.series)
    elif format_ == "markdown":
        write_markdown(found.series)
    else:
        from harness.cli.history_tables import show

        show(found, case, results, asked=asked(case, metrics, since), chosen=bool(metrics))


def asked(case: str | None, metrics: Sequence[str], since: str | None) -> str:
    """The selection in words, such as ` of digits_cnn since v0.1`; empty where everything was asked for."""
    what = ", ".join([*([case] if case else []), *metrics])
    return (f" of {what}" if what else "") + (f" since {since}" if since else "")


def patterns(case: str | None) -> tuple[str, ...]:
    """The globs that a case on the command line stands for."""
    if case is None:
        return ()
    return (case,) if has_glob(case) else (case, f"{glob.escape(case)}*")


def has_glob(text: str) -> bool:
    """Whether there is a wildcard in it."""
    return any(mark in text for mark in "*?[")


def refuse_unknown(results: Path, case: str | None, metrics: Sequence[str]) -> None:
    """Tell a name that nobody knows from one that has no points yet.

    Raises:
        UsageError: for a case or a metric that is nowhere in the store.
    """
    from harness.metrics import BY_NAME
    from harness.records import case_id
    from harness.store.history import history as read

    everything = read(results, repo=None)
    names = list(dict.fromkeys([*BY_NAME, *(series.metric for series in everything.series)]))
    for name in metrics:
        if not has_glob(name) and name not in names:
            raise UsageError(f"--metric {name}: no such metric; {suggest(name, names)}")
    cases = list(dict.fromkeys(series.case for series in everything.series))
    if case is not None and cases and not any(matches(case, one) for one in cases):
        if any(case in one for one in cases):
            raise UsageError(f"{case}: no case in {results} begins with it; to look inside names write '*{case}*'")
        models = dict.fromkeys(case_id.parts(one).model for one in cases)
        raise UsageError(f"{case}: no such case in {results}; {suggest(case, cases, also=models)}")


def matches(case: str, candidate: str) -> bool:
    """Whether a stored case is meant by what the command line says."""
    from fnmatch import fnmatchcase

    return any(candidate == pattern or fnmatchcase(candidate, pattern) for pattern in patterns(case))


def write_markdown(found: Sequence[Series]) -> None:
    """A line per series where there are several, else one per point."""
    from harness.cli import formats, history_tables
    from harness.layout import TextColumn, TextTable

    names: tuple[str, ...] = ("case", "metric", "runtime", "host", "points", "last", "change")
    rows: list[tuple[str, ...]] = [
        (
            *(one.case, one.metric, one.runtime or "", one.host or "", str(len(one.points))),
            history_tables.with_interval(one.points[-1], one.unit),
            history_tables.difference(one)[0],
        )
        for one in found
    ]
    if len(found) == 1:
        names = ("commit", "date", "value", "n")
        rows = [
            (
                history_tables.commit_of(point),
                history_tables.date_of(point),
                history_tables.with_interval(point, found[0].unit),
                str(point.n) if point.value is not None else "",
            )
            for point in found[0].points
        ]
    title = f"{found[0].case}, {found[0].metric}" if len(found) == 1 else ""
    columns = tuple(TextColumn(name=name, right=name in ("points", "last", "change", "value", "n")) for name in names)
    sys.stdout.write(formats.markdown([TextTable(title=title, columns=columns, rows=rows)]) or "no history\n")


def as_dict(series: Series) -> dict[str, Any]:
    """A series as JSON has it."""
    from harness.store.series import POINT_FIELDS, SERIES_FIELDS

    of_series = {name: getattr(series, name) for name in SERIES_FIELDS}
    return {**of_series, "points": [{name: getattr(point, name) for name in POINT_FIELDS} for point in series.points]}


def write_csv(found: Iterable[Series]) -> None:
    """One line per point, its series' fields first."""
    from harness.store.series import POINT_FIELDS, SERIES_FIELDS

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*SERIES_FIELDS, *POINT_FIELDS])
    show = shown.csv_value
    for series in found:
        head = [show(getattr(series, name)) for name in SERIES_FIELDS]
        writer.writerows([*head, *(show(getattr(point, name)) for name in POINT_FIELDS)] for point in series.points)
