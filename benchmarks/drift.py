"""How far do runs of unchanged work lie apart, against what their processes say? From the history in this repository.

    python benchmarks/drift.py [FOLDER of asv's result files]

Every pair of runs of a case (same host, same runtime, models that no commit changed): the difference of the means of
the processes' log medians, in half-widths of Welch's 95% interval. If nothing drifted between the runs, 95% would lie
within one. `harness.stats.estimate.DRIFT` is taken from here.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.stats import between
from harness.stats.between import RunMiddle

HISTORY = Path(__file__).parent.parent / "results" / "two-cores"
LATENCY = "sweep.track_latency"


def runs(folder: Path) -> dict[tuple[str, ...], list[list[float]]]:
    """Environment and case -> of each run the logarithms of its processes' medians."""
    found: dict[tuple[str, ...], list[list[float]]] = {}
    for path in sorted(folder.glob("*-*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        row = dict(zip(content["result_columns"], content["results"].get(LATENCY) or (), strict=False))
        cases = itertools.product(*row.get("params") or ())
        for case, samples in zip(cases, row.get("samples") or (), strict=False):
            if samples and len(samples) > 2:
                found.setdefault((content["env_name"], *case), []).append([math.log(value) for value in samples])
    return found


def of_processes(logs: Sequence[float]) -> RunMiddle:
    """One run."""
    error = statistics.stdev(logs) / math.sqrt(len(logs))
    return RunMiddle(middle=statistics.fmean(logs), error=error, n=len(logs))


def distances(folder: Path) -> list[float]:
    """Of every pair of runs of a case, sorted."""
    return between.distances([of_processes(run) for run in case] for case in runs(folder).values())


def main() -> None:
    """Print what was seen."""
    found = distances(Path(sys.argv[1]) if len(sys.argv) > 1 else HISTORY)
    apart = sum(distance > 1 for distance in found) / len(found)
    print(f"{len(found)} pairs of runs; an interval of 95% excludes 1 in {apart:.0%}")
    print(f"95% of them lie within {between.at(found, 0.95):.2f} half-widths")


if __name__ == "__main__":
    main()
