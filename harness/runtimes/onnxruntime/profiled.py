"""What a session's profile says of its nodes.

Needs the standard library alone, and no other file of harness: the worker loads it by its path, under any Python from
3.8.
"""

from __future__ import annotations

import json
from typing import Any


def nodes(events: list[dict[str, Any]]) -> tuple[list[list[Any]], int]:
    """What each node took, and over how many runs: whole ones, without the first where there are more.

    A row is [node, operator, provider, input types, count, microseconds, input shapes, output shapes]; count and
    microseconds are sums. A node in the body of a loop counts as often as it ran, and has a row for each set of shapes.
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
    return list(rows.values()), max(len(kept), 1)
