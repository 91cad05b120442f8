"""`harness runtimes`: what executes artifacts, as it lies in the cache."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.errors import UsageError
from harness.suggest import suggest
from harness.units import count

if TYPE_CHECKING:
    from harness.layout import TextTable
    from harness.runtimes.kept import Kept

ACTIONS = ("list", "install", "remove")
KIND = "runtimes"


def runtimes(
    action: Annotated[str, typer.Argument(metavar="list|install|remove", help="What to do.")] = "list",
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUNTIME]...", help="Such as onnxruntime==1.23.0, openvino, or a wheel; or a digest."),
    ] = None,
    plugin: Annotated[
        list[str] | None,
        typer.Option("--plugin", metavar="PACKAGE", help="With install: put a plugin's package beside it."),
    ] = None,
    cache: options.CacheDir = None,
    format_: options.Format = None,
    as_json: options.AsJson = False,
) -> None:
    """List, install or remove the runtimes in the cache; a sweep installs what its targets name by itself.

    Example: harness runtimes install onnxruntime==1.22.1 onnxruntime==1.24.1
    """
    root = options.cache_root(cache)
    asked = tuple(names or ())
    if action not in ACTIONS:
        raise UsageError(f"harness runtimes {options.shown(action)}: {suggest(action, ACTIONS)}")
    if plugin and action != "install":
        raise UsageError("--plugin belongs to `harness runtimes install`")
    if (action == "list") == bool(asked):
        raise UsageError(
            f"harness runtimes {action} takes no names" if asked else f"harness runtimes {action}: name at least one"
        )
    format_ = options.chosen_format(format_, as_json=as_json)
    if action == "list":
        _list(root, format_)
    elif action == "install":
        _install(root, asked, tuple(plugin or ()), format_)
    else:
        _remove(root, asked, format_)


def _list(root: Path, format_: str) -> None:
    """What lies in the cache."""
    from harness.cli import tables
    from harness.runtimes import kept

    held = kept.everything(root)
    if format_ != options.TABLE:
        _emit(format_, held)
        return
    from harness.cli.console import Console
    from harness.layout import print_grid

    console = Console().out
    if held:
        print_grid(console, _grid(held))
    total = tables.size(sum(one.bytes for one in held))
    console.print(f"{count(len(held), 'runtime')}, {total} in {root / KIND}", soft_wrap=True, markup=False)


def _install(root: Path, asked: Sequence[str], plugins: Sequence[str], format_: str) -> None:
    """Install each; the first that cannot be had ends it."""
    from harness.cli import ending, formats
    from harness.layout import TextColumn, TextTable
    from harness.runtimes import kept

    made = [kept.install(spec, root, plugins=plugins, say=ending.say) for spec in asked]
    if format_ == options.TABLE:
        for one in made:
            ending.out(f"{one.spec}: {' '.join(filter(None, (one.package, one.version)))}, {one.python}")
        return
    records = [{"name": one.spec, "version": one.version, "python": one.python} for one in made]
    grid = TextTable(
        columns=tuple(TextColumn(name=name) for name in ("name", "version", "python")),
        rows=[tuple(record.values()) for record in records],
    )
    formats.emit(format_, value=records, records=records, grids=[grid])


def _remove(root: Path, asked: Sequence[str], format_: str) -> None:
    """Remove what is named, all of it or nothing."""
    from harness.cli import ending, tables
    from harness.runtimes import kept

    gone = kept.remove(asked, root)
    if format_ != options.TABLE:
        _emit(format_, gone)
        return
    for one in gone:
        ending.out(f"removed {one.name or one.digest}, {tables.size(one.bytes)}")


def _emit(format_: str, held: Sequence[Kept]) -> None:
    from harness.cli import formats

    records = [dataclasses.asdict(one) for one in held]
    formats.emit(format_, value=records, records=records, grids=[_grid(held)], empty="no runtime is in the cache")


def _grid(held: Sequence[Kept]) -> TextTable:
    """One line for each: what it is called, what it holds, its digest and its size."""
    from harness.cli import tables
    from harness.layout import TextColumn, TextTable
    from harness.shown import cell

    rows = []
    for one in held:
        holds = f"damaged: it {one.damage}" if one.damage else ", ".join(f"{n} {v}" for n, v in one.packages.items())
        holds += f" (yanked: {one.yanked})" if one.yanked else ""
        rows.append((cell(one.name or "unknown"), cell(holds), one.digest[:12], tables.size(one.bytes)))
    return TextTable(
        columns=(
            TextColumn(name="runtime", least=20),
            TextColumn(name="holds", rank=1),
            TextColumn(name="digest"),
            TextColumn(name="size", right=True),
        ),
        rows=rows,
    )
