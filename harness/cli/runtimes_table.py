"""Every runtime and provider of a model side by side: where its nodes ran, in what arithmetic, at what price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from harness import units
from harness.cli import formats, options
from harness.cli.result_columns import accuracy, fidelity, interval, rates, throughput, token_rate
from harness.layout import TextCell, TextColumn, TextTable, print_grid
from harness.measure.placement import PRECISIONS
from harness.providers import short_name
from harness.shown import cell
from harness.store.rows import Row, runtime_of

if TYPE_CHECKING:
    from rich.text import Text

LOW: Final = 0.9
"""A provider that takes a smaller share of the nodes, or of the time, than this is said to cover little."""

NAMED: Final = 6
"""Operators that stayed behind and are named, the most frequent first."""

COLUMNS: Final = (
    TextColumn(name="variant", least=8),
    TextColumn(name="target", least=8),
    TextColumn(name="runtime", least=12),
    TextColumn(name="provider"),
    TextColumn(name="p50 [95% interval]", right=True),
    TextColumn(name="x slowest", right=True, rank=1),
    TextColumn(name="throughput", right=True, rank=6),
    TextColumn(name="placement", rank=2, least=16),
    TextColumn(name="computes in", rank=2),
    TextColumn(name="session", right=True, rank=4),
    TextColumn(name="fidelity", right=True, rank=3),
    TextColumn(name="accuracy", right=True, rank=3),
    TextColumn(name="status", rank=5),
)


def show(rows: Sequence[Row], format_: str) -> None:
    """Print a table for every model and set of weights, and below it what covers little and what was said of it."""
    from harness.cli.console import Console

    groups = apart(rows)
    tables = [table(title, group) for title, group in groups.items()]
    if format_ != options.TABLE:
        held = [record(row, group) for group in groups.values() for row in group]
        formats.emit(format_, value=held, records=held, grids=tables, empty="no results")
        return
    out = Console().out
    if not groups:
        out.print("no results to set side by side; make some with: harness sweep", markup=False, soft_wrap=True)
    for one, group in zip(tables, groups.values(), strict=True):
        print_grid(out, one)
        for line in dict.fromkeys(line for row in group for line in remarks(row)):
            out.print(line, style="yellow", markup=False, soft_wrap=True)
        out.print()


def apart(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by model and weights, the fastest first and what has no number last."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        weights = row.get("weights")
        said = f"  ({weights['kind']} weights {weights['digest'][:8]})" if weights else ""
        found.setdefault(f"{row['model']}{said}", []).append(row)
    return {title: sorted(group, key=_seconds) for title, group in sorted(found.items())}


def table(title: str, group: Sequence[Row]) -> TextTable:
    """One model's runtimes and providers."""
    return TextTable(title=title, columns=COLUMNS, rows=[_line(row, group) for row in group])


def record(row: Row, group: Sequence[Row]) -> dict[str, Any]:
    """The same for programs: plain numbers, and what is said below the table."""
    factor = _factor(row, group)
    return {
        "case": row["case"],
        "model": row["model"],
        "variant": row["variant"],
        "target": row["target"],
        "runtime": runtime_of(row).label,
        "provider": provider(row),
        "p50_s": (row.get("latency") or {}).get("median_s"),
        "times_slowest": factor,
        "throughput": throughput(row),
        "tokens_per_s": token_rate(row),
        "nodes": _placed(row)[0] or None,
        "nodes_of": _placed(row)[1] or None,
        "time_share": _time(row),
        "computes_in": computes_in(row) or None,
        "session_s": row.get("session_s"),
        "fidelity_db": (row.get("fidelity") or {}).get("centred_sqnr_db"),
        "accuracy": (row.get("accuracy") or {}).get("value"),
        "status": row["status"],
        "reason": row["reason"] or None,
        "behind": row.get("behind"),
        "remarks": remarks(row),
    }


def provider(row: Row) -> str:
    """Its short name, with the device and the plugin where it has any."""
    more = ", ".join(str(row[name]) for name in ("device", "plugin") if row.get(name))
    return short_name(row["provider"]) + (f" ({more})" if more else "")


def placement(row: Row) -> str:
    """Such as `61 of 122 nodes on openvino, 93% of time`; empty where the runtime does not tell."""
    on, total = _placed(row)
    if not total:
        return ""
    share = _time(row)
    said = f"{on} of {total} nodes on {short_name(row['provider'])}"
    return said if share is None else f"{said}, {share:.0%} of time"


def computes_in(row: Row) -> str:
    """The arithmetic that did most of the multiplications, with its share where it is not all of them."""
    found: Mapping[str, float] = row.get("computation") or row.get("arithmetic") or {}
    if not found:
        return ""
    kind, share = max(found.items(), key=lambda one: one[1])
    name = PRECISIONS.get(kind, kind)
    return name if share > 0.995 else f"{name} {share:.0%}"  # noqa: PLR2004 # what rounds to all of it


def remarks(row: Row) -> list[str]:
    """What has to be known of a row: what a provider left behind, notes on its precision, why it has no number."""
    found = []
    on, total = _placed(row)
    if total and (on / total < LOW or (_time(row) or 1.0) < LOW):
        counts = sorted((row.get("behind") or {}).items(), key=lambda one: (-one[1], one[0]))
        named = ", ".join(f"{count} {operator}" for operator, count in counts[:NAMED])
        rest = f" and {len(counts) - NAMED} operators more" if len(counts) > NAMED else ""
        stayed = f"; stayed behind: {named}{rest}" if named else ""
        found.append(f"low coverage {row['case']}: {placement(row)}{stayed}")
    found += [f"note {row['case']}: {note}" for note in row.get("notes") or () if "precision" in note]
    if not row.get("latency"):
        found.append(f"{row['status']} {row['case']}: {row['reason']}")
    return found


def _line(row: Row, group: Sequence[Row]) -> tuple[Text | TextCell | str, ...]:
    factor = _factor(row, group)
    return (
        cell(row["variant"]),
        cell(row["target"]),
        cell(runtime_of(row).label),
        cell(provider(row)),
        interval(row.get("latency") or {}),
        units.NONE if factor is None else f"{factor:.2f}x",
        rates(row),
        cell(placement(row) or units.NONE),
        cell(computes_in(row) or units.NONE),
        units.value(row.get("session_s"), "s"),
        fidelity(row),
        accuracy(row),
        cell(row["status"]),
    )


def _seconds(row: Row) -> tuple[float, str]:
    median = (row.get("latency") or {}).get("median_s")
    return (float("inf") if median is None else median, row["case"])


def _factor(row: Row, group: Sequence[Row]) -> float | None:
    """How many times as fast as the slowest row of the same run, host, batch and scenario."""
    alike = ("run", "fingerprint", "batch", "scenario")
    base = [one["latency"]["median_s"] for one in group if one.get("latency") and all(one[k] == row[k] for k in alike)]
    own = (row.get("latency") or {}).get("median_s")
    return max(base) / own if base and own else None


def _placed(row: Row) -> tuple[int, int]:
    """Nodes on the target's provider, and all of them."""
    counts: Mapping[str, int] = row.get("placed") or {}
    return counts.get(row["provider"], 0), sum(counts.values())


def _time(row: Row) -> float | None:
    shares: Mapping[str, float] = row.get("time_share") or {}
    return shares.get(row["provider"], 0.0) if shares else None
