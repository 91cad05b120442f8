"""`harness compare`: two sides of what is stored against each other."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from harness import shown
from harness.cli import ending, options
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.report.data import Data
    from harness.report.pairs import Compared, ComparedPair
    from harness.report.parts import Table

MOST_LISTED: Final = 12
"""Sides of one kind that a terminal lists, the newest."""

DROPPED: Final = ("model memory", "size", "before", "after", "accuracy", "fidelity")
"""Columns that a narrow terminal lacks, the first of them first: `--format csv` has all of them."""

SAME: Final = "same"
"""What a cell says that did not change; where all of a column do, a sentence says it."""

LEAST_CASE: Final = 16
"""Characters of a case's name that are shown however narrow the terminal is."""

STYLES: Final = {"slower": "red", "faster": "green"}
NOT_IN_PAIRS: Final = "the sides were measured one after the other, not in pairs; harness gate decides"


def compare(
    before: Annotated[
        str | None,
        typer.Argument(
            metavar="[BEFORE]", help="A run, revision, runtime or host; without one, all of them are listed."
        ),
    ] = None,
    after: Annotated[
        str | None,
        typer.Argument(metavar="[AFTER]", help="What it is set against; the newest of its kind where not given."),
    ] = None,
    models: options.Models = None,
    variants: options.Variants = None,
    targets: Annotated[
        str | None, typer.Option("--targets", metavar="A,B", help="Targets with threads and batch, or globs: cpu-t1-*.")
    ] = None,
    results: options.Results = options.RESULTS,
    format_: options.Format = None,
    as_json: options.AsJson = False,
) -> None:
    """Set two runs, commits, runtimes or hosts against each other: latency, accuracy, fidelity, size and memory.

    A name can be a run's id or its beginning, what git resolves to a commit, onnxruntime==1.30.0 or 1.30.0, a host's
    name or fingerprint; commit:NAME says which kind is meant. It reports and does not judge: `harness gate` does.

    Exit codes: 0 compared, 2 usage, or the two have nothing in common.

    Example: harness compare v1.0 HEAD --models 'resnet*'
    """
    format_ = options.chosen_format(format_, as_json=as_json)
    from harness.report import choice, pairs
    from harness.report import data as stored

    data = stored.load(results, repo=Path.cwd(), models=options.names(models))
    for problem in data.problems:
        ending.say(f"left out: {problem}")
    if before is None:
        _list(data, format_)
        return
    if data.rows.empty and not data.asv.series:
        raise UsageError(f"{before}: there are no results under {results}; make some with: harness sweep")
    pair = pairs.asked(data, (before, after or _newest(data, before)), "")
    found = pairs.compared(data, pair)
    wanted = (("--variants", "variant", options.names(variants)), ("--targets", "target", options.names(targets)))
    if not found.moved.empty:
        found = pairs.Compared(moved=choice.fitting(found.moved, wanted), notes=found.notes)
    if found.moved.empty:
        why = "".join(f" {note}" for note in found.notes)
        raise UsageError(
            f"{pair.before.kind} {pair.before.name} and {pair.after.kind} {pair.after.name} have no case with numbers "
            f"of the same weights in common.{why}"
        )
    _show(data, pair, found, format_)


def _newest(data: Data, before: str) -> str:
    """What a single side is set against: the newest of its kind, of runs the newest on one of its hosts.

    Raises:
        UsageError: if it is that itself.
    """
    from harness.report import sides

    side = sides.find(data, before, "")
    same = sides.of_kind(data, side.kind)
    if side.kind == "run":
        hosts = {*data.run(side.key).hosts}
        same = [one for one in same if hosts & {*data.run(one.key).hosts}]
    newest = same[0]
    if newest == side:
        raise UsageError(
            f"{before}: that is the newest {side.kind}, and it would be set against itself; give two: "
            f"harness compare BEFORE {before}"
        )
    ending.say(f"against the newest {side.kind}: {newest.label}")
    return f"{newest.kind}:{newest.key}"


def _list(data: Data, format_: str) -> None:
    """Everything that can be named."""
    from harness.report import sides

    found = sides.every(data)
    if format_ == "json":
        from harness.cli.sweep import print_list

        print_list({"kind": side.kind, "name": side.name, "key": side.key, "label": side.label} for side in found)
        return
    heads = ("kind", "name", "what it is")
    if format_ != "table":
        _write(heads, [(side.kind, side.name, side.label) for side in found], format_)
        return
    from harness.cli.console import Console
    from harness.layout import TextColumn, TextTable, print_grid

    out = Console().out
    if not found:
        out.print(
            f"nothing to compare under {data.results}; measure something with: harness sweep",
            markup=False,
            soft_wrap=True,
        )
        return
    rows: list[tuple[str, str, str]] = []
    left = 0
    for one in sides.KINDS:
        of_kind = sides.of_kind(data, one)
        left += len(of_kind[MOST_LISTED:])
        rows += [(one, side.name, side.label) for side in of_kind[:MOST_LISTED]]
    columns = (
        TextColumn(name=heads[0]),
        TextColumn(name=heads[1]),
        TextColumn(name=heads[2], rank=1, least=16, words=True),
    )
    print_grid(out, TextTable(columns=columns, rows=rows))
    if left:
        out.print(f"and {left:,} older ones: harness compare --format csv", style="dim", soft_wrap=True)
    out.print("harness compare BEFORE AFTER takes two of these names", style="dim", soft_wrap=True)


