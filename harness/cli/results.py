"""`harness list` and `harness results`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from harness import shown
from harness.cli import ending, options
from harness.cli.sweep import print_json, print_list
from harness.errors import UsageError
from harness.metrics import METRICS

FORMATS = ("table", "csv", "json", "markdown")

CHUNK = 2_000
"""Rows that become a table of pandas at a time."""

SHOWN = (
    "case", "model", "variant", "target", "baseline", "runtime", "measured_by", "versions", "provider", "status",
    "reason", "notes", "choice", "latency", "artifact", "weights", "fidelity", "accuracy", "budget", "run",
    "run_started_at", "fingerprint", *(metric.column.partition(".")[0] for metric in METRICS),
)  # fmt: skip
"""The stored columns that tables are made of: the rest is half of the time and most of the memory."""


def list_(zoo: options.Zoo = options.ZOO, as_json: options.AsJson = False) -> None:
    """Show the zoo's models, variants and targets, and which of them can run here and why not.

    Example: harness list --zoo model_zoo.yaml
    """
    from rich.table import Table

    from harness import zoo as zoos
    from harness.build.cache import default_root
    from harness.cli.console import Console
    from harness.flow import availability
    from harness.shown import cell, markup

    found = availability.take(zoos.load(zoo), default_root())
    if as_json:
        print_json({kind: [item.as_dict() for item in items] for kind, items in found.items()})
        return
    console = Console().out
    for kind, items in found.items():
        table = Table(title=kind, title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column()
        table.add_column()
        for item in items:
            runs = (
                "[green]runs here[/green]" if not item.why_not else f"[yellow]not here[/yellow]: {markup(item.why_not)}"
            )
            table.add_row(cell(item.name), cell(item.what), runs)
        console.print(table)
        console.print()


def results(
    models: options.Models = None,
    results: options.Results = options.RESULTS,
    format_: Annotated[
        str, typer.Option("--format", metavar="table|csv|json|markdown", help="How to print.")
    ] = "table",
    all_runs: Annotated[bool, typer.Option("--all", help="Every run, not only the newest that has a case.")] = False,
) -> None:
    """Show what is stored: the newest run of every case, or all of them.

    Example: harness results --models 'digits*' --format json
    """
    if format_ not in FORMATS:
        raise UsageError(f"--format {format_}: expected one of {', '.join(FORMATS)}")
    from harness.cli.wide import kept
    from harness.store import frames, query
    from harness.store.rows import public

    columns = SHOWN if format_ == "table" else query.LIGHT
    with kept():
        found = query.query(results, models=options.names(models) or None, all_runs=all_runs, columns=columns)
    for problem in found.problems:
        ending.say(f"left out: {problem}")
    for note in found.notes:
        ending.say(note)
    if format_ == "json":
        print_list(map(public, found.rows))
        return
    if format_ == "csv":
        for start in range(0, max(len(found.rows), 1), CHUNK):
            frames.frame(found.rows[start : start + CHUNK]).map(shown.csv_value).to_csv(
                sys.stdout, index=False, header=not start
            )
        return
    if format_ == "markdown":
        from harness.cli.markdown import render

        sys.stdout.write(render(found.rows))
        return
    from harness.cli import summary
    from harness.cli.console import Console

    console = Console()
    if not found.rows:
        console.out.print(
            f"no results under {results}; make some with: harness sweep --models digits_cnn", markup=False
        )
        return
    summary.stored(console.out, found.rows)
