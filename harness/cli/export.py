"""`harness export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import depots, ending, options
from harness.cli.sweep import print_json


def export(
    what: Annotated[
        str, typer.Argument(metavar="MODEL|CASE", help="A model, whose build to ship is taken, or a case by its name.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The folder to write; new, or empty.", show_default="of the case"),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", metavar="T", help="The target, such as cpu-t2-b1, where there are several."),
    ] = None,
    language: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="LANGUAGE",
            help="The program that goes along: python, node, web, cpp, java, android, ios; or dir, without one.",
        ),
    ] = "python",
    file_format: Annotated[
        str,
        typer.Option("--format", metavar="onnx|ort", help="The model's file; ort brings the operators that it needs."),
    ] = "onnx",
    zoo: options.Zoo = options.ZOO,
    results: options.Results = options.RESULTS,
    cache: options.CachePlace = None,
    as_json: options.AsJson = False,
) -> None:
    """Write a build into a folder: model, session settings, samples, where it comes from, and a program that runs it.

    What was measured decides: the fastest build inside the budget, as `harness results` names it, or the case that is
    named, with the artifact that its numbers are of.

    Example: harness export digits_cnn --target cpu-t1-b1 --out shipped
    """
    from harness.build.cache import Cache
    from harness.errors import UsageError
    from harness.export.bundle import export as write
    from harness.export.choose import choose
    from harness.export.ort_format import FORMATS
    from harness.paths import typed

    if file_format not in FORMATS:
        raise UsageError(f"--format {file_format}: expected {' or '.join(FORMATS)}")
    root, builds = depots.cache_and_builds(cache)
    choice, store = choose(results, what, target or ""), Cache(root)
    if builds is not None:
        depots.fetch_row(builds, store, choice.row)
    done = write(
        choice,
        cache=store,
        out=typed(out or Path(f"{choice.row['case'].replace('/', '-')}-{language}")),
        zoo_file=zoo,
        language=language,
        file_format=file_format,
        say=ending.say,
    )
    if done.unchecked:
        ending.say(done.unchecked)
    if as_json:
        print_json({"case": done.case, "why": choice.why, "folder": str(done.folder), "files": list(done.files)})
        return
    ending.out(choice.why)
    ending.out(f"{done.folder}: {', '.join(name for name in done.files if '/' not in name)}")
