"""`harness build`, `harness inspect` and `harness cache`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness import bounds, units
from harness.cli import depots, options
from harness.cli.sweep import EXIT_CASE_FAILED
from harness.errors import CaseIdError, UsageError

if TYPE_CHECKING:
    from harness.build.inventory import Entry
    from harness.cli.terminal import Terminal
    from harness.layout import TextTable
    from harness.records import Built

EXIT_DAMAGED = 4


def build(
    models: Annotated[str | None, typer.Argument(metavar="MODELS", help="Models, by name or glob.")] = None,
    zoo: options.Zoo = options.ZOO,
    variants: options.Variants = None,
    cache: options.CachePlace = None,
    format_: options.Format = None,
    as_json: options.AsJson = False,
) -> None:
    """Build artifacts and measure nothing.

    Example: harness build 'resnet*,minilm' --variants fp32,int8-static
    """
    format_ = options.chosen_format(format_, as_json=as_json)
    import dataclasses

    from harness import zoo as zoos
    from harness.build import pipeline
    from harness.build.cache import Cache
    from harness.cli import formats, tables
    from harness.cli.console import Console
    from harness.flow import plan as planning
    from harness.flow.plan import by_model
    from harness.records import Artifact, Status
    from harness.runtimes import framework_environments

    root, builds = depots.cache_and_builds(cache)
    store = Cache(root)
    selection = planning.Selection(models=options.names(models), variants=options.names(variants))
    cases = planning.plan(zoos.load(zoo), selection).cases
    with Console(quiet_stdout=format_ != options.TABLE) as console:
        built = (builds or pipeline.build)(
            store, by_model(cases), on_event=console.building, surround=framework_environments.ensure
        )
    if format_ != options.TABLE:
        held = [{"model": m, "variant": v} | dataclasses.asdict(b) for (m, v), b in built.items()]
        formats.emit(format_, value=held, records=held, grids=[built_table(built)], empty="nothing was built")
    else:
        for (model, variant), result in built.items():
            if isinstance(result, Artifact):
                where = store.artifact_path(result.digest)
                text = f"{tables.size(result.bytes)}, {result.nodes} nodes, {result.weights.kind} weights: {where}"
                console.out.print(f"{model}/{variant}: {text}", soft_wrap=True, markup=False)
                patterns = (result.fusion or {}).get("patterns") or {}
                fused = ", ".join(f"{count} {name}" for name, count in patterns.items() if count)
                if fused:
                    console.out.print(f"  fused: {fused}", style="dim", soft_wrap=True, markup=False)
            else:
                console.out.print(f"{model}/{variant}: {result.status}: {result.reason}", soft_wrap=True, markup=False)
    if any(getattr(result, "status", None) is Status.FAILED for result in built.values()):
        raise typer.Exit(EXIT_CASE_FAILED)


def built_table(built: Mapping[tuple[str, str], Built]) -> TextTable:
    """What came of every build, as a table."""
    from harness.layout import TextColumn, TextTable
    from harness.records import Artifact
    from harness.units import size

    columns = ("model", "variant", "size", "nodes", "weights", "digest", "remark")
    rows = [
        (model, variant, size(one.bytes), f"{one.nodes:,}", one.weights.kind, one.digest[:12], "")
        if isinstance(one, Artifact)
        else (model, variant, "", "", "", "", f"{one.status}: {one.reason}")
        for (model, variant), one in built.items()
    ]
    return TextTable(
        columns=tuple(TextColumn(name=name, right=name in ("size", "nodes")) for name in columns), rows=rows
    )


def inspect(
    what: Annotated[
        str, typer.Argument(metavar="FILE|CASE", help="An .onnx file, or a case or model/variant of the zoo.")
    ],
    other: Annotated[
        str | None, typer.Argument(metavar="[FILE|CASE]", help="A second one: only what differs is shown.")
    ] = None,
    zoo: options.Zoo = options.ZOO,
    cache: options.CachePlace = None,
    nodes: Annotated[bool, typer.Option("--nodes", help="List every node as well.")] = False,
    edge: Annotated[
        bool,
        typer.Option("--edge", help="What mobile providers would take, ORT format, operators needed, memory."),
    ] = False,
    format_: options.Format = None,
    as_json: options.AsJson = False,
) -> None:
    """Show what an ONNX file holds, or in what two differ.

    Example: harness inspect digits_cnn/int8-static
    """
    format_ = options.chosen_format(format_, as_json=as_json)
    from harness.build.inside import difference, inside
    from harness.cli import formats
    from harness.cli.console import Console
    from harness.cli.terminal import Terminal

    if edge and other:
        raise UsageError("--edge looks at one file or case")
    paths = [
        Path(one) if Path(one).exists() else cached_artifact(one, zoo, cache)
        for one in (what, *([other] if other else []))
    ]
    both = [inside(one) for one in paths]
    found = both[0] if len(both) == 1 else difference(*both)
    if edge:
        from harness.export.edge import edge as looked_at

        device = looked_at(paths[0], found, _dims(what, zoo))
        if format_ == options.TABLE and "timeline" in device["allocations"]:
            device["allocations"]["timeline"] = f"{len(device['allocations']['timeline'])} nodes, in --json"
        found = {**found, **device}
    if format_ != options.TABLE:
        formats.emit_facts(format_, found)
        return
    console = Terminal(highlight=False, soft_wrap=True)
    if other:
        print_difference(Console().out, found, (what, other))
    else:
        print_facts(console, found, nodes=nodes)


def _dims(what: str, zoo: Path) -> Mapping[str, int]:
    """The sizes of axes that the zoo gives a case's model; none for a file."""
    if Path(what).exists():
        return {}
    from harness import zoo as zoos

    model = zoos.load(zoo).models.get(what.partition("/")[0])
    return {} if model is None else model.dims


