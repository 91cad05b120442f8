"""`harness sweep`."""

from __future__ import annotations

import itertools
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness import bounds, shown
from harness.cli import options
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.cli.console import Console
    from harness.flow.sweep import Swept

EXIT_CASE_FAILED = 4

FEW = 100
"""Up to so many values, JSON is written for somebody who reads it."""


def sweep(
    context: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE.onnx]...", help="Model files to measure without a zoo.", show_default=False),
    ] = None,
    zoo: options.Zoo = options.ZOO,
    models: options.Models = None,
    variants: options.Variants = None,
    targets: options.Targets = None,
    threads: Annotated[
        str | None, typer.Option(metavar="1,2,0", help="Intra-op threads; 0 pins one per physical core.")
    ] = None,
    batch: Annotated[str | None, typer.Option(metavar="1,8", help="Batch sizes.")] = None,
    scenarios: options.Scenarios = None,
    time_per_case: Annotated[
        str | None,
        typer.Option(
            metavar="15s", help="Inference per case, over all its processes: 500ms, 15s, 2m; seconds as such."
        ),
    ] = None,
    ci_width: Annotated[
        str | None, typer.Option(metavar="2%", help="Stop a case early when its 95% interval is this narrow.")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=bounds.PROCESSES.least, max=bounds.PROCESSES.most, help="Fresh processes per case."
        ),
    ] = None,
    order: Annotated[
        str,
        typer.Option(
            metavar="round|case",
            help="round: process k of every case in round k, at random; case: every process of a case in turn.",
        ),
    ] = "round",
    confirm: Annotated[
        bool,
        typer.Option(
            "--confirm/--no-confirm", help="Measure what competes for the choice again, side by side, and the baseline."
        ),
    ] = True,
    early_stop: Annotated[
        bool | None,
        typer.Option(
            "--early-stop/--no-early-stop",
            help="After two rounds, no further process for a case that is certainly at least twice as slow as the "
            "fastest inside the budget; the zoo's `early_stop` where not given.",
            show_default=False,
        ),
    ] = None,
    cold_cache: Annotated[
        bool,
        typer.Option(
            "--cold-cache",
            help="Start one more process of each with the files of artifact and runtime dropped from the page cache: "
            "`cold_disk_start_s`.",
        ),
    ] = False,
    data: options.Data = None,
    inputs: options.Inputs = None,
    budget: options.BudgetText = None,
    results: options.Results = options.RESULTS,
    cache: options.CachePlace = None,
    scheduler: options.Scheduler = None,
    hosts: Annotated[
        str,
        typer.Option(
            "--hosts",
            metavar="any|each",
            help="Of a fleet. any: a case runs on whichever host of one class is free; each: on every class of hosts.",
        ),
    ] = "any",
    tls_ca: options.TlsCa = None,
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Go on with an interrupted sweep of the same plan, or start anew.")
    ] = True,
    format_: options.Format = None,
    as_json: options.AsJson = False,
    markdown: Annotated[
        str | None,
        typer.Option(
            "--markdown", metavar="FILE|-", help="Write the builds to ship as Markdown; - is standard output."
        ),
    ] = None,
) -> None:
    """Build every variant of the models, measure it on every target, and store what came of it.

    Files that are named are measured without a zoo and outside git; what is assumed of them is printed first.

    Where $GITHUB_STEP_SUMMARY names a file, what `--markdown` would write is added to it.

    Exit codes: 0 measured, 2 usage, 4 a case failed, or nothing was measured.

    Example: harness sweep --models digits_cnn --threads 1,2 --time-per-case 2
    """
    from harness.cli.console import Console
    from harness.flow.plan import Selection
    from harness.flow.preview import SweepRequest, preview
    from harness.measure.rounds import ORDERS

    format_ = options.chosen_format(format_, as_json=as_json)
    if order not in ORDERS:
        raise UsageError(f"--order {order}: expected one of {', '.join(ORDERS)}")
    if format_ != options.TABLE and markdown == "-":
        raise UsageError(
            f"--markdown - --format {format_}: only one of them can have standard output; give the former a file"
        )
    console = Console(quiet_stdout=format_ != options.TABLE or markdown == "-")
    root, depot = options.cache_and_depot(cache)
    refine = {"--data": data, "--input": inputs, "--budget": budget}
    if files:
        if getattr(context.get_parameter_source("zoo"), "name", "") == "COMMANDLINE":
            raise UsageError(f"--zoo {zoo} and {files[0]}: measure the models of a zoo, or files without one")
        zoo = options.assumed_zoo(files, refine, root, console.assumed)
    elif stray := [name for name, value in refine.items() if value]:
        raise UsageError(f"{stray[0]} goes with files that have no zoo, such as: harness sweep net.onnx; edit {zoo}")
    request = SweepRequest(
        zoo=zoo,
        assumed=bool(files),
        results=results,
        cache=root,
        selection=Selection(
            models=options.names(models),
            variants=options.names(variants),
            targets=options.names(targets),
            threads=options.counts(threads, "--threads", bounds.THREADS),
            batch=options.counts(batch, "--batch", bounds.BATCH),
            scenarios=options.scenarios(scenarios),
        ),
        processes=processes,
        time_per_case=None
        if time_per_case is None
        else options.duration(time_per_case, "--time-per-case", bounds.TIME_PER_CASE),
        ci_width=options.ratio(ci_width, "--ci-width"),
        resume=resume,
        order=order,
        confirm=confirm,
        early_stop=early_stop,
        cold_cache=cold_cache,
    )
    if dry_run:
        ahead = preview(request)
        if format_ == options.TABLE:
            console.plan(ahead, cases=True)
        else:
            print_plan([case.id for case in ahead.plan.cases], format_)
        return
    from harness.cli.fleet import swept_somewhere

    spec = options.fleet_spec(zoo, scheduler, (tls_ca, tls_cert, tls_key))
    with console:
        runs = swept_somewhere(request, console, spec, hosts=hosts, depot=depot)
    if not shown_runs(runs, console, results, format_, markdown):
        raise typer.Exit(EXIT_CASE_FAILED)


