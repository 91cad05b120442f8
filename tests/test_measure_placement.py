"""harness.measure.placement: what a case really ran on decides its status."""

from __future__ import annotations

from harness.measure import placement
from harness.records import Status

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def test_a_provider_that_took_no_node_makes_the_case_unsupported() -> None:
    """It loaded, but everything ran on the CPU: that is not a CUDA number."""
    status, reason = placement.judge("float32", CUDA, {CPU: 1.0}, {"float": 1.0})
    assert Status.UNSUPPORTED is status
    assert "took no node" in reason


def test_nodes_that_fell_back_are_named() -> None:
    """Measured, with the share that ran elsewhere."""
    assert (Status.MEASURED, f"25% of the nodes fell back to {CPU}") == placement.judge(
        "float32", CUDA, {CUDA: 0.75, CPU: 0.25}, {"float": 1.0}
    )


def test_float16_that_computes_in_float32_is_emulated() -> None:
    """The CPU provider has no float16 kernels for most operators and casts."""
    status, reason = placement.judge("float16", CPU, {CPU: 1.0}, {"float": 0.95, "float16": 0.05})
    assert Status.EMULATED is status
    assert "95% float" in reason


def test_int8_with_integer_kernels_is_measured() -> None:
    """Signed and unsigned together make the claim good."""
    assert (Status.MEASURED, "") == placement.judge("int8", CPU, {CPU: 1.0}, {"uint8": 0.6, "int8": 0.2, "float": 0.2})


def test_unknown_placement_and_arithmetic_are_not_held_against_a_case() -> None:
    """An old runtime that cannot tell, and a graph without any compute kernel."""
    assert (Status.MEASURED, "") == placement.judge("int8", CPU, {}, {})


def test_rows_of_a_profile_are_summed() -> None:
    """By operator, by provider and by arithmetic; operators that only move data do no arithmetic."""
    rows: list[list[str | int]] = [
        ["c1", "Conv", CPU, "float,float", 1, 40],
        ["c2", "Conv", CPU, "float,float", 1, 20],
        ["q", "QLinearConv", CPU, "uint8,float", 1, 20],
        ["m", "MatMulNBits", CPU, "float,uint8", 1, 10],
        ["d", "DynamicQuantizeMatMul", CPU, "float,int8", 1, 10],
        ["t", "Transpose", CUDA, "float", 4, 100],
    ]
    assert {
        "Conv": 2,
        "DynamicQuantizeMatMul": 1,
        "MatMulNBits": 1,
        "QLinearConv": 1,
        "Transpose": 4,
    } == placement.kernels(rows)
    assert {CPU: 0.5, CUDA: 0.5} == placement.time_shares(rows)
    assert {"float": 0.6, "uint8": 0.2, "int4": 0.1, "int8": 0.1} == placement.arithmetic(rows)
