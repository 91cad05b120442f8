"""`harness init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import ending, options


def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to write; inside a git checkout.")] = Path(),
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="FILE.onnx|MODULE:CALLABLE",
            help="A model to measure; may be given again. Without one, an .onnx file that is here, or an example.",
        ),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="NAME=DTYPE[AXES]",
            help="An input of the torch model, such as 'image=float32[batch,3,224,224]'; may be given again.",
        ),
    ] = None,
    harness: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="What pip installs harness from in asv's environments: a path, a URL or a requirement.",
            show_default="where this one was installed from",
        ),
    ] = None,
    ci: Annotated[
        str,
        typer.Option(
            "--ci",
            metavar="NAMES",
            help="Workflows to write: sweep (measure every push), gate (judge every pull request), both or none.",
        ),
    ] = "sweep",
) -> None:
    """Write a zoo, asv's configuration and suite, and a CI workflow into a repository. Never overwrites a file.

    Example: harness init --model net.onnx
    """
    from harness.init import InitRequest
    from harness.init import init as write

    written = write(
        InitRequest(
            folder=folder,
            models=tuple(models or ()),
            inputs=tuple(inputs or ()),
            harness=harness,
            ci=options.names(ci),
        )
    )
    for name in written.made:
        ending.out(f"wrote  {name}")
    for name in written.kept:
        ending.out(f"kept   {name}, which was there already")
    if written.ignored:
        ending.out(f"added  {', '.join(written.ignored)} to .gitignore")
    for note in written.notes:
        ending.out(f"note   {note}")
    print("\nNext:")
    if folder.resolve() != Path.cwd():
        ending.out(f"  cd {folder}")
    for command in written.commands:
        ending.out(f"  {command}")
    print("\nLater, `asv run HEAD^!` measures in an environment made for the commit, and `harness sweep` without asv.")
