"""Where the time and the accuracy of a case go: the page of what `harness explain` found."""

from __future__ import annotations

from typing import Final

from harness.explain.model import Explanation, LayerLoss, NodeTime
from harness.explain.names import MOVES
from harness.report import links, wording
from harness.report.figures import treemap
from harness.report.parts import Cell, Page, Table, num, text
from harness.units import count, seconds

MOST_TILES: Final = 400
"""Nodes that are drawn; the others are one tile."""

MOST_ROWS: Final = 1000


def page(found: Explanation) -> Page:
    """The page of an explanation."""
    losses = found.losses
    return Page(
        path=links.explained(found.case),
        template="explained.html.j2",
        title=f"{found.case}: where time and accuracy go",
        context={
            "case": {"name": found.case, "href": "../" + links.case(found.case)},
            "found": found,
            "made": wording.when(found.made_at),
            "latency": seconds(found.latency_s),
            "nodes": seconds(found.nodes_s),
            "runs": count(found.runs, "profiled run"),
            "treemap": treemap.svg(tiles(found), name=f"time by node of {found.case}"),
            "scale": list(treemap.steps(6)) if losses and losses.layers else [],
            "layers": layers(found) if losses and losses.layers else None,
            "confirmed": confirmed(found) if losses and losses.confirmed else None,
            "places": places(found) if found.places else None,
            "every": every_node(found),
        },
    )


def tiles(found: Explanation) -> list[treemap.Tile]:
    """A tile for each node, as large as its time, as hot as the loss of its layer beside the worst layer's."""
    losses = {one.layer: one for one in found.losses.layers} if found.losses else {}
    worst = max((one.score for one in losses.values()), default=0.0)
    shown, rest = found.nodes[:MOST_TILES], found.nodes[MOST_TILES:]
    made = [_tile(one, losses.get(one.of), worst, found.nodes_s) for one in shown]
    if rest:
        made.append(treemap.Tile(label=f"{len(rest)} more", area=sum(one.seconds for one in rest)))
    return made


def _tile(one: NodeTime, loss: LayerLoss | None, worst: float, whole: float) -> treemap.Tile:
    share = f" ({one.seconds / whole:.1%})" if whole else ""
    said = [f"{one.node}: {one.operator}, {seconds(one.seconds)}{share}"]
    if loss is not None:
        said.append(f"noise {loss.score:.3g}")
    if not one.of and one.operator in MOVES:
        said.append("inserted by the runtime")
    return treemap.Tile(
        label=f"{one.operator} {one.of or one.node}",
        area=one.seconds,
        heat=None if loss is None or not worst else (loss.score / worst) ** 0.5,
        title="; ".join(said),
    )


def layers(found: Explanation) -> Table:
    """Every quantized layer with its errors, its time and what keeping it in float costs."""
    assert found.losses is not None  # noqa: S101 # the caller looked
    left = {one.layer: one for one in found.losses.confirmed}
    rows = []
    for one in found.losses.layers[:MOST_ROWS]:
        again = left.get(one.layer)
        gained = again.gained_db if again else None
        rows.append(
            [
                text(one.layer),
                text(one.operator),
                num(f"{one.score:.3g}", one.score),
                _db(one.weight_db),
                _db(one.input_db),
                _db(one.output_db),
                num(seconds(one.seconds), one.seconds),
                num(seconds(one.cost_s), one.cost_s),
                num("" if gained is None else f"{gained:+.1f} dB", gained),
            ]
        )
    return Table(
        columns=(
            "layer", "operator", "noise#", "weights#", "inputs#", "output against float32#", "time#",
            "in float costs#", "left in float gives#",
        ),
        rows=rows,
        caption="Quantized layers",
        searchable=True,
    )  # fmt: skip


def confirmed(found: Explanation) -> Table:
    """The layers that really were left in float."""
    assert found.losses is not None  # noqa: S101 # the caller looked
    rows = [
        [
            text(one.layer),
            _db(one.closeness_db),
            num("" if one.gained_db is None else f"{one.gained_db:+.1f} dB", one.gained_db),
            num("" if one.gained is None else f"{one.gained:+.2%}", one.gained),
            num("" if one.ratio is None else f"{one.ratio:.3f}x", one.ratio),
            text(one.reason or {None: "", "": "inside"}.get(one.excess, one.excess or "")),
        ]
        for one in found.losses.confirmed
    ]
    heads = ("left in float", "fidelity#", "closer by#", f"{found.losses.metric or 'accuracy'}#", "takes#", "budget")
    return Table(columns=heads, rows=rows, caption="Really left in float, one at a time")


def places(found: Explanation) -> Table:
    """Every place of a pattern, the missed ones first."""
    order = {"missed": 0, "fused": 1}
    rows = [
        [
            text(one.pattern),
            text(one.nodes[0]),
            text(one.status, kind="bad" if one.status == "missed" else ""),
            text(one.why),
            num(seconds(one.before_s), one.before_s),
            num(seconds(one.after_s), one.after_s),
            num(seconds(one.saved_s), one.saved_s),
        ]
        for one in sorted(found.places, key=lambda one: order.get(one.status, 2))[:MOST_ROWS]
    ]
    heads = ("pattern", "at", "status", "why", "before#", "after#", "saved#")
    return Table(columns=heads, rows=rows, caption="Fusions", searchable=True)


def every_node(found: Explanation) -> Table:
    """Every node of the graph that was run."""
    rows = [
        [
            text(one.node),
            text(one.operator),
            text(one.of or ("inserted by the runtime" if one.operator in MOVES else "")),
            text(one.provider.removesuffix("ExecutionProvider")),
            num(seconds(one.seconds), one.seconds),
            num(f"{one.seconds / found.nodes_s:.1%}" if found.nodes_s else "", one.seconds),
        ]
        for one in found.nodes[:MOST_ROWS]
    ]
    heads = ("node", "operator", "of", "provider", "time#", "share#")
    return Table(columns=heads, rows=rows, caption="Nodes of the graph that was run", searchable=True)


def _db(value: float | None) -> Cell:
    return num("" if value is None else f"{value:.1f} dB", value)
