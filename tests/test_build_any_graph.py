"""Whatever form a working graph has, a recipe builds something equal or close, or gives a reason that is one."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
import onnxruntime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.build import recipes
from harness.build.steps.base import Work
from harness.errors import BuildError, Skip
from harness.records import InputSpec, Step
from tests import specs
from tests.mutants import PARTS, Mutant, feed, save

if TYPE_CHECKING:
    from harness.records import ModelSpec

BASIC = Step(kind="fuse", options={"level": "basic"})
LAST: Final = {
    "fp32-fused": (Step(kind="fuse"), 80),
    "float16": (Step(kind="cast", options={"to": "float16"}), 40),
    "bfloat16": (Step(kind="cast", options={"to": "bfloat16"}), 20),
    "dynamic": (Step(kind="quantize", options={"method": "dynamic"}), 10),
    "static": (Step(kind="quantize", options={"method": "static"}), 8),
    "weights": (Step(kind="quantize", options={"method": "weights"}), 3),
}
"""Recipe -> its last step, and how many decibels it must keep of this network."""

RAW = re.compile(r"Error\b|object has no attribute|Traceback|list index|not subscriptable|KeyError|NoneType")
"""What Python says to its own."""

mutants = st.builds(
    Mutant,
    opset=st.sampled_from([9, 10, 11, 12, 13, 14, 17, 18, 19, 21]),
    ir=st.sampled_from([3, 4, 6, 8, 9, 10]),
    dtype=st.sampled_from(["float32", "float32", "float32", "float64", "float16"]),
    constants=st.booleans(),
    fed=st.booleans(),
    shuffled=st.none() | st.integers(0, 99),
    names=st.sampled_from(["own", "none", "odd"]),
    batch=st.sampled_from(["batch", 1, -1]),
    parts=st.frozensets(st.sampled_from(PARTS), max_size=4),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(mutant=mutants, last=st.sampled_from(sorted(LAST)), fused=st.booleans())
def test_any_form_is_built_or_refused_with_a_reason(mutant: Mutant, last: str, *, fused: bool) -> None:
    """The file runs, has the same inputs and outputs, and is close; else the reason is in words."""
    with tempfile.TemporaryDirectory() as name:
        folder, values = Path(name), feed(mutant)
        source = save(mutant, folder / "source.onnx")
        expected = run(source, values, "DISABLE_ALL")
        if expected is None:
            return  # nothing that onnxruntime runs, and nothing to hold a recipe to
        step, least = LAST[last]
        inputs = [InputSpec(name=key, dtype=str(one.dtype), shape=tuple(one.shape)) for key, one in values.items()]
        made = build(specs.file_model(source, *inputs, calibration=8), source, folder, [*[BASIC] * fused, step])
        if isinstance(made, BuildError):
            assert isinstance(made, Skip), f"{last}: {made}"
            assert not RAW.search(str(made)), made
            return
        path = made
        assert sorted(values) == sorted(one.name for one in onnx.load(path).graph.input if one.name in values)
        got = run(path, values, "ENABLE_ALL")
        if got is None:
            assert "bfloat16" == last
            return
        assert list(expected) == list(got)
        least = least if mutant.dtype != "float16" and "quantized" not in mutant.parts else min(least, 25)
        for key, one in expected.items():
            assert one.dtype == got[key].dtype
            assert decibels(one, got[key]) > least, (last, key)


def build(model: ModelSpec, source: Path, folder: Path, steps: list[Step]) -> Path | BuildError:
    """What the last of the steps writes, or why one wrote nothing."""
    for place, step in enumerate(steps):
        target = folder / str(place)
        target.mkdir()
        work = Work(model=model, loaded=None, before=source, facts={}, folder=target)
        try:
            recipes.run(recipes.resolve(step), work)
        except BuildError as error:
            return error
        source = target / "model.onnx"
    return source


def run(path: Path, values: dict[str, Any], level: str) -> dict[str, np.ndarray[Any, Any]] | None:
    """The outputs by name; None where the file does not run for lack of a kernel, or is none from the start."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{level}")
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        if level == "DISABLE_ALL" or "NOT_IMPLEMENTED" in str(error):
            return None
        raise
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(None, values), strict=True))


def decibels(expected: np.ndarray[Any, Any], got: np.ndarray[Any, Any]) -> float:
    """Signal to noise."""
    one, two = expected.astype(np.float64), got.astype(np.float64)
    noise = float(np.mean((one - two) ** 2))
    return float(10 * np.log10(np.mean(one**2) / noise)) if noise else float("inf")
