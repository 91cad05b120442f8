"""Which builds are worth trying: variations of the zoo's own recipes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.explain.cases import QUANTIZE, changed, quantizing
from harness.records import Json, Recipe, Step

STATIC, DYNAMIC, WEIGHTS = "static", "dynamic", "weights"

Variation = tuple[str, Mapping[str, Json], str]
"""The end of its name, the options that differ, and what that is in words."""

VARIATIONS: Mapping[str, Sequence[Variation]] = {
    STATIC: (
        ("entropy", {"calibration": "entropy"}, "ranges by entropy"),
        ("percentile", {"calibration": "percentile"}, "ranges by percentile"),
        ("minmax", {"calibration": "minmax"}, "ranges by minimum and maximum"),
        ("per-tensor", {"per_channel": False}, "one scale per tensor"),
        ("per-channel", {"per_channel": True}, "one scale per channel"),
        ("compute-only", {"op_types": ["Conv", "MatMul", "Gemm"]}, "Conv, MatMul and Gemm alone"),
        ("s8s8", {"activation_type": "int8", "symmetric_activations": True}, "signed, symmetric activations"),
        ("full-range", {"reduce_range": False}, "weights of 8 bits"),
        ("reduced-range", {"reduce_range": True}, "weights of 7 bits"),
        ("u8-weights", {"weight_type": "uint8", "symmetric_weights": False}, "unsigned weights"),
        ("operators", {"format": "qoperator"}, "operators on integers in place of QDQ"),
    ),
    DYNAMIC: (
        ("matmul-only", {"op_types": ["MatMul", "Gemm", "Attention"]}, "MatMul and Gemm alone"),
        ("per-tensor", {"per_channel": False}, "one scale per tensor"),
        ("full-range", {"reduce_range": False}, "weights of 8 bits"),
    ),
    WEIGHTS: (
        ("int8-products", {"accuracy_level": 4}, "products in int8"),
        ("8-bit", {"bits": 8}, "weights of 8 bits"),
        ("blocks-of-128", {"block_size": 128}, "blocks of 128"),
    ),
}
"""By method: a name's end, options of the quantize step, and what that is in words."""

HALF = "half-samples"
CLOSER = ("minmax", "full-range", "reduced-range", HALF, "percentile", "entropy")
"""Variations that only choose other numbers for the same graph, what is quick to make first: no reason to be faster."""

SEVEN_BITS_SATURATE = ("vnni", "amx", "i8mm", "asimd", "sve")
"""Instruction sets whose products of 8 bits do not overflow, so that reduced ranges lose precision for nothing."""


def own(recipes: Sequence[Recipe], baseline: str) -> list[tuple[Recipe, str]]:
    """The zoo's variants, without the baseline; what only switches optimization off is left out."""
    return [(recipe, "as in the zoo") for recipe in recipes if recipe.name != baseline and recipe.optimization == "all"]


def promising(found: Sequence[tuple[Recipe, str]]) -> list[tuple[Recipe, str]]:
    """In the order in which to try them: one in float, what is quantized, and then the other ones in float."""
    floats = [one for one in found if quantizing(one[0]) is None]
    method = {id(one): str(step.options.get("method")) for one in found if (step := quantizing(one[0])) is not None}
    order = (STATIC, DYNAMIC, WEIGHTS)
    quantized = sorted(
        (one for one in found if id(one) in method),
        key=lambda one: order.index(method[id(one)]) if method[id(one)] in order else len(order),
    )
    return [*floats[:1], *quantized, *floats[1:]]


def plain(first: Recipe) -> list[tuple[Recipe, str]]:
    """The network in float32 with and without each optimizer, from any recipe of it."""
    export = first.steps[0]
    both = [("fp32-slim", [{"level": "basic"}]), ("fp32-fused-offline", [{"level": "extended"}])]
    return [
        (
            Recipe(name=name, steps=(export, *(Step(kind="fuse", options=one) for one in options))),
            "onnxslim alone" if "slim" in name else "fused offline",
        )
        for name, options in both
    ]


def variations(
    recipe: Recipe, isa: Sequence[str], changes: Mapping[str, Sequence[Variation]] = VARIATIONS
) -> Iterator[tuple[Recipe, str]]:
    """A quantized recipe with one thing changed at a time; what would change nothing is left out.

    Args:
        recipe: as the zoo has it.
        isa: the processor's instruction sets, as `harness.build.keys.isa` gives them.
        changes: what is changed, by the method that quantizes.
    """
    step = quantizing(recipe)
    if step is None:
        return
    wide = any(flag in one for one in isa for flag in SEVEN_BITS_SATURATE)
    for ending, options, words in changes.get(str(step.options.get("method")), ()):
        if all(_given(step, name) == value for name, value in options.items()):
            continue
        if ending == "reduced-range" and wide:
            continue
        yield changed(recipe, options, f"{recipe.name}.{ending}"), words
    if any(one.kind == "fuse" for one in recipe.steps):
        steps = tuple(one for one in recipe.steps if one.kind != "fuse")
        yield replace(recipe, name=f"{recipe.name}.unslimmed", steps=steps), "without onnxslim"


def half_samples(recipe: Recipe, calibration: int) -> tuple[Recipe, str] | None:
    """The same with half of the calibration examples; None where there is no half."""
    step = quantizing(recipe)
    if step is None or step.options.get("method") != STATIC or calibration < 2:  # noqa: PLR2004
        return None
    half = calibration // 2
    return changed(recipe, {"samples": half}, f"{recipe.name}.{HALF}"), f"{half} calibration examples"


def apart(
    found: Iterable[tuple[Recipe, str]], recipe: Recipe
) -> tuple[list[tuple[Recipe, str]], list[tuple[Recipe, str]]]:
    """Variations of a recipe that may only be closer, in the order of `CLOSER`, and those that may be faster."""
    by_ending = {one[0].name.removeprefix(f"{recipe.name}."): one for one in found}
    closer = [by_ending.pop(ending) for ending in CLOSER if ending in by_ending]
    return closer, list(by_ending.values())


def _given(step: Step, name: str) -> Json:
    from harness.build import steps
    from harness.options import by_name

    declared = by_name(steps.get(QUANTIZE).options)
    if name not in declared:
        return None
    return step.options.get(name, declared[name].default)


def known(options: Mapping[str, Any]) -> bool:
    """Whether the quantize step has all of these options."""
    from harness.build import steps
    from harness.options import by_name

    return options.keys() <= by_name(steps.get(QUANTIZE).options).keys()


def distinct(found: Iterator[tuple[Recipe, str]] | Sequence[tuple[Recipe, str]]) -> list[tuple[Recipe, str]]:
    """Recipes without those that are another one under a second name."""
    kept: dict[str, tuple[Recipe, str]] = {}
    for recipe, words in found:
        kept.setdefault(_same(recipe), (recipe, words))
    return list(kept.values())


def _same(recipe: Recipe) -> str:
    from harness.build.recipes import resolve_recipe
    from harness.errors import BuildError

    try:
        resolved = resolve_recipe(recipe)
    except BuildError:
        resolved = recipe
    return repr([(one.kind, sorted(one.options.items(), key=str)) for one in resolved.steps] + [recipe.optimization])
