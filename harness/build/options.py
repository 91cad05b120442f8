"""What every step of a recipe can be told, with defaults: the one place that knows.

Standard library only. None means *chosen by the step*, from the network it finds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.errors import BuildError
from harness.records import Recipe, Step
from harness.suggest import similar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.records import Json

DEFAULTS: Mapping[str, Mapping[str, Json]] = {
    "export": {"exporter": "torchscript", "opset": None},
    "fuse": {"level": "extended"},
    "cast": {"to": "float16", "keep_io": True, "block": []},
    "quantize": {
        "method": "dynamic",
        "calibration": "minmax",
        "percentile": 99.99,
        "per_channel": True,
        "symmetric_activations": False,
        "symmetric_weights": True,
        "weight_type": None,
        "activation_type": None,
        "reduce_range": None,
        "exclude": [],
        "exclude_preset": None,
        "op_types": None,
        "bits": 4,
        "block_size": 32,
        "samples": None,
    },
}

CHOICES: Mapping[tuple[str, str], tuple[Json, ...]] = {
    ("export", "exporter"): ("torchscript", "dynamo"),
    ("fuse", "level"): ("basic", "extended", "all"),
    ("cast", "to"): ("float16", "bfloat16"),
    ("quantize", "method"): ("dynamic", "static", "weights"),
    ("quantize", "calibration"): ("minmax", "entropy", "percentile"),
    ("quantize", "weight_type"): (None, "int8", "uint8"),
    ("quantize", "activation_type"): (None, "int8", "uint8"),
    ("quantize", "exclude_preset"): (None, "yolo-head"),
    ("quantize", "bits"): (4, 8),
}

_EVERY_METHOD = ("method", "exclude", "exclude_preset")
_INTEGER = ("per_channel", "symmetric_weights", "weight_type", "reduce_range", "op_types")
RELEVANT: Mapping[str, tuple[str, ...]] = {
    "dynamic": (*_EVERY_METHOD, *_INTEGER),
    "static": (
        *_EVERY_METHOD,
        *_INTEGER,
        "calibration",
        "percentile",
        "symmetric_activations",
        "activation_type",
        "samples",
    ),
    "weights": (*_EVERY_METHOD, "bits", "block_size", "symmetric_weights"),
}
"""A model's quantize options reach all its methods; those that a method does not read stay out of its digest."""


def resolve(step: Step) -> Step:
    """The step with every option that matters to it spelled out.

    Raises:
        BuildError: the step, an option or a value is unknown.
    """
    if step.kind not in DEFAULTS:
        raise BuildError(f"There is no step `{step.kind}`{similar(step.kind, DEFAULTS)}. Valid: {', '.join(DEFAULTS)}.")
    defaults = DEFAULTS[step.kind]
    for name in step.options:
        if name not in defaults:
            raise BuildError(
                f"The step `{step.kind}` has no option `{name}`{similar(name, defaults)}. Valid: {', '.join(defaults)}."
            )
    options = {**defaults, **step.options}
    for name, value in options.items():
        valid = CHOICES.get((step.kind, name))
        if valid is not None and value not in valid:
            raise BuildError(f"{step.kind}.{name} is {value!r}; valid: {', '.join(str(choice) for choice in valid)}.")
    if step.kind == "quantize":
        options = {name: options[name] for name in DEFAULTS["quantize"] if name in RELEVANT[options["method"]]}
    return Step(kind=step.kind, options=options)


def resolve_recipe(recipe: Recipe) -> Recipe:
    """The recipe with every step resolved.

    Raises:
        BuildError: as `resolve`, or the recipe does not begin with its only `export`.
    """
    kinds = [step.kind for step in recipe.steps]
    if kinds[:1] != ["export"] or kinds.count("export") > 1:
        raise BuildError(f"The variant `{recipe.name}` must begin with its only `export`; its steps are {kinds}.")
    return replace(recipe, steps=tuple(resolve(step) for step in recipe.steps))
