"""harness.tasks: metrics on arrays whose answers are known, and a task that is one file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import tasks, values
from harness.errors import BuildError
from harness.gate.checks import quality
from harness.gate.model import GateSettings, Verdict
from harness.records import Reference, ValueEntry
from harness.stats import correctness
from harness.tasks import classification, evaluation, fidelity
from harness.tasks.base import Evaluated, by_row
from harness.tasks.scores import ScoresOutput
from tests import pairs

RNG = np.random.default_rng(0)

REGRESSION = '''
"""One number per example, beside a label."""
import numpy as np
from harness.records import MetricValue
from harness.tasks.base import Paired, Scored, Task


def errors(outputs, labels):
    return tuple(abs(float(np.asarray(y).reshape(())) - float(label)) for y, label in zip(outputs, labels, strict=True))


def measure(given):
    (name,) = given.outputs
    each, own = (errors(side[name], given.labels) for side in (given.outputs, given.reference))
    value, reference = sum(each) / len(each), sum(own) / len(own)
    metric = MetricValue(
        name="mae", unit="s", direction="lower", value=value, reference=reference, drop=value - reference, n=len(each)
    )
    return (Scored(value=metric, each=each),)


def pair(base, head):
    (was,), (now,) = base.outputs.values(), head.outputs.values()
    return Paired(
        metric="mae", unit="s", direction="lower", base=errors(was, base.labels), head=errors(now, head.labels)
    )


TASK = Task(summary="mean absolute error", needs=lambda outputs: outputs[-1:], measure=measure, pair=pair)
'''


def one(reference: Any, output: Any) -> Any:
    """Fidelity of one output."""
    return fidelity.one(list(reference), list(output), "y")


def evaluated(outputs: Any, reference: Any, labels: Sequence[Any] | None = None) -> Evaluated:
    """Answers of one output called `y`, in memory."""
    return Evaluated(outputs={"y": list(outputs)}, reference={"y": list(reference)}, labels=labels)


def test_sqnr_of_noise_a_tenth_of_the_signal_is_20_db() -> None:
    """Power ratio 100."""
    signal = RNG.standard_normal((8, 1000))
    found = one(signal, signal + 0.1 * RNG.standard_normal(signal.shape))
    assert 20 == pytest.approx(found.sqnr_db, abs=0.2)
    assert found.centred_sqnr_db == pytest.approx(found.sqnr_db, abs=1.0)


def test_centring_unmasks_a_constant_output() -> None:
    """A network that answers nearly the same for every input: plain SQNR flatters, centred SQNR does not."""
    signal = 100.0 + 0.01 * RNG.standard_normal((8, 100))
    found = one(signal, signal + 0.1 * RNG.standard_normal(signal.shape))
    assert found.sqnr_db > 50
    assert found.centred_sqnr_db < -15


def test_exact_outputs_have_no_ratio_and_no_error() -> None:
    """Infinity is not JSON, and not a number to compare."""
    signal = RNG.standard_normal((4, 10))
    found = one(signal, signal)
    assert (None, None, 0.0, "") == (found.sqnr_db, found.centred_sqnr_db, found.max_abs, found.status)
    assert 1 == pytest.approx(found.cosine)


def test_one_example_cannot_be_centred() -> None:
    """Its mean is itself, and nothing varies."""
    found = one(np.ones((1, 3)), np.zeros((1, 3)))
    assert (None, "") == (found.centred_sqnr_db, found.status)


def test_the_worst_output_counts() -> None:
    """Two outputs, one exact and one off: the model is as good as its worse output, and each is kept."""
    good, bad = RNG.standard_normal((4, 50)), RNG.standard_normal((4, 50))
    reference, outputs = {"a": list(good), "b": list(bad)}, {"b": list(bad + 1.0), "a": list(good + 1e-6)}
    found, each = fidelity.compare(reference, outputs), fidelity.parts(reference, outputs)
    assert 1.0 == pytest.approx(found.max_abs)
    assert found.sqnr_db is not None
    assert found.sqnr_db < 3
    assert ["a", "b"] == [part.output for part in each]
    assert each[0].sqnr_db is not None
    assert each[0].sqnr_db > 100


def test_dead_and_constant_outputs_are_told_apart() -> None:
    """Dead: the reference varies and the artifact does not. Constant: the reference itself does not."""
    varied = RNG.standard_normal((4, 3))
    assert "dead" == one(varied, np.zeros((4, 3))).status
    assert "constant" == one(np.ones((4, 3)), np.ones((4, 3))).status


def test_whole_numbers_and_text_are_equal_or_not() -> None:
    """A share of equal values; text has no other number."""
    numbers = np.array([[1, 2], [3, 4]])
    assert 0.75 == one(numbers, np.array([[1, 2], [3, 5]])).equal
    text = one(np.array([["a", "b"], ["c", "d"]]), np.array([["a", "x"], ["c", "y"]]))
    assert (0.5, None, None) == (text.equal, text.sqnr_db, text.max_abs)
    assert one(varied := RNG.standard_normal((2, 3)), varied).equal is None


def test_shapes_that_depend_on_the_example() -> None:
    """Rows are matched, and the mean is that of all of them; where they do not vary there is nothing to centre."""
    reference = [np.ones((2, 4)), np.ones((0, 4)), np.ones((3, 4))]
    found = fidelity.one(reference, [array + 0.1 for array in reference], "boxes")
    assert (None, 3) == (found.centred_sqnr_db, found.n)
    assert 20 == pytest.approx(found.sqnr_db)
    assert 0.1 == pytest.approx(found.max_abs)


def test_shapes_and_names_must_agree() -> None:
    """Nothing is broadcast, and no output is left out."""
    with pytest.raises(ValueError, match=r"output `y` has shape \(1,\), the reference \(3,\)"):
        one(np.ones((2, 3)), np.ones((2, 1)))
    with pytest.raises(ValueError, match="no output `b`"):
        fidelity.compare({"b": [np.ones(3)]}, {"a": [np.ones(3)]})


def test_closeness_per_example() -> None:
    """Exact examples give the cap; the worst output counts; a reference that does not vary is met or missed."""
    reference = [np.array([0.0]), np.array([2.0])]
    off = [np.array([0.0]), np.array([3.0])]
    exact, far = fidelity.closeness_db({"a": reference, "b": reference}, {"a": reference, "b": off})
    assert fidelity.EXACT_DB == exact
    assert pytest.approx(0.0) == far
    flat = [np.ones(1), np.ones(1)]
    assert (fidelity.EXACT_DB, 0.0) == fidelity.closeness_db({"y": flat}, {"y": [np.ones(1), np.full(1, 1.5)]})


def test_top1_agreement_needs_four_classes() -> None:
    """With three distinct classes in the reference agreement says too little."""
    three, four = np.eye(10)[[0, 1, 2, 2]], np.eye(10)[[0, 1, 2, 3]]
    row = ScoresOutput(name="y", kind="row")
    assert classification.top1_agreement(row.classes(list(three)), row.classes(list(three))) is None
    found = classification.top1_agreement(row.classes(list(four)), row.classes(list(np.eye(10)[[0, 1, 2, 4]])))
    assert (True, True, True, False) == found


@pytest.mark.parametrize("shape", [(4, 1, 4), (4, 4)], ids=["batch axis", "no batch axis"])
def test_top1_of_both_shapes(shape: tuple[int, ...]) -> None:
    """Reference 4 of 4, artifact 3 of 4: a drop is positive where it got worse, with Wilson's interval."""
    scores, reference = np.eye(4)[[0, 1, 2, 0]].reshape(shape), np.eye(4).reshape(shape)
    top1, f1, agreement, ranking = classification.TASK.measured(evaluated(scores, reference, [0, 1, 2, 3]))
    found = top1.value
    assert ("top1", 0.75, 1.0, 0.25, 4) == (found.name, found.value, found.reference, found.drop, found.n)
    assert pytest.approx(0.300642, abs=1e-6) == found.low
    assert pytest.approx(0.954413, abs=1e-6) == found.high
    assert (1.0, 1.0, 1.0, 0.0) == top1.each
    assert 0.75 == agreement.value.value
    assert "rank_agreement" == ranking.value.name
    assert pytest.approx((3 + 2 / 3) / 4) == ranking.value.value
    assert correctness.tango(1, 0, 4, 0.95) == (found.drop_low, found.drop_high)
    assert ("f1", 1.0) == (f1.value.name, f1.value.reference)
    assert pytest.approx((2 / 3 + 1 + 1 + 0) / 4) == f1.value.value


