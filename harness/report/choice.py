"""What a single chart is asked to show, and which of the stored numbers that is; every mistake names what there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.flavours import version_in
from harness.records import case_id
from harness.report import pairs, sides
from harness.report.data import Data
from harness.report.histories import ChartedSeries
from harness.report.pages import history
from harness.store import query
from harness.store.rows import Row
from harness.suggest import suggest

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotRequest:
    """What a chart is to show.

    Attributes:
        models, variants, targets: names or globs; none takes all. Targets are labels such as `cpu-t1-b1`.
        metric: of a history; empty takes the latency.
        compare: two sides, for `changes` and `ratios`; None takes the newest run and the one before on its host.
        host: a fingerprint or the beginning of one; empty takes the newest run's.
        runtime: such as `onnxruntime==1.31.1` or its version, where there are several; empty takes the newest.
    """

    results: Path
    repo: Path | None = None
    models: Sequence[str] = ()
    variants: Sequence[str] = ()
    targets: Sequence[str] = ()
    metric: str = ""
    compare: tuple[str, str] | None = None
    since: str = ""
    host: str = ""
    runtime: str = ""

    def patterns(self) -> tuple[tuple[str, str, Sequence[str]], ...]:
        """Option, the column that it chooses by, and what was given."""
        return (
            ("--models", "model", self.models),
            ("--variants", "variant", self.variants),
            ("--targets", "target", self.targets),
        )


def rows(data: Data, request: PlotRequest) -> list[Row]:
    """The newest rows that fit.

    Raises:
        UsageError: if none does.
    """
    host = _host(request.host, data.hosts)
    found = [row for row in data.latest if row["fingerprint"] == host]
    for option, key, patterns in request.patterns():
        kept = [row for row in found if _matches(row[key], patterns)]
        if not kept:
            names = sorted({row[key] for row in found}, key=query.natural)
            raise UsageError(f"{option} {','.join(patterns)}: {suggest(patterns[0], names)}")
        found = kept
    return found


def series(request: PlotRequest, every: Mapping[str, Sequence[ChartedSeries]]) -> ChartedSeries:
    """The one series that fits: of samples before values of asv's files, then the one that reaches furthest.

    Raises:
        UsageError: if none does, or several cases do.
    """
    metrics = history.metrics(every)
    metric = request.metric or "latency"
    if metric not in metrics:
        raise UsageError(f"--metric {metric}: {suggest(metric, metrics)}")
    found = [one for group in every.values() for one in group if one.metric == metric]
    found.sort(key=lambda one: (_reach(one), query.natural(one.runtime)), reverse=True)
    host = _host(request.host, list(dict.fromkeys(one.fingerprint for one in found)))
    found = [one for one in found if one.fingerprint == host]
    for place, (option, _, patterns) in enumerate(request.patterns()):
        kept = [one for one in found if _matches(case_id.parts(one.case)[place], patterns)]
        if not kept:
            names = sorted({case_id.parts(one.case)[place] for one in found}, key=query.natural)
            raise UsageError(f"{option} {','.join(patterns)}: {suggest(patterns[0], names)}")
        found = kept
    if cases := len({one.case for one in found}) - 1:
        raise UsageError(f"this chart shows one case: choose with --models, --variants and --targets; {cases + 1} fit")
    wanted = _runtime(request.runtime, list(dict.fromkeys(one.runtime for one in found)))
    return max((one for one in found if one.runtime == wanted), key=_reach)


def moved(data: Data, request: PlotRequest) -> pd.DataFrame:
    """What a comparison found on one host and runtime (`harness.report.pairs.compared`).

    Raises:
        UsageError: if there are no two sides, or nothing of them fits.
    """
    found = pairs.compared(data, _pair(data, request)).moved
    if found.empty:
        raise UsageError("the two sides have no case with numbers of the same weights in common")
    host = _host(request.host, [one for one in data.every_host if (found["fingerprint"] == one).any()])
    found = found[found["fingerprint"] == host]
    names = [side.key for side in sides.of_kind(data, "runtime") if (found["runtime"] == side.key).any()]
    if names:  # values of asv's files need not name any
        found = found[found["runtime"] == _runtime(request.runtime, names)]
    return fitting(found, request.patterns())


def fitting(found: pd.DataFrame, patterns: Iterable[tuple[str, str, Sequence[str]]]) -> pd.DataFrame:
    """The lines that fit what was asked for: option, column, and names or globs (none takes all).

    Raises:
        UsageError: if nothing fits one of them, with what there is.
    """
    for option, key, wanted in patterns:
        there = {*found[key]}
        for pattern in wanted:
            if not any(_matches(name, (pattern,)) for name in there):
                names = sorted(there, key=query.natural)
                raise UsageError(f"{option} {','.join(wanted)}: {suggest(pattern, names)}")
        found = found[[_matches(name, wanted) for name in found[key]]]
    return found.reset_index(drop=True)


def _pair(data: Data, request: PlotRequest) -> pairs.ComparedPair:
    if request.compare is not None:
        return pairs.asked(data, request.compare)
    host = _host(request.host, data.every_host)
    own = [run.id for run in data.runs if host in run.hosts]
    found = [side for side in sides.of_kind(data, "run") if side.key in own]
    if not data.runs:
        found = sides.of_kind(data, "commit")
    if len(found) > 1:
        return pairs.ComparedPair(before=found[1], after=found[0])
    raise UsageError(
        f"{data.host(host)} has one {'run' if data.runs else 'commit'} only: choose two sides with --compare BEFORE "
        "AFTER (runs, commits, runtimes or hosts), or measure once more with `harness sweep`"
    )


def _host(asked: str, hosts: Sequence[str]) -> str:
    """The first of the hosts that begins so.

    Raises:
        UsageError: if none or, where one was asked for, several do.
    """
    found = [host for host in hosts if host.startswith(asked)]
    if not found or (asked and len(found) > 1 and asked not in found):
        raise UsageError(f"--host {asked}: {suggest(asked, found or hosts)}")
    return asked if asked in found else found[0]


def _runtime(asked: str, names: Sequence[str]) -> str:
    """The first of the runtimes that is called so."""
    wanted = asked.replace("==", " ")
    found = [name for name in names if not asked or wanted in (name, version_in(name))]
    if not found:
        raise UsageError(f"--runtime {asked}: {suggest(asked, [name.replace(' ', '==') for name in names])}")
    return found[0]


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _reach(one: ChartedSeries) -> tuple[bool, int]:
    """Samples before values of asv's files, then how far the series reaches."""
    return one.source == "", int(one.at[-1])  # noqa: PD008  (a field of that name, no data frame)
