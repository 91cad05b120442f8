"""harness.measure.placement and harness.measure.work: what a case really ran on decides its status."""

from __future__ import annotations

import random

import pytest

from harness.measure import placement
from harness.measure.work import multiplications
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
    """Signed and unsigned together make the claim good; a tenth may stay in floats."""
    assert (Status.MEASURED, "") == placement.judge("int8", CPU, {CPU: 1.0}, {"uint8": 0.7, "int8": 0.2, "float": 0.1})


def test_a_part_in_the_claimed_arithmetic_is_mixed_and_says_how_much() -> None:
    """No cliff: between a tenth and nine tenths the share is named, and so are nodes elsewhere."""
    assert (Status.MIXED, "54% of compute in int8 (54% uint8, 46% float)") == placement.judge(
        "int8", CPU, {CPU: 1.0}, {"float": 0.46, "uint8": 0.54}
    )
    _, reason = placement.judge("int8", CUDA, {CUDA: 0.5, CPU: 0.5}, {"float": 0.8, "int8": 0.2})
    assert f"20% of compute in int8 (80% float, 20% int8); 50% of the nodes fell back to {CPU}" == reason


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "int8", "int4", "float64"])
def test_a_claim_that_no_operator_shows_is_unverified(precision: str) -> None:
    """A graph without compute kernels, a provider that compiles it whole, a runtime that cannot tell."""
    status, reason = placement.judge(precision, CPU, {}, {})
    assert Status.UNVERIFIED is status
    assert f"claims {precision}" in reason
    assert (Status.MEASURED, "") == placement.judge("float32", CPU, {}, {})


def test_statuses_with_numbers_and_those_that_can_be_recommended() -> None:
    """What is emulated here computes something else on the next host."""
    assert {"measured", "mixed", "unverified", "emulated"} == {one for one in Status if one.has_numbers}
    assert {"measured", "mixed", "unverified"} == {one for one in Status if one.can_ship}


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
    assert {"float": 0.4, "uint8": 0.2, "int4": 0.2, "int8": 0.2} == placement.computation(rows)


def test_kernels_are_those_of_one_run() -> None:
    """Counts are sums over the runs; a branch that was taken in one run of three is still there."""
    rows = [["c", "Conv", CPU, "float", 30, 1], ["r", "Relu", CPU, "float", 1, 1]]
    assert {"Conv": 10, "Relu": 1} == placement.kernels(rows, 3)


def test_a_loop_is_not_counted_beside_its_body() -> None:
    """Its time is that of the nodes in it."""
    rows = [["l", "Loop", CPU, "int64", 1, 100], ["b", "Conv", CUDA, "float", 5, 90]]
    assert {CUDA: 1.0} == placement.time_shares(rows)


def test_the_status_knows_no_clock() -> None:
    """The same kernels under any load: times of all orders of magnitude, one status, one sentence."""
    rng = random.Random(5)
    seen = set()
    shapes = [[[1, 8, 16, 16], [8, 8, 3, 3]], [[1, 8, 16, 16]]]
    for _ in range(50):
        rows = [
            ["f", "Conv", CPU, "float,float", 20, rng.randrange(1, 10**6), *shapes],
            ["q", "QLinearConv", CPU, "uint8", 20, rng.randrange(1, 10**6), *shapes],
        ]
        seen.add(placement.judge("int8", CPU, {CPU: 1.0}, placement.computation(rows)))
    assert {(Status.MIXED, "50% of compute in int8 (50% float, 50% uint8)")} == seen


def test_bodies_weigh_as_often_as_they_ran() -> None:
    """Two equal kernels, one of them nine times in a loop."""
    shapes = [[[4, 8], [8, 2]], [[4, 2]]]
    rows = [["a", "MatMul", CPU, "float", 1, 1, *shapes], ["b", "MatMulInteger", CPU, "uint8", 9, 1, *shapes]]
    assert pytest.approx({"float": 0.1, "uint8": 0.9}) == placement.computation(rows)


def test_a_kernel_without_shapes_weighs_as_the_others_do() -> None:
    """The mean of those whose shapes tell."""
    shapes = [[[4, 8], [8, 2]], [[4, 2]]]
    rows = [["a", "MatMul", CPU, "float", 2, 1, *shapes], ["e", "Einsum", CPU, "int8", 2, 1, [], []]]
    assert pytest.approx({"float": 0.5, "int8": 0.5}) == placement.computation(rows)


def test_shapes_of_packed_weights_come_from_a_session_that_packs_nothing() -> None:
    """Only for convolutions that lack them, and only from the same node."""
    packed = ["q", "QLinearConv", CPU, "uint8", 20, 7, [[1, 3, 8, 8], [], [4]], [[1, 4, 8, 8]]]
    plain = ["m", "MatMul", CPU, "float", 20, 7, [[1, 3]], [[1, 4]]]
    shown = ["q", "QLinearConv", CPU, "uint8", 1, 99, [[1, 3, 8, 8], [], [4, 3, 3, 3], [4]], [[1, 4, 8, 8]]]
    assert placement.lacks_shapes([packed])
    assert not placement.lacks_shapes([plain, ["old", "Conv", CPU, "float", 1, 7]])
    assert [[*packed[:6], *shown[6:]], plain] == placement.with_shapes([packed, plain], [shown])
    assert [packed] == placement.with_shapes([packed], [])


