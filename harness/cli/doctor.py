"""`harness doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.cli import configuration, options

if TYPE_CHECKING:
    from harness.tested import OtherVersion

UNSEEN = "as on another host (docs/statistics.md): sweep the same builds a few times to know it of this one"


def doctor(
    results: options.Results = options.RESULTS, format_: options.Format = None, as_json: options.AsJson = False
) -> None:
    """Find out what this host can do, by doing it: providers, frameworks, measurement floor, noise. Takes ten seconds.

    Stored runs of this host tell how far it drifts between runs. Packages in other versions than those that harness
    was tested with are named.

    Example: harness doctor
    """
    format_ = options.chosen_format(format_, as_json=as_json)
    import dataclasses

    from harness.cli import formats, tables
    from harness.flow.doctor import examine

    found = examine(results=results)
    file, values = configuration.stated()
    if format_ != options.TABLE:
        known = {"file": None if file is None else str(file), "values": values}
        formats.emit_facts(format_, dataclasses.asdict(found) | {"defaults": known})
        return
    from harness.cli.terminal import Terminal
    from harness.shown import markup

    console = Terminal(highlight=False, soft_wrap=True)
    host = found.host
    console.print(f"[bold]host[/bold] {markup(str(host['name']))}, fingerprint {found.fingerprint}")
    console.print(f"  processor   {host['cpu']}; {' '.join(host['isa'])}", markup=False)
    console.print(
        f"  cores       {host['cores_usable']} usable of {host['cores_logical']} logical, "
        f"{host['cores_physical'] or 'unknown'} physical; governor {markup(str(host['governor'] or 'not readable'))}"
    )
    limit = tables.size(host["memory_limit"]) if host["memory_limit"] else "none"
    quota = f"{host['cpu_limit']:g} cores" if host["cpu_limit"] else "none"
    console.print(f"  memory      {host['memory_gib']} GiB; container limits: memory {limit}, processor {quota}")
    console.print(
        f"  system      {host['os']}, {host['system']} {host['kernel']}{', virtual' if host['hypervisor'] else ''}",
        markup=False,
    )
    console.print(f"  gpus        {', '.join(host['gpus']) or 'none found'}", markup=False)
    console.print(f"[bold]runtime[/bold] {markup(str(found.runtime['name']))} {markup(str(found.runtime['version']))}")
    for provider, why_not in found.providers.items():
        mark = "[green]runs a node[/green]" if why_not is None else "[yellow]does not run[/yellow]"
        console.print(f"  {markup(provider):28} {mark}")
        if why_not:
            console.print(f"    {why_not[:240]}", style="dim", markup=False)
    console.print("[bold]frameworks[/bold]")
    for name, framework in found.frameworks.items():
        said = framework.problem or framework.version or "unknown version"
        console.print(f"  {name:12} {said}", style="yellow" if framework.problem else "", markup=False)
    console.print("[bold]versions[/bold]")
    for line in untested(found.untested):
        console.print(f"  {line}", markup=False)
    if file is not None:
        console.print(f"[bold]defaults[/bold] of {markup(str(file))}, [tool.harness]".replace("[tool", r"\[tool"))
        for name, value in values.items():
            console.print(f"  {name} = {value!r}", markup=False)
    noise = found.noise
    console.print("[bold]measuring[/bold]")
    console.print(f"  floor       {tables.seconds(found.floor_s)} per call (a one-node model on CPUExecutionProvider)")
    console.print(
        f"  noise       {noise['spread']:.1%} between fresh processes doing the same work; differences below about "
        f"{noise['detectable']:.1%} cannot be seen now"
    )
    seen = f"in {noise['drift_pairs']:.0f} pairs of this host's runs" if noise["drift_pairs"] else UNSEEN
    console.print(f"  drift       runs of unchanged work lie up to {noise['drift']:.1f} half-widths apart, {seen}")
    load, steal = noise["load1"], noise["steal"]
    console.print(
        f"  load        {'unknown' if load is None else f'{load:.2f}'}; stolen by the hypervisor: "
        f"{'unknown' if steal is None else f'{steal:.1%}'}"
    )
    for line in found.advice or ("Nothing to fix.",):
        console.print(f"  [bold]>[/bold] {markup(line)}")


def untested(found: Sequence[OtherVersion]) -> list[str]:
    """What to say of the versions that are installed: one line for each that was not tested, and what to do."""
    if not found:
        return ["all as tested (constraints.txt)"]
    return [
        *(str(one) for one in found),
        "results may be right all the same; to have what was tested: python -m pip install -c constraints.txt ...",
    ]
