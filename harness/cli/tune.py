"""`harness tune`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness import bounds
from harness.cli import options
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.cli.tuned import TuneConsole
    from harness.records import Case, Recipe
    from harness.zoo import Zoo

EXIT_NONE_KEEPS = 1


def tune(
    what: Annotated[str, typer.Argument(metavar="MODEL|FILE.onnx", help="A model of the zoo, or a file without one.")],
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="T",
            help="A target of the zoo, such as cpu, or cpu-t2 for no more than two threads.",
            show_default="the zoo's first",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            metavar="1%|20dB",
            help="What a build may cost: accuracy lost or fidelity; 20ms,10MB,memory=256MB,5mJ as well.",
            show_default="the model's own",
        ),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            "--batch",
            metavar="1,8",
            help="Sizes of the batch to search as well; the time of one example is what is compared.",
            show_default="the target's alone",
        ),
    ] = None,
    time_limit: Annotated[
        str, typer.Option("--time-limit", metavar="15m", help="How long to search, such as 90s, 15m or 1h.")
    ] = "15m",
    variants: Annotated[
        str | None,
        typer.Option("--variants", metavar="A,B", help="Variants of the zoo to start from, by name or glob."),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write what was found into the zoo, as a new variant and target.")
    ] = False,
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="FILE.svg", help="Draw every candidate: time against closeness.")
    ] = None,
    data: options.Data = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels", metavar="ARRAY", help="Of a file without a zoo: the array of the .npz file with the classes."
        ),
    ] = None,
    inputs: options.Inputs = None,
    zoo: options.Zoo = options.ZOO,
    results: options.Results = options.RESULTS,
    cache: options.CachePlace = None,
    format_: options.Format = None,
    as_json: options.AsJson = False,
) -> None:
    """Find the fastest build and session settings of a model that keep its budget, and confirm it.

    Every candidate is built and evaluated; those that keep the budget are timed, the slow ones less and less; the best
    is confirmed against the runner-up and the default in live groups. What was done is cached: the same command goes
    on from there.

    Exit codes: 0 found, 1 no candidate keeps the budget, 2 usage.

    Example: harness tune digits_cnn --target cpu-t1 --budget 1% --time-limit 5m
    """
    format_ = options.chosen_format(format_, as_json=as_json)
    from harness.cli import depots, tuned
    from harness.tune import figure as figures
    from harness.tune import write as writing
    from harness.tune.request import TuneRequest
    from harness.tune.tune import tune as search

    limit = options.duration(time_limit, "--time-limit", bounds.TIME_LIMIT)
    console = tuned.TuneConsole(quiet_stdout=format_ != options.TABLE)
    root, depot = depots.cache_and_builds(cache, console.saying)
    if figure is not None:
        figures.require(figure)
    refine = {"--data": data, "--input": inputs, "--labels": labels}
    the_zoo, name = zoo_of(what, zoo, {**refine, "--budget": budget}, root, console, write=write)
    default, fixed = default_case(the_zoo, name, target)
    if budget is not None and not the_zoo.assumed:
        default = with_budget(default, budget)
    sizes = options.counts(batch, "--batch", bounds.BATCH) or ()
    if sizes and not default.model.batch_axes:
        raise UsageError(f"--batch: {default.model.name} has no batch axis: an input of the zoo names it `batch`")
    request = TuneRequest(
        zoo=the_zoo,
        default=default,
        batches=sizes,
        variants=starting_from(the_zoo, default, options.names(variants)),
        cache=root,
        results=results,
        depot=depot,
        fixed_threads=fixed,
        time_limit=limit,
    )
    with console:
        found = search(request, console)
    written = writing.write(the_zoo, found) if write and found.is_faster else None
    if figure is not None:
        figures.save(figure, found)
    tuned.deliver(found, written, figure, format_, asked=write)
    if found.best is None:
        raise typer.Exit(EXIT_NONE_KEEPS)


def zoo_of(
    what: str, zoo: Path, refine: Mapping[str, Any], cache: Path, console: TuneConsole, *, write: bool
) -> tuple[Zoo, str]:
    """The zoo to search in, and the model's name in it: of a file the zoo that is assumed for it.

    Raises:
        UsageError: what was said does not go together.
        ZooError: the zoo has mistakes.
    """
    from harness import zoo as zoos
    from harness.init import bare
    from harness.tune import write as writing

    if bare.is_file(what):
        if write:
            raise UsageError(f"--write needs a zoo to write into, and {what} has none; make one with: harness init")
        assumed = replace(zoos.load(options.assumed_zoo([what], refine, cache, console.assumed)), assumed=True)
        return assumed, next(iter(assumed.models))
    if stray := [name for name, value in refine.items() if value and name != "--budget"]:
        raise UsageError(f"{stray[0]} goes with a file that has no zoo, such as: harness tune net.onnx; edit {zoo}")
    if write:
        writing.require(zoo)
    return zoos.load(zoo), what


def default_case(the_zoo: Zoo, model: str, target: str | None) -> tuple[Case, bool]:
    """The baseline on the target that was asked for, and whether that was named with its threads.

    Raises:
        UsageError: there is no such model or target.
    """
    from harness.flow.plan import Selection, baseline, plan
    from harness.records import case_id
    from harness.suggest import suggest

    if model not in the_zoo.models:
        raise UsageError(f"no model is called {options.shown(model)!r}; {suggest(model, the_zoo.models)}")
    name, threads, batch = target or the_zoo.defaults.targets[0], None, None
    if name not in the_zoo.targets:
        try:
            asked = case_id.CaseId.parse(f"{model}/x/{name}")
        except UsageError as error:
            raise UsageError(f"--target {options.shown(name)}: {suggest(name, the_zoo.targets)}") from error
        names = {spec.case_name: name for name, spec in the_zoo.targets.items()}
        name = names.get(asked.target, asked.target)
        threads, batch = (asked.intra_threads,), (asked.batch,)
        if name not in the_zoo.targets:
            raise UsageError(f"--target {target}: {suggest(name, the_zoo.targets)}")
    variants = [*the_zoo.models[model].recipes]
    base = baseline(the_zoo.models[model], variants)
    if not base:
        raise UsageError(
            f"{model} has no float32 variant to compare with; add one, such as fp32-default: steps: [export]"
        )
    selection = Selection(models=(model,), variants=(base,), targets=(name,), threads=threads, batch=batch)
    planned = plan(the_zoo, selection).cases
    return planned[0], threads is not None


def starting_from(the_zoo: Zoo, default: Case, patterns: tuple[str, ...]) -> list[Recipe]:
    """The recipes to start from.

    Raises:
        UsageError: a name or glob matches nothing.
    """
    from harness.flow.plan import Selection, plan

    names = patterns or the_zoo.defaults.variants
    selection = Selection(models=(default.model.name,), variants=names, targets=(default.target.name,))
    found = {case.recipe.name: case.recipe for case in plan(the_zoo, selection).cases}
    return list(found.values())


def with_budget(case: Case, text: str) -> Case:
    """A case whose model has the budget that was given on the command line, in place of its own.

    Raises:
        UsageError: it is not a budget.
    """
    from pydantic import ValidationError

    from harness.init import bare
    from harness.zoo.problems import explained
    from harness.zoo.resolve import budget_of
    from harness.zoo.schema import BudgetEntry

    given = bare.budget_entry(text) or {}
    try:
        entry = BudgetEntry.model_validate({**given, "structure": case.model.budget.structure})
    except ValidationError as error:
        raise UsageError(f"--budget {text[:80]}: {explained(error.errors()[0])}") from error
    found = budget_of(entry)
    return replace(case, model=replace(case.model, budget=found))