def print_difference(console: Terminal, found: Mapping[str, Any], sides: Sequence[str]) -> None:
    """What differs, a line each, with what is of one kind together."""
    from harness.layout import TextColumn, TextTable, print_grid

    if not found:
        console.print("the two do not differ in what is inside", markup=False)
        return
    columns = [TextColumn(name="", least=24), *(TextColumn(name=side, right=True, least=16) for side in sides)]
    kinds = list(dict.fromkeys(name.partition(".")[0] for name in found))
    rows = [
        (name, *(human(name, value) for value in found[name]))
        for name in sorted(found, key=lambda one: kinds.index(one.partition(".")[0]))
    ]
    print_grid(console, TextTable(columns=tuple(columns), rows=rows))


def print_facts(console: Terminal, found: Mapping[str, Any], *, nodes: bool) -> None:
    """What a file holds, without what it does not have; a line for each node where asked for."""
    width = max(map(len, found), default=0)
    for key, value in found.items():
        listed = dict(enumerate(value)) if isinstance(value, list) else value
        if key == "nodes" and isinstance(value, list):
            console.print(f"{key:{width}}  {len(value)}", markup=False)
            for node in value if nodes else []:
                console.print(f"  {one_line(node)}", markup=False)
        elif key == "unfused" and not value:
            console.print(f"{key:{width}}  nothing that harness knows a fused form of", markup=False)
        elif isinstance(listed, dict):
            within = max((len(str(name)) for name in listed), default=0)
            if listed:
                console.print(f"{key}", markup=False)
            for name, entry in listed.items():
                lead = f"{name:{within}}  " if isinstance(name, str) else ""
                console.print(f"  {lead}{entry_said(key, entry)}", markup=False)
        elif value not in (None, ""):
            console.print(f"{key:{width}}  {human(key, value)}", markup=False)


def entry_said(kind: str, entry: Any) -> str:
    """One entry of a fact that has several, for people."""
    from harness.build.inside import signature

    if kind in ("inputs", "outputs"):
        return f"{entry['name']}  {signature(entry)}"
    if kind == "initializers":
        tensors = units.count(entry["count"], "tensor")
        return f"{tensors}, {units.count(entry['elements'], 'element')}, {units.size(entry['bytes'])}"
    return one_line(entry)


def human(name: str, value: Any) -> str:
    """A fact for people: bytes and shares with their units; `-` where there is none."""
    last = name.rpartition(".")[2]
    if value is None:
        return units.NONE
    if last in ("bytes", "weight_bytes", "weights_bytes", "tensors_bytes"):
        return units.size(value)
    return units.share(value) if last == "quantized_share" else str(value)


def one_line(value: Any) -> str:
    """A JSON value on one line."""
    if isinstance(value, dict):
        return "  ".join(f"{k}={human(k, v)}" for k, v in value.items() if v not in (None, "", [], {}))
    return str(value)


def cached_artifact(case: str, zoo: Path, cache: str | None) -> Path:
    """The file of a case or a model/variant, from the cache.

    Raises:
        UsageError: if it is neither a file nor a case, or was not built yet.
    """
    from harness import zoo as zoos
    from harness.build import pipeline
    from harness.build.cache import Cache
    from harness.flow import plan as planning
    from harness.records import Artifact
    from harness.records.case_id import artifact_of

    said = f"{case}: no such file, and no case either; a case looks like digits_cnn/fp32 or digits_cnn/fp32/cpu-t1-b1"
    if case.endswith(".onnx"):
        raise UsageError(said)
    try:
        model, variant = artifact_of(case)
    except CaseIdError as error:
        raise UsageError(said) from error
    selection = planning.Selection(models=(model,), variants=(variant,))
    chosen = planning.plan(zoos.load(zoo), selection).cases[0]
    root, builds = depots.cache_and_builds(cache)
    store = Cache(root)
    if builds is not None:
        builds.bring(store, chosen.model, [chosen.recipe])
    built = pipeline.lookup(store, chosen.model, chosen.recipe)
    if built is None:
        raise UsageError(f"{case} is not built yet; run: harness build {model} --variants {variant}")
    if not isinstance(built, Artifact):
        raise UsageError(f"{case} has no artifact: {built.status}: {built.reason}")
    return store.artifact_path(built.digest)


