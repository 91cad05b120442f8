"""An explanation in tables, for a terminal and for Markdown."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from harness.explain import nodes
from harness.explain.model import Explanation, FusionPlace, Losses
from harness.layout import TextColumn, TextTable
from harness.units import NONE, count, seconds

NUMBER = {"right": True}


def show(found: Sequence[Explanation], top: int) -> None:
    """Print one case or several."""
    from harness.cli.terminal import Terminal
    from harness.layout import print_grid

    console = Terminal(highlight=False, soft_wrap=True)
    for one in found:
        for line in sentences(one):
            console.print(line, markup=False)
    for grid in tables(found, top):
        if grid.rows:
            console.print()
            print_grid(console, grid)


def sentences(found: Explanation) -> list[str]:
    """What is said before the tables."""
    whole = f"{found.case}: {seconds(found.latency_s)} for one inference on {found.runtime}"
    lines = [f"{whole}; its nodes add up to {seconds(found.nodes_s)} over {count(found.runs, 'profiled run')}"]
    if found.providers:
        placed = ", ".join(f"{count(number, 'node')} on {name}" for name, number in found.providers.items())
        lines.append(f"placement: {placed}")
    if moved := nodes.inserted(found.nodes):
        kinds = Counter(one.operator for one in moved)
        spent = sum(one.seconds for one in moved)
        named = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
        lines.append(f"inserted by the runtime: {named}: {seconds(spent)}, {_share(spent, found.nodes_s)} of the time")
    if found.losses is not None:
        lines += _loss_sentences(found.losses)
    return [*lines, *(f"note: {one}" for one in found.notes)]


def _loss_sentences(losses: Losses) -> list[str]:
    lines = [f"fidelity {_db(losses.closeness_db)}" if losses.closeness_db is not None else "fidelity: exact, or none"]
    if losses.value is not None:
        lines[0] += f", {losses.metric} {losses.value:.2%}"
    helped = [one for one in losses.confirmed if (one.gained_db or 0) > 0]
    if helped:
        lines.append(
            f"worst layer, confirmed: {helped[0].layer}: left in float it gives {helped[0].gained_db:+.1f} dB"
            + (f" and {helped[0].gained:+.2%} {helped[0].metric}" if helped[0].gained is not None else "")
        )
    elif losses.confirmed:
        lines.append(f"none of the {count(len(losses.confirmed), 'layer')} that were left in float helps by itself")
    return lines


def tables(found: Sequence[Explanation], top: int) -> list[TextTable]:
    """Everything as tables."""
    made: list[TextTable] = []
    for one in found:
        lead = f"{one.case}: " if len(found) > 1 else ""
        made += [_operators(one, top, lead), _fused(one, lead), _missed(one, top, lead)]
        if one.losses is not None:
            made += [_layers(one, top, lead), _confirmed(one, lead), _tensors(one, top, lead)]
    if len(found) > 1:
        made.append(_difference(found[0], found[1], top))
    return made


def _operators(found: Explanation, top: int, lead: str) -> TextTable:
    rows = [
        (name, f"{number:g}", seconds(spent), _share(spent, found.nodes_s))
        for name, (spent, number) in list(nodes.by_operator(found.nodes).items())[:top]
    ]
    return _table(f"{lead}operators, by time", ("operator", "runs", "time", "share"), rows)


def _fused(found: Explanation, lead: str) -> TextTable:
    groups: dict[str, list[FusionPlace]] = defaultdict(list)
    for place in found.places:
        groups[place.pattern].append(place)
    rows = []
    for pattern, places in groups.items():
        timed = [one for one in places if one.saved_s is not None]
        before, after = (
            sum(getattr(one, side) or 0.0 for one in timed) if timed else None for side in ("before_s", "after_s")
        )
        saved = None if before is None or after is None else before - after
        rows.append(
            (
                pattern,
                str(len(places)),
                str(sum(one.status == "fused" for one in places)),
                str(sum(one.status == "missed" for one in places)),
                seconds(before),
                seconds(after),
                seconds(saved),
            )
        )
    heads = ("pattern", "places", "fused", "missed", "before", "after", "saved")
    return _table(f"{lead}fusions; times: the network as it was exported, without and with them", heads, rows)


def _missed(found: Explanation, top: int, lead: str) -> TextTable:
    rows = [(one.pattern, one.nodes[0], one.why or one.status) for one in found.places if one.status == "missed"][:top]
    columns = (
        TextColumn(name="pattern"),
        TextColumn(name="at", least=12),
        TextColumn(name="why it was missed", words=True, least=30),
    )
    return TextTable(columns=columns, rows=rows, title=f"{lead}missed fusions")


def _layers(found: Explanation, top: int, lead: str) -> TextTable:
    assert found.losses is not None  # noqa: S101 # the caller looked
    rows = [
        (
            str(place),
            one.layer,
            one.operator,
            f"{one.score:.3g}",
            _db(one.weight_db),
            _db(one.input_db),
            _db(one.output_db),
            _share(one.seconds or 0.0, found.nodes_s),
            seconds(one.cost_s),
        )
        for place, one in enumerate(found.losses.layers[:top], start=1)
    ]
    heads = ("#", "layer", "operator", "noise", "weights", "inputs", "output", "time", "in float costs")
    return _table(
        f"{lead}layers, the noisiest first ({count(found.losses.examples, 'example')})", heads, rows, least=12
    )


def _confirmed(found: Explanation, lead: str) -> TextTable:
    assert found.losses is not None  # noqa: S101 # the caller looked
    rows = [
        (
            one.layer,
            _db(one.closeness_db),
            "" if one.gained_db is None else f"{one.gained_db:+.1f} dB",
            "" if one.gained is None else f"{one.gained:+.2%}",
            "" if one.ratio is None else f"{one.ratio:.3f}x",
            one.reason or {None: "", "": "inside"}.get(one.excess, one.excess or ""),
        )
        for one in found.losses.confirmed
    ]
    heads = ("left in float", "fidelity", "closer by", found.losses.metric or "accuracy", "takes", "budget")
    return _table(f"{lead}really left in float, one at a time", heads, rows, least=12)


def _tensors(found: Explanation, top: int, lead: str) -> TextTable:
    assert found.losses is not None  # noqa: S101 # the caller looked
    rows = [
        (one.tensor, one.kind, f"{one.share:.3g}", _db(one.here_db), _db(one.so_far_db))
        for one in found.losses.tensors[:top]
    ]
    heads = ("tensor", "kind", "noise", "quantized here", "against float32")
    return _table(f"{lead}tensors that differ from float32's, the noisiest first", heads, rows, least=12)


def _difference(first: Explanation, second: Explanation, top: int) -> TextTable:
    whole = second.nodes_s - first.nodes_s
    rows = [
        (
            name,
            seconds(before),
            seconds(after),
            _signed(after - before),
            f"{(after - before) / whole:.0%}" if whole else NONE,
        )
        for name, before, after in nodes.difference(first.nodes, second.nodes)[:top]
    ]
    rows.append(("all", seconds(first.nodes_s), seconds(second.nodes_s), _signed(whole), "100%" if whole else NONE))
    heads = ("operators", first.case, second.case, "difference", "share of it")
    return _table("which operators make the difference", heads, rows)


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], *, least: int = 0) -> TextTable:
    named = {"operator", "pattern", "layer", "left in float", "tensor", "kind", "operators", "budget"}
    long = {"layer", "left in float", "tensor"}
    columns = tuple(
        TextColumn(name=head, right=head not in named, least=least if head in long else 0) for head in heads
    )
    return TextTable(columns=columns, rows=rows, title=title)


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '-'}{seconds(abs(value))}"


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else NONE


def _db(value: float | None) -> str:
    return NONE if value is None else f"{value:.1f} dB"
