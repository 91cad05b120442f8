"""Two sides next to each other: runs, commits, runtimes or hosts."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from harness.report import links, render, sides, wording
from harness.report.compare import LEAST_CHANGE
from harness.report.data import Data
from harness.report.figures import across
from harness.report.figures.base import Record, records
from harness.report.pages.tables import changed
from harness.report.pairs import Compared, ComparedPair, compared
from harness.report.parts import Cell, Chart, Page, Table, assign, num, text

if TYPE_CHECKING:
    import pandas as pd

MOST_LISTED: Final = 500
"""Runs and commits that can be chosen, the newest."""

MOST_DRAWN: Final = 60
"""Lines of a heat map, the worst; the table has all of them."""

MOST_GROUPS: Final = 6
"""Hosts and runtimes with charts of their own."""

MOST_LINES: Final = 5000
"""Lines of the table, those that matter most."""

TITLES: Final = {"run": "Runs", "commit": "Commits", "runtime": "Runtimes", "host": "Hosts"}
SAID: Final = {"same": "not told apart", "unjudged": "not judged"}
"""A wide interval around 1 does not say that nothing changed."""

KINDS: Final = {-1: "slower", 0: "", 1: "faster"}
"""Classes of the style sheet for what got worse, stayed and got better."""


def script_path(pair: ComparedPair) -> str:
    """The script that holds a pair."""
    return f"data/compare/{pair.id}.js"


def page(data: Data, offered: Sequence[ComparedPair]) -> Page:
    """The page; each pair's charts and table come on demand.

    Args:
        data: what is stored.
        offered: the pairs that the site holds; the first is shown first.
    """
    wanted = {side for pair in offered for side in (pair.before, pair.after)}
    listed = {
        title: [side for place, side in enumerate(sides.of_kind(data, kind)) if place < MOST_LISTED or side in wanted]
        for kind, title in TITLES.items()
    }
    return Page(
        path="compare.html",
        template="compare.html.j2",
        title="Compare",
        context={
            "pairs": offered,
            "sides": {title: found for title, found in listed.items() if found},
            "command": f"harness report --results {shlex.quote(str(data.results))}"
            + (f" --since {shlex.quote(data.since)}" if data.since else ""),
        },
    )


def script(data: Data, pair: ComparedPair) -> str:
    """What the page loads when a pair is chosen: `{html}`."""
    found = compared(data, pair)
    return assign("pairs", pair.id, {"html": render.fragment("pair.html.j2", pair=pair, **parts(data, pair, found))})


def parts(data: Data, pair: ComparedPair, found: Compared) -> dict[str, Any]:
    """What one pair shows: for each host and runtime what moved and a heat map, and one table."""
    moved = found.moved
    groups = [*found.groups()]
    return {
        "counts": found.counts,
        "lost": found.counts["worse"],
        "notes": found.notes,
        "groups": [
            {
                "title": ", ".join(part for part in (data.host(host), runtime) if part) if len(groups) > 1 else "",
                "charts": charts(lines, "" if place == 0 else f"-{place + 1}"),
            }
            for place, (host, runtime, lines) in enumerate(groups[:MOST_GROUPS])
        ],
        "hidden": len(groups) - MOST_GROUPS,
        "table": table(data, found, f"{pair.before.label} against {pair.after.label}"),
        "lines": len(moved),
        "shown": MOST_LINES,
    }


def charts(moved: pd.DataFrame, suffix: str) -> list[Chart]:
    """What moved, where anything did, and the heat map of one host and runtime.

    Args:
        moved: what `compared` found.
        suffix: makes the names of the charts unique on the page.
    """
    shown = moved[moved["verdict"].isin(["slower", "faster"])]
    level = f"{moved['confidence'].min():.0%}"
    heat = _heat(moved, level, f"heat{suffix}")
    if shown.empty:
        return [heat]
    cut = "" if len(shown) <= across.MOST else f" The first {across.MOST} of {len(shown)}; the table has all of them."
    changes = Chart(
        id=f"changes{suffix}",
        title="What changed",
        note=f"Right of the line is slower. Bars are {level} intervals.{cut}",
        figure=across.changes(shown),
    )
    return [changes, heat]


def _heat(moved: pd.DataFrame, level: str, name: str) -> Chart:
    """The heat map of the lines that moved furthest, either way."""
    furthest: dict[tuple[str, str], float] = {}
    for row in records(moved):
        key = (row["model"], row["variant"])
        distance = abs(math.log(row["ratio"])) if row["ratio"] and across.differs(row) else 0.0
        furthest[key] = max(furthest.get(key, 0.0), distance)
    keys = {*sorted(furthest, key=lambda key: -furthest[key])[:MOST_DRAWN]}
    drawn = moved[[key in keys for key in zip(moved["model"], moved["variant"], strict=True)]]
    cut = "" if len(furthest) <= MOST_DRAWN else f" The {MOST_DRAWN} lines of {len(furthest)} that moved furthest."
    return Chart(
        id=name,
        title="Change of latency, all cases",
        note=(
            f"After against before, the worst on top. Orange is slower, blue faster: by over {LEAST_CHANGE:.0%}, and "
            f"with a {level} interval that leaves out 0%. Grey is everything else. Bold: named as changed over the "
            f"whole list; ?: no interval.{cut}"
        ),
        figure=across.ratios(drawn),
    )


def table(data: Data, found: Compared, caption: str) -> Table:
    """Every case, its ratio and what else changed, in the order of `found`; host and runtime where several."""
    moved = found.moved.iloc[:MOST_LINES]
    several = {
        title: column
        for title, column in (("host", "fingerprint"), ("runtime", "runtime"))
        if len({*found.moved[column]}) > 1
    }
    levels = sorted({f"{level:.0%}" for level in moved["confidence"]})
    lines = []
    for row in records(moved):
        measured_on = {"host": data.host(row["fingerprint"]), "runtime": row["runtime"]}
        lines.append(
            [
                _case(data, row),
                changed(row),
                num(wording.number(row["median_s_before"], "seconds"), row["median_s_before"]),
                num(wording.number(row["median_s"], "seconds"), row["median_s"]),
                text(SAID.get(row["verdict"], row["verdict"]), kind=row["verdict"]),
                accuracy(row),
                fidelity(row),
                _share(row, "size_bytes"),
                _share(row, "model_bytes"),
                *(text(measured_on[title], kind="nowrap") for title in several),
            ]
        )
    return Table(
        columns=(
            "case",
            f"change [{' or '.join(levels)} interval]#" if levels else "change#",
            "before#",
            "after#",
            "latency",
            "accuracy#",
            "fidelity#",
            "size#",
            "model memory#",
            *several,
        ),
        rows=lines,
        caption=caption,
        searchable=len(lines) > 30,  # noqa: PLR2004
    )


def accuracy(row: Mapping[str, Any]) -> Cell:
    """Points of the task metric between the sides; of what was lost against fp32, where asv's files tell only that."""
    after, before = row["accuracy"], row["accuracy_before"]
    if after is not None and before is not None:
        return _moved((after - before) * 100, "points", f"{before:.2%} before, {after:.2%} after", 2)
    after, before = row["accuracy_drop"], row["accuracy_drop_before"]
    if after is None or before is None:
        return num(wording.NONE, None)
    after, before = max(after, 0.0), max(before, 0.0)
    return _moved((before - after) * 100, "points", f"lost against fp32: {before:.2%} before, {after:.2%} after", 2)


