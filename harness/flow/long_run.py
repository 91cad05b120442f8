"""Wider intervals for the cases of a sweep whose host drifts: they are to hold the long-run median, not this hour's."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from harness.flow.early_stop import Rounds, RoundTime
from harness.records import within_run
from harness.stats import slow_drift
from harness.stats.estimate import across
from harness.stats.slow_drift import PaceMoment
from harness.store.days import Beside, Day

Row = Mapping[str, Any]

UNKNOWN = (
    "the host drifted for as long as the sweep, and fewer than "
    f"{slow_drift.LEAST_DAYS} earlier days of it are stored: how far it goes in the long run is not known, and the "
    "interval is as wide as a memory of a few sweeps would have it"
)


def wider(
    rows: Mapping[str, Row], times: Mapping[str, Rounds], days: Sequence[Day], *, ci_width: float
) -> dict[str, dict[str, Any]]:
    """What changes in rows, by case: `latency`, and `notes` where the long run is not known.

    Every host by itself. What the rounds of the sweep tell and what earlier days tell both count: the wider one.

    Args:
        rows: the newest of each case.
        times: their processes.
        days: earlier ones.
        ci_width: at which an interval counts as precise.
    """
    hosts: dict[str, list[str]] = {}
    for name, row in rows.items():
        if row["latency"] and len(times[name]) > 1:
            hosts.setdefault(row["fingerprint"], []).append(name)
    found: dict[str, dict[str, Any]] = {}
    for names in hosts.values():
        seen = slow_drift.half_width(_moments({name: times[name] for name in names}))
        earlier = _levels([rows[name] for name in names], days)
        drift = max(seen, slow_drift.over_days(0.0, earlier))
        unknown = bool(seen) and len(earlier) < slow_drift.LEAST_DAYS
        for name in names if drift else ():
            found[name] = {"latency": _latency(rows[name]["latency"], list(times[name].values()), drift, ci_width)}
            if unknown:
                others = [one for one in rows[name]["notes"] or () if one != UNKNOWN]
                found[name]["notes"] = [*others, UNKNOWN]
    return found


def _moments(times: Mapping[str, Rounds]) -> list[PaceMoment]:
    """The reference workload of all cases, in the order of time."""
    every = sorted(
        (number, one.started_at, name, one.pace_ns)
        for name, rounds in times.items()
        for number, one in rounds.items()
        if one.pace_ns
    )
    return [PaceMoment(case=name, round=number, log_pace=math.log(pace)) for number, _, name, pace in every]


def _levels(rows: Sequence[Row], days: Sequence[Day]) -> list[float]:
    """The pace of earlier days as logarithms against today's, by the cases that both have."""
    today = {Beside.of(row): math.log(row["pace"]["median_s"]) for row in rows if row["pace"]}
    both = [[day[beside] - pace for beside, pace in today.items() if beside in day] for day in days]
    return [statistics.median(ratios) for ratios in both if ratios]


def _latency(latency: Row, rounds: Sequence[RoundTime], drift: float, ci_width: float) -> Row:
    """A stored latency with the host's drift in its interval, and beside it the interval without."""
    within = dict(zip(("run95_low_s", "run95_high_s"), within_run(latency), strict=True))
    paces = [one.pace_ns for one in rounds if one.pace_ns]
    known = paces if len(paces) == len(rounds) else ()
    low, high = across([one.median_ns / 1e9 for one in rounds], drift=drift, paces=known)
    stop = latency["stop"] if high - low <= ci_width * latency["median_s"] else "time"
    return {**latency, **within, "ci95_low_s": low, "ci95_high_s": high, "stop": stop}
