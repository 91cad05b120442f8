"""`harness fleet simulate`: how long a sweep takes on hosts that nobody has yet."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import units
from harness.cli import ending, options
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.fleet.simulate import Simulated

HOSTS, CASES, PROCESSES, CLASSES = 100, 10_000, 5, 1
MOST_PROCESSES = 100_000_000
FEW_CASES, FEW = 20, 3
"""Cases, and processes of each at most, that are stored to find out what that costs."""

LONGEST_S = 30 * 86_400.0
DAY_S, HOUR_S, MINUTE_S = 86_400, 3600, 60

RECORDED = (
    "list_transform(processes, lambda p: greatest(coalesce(p.cold_ns, 0), coalesce(p.session_ns, 0) "
    "+ coalesce(p.first_inference_ns, 0)) + coalesce(list_sum(p.warmup_ns), 0) + coalesce(list_sum(p.samples_ns), 0))"
)
"""Nanoseconds that every process of a row took, from its start to its last sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSimulation:
    """What was asked for; None stands for a default."""

    hosts: int | None = None
    cases: int | None = None
    processes: int | None = None
    classes: int | None = None
    fail_rate: str | None = None
    process_time: str | None = None
    night: str | None = None

    def show(self, format_: str) -> None:
        """Simulate, and say what came of it.

        Raises:
            UsageError: something asked for is not a number, a time or a folder, or does not go together.
        """
        from harness.fleet import simulate
        from harness.fleet.simulated_journal import storing_s

        asked = simulate.SimulatedSweep(
            hosts=self.hosts or HOSTS,
            cases=self.cases or CASES,
            processes=self.processes or PROCESSES,
            classes=self.classes or CLASSES,
            fail_rate=_share(self.fail_rate),
            durations_s=_durations(self.process_time or "5s"),
        )
        if asked.classes > asked.hosts:
            raise UsageError(f"--classes {asked.classes}: there are {units.count(asked.hosts, 'host')}")
        if asked.cases * asked.processes > MOST_PROCESSES:
            raise UsageError(
                f"--cases {asked.cases} --processes {asked.processes}: at most {MOST_PROCESSES:,} processes"
            )
        night_s = math.inf
        if self.night is None:
            hosts, found = asked.hosts, simulate.simulate(asked)
        else:
            if self.hosts:
                raise UsageError("--night finds the number of hosts: leave out --hosts")
            night_s = _time(self.night, "--night")
            hosts, found = simulate.fewest_hosts(
                asked, night_s, lambda n, one: ending.say(f"{units.count(n, 'host')}: {clock(one.makespan_s)}")
            )
        few = dataclasses.replace(asked, cases=FEW_CASES, processes=min(asked.processes, FEW))
        stored_s = storing_s(simulate.some_jobs(few))
        if format_ != options.TABLE:
            from harness.cli.formats import emit_facts

            facts = {"hosts": hosts, **dataclasses.asdict(found), "over_bound": found.over_bound, "storing_s": stored_s}
            emit_facts(format_, facts)
            return
        for line in _lines(hosts, found, stored_s):
            ending.out(line)
        if found.makespan_s > night_s:
            raise UsageError(
                f"--night {options.shown(self.night or '')}: no number of hosts is enough, since one process alone "
                f"takes {clock(found.longest_s)}"
            )


def clock(seconds: float) -> str:
    """A time of seconds to days, such as `1 h 24 min`."""
    if seconds >= DAY_S:
        return f"{seconds // DAY_S:.0f} d {seconds % DAY_S / HOUR_S:.0f} h"
    if seconds >= HOUR_S:
        return f"{seconds // HOUR_S:.0f} h {seconds % HOUR_S / MINUTE_S:.0f} min"
    return f"{seconds / MINUTE_S:.1f} min" if seconds >= MINUTE_S else units.seconds(seconds)


def _lines(hosts: int, found: Simulated, stored_s: float) -> list[str]:
    done = found.answers + found.crashed
    of_work = found.lost_s / (found.bound_s * hosts + found.lost_s) if found.lost_s else 0.0
    rate = done / found.makespan_s if found.makespan_s else 0.0
    first = (
        f"{units.count(done, 'process', 'processes')} on {units.count(hosts, 'host')}: {clock(found.makespan_s)}, "
        f"{found.over_bound:.3f} times the least that any placement takes ({clock(found.bound_s)})"
    )
    failed = (
        f"{units.count(found.failures, 'host')} failed: {clock(found.lost_s)} of their time was lost, "
        f"{units.share(of_work)} of all work"
        if found.failures
        else "no host failed"
    )
    lost = f"{failed}; {found.crashed} given up, {found.missing} missing, {found.twice} twice"
    cost_s = found.cost_s + stored_s
    load = (
        f"the coordinator takes {units.seconds(cost_s)} of a processor here for each process "
        f"({units.seconds(found.cost_s)} to give it away, {units.seconds(stored_s)} to judge and store it), and has "
        f"{rate:.1f} of them a second to see to: {units.share(rate * cost_s)} of one"
    )
    if rate * cost_s > 1:
        load += f", more than it has: the sweep takes at least {clock(done * cost_s)}, however many hosts there are"
    return [first, f"the hosts measured what counts {units.share(found.busy)} of the time", lost, load]


def _share(text: str | None) -> float:
    if text is None:
        return 0.0
    try:
        found = units.parse_share(text)
    except ValueError:
        found = math.nan
    if not 0 <= found <= 0.5:  # noqa: PLR2004  (hosts of which most fail finish nothing)
        raise UsageError(f"--fail-rate {options.shown(text)}: a share from 0% to 50%, such as 2%")
    return found


def _time(text: str, option: str) -> float:
    found = units.parse_duration(text)
    if not 0 < found <= LONGEST_S:
        raise UsageError(f"{option} {options.shown(text)}: a time above 0, of 30d at most, such as 8h")
    return found


def _durations(text: str) -> Sequence[float]:
    """Seconds of processes: one for all, or those that a results folder holds."""
    folder = Path(text)
    if not folder.is_dir():
        if math.isnan(units.parse_duration(text)):
            raise UsageError(f"--process-time {options.shown(text)}: a time such as 5s, or a results folder")
        return (_time(text, "--process-time"),)
    from harness.store import query

    found = query.table(folder, {"took_ns": RECORDED})
    for problem in found.problems:
        ending.say(f"left out: {problem}")
    taken = [float(one) / 1e9 for some in found.frame["took_ns"] if some is not None for one in some if one]
    if not taken:
        raise UsageError(f"--process-time {options.shown(text)}: no process was measured there")
    return taken