def fidelity(row: Mapping[str, Any]) -> Cell:
    """Decibels between the sides; bit-equal outputs have none."""
    exact, exact_before = (row[f"fidelity_max_abs{side}"] == 0 for side in ("", "_before"))
    after, before = row["fidelity_db"], row["fidelity_db_before"]
    if exact and exact_before:
        return num("same", 0.0, title="bit-equal to the reference on both sides")
    if exact_before and after is not None:
        return num(f"no longer exact, {after:.1f} dB", -1e9, kind=KINDS[-1])
    if exact and before is not None:
        return num("now exact", 1e9, kind=KINDS[1], title=f"{before:.1f} dB before")
    if after is None or before is None:
        return num(wording.NONE, None)
    return _moved(after - before, "dB", f"{before:.1f} dB before, {after:.1f} dB after", 1)


def _case(data: Data, row: Record) -> Cell:
    return text(row["case"], href=links.case(row["case"]) if row["case"] in data.cases else "")


def _moved(by: float, unit: str, title: str, places: int) -> Cell:
    """A difference that is better the larger it is."""
    by = round(by, places)
    if by == 0:
        return num("same", 0.0, title=title)
    return num(f"{by:+.{places}f} {unit}", by, kind=KINDS[1 if by > 0 else -1], title=title)


def _share(row: Record, name: str) -> Cell:
    after, before = row[name], row[f"{name}_before"]
    if not after or not before:
        return num(wording.NONE, None)
    title = f"{wording.number(before, 'bytes')} before, {wording.number(after, 'bytes')} after"
    return num("same" if after == before else wording.change(after / before), after / before, title=title)
