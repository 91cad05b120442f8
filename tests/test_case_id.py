"""The names of cases: what is formatted is parsed to the same, whatever the parts are called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import CaseIdError, UsageError
from harness.records import CaseId, case_id
from harness.store.asv.benchmarks import PARAMETERS, SHORT, place
from harness.store.history_asv import case_id as of_asv
from harness.store.rows import to_row
from tests import outcomes

PIECES = ("a", "Z", "_", "9", ".", "-", "-t2", "-b1", "-i4", "-t", "-b", "t1-b1", "resnet50", "cpu")
NAMES = st.from_regex(case_id.NAME, fullmatch=True).filter(str.isascii) | (
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map(lambda found: "n" + "".join(found))
)
CASES = st.builds(
    CaseId,
    model=NAMES,
    variant=NAMES,
    target=NAMES,
    intra_threads=st.integers(0, 10**9 - 1),
    inter_threads=st.integers(0, 10**9 - 1),
    batch=st.integers(1, 10**9 - 1),
)


@given(CASES)
def test_what_is_formatted_is_parsed(case: CaseId) -> None:
    """Also where names hold what looks like threads or a batch."""
    assert case == CaseId.parse(str(case))


@given(CASES)
def test_parts_are_those_of_the_whole(case: CaseId) -> None:
    """A target's label, a case's parts and its artifact say the same."""
    assert (case.model, case.variant, case.label) == case_id.parts(str(case))
    assert (case.model, case.variant) == case_id.artifact_of(str(case))
    assert (case.model, case.variant) == case_id.artifact_of(f"{case.model}/{case.variant}")


@given(CASES)
def test_a_batch_of_one_may_be_omitted(case: CaseId) -> None:
    """Everything else stays."""
    short = f"{case.model}/{case.variant}/{case.target}-t{case.intra_threads}-i{case.inter_threads}"
    expected = CaseId(
        model=case.model,
        variant=case.variant,
        target=case.target,
        intra_threads=case.intra_threads,
        inter_threads=case.inter_threads,
    )
    assert expected == CaseId.parse(short)


@given(CASES)
def test_asv_keeps_the_name(case: CaseId) -> None:
    """Stored on asv's axes and read back, it is the same case."""
    of = outcomes.case(
        case.model,
        case.variant,
        name=case.target,
        intra_threads=case.intra_threads,
        inter_threads=case.inter_threads,
        batch=case.batch,
    )
    assert str(case) == of.id
    row = to_row(outcomes.run(), outcomes.refused(of))
    (latency,) = (name for name, short in SHORT.items() if short == "latency")
    assert of.id == of_asv(latency, PARAMETERS, [repr(value) for value in place(row)])


def test_the_form() -> None:
    """Inter-op threads appear only where they are not one."""
    assert "resnet50/int8-static/cpu-t2-b1" == str(CaseId.parse("resnet50/int8-static/cpu-t2"))
    assert "m/v/cpu-t2-i4-b8" == str(CaseId.parse("m/v/cpu-t2-i4-b8"))
    assert "m/v/cpu-t0-b1" == str(CaseId.parse("m/v/cpu-t0-i1-b1"))


@pytest.mark.parametrize(
    "text",
    ["", "m", "m/v", "m/v/cpu", "m/v/cpu-b1", "m/v/cpu-t-b1", "m/v/cpu-t1-b0", "m/v/cpu-t1-b1 ", "a/m/v/cpu-t1-b1",
     "m/v/-t1-b1", "m//cpu-t1-b1", ".m/v/cpu-t1-b1", "m/v/cpu-b1-t1-i2-b1-i2", "m/v/cpu-t" + "1" * 5000,
     "m/v/cpu-t\u0662-b1"],
)  # fmt: skip
def test_what_is_no_case(text: str) -> None:
    """The error is a usage error and a value error, and shows what is expected."""
    with pytest.raises(CaseIdError, match=r"is not a case; .* such as resnet50/int8-static/cpu-t2-b1") as caught:
        CaseId.parse(text)
    assert isinstance(caught.value, UsageError)
    assert isinstance(caught.value, ValueError)


def test_imported_benchmarks_have_a_model_only() -> None:
    """Their names stand for it, with their parameters."""
    assert ("pytest.a/b.py::test(1)", "", "") == case_id.parts("pytest.a/b.py::test(1)")
    assert "imported" == case_id.parts("imported").within_model
    assert "fp32/cpu-t1-b1" == case_id.parts("m/fp32/cpu-t1-b1").within_model