@pytest.mark.parametrize("width", [4, 8])
def test_scores_that_are_not_numbers_answer_nothing(width: int) -> None:
    """Not the first class, whose place the largest of them would be: they are right for no label."""
    labels = [0, 1, 2, 3]
    reference = list(np.eye(width, dtype=np.float32)[labels])
    broken = [
        np.full(width, np.nan, dtype=np.float32),
        reference[1],
        reference[2],
        np.where(reference[3] > 0, np.nan, 0),
    ]
    given = evaluated(broken, reference, labels)
    found = {one.value.name: one for one in classification.TASK.measured(given)}
    assert (0.0, 1.0, 1.0, 0.0) == found["top1"].each
    assert 0.5 == found["top1"].value.value == found["f1"].value.value == found["top1_agreement"].value.value
    assert width < 6 or (0.0, 1.0, 1.0, 0.0) == found["top5"].each
    assert "rank_agreement" not in found
    paired = classification.TASK.paired(evaluated(reference, reference, labels), given)
    assert paired is not None
    assert (4, 2) == (sum(paired.base), sum(paired.head))
    assert (["0"], ["none: its scores are not numbers"]) == classification.TASK.answers(given, (0,))[1:]


def test_right_wants_classes() -> None:
    """A row of scores for each example, as many as labels, each label one class."""
    row = ScoresOutput(name="y", kind="row")
    assert (True, False) == classification.right([np.array([0, 1]), np.array([1, 0])], [1, np.array([1])], row)
    for scores, labels, said in (
        ([np.zeros((3, 4))] * 2, [0, 0], "no row of scores"),
        ([np.zeros((1, 3))] * 2, [0, 0, 0], "for 3 labels"),
    ):
        with pytest.raises(ValueError, match=said):
            classification.right(scores, labels, row)
    with pytest.raises(ValueError, match="not a single class"):
        classification.measure(evaluated([np.zeros((1, 3))], [np.zeros((1, 3))], [np.zeros(2)]))


