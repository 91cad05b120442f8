"""`harness selftest`."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness import bounds
from harness.cli import options
from harness.cli.gate import EXIT_INCONCLUSIVE, TimeLimit
from harness.errors import UsageError
from harness.stats import rule

if TYPE_CHECKING:
    from harness.cli.gate_console import GateConsole
    from harness.gate.model import GateSettings
    from harness.gate.selftest.recording import Recording
    from harness.gate.selftest.resample import Rate
    from harness.gate.selftest.selftest import Figures

CASES = 3


def selftest(
    pairs: Annotated[
        int,
        typer.Option(
            "--pairs",
            metavar="N",
            min=8,
            max=bounds.PAIRS.most,
            help="Pairs that a gate confirms with; those that it screens with are recorded beside them.",
        ),
    ] = rule.CONFIRM_PAIRS,
    slow: Annotated[
        str, typer.Option("--slow", metavar="5%", help="The slow-down that the slowed copies have.")
    ] = "5%",
    cases: Annotated[
        int, typer.Option("--cases", metavar="N", min=1, help="Small networks to try it on, one thread first.")
    ] = CASES,
    record: Annotated[
        Path | None, typer.Option("--record", metavar="FILE", help="Keep every pair, for benchmarks/rules.py.")
    ] = None,
    replay: Annotated[
        list[Path] | None, typer.Option("--replay", metavar="FILE", help="Judge recordings instead of measuring.")
    ] = None,
    time_limit: TimeLimit = None,
    cache: options.CacheDir = None,
) -> None:
    """Measure what the gate's false-alarm rate and power are on this host, today.

    Small networks are paired with themselves, and with copies that extra nodes slow down; the gate's rule is then
    played on these pairs. Takes about three seconds for every pair of each of --cases.

    Exit codes: 0 measured, 2 usage, 3 the time limit was over.

    Example: harness selftest --pairs 30 --slow 3%
    """
    from harness import processes
    from harness.cli.gate_console import GateConsole
    from harness.gate.model import GateSettings
    from harness.gate.selftest import recording as recordings
    from harness.gate.selftest import selftest as tests
    from harness.gate.timing import lock
    from harness.store import files

    share = options.ratio(slow, "--slow") or 0.0
    if cases > tests.MOST_CASES:
        raise UsageError(f"--cases {cases}: there are {tests.MOST_CASES}")
    settings = GateSettings(confirm_pairs=pairs)
    end = None if time_limit is None else time.monotonic() + options.duration(time_limit, "--time-limit")
    if record is not None:
        files.probe(record.absolute().parent)
    with GateConsole() as console:
        if replay:
            recorded = recordings.read(replay)
            share = slowed_by(recorded, share)
        else:
            try:
                with processes.ending_at(end), lock.alone(options.cache_root(cache), console.say, who="self-test"):
                    left = None if end is None else max(end - time.monotonic(), 0.0)
                    timed = replace(settings, time_limit_s=left)
                    recorded = tests.record(slow=share, cases=cases, settings=timed, watch=console)
            except processes.OutOfTime:
                console.say("the time limit was over before the first pair: nothing is known")
                raise typer.Exit(EXIT_INCONCLUSIVE) from None
            if record is not None:
                recordings.write(recorded, record)
            taken, wanted = min(len(one.pairs) for one in recorded), settings.screen_pairs + settings.confirm_pairs
            if taken < wanted:
                console.say(
                    f"the time limit was over after {taken} of {wanted} pairs of each case: there are no figures"
                )
                raise typer.Exit(EXIT_INCONCLUSIVE)
        console.say("playing gates on the recorded pairs")
        show(console, tests.figures(recorded, share, settings), recorded, share, settings)


def slowed_by(recorded: Recording, asked: float) -> float:
    """The slow-down that a recording has: the one asked for, or its only one.

    Raises:
        UsageError: if it has several others.
    """
    found = sorted({round(one.truth - 1, 9) for one in recorded if one.truth != 1})
    if any(abs(share - asked) < 1e-9 for share in found):  # noqa: PLR2004  (percentages as they were written)
        return asked
    if len(found) != 1:
        raise UsageError(f"--slow {asked:.1%}: the recording has {', '.join(f'{s:.1%}' for s in found) or 'none'}")
    return found[0]


def show(console: GateConsole, found: Figures, recorded: Recording, slow: float, settings: GateSettings) -> None:
    """Print the figures."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("case", "pairs", "spread between pairs", f"extra nodes for {slow:.1%}", "they really cost"):
        table.add_column(name, justify="left" if name == "case" else "right")
    nodes = {one.case: one.nodes for one in recorded if one.nodes}
    counts = {one.case: len(one.pairs) for one in recorded}
    for case, spread in found.spread.items():
        cost = found.slowed.get(case)
        known = f"{cost.ratio - 1:+.1%}" if cost is not None else "-"
        if cost is not None and cost.bounded:
            known += f" [{cost.low - 1:+.1%}, {cost.high - 1:+.1%}]"
        table.add_row(case, str(counts[case]), f"{spread:.1%}", str(nodes.get(case, "-")), known)
    console.out.print(table)
    pairs = f"{settings.screen_pairs} pairs to screen and {settings.confirm_pairs} to confirm"
    several = len(found.spread) > 1
    one, whole = rate(found.per_case, several=several), rate(found.per_gate, several=several)
    alarms = f"{one} of cases without a change, {whole} of gates of {found.gate_cases}"
    alone = rate(found.power, several=several)
    among = f"{rate(found.power_among, several=several)} among {found.gate_cases}"
    costs = sorted(known.ratio - 1 for known in found.slowed.values())
    sizes = f"{costs[0]:+.1%}" if len(costs) == 1 else f"{costs[0]:+.1%} to {costs[-1]:+.1%}"
    lines = [
        f"With {pairs}, on this host, today:",
        f"  false alarms: {alarms} such cases",
        f"  real slow-downs ({sizes}) are seen in {alone} of gates of one case, {among}",
        f"  smallest slow-down that one case shows with a chance of 80%: {found.detectable:.1%}",
    ]
    if several:
        lines.append(f"In brackets: the range over new drawings of the {len(found.spread)} networks")
    console.out.print("\n".join(lines), soft_wrap=True, markup=False)


def rate(found: Rate, *, several: bool) -> str:
    """A share with its range, where there was more than one network to sample."""
    return f"{found.value:.1%}" + (f" [{found.low:.1%} to {found.high:.1%}]" if several else "")