def test_bits_of_weights_that_the_runtime_packed_come_from_such_a_session() -> None:
    """Onnxruntime makes one node of a dequantized weight and its product; what the file states needs no session."""
    made = ["m", "MatMulNBits", CPU, "float,float,uint8", 9, 7, [[1, 128], [256], [256]], [[1, 64]]]
    shown = ["m", "MatMulNBits", CPU, "float,uint8,float", 1, 99, [[1, 128], [64, 4, 32], [256]], [[1, 64]]]
    assert placement.lacks_shapes([made])
    assert not placement.lacks_shapes([made], {"m": (4, 0)})
    assert not placement.lacks_shapes([shown])
    rows = placement.with_shapes([made], [shown])
    assert {"int8 weights": 1.0} == placement.computation(rows)
    assert "weights of 8 bits are multiplied in an arithmetic that the runtime chose" == placement.inside(rows, {})


@pytest.mark.parametrize(
    ("weights", "bits"), [([64, 2, 16], 4), ([64, 2, 32], 8), ([64, 1, 64], 8), ([64, 4, 8], 4), (None, 4)]
)
def test_bits_of_packed_weights_come_from_their_shape(weights: list[int] | None, bits: int) -> None:
    """Blocks of 32 or 64 along 64 inputs; 8-bit weights are not called int4."""
    inputs = [[1, 64], *([weights] if weights else []), [64, 2]]
    row = ["m", "MatMulNBits", CPU, "float,uint8", 1, 1, inputs, [[1, 64]]]
    expected = "int8 weights" if bits == 8 else "int4"
    assert expected == placement.element_type(row, {})


def test_bits_that_the_file_states_count() -> None:
    """More than what shapes suggest."""
    row = ["m", "MatMulNBits", CPU, "float,uint8", 1, 1, [[1, 32]], [[1, 64]]]
    assert "int8 weights" == placement.element_type(row, {"m": (8, 0)})


def test_it_is_said_what_packed_weights_are_multiplied_in() -> None:
    """By accuracy level on the CPU provider, by the activations elsewhere."""

    def said(provider: str, types: str, packed: placement.Packed) -> str:
        return placement.inside([["m", "MatMulNBits", provider, types, 1, 1]], packed)

    assert "" == placement.inside([["c", "Conv", CPU, "float", 1, 1]], {})
    assert "weights of 4 bits are multiplied in float32 (accuracy level 0)" == said(CPU, "float", {"m": (4, 0)})
    assert "weights of 4 bits are multiplied in int8 (accuracy level 4)" == said(CPU, "float", {"m": (4, 4)})
    assert f"weights of 8 bits are multiplied in float16 on {CUDA}" == said(CUDA, "float16", {"m": (8, 4)})
    assert "the runtime chose" in said(CPU, "float", {})


def test_a_file_is_judged_by_what_it_is() -> None:
    """Where the recipe changes nothing; by most of its weights."""
    assert "float32" == placement.claim("float32", {})
    assert "float16" == placement.claim("float32", {"float16": 10, "float": 1})
    assert "float64" == placement.claim("float32", {"double": 10})
    assert "int8" == placement.claim("float32", {"int8": 6, "uint8": 6, "float": 10})
    assert "float32" == placement.claim("float32", {"int8": 5, "float": 5})
    assert "int8" == placement.claim("int8", {"float": 10})


@pytest.mark.parametrize(
    ("operator", "inputs", "outputs", "expected"),
    [
        ("MatMul", [[2, 3, 4], [4, 5]], [[2, 3, 5]], 2 * 3 * 4 * 5),
        ("MatMulNBits", [[1, 64]], [[1, 16]], 64 * 16),
        ("Gemm", [[8, 3], [8, 5]], [[3, 5]], 8 * 3 * 5),
        ("MatMul", [[4], [4, 5]], [[5]], 20),
        ("Conv", [[1, 6, 8, 8], [4, 3, 3, 3]], [[1, 4, 8, 8]], 4 * 64 * 27),
        ("QLinearConv", [[1, 8, 8, 6], [], [], [4, 6, 1, 1], [4]], [[1, 8, 8, 4]], 4 * 64 * 6),
        ("ConvTranspose", [[1, 6, 8, 8], [6, 4, 2, 2]], [[1, 4, 16, 16]], 6 * 64 * 16),
        ("MultiHeadAttention", [[1, 10, 32], [1, 20, 32], [1, 20, 32]], [[1, 10, 32]], 2 * 10 * 20 * 32),
        ("Attention", [[1, 10, 32], [96]], [[1, 10, 32]], 2 * 10 * 10 * 32 + 10 * 32 * 96),
        ("LSTM", [[7, 2, 5], [1, 12, 5]], [[7, 1, 2, 3]], 7 * 2 * 4 * 3 * 8),
        ("GRU", [[7, 2, 5]], [[2, 2, 3]], 7 * 2 * 2 * 3 * 3 * 8),
        ("Conv", [[1, 6, 8, 8]], [[1, 4, 8, 8]], None),
        ("Einsum", [[2, 2]], [[2, 2]], None),
        ("MatMul", [], [], None),
    ],
)
def test_multiplications_follow_from_shapes(
    operator: str, inputs: list[list[int]], outputs: list[list[int]], expected: int | None
) -> None:
    """Counted by hand; None where the shapes do not tell."""
    assert expected == multiplications(operator, inputs, outputs)
