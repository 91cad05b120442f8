"""Recipes as the build reads them: every option spelled out, a recipe up to a step, a step in words, a step at work."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.build import steps
from harness.errors import BuildError, MissingExtra
from harness.options import by_name
from harness.records import Recipe, Step
from harness.suggest import similar

if TYPE_CHECKING:
    from harness.build.steps.base import Done, Work


def resolve(step: Step) -> Step:
    """The step with every option that matters to it spelled out; None is *chosen by the step*.

    A model's options reach every method of a step; those that a method does not read stay out of its digest.

    Raises:
        BuildError: the step, an option or a value is unknown.
    """
    kind = steps.get(step.kind)
    declared = by_name(kind.options)
    for name in step.options:
        if name not in declared:
            raise BuildError(
                f"The step `{step.kind}` has no option `{name}`{similar(name, declared)}. Valid: {', '.join(declared)}."
            )
    options = {
        name: step.options.get(name, option.default)
        for name, option in declared.items()
        if name in step.options or not option.quiet
    }
    for name, value in options.items():
        if choices := declared[name].choices:
            valid = (None, *choices) if declared[name].default is None else choices
            if value not in valid:
                raise BuildError(f"{step.kind}.{name} is {value!r}; valid: {', '.join(map(str, valid))}.")
    chosen = kind.selected(options)
    return Step(kind=step.kind, options={name: value for name, value in options.items() if declared[name].fits(chosen)})


def resolve_recipe(recipe: Recipe) -> Recipe:
    """The recipe with every step resolved.

    Raises:
        BuildError: as `resolve`, or the recipe does not begin with its only `export`.
    """
    kinds = [step.kind for step in recipe.steps]
    if kinds[:1] != [steps.FIRST] or kinds.count(steps.FIRST) > 1:
        raise BuildError(f"The variant `{recipe.name}` must begin with its only `export`; its steps are {kinds}.")
    return replace(recipe, steps=tuple(resolve(step) for step in recipe.steps))


def partial(recipe: Recipe, place: int) -> Recipe:
    """The recipe up to a step. The claimed precision is the end's; an export on its own is float32, not optimized."""
    first = recipe.steps[: place + 1]
    if len(first) == 1:
        return Recipe(name=recipe.name, steps=first, precision="float32", optimization="disabled")
    return replace(recipe, steps=first)


def keeps_precision(recipe: Recipe) -> bool:
    """Whether no step changes the arithmetic, so that the model's own is what the variant has."""
    return all(steps.get(step.kind).precision(step.options) is None for step in recipe.steps)


def in_words(step: Step) -> str:
    """A step with those of its options that are not the defaults, and those that the zoo insists on."""
    declared = by_name(steps.get(step.kind).options)
    changed = [
        f"{name}={value}"
        for name, value in step.options.items()
        if declared[name].required or value != declared[name].default
    ]
    return f"{step.kind}({', '.join(changed)})" if changed else step.kind


def run(step: Step, work: Work) -> Done:
    """Run one resolved step.

    Raises:
        BuildError: it failed, or makes no sense; also as `Skip` or `Unsupported`.
        MissingExtra: a tool of its is not installed.
    """
    if work.loaded is None and work.before is None:
        raise BuildError(f"{step.kind}: there is nothing to start from; the first step must be `export`.")
    try:
        return steps.get(step.kind).run(work, step.options)
    except ImportError as error:
        raise MissingExtra(
            f"{step.kind}: needs {error.name}, which does not import here ({error}): pip install 'onnx-harness[zoo]'."
        ) from error
