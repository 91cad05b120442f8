"""Recipes: what a variant's steps and a model's own options make together, and whether they fit together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.build import steps as kinds_of_step
from harness.options import by_name
from harness.records import Json, Recipe, Step
from harness.zoo.problems import Keys, Problems

if TYPE_CHECKING:
    from harness.build.steps.base import StepKind
    from harness.zoo.schema import StepItem, StepOptions, VariantEntry


def recipe(
    name: str,
    variant: VariantEntry,
    model: tuple[str, StepOptions | None, StepOptions | None],
    problems: Problems,
) -> Recipe:
    """Return a variant's recipe with one model's options merged in, and record what does not fit.

    Precedence: the model's options for this variant, then the model's options for the step, then the variant's own.
    An option that the model gives for a kind of step and that this recipe's method has no use for is left out, since
    it is meant for the other variants; given for this very variant, it is a mistake.

    Args:
        name: the variant's.
        variant: the validated entry.
        model: the model's name with its `steps` and its `variants[name]`; ("", None, None) gives the zoo's own recipe.
        problems: collects the mistakes.
    """
    model_name, by_step, by_variant = model
    for_steps, for_variant = given(by_step), given(by_variant)
    steps = []
    for index, item in enumerate(variant.steps):
        for kind, own in given(item).items():
            options = {**own, **for_steps.get(kind, {}), **for_variant.get(kind, {})}
            step = kinds_of_step.get(kind)
            fitting = _fitting(step, options)
            explicit: dict[str, Keys] = {option: ("variants", name, "steps", index, kind, option) for option in own}
            explicit |= {
                option: ("models", model_name, "variants", name, kind, option) for option in for_variant.get(kind, {})
            }
            for option, keys in explicit.items():
                if option not in fitting:
                    problems.add(keys, _no_use(step, option, options))
            steps.append(Step(kind=kind, options={key: options[key] for key in options if key in fitting}))
    return Recipe(name=name, steps=tuple(steps), precision=_precision(steps), optimization=variant.optimization)


def check_order(name: str, variant: VariantEntry, problems: Problems) -> None:
    """Record what is wrong with a variant's list of steps: each item one step, `export` first, none twice."""
    kinds: list[str] = []
    for index, item in enumerate(variant.steps):
        keys = ("variants", name, "steps", index)
        found = list(given(item))
        if len(found) != 1:
            problems.add(keys, f"expected one step, found {' and '.join(found) or 'none'}; write each as its own item")
        for kind in found:
            if kind in kinds:
                problems.add(keys, f"step {kind!r} appears twice; a recipe has each kind of step at most once")
            if (kind == kinds_of_step.FIRST) != (not kinds):
                problems.add(keys, f"found step {kind!r}; `export` comes first, and only there")
            kinds.append(kind)


def check_effect(keys: Keys, own: StepOptions | None, variants: Mapping[str, VariantEntry], problems: Problems) -> None:
    """Record options for a kind of step that none of these variants has: they would do nothing.

    Args:
        keys: where the options stand.
        own: a model's `steps`, or one of its `variants`.
        variants: those that the options are for, by name.
        problems: collects the mistakes.
    """
    kinds = dict.fromkeys(kind for entry in variants.values() for item in entry.steps for kind in given(item))
    for kind in given(own):
        if kind not in kinds:
            whose = f"variant {next(iter(variants))!r} has" if len(variants) == 1 else "the variants have"
            problems.add((*keys, kind), f"{whose} no step {kind!r}; available: {', '.join(kinds)}")


def given(entry: StepItem | StepOptions | None) -> dict[str, dict[str, Json]]:
    """Return the options by kind of step, only those that the file gives."""
    return {} if entry is None else {kind: options.given() for kind, options in entry.given().items()}


def _fitting(step: StepKind, options: Mapping[str, Json]) -> frozenset[str]:
    """The names of the options that have an effect beside these."""
    chosen = step.selected(options)
    return frozenset(option.name for option in step.options if option.has_effect(chosen, options))


def _no_use(step: StepKind, option: str, options: Mapping[str, Json]) -> str:
    declared, chosen = by_name(step.options)[option], step.selected(options)
    if declared.beside is not None and declared.fits(chosen):
        return f"has no effect without `{declared.beside[0]}: {declared.beside[1]}`"
    return f"has no effect with {step.selector} {chosen!r}; it belongs to: {', '.join(declared.only)}"


def _precision(steps: list[Step]) -> str:
    """Return the arithmetic that the steps make: that of the last step which changes it."""
    made = (kinds_of_step.get(step.kind).precision(step.options) for step in steps)
    return ([one for one in made if one is not None] or ["float32"])[-1]
