"""Tables that several pages show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from harness import budget, confirmation
from harness.metrics import METRICS, stored
from harness.report import links, ratios, wording
from harness.report.figures.base import records
from harness.report.pages.why import NOTHING
from harness.report.parts import Cell, Part, Table, num, status, text
from harness.store.rows import Row

if TYPE_CHECKING:
    import pandas as pd


REPORTED: Final = tuple(metric for metric in METRICS if metric.heading)
"""What a worker reports beside the latency: a column each."""

SEARCHABLE: Final = 30
"""A table with more lines has a search field."""


def changes_table(
    moved: pd.DataFrame,
    caption: str,
    root: str = "",
    why: Mapping[tuple[str, str], Sequence[str]] | None = None,
) -> Table:
    """Ratios with intervals, in the order of `moved` (`harness.report.compare.compare`).

    Args:
        moved: a line per case.
        caption: of the table.
        root: the way to the site's folder.
        why: (fingerprint, case) -> what differs between both measurements, for a last column; None for none.
    """
    lines, facets = [], []
    for row in records(moved):
        lines.append(
            [
                text(row["case"], href=root + links.case(row["case"])),
                changed(row),
                num(wording.number(row["median_s_before"], "seconds"), row["median_s_before"]),
                num(wording.number(row["median_s"], "seconds"), row["median_s"]),
                text(row["verdict"], kind=row["verdict"]),
                num(*_points(row["accuracy"], row["accuracy_before"])),
                num(*_decibels(row["fidelity_db"], row["fidelity_db_before"])),
                num(*_share(row["size_bytes"], row["size_bytes_before"])),
            ]
        )
        if why is not None:
            said = why.get((row["fingerprint"], row["case"]))
            lines[-1].append(text(wording.NONE if said is None else "; ".join(said) or NOTHING, kind="long"))
        facets.append({"host": row["fingerprint"]})
    columns = ("case", "change [95% interval]#", "before#", "after#", "latency", "accuracy#", "fidelity#", "size#")
    return Table(
        columns=columns if why is None else (*columns, "what differs"),
        rows=lines,
        facets=facets,
        caption=caption,
        searchable=len(lines) > SEARCHABLE,
    )


def changed(row: Mapping[str, Any]) -> Cell:
    """How much a case's latency changed, with its interval: `+44.9% [+38.1%, +48.2%]`."""
    ends = "" if row["low"] is None else f" [{wording.change(row['low'])}, {wording.change(row['high'])}]"
    return num(f"{wording.change(row['ratio'])}{ends}", row["ratio"], kind=row["verdict"])


RANK: Final = ("failed", "unsupported", "skipped", "emulated", "mixed", "unverified")
"""What became of a case, in the order of a table; other ways come after."""


def reasons_table(rows: Sequence[Row], root: str = "", at: Sequence[int] | None = None) -> Table:
    """What became of each case, and why: a line for each reason of a model, and its cases.

    Args:
        rows: of one model or of several.
        root: the way to the site's folder.
        at: what the page's filters know each row by, on the page of one model; None names each line's model and host.
    """
    groups: dict[tuple[str, str, str, str], list[tuple[Row, int | None]]] = {}
    for place, row in enumerate(rows):
        key = (row["fingerprint"], row["model"], row["status"], row["reason"] or "")
        groups.setdefault(key, []).append((row, None if at is None else at[place]))
    found = sorted(groups.items(), key=lambda entry: _rank(entry[0][2]))
    lines = [
        [
            *([] if at is not None else [text(model, href=root + links.model(model), kind="nowrap")]),
            status(state, reason),
            *([num(f"{len(group):,}", len(group))] if at is None else []),
            text(reason or wording.NONE, kind="long"),
            Cell(
                text="",
                parts=[
                    Part(text=f"{row['variant']}/{row['target']}", href=root + links.case(row["case"]), at=known)
                    for row, known in group
                ],
            ),
        ]
        for (_, model, state, reason), group in found
    ]
    return Table(
        columns=("model", "status", "count#", "reason", "cases") if at is None else ("status", "reason", "cases"),
        rows=lines,
        facets=[] if at is not None else [{"host": host} for (host, *_), _ in found],
        groups=[] if at is None else [[known for _, known in group if known is not None] for _, group in found],
        caption="What became of each case",
        searchable=len(lines) > SEARCHABLE,
        lead=1 if at is not None else 2,
    )


def _rank(state: str) -> int:
    return RANK.index(state) if state in RANK else len(RANK)


