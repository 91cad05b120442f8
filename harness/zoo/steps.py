"""Recipes: what a variant's steps and a model's own options make together, and whether they fit together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.records import Json, Recipe, Step
from harness.zoo.problems import Keys, Problems

if TYPE_CHECKING:
    from harness.zoo.schema import VariantEntry
    from harness.zoo.schema_steps import StepItem, StepOptions

_ALWAYS = frozenset({"method", "exclude", "exclude_preset", "symmetric_weights"})
_DYNAMIC = _ALWAYS | {"per_channel", "weight_type", "reduce_range", "op_types"}
_STATIC = _DYNAMIC | {"calibration", "samples", "symmetric_activations", "activation_type"}
QUANTIZE_OPTIONS: Mapping[str, frozenset[str]] = {
    "dynamic": _DYNAMIC,
    "static": _STATIC,
    "weights": _ALWAYS | {"bits", "block_size"},
}


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
            fitting = _fitting(options) if kind == "quantize" else frozenset(options)
            explicit: dict[str, Keys] = {option: ("variants", name, "steps", index, kind, option) for option in own}
            explicit |= {
                option: ("models", model_name, "variants", name, kind, option) for option in for_variant.get(kind, {})
            }
            for option, keys in explicit.items():
                if option not in fitting:
                    problems.add(keys, _no_use(option, options))
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
            if (kind == "export") != (not kinds):
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


def _fitting(options: Mapping[str, Json]) -> frozenset[str]:
    fitting = QUANTIZE_OPTIONS[options["method"]]
    return (
        fitting | {"percentile"} if "calibration" in fitting and options.get("calibration") == "percentile" else fitting
    )


def _no_use(option: str, options: Mapping[str, Json]) -> str:
    if option == "percentile" and options["method"] == "static":
        return "has no effect without `calibration: percentile`"
    methods = [method for method, fitting in QUANTIZE_OPTIONS.items() if option in fitting] or ["static"]
    return f"has no effect with method {options['method']!r}; it belongs to: {', '.join(methods)}"


def _precision(steps: list[Step]) -> str:
    """Return the arithmetic that the steps make: that of the last step which changes it."""
    made = "float32"
    for step in steps:
        if step.kind == "cast":
            made = step.options["to"]
        elif step.kind == "quantize":
            bits = step.options.get("bits", 4) if step.options["method"] == "weights" else 8
            made = f"int{bits}"
    return made