def test_wilson() -> None:
    """The interval of Newcombe (1998), table I: 81 of 263 and 0 of 20."""
    np.testing.assert_allclose(correctness.wilson(81, 263), (0.2553, 0.3662), atol=5e-5)
    np.testing.assert_allclose(correctness.wilson(0, 20), (0.0, 0.1611), atol=5e-5)
    with pytest.raises(ValueError, match="at least one"):
        correctness.wilson(0, 0)


def test_rows_of_a_fixed_batch() -> None:
    """Two feeds of three rows are six rows; an output that is not of rows stays whole."""
    array = np.arange(12).reshape(2, 3, 2)
    rows = by_row(list(array), 3)
    assert [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]] == [row.tolist()[0] for row in rows]
    assert [10, 11] == rows[-1].tolist()[0]
    assert 2 == len(by_row([np.zeros(()), np.zeros(())], 3))


def stored(tmp_path: Path, *, labelled: bool) -> Evaluated:
    """Four examples on disk: the reference names four classes, the artifact three of them right."""
    count = 4
    entries: dict[str, tuple[ValueEntry, ...]] = {}
    for name, arrays in (
        ("outputs", np.eye(4, dtype=np.float32)[:, None]),
        ("labels", np.arange(4)),
        ("written", np.eye(4, dtype=np.float32)[[0, 1, 2, 0]][:, None]),
    ):
        writer = values.ValueWriter(tmp_path / name, count)
        for array in arrays:
            writer.add({"" if name == "labels" else "y": array})
        entries[name] = writer.close()
    known = Reference(
        digest="d",
        origin="o",
        inputs=("x",),
        outputs=("y",),
        examples=count,
        labelled=labelled,
        answers=values.below("outputs", entries["outputs"]),
        labels=values.below("labels", entries["labels"]) if labelled else (),
    )
    return evaluation.stored(known, tmp_path, entries["written"], tmp_path / "written")