def _show(data: Data, pair: ComparedPair, found: Compared, format_: str) -> None:
    """The comparison: for programs its lines, for people what moved, and the counts last."""
    from harness.report.figures.base import records
    from harness.report.pages import compare as page

    lines = found.frame()
    if format_ == "csv":
        lines.map(shown.csv_value).to_csv(sys.stdout, index=False)
        return
    if format_ == "json":
        from harness.cli.sweep import print_json

        sides = {
            name: {"kind": side.kind, "name": side.name, "key": side.key, "label": side.label}
            for name, side in (("before", pair.before), ("after", pair.after))
        }
        notes = [*found.notes, f"{NOT_IN_PAIRS[0].upper()}{NOT_IN_PAIRS[1:]}."]
        print_json({**sides, "counts": found.counts, "notes": notes, "cases": records(lines)})
        return
    table = page.table(data, found, "")
    heads, rows = _known(table)
    said = _said(pair, found)
    if format_ == "markdown":
        sys.stdout.write(f"{shown.markdown(said[-1])}\n\n")
        _write(heads, rows, format_)
        sys.stdout.write("".join(f"\n- {shown.markdown(line)}" for line in said[:-1]) + "\n")
        return
    _print(heads, rows, table, said)


def _known(table: Table) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the page's table, without columns in which nothing is known."""
    from harness.units import NONE

    kept = [
        place
        for place in range(len(table.columns))
        if place == 0 or any(row[place].text not in (NONE, "") for row in table.rows)
    ]
    return [table.columns[place] for place in kept], [[row[place].text for place in kept] for row in table.rows]


def _said(pair: ComparedPair, found: Compared) -> list[str]:
    """Both sides, notes, and the answer last."""
    counts = found.counts
    parts = [f"{counts['slower']} slower", f"{counts['faster']} faster", f"{counts['same']} not told apart"]
    if counts["unjudged"]:
        parts.append(f"{counts['unjudged']} not judged")
    worse = f"; accuracy or fidelity worse in {counts['worse']}" if counts["worse"] else ""
    return [
        f"before: {pair.before.kind} {pair.before.label}",
        f"after: {pair.after.kind} {pair.after.label}",
        *found.notes,
        NOT_IN_PAIRS,
        f"{', '.join(parts)}{worse}",
    ]


def _print(heads: Sequence[str], rows: Sequence[Sequence[str]], table: Table, said: Sequence[str]) -> None:
    """For people: columns that the terminal has room for, and the answer last."""
    from harness.cli.console import Console
    from harness.layout import TextColumn, TextTable, print_grid

    out = Console().out
    plain = [head.removesuffix("#") for head in heads]
    same = [place for place in range(1, len(plain)) if {row[place] for row in rows} == {SAME}]
    left = [place for place in range(len(plain)) if place not in same]
    columns = tuple(
        TextColumn(
            name=plain[place],
            right=heads[place].endswith("#"),
            rank=len(DROPPED) + 1 - DROPPED.index(plain[place]) if plain[place] in DROPPED else 0,
            least=0 if place else LEAST_CASE,
        )
        for place in left
    )
    verdict = table.columns.index("latency")
    rows, package = short_runtimes(rows, plain)
    lines = []
    for row, cells in zip(rows, table.rows, strict=True):
        style = STYLES.get(cells[verdict].kind, "")
        lines.append([shown.cell(row[place], style=style if plain[place] == "latency" else "") for place in left])
    for line in said[:2]:
        out.print(line, markup=False, soft_wrap=True)
    hidden = print_grid(out, TextTable(columns=columns, rows=lines))
    if package:
        out.print(f"runtimes: versions of {package}", markup=False, style="dim", soft_wrap=True)
    if same:
        out.print(f"the same in every case: {', '.join(plain[place] for place in same)}", style="dim", soft_wrap=True)
    if hidden:
        out.print(f"no room for {', '.join(hidden)}: --format csv has them", style="dim", soft_wrap=True)
    for line in said[2:-1]:
        out.print(line, markup=False, style="dim", soft_wrap=True)
    out.print(said[-1], markup=False, style="bold", soft_wrap=True)


def short_runtimes(rows: Sequence[Sequence[str]], heads: Sequence[str]) -> tuple[Sequence[Sequence[str]], str]:
    """Cells with the runtime's version alone where every one is of the same package, and that package.

    The case's name would be cut for the package otherwise, until its variant is gone.
    """
    if "runtime" not in heads:
        return rows, ""
    place = heads.index("runtime")
    packages = {row[place].partition(" ")[0] for row in rows if " " in row[place]}
    if len(packages) != 1 or not all(" " in row[place] for row in rows):
        return rows, ""
    short = [[*row[:place], row[place].partition(" ")[2], *row[place + 1 :]] for row in rows]
    return short, packages.pop()


def _write(heads: Sequence[str], rows: Sequence[Sequence[Any]], format_: str) -> None:
    """A table as CSV or Markdown."""
    plain = [head.removesuffix("#") for head in heads]
    if format_ == "csv":
        import csv

        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerows([plain, *([shown.csv_value(value) for value in row] for row in rows)])
        return
    rule = ["---:" if head.endswith("#") else "---" for head in heads]
    for line in (plain, rule, *rows):
        cells = line if line is rule else [shown.markdown(str(value)) for value in line]
        sys.stdout.write(f"| {' | '.join(cells)} |\n")
