"""Which build is good enough, and which of those is the fastest: pure functions over stored rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
"""A stored outcome, with the keys that `harness results --format json` documents."""


def excess(row: Row) -> str | None:
    """Why a measured case is outside its model's budget; empty where it is inside, None where nobody can tell.

    Labels decide where there are any, else fidelity. A model without an accuracy or fidelity budget cannot be
    judged: fast and wrong must not be recommended.
    """
    budget = row.get("budget") or {}
    accuracy, fidelity = row.get("accuracy") or {}, row.get("fidelity") or {}
    latency, artifact = row.get("latency") or {}, row.get("artifact") or {}
    limit, least = budget.get("accuracy_drop"), budget.get("fidelity_db")
    known = False
    if limit is not None and accuracy.get("drop") is not None:
        known = True
        if accuracy["drop"] > limit:
            return f"{accuracy['metric']} drops {accuracy['drop']:.2%}, budget {limit:.2%}"
    elif least is not None and fidelity.get("max_abs") is not None:
        sqnr = fidelity.get("centred_sqnr_db")
        known = sqnr is not None or fidelity["max_abs"] == 0
        if sqnr is not None and sqnr < least:
            return f"fidelity {sqnr:.1f} dB, budget {least:.1f} dB"
    if not known:
        return None
    if budget.get("latency_s") is not None and latency.get("median_s", 0.0) > budget["latency_s"]:
        return f"median {latency['median_s'] * 1e3:.3g} ms, budget {budget['latency_s'] * 1e3:.3g} ms"
    if budget.get("size_bytes") is not None and artifact.get("bytes", 0) > budget["size_bytes"]:
        return f"{artifact['bytes']:,} bytes, budget {budget['size_bytes']:,} bytes"
    return ""


def fastest(rows: Iterable[Row]) -> dict[tuple[str, str], Row | None]:
    """(model, target) -> the measured row with the smallest median inside the budget, or None where none is.

    Emulated rows are never chosen: on the next runtime or host they compute something else.
    """
    best: dict[tuple[str, str], Row | None] = {}
    for row in rows:
        latency = row.get("latency") or {}
        if latency.get("median_s") is None:
            continue
        key = (row["model"], row["target"])
        best.setdefault(key, None)
        current = best[key]
        if (
            row["status"] == "measured"
            and excess(row) == ""
            and (current is None or latency["median_s"] < current["latency"]["median_s"])
        ):
            best[key] = row
    return best


def tied(best: Row, rows: Sequence[Row]) -> list[Row]:
    """Other rows inside the budget whose interval overlaps the best one's: the data cannot tell them apart."""
    high = best["latency"]["ci95_high_s"]
    return [
        row
        for row in rows
        if row is not best
        and (row["model"], row["target"]) == (best["model"], best["target"])
        and row["status"] == "measured"
        and (row.get("latency") or {}).get("ci95_low_s") is not None
        and row["latency"]["ci95_low_s"] <= high
        and excess(row) == ""
    ]


def speedup(row: Row, rows: Sequence[Row]) -> float | None:
    """Median of `fp32` over this row's median: of the same run, model, target and weights; None without either."""
    own = (row.get("latency") or {}).get("median_s")
    for other in rows:
        base = (other.get("latency") or {}).get("median_s")
        if other["variant"] == "fp32" and base and own and _setting(other) == _setting(row):
            return float(base / own)
    return None


def _setting(row: Row) -> tuple[Any, ...]:
    """What two rows must share before one is divided by the other."""
    return row.get("run"), row["model"], row["target"], (row.get("weights") or {}).get("digest")
