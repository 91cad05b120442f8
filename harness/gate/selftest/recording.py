"""Recorded pairs on disk, as `benchmarks/rules.py` judges them by this gate's rule and by its peers'.

A JSON list with one entry per series: `case`; `truth`, the ratio head / base that was aimed at (1 where both sides run
the same file); `pairs`, of each pair the bursts of base and those of head, each the mean time of one inference in
nanoseconds; and beside what is judged, `nodes` (extra nodes in the head), `seen` (the ratio as the pairs have it),
`fingerprint` of the host, `runtime`, `recorded_at`, `bursts` and `burst_s`.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import foreign
from harness.errors import StoreError
from harness.records import Pair
from harness.stats import paired
from harness.store import files

Bursts = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSeries:
    """The pairs of one case against itself, or against a slowed copy of it.

    Attributes:
        truth: the ratio that was aimed at; 1 where both sides run the same file.
        nodes: extra nodes in the head.
        pairs: of each pair the bursts of base and of head.
        circumstances: host, runtime, time and settings of the recording.
    """

    case: str
    truth: float
    nodes: int
    pairs: tuple[tuple[Bursts, Bursts], ...]
    circumstances: Mapping[str, Any] = field(default_factory=dict)

    @property
    def log_ratios(self) -> tuple[float, ...]:
        """One number per pair."""
        return tuple(
            statistics.median(math.log(h / b) for b, h in zip(base, head, strict=True)) for base, head in self.pairs
        )


Recording = tuple[RecordedSeries, ...]


def series(
    case: str, truth: float, nodes: int, pairs: Sequence[Pair], circumstances: Mapping[str, Any]
) -> RecordedSeries:
    """A series of pairs as they were measured."""
    bursts = tuple((pair.base.bursts_ns, pair.head.bursts_ns) for pair in pairs)
    return RecordedSeries(case=case, truth=truth, nodes=nodes, pairs=bursts, circumstances=circumstances)


def of_truth(recording: Recording, truth: float) -> dict[str, tuple[float, ...]]:
    """Case -> log-ratios, of the series that aimed at this ratio."""
    return {one.case: one.log_ratios for one in recording if one.truth == truth and one.pairs}


def write(recording: Recording, path: Path) -> None:
    """Write a recording whole, or leave what was there; series without a pair are left out.

    Raises:
        StoreError: if it cannot be written.
    """
    entries = [
        {
            "case": one.case,
            "truth": one.truth,
            "nodes": one.nodes,
            "seen": paired.ratio_interval(one.log_ratios).ratio,
            **one.circumstances,
            "pairs": one.pairs,
        }
        for one in recording
        if one.pairs
    ]
    files.write(path, (json.dumps(entries, allow_nan=False) + "\n").encode())


def read(paths: Sequence[Path]) -> Recording:
    """Recordings of one host, those of the same series put together.

    Raises:
        StoreError: if one is missing or no recording, or they come from several hosts.
    """
    found = [one for path in paths for one in _read(path)]
    hosts = sorted({str(one.circumstances.get("fingerprint")) for one in found})
    if len(hosts) > 1:
        raise StoreError(f"these recordings come from {len(hosts)} hosts ({', '.join(hosts)}): judge them apart")
    merged: dict[tuple[str, float, int], RecordedSeries] = {}
    for one in found:
        key = (one.case, one.truth, one.nodes)
        before = merged[key].pairs if key in merged else ()
        merged[key] = RecordedSeries(
            case=one.case,
            truth=one.truth,
            nodes=one.nodes,
            pairs=(*before, *one.pairs),
            circumstances=one.circumstances,
        )
    return tuple(merged.values())


def _read(path: Path) -> Recording:
    try:
        content = foreign.parsed(foreign.content(path))
        if not isinstance(content, list) or not content:
            raise TypeError("a list of series is expected")
        return tuple(_series(one) for one in content)
    except OSError as error:
        raise StoreError(
            f"Cannot read {path}: {error.strerror}. Write it with: harness selftest --record {path}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{path} is not a recording of `harness selftest --record` ({type(error).__name__}: {error})"
        ) from error


def _series(content: Mapping[str, Any]) -> RecordedSeries:
    pairs = tuple((tuple(map(float, base)), tuple(map(float, head))) for base, head in content["pairs"])
    for base, head in pairs:
        if not base or len(base) != len(head) or not all(math.isfinite(b) and b > 0 for b in (*base, *head)):
            raise ValueError(f"{content['case']}: every pair needs as many bursts of base as of head, all above zero")
    known = {key: value for key, value in content.items() if key not in ("case", "truth", "nodes", "pairs", "seen")}
    return RecordedSeries(
        case=str(content["case"]),
        truth=float(content["truth"]),
        nodes=int(content.get("nodes", 0)),
        pairs=pairs,
        circumstances=known,
    )
