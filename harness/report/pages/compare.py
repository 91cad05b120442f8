"""Two sides next to each other: runs, commits, runtimes or hosts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from harness.errors import UsageError
from harness.report import links, words
from harness.report.compare import compare
from harness.report.data import RECENT_RUNS, Data, Run
from harness.report.figures import across
from harness.report.pages.tables import changes_table
from harness.report.parts import Chart, Page
from harness.suggest import similar

if TYPE_CHECKING:
    import pandas as pd

MOST_SIDES: Final = 4
"""Runtimes and hosts that are compared with each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of a comparison.

    Attributes:
        kind: `run`, `commit`, `runtime` or `host`.
        rows: the newest row of each case on this side.
    """

    kind: str
    label: str
    rows: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two sides and what came of comparing them."""

    id: str
    before: Side
    after: Side
    moved: Any
    unlike: int
    missing: int


def pairs(data: Data, chosen: tuple[str, str] | None) -> list[Pair]:
    """The comparisons that a site offers, the chosen one first.

    Runs and commits among the newest, runtimes on the newest host, and hosts, each with each.

    Raises:
        UsageError: if a chosen side is no run and no commit of the store.
    """
    offered: list[tuple[Side, Side]] = []
    if chosen is not None:
        offered.append((side(data, chosen[0]), side(data, chosen[1])))
    recent = data.runs[:RECENT_RUNS]
    sides = [_of_run(data, run) for run in recent]
    offered += [(sides[old], sides[new]) for new in range(len(sides)) for old in range(new + 1, len(sides))]
    runtimes, hosts = _of_runtimes(data), _of_hosts(data)
    for group in (runtimes, hosts):
        offered += [(group[old], group[new]) for new in range(len(group)) for old in range(new + 1, len(group))]
    found = [_pair(before, after) for before, after in offered]
    return list({pair.id: pair for pair in found}.values())


def side(data: Data, name: str) -> Side:
    """A run by its id or the beginning of it, or a commit by its hash or what git makes of the name.

    Raises:
        UsageError: if the store has neither.
    """
    runs = [run for run in data.runs if run.id == name or (len(name) > 7 and run.id.startswith(name))]  # noqa: PLR2004
    if len(runs) == 1:
        return _of_run(data, runs[0])
    commits = sorted({run.commit for run in data.runs if run.commit})
    full = name if name in commits else data.resolve(name)
    found = [commit for commit in commits if commit == full or (len(name) > 3 and commit.startswith(name))]  # noqa: PLR2004
    if len(found) == 1:
        of_commit = [run for run in data.runs if run.commit == found[0]]
        clean = [run for run in of_commit if not run.dirty] or of_commit
        rows = _newest(data.rows[data.rows["run"].isin([run.id for run in clean])])
        subject = data.subjects.get(found[0], "")
        return Side(kind="commit", label=" ".join(part for part in (clean[0].revision, subject) if part), rows=rows)
    where = f"no run and no commit of {data.results}" if not found else f"{len(found)} commits begin so"
    raise UsageError(
        f"--compare {name}: {where}{similar(name, [run.id for run in data.runs])}; "
        "`harness results --all --format csv` lists runs and commits"
    )


def page(found: Sequence[Pair]) -> Page:
    """The page; each pair's chart and table come on demand."""
    return Page(
        path="compare.html",
        template="compare.html.j2",
        title="Compare",
        context={"pairs": found},
    )


def charts(pair: Pair) -> dict[str, Any]:
    """What one pair shows: a heat map, a list of changes, and the table."""
    moved = pair.moved
    table = changes_table(moved, caption=f"{pair.before.label} against {pair.after.label}")
    shown = moved[moved["verdict"].isin(["slower", "faster"])]
    return {
        "heat": Chart(
            id="heat",
            title="Ratios",
            note="Orange is slower, blue is faster; the worst variants come first. Hover for intervals.",
            figure=across.ratios(moved),
        ),
        "moved": None
        if shown.empty
        else Chart(
            id="changes",
            title="What changed",
            note="Right of the line is slower. Bars are 95% intervals across processes.",
            figure=across.changes(shown),
        ),
        "table": table,
        "counts": {name: int((moved["verdict"] == name).sum()) for name in ("slower", "faster", "same", "unjudged")},
    }


def _pair(before: Side, after: Side) -> Pair:
    moved = compare(before.rows, after.rows)
    both = after.rows[["case", "weights"]].merge(before.rows[["case", "weights"]], on="case", suffixes=("", "_before"))
    unlike = (
        both["weights"].notna()
        & both["weights_before"].notna()
        & (both["weights"].astype(object) != both["weights_before"].astype(object))
    )
    cases = len({*after.rows["case"]} | {*before.rows["case"]})
    return Pair(
        id=links.slug(f"{before.kind} {before.label}\n{after.label}")[-8:],
        before=before,
        after=after,
        moved=moved,
        unlike=int(unlike.sum()),
        missing=cases - len(moved) - int(unlike.sum()),
    )


def _newest(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop_duplicates("case", keep="last")


def _of_run(data: Data, run: Run) -> Side:
    rows = data.rows[data.rows["run"] == run.id]
    return Side(kind="run", label=f"{run.label}, {words.plural(run.cases, 'case')}, {run.id}", rows=rows)


def _of_runtimes(data: Data) -> list[Side]:
    """The runtimes of the newest host, newest first."""
    if not data.runs:
        return []
    own = [run for run in data.runs if run.fingerprint == data.runs[0].fingerprint]
    names = list(dict.fromkeys(run.runtime for run in own))[:MOST_SIDES]
    found = []
    for name in names:
        ids = [run.id for run in own if run.runtime == name]
        found.append(Side(kind="runtime", label=name, rows=_newest(data.rows[data.rows["run"].isin(ids)])))
    return found


def _of_hosts(data: Data) -> list[Side]:
    return [
        Side(kind="host", label=data.host(host), rows=_newest(data.rows[data.rows["fingerprint"] == host]))
        for host in data.hosts[:MOST_SIDES]
    ]