def shown_runs(runs: Sequence[Swept], console: Console, results: Path, format_: str, markdown: str | None) -> bool:
    """Show what came of it, each run apart, since hosts are not compared; whether all is well."""
    from harness.cli import summary
    from harness.cli.markdown import deliver
    from harness.cli.results import write_parts

    rows = [dict(row) for swept in runs for row in swept.rows]
    if format_ != options.TABLE:
        write_parts([(rows, rows)], format_)
    for swept in runs:
        if format_ == options.TABLE:
            summary.summary(console.out, swept, results)
        apart = len(runs) > 1 and markdown not in (None, "-")
        sys.stdout.write(deliver(swept.rows, file_of_class(markdown, swept.run.fingerprint) if apart else markdown))
    failed = any(swept.failures for swept in runs) or any(row["status"] == "failed" for row in rows)
    return not failed and any(row.get("latency") for row in rows)


def file_of_class(markdown: str | None, host_class: str) -> str:
    """A file for each class of hosts, such as `report-2bcc905dfd9b.md`."""
    given = Path(markdown or "")
    return str(given.with_stem(f"{given.stem}-{host_class}"))


def print_plan(cases: Sequence[str], format_: str) -> None:
    """The cases of a plan, in any format but `table`."""
    from harness.cli import formats
    from harness.layout import TextColumn, TextTable

    table = TextTable(columns=(TextColumn(name="case"),), rows=[(case,) for case in cases])
    formats.emit(format_, value=list(cases), records=[{"case": case} for case in cases], grids=[table], empty="no case")


def print_json(value: Any) -> None:
    """JSON on standard output."""
    sys.stdout.write(shown.json(_as_json(value, indent=2)) + "\n")


def _as_json(value: Any, indent: int | None = None) -> str:
    """JSON of a value; what others stored may hold NaN or infinity, which JSON has no word for, and are null."""
    try:
        return json.dumps(value, indent=indent, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_list(values: Iterable[Any]) -> None:
    """A JSON list on standard output; a long one with a value on each line, for it is not read by eye."""
    waiting = iter(values)
    first = list(itertools.islice(waiting, FEW + 1))
    if len(first) <= FEW:
        print_json(first)
        return
    opening = "[\n"
    for value in itertools.chain(first, waiting):
        sys.stdout.write(opening + _as_json(value))
        opening = ",\n"
    sys.stdout.write("\n]\n")


def folder(path: Path) -> str:
    """A path as a person would type it from here."""
    try:
        return str(Path(os.path.realpath(path)).relative_to(Path.cwd()))  # Path.resolve raises at links in a circle
    except ValueError:
        return str(path)
