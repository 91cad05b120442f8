"""Which build is good enough, and which of those is the fastest: pure functions over stored rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
"""A stored outcome, with the keys that `harness results --format json` documents."""


def excess(row: Row) -> str | None:
    """Why a measured case is outside its model's budget; empty where it is inside, None where that is unknown.

    Labels decide where there are any, else fidelity. A model without an accuracy or fidelity budget cannot be
    judged: fast and wrong must not be recommended.
    """
    wrong = _wrong(row)
    return None if wrong is None else wrong or next(iter(_costly(row)), "")


def exceeded(row: Row) -> tuple[str, ...]:
    """Every limit that a measured case passes, and every one that was set and cannot be judged; empty where all hold.

    Unlike `excess` it holds a model without an accuracy or fidelity budget to the limits that it has: that no limit
    was set is not a reason to fail, that one was set and could not be looked at is.
    """
    budget = row.get("budget") or {}
    wrong = _wrong(row)
    unknown: tuple[str, ...] = ()
    if wrong is None and budget.get("accuracy_drop") is not None:
        unknown = (f"accuracy drop, budget {budget['accuracy_drop']:.2%}: cannot be judged, the data has no labels",)
    elif wrong is None and budget.get("accuracy_share") is not None:
        share = budget["accuracy_share"]
        unknown = (f"accuracy share, budget {share:.2%}: cannot be judged, the data has no labels",)
    elif wrong is None and budget.get("fidelity_db") is not None:
        least = budget["fidelity_db"]
        unknown = (f"fidelity, budget {least:.1f} dB: cannot be judged, too few examples, or outputs that do not vary",)
    return (*unknown, *filter(None, [wrong]), *_costly(row))


def _wrong(row: Row) -> str | None:
    """How accuracy, or else fidelity, is out of budget; empty where it is inside, None where that is unknown."""
    budget = row.get("budget") or {}
    accuracy, fidelity = row.get("accuracy") or {}, row.get("fidelity") or {}
    limit, share, least = (budget.get(key) for key in ("accuracy_drop", "accuracy_share", "fidelity_db"))
    if (limit is not None or share is not None) and accuracy.get("drop") is not None:
        if limit is not None and accuracy["drop"] > limit:
            return f"{accuracy['metric']} drops {accuracy['drop']:.2%}, budget {limit:.2%}"
        if share is not None and accuracy["value"] < share * accuracy["reference"]:
            left = accuracy["value"] / accuracy["reference"]
            return f"{accuracy['metric']} is {left:.2%} of the reference's, budget {share:.2%}"
        return ""
    if least is None or fidelity.get("max_abs") is None:
        return None
    sqnr = fidelity.get("centred_sqnr_db")
    if sqnr is None:
        return "" if fidelity["max_abs"] == 0 else None
    return f"fidelity {sqnr:.1f} dB, budget {least:.1f} dB" if sqnr < least else ""


def _costly(row: Row) -> tuple[str, ...]:
    """How latency and size are outside the budget."""
    budget, latency, artifact = (row.get(key) or {} for key in ("budget", "latency", "artifact"))
    found = []
    if budget.get("latency_s") is not None and latency.get("median_s", 0.0) > budget["latency_s"]:
        found.append(f"median {latency['median_s'] * 1e3:.3g} ms, budget {budget['latency_s'] * 1e3:.3g} ms")
    if budget.get("size_bytes") is not None and artifact.get("bytes", 0) > budget["size_bytes"]:
        found.append(f"{artifact['bytes']:,} bytes, budget {budget['size_bytes']:,} bytes")
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipChoice:
    """The build to ship of one model on one target.

    Attributes:
        best: the measured row with the smallest median inside the budget, or None where none is.
        rows: the rows that it was chosen from: of one run, host, runtime and set of weights (`setting`).
        apart: rows with a latency that belong to other runs, hosts, runtimes or weights: never compared with `best`.
    """

    best: Row | None
    rows: tuple[Row, ...]
    apart: tuple[Row, ...]


def choices(rows: Iterable[Row]) -> dict[tuple[str, str], ShipChoice]:
    """(model, target) -> what to ship, chosen among rows that were measured side by side.

    Rows of two runs, hosts or runtimes say as much about those as about the builds, so the choice lies within one
    `setting`: the newest that has a row inside the budget, else the newest. Emulated rows are never chosen: on the
    next runtime or host they compute something else.
    """
    found: dict[tuple[str, str], dict[tuple[Any, ...], list[Row]]] = {}
    for row in rows:
        if (row.get("latency") or {}).get("median_s") is not None:
            found.setdefault((row["model"], row["target"]), {}).setdefault(setting(row), []).append(row)
    return {key: _choice(list(groups.values())) for key, groups in found.items()}


def fastest(rows: Iterable[Row]) -> dict[tuple[str, str], Row | None]:
    """(model, target) -> the best row of `choices`."""
    return {key: choice.best for key, choice in choices(rows).items()}


def _choice(groups: list[list[Row]]) -> ShipChoice:
    newest_first = sorted(groups, key=lambda group: _age(group[0]), reverse=True)
    best = {id(group): _best(group) for group in newest_first}
    chosen = next((group for group in newest_first if best[id(group)] is not None), newest_first[0])
    return ShipChoice(
        best=best[id(chosen)],
        rows=tuple(chosen),
        apart=tuple(row for group in newest_first if group is not chosen for row in group),
    )


def _best(rows: Sequence[Row]) -> Row | None:
    inside = [row for row in rows if row["status"] == "measured" and excess(row) == ""]
    return min(inside, key=lambda row: row["latency"]["median_s"], default=None)


def _age(row: Row) -> tuple[str, str]:
    return row.get("run_started_at") or "", row.get("run") or ""


def setting(row: Row) -> tuple[Any, ...]:
    """What two rows of a model and target must share to be compared: run, host, runtime and weights."""
    by = row.get("measured_by") or {}
    runtime = (by.get("package") or by.get("name"), by.get("version"), by.get("build"), by.get("language"))
    return row.get("run"), row.get("fingerprint"), row.get("runtime"), runtime, _weights(row)


def tied(best: Row, rows: Sequence[Row]) -> list[Row]:
    """Other rows of the same `setting` inside the budget whose interval overlaps the best one's: not told apart."""
    high = best["latency"]["ci95_high_s"]
    if high is None:  # with no interval nothing overlaps it
        return []
    return [
        row
        for row in rows
        if row is not best
        and (row["model"], row["target"], setting(row)) == (best["model"], best["target"], setting(best))
        and row["status"] == "measured"
        and (row.get("latency") or {}).get("ci95_low_s") is not None
        and row["latency"]["ci95_low_s"] <= high
        and excess(row) == ""
    ]


def speedup(row: Row, rows: Sequence[Row]) -> float | None:
    """Median of `fp32` over this row's median: of the same model, target and `setting`; None without either."""
    own = (row.get("latency") or {}).get("median_s")
    for other in rows:
        base = (other.get("latency") or {}).get("median_s")
        same = (other["model"], other["target"], setting(other)) == (row["model"], row["target"], setting(row))
        if other["variant"] == "fp32" and base and own and same:
            return float(base / own)
    return None


def _weights(row: Row) -> str | None:
    return (row.get("weights") or {}).get("digest")