def cache(
    cache: options.CacheDir = None,
    prune: Annotated[
        str | None,
        typer.Option(
            "--prune", metavar="AGE|KIND|all", help="Delete entries unused for an age (30d, 12h), of a kind, or all."
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash every file that has a checksum, and show only what is damaged.")
    ] = False,
    format_: options.Format = None,
    as_json: options.AsJson = False,
) -> None:
    """Show what is cached, how big it is and what made it; with --prune, delete.

    What is damaged is made again by whoever needs it.

    Exit codes: 0 done, 4 with --verify something is damaged.

    Example: harness cache --prune 30d
    """
    format_ = options.chosen_format(format_, as_json=as_json)
    import dataclasses

    from harness.build import inventory
    from harness.build.cache import Cache
    from harness.cli import formats, tables
    from harness.cli.console import Console
    from harness.layout import print_grid
    from harness.shown import markup

    store = Cache(options.cache_root(cache))
    if prune is not None:
        removed = inventory.prune(store, **pruning(prune))
        freed = sum(entry.bytes for entry in removed)
        typer.echo(f"removed {len(removed)} entries, {tables.size(freed)}")
        return
    everything = inventory.entries(store, deep=verify)
    entries = [entry for entry in everything if entry.damage] if verify else everything
    end = typer.Exit(EXIT_DAMAGED) if verify and entries else typer.Exit()
    if format_ != options.TABLE:
        held = [dataclasses.asdict(entry) for entry in entries]
        formats.emit(format_, value=held, records=held, grids=[cache_table(entries)], empty="nothing is cached")
        raise end
    console = Console().out
    if entries:
        print_grid(console, cache_table(entries))
    if verify:
        console.print(f"{len(entries)} of {len(everything)} entries are damaged, in {store.root}", soft_wrap=True)
        raise end
    for line in totals(entries):
        console.print(line, markup=False, soft_wrap=True)
    console.print(
        f"{len(entries)} entries, {tables.size(sum(e.bytes for e in entries))} in {markup(str(store.root))}",
        soft_wrap=True,
    )


UNUSED_S = 30 * 86400
"""What nobody used for so long is pointed out."""


def totals(entries: Sequence[Entry]) -> list[str]:
    """For each kind how much there is, and what could go."""
    import time

    from harness.units import count, size

    now, said = time.time(), []
    for kind in dict.fromkeys(entry.kind for entry in entries):
        own = [entry for entry in entries if entry.kind == kind]
        old = [entry.bytes for entry in own if now - entry.last_used >= UNUSED_S]
        unused = f", {size(sum(old))} in {len(old)} unused for 30 days" if old else ""
        said.append(f"{kind}: {count(len(own), 'entry', 'entries')}, {size(sum(one.bytes for one in own))}{unused}")
    if any(now - entry.last_used >= UNUSED_S for entry in entries):
        said.append("what is unused for 30 days can go with: harness cache --prune 30d; it is made again where needed")
    return said


def cache_table(entries: Sequence[Entry]) -> TextTable:
    """What is cached, as a table."""
    from harness.layout import TextColumn, TextTable
    from harness.units import size

    columns = (
        TextColumn(name="kind", above=True),
        TextColumn(name="digest", rank=2),
        TextColumn(name="made by", least=32),
        TextColumn(name="created", rank=3),
        TextColumn(name="last used"),
        TextColumn(name="size", right=True),
    )
    rows = [
        (
            entry.kind,
            entry.digest[:12],
            f"damaged: it {entry.damage}" if entry.damage else entry.made_by,
            day(entry.created),
            day(entry.last_used),
            size(entry.bytes),
        )
        for entry in entries
    ]
    return TextTable(columns=columns, rows=rows)


def day(since_epoch: float) -> str:
    """Local date and time, to the minute."""
    import datetime as dt

    return dt.datetime.fromtimestamp(since_epoch).astimezone().strftime("%Y-%m-%d %H:%M")


def pruning(text: str) -> dict[str, Any]:
    """The arguments of `inventory.prune` for what was asked.

    Raises:
        UsageError: if it is not an age, a kind or `all`.
    """
    from harness.build.cache import KINDS

    if text == "all":
        return {"everything": True}
    if text in KINDS:
        return {"kind": text}
    age = units.parse_duration(text, bare="")
    if age in bounds.AGE:
        return {"older_than_s": age}
    raise UsageError(
        f"--prune {options.shown(text)}: expected an age such as 30d or 12h, one of {', '.join(KINDS)}, or all"
    )
