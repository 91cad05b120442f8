"""Options of the steps: resolved in one place, with hints for what is wrong."""

from __future__ import annotations

import pytest

from harness.build.recipes import resolve, resolve_recipe
from harness.errors import BuildError
from harness.records import Recipe, Step


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
        (Step(kind="fus"), "did you mean `fuse`"),
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
