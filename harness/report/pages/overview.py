"""The first page: which build to ship, what changed and why, what is covered, and what ran where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.records.status import WITH_NUMBERS
from harness.report import links, wording
from harness.report.compare import compare
from harness.report.data import Data
from harness.report.figures import across
from harness.report.histories import ChartedSeries
from harness.report.pages import levels, values, why
from harness.report.pages.levels import SHOWN
from harness.report.pages.ship import ship
from harness.report.pages.tables import changes_table, reasons_table
from harness.report.parts import Chart, Facet, Page, Table, num, text

if TYPE_CHECKING:
    import pandas as pd

    from harness.stats.scan import Scan

VERDICTS = ("slower", "faster", "same", "unjudged")


def overview(
    data: Data, series: Mapping[str, Sequence[ChartedSeries]], scans: Mapping[tuple[str, str], Scan], asv: str
) -> Page:
    """The first page.

    Args:
        data: what is stored.
        series: by id.
        scans: what the search for changes of level found.
        asv: the way to asv's own pages; empty where there are none.
    """
    moved = since_the_run_before(data)
    slower = moved.loc[moved["verdict"] == "slower", "fingerprint"].value_counts()
    hosts = {
        host: data.host(host) + (f" ({slower[host]} slower)" if slower.get(host, 0) else "") for host in data.every_host
    }
    # The host to look at first is the one with most regressions, else the newest.
    first = max(data.hosts, key=lambda host: int(slower.get(host, 0)))
    shown = moved[moved["verdict"].isin(["slower", "faster"])]
    reasons = why.reasons(shown)
    recent = levels.recent_levels(data, series, scans)
    past = _past(series, hosts)
    return Page(
        path="index.html",
        template="overview.html.j2",
        title="Overview",
        # One at a time: the matrix and the changes of several machines would lie on top of each other.
        facets=[Facet(name="host", label="Host", values=hosts, chosen=first, every=False)],
        context={
            "moved": _moved(shown, reasons),
            "sides": _sides(data, moved),
            "common": why.common(shown, reasons),
            "tiles": [_tiles(data, moved, past[host], recent, host) for host in hosts],
            "levels": recent.table,
            "newest": values.newest(data, series) if data.asv.series else None,
            "coverage": _coverage(data),
            "tallies": {host: _tally(data, host) for host in data.hosts},
            "ship": ship(data),
            "hosts": _hosts(data),
            "runs": _runs(data),
            "asv": asv,
            "measured_on": " ".join(data.hosts),
            "values_only": [host for host in data.every_host if host not in data.hosts],
        },
    )


def since_the_run_before(data: Data) -> pd.DataFrame:
    """Each case's newest row against the one before it of the same weights and host, one list over all hosts.

    Whichever run it is in: a small sweep of one model says nothing new of the others, and takes nothing from the page.
    """
    rows = data.rows
    usable = rows[rows["median_s"].notna() & rows["status"].isin(WITH_NUMBERS)]
    last = usable.drop_duplicates(["case", "fingerprint"], keep="last")
    rest = usable.drop(last.index).drop_duplicates(["case", "fingerprint", "weights", "inputs"], keep="last")
    found = compare(rest, last, host="fingerprint", alike=["inputs"])  # else a ratio would be of the inputs
    places = {host: place for place, host in enumerate(data.hosts)}
    keys = {"rank": found["verdict"].map(VERDICTS.index), "host": found["fingerprint"].astype(object).map(places)}
    order = found[[]].assign(**keys).sort_values(["rank", "host"], kind="stable").index
    return found.loc[order].reset_index(drop=True)


def _moved(shown: pd.DataFrame, reasons: Mapping[why.Key, Sequence[str]]) -> Chart | None:
    if shown.empty:
        return None
    most = shown["fingerprint"].value_counts().max()
    cut = "" if most <= across.MOST else f" The first {across.MOST} of a host; the table has all of them."
    return Chart(
        id="moved",
        title="Latency against the run before",
        note=f"Right of the line is slower. Bars are 95% intervals across processes.{cut}",
        figure=across.changes(shown),
        table=changes_table(shown, caption="What changed since the run before", why=reasons),
    )


def _sides(data: Data, moved: pd.DataFrame) -> list[dict[str, Any]]:
    """Which two measurements each host's changes lie between, and what came of it."""
    found = []
    for host, group in moved.groupby("fingerprint", observed=True, sort=False):
        found.append(
            {
                "host": str(host),
                "name": data.host(str(host)),
                "before": _newest_of(data, group["run_before"].unique()),
                "after": _newest_of(data, group["run"].unique()),
                "counts": {name: int((group["verdict"] == name).sum()) for name in VERDICTS},
            }
        )
    return found


