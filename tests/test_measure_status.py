"""The status of real files on the CPU provider: by their shapes, and whatever else the host does meanwhile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks import status as half
from harness.build.stated import stated
from harness.measure import placement
from harness.records import Status

CPU = "CPUExecutionProvider"


def judged(model: Path, folder: Path, *, recipe: str = "float32", **example: tuple[int, ...]) -> tuple[Status, str]:
    """Status and reason of a file as a sweep would have them; the example is of float32."""
    ((name, shape),) = example.items()
    seen = half.observed(half.workload(model, shape, name), folder)
    said = stated(onnx.load(model))
    computed = placement.computation(seen.nodes, said["packed"])
    return placement.judge(placement.claim(recipe, said["weights"]), CPU, seen.placement, computed)


def product(path: Path, kind: int, cast: bool = True) -> Path:
    """A product with a constant matrix of some type, and casts from and to float32 around it."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    held = numpy_helper.from_array(np.random.default_rng(0).standard_normal((64, 64)).astype(dtype), "w")
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], "in", to=kind),
        helper.make_node("MatMul", ["a", "w"], ["b"], "product"),
        helper.make_node("Cast", ["b"], ["y"], "out", to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes if cast else [helper.make_node("MatMul", ["x", "w"], ["y"], "product")],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 64])],
        [held],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_half_in_int8_is_mixed_every_time_under_load(tmp_path: Path) -> None:
    """Four convolutions in float32 and four equal ones in int8, beside two busy loops."""
    model = half.half_quantized(tmp_path)
    with half.spinning(2):
        found = {judged(model, tmp_path, recipe="int8", x0=(1, 32, 24, 24)) for _ in range(3)}
    assert {(Status.MIXED, "50% of compute in int8 (50% float, 50% uint8)")} == found


def test_files_are_judged_by_what_they_are(tmp_path: Path) -> None:
    """Exported and no more: float64 is float64; float16 is float16, which the CPU provider only emulates."""
    double = product(tmp_path / "double.onnx", TensorProto.DOUBLE)
    assert (Status.MEASURED, "") == judged(double, tmp_path, x=(4, 64))
    reduced, reason = judged(product(tmp_path / "reduced.onnx", TensorProto.FLOAT16), tmp_path, x=(4, 64))
    assert Status.EMULATED is reduced
    assert "claims float16, but its computation was 100% float" == reason
    whole = product(tmp_path / "float.onnx", TensorProto.FLOAT, cast=False)
    assert (Status.MEASURED, "") == judged(whole, tmp_path, x=(4, 64))
    assert Status.EMULATED is judged(whole, tmp_path, recipe="int8", x=(4, 64))[0]


@pytest.mark.parametrize(("bits", "claimed", "other"), [(4, "int4", "int8"), (8, "int8", "int4")])
def test_weights_alone_are_of_the_bits_that_they_have(tmp_path: Path, bits: int, claimed: str, other: str) -> None:
    """Eight bits per weight are no int4, and it is said that floats are multiplied."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    source = onnx.load(product(tmp_path / "float.onnx", TensorProto.FLOAT, cast=False))
    quantizer = MatMulNBitsQuantizer(source, bits=bits, block_size=32, is_symmetric=True)
    quantizer.process()
    path = tmp_path / "packed.onnx"
    onnx.save(quantizer.model.model, path)
    assert (Status.MEASURED, "") == judged(path, tmp_path, x=(4, 64))
    assert Status.MEASURED is judged(path, tmp_path, recipe=claimed, x=(4, 64))[0]
    assert Status.EMULATED is judged(path, tmp_path, recipe=other, x=(4, 64))[0]
    seen = half.observed(half.workload(path, (4, 64), "x"), tmp_path)
    assert f"weights of {bits} bits are multiplied in float32 (accuracy level 0)" == placement.inside(
        seen.nodes, stated(onnx.load(path))["packed"]
    )


@pytest.mark.parametrize(("level", "named"), [("disabled", True), ("basic", True), ("extended", False), ("all", False)])
def test_a_level_that_keeps_int8_apart_is_the_cause(level: str, named: bool) -> None:
    """An 8-bit file in QDQ form computes in floats there, whatever the file holds."""
    status, reason = placement.judge("int8", CPU, {CPU: 1.0}, {"float": 1.0}, level)
    assert (Status.EMULATED, named) == (status, f"`optimization: {level}`" in reason)
    assert "optimization" not in placement.judge("float16", CPU, {CPU: 1.0}, {"float": 1.0}, level)[1]
