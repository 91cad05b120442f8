"""What happens inside a build: its operators before and after fusion, and where its nodes run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from harness.records import case_id
from harness.report.figures.base import Figure, Trace, axis, column, figure, label, records
from harness.report.palette import HUES

if TYPE_CHECKING:
    import pandas as pd

MOST_OPERATORS: Final = 16
PROVIDERS: Final = ("CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider")


def fusion(frame: pd.DataFrame) -> Figure:
    """Nodes by operator before and after the fuse step, the most changed operators on top.

    Args:
        frame: `operator`, `before` and `after`, of one artifact.
    """
    found = sorted(records(frame), key=lambda row: (-abs(row["after"] - row["before"]), -row["before"]))
    found = found[:MOST_OPERATORS]
    names = [label(row["operator"], 30) for row in found]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": names,
            "x": [row[key] for row in found],
            "marker": {"color": colour},
            "hovertemplate": "%{y}: %{x} nodes " + key + "<extra></extra>",
        }
        for key, name, colour in (("before", "before", HUES[0]), ("after", "after", HUES[1]))
    ]
    return figure(
        traces,
        height=120 + 34 * max(len(found), 2),
        barmode="group",
        bargap=0.25,
        xaxis=axis("nodes"),
        yaxis=axis(type="category", autorange="reversed"),
    )


def placement(frame: pd.DataFrame) -> Figure:
    """The share of each case's graph nodes that a provider was given, with its share of kernel time on hover.

    Args:
        frame: `case`, `row`, `provider`, `share` (of nodes) and `time` (share of kernel time, or none).
    """
    found = records(frame)
    names = sorted({row["provider"] for row in found}, key=lambda name: (name not in PROVIDERS, name))
    colours: Mapping[str, str] = {name: HUES[(place + 1) % len(HUES)] for place, name in enumerate(names)}
    traces: list[Trace] = []
    for name in names:
        group = [row for row in found if row["provider"] == name]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": label(name.removesuffix("ExecutionProvider")),
                "y": [label(case_id.parts(row["case"]).within_model, 44) for row in group],
                "x": column((row["share"] for row in group), 100),
                "marker": {"color": colours[name]},
                "text": [
                    f"<b>{label(row['case'], 80)}</b><br>{label(name)}: {row['share']:.1%} of the nodes"
                    + ("" if row["time"] is None else f", {row['time']:.1%} of kernel time")
                    for row in group
                ],
                "textposition": "none",
                "hoverinfo": "text",
                "meta": {"rows": [row["row"] for row in group]},
            }
        )
    return figure(
        traces,
        height=360,
        barmode="stack",
        bargap=0.3,
        showlegend=True,  # a single provider has a name, too
        meta={"perLine": 26},
        xaxis=axis("share of graph nodes, %", range=[0, 100]),
        yaxis=axis(type="category", autorange="reversed"),
    )
