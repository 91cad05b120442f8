"""harness.tasks: metrics on arrays whose answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.records import Reference
from harness.tasks import classification, fidelity
from harness.tasks.score import score

RNG = np.random.default_rng(0)


def test_sqnr_of_noise_a_tenth_of_the_signal_is_20_db() -> None:
    """Power ratio 100."""
    signal = RNG.standard_normal((8, 1000))
    found = fidelity.one(signal, signal + 0.1 * RNG.standard_normal(signal.shape))
    assert 20 == pytest.approx(found["sqnr_db"], abs=0.2)
    assert found["centred_sqnr_db"] == pytest.approx(found["sqnr_db"], abs=1.0)


def test_centring_unmasks_a_constant_output() -> None:
    """A network that answers nearly the same for every input: plain SQNR flatters, centred SQNR does not."""
    signal = 100.0 + 0.01 * RNG.standard_normal((8, 100))
    found = fidelity.one(signal, signal + 0.1 * RNG.standard_normal(signal.shape))
    assert found["sqnr_db"] is not None
    assert found["centred_sqnr_db"] is not None
    assert found["sqnr_db"] > 50
    assert found["centred_sqnr_db"] < -15


def test_exact_outputs_have_no_ratio_and_no_error() -> None:
    """Infinity is not JSON, and not a number to compare."""
    signal = RNG.standard_normal((4, 10))
    found = fidelity.one(signal, signal)
    assert (None, None, 0.0) == (found["sqnr_db"], found["centred_sqnr_db"], found["max_abs"])
    assert 1 == pytest.approx(found["cosine"])


def test_one_example_cannot_be_centred() -> None:
    """Its mean is itself."""
    assert fidelity.one(np.ones((1, 3)), np.zeros((1, 3)))["centred_sqnr_db"] is None


def test_the_worst_output_counts() -> None:
    """Two outputs, one exact and one off: the model is as good as its worse output."""
    good, bad = RNG.standard_normal((4, 50)), RNG.standard_normal((4, 50))
    found = fidelity.compare([good, bad], [good + 1e-6, bad + 1.0], classes=False)
    assert 1.0 == pytest.approx(found.max_abs)
    assert found.sqnr_db is not None
    assert found.sqnr_db < 3


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_an_error(value: float) -> None:
    """They would otherwise turn into a quiet NaN."""
    output = np.ones((2, 3))
    output[1, 1] = value
    with pytest.raises(ValueError, match="not finite"):
        fidelity.compare([np.ones((2, 3))], [output], classes=False)


def test_shapes_must_agree() -> None:
    """Nothing is broadcast."""
    with pytest.raises(ValueError, match=r"shape \(2, 1\), the reference \(2, 3\)"):
        fidelity.compare([np.ones((2, 3))], [np.ones((2, 1))], classes=False)


def test_top1_agreement_needs_four_classes() -> None:
    """With three distinct classes in the reference agreement says too little."""
    three, four = np.eye(10)[[0, 1, 2, 2]], np.eye(10)[[0, 1, 2, 3]]
    assert fidelity.top1_agreement(three, three) is None
    assert 0.75 == fidelity.top1_agreement(four, np.eye(10)[[0, 1, 2, 4]])


def test_top1_drop_is_positive_where_it_got_worse() -> None:
    """Reference 4 of 4, artifact 3 of 4."""
    labels = np.array([0, 1, 2, 3])
    found = classification.top1(np.eye(4)[[0, 1, 2, 0]], np.eye(4), labels)
    assert ("top1", 0.75, 1.0, 0.25, 4) == (found.metric, found.value, found.reference, found.drop, found.n)


def test_score_reads_folders(tmp_path: Path) -> None:
    """Labels make accuracy; without them there is fidelity alone."""
    reference, outputs = tmp_path / "reference", tmp_path / "outputs"
    (reference / "outputs").mkdir(parents=True)
    outputs.mkdir()
    np.save(reference / "outputs/0.npy", np.eye(4, dtype=np.float32))
    np.save(reference / "labels.npy", np.arange(4))
    np.save(outputs / "0.npy", np.eye(4, dtype=np.float32)[[0, 1, 2, 0]])
    known = Reference(digest="d", origin="o", inputs=("x",), outputs=("y",), examples=4, labelled=True)
    close, accuracy = score(known, reference, outputs, "classification")
    assert 0.75 == close.top1_agreement
    assert accuracy is not None
    assert 0.25 == accuracy.drop
    assert score(known, reference, outputs, "encoder")[1] is None
