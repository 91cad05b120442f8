"""harness.gate.checks.structure and signature: what changed in a graph, without measuring anything."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BuildError
from harness.gate.checks import signature
from harness.gate.checks.signature import Signature
from harness.gate.checks.structure import check
from harness.gate.model import Contender, Finding, Match, Side, Verdict
from harness.records import Budget
from tests import builders, outcomes

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def pair(
    base: dict[str, Any] | None = None,
    head: dict[str, Any] | None = None,
    *,
    structure: str = "report",
    kind: str = "commit",
    provider: str = CPU,
) -> Match:
    """A match of two artifacts with these fields."""
    case = outcomes.case(provider=provider)
    case = dataclasses.replace(case, model=dataclasses.replace(case.model, budget=Budget(structure=structure)))
    found = [
        Contender(
            side=Side(role=role, asked=role, kind=kind, zoo=Path(), python="", worker=()),
            case=case,
            built=outcomes.artifact(case, **(fields or {})),
            cache=Path(),
        )
        for role, fields in (("base", base), ("head", head))
    ]
    return Match(name=case.id, base=found[0], head=found[1])


def of(findings: tuple[Finding, ...], metric: str) -> list[tuple[Verdict, str]]:
    """Verdict and sentence of the findings of one metric."""
    return [(one.verdict, one.sentence) for one in findings if one.metric == metric]


def test_nothing_changed() -> None:
    """Size and nodes are reported even then, so that a report can show them."""
    assert ["size", "nodes"] == [one.metric for one in check(pair(), Signature(), Signature())]
    assert {Verdict.PASS} == {one.verdict for one in check(pair(), Signature(), Signature())}


@pytest.mark.parametrize(
    ("base", "head", "expected"),
    [
        (1000, 1010, Verdict.PASS),
        (1000, 1011, Verdict.REGRESSION),
        (1000, 990, Verdict.PASS),
        (1000, 989, Verdict.IMPROVEMENT),
    ],
)
def test_growth_past_the_margin_counts_at_once(base: int, head: int, expected: Verdict) -> None:
    """Size and node count are exact: neither needs statistics, nor a budget."""
    found = check(pair({"bytes": base, "nodes": base}, {"bytes": head, "nodes": head}), Signature(), Signature())
    assert [expected, expected] == [one.verdict for one in found]


def test_growth_is_reported_with_both_values() -> None:
    """The sentence stands for itself."""
    found = check(pair({"bytes": 1000}, {"bytes": 1500}), Signature(), Signature(), margin=0.1)
    assert [(Verdict.REGRESSION, "artifact grew from 1.00 kB to 1.50 kB (+50.0%; allowed 10%)")] == of(found, "size")


@pytest.mark.parametrize(("structure", "expected"), [("report", Verdict.PASS), ("fail", Verdict.REGRESSION)])
def test_a_provider_that_lost_nodes(structure: str, expected: Verdict) -> None:
    """What fell back is named with where it went; the budget says whether that fails."""
    base, head = Signature(placement={CUDA: 1.0}), Signature(placement={CUDA: 0.75, CPU: 0.25})
    found = check(pair(structure=structure, provider=CUDA), base, head)
    sentence = f"{CUDA} lost nodes: it ran 100.0% of them and now runs 75.0% (25% on {CPU})"
    assert [(expected, sentence)] == of(found, "placement")
    assert [] == of(check(pair(structure=structure, provider=CUDA), head, base), "placement")


def test_a_placement_that_is_not_known_says_nothing() -> None:
    """Old onnxruntime versions do not tell: that does not count as a loss."""
    assert [] == of(check(pair(), Signature(placement={CPU: 1.0}), Signature()), "placement")


@pytest.mark.parametrize(("structure", "expected"), [("report", Verdict.PASS), ("fail", Verdict.REGRESSION)])
def test_a_fusion_that_is_gone(structure: str, expected: Verdict) -> None:
    """Those of the build, and those of the session; more of them is not a finding."""
    one = {"fusion": {"patterns": {"attention": 6, "Gelu": 6, "LayerNorm": 1}}}
    other = {"fusion": {"patterns": {"Gelu": 4, "LayerNorm": 2}}}
    base, head = Signature(kernels={"FusedConv": 3, "Relu": 1}), Signature(kernels={"Conv": 3, "Relu": 4})
    found = check(pair(one, other, structure=structure), base, head)
    assert [
        (expected, "fusion attention of the build: 6 -> 0, it is gone"),
        (expected, "fusion Gelu of the build: 6 -> 4"),
        (expected, "fusion FusedConv of the session: 3 -> 0, it is gone"),
    ] == of(found, "fusion")


def test_a_quantized_operator_that_is_float_again() -> None:
    """By the kernels that ran, where they are known, else by the graph."""
    base, head = Signature(kernels={"QLinearConv": 9, "Conv": 1}), Signature(kernels={"QLinearConv": 7, "Conv": 3})
    sentence = "float again: QLinearConv 9 -> 7, 2 more Conv"
    assert [(Verdict.PASS, sentence)] == of(check(pair(), base, head), "quantization")
    one = {"operators": {"com.microsoft:MatMulNBits": 4, "MatMul": 1}}
    other = {"operators": {"com.microsoft:MatMulNBits": 3, "MatMul": 2}}
    graph = of(check(pair(one, other, structure="fail"), Signature(), Signature()), "quantization")
    assert [(Verdict.REGRESSION, "float again: MatMulNBits 4 -> 3, 1 more MatMul")] == graph


def test_a_quantized_operator_that_became_another_one_is_not_float() -> None:
    """Fewer of one kind and no more floats: a better fusion, or a smaller network."""
    base, head = Signature(kernels={"QLinearConv": 9, "Conv": 1}), Signature(kernels={"QLinearConv": 7, "Conv": 1})
    assert [] == of(check(pair(), base, head), "quantization")


def test_fewer_conversions_around_as_many_operators() -> None:
    """A QDQ graph shows what is not quantized any more by its missing conversions."""
    one = {"operators": {"Conv": 4, "DequantizeLinear": 12}, "nodes": 30}
    other = {"operators": {"Conv": 4, "DequantizeLinear": 9}, "nodes": 25}
    found = of(check(pair(one, other), Signature(), Signature()), "quantization")
    assert [(Verdict.PASS, "fewer tensors are quantized: DequantizeLinear 12 -> 9")] == found


@pytest.mark.parametrize(("structure", "expected"), [("report", Verdict.PASS), ("fail", Verdict.REGRESSION)])
def test_a_signature_and_an_opset_that_changed(structure: str, expected: Verdict) -> None:
    """What a caller has to change is reported, both values."""
    base = Signature(opsets={"ai.onnx": 17}, inputs=("x: float [batch, 4]",), outputs=("a: float", "b: float"))
    head = Signature(
        opsets={"ai.onnx": 18, "com.microsoft": 1}, inputs=("x: float16 [batch, 4]",), outputs=("b: float", "a: float")
    )
    found = check(pair(structure=structure), base, head)
    assert [
        (expected, "inputs changed: x: float [batch, 4] -> x: float16 [batch, 4]"),
        (expected, "outputs changed: another order"),
    ] == of(found, "signature")
    assert [(expected, "opset changed: ai.onnx 17 -> 18, com.microsoft none -> 1")] == of(found, "opset")


def test_a_renamed_output_is_a_change_of_the_signature() -> None:
    """Callers ask for it by name: where types and shapes are as before, the name alone is said to have changed."""
    base = Signature(outputs=("a: float [batch, 4]", "b: float"))
    head = Signature(outputs=("logits: float [batch, 4]", "b: float"))
    assert [(Verdict.PASS, "outputs renamed: a: float [batch, 4] -> logits: float [batch, 4]")] == of(
        check(pair(), base, head), "signature"
    )


def test_two_cases_may_differ_in_everything() -> None:
    """Whoever sets int8 against fp32 wants another structure."""
    found = check(
        pair({"bytes": 1, "nodes": 1}, {"bytes": 9, "nodes": 9}, structure="fail", kind="case"),
        Signature(opsets={"ai.onnx": 17}),
        Signature(opsets={"ai.onnx": 18}),
    )
    assert {Verdict.PASS} == {one.verdict for one in found}
    assert {"size", "nodes", "opset"} == {one.metric for one in found}


def test_a_match_of_one_side_has_no_structure_to_compare() -> None:
    """New and removed cases."""
    assert () == check(dataclasses.replace(pair(), base=None), Signature(), Signature())


def test_files_are_read_in_a_child(tmp_path: Path) -> None:
    """Opsets and signatures come back; the process that asks has not imported onnx."""
    path = builders.tiny_conv(tmp_path / "m.onnx")
    code = (
        "import sys; from pathlib import Path; from harness.gate.checks import signature\n"
        "found = signature.read([Path(sys.argv[1])] * 2)[Path(sys.argv[1])]\n"
        "print(dict(found.opsets), found.inputs, found.outputs, 'onnx' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "{'ai.onnx': 17} ('x: float [batch, 1, 8, 8]',) ('y: float [batch, 4]',) False" == done.stdout.strip()
    assert {} == signature.read([])


def test_a_file_that_is_not_a_model_is_named(tmp_path: Path) -> None:
    """It was whole when it was built: somebody has changed the cache."""
    with pytest.raises(BuildError, match=r"m\.onnx"):
        signature.read([builders.truncated(tmp_path / "m.onnx")])
