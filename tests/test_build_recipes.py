"""Options of the steps: resolved in one place, with hints for what is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.build.recipes import in_words, resolve, resolve_recipe, run
from harness.build.steps.base import Work
from harness.errors import BuildError
from harness.records import Recipe, Step
from tests import specs


def test_defaults_are_spelled_out() -> None:
    """A bare step and one that repeats the defaults are the same step."""
    assert resolve(Step(kind="fuse")) == resolve(Step(kind="fuse", options={"level": "extended"}))


def test_options_of_other_methods_are_left_out() -> None:
    """What dynamic quantization does not read stays out of its options, and so out of its digest."""
    step = resolve(Step(kind="quantize", options={"method": "dynamic", "calibration": "entropy"}))

    assert "calibration" not in step.options
    assert step.options["per_channel"] is True


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Step(kind="fus"), "did you mean 'fuse'"),
        (Step(kind="fuse", options={"levl": "all"}), "did you mean `level`"),
        (Step(kind="cast", options={"to": "fp16"}), "valid: float16, bfloat16"),
    ],
)
def test_mistakes_get_hints(step: Step, message: str) -> None:
    """Unknown steps, options and values say what would be valid."""
    with pytest.raises(BuildError, match=message):
        resolve(step)


def test_recipe_begins_with_export() -> None:
    """A recipe without an export at its start cannot be."""
    with pytest.raises(BuildError, match="must begin with its only `export`"):
        resolve_recipe(Recipe(name="odd", steps=(Step(kind="fuse"),)))


def test_words_name_what_differs_from_the_defaults() -> None:
    """And what the zoo insists on, whatever its value."""
    fused = resolve(Step(kind="fuse"))
    quantized = resolve(Step(kind="quantize", options={"method": "weights", "bits": 8}))

    assert "fuse" == in_words(fused)
    assert "fuse(level=all)" == in_words(replace(fused, options={"level": "all"}))
    assert "quantize(method=weights, bits=8)" == in_words(quantized)


def test_methods_read_what_they_declare() -> None:
    """Weights alone know bits and blocks; static quantization knows the calibration; all know what is left out."""
    read = {
        method: set(resolve(Step(kind="quantize", options={"method": method})).options)
        for method in ("dynamic", "static", "weights")
    }
    assert {"bits", "block_size", "accuracy_level", "gemm"} == read["weights"] - read["static"]
    assert {"calibration", "percentile", "samples", "symmetric_activations", "activation_type", "format"} == (
        read["static"] - read["dynamic"]
    )
    assert {"method", "exclude", "exclude_preset", "symmetric_weights"} == read["weights"] & read["dynamic"]


def test_only_the_first_step_needs_no_file(tmp_path: Path) -> None:
    """A step without anything to start from says so, whichever it is."""
    work = Work(model=specs.torch_model("a:b"), loaded=None, before=None, facts={}, folder=tmp_path)
    with pytest.raises(BuildError, match="cast: there is nothing to start from"):
        run(resolve(Step(kind="cast")), work)
