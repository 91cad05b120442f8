"""`harness predict`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness import bounds, units
from harness.cli import depots, ending, options
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.build.cache import Cache
    from harness.fleet.depot_builds import DepotBuilds
    from harness.layout import TextTable
    from harness.predict.host import HostSpec
    from harness.predict.predict import Prediction

HERE = "here"
MEASURING_S = 10.0


def predict(
    what: Annotated[
        str | None, typer.Argument(metavar="[CASE]", help="A case, such as resnet50/int8-static/cpu-t1-b1.")
    ] = None,
    host: Annotated[
        str, typer.Option("--host", metavar="FILE|here", help="What the host can do: a file of it, or this one.")
    ] = HERE,
    like: Annotated[
        Path | None,
        typer.Option(
            "--like", metavar="FILE", help="Calibrate by the rows of another host, which --measure-host wrote there."
        ),
    ] = None,
    measure_host: Annotated[
        Path | None,
        typer.Option("--measure-host", metavar="FILE", help="Measure what this host can do, and write it there."),
    ] = None,
    devices: Annotated[
        int, typer.Option("--devices", metavar="N", min=1, max=1024, help="So many such hosts together, linked.")
    ] = 1,
    split: Annotated[
        str, typer.Option("--split", metavar="batch|pipeline", help="What each device gets: examples, or nodes.")
    ] = "batch",
    microbatches: Annotated[
        int | None,
        typer.Option("--microbatches", metavar="N", min=1, max=bounds.BATCH.most, help="With --split pipeline."),
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="Nodes that are listed.")] = 10,
    zoo: options.Zoo = options.ZOO,
    results: options.Results = options.RESULTS,
    cache: options.CachePlace = None,
    format_: options.Format = None,
    as_json: options.AsJson = False,
) -> None:
    """Say what a case would take on a host that is not here, and how wrong that may be.

    Each node takes the time of its arithmetic or of its bytes, whichever is longer; rows that were measured on the host
    correct it. Nothing is run, and nothing of it is stored as a result.

    Example: harness predict resnet50/int8-static/cpu-t1-b1 --host board.yaml
    """
    format_ = options.chosen_format(format_, as_json=as_json)
    from harness.build.cache import Cache
    from harness.predict import counted
    from harness.predict import host as hosts

    root, builds = depots.cache_and_builds(cache)
    store = Cache(root)
    if measure_host is not None:
        from harness.paths import typed

        ending.say("measuring what this host can do; whatever else runs meanwhile makes it look slower")
        found = counted.host_here(store, again=True, budget_s=MEASURING_S)
        hosts.write(typed(measure_host), found)
        if what is None:
            ending.out(f"{measure_host}: {said_of(found)}")
            return
    if what is None:
        raise UsageError("name a CASE, or give --measure-host FILE")
    if microbatches is not None and split != "pipeline":
        raise UsageError("--microbatches belongs to --split pipeline")
    places = (zoo, results, store, builds)
    _predicted(what, _host(host, store), like, (devices, split, microbatches), places, format_, top)


def _predicted(
    what: str,
    where: HostSpec,
    like: Path | None,
    over: tuple[int, str, int | None],
    places: tuple[Path, Path, Cache, DepotBuilds | None],
    format_: str,
    top: int,
) -> None:
    from harness.cli import formats
    from harness.cli.terminal import Terminal
    from harness.explain import cases
    from harness.layout import print_grid
    from harness.predict import host as hosts
    from harness.predict.predict import PredictRequest, as_record
    from harness.predict.predict import predict as look
    from harness.store import query

    zoo, results, store, builds = places
    devices, split, microbatches = over
    known = hosts.read(like) if like is not None else where if where.fingerprint else None
    if known is not None and not known.fingerprint:
        raise UsageError(
            f"--like {like}: no host was measured for it: `harness predict --measure-host FILE` writes one"
        )
    the_zoo = cases.load(zoo)
    request = PredictRequest(
        zoo=the_zoo,
        case=cases.named(the_zoo, what),
        host=where,
        like=known,
        rows=query.rows(results) if known is not None else (),
        cache=store.root,
        results=results,
        builds=builds,
        fetch=partial(depots.fetch_row, builds, store) if builds is not None else lambda _: None,
        devices=devices,
        split=split,
        microbatches=microbatches,
    )
    found = look(request, ending.say)
    tables = grids(found, top)
    if format_ != options.TABLE:
        records = [{"case": found.case, **as_record(one)} for one in found.nodes]
        formats.emit(format_, value=found.to_json(), records=records, grids=tables, empty="no nodes")
        return
    for line in sentences(found):
        ending.out(line)
    console = Terminal(highlight=False)
    for table in tables:
        ending.out("")
        print_grid(console, table)


def _host(given: str, store: Cache) -> HostSpec:
    from harness.paths import typed
    from harness.predict import counted
    from harness.predict import host as hosts

    if given != HERE:
        return hosts.read(typed(given))
    return counted.host_here(store, again=False, budget_s=MEASURING_S)


def said_of(host: HostSpec) -> str:
    """A host in a line."""
    flops = ", ".join(f"{name} {rate / 1e9:,.0f} GFLOP/s" for name, rate in host.flops.items())
    return (
        f"{host.name}, {units.count(host.cores, 'core')}: {flops} of one core; {host.bandwidth / 1e9:.1f} GB/s; "
        f"{units.seconds(host.launch_s)} to start a node"
    )


def sentences(found: Prediction) -> list[str]:
    """The prediction, and beside it what it is worth."""
    over = found.distributed
    batch = f", a batch over {len(over.parts)} devices by {over.split}" if over else ""
    lines = [f"{found.case} on {found.host}{batch}: predicted {units.seconds(found.seconds)} (nothing was run)"]
    held = found.held_out
    if held.median is not None and held.worst_tenth is not None:
        lines.append(
            f"error of such predictions: median {units.share(held.median)}, nine of ten within "
            f"{units.share(held.worst_tenth)}; {units.count(len(held.errors), 'measured case')} of "
            f"{units.count(held.models, 'model')} on {found.calibrated_on or found.host}, each model left out in turn"
        )
    else:
        lines.append(
            "error of such predictions: not known, since fewer than two models were measured on this host: the "
            "roofline alone is a lower bound that real kernels miss by a factor"
        )
    if found.measured_s is not None:
        error = found.seconds / found.measured_s
        lines.append(
            f"measured: {units.seconds(found.measured_s)}; the prediction is off by {units.change(error, sign=True)}"
        )
    if found.calibrated_on and found.calibrated_on != found.host:
        lines.append(f"calibrated on {found.calibrated_on}: its error on {found.host} is not known")
    memory = f"memory: weights {units.size(found.weights)}, tensors {units.size(found.live_bytes)} at {found.live_at}"
    lines.append(memory + {None: "", True: "", False: ": more than the host has"}[found.fits])
    if over:
        rate = units.seconds(over.interval_s)
        what = f", {units.count(over.microbatches, 'microbatch', 'microbatches')}" if over.split == "pipeline" else ""
        lines.append(f"batch after batch: one each {rate}{what}")
    return [*lines, *(f"left out: {reason}" for reason in found.left_out)]


def grids(found: Prediction, top: int) -> Sequence[TextTable]:
    """The nodes that take longest, and the devices where there are several."""
    from harness.layout import TextColumn, TextTable

    whole = sum(one.seconds for one in found.nodes) or 1.0
    longest = sorted(found.nodes, key=lambda one: -one.seconds)[:top]
    tables = [
        TextTable(
            columns=(
                TextColumn(name="node"),
                TextColumn(name="operator"),
                TextColumn(name="type"),
                TextColumn(name="predicted", right=True),
                TextColumn(name="share", right=True),
                TextColumn(name="bound by"),
                TextColumn(name="MFLOP", right=True),
                TextColumn(name="moved", right=True),
            ),
            rows=[
                (
                    one.cost.name,
                    one.cost.operator,
                    one.cost.type,
                    units.seconds(one.seconds),
                    units.share(one.seconds / whole),
                    one.bound,
                    units.digits(one.cost.flops / 1e6),
                    units.size(one.cost.moved),
                )
                for one in longest
            ],
        )
    ]
    if found.distributed:
        names = ("device", "nodes", "weights", "computes", "sends")
        tables.append(
            TextTable(
                columns=tuple(TextColumn(name=name, right=True) for name in names),
                rows=[
                    (
                        str(n),
                        str(one.nodes),
                        units.size(one.weights),
                        units.seconds(one.busy_s),
                        units.seconds(one.sends_s),
                    )
                    for n, one in enumerate(found.distributed.parts, 1)
                ],
            )
        )
    return tables
