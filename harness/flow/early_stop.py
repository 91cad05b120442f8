"""Which cases of a sweep need no further process, since they can no longer be the build to ship: pure.

After two rounds a case stops if it is certainly at least twice as slow as the fastest one of its model and target that
is surely inside the budget. Only rounds that both took part in count, ratio by ratio, as timed and once more in units
of the reference workload, so that neither a host whose pace moves nor a disturbed reference workload ends a case.
Everything follows from the rows so far; where the rival drops out later, the case goes on.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness import budget
from harness.records import ProcessSamples, Status
from harness.stats import estimate
from harness.stats.slower import at_least

Row = Mapping[str, Any]

FACTOR = 2.0
"""A case that is certainly slower than the fastest by this factor stops."""

ROUNDS = 2
"""Rounds that a case and its rival must have in common."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTime:
    """One process of a case: its median, what the reference workload took around it (None if not known), and when."""

    median_ns: float
    pace_ns: float | None = None
    started_at: str = ""


Rounds = Mapping[int, RoundTime]
"""By round, from 0."""


def round_time(samples: ProcessSamples) -> RoundTime:
    """What of a process counts here."""
    around = [ns for ns in (samples.reference_before_ns, samples.reference_after_ns) if ns]
    return RoundTime(
        median_ns=max(estimate.median(samples.samples_ns), 1),
        pace_ns=statistics.fmean(around) if len(around) == 2 else None,  # noqa: PLR2004
        started_at=samples.started_at,
    )


def stops(
    rows: Sequence[Row], times: Mapping[str, Rounds], *, planned: int, stopped: Collection[str], over: Collection[str]
) -> dict[str, str]:
    """The cases that stop, each with the reason.

    Args:
        rows: of one model and target, as far as they have come.
        times: their processes, by case id.
        planned: processes of each case.
        stopped: cases that have stopped before: they stay so while anyone justifies it.
        over: cases that have nothing left to run for another reason.
    """
    rivals = sorted((row for row in rows if may_be_chosen(row)), key=lambda row: row["latency"]["median_s"])
    found = {}
    for row in rows:
        name = row["case"]
        if name in over or not may_stop(row):
            continue
        same = [rival for rival in rivals if rival is not row and budget.setting(rival) == budget.setting(row)]
        # The fastest decides. It may change to one that the case was not compared with as sharply: that undoes nothing.
        for rival in same if name in stopped else same[:1]:
            others = [times[one["case"]] for one in rows if one is not row and one is not rival]
            factor = certain_factor(times[name], times[rival["case"]], others)
            if factor is not None and factor >= FACTOR:
                least = int(10 * factor) / 10
                found[name] = (
                    f"stopped after {len(times[name])} of {planned} processes: at least {least:.1f}x {rival['variant']}"
                )
                break
    return found


def may_be_chosen(row: Row) -> bool:
    """Whether a row can end others: it is surely inside the budget, and none of its processes crashed."""
    return (
        row["status"] == Status.MEASURED
        and bool(row["latency"])
        and not row["crashes"]
        and budget.judged(row).verdict == budget.INSIDE
    )


def may_stop(row: Row) -> bool:
    """Whether nothing but its speed speaks for further processes of a case.

    The baseline is what speed-ups refer to; whether a case that crashes has numbers is known after all of its
    processes; and a budget of latency may still be open.
    """
    latency = row["latency"]
    if not latency or row["crashes"] or row["variant"] == budget.baseline(row):
        return False
    limit = (row.get("budget") or {}).get("latency_s")
    return limit is None or not latency["ci95_low_s"] <= limit <= latency["ci95_high_s"]


def certain_factor(case: Rounds, rival: Rounds, others: Sequence[Rounds] = ()) -> float | None:
    """How many times as slow as its rival a case is at least; None where they have too few rounds in common.

    Args:
        case: its processes.
        rival: its rival's.
        others: of further cases of the same model and target; those that took part in the same rounds tell how much
            processes differ.
    """
    common = sorted(case.keys() & rival.keys())
    if len(common) < ROUNDS:
        return None
    taken = [one for one in others if one.keys() >= set(common)]
    rows = [[one[number] for number in common] for one in (case, rival, *taken)]
    factor = _factor([[process.median_ns for process in row] for row in rows])
    if any(process.pace_ns is None for row in rows for process in row):
        return factor
    return min(factor, _factor([[relative(process) for process in row] for row in rows]))


def _factor(rows: Sequence[Sequence[float]]) -> float:
    return at_least(rows[0], rows[1], rows[2:])


def relative(one: RoundTime) -> float:
    """A process in units of the reference workload around it."""
    return one.median_ns / (one.pace_ns or 1)