def cases_table(
    rows: Sequence[Row],
    at: Sequence[int],
    groups: Sequence[Sequence[Row]],
    root: str,
    *,
    newest: Sequence[Sequence[Row]],
) -> Table:
    """Every number of a model's cases.

    Args:
        rows: of one model.
        at: what the page's filters know each row by.
        groups: rows that may be set against each other, for the speed-up and the choice.
        root: the way to the site's folder.
        newest: those of `groups` that hold the newest rows, and decide which of them are marked as the build to ship.
    """
    by_row = {id(row): group for group in groups for row in group}
    best = _best_shown(rows, groups, newest)
    lines = []
    for row in rows:
        latency, artifact = row["latency"] or {}, row["artifact"] or {}
        over = budget.excess(row) if latency else ""
        lines.append(
            [
                text(
                    row["variant"],
                    href=root + links.case(row["case"]),
                    kind="nowrap best" if id(row) in best else "nowrap",
                ),
                text(row["target"], kind="nowrap"),
                status(row["status"], row["reason"] or ""),
                num(wording.latency(row), latency.get("median_s")),
                num(wording.number(latency.get("p90_s"), "seconds"), latency.get("p90_s")),
                num(wording.number(latency.get("p99_s"), "seconds"), latency.get("p99_s")),
                against_baseline(row, by_row.get(id(row), [row])),
                num(wording.accuracy(row), (row["accuracy"] or {}).get("value"), kind="over" if over else ""),
                num(wording.fidelity(row), (row["fidelity"] or {}).get("centred_sqnr_db"), kind="over" if over else ""),
                text(budget_word(over) if latency else "-", kind="nowrap over" if over else "nowrap"),
                num(wording.number(artifact.get("bytes"), "bytes"), artifact.get("bytes")),
                *(
                    num(wording.number(found, one.unit), found)
                    for one in REPORTED
                    for found in [stored(row, one.column)]
                ),
            ]
        )
    return Table(
        columns=(
            "variant",
            "target",
            "status",
            "median [95% interval]#",
            "p90 ≤#",
            "p99 ≤#",
            "against baseline [95%]#",
            "accuracy#",
            "fidelity#",
            "budget",
            "size#",
            *(f"{one.heading}#" for one in REPORTED),
        ),
        rows=lines,
        at=at,
        lead=3,
        caption="Every case",
    )


def _best_shown(rows: Sequence[Row], groups: Sequence[Sequence[Row]], newest: Sequence[Sequence[Row]]) -> set[int]:
    """Which rows are the builds to ship; one that rests on an earlier run has its case's row stand for it."""
    shown = {id(row) for row in rows}
    judged = {id(row) for group in newest for row in group}
    found = set()
    for group in newest:
        for best in filter(None, budget.fastest(group).values()):
            first = next(row for row in group if row["case"] == best["case"])  # the newest stand before the others
            found |= {id(first), id(best)}
    # A small run's own best is not the build to ship.
    others = [best for group in groups for best in budget.fastest(group).values() if best is not None]
    return (found | {id(best) for best in others if id(best) not in judged}) & shown


def against_baseline(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Cell:
    """How many times as fast as the baseline in the same run and setting, with its interval.

    From the processes that ran side by side where the choice was confirmed, else from the sweep's own.
    """
    speedup, span = None, ""
    for other in rows:
        speedup = budget.speedup(row, [other])
        if speedup is not None:
            ends = None if other is row else ratios.interval(other["latency"], row["latency"], same_run=True)
            span = "" if ends is None else f" [{ends[0]:.2f}, {ends[1]:.2f}]"
            break
    again = confirmation.stored(row)
    if again is not None and again.best == row["variant"] and again.ratio is not None:
        bounds = "" if again.low is None else f" [{again.low:.2f}, {again.high:.2f}]"
        own = "" if speedup is None else f"; in the sweep's own processes {wording.ratio(speedup)}{span}"
        return num(wording.ratio(again.ratio) + bounds, again.ratio, title=again.factor + own)
    if speedup is not None:
        return num(wording.ratio(speedup) + span, speedup)
    return num(wording.NONE, None)


def budget_word(over: str | None) -> str:
    """Inside, outside or unknown."""
    return "not judged" if over is None else over or "inside"


def _points(after: Any, before: Any) -> tuple[str, float | None]:
    if after is None or before is None:
        return "-", None
    moved = (after - before) * 100
    return ("same" if moved == 0 else f"{moved:+.2f} points"), moved


def _decibels(after: Any, before: Any) -> tuple[str, float | None]:
    if after is None or before is None:
        return "-", None
    moved = after - before
    return ("same" if abs(moved) < 0.05 else f"{moved:+.1f} dB"), moved  # noqa: PLR2004


def _share(after: Any, before: Any) -> tuple[str, float | None]:
    if not after or not before:
        return "-", None
    return ("same" if after == before else wording.change(after / before)), after / before
