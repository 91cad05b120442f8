"""What a session's profile says of its nodes.

Needs the standard library alone, and no other file of harness: the worker loads it by its path, under any Python from
3.8.
"""

from __future__ import annotations

import bisect
import json
from typing import Any


def nodes(events: list[dict[str, Any]]) -> tuple[list[list[Any]], int]:
    """What each node took, and over how many runs: whole ones, without the first where there are more.

    A row is [node, operator, provider, input types, count, microseconds, input shapes, output shapes, typical]; count
    and microseconds are sums; `typical` is the microseconds of one run, the mean of the middle half of the runs, which
    a run that was interrupted does not move. A node in the body of a loop counts as often as it ran, and has a row for
    each set of shapes.
    Inputs that the kernel packed into a form of its own are not in a session's profile.
    """
    ran = [e for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")]
    runs = sorted(
        (e["ts"], e["ts"] + e["dur"]) for e in events if e.get("cat") == "Session" and e["name"] == "model_run"
    )
    kept = runs[1:] or runs
    if kept:
        ran = [e for e in ran if any(start <= e["ts"] <= end for start, end in kept)]
    else:
        ran = list({e["name"]: e for e in ran}.values())
    rows: dict[tuple[str, ...], list[Any]] = {}
    spent: dict[tuple[str, ...], list[float]] = {}
    starts = [start for start, _ in kept]
    for event in ran:
        args = event["args"]
        given, made = args.get("input_type_shape", []), args.get("output_type_shape", [])
        types = ",".join(next(iter(t), "") for t in given)
        shapes: list[Any] = [[next(iter(t.values()), []) for t in side] for side in (given, made)]
        name = event["name"][: -len("_kernel_time")]
        key = (name, args["op_name"], args.get("provider", ""), types, json.dumps(shapes))
        row = rows.setdefault(key, [*key[:4], 0, 0, *shapes])
        row[4] += 1
        row[5] += event["dur"]
        each = spent.setdefault(key, [0.0] * max(len(kept), 1))
        each[max(bisect.bisect_right(starts, event["ts"]) - 1, 0)] += event["dur"]
    return [[*row, middle(spent[key])] for key, row in rows.items()], max(len(kept), 1)


def middle(values: list[float]) -> float:
    """The mean of the middle half of some numbers."""
    ordered = sorted(values)
    cut = len(ordered) // 4
    kept = ordered[cut : len(ordered) - cut]
    return sum(kept) / len(kept)
