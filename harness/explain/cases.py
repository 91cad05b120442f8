"""The case that is to be explained, and the builds beside it that it is explained with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from harness import zoo as zoos
from harness.build.pipeline import BuildEvent
from harness.errors import CaseIdError, UsageError
from harness.flow.plan import Selection, plan
from harness.flow.preview import SweepSettings
from harness.flow.session import BuildAll, Session, key
from harness.records import Artifact, Case, CaseId, Json, Recipe, Step
from harness.suggest import suggest
from harness.zoo import Zoo

Say = Callable[[str], None]

QUANTIZE = "quantize"


def named(the_zoo: Zoo, text: str) -> CaseId:
    """The case that a person names; `model/variant` stands for it where the zoo measures that in one way only.

    Raises:
        UsageError: it names none, or several; the text says which there are.
    """
    try:
        return CaseId.parse(text)
    except CaseIdError as error:
        model, _, rest = text.partition("/")
        variant = rest.partition("/")[0]
        _check(the_zoo, text, (("model", model), *([("variant", variant)] if variant else [])))
        chosen = Selection(models=(model,), variants=(variant,) if variant else ())
        there = [case.id for case in plan(the_zoo, chosen).cases]
        if text == f"{model}/{variant}" and len(there) == 1:
            return CaseId.parse(there[0])
        raise UsageError(f"{error}; {suggest(text, there)}") from error


def _check(the_zoo: Zoo, text: str, parts: Iterable[tuple[str, str]]) -> None:
    """Refuse what a zoo does not have.

    Raises:
        UsageError: for the first of these names that is none of its kind.
    """
    targets = {**the_zoo.targets, **{spec.case_name: spec for spec in the_zoo.targets.values()}}
    known = {"model": the_zoo.models, "variant": the_zoo.variants, "target": targets}
    for word, name in parts:
        if name not in known[word]:
            raise UsageError(f"{text}: no {word} is called {name!r}; {suggest(name, known[word])}")


def find(the_zoo: Zoo, asked: CaseId) -> Case:
    """The case of a zoo that an id names.

    Raises:
        UsageError: there is no such case; the text says which there are.
    """
    _check(the_zoo, str(asked), (("model", asked.model), ("variant", asked.variant), ("target", asked.target)))
    planned = plan(
        the_zoo,
        Selection(
            models=(asked.model,),
            variants=(asked.variant,),
            targets=(asked.target,),
            threads=(asked.intra_threads,),
            batch=(asked.batch,),
        ),
    )
    found = next((case for case in planned.cases if case.id == str(asked)), None)
    if found is None:
        there = ", ".join(case.id for case in planned.cases)
        why = f" ({'; '.join(planned.pruned)})" if planned.pruned else ""
        raise UsageError(f"{asked} is not among the cases of {the_zoo.path}{why}; there is: {there or 'none'}")
    return found


def open_session(
    the_zoo: Zoo, case: Case, *, cache: Path, results: Path, say: Say, builds: BuildAll | None = None
) -> Session:
    """A session for one case, whose builds are made as they are asked for; `builds` makes them, where it is given."""
    defaults = the_zoo.defaults
    settings = SweepSettings(
        processes=defaults.processes, time_per_case=defaults.time_per_case_s, ci_width=defaults.ci_width
    )
    return Session(zoo=the_zoo, cases=[case], settings=settings, cache=cache, results=results, say=say, builds=builds)


def load(path: Path) -> Zoo:
    """Read a zoo file.

    Raises:
        ZooError: with every mistake found.
    """
    return zoos.load(path)


def quantizing(recipe: Recipe) -> Step | None:
    """The step that makes integers of the weights; None where there is none."""
    return next((step for step in recipe.steps if step.kind == QUANTIZE), None)


def before_quantizing(case: Case) -> Case:
    """The float32 build that a quantized one was made from, measured in the same way."""
    place = next(place for place, step in enumerate(case.recipe.steps) if step.kind == QUANTIZE)
    recipe = replace(
        case.recipe, name=f"{case.recipe.name}.float", steps=case.recipe.steps[:place], precision="float32"
    )
    return replace(case, recipe=recipe)


def exported(case: Case, optimization: str) -> Case:
    """The network as it was exported, at an optimization level."""
    recipe = Recipe(
        name=f"{case.recipe.name}.exported-{optimization}", steps=case.recipe.steps[:1], optimization=optimization
    )
    return replace(case, recipe=recipe)


def leaving(case: Case, layers: tuple[str, ...], name: str) -> Case:
    """The same build with these layers left in float as well."""
    return replace(case, recipe=changed(case.recipe, {"exclude": list(layers)}, name))


def changed(recipe: Recipe, options: Mapping[str, Json], name: str) -> Recipe:
    """A recipe with other options of its quantize step; what `exclude` names is added to what it names already."""
    steps = []
    for step in recipe.steps:
        own = dict(step.options)
        if step.kind == QUANTIZE:
            more = [*(own.get("exclude") or ()), *options.get("exclude", ())]
            own |= {**options, **({"exclude": more} if more else {})}
        steps.append(replace(step, options=own))
    return replace(recipe, name=name, steps=tuple(steps))


def built(session: Session, case: Case, say: Say) -> Artifact:
    """A case's artifact, built now where it is not there.

    Raises:
        UsageError: it cannot be built; the text says why.
        StoreError: the cache cannot be written.
    """

    def hear(event: BuildEvent) -> None:
        if event.state == "started" and event.step not in ("load", "proof"):
            say(f"building {event.model}/{event.variant}: {event.step}")

    found = session.build([case], on_event=hear)[key(case)]
    if not isinstance(found, Artifact):
        raise UsageError(f"{case.model.name}/{case.recipe.name} has no build: {found.status}: {found.reason}")
    return found
