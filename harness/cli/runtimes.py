"""`harness runtimes`: what executes artifacts, as it lies in the cache."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options
from harness.cli.sweep import print_json
from harness.errors import UsageError
from harness.suggest import suggest

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
    if action == "list":
        _list(root, as_json)
    elif action == "install":
        _install(root, asked, tuple(plugin or ()), as_json)
    else:
        _remove(root, asked, as_json)


def _list(root: Path, as_json: bool) -> None:
    """What lies in the cache, and the onnxruntime beside harness."""
    from harness.cli import tables
    from harness.runtimes import kept
    from harness.shown import cell

    held = kept.everything(root)
    if as_json:
        print_json([dataclasses.asdict(one) for one in held])
        return
    from rich.table import Table

    from harness.cli.console import Console

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("runtime", "holds", "digest"):
        table.add_column(name)
    table.add_column("size", justify="right")
    for one in held:
        holds = f"damaged: it {one.damage}" if one.damage else ", ".join(f"{n} {v}" for n, v in one.packages.items())
        table.add_row(cell(one.name or "unknown"), cell(holds), one.digest[:12], tables.size(one.bytes))
    console = Console().out
    if held:
        console.print(table)
    total = tables.size(sum(one.bytes for one in held))
    console.print(f"{len(held)} runtimes, {total} in {root / KIND}", soft_wrap=True, markup=False)


def _install(root: Path, asked: Sequence[str], plugins: Sequence[str], as_json: bool) -> None:
    """Install each; the first that cannot be had ends it."""
    from harness.cli import ending
    from harness.runtimes import kept

    made = [kept.install(spec, root, plugins=plugins, say=ending.say) for spec in asked]
    if as_json:
        print_json([{"name": one.spec, "version": one.version, "python": one.python} for one in made])
        return
    for one in made:
        ending.out(f"{one.spec}: {one.package} {one.version}, {one.python}")


def _remove(root: Path, asked: Sequence[str], as_json: bool) -> None:
    """Remove what is named, all of it or nothing."""
    from harness.cli import ending, tables
    from harness.runtimes import kept

    gone = kept.remove(asked, root)
    if as_json:
        print_json([dataclasses.asdict(one) for one in gone])
        return
    for one in gone:
        ending.out(f"removed {one.name or one.digest}, {tables.size(one.bytes)}")