def test_score_of_stored_outputs(tmp_path: Path) -> None:
    """Labels make accuracy; without them, and for other tasks, there is fidelity alone."""
    found = evaluation.score(stored(tmp_path, labelled=True), "classification")
    assert 0.75 == found.fidelity.top1_agreement
    assert found.accuracy is not None
    assert ("top1", 0.25) == (found.accuracy.metric, found.accuracy.drop)
    assert ["top1", "f1", "top1_agreement", "rank_agreement"] == [metric.name for metric in found.metrics]
    other = evaluation.score(stored(tmp_path / "other", labelled=True), "encoder")
    assert ((), None) == (other.metrics, other.accuracy)
    assert evaluation.score(stored(tmp_path / "more", labelled=False), "classification").accuracy is None


def test_a_missing_output_is_named(tmp_path: Path) -> None:
    """The artifact's outputs are found by name."""
    known = Reference(
        digest="d",
        origin="o",
        inputs=(),
        outputs=("y",),
        examples=1,
        labelled=False,
        answers=(ValueEntry(name="y", stacked="0.npy"),),
    )
    with pytest.raises(ValueError, match="no output `y`"):
        evaluation.stored(known, tmp_path, [ValueEntry(name="z", stacked="0.npy")], tmp_path)


def test_names_need_no_numpy() -> None:
    """The zoo's schema lists the tasks, and starts quickly."""
    code = "import sys; from harness import tasks; print(tasks.names(), 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "('classification', 'detection', 'encoder', 'regression', 'transcription') False" == done.stdout.strip()


def test_an_unknown_task_is_met_with_the_nearest() -> None:
    """As everywhere, a misspelt name gets a hint."""
    assert tasks.find(None) is None
    with pytest.raises(BuildError, match="did you mean 'detection'"):
        tasks.find("detektion")


@pytest.fixture
def regression(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A third task, added as one file."""
    (tmp_path / "deviation.py").write_text(REGRESSION)
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path)])
    yield "deviation"
    sys.modules.pop("harness.tasks.deviation", None)


def test_a_task_is_one_file(regression: str) -> None:
    """It is in the registry, in the zoo, and measured: its metric is beside fidelity, and not called accuracy."""
    from harness.zoo.schema import ModelEntry

    assert regression in tasks.names()
    assert regression == ModelEntry(source="onnx", id="m.onnx", task=regression).task
    labels = [0.0, 1.0, 2.0, 3.0]
    exact, off = [np.array([one]) for one in labels], [np.array([one + 0.5]) for one in labels]
    found = evaluation.score(evaluated(off, exact, labels), regression)
    (metric,) = found.metrics
    assert ("mae", "s", 0.5, 0.0, 0.5, 4) == (
        metric.name, metric.unit, metric.value, metric.reference, metric.drop, metric.n,
    )  # fmt: skip
    assert found.accuracy is None
    assert 0.5 == found.fidelity.max_abs


@pytest.mark.parametrize(
    ("worse", "verdict", "said"),
    [
        (1.0, Verdict.PASS, "mae as before: 0.2 s (40 examples, 95% interval -0.0722 to +0.0722; allowed 0.002)"),
        (1.5, Verdict.REGRESSION, "mae rose from 0.2 s to 0.3 s (40 examples, 95% interval "),
        (0.5, Verdict.IMPROVEMENT, "mae fell from 0.2 s to 0.1 s (40 examples; allowed 0.002)"),
    ],
)
def test_a_gate_pairs_the_examples_of_any_task(regression: str, worse: float, verdict: Verdict, said: str) -> None:
    """The task says how two answers to one example compare; a metric with a unit is judged as a share of base's."""
    labels = [float(one) for one in range(40)]
    errors = 0.2 + RNG.permutation(np.linspace(-0.1, 0.1, 40))
    reference = [np.array([one]) for one in labels]
    base = evaluated([np.array([one + e]) for one, e in zip(labels, errors, strict=True)], reference, labels)
    head = evaluated([np.array([one + worse * e]) for one, e in zip(labels, errors, strict=True)], reference, labels)
    task = tasks.find(regression)
    assert task is not None
    paired = task.paired(base, head)
    assert paired is not None
    found = quality.accuracy(pairs.contender("head"), paired, GateSettings())
    assert (verdict, "mae", "s") == (found.verdict, found.metric, found.unit)
    assert found.sentence.startswith(said)
    assert pytest.approx(0.2) == found.base
    assert pytest.approx(0.2 * worse) == found.head
