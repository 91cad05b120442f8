"""harness.reasons: what a person reads where a case has no number."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from harness import reasons
from harness.build.lookup import refusal
from harness.errors import BuildError, MissingExtra, Skip, Unsupported, WorkerRefusal
from harness.records import Status
from harness.tasks import fidelity

WHERE = (
    "/onnxruntime_src/onnxruntime/core/graph/model.cc:181 onnxruntime::Model::Model(onnx::ModelProto&&, "
    "const onnxruntime::PathString&, const onnxruntime::ModelOptions&) "
)


def caught(code: Any) -> Exception:
    """What code raises."""
    with pytest.raises(Exception) as found:  # noqa: PT011  (whatever it is)
        code()
    assert isinstance(found.value, Exception)
    return found.value


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for Foo(1)",
            "Could not find an implementation for Foo(1)",
        ),
        (
            f"[ONNXRuntimeError] : 1 : FAIL : Load model from m.onnx failed:{WHERE}Unsupported model IR version: 99\n",
            "Load model from m.onnx failed:Unsupported model IR version: 99",
        ),
        (
            "/src/onnxruntime/text/locale.cc:235 ort::Locale::Locale(const string&)::<lambda()> Failed to construct X",
            "Failed to construct X",
        ),
        ("a reason\nof two lines", "a reason of two lines"),
        ("the file /data/onnxruntime/net.onnx: 3 of 4", "the file /data/onnxruntime/net.onnx: 3 of 4"),
    ],
)
def test_the_point_is_kept_and_the_noise_before_it_is_not(said: str, expected: str) -> None:
    """Nothing is cut at the end, where onnxruntime puts its reason."""
    assert expected == reasons.essence(said)
    long = f"{said}, because {'x' * 2000} of the point"
    assert reasons.essence(long).endswith("of the point")


@pytest.mark.parametrize(
    "code",
    [
        lambda: [].shape,  # type: ignore[attr-defined]
        lambda: dict[str, int]()["missing"],
        lambda: list(range(2))[3],
        lambda: len(3),  # type: ignore[arg-type]
        lambda: np.zeros(3).sum(axis=1),
        lambda: np.concatenate([np.zeros(2), np.zeros((2, 2))]),
        lambda: np.zeros(3) + np.zeros(4),
        lambda: int("many"),
    ],
)
def test_no_bare_error_of_python_reaches_a_person(code: Any) -> None:
    """It is said to be harness's own, and what to do about it; the type is there for whoever fixes it."""
    error = caught(code)
    said = reasons.reason_of(error)
    assert said.startswith("harness could not handle this (internal: ")
    assert type(error).__name__ in said
    assert "please report it" in said


def test_what_was_raised_on_purpose_says_it_itself() -> None:
    """A harness error, a refusal of a worker, and a ValueError of harness's own statement."""
    assert "no MatMul" == reasons.reason_of(BuildError("no MatMul"))
    assert "no kernel" == reasons.reason_of(WorkerRefusal("not_implemented", "no kernel"))
    own = caught(lambda: fidelity.parts({"y": [np.zeros(2)]}, {}))
    assert "the artifact has no output `y`, which the reference has" == reasons.reason_of(own)


def test_the_operating_system_is_named_with_its_file() -> None:
    """Without the number of the error."""
    assert "gone.npy: No such file or directory" == reasons.reason_of(caught(lambda: np.load("gone.npy")))
    assert "there is not enough memory" == reasons.reason_of(MemoryError())


def test_a_refusal_of_onnxruntime_is_its_own() -> None:
    """It comes as an exception of its own module, in the build."""
    onnxruntime = importlib.import_module("onnxruntime")
    error = caught(lambda: onnxruntime.InferenceSession(b"nonsense", providers=["CPUExecutionProvider"]))
    said = reasons.reason_of(error)
    assert said.startswith("onnxruntime says: ")
    assert "[ONNXRuntimeError]" not in said


def test_guessed_sizes_are_named_in_what_they_may_have_caused() -> None:
    """A size that does not fit fails deep in the model, in words that do not lead back to it."""
    said = reasons.with_sizes("Got invalid dimensions", {"seq": 16, "past": 16})
    assert "Got invalid dimensions (with seq = 16, past = 16 for open axes" in said
    assert "as it is" == reasons.with_sizes("as it is", {})


def test_a_missing_package_is_a_failure() -> None:
    """It can be installed: never `unsupported`, beside which a sweep would exit as if all were well."""
    assert Status.FAILED is refusal(MissingExtra("needs timm")).status
    assert Status.UNSUPPORTED is refusal(Unsupported("no kernel")).status
    assert Status.SKIPPED is refusal(Skip("no MatMul")).status
    assert "no kernel" == refusal(BuildError("[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : no kernel")).reason
