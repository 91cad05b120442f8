"""`harness explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from harness import bounds
from harness.cli import depots, ending, options


def explain(
    what: Annotated[str, typer.Argument(metavar="CASE", help="A case, such as resnet50/int8-static/cpu-t1-b1.")],
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="CASE", help="A second case: which operators make the difference."),
    ] = None,
    confirm: Annotated[
        int,
        typer.Option(
            "--confirm",
            metavar="N",
            min=0,
            max=bounds.CONFIRMED.most,
            help="Of a quantized build: so many of the worst layers are left in float, one at a time.",
        ),
    ] = 10,
    examples: Annotated[
        int,
        typer.Option(
            "--examples",
            metavar="N",
            min=1,
            max=bounds.EXAMPLES.most,
            help="On how many evaluation examples tensors are compared, at most.",
        ),
    ] = 16,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="Lines of each table.")] = 15,
    store: Annotated[
        bool, typer.Option("--store/--no-store", help="Keep it beside the results, for the dashboard.")
    ] = True,
    zoo: options.Zoo = options.ZOO,
    results: options.Results = options.RESULTS,
    cache: options.CachePlace = None,
    format_: options.Format = None,
    as_json: options.AsJson = False,
) -> None:
    """Show where the time and the accuracy of a case go: nodes, fusions, and the layers that quantization hurts.

    The worst layers of a quantized build are really left in float, one at a time, and evaluated.

    Example: harness explain digits_cnn/int8-static/cpu-t1-b1
    """
    format_ = options.chosen_format(format_, as_json=as_json)
    from harness.cli import explained, formats
    from harness.explain import cases, stored
    from harness.explain.explain import ExplainRequest, as_records
    from harness.explain.explain import explain as look

    the_zoo = cases.load(zoo)
    ids = [cases.named(the_zoo, text) for text in (what, *([against] if against else []))]
    for one in ids:
        cases.find(the_zoo, one)  # a mistake is said before anything takes time
    root, builds = depots.cache_and_builds(cache)
    found = [
        look(
            ExplainRequest(
                zoo=the_zoo,
                case=one,
                cache=root,
                results=results,
                confirm=confirm,
                examples=examples,
                builds=builds,
            ),
            ending.say,
        )
        for one in ids
    ]
    if store:
        for explanation in found:
            stored.put(results, explanation)
    if format_ == options.TABLE:
        explained.show(found, top)
        return
    value = found[0].to_json() if len(found) == 1 else {"cases": [one.to_json() for one in found]}
    records = [{"case": one.case, **record} for one in found for record in as_records(one)]
    formats.emit(format_, value=value, records=records, grids=explained.tables(found, top), empty="no nodes")
