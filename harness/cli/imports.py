"""`harness import`: results of other machines, clones and tools, into this results folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import ending, options
from harness.cli.sweep import folder
from harness.errors import UsageError
from harness.special_files import lost_link

if TYPE_CHECKING:
    from harness.store.asv.merge import Merged

EXIT_INCOMPLETE = 4
"""Something could not be read; the rest was imported."""

SHOWN = 8
"""Conflicts that are listed for each source; all of them are in the files that are named."""


def import_(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="Results folders or clones, pytest-benchmark's or optimum-benchmark's JSON, or folders of those.",
        ),
    ],
    commit: Annotated[
        str | None,
        typer.Option(
            "--commit", metavar="REV", help="The commit to book foreign numbers on, whatever their file says."
        ),
    ] = None,
    results: options.Results = options.RESULTS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be added, and write nothing.")] = False,
) -> None:
    """Add results of another machine, clone or tool; what is stored here is never replaced.

    Exit codes: 0 done, 2 bad usage or a results folder that cannot be written, 4 some source could not be read.

    Example: harness import ../other-clone/results .benchmarks
    """
    from harness.store.asv.merge import merge
    from harness.store.imports import base, recognize

    for source in sources:
        if lost := lost_link(source):
            raise UsageError(f"{source} is {lost}: give a folder or a file")
        if source.exists() and results.exists() and results.samefile(source):
            raise UsageError(f"{source} is the results folder itself: give another one, or another --results")
    booked = base.book(commit, Path.cwd()) if commit is not None else None
    found = merge(results, [recognize.read(source, booked) for source in sources], dry_run=dry_run)
    for one in found:
        report(one, dry_run=dry_run)
    problems = [problem for one in found for problem in one.problems]
    for problem in problems:
        ending.say(f"not imported: {problem}")
    if problems:
        raise typer.Exit(EXIT_INCOMPLETE)


def report(one: Merged, *, dry_run: bool) -> None:
    """What became of one source."""
    incoming = one.incoming
    verb = "would add" if dry_run else "added"
    runs = f" and the samples of {counted(one.runs, 'run')}" if one.runs else ""
    here = f"; {counted(one.same, 'value')} were here already" if one.same else ""
    ending.out(f"{folder(incoming.source)} ({incoming.kind}): {verb} {counted(one.added, 'value')}{runs}{here}")
    for note in incoming.notes:
        ending.out(f"  {note}")
    for name, new in one.renamed.items():
        ending.out(f"  machine {name} is stored as {new}, because another machine here has its name")
    for conflict in one.conflicts[:SHOWN]:
        ending.out(f"  differs: {conflict.what}: {shown(conflict.kept)} stays, {shown(conflict.other)} put aside")
    if len(one.conflicts) > SHOWN:
        ending.out(f"  and {len(one.conflicts) - SHOWN} more that differ")
    for aside in dict.fromkeys(conflict.aside for conflict in one.conflicts):
        ending.out(f"  {'would be kept' if dry_run else 'kept'} in {folder(aside)}")


def counted(number: int, noun: str) -> str:
    """A number with its noun, such as `3 values`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def shown(value: object) -> str:
    """A value, or that there is none."""
    return "failed" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
