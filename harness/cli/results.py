"""`harness list` and `harness results`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness import shown
from harness.cli import ending, options
from harness.cli.sweep import print_list
from harness.errors import UsageError
from harness.metrics import METRICS
from harness.suggest import suggest

if TYPE_CHECKING:
    from harness.cli.result_columns import ResultColumn

Row = dict[str, Any]

Part = tuple[Sequence[Row], Sequence[Row]]
"""Rows that are shown, and everything that is stored of their models."""

CHUNK = 2_000
"""Rows that become a table of pandas at a time."""

SHOWN = (
    "case", "model", "variant", "target", "baseline", "runtime", "measured_by", "versions", "provider", "status",
    "reason", "notes", "choice", "latency", "artifact", "weights", "fidelity", "accuracy", "metrics", "budget",
    "metric_budgets", "run", "run_started_at", "fingerprint", "batch", "load",
    *(metric.column.partition(".")[0] for metric in METRICS),
)  # fmt: skip
"""The stored columns that tables are made of: the rest is half of the time and most of the memory."""


def list_(zoo: options.Zoo = options.ZOO, format_: options.Format = None, as_json: options.AsJson = False) -> None:
    """Show the zoo's models, variants and targets, all runtimes, providers and frameworks, and what can run here.

    Example: harness list --zoo model_zoo.yaml
    """
    format_ = options.chosen_format(format_, as_json=as_json)
    from harness import zoo as zoos
    from harness.build.cache import default_root
    from harness.cli.console import Console
    from harness.flow import availability
    from harness.layout import TextColumn, TextTable, print_grid
    from harness.shown import cell, one_line

    found = availability.take(zoos.load(zoo), default_root())
    columns = (
        TextColumn(name="name", least=12),
        TextColumn(name="here"),
        TextColumn(name="what it is", rank=1, least=16, words=True),
    )
    grids = [
        TextTable(
            title=kind,
            columns=columns,
            rows=[
                (cell(item.name), cell("no", "yellow") if item.why_not else cell("yes", "green"), cell(item.what))
                for item in items
            ],
        )
        for kind, items in found.items()
    ]
    if format_ != options.TABLE:
        from harness.cli.formats import emit

        emit(
            format_,
            value={kind: [item.as_dict() for item in items] for kind, items in found.items()},
            records=[
                {"kind": kind.removesuffix("s")} | item.as_dict() for kind, items in found.items() for item in items
            ],
            grids=[
                replace(
                    grid,
                    columns=(*columns, TextColumn(name="why not")),
                    rows=[(*row, item.why_not) for row, item in zip(grid.rows, items, strict=True)],
                )
                for grid, items in zip(grids, found.values(), strict=True)
            ],
        )
        return
    out = Console().out
    for grid, items in zip(grids, found.values(), strict=True):
        print_grid(out, grid)
        reasons: dict[str, list[str]] = {}
        for item in items:
            if item.why_not:
                reasons.setdefault(one_line(item.why_not), []).append(item.name)
        for why, names in reasons.items():
            out.print(f"not here: {', '.join(names)}: {why}", style="yellow", markup=False, soft_wrap=True)
        out.print()


def results(
    action: Annotated[
        str | None,
        typer.Argument(
            metavar="[compact]", help="Merge the files of each month and class of hosts; rows stay the same."
        ),
    ] = None,
    models: options.Models = None,
    variants: options.Variants = None,
    targets: options.StoredTargets = None,
    results: options.Results = options.RESULTS,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar="A,B",
            help="Only these columns, such as case,p50,throughput, or what is stored, such as latency.mean_s.",
            show_default="what there is room for",
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            "--sort", metavar="[-]COLUMN", help="Order by a column; -COLUMN for the largest first.", show_default="case"
        ),
    ] = None,
    format_: options.Format = None,
    as_json: options.AsJson = False,
    all_runs: Annotated[bool, typer.Option("--all", help="Every run, not only the newest that has a case.")] = False,
    side_by_side: Annotated[
        bool,
        typer.Option(
            "--side-by-side",
            help="Every runtime and provider of a model in one table: placement, precision used, compile time.",
        ),
    ] = False,
    grace: Annotated[
        str | None,
        typer.Option(
            "--grace",
            metavar="TIME",
            help="With compact: how long replaced files stay for who reads.",
            show_default="1h",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With compact: only say what would be merged.")] = False,
) -> None:
    """Show what is stored: the newest run of every case, or all of them; or `compact` its files.

    Example: harness results --models 'digits*' --sort p50 --columns case,p50,throughput
    """
    format_ = options.chosen_format(format_, as_json=as_json)
    if action is not None or grace is not None or dry_run:
        chosen = any((models, variants, targets, columns, sort, all_runs, side_by_side))
        compacted(action, results, grace=grace, dry_run=dry_run, chosen=chosen, format_=format_)
        return
    from harness.cli import result_columns
    from harness.cli.wide import kept
    from harness.store import by_model, query

    asked = result_columns.named(columns)
    if side_by_side and (asked or sort):
        raise UsageError("--side-by-side has columns and an order of its own: leave out --columns and --sort")
    light = SHOWN if not side_by_side and format_ == options.TABLE and not asked and not sort else query.LIGHT
    with kept():
        found = by_model.stored(results, all_runs=all_runs, columns=light)
        said = [*found.problems]
        for problem in said:
            ending.say(f"left out: {problem}")
        for note in found.notes:
            ending.say(note)
        fitting = selected(found.names, {"model": models, "variant": variants, "target": targets}, results)
        parts: Iterator[Part] = (([row for row in part if fitting(row)], among) for part, among in found.rows())
        if asked or sort or side_by_side or format_ not in (options.TABLE, options.JSON, options.CSV):
            # Each of these needs all rows at once: for the widths, the order, or one table.
            whole = [*parts]
            rows, among = ([row for part in whole for row in part[place]] for place in range(2))
            parts = iter([(result_columns.ordered(rows, sort, among=among), among)])
        if side_by_side:
            from harness.cli import runtimes_table

            runtimes_table.show(next(parts)[0], format_)
        elif asked:
            show_columns(*next(parts), asked=asked, format_=format_)
        elif format_ == options.TABLE:
            show_parts(parts, results)
        else:
            write_parts(parts, format_)
        for problem in found.problems[len(said) :]:
            ending.say(f"left out: {problem}")


def compacted(
    action: str | None, results: Path, *, grace: str | None, dry_run: bool, chosen: bool, format_: str
) -> None:
    """`harness results compact`; `chosen` says whether options of tables were given too.

    Raises:
        UsageError: something was given that does not go with it, or without it.
    """
    if action is None:
        raise UsageError(f"{'--dry-run' if grace is None else '--grace'} belongs to `harness results compact`")
    if action != "compact":
        raise UsageError(f"harness results {options.shown(action)}: {suggest(action, ['compact'])}; see also --models")
    if chosen:
        raise UsageError("harness results compact merges everything: leave out what chooses or orders rows")
    from harness.cli.compaction import compact

    compact(results, grace="1h" if grace is None else grace, dry_run=dry_run, format_=format_)


def selected(
    names: Collection[tuple[str, str, str]], asked: Mapping[str, str | None], results: Path
) -> Callable[[Row], bool]:
    """Whether a row's model, variant and target were asked for by name or glob.

    Args:
        names: model, variant and target of all that is stored.
        asked: names or globs of each of the three.
        results: where it is stored, for messages.

    Raises:
        UsageError: if a name or glob fits nothing that is stored, or nothing fits all of them.
    """
    if all(text is None for text in asked.values()):
        return lambda _: True
    fitting: list[Collection[str]] = []
    for place, (key, text) in enumerate(asked.items()):
        known, patterns = list(dict.fromkeys(one[place] for one in sorted(names))), options.names(text) or ()
        for pattern in patterns if names else ():
            if not any(fits(one, pattern) for one in known):
                raise UsageError(
                    f"--{key}s {options.shown(pattern)}: no such {key} in {results}; {suggest(pattern, known)}"
                )
        fitting.append({one for one in known if not patterns or any(fits(one, pattern) for pattern in patterns)})
    if names and not any(all(one in some for one, some in zip(name, fitting, strict=True)) for name in names):
        said = " ".join(f"--{key}s {text}" for key, text in asked.items() if text is not None)
        raise UsageError(f"{said}: nothing in {results} is all of these; see: harness results")
    return lambda row: all(row[key] in some for key, some in zip(asked, fitting, strict=True))


def fits(name: str, pattern: str) -> bool:
    """Whether a stored name is meant by a name or a glob."""
    return name == pattern or fnmatchcase(name, pattern)


def show_columns(rows: Sequence[Row], among: Sequence[Row], *, asked: Sequence[ResultColumn], format_: str) -> None:
    """Chosen columns of every row, in one table; `among` is everything that they are compared with."""
    from harness.cli import result_columns
    from harness.cli.console import Console
    from harness.cli.formats import emit
    from harness.layout import print_grid

    if format_ == options.TABLE:
        for column in asked:
            result_columns.one_value(column.name, "--columns")
        print_grid(Console().out, result_columns.grid(rows, asked, among=among))
        return
    held = result_columns.records(rows, asked, among=among)
    grids = [result_columns.grid(rows, asked, among=among)]
    emit(format_, value=held, records=held, grids=grids, empty="no results")


def show_parts(parts: Iterable[Part], results: Path) -> None:
    """Rows for people."""
    from harness.cli import summary
    from harness.cli.console import Console

    console = Console()
    table, empty = summary.StoredTables(console.out), True
    for rows, among in parts:
        table.add(rows, among)
        empty = empty and not rows
    if not empty:
        table.end()
        return
    console.out.print(
        f"no results under {results}; make some with: harness sweep{elsewhere(results)}", markup=False, soft_wrap=True
    )


def elsewhere(results: Path) -> str:
    """Where there are numbers all the same: a clone has asv's files without the samples of their sweeps."""
    if not any(results.glob("*/*-*.json")):
        return ""
    return ". There are asv's files of earlier commits: harness history shows them"


def write_parts(parts: Iterable[Part], format_: str) -> None:
    """Rows for programs, or as Markdown, which takes one part."""
    from harness.cli.markdown import render
    from harness.store.rows import public

    if format_ == options.JSON:
        print_list(public(row) for rows, _ in parts for row in rows)
    elif format_ == options.CSV:
        write_csv(row for rows, _ in parts for row in rows)
    else:
        for rows, among in parts:
            sys.stdout.write(render(rows, among=among))


def write_csv(rows: Iterable[Row]) -> None:
    """Rows as CSV; columns alone where there are none."""
    from harness.store import frames

    left, first = iter(rows), True
    while (chunk := list(islice(left, CHUNK))) or first:
        frames.frame(chunk).map(shown.csv_value).to_csv(sys.stdout, index=False, header=first)
        first = False
