"""asv's benchmarks: the cases of the zoo of the commit that is measured, by harness's own flow.

`benchmarks/sweep.py` of a project takes its functions from here. asv starts a process for every metric of every case;
the first one of a case measures it once and leaves what the other metrics are going to answer in a folder of
`harness.asv_plugin`, which hands each answer out once.

A combination of parameters that is not a case of this commit, or that this host cannot run, answers NaN, asv's n/a,
with the reason on stderr. A case that fails raises: asv stores null.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from harness.asv import commit, exchange, measuring
from harness.store.asv.benchmarks import BENCHMARKS, PARAMETERS, AsvBenchmark

TIMEOUT_S: Final = 3600
"""For one case, its build included. The slowest shipped one takes minutes; a download of weights may take more."""


def benchmarks() -> dict[str, Callable[..., Any]]:
    """The functions that asv looks for in `benchmarks/sweep.py`: `track_latency` and so on, one per metric.

    Raises:
        HarnessError: without the plugin, and while asv looks for benchmarks where the commit has no zoo to be read.
    """
    axes = exchange.handed_axes() or commit.axes_of(commit.cases(commit.load()))

    def function(metric: AsvBenchmark) -> Callable[..., Any]:
        def track(*at: str | int) -> Any:
            return measuring.ask(metric, at, axes)

        track.__name__ = track.__qualname__ = metric.name.rpartition(".")[2]
        track.__doc__ = metric.meaning
        for attribute, value in {
            "params": axes,
            "param_names": list(PARAMETERS),
            "unit": metric.unit,
            "type": metric.type,
            "version": metric.version,
            "timeout": TIMEOUT_S,
            "pretty_source": metric.meaning,
        }.items():
            setattr(track, attribute, value)
        return track

    return {track.__name__: track for track in map(function, BENCHMARKS)}
