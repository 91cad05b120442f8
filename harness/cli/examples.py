"""`harness examples`: which examples a build answers unlike the fp32 reference, the worst first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness import shown
from harness.cli import ending, options
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.records import Json
    from harness.store.examples import ExampleResult

LINES = 30
"""Examples that a table shows where nobody says how many."""

WIDE = 60
"""Characters of an answer in a table."""


def examples(
    case: Annotated[str, typer.Argument(metavar="CASE", help="A case by its name, or model/variant.")],
    metric: Annotated[
        str | None,
        typer.Option("--metric", metavar="NAME", help="Which metric decides.", show_default="the first that there is"),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, help="How many examples to show; 0 for all.")
    ] = LINES,
    target: Annotated[
        str | None, typer.Option("--target", metavar="T", help="The target, where the case names none.")
    ] = None,
    all_examples: Annotated[
        bool, typer.Option("--all", help="Also examples whose value is the reference's own.")
    ] = False,
    results: options.Results = options.RESULTS,
    format_: options.Format = None,
    as_json: options.AsJson = False,
) -> None:
    """Show the examples that a build answers unlike the fp32 reference, the worst first.

    Example: harness examples digits_cnn/int8-static/cpu-t1-b1
    """
    format_ = options.chosen_format(format_, as_json=as_json)
    from harness.store import examples as kept

    row = _row(results, case, target or "")
    if not row.get("evaluation"):
        why = row.get("reason") or "it was measured by a version that did not keep them, or has nothing to compare"
        raise UsageError(f"{row['case']} has no results per example: {why}.")
    found = kept.read(results, row["evaluation"])
    names = list(dict.fromkeys(one.metric for one in found))
    if metric is not None and metric not in names:
        raise UsageError(f"--metric {metric}: {row['case']} has results per example of {', '.join(names)}")
    chosen = metric or names[0]
    said = {one.examples: one for one in found if one.metric == names[0]}
    of_metric = [one for one in found if one.metric == chosen]
    listed = sorted((one for one in of_metric if all_examples or one.drop), key=lambda one: (-one.drop, one.examples))
    worse, better = sum(one.drop > 0 for one in of_metric), sum(one.drop < 0 for one in of_metric)
    summary = (
        f"{row['case']}: by {chosen}, {worse} of {len(of_metric)} examples are worse than the reference's and "
        f"{better} better"
    )
    first = listed[:limit] if limit else listed
    if format_ != options.TABLE:
        from harness.cli.formats import emit

        lines = [_line(one, said.get(one.examples, one)) for one in (first if limit != LINES else listed)]
        emit(
            format_,
            value={
                "case": row["case"],
                "metric": chosen,
                "n": len(of_metric),
                "worse": worse,
                "better": better,
                "examples": lines,
            },
            records=lines,
            grids=[_table(summary, first, said)],
            empty=summary,
        )
        return
    from harness.cli.console import Console
    from harness.layout import print_grid

    ending.out(shown.one_line(summary))
    if first:
        print_grid(Console().out, _table("", first, said))
    if len(listed) > len(first):
        ending.out(f"and {len(listed) - len(first)} more: --limit 0 shows all")


def _row(results: Any, what: str, target: str) -> dict[str, Any]:
    """The stored row of a case.

    Raises:
        UsageError: nothing is stored of it, or it is on several targets.
    """
    from harness.store import query
    from harness.suggest import suggest

    rows = query.query(
        results, columns=("case", "model", "variant", "target", "target_name", "evaluation", "reason")
    ).rows
    own = [row for row in rows if what in (row["case"], f"{row['model']}/{row['variant']}")]
    own = [row for row in own if target in ("", row["target"], row["target_name"])]
    if not own:
        raise UsageError(f"{what}: nothing is stored of it; {suggest(what, [row['case'] for row in rows])}")
    if len({row["evaluation"] for row in own}) > 1:
        raise UsageError(
            f"{what} is on several targets: choose one with --target: {', '.join(row['target'] for row in own)}"
        )
    return dict(own[0])


def _line(one: ExampleResult, said: ExampleResult) -> dict[str, Any]:
    return {
        "examples": list(one.examples),
        "metric": one.metric,
        "value": one.value,
        "reference": one.reference,
        "drop": one.drop,
        "truth": said.truth,
        "reference_answer": said.reference_answer,
        "answer": said.answer,
    }


def _table(title: str, listed: Sequence[ExampleResult], said: dict[tuple[int, ...], ExampleResult]) -> Any:
    from harness.layout import TextColumn, TextTable
    from harness.shown import cell

    rows = []
    for one in listed:
        answer = said.get(one.examples, one)
        rows.append(
            (
                ", ".join(map(str, one.examples)),
                f"{one.drop:+.4g}",
                f"{one.value:.4g}",
                f"{one.reference:.4g}",
                cell(_brief(answer.truth)),
                cell(_brief(answer.reference_answer)),
                cell(_brief(answer.answer)),
            )
        )
    return TextTable(
        title=title,
        columns=(
            TextColumn(name="example", right=True),
            TextColumn(name="worse by", right=True),
            TextColumn(name="value", right=True),
            TextColumn(name="reference", right=True, rank=1),
            TextColumn(name="truth", rank=1, least=8),
            TextColumn(name="reference says", rank=2, least=8),
            TextColumn(name="build says", least=8),
        ),
        rows=rows,
    )


def _brief(answer: Json) -> str:
    """An answer in a few words."""
    if answer is None:
        return ""
    if isinstance(answer, list):
        text = ", ".join(map(str, answer))
    elif isinstance(answer, dict) and isinstance(answer.get("classes"), list):
        kinds = [str(one) for one in answer["classes"]]
        text = f"{len(kinds)} boxes: {', '.join(kinds)}" if kinds else "no box"
    elif isinstance(answer, dict):
        text = ", ".join(
            f"{key} {value if not isinstance(value, list) else ' | '.join(map(str, value))}"
            for key, value in answer.items()
        )
    else:
        text = json.dumps(answer)
    return text if len(text) <= WIDE else f"{text[: WIDE - 3]}..."