def _newest_of(data: Data, runs: Iterable[Any]) -> str:
    """The newest of some runs, and how many others there are."""
    newest_first = sorted((data.run(str(run)) for run in runs), key=lambda run: (run.started_at, run.id), reverse=True)
    earlier = len(newest_first) - 1
    return newest_first[0].label + (f" and {wording.plural(earlier, 'earlier run')}" if earlier else "")


def _tiles(
    data: Data,
    moved: pd.DataFrame,
    past: Mapping[str, int],
    recent: levels.RecentLevels,
    host: str,
) -> dict[str, Any]:
    """What one host came to, in numbers: the page shows one at a time, and they count what it shows."""
    statuses = [row["status"] for row in data.latest if row["fingerprint"] == host]
    verdicts = moved.loc[moved["fingerprint"] == host, "verdict"]
    rising = [worse for of, worse in recent.lines if of == host]
    return {
        "host": host,
        "counts": {name: int((verdicts == name).sum()) for name in VERDICTS},
        "past": past,
        "levels": len(rising),
        "rising": sum(rising),
        "failed": statuses.count("failed"),
        "cases": len(statuses),
    }


def _past(series: Mapping[str, Sequence[ChartedSeries]], hosts: Iterable[str]) -> dict[str, Mapping[str, int]]:
    """What asv's files say of each host's newest latencies against the commit before."""
    verdicts: dict[str, list[str]] = {host: [] for host in hosts}
    for group in series.values():
        for one in group if group[0].source else ():
            if one.metric == "latency" and one.fingerprint in verdicts:
                verdicts[one.fingerprint].append(values.judged(one)[0])
    return {
        host: {
            "slower": found.count("worse"),
            "faster": found.count("better"),
            "open": found.count("overlap") + found.count("same"),
        }
        for host, found in verdicts.items()
    }


def _coverage(data: Data) -> Chart:
    import pandas as pd

    names = ("case", "model", "variant", "target", "status", "reason")
    frame = pd.DataFrame([{name: row[name] for name in names} | {"host": row["fingerprint"]} for row in data.latest])
    return Chart(
        id="coverage",
        title="Coverage of the matrix",
        note="The newest outcome of every case; the table has each reason once per model.",
        figure=across.coverage(frame),
        table=reasons_table(data.latest),
    )


def _tally(data: Data, host: str) -> list[tuple[str, str, int]]:
    """Each status with its sign and how many cases of a host came to it."""
    found = [row["status"] for row in data.latest if row["fingerprint"] == host]
    return [(name, across.SIGNS[name], found.count(name)) for name in across.SIGNS if name in found]


def _hosts(data: Data) -> Table:
    """What each host is, and when it was last heard of."""
    lines = []
    for host in data.every_host:
        own = [run for run in data.runs if host in run.hosts]
        if not own:
            lines.append([text(data.host(host)), *[text(wording.NONE)] * 5, text("values of asv's files only")])
            continue
        last, facts = own[0], data.machines[host]
        cores, memory = facts.get("cores_logical"), facts.get("memory_gib")
        lines.append(
            [
                text(data.host(host)),
                num(wording.NONE if cores is None else f"{cores}", cores),
                num(wording.NONE if memory is None else f"{memory} GiB", memory),
                text(", ".join(map(str, facts.get("gpus") or ())) or "none"),
                num(f"{len(own):,}", len(own)),
                text(wording.when(last.started_at), kind="nowrap", title=last.id),
                text(last.runtime),
            ]
        )
    return Table(
        columns=("host", "cores#", "memory#", "GPUs", "runs#", "last run (UTC)", "its runtime"),
        rows=lines,
        caption="Hosts",
    )


def _runs(data: Data) -> Table:
    lines = [
        [
            text(wording.when(run.started_at), title=run.id, kind="nowrap"),
            text(
                run.revision,
                kind="nowrap",
                href=links.address(data.commit_url, run.commit or ""),
                title=run.commit or "",
            ),
            text(data.subjects.get(run.commit or "", "")),
            text(", ".join(data.host(host) for host in run.hosts)),
            text(run.runtime),
            num(f"{run.cases:,}", run.cases),
        ]
        for run in data.runs[:SHOWN]
    ]
    return Table(
        columns=("started (UTC)", "commit", "subject", "host", "runtime", "cases#"),
        rows=lines,
        caption=f"The newest {min(len(data.runs), SHOWN)} of {wording.plural(len(data.runs), 'run')}",
    )
