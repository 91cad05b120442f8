"""`harness fleet`: the hosts that measure together."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness import bounds, units
from harness.cli import ending, options
from harness.cli.fleet_simulation import FleetSimulation
from harness.errors import UsageError
from harness.suggest import suggest

if TYPE_CHECKING:
    from harness.cli.console import Console
    from harness.cli.gate_console import GateConsole
    from harness.fleet.engine import Fleet as ConnectedFleet
    from harness.fleet.model import FleetHost
    from harness.flow.preview import SweepRequest
    from harness.flow.sweep import Swept
    from harness.gate.gate import GateRequest, GateSteps
    from harness.gate.model import Report
    from harness.layout import TextTable
    from harness.zoo import FleetSpec

ACTIONS = ("hosts", "worker", "up", "simulate")
HOSTS = ("any", "each")
PORT = 8786


def fleet(
    action: Annotated[str, typer.Argument(metavar="hosts|worker|up|simulate", help="What to do.")],
    address: Annotated[
        str | None, typer.Argument(metavar="[ADDRESS]", help="With worker: the scheduler's, such as tcp://lab:8786.")
    ] = None,
    scheduler: options.Scheduler = None,
    local: Annotated[
        int, typer.Option("--local", metavar="N", min=1, max=64, help="With up: workers on this machine.")
    ] = 1,
    port: Annotated[
        int,
        typer.Option("--port", min=bounds.PORT.least, max=bounds.PORT.most, help="With up: the scheduler's."),
    ] = PORT,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="NAME", help="With worker: what to call this host; repeatable."),
    ] = None,
    builds: Annotated[
        bool, typer.Option("--builds", help="With worker: build models for the fleet as well, each once.")
    ] = False,
    simulated_hosts: Annotated[
        int | None,
        typer.Option("--hosts", metavar="N", min=1, max=100_000, help="With simulate: hosts.", show_default="100"),
    ] = None,
    cases: Annotated[
        int | None,
        typer.Option("--cases", metavar="N", min=1, max=10_000_000, help="With simulate: cases.", show_default="10000"),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            metavar="N",
            min=bounds.PROCESSES.least,
            max=bounds.PROCESSES.most,
            help="With simulate: processes of each case.",
            show_default="5",
        ),
    ] = None,
    host_classes: Annotated[
        int | None,
        typer.Option("--classes", metavar="N", min=1, max=1000, help="With simulate: of hosts.", show_default="1"),
    ] = None,
    fail_rate: Annotated[
        str | None,
        typer.Option(
            "--fail-rate", metavar="SHARE", help="With simulate: processes that end their host.", show_default="0%"
        ),
    ] = None,
    process_time: Annotated[
        str | None,
        typer.Option(
            "--process-time",
            metavar="TIME|DIR",
            help="With simulate: what a process takes, or the results folder whose processes say so.",
            show_default="5s",
        ),
    ] = None,
    night: Annotated[
        str | None,
        typer.Option("--night", metavar="TIME", help="With simulate: find the hosts that need no longer, such as 8h."),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen",
            metavar="ADDRESS",
            help="With up or worker: this machine's address that others reach (default: 127.0.0.1; "
            "for a worker whose scheduler is elsewhere: all).",
        ),
    ] = None,
    cache: options.CacheDir = None,
    tls_ca: options.TlsCa = None,
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    format_: options.Format = None,
    as_json: options.AsJson = False,
) -> None:
    """See the hosts of a fleet, be one of them, start a small one on this machine to try it, or simulate a large one.

    A fleet is trusted: Dask's workers run the code that they are sent. `up` listens on 127.0.0.1 alone, unless
    --listen says otherwise.

    Example: harness fleet up --local 2
    """
    format_ = options.chosen_format(format_, as_json=as_json)
    if action not in ACTIONS:
        raise UsageError(f"harness fleet {options.shown(action)}: {suggest(action, ACTIONS)}")
    if address is not None and (action in ("up", "simulate") or scheduler is not None):
        raise UsageError(
            f"harness fleet {action} {options.shown(address)}: an address is named once; up and simulate take none"
        )
    if (label or builds) and action != "worker":
        raise UsageError(f"{'--label' if label else '--builds'} belongs to `harness fleet worker`")
    simulation = FleetSimulation(
        hosts=simulated_hosts,
        cases=cases,
        processes=processes,
        classes=host_classes,
        fail_rate=fail_rate,
        process_time=process_time,
        night=night,
    )
    if action == "simulate":
        simulation.show(format_)
        return
    if simulation != FleetSimulation():
        raise UsageError(f"--cases, --night and their like belong to `harness fleet simulate`, not to {action}")
    if listen is not None and (action == "hosts" or not _is_address(listen)):
        raise UsageError(
            f"--listen {options.shown(listen)} goes with `harness fleet up` or `worker`, and is an address of this "
            f"machine, such as 127.0.0.1 or 192.168.0.7"
        )
    root, files = None if cache is None else options.cache_root(cache), (tls_ca, tls_cert, tls_key)
    if action == "up":
        _up(local, port, root, listen or "", options.fleet_spec(None, None, files))
        return
    spec = options.fleet_spec(None, address or scheduler, files)
    if not spec.scheduler:
        raise UsageError(f"harness fleet {action}: name the scheduler with --scheduler ADDRESS or HARNESS_SCHEDULER")
    if action == "worker":
        _worker(spec, tuple(label or ()), root, listen or "", builds=builds)
    else:
        _hosts(spec, format_)


def remarks(fleet: ConnectedFleet) -> list[str]:
    """What to say of a scheduler before anything is measured."""
    shows = f"Dask shows what runs where: {fleet.dashboard}" if fleet.dashboard else ""
    return [line for line in (fleet.odd_dask, shows) if line]


def swept_somewhere(
    request: SweepRequest, console: Console, spec: FleetSpec, *, hosts: str = "any", depot: str = ""
) -> list[Swept]:
    """A sweep on this host, or on a fleet where there is one; with `each`, one for every class of hosts.

    Raises:
        UsageError: as `sweep`, or the fleet cannot be reached.
    """
    from harness.flow.sweep import sweep

    if hosts not in HOSTS:
        raise UsageError(f"--hosts {options.shown(hosts)}: {suggest(hosts, HOSTS)}")
    if not spec.scheduler:
        if hosts != "any":
            raise UsageError("--hosts each goes with a fleet: name its scheduler with --scheduler ADDRESS")
        builds = None
        if depot:
            from harness.fleet.depot_builds import DepotBuilds

            builds = DepotBuilds(depot, say=console.preparing)
        return [published(sweep(request, console, builds=builds), request.results, console)]
    from harness import zoo as zoos
    from harness.fleet.builders import FleetBuilds
    from harness.fleet.engine import Fleet
    from harness.fleet.executor import FleetExecutor

    wishes = {name: one.hosts for name, one in zoos.load(request.zoo).targets.items()}
    with Fleet(spec) as found:
        found.check_scheduler()
        for line in remarks(found):
            console.preparing(line)
        only = every_class(found.hosts()) if hosts == "each" else [None]
        done: list[Swept] = []
        for one in only:
            if one is not None:
                console.preparing(f"hosts of class {one.host_class} ({one.fact.get('cpu')}):")
            executor = FleetExecutor(
                found,
                request.cache,
                depot=depot,
                wishes=wishes,
                only=one.host_class if one is not None else "",
                say=console.preparing,
            )
            console.elsewhere = executor
            swept = sweep(
                request,
                console,
                executor=executor,
                attempt=executor.try_targets,
                builds=FleetBuilds(found, depot=depot, say=console.preparing),
                measured_on=one.host if one is not None else None,
            )
            done.append(published(swept, request.results, console))
    return done


def every_class(hosts: Sequence[FleetHost]) -> list[FleetHost | None]:
    """A host of each class that measures, in the order of their fingerprints.

    Raises:
        UsageError: nobody can measure.
    """
    from harness.fleet.model import classes

    found = classes(hosts)
    if not found:
        raise UsageError("no worker of the fleet can measure: harness fleet hosts says why")
    return [found[name][0] for name in sorted(found)]


def fleet_of_gate(zoo: Path, scheduler: str | None, files: Sequence[Path | None], *, hosts: str | None) -> FleetSpec:
    """Where the pairs of a gate are measured: what was named, or what a zoo that can be read names.

    Raises:
        UsageError: an option goes with a fleet and there is none, or as `options.fleet_spec`.
    """
    from harness.errors import ZooError

    if hosts is not None and hosts not in HOSTS:
        raise UsageError(f"--hosts {options.shown(hosts)}: {suggest(hosts, HOSTS)}")
    try:
        spec = options.fleet_spec(zoo if zoo.is_file() else None, scheduler, files)
    except ZooError:  # that of a side may be another file, and else its side says what is wrong with it
        spec = options.fleet_spec(None, scheduler, files)
    if not spec.scheduler and hosts:
        raise UsageError(
            f"--hosts {options.shown(hosts)} goes with a fleet: name its scheduler with --scheduler ADDRESS"
        )
    return spec


def gated_somewhere(
    request: GateRequest, console: GateConsole, spec: FleetSpec, *, hosts: str | None = None, depot: str = ""
) -> Report:
    """A gate whose pairs are measured on this host, or on a fleet where there is one.

    Raises:
        UsageError: as `gate`, or the fleet cannot be reached.
    """
    from harness.gate.gate import GateSteps, gate

    if not spec.scheduler:
        return gate(request, console, steps=_from_depot(depot, console) if depot else None)
    from harness import zoo as zoos
    from harness.errors import ZooError
    from harness.fleet.builders import FleetBuilds
    from harness.fleet.engine import Fleet
    from harness.gate.fleet.builds import SideBuilds
    from harness.gate.fleet.places import FleetPlaces

    for role, python in (("base", request.base_python), ("head", request.head_python)):
        if python is not None:
            raise UsageError(
                f"--{role}-python {python} is an interpreter of this host, which other hosts do not have: name a "
                f"release with --{role}-runtime, or leave out --scheduler"
            )
    wishes = {}
    with contextlib.suppress(ZooError):
        if request.zoo.is_file():
            wishes = {name: one.hosts for name, one in zoos.load(request.zoo).targets.items()}
    with Fleet(spec) as fleet:
        fleet.check_scheduler()
        for line in remarks(fleet):
            console.say(line)
        places = FleetPlaces(fleet, request.cache, depot=depot, wishes=wishes, hosts=hosts or "each", say=console.say)
        elsewhere = FleetBuilds(fleet, depot=depot, say=console.say)
        builds = SideBuilds(depot=depot, fleet=elsewhere, say=console.say)
        console.elsewhere = places
        return gate(request, console, steps=GateSteps(resolve=places.resolve, build=builds, places=places))


def _from_depot(depot: str, console: GateConsole) -> GateSteps:
    """The steps of a gate on this host whose artifacts lie at a URL, too."""
    from harness.gate.fleet.builds import SideBuilds
    from harness.gate.gate import GateSteps

    return GateSteps(build=SideBuilds(depot=depot, say=console.say))


def published(swept: Swept, results: Path, console: Console) -> Swept:
    """What a sweep left, written to the URL that its results folder mirrors, if it does.

    Raises:
        StoreError: it cannot be written there; it is kept here, and the next verb with that URL tries again.
    """
    from harness.store.mirror import Mirror

    mirror = Mirror.at(results)
    if mirror is not None:
        console.preparing(f"published: {mirror.publish(swept.samples)}")
    return swept


def end_as_interrupted() -> None:
    """Let what a service manager or a closed terminal sends end this as Ctrl-C does, with all that it started."""
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)


def _is_address(text: str) -> bool:
    """Whether a text is a name or an address of a machine, without protocol and port."""
    import ipaddress
    import re

    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(text))
    return re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", text) is not None


def _worker(spec: FleetSpec, labels: Sequence[str], cache: Path | None, listen: str, *, builds: bool) -> None:
    """Be a worker until somebody ends it."""
    from harness.fleet import local
    from harness.fleet.engine import Fleet

    if wrong := [one for one in labels if "," in one or not one.strip()]:
        raise UsageError(f"--label {options.shown(wrong[0])}: a name without commas; give --label again for another")
    command = local.worker_command(spec, listen=listen, builds=builds)
    environment = local.worker_environment(labels=labels, cache=cache, encrypted=bool(spec.tls_ca))
    try:
        Fleet(spec).close()
    except UsageError as error:  # a worker of Dask waits without a word
        if "certificate does not match" in str(error.__cause__):
            raise
        ending.say(f"{error} The worker waits for it.")
    end_as_interrupted()
    code = local.become_worker(command, environment, say=ending.say)
    if code:
        raise UsageError(f"the worker ended with code {code}: what Dask said of it stands above")


def _up(count: int, port: int, cache: Path | None, listen: str, tls: FleetSpec) -> None:
    """A scheduler and workers here, until somebody ends this."""
    from harness.fleet import local

    end_as_interrupted()
    host = listen or local.LOOPBACK
    if not tls.tls_ca and not local.is_here(f"tcp://{host}"):
        ending.say(
            f"whoever reaches {host} can run code on this machine: give --tls-ca, --tls-cert and --tls-key, or listen "
            f"on {local.LOOPBACK}"
        )
    with local.cluster(count, port=port, host=host, cache=cache, tls=tls) as address:
        ending.out(f"{units.count(count, 'worker')} at {address}; Ctrl-C ends them. In another terminal:")
        ending.out(f"  harness fleet hosts --scheduler {address}")
        ending.out(f"  harness sweep --scheduler {address}")
        sys.stdout.flush()
        while True:
            time.sleep(3600)


def _hosts(spec: FleetSpec, format_: str) -> None:
    """Who is there."""
    from harness.cli import formats
    from harness.cli.console import Console
    from harness.fleet import member
    from harness.fleet.engine import Fleet
    from harness.layout import print_grid

    with Fleet(spec) as found:
        hosts = found.hosts()
        running = found.running()
        free = [one.address for one in hosts if not (one.refused or one.busy or running.get(one.address))]
        floors, said = found.ask(member.measured_floor, free), remarks(found)
    records: list[dict[str, Any]] = [
        {
            **dataclasses.asdict(one),
            "class": one.host_class,
            "floor_s": floors.get(one.address),
            "running": [*running.get(one.address, ())],
        }
        for one in hosts
    ]
    grid = _grid(hosts, floors, running)
    if format_ != options.TABLE:
        formats.emit(format_, value=records, records=records, grids=[grid], empty="no worker is there")
        return
    console = Console().out
    if hosts:
        print_grid(console, grid)
    for line in (f"{units.count(len(hosts), 'worker')} at {spec.scheduler}", *said):
        console.print(line, soft_wrap=True, markup=False)


def _held_to(one: FleetHost) -> str:
    """Of how many cores a worker may use some alone, in brackets: hosts that differ in that are of two classes."""
    usable, logical = one.fact.get("cores_usable"), one.fact.get("cores_logical")
    return f" ({usable} of {logical} cores)" if usable and logical and usable != logical else ""


def _grid(
    hosts: Sequence[FleetHost], floors: dict[str, float | None], running: Mapping[str, Sequence[str]]
) -> TextTable:
    """A line for each worker."""
    from harness.fleet.engine import CLOCK_S
    from harness.layout import TextColumn, TextTable
    from harness.providers import short_name
    from harness.shown import cell

    names = ("worker", "host", "class", "cpu", "providers", "runtimes", "floor", "busy", "labels", "state")
    rows = []
    for one in hosts:
        busy, floor = one.noise.get("busy"), floors.get(one.address)
        state = one.refused or ("measuring" if one.busy else "free" if one.slots else "lacks the resource harness=1")
        state = "; ".join(running.get(one.address, ())) or (f"{state}, builds as well" if one.builds else state)
        if abs(one.clock_s) > CLOCK_S:
            state += f", its clock {units.seconds(abs(one.clock_s))} {'ahead' if one.clock_s > 0 else 'behind'}"
        runtimes = " ".join(f"{name} {version}" for name, version in one.runtimes.items())
        rows.append(
            (
                cell(one.address),
                cell(one.name),
                cell(one.host_class),
                cell(f"{one.fact.get('cpu') or one.fact.get('machine') or ''}{_held_to(one)}"),
                cell(" ".join(map(short_name, one.providers))),
                cell(runtimes),
                units.seconds(floor) if floor else "",
                units.share(busy) if isinstance(busy, float) else "",
                cell(" ".join(one.labels)),
                cell(state),
            )
        )
    return TextTable(columns=tuple(TextColumn(name=name) for name in names), rows=rows)
