"""The first page: what ran where, what changed, what is covered, and which build to ship."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness import budget
from harness.report import links, words
from harness.report.compare import compare
from harness.report.data import Data
from harness.report.figures import across
from harness.report.histories import Series
from harness.report.pages import levels, values
from harness.report.pages.levels import SHOWN
from harness.report.pages.tables import changes_table, status_table
from harness.report.parts import Cell, Chart, Facet, Page, Table, num, text
from harness.store.rows import Row

if TYPE_CHECKING:
    import pandas as pd

    from harness.stats.scan import Scan


def overview(
    data: Data, series: Mapping[str, Sequence[Series]], scans: Mapping[tuple[str, str], Scan], asv: str
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
        host: data.host(host) + (f" ({slower[host]} slower)" if slower.get(host, 0) else "") for host in data.hosts
    }
    # The host to look at first is the one with most regressions, else the newest.
    first = max(data.hosts, key=lambda host: int(slower.get(host, 0)))
    recent = levels.recent_levels(data, series, scans)
    return Page(
        path="index.html",
        template="overview.html.j2",
        title="Overview",
        facets=[Facet(name="host", label="Host", values=hosts, chosen=first if len(hosts) > 1 else "")],
        context={
            "moved": _moved(moved),
            "everywhere": f", on all {len(hosts)} hosts" if len(hosts) > 1 else "",
            "counts": {
                name: int((moved["verdict"] == name).sum()) for name in ("slower", "faster", "same", "unjudged")
            },
            "levels": recent,
            "newest": values.newest(data, series) if data.asv.series else None,
            "rising": sum(1 for facets in recent.rows if facets[2].kind.endswith("slower")),
            "coverage": _coverage(data),
            "tally": _tally(data),
            "ship": _ship(data),
            "runs": _runs(data),
            "asv": asv,
        },
    )


def since_the_run_before(data: Data) -> pd.DataFrame:
    """Each case's newest row against the one before it of the same weights and host, one list over all hosts."""
    import pandas as pd

    rows = data.rows
    usable = rows[rows["median_s"].notna() & rows["status"].isin(["measured", "emulated"])]
    parts = []
    for host in data.hosts:
        own = usable[usable["fingerprint"] == host]
        last = own.drop_duplicates("case", keep="last")
        newest = data.newest_run(host)
        last = last[last["run"] == newest]
        rest = own[~own.index.isin(last.index)].drop_duplicates(["case", "weights"], keep="last")
        keys = rest["case"].astype(str) + "\n" + rest["weights"].astype(str)
        wanted = set(last["case"].astype(str) + "\n" + last["weights"].astype(str))
        parts.append(compare(rest[keys.isin(wanted)], last))
    found = pd.concat(parts, ignore_index=True)
    rank = found["verdict"].map({"slower": 0, "faster": 1, "same": 2, "unjudged": 3})
    return found.loc[rank.sort_values(kind="stable").index].reset_index(drop=True)


def _moved(moved: pd.DataFrame) -> Chart | None:
    shown = moved[moved["verdict"].isin(["slower", "faster"])]
    if shown.empty:
        return None
    return Chart(
        id="moved",
        title="Latency against the run before",
        note="Right of the line is slower. Bars are 95% intervals across processes.",
        figure=across.changes(shown),
        table=changes_table(shown, caption="What changed since the run before"),
    )


def _coverage(data: Data) -> Chart:
    import pandas as pd

    names = ("case", "model", "variant", "target", "status", "reason")
    frame = pd.DataFrame([{name: row[name] for name in names} | {"host": row["fingerprint"]} for row in data.latest])
    return Chart(
        id="coverage",
        title="Coverage of the matrix",
        note="The newest outcome of every case; hover or read the table for the reason.",
        figure=across.coverage(frame),
        table=status_table(data.latest, only_without_numbers=False),
    )


def _tally(data: Data) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for row in data.latest:
        counts[row["status"]] = counts.get(row["status"], 0) + 1
    return counts


def _ship(data: Data) -> Table:
    """The fastest case inside the budget, per host, model and target."""
    lines: list[list[Cell]] = []
    facets: list[Mapping[str, str]] = []
    for host, rows in comparable(data.latest):
        for (model, target), best in budget.fastest(rows).items():
            same = [row for row in rows if (row["model"], row["target"]) == (model, target)]
            lines.append([text(model, href=links.model(model)), text(target), *_choice(best, same)])
            facets.append({"host": host})
    return Table(
        columns=("model", "target", "ship", "median [95% interval]#", "against fp32#", "cost", "tied with", "weights"),
        rows=lines,
        facets=facets,
        caption="The fastest build inside its budget",
    )


def _choice(best: Mapping[str, Any] | None, rows: Sequence[Row]) -> list[Cell]:
    kinds = {row["weights"]["kind"] for row in rows if row["weights"]}
    weights = Cell(text=", ".join(sorted(kinds)), kind="seeded" if "seeded" in kinds else "")
    if best is None:
        verdicts = [budget.excess(row) for row in rows if row["latency"] and row["status"] == "measured"]
        if not verdicts:
            why = "none: no case was measured in its own arithmetic"
        elif all(verdict is None for verdict in verdicts):
            why = "cannot tell: no accuracy or fidelity budget, or nothing to judge it by"
        else:
            why = "none inside the budget: " + "; ".join(sorted({verdict for verdict in verdicts if verdict})[:3])
        return [text(why, kind="none"), num("-", None), num("-", None), text("-"), text("-"), weights]
    speedup = budget.speedup(best, rows)
    cost = f"accuracy {words.accuracy(best)}" if best.get("accuracy") else f"fidelity {words.fidelity(best)}"
    ties = [row["variant"] for row in budget.tied(best, rows)]
    return [
        text(best["variant"], href=links.case(best["case"]), kind="best"),
        num(words.latency(best), best["latency"]["median_s"]),
        num(words.ratio(speedup), speedup),
        text(cost),
        text(", ".join(ties) or "-", title="their intervals overlap: the data cannot tell them apart" if ties else ""),
        weights,
    ]


def comparable(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Rows in groups that may be set against each other: same model, weights and host; hosts as they come."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row["weights"]:
            key = (row["fingerprint"], row["model"], row["weights"]["digest"])
            groups.setdefault(key, []).append(row)
    return [(key[0], group) for key, group in groups.items()]


def _runs(data: Data) -> Table:
    lines = [
        [
            text(words.when(run.started_at), title=run.id, kind="nowrap"),
            text(
                run.revision,
                kind="nowrap",
                href=links.address(data.commit_url, run.commit or ""),
                title=run.commit or "",
            ),
            text(data.subjects.get(run.commit or "", "")),
            text(data.host(run.fingerprint)),
            text(run.runtime),
            num(f"{run.cases:,}", run.cases),
        ]
        for run in data.runs[:SHOWN]
    ]
    return Table(
        columns=("started (UTC)", "commit", "subject", "host", "runtime", "cases#"),
        rows=lines,
        facets=[{"host": run.fingerprint} for run in data.runs[:SHOWN]],
        caption=f"The newest {min(len(data.runs), SHOWN)} of {words.plural(len(data.runs), 'run')}",
    )
