"""harness.tasks: graded sentence pairs, text that is read, the best five, a function of the user's own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from harness import processes, tasks
from harness.errors import TaskError
from harness.stats import resampled
from harness.stats.rank_correlation import spearman
from harness.tasks import classification, encoder, evaluation, transcription
from harness.tasks.base import Evaluated, Task

RNG = np.random.default_rng(3)


def given(outputs: Sequence[Any], reference: Sequence[Any], labels: Sequence[Any] | None, **roles: str) -> Evaluated:
    """Answers of one output called `y`."""
    return Evaluated(outputs={"y": outputs}, reference={"y": reference}, labels=labels, roles=roles)


def test_spearman_is_that_of_scipy() -> None:
    """With ties as well; a list that does not vary has none."""
    one, other = RNG.integers(0, 6, 40), RNG.integers(0, 6, 40)
    assert pytest.approx(scipy.stats.spearmanr(one, other).statistic, abs=1e-12) == spearman(one, other)
    assert np.isnan(spearman([1, 1, 1], [1, 2, 3]))


def sentences(pairs: int, noise: float) -> tuple[list[Any], list[dict[str, Any]]]:
    """Token outputs of pairs whose vectors are as alike as their grades, and their labels."""
    values, labels = [], []
    for number in range(pairs):
        angle = np.pi / 2 * (1 - number / pairs)
        for way in (0.0, angle):
            value = np.zeros((1, 5, 4))
            value[0, :3] = [np.cos(way), np.sin(way), 0, 0]
            value[0, :3] += noise * RNG.normal(size=4)
            value[0, 3:] = 9.0  # what padding leaves there
            values.append(value)
            labels.append({"pair": np.int64(number), "score": np.float64(5 * number / pairs), "tokens": np.int64(3)})
    return values, labels


def test_pairs_are_as_alike_as_their_grades() -> None:
    """Padding is left out of the mean; noise costs correlation; every pair is two examples."""
    clear, labels = sentences(20, 0.0)
    noisy, _ = sentences(20, 0.5)
    graded, order = encoder.TASK.measured(given(noisy, clear, labels))
    assert ("spearman", 1.0, 20) == (graded.value.name, graded.value.reference, graded.value.n)
    assert graded.value.drop is not None and graded.value.drop_low is not None  # noqa: PT018
    assert graded.value.drop > graded.value.drop_low > 0
    assert ((0, 1), (2, 3)) == graded.examples[:2]
    assert pytest.approx(graded.value.value) == order.value.value
    assert "order_agreement" == order.value.name
    pair = encoder.TASK.paired(given(clear, clear, labels), given(noisy, clear, labels))
    assert pair is not None
    assert pytest.approx((1.0, graded.value.value)) == (np.mean(pair.base), np.mean(pair.head))
    truth, _, answer = encoder.TASK.answers(given(noisy, clear, labels), (0, 1))
    assert {"grade": 0.0} == truth
    assert isinstance(answer, dict)
    assert ["similarity"] == list(answer)


def test_embeddings_that_do_not_vary_have_no_order() -> None:
    """A build that answers the same for everything is worst, not broken."""
    clear, labels = sentences(6, 0.0)
    (flat,) = encoder.TASK.measured(given([np.ones((1, 4))] * 12, clear, labels))
    assert (0.0, 1.0, 1.0) == (flat.value.value, flat.value.reference, flat.value.drop)
    assert "do not vary" in flat.value.note


def test_labels_without_pairs_and_outputs_that_are_not_plain() -> None:
    """Neither is guessed."""
    clear, labels = sentences(6, 0.0)
    assert () == encoder.TASK.measured(given(clear, clear, None))
    assert () == encoder.TASK.measured(given(clear, clear, [np.int64(1)] * 12))
    two = Evaluated(outputs={"a": clear, "b": clear}, reference={"a": clear, "b": clear}, labels=labels)
    with pytest.raises(ValueError, match=r"has `a` \[1, 5, 4\], `b` .*`outputs: {embedding: NAME}`"):
        encoder.TASK.measured(two)
    with pytest.raises(ValueError, match="no output `z`"):
        encoder.TASK.measured(given(clear, clear, labels, embedding="z"))
    with pytest.raises(ValueError, match="not finite"):
        encoder.TASK.measured(given([np.full((1, 4), np.nan)] * 12, clear, labels))


def test_characters_that_are_wrong() -> None:
    """One of eleven characters; exact matches beside it; less is better."""
    labels = ["hello", "worlds"]
    exact, rate = transcription.TASK.measured(
        given([np.array(["hellp"]), np.array(["worlds"])], [np.array(["hello"]), np.array(["worlds"])], labels)
    )
    assert (0.5, 1.0) == (exact.value.value, exact.value.reference)
    assert ("cer", "lower", 0.0) == (rate.value.name, rate.value.direction, rate.value.reference)
    assert pytest.approx(1 / 11) == rate.value.value
    assert pytest.approx(1 / 11) == rate.value.drop
    assert (3, 0, 4) == tuple(transcription.distance(*two) for two in (("kitten", "sitting"), ("a", "a"), ("", "four")))


def test_an_error_is_never_called_accuracy() -> None:
    """A share of wrong characters falls where it gets better: budgets of accuracy are about the other direction."""
    exact, rate = transcription.TASK.measured(given([np.array(["ab"])] * 3, [np.array(["ab"])] * 3, ["ab", "ab", "ac"]))
    assert None is evaluation.accuracy([rate.value])
    found = evaluation.accuracy([rate.value, exact.value])
    assert found is not None
    assert ("exact_match", 0.0) == (found.metric, found.drop)


def test_scores_of_characters_are_joined_as_ctc_does() -> None:
    """Repeated characters are one, number 0 is none; numbers need an alphabet."""
    steps = np.eye(4)[[1, 1, 0, 1, 2, 3, 3]][None]
    label = {"text": np.array("aabc"), "alphabet": np.array("abc")}
    assert (1.0, 0.0) == tuple(one.value.value for one in transcription.TASK.measured(given([steps], [steps], [label])))
    with pytest.raises(ValueError, match="name no `alphabet`"):
        transcription.TASK.measured(given([steps], [steps], ["aabc"]))
    with pytest.raises(ValueError, match="4 scores for each step, the alphabet 2 characters"):
        transcription.read(steps, "ab", "y")


def test_the_best_five_of_many_classes() -> None:
    """The label is third of eight; equal scores do not help."""
    scores = np.array([[0.0, 5, 4, 3, 2, 1, 0, 0], [7.0, 6, 5, 4, 3, 2, 1, 0]])
    assert (True, False) == classification.among_first(list(scores), [3, 7])
    names = [one.value.name for one in classification.TASK.measured(given(list(scores), list(scores), [3, 7]))]
    assert ["top1", "top5", "f1"] == names[:3]


OWN = """
import os, sys, time
def gap(outputs, label):
    print("not an answer")
    return abs(float(outputs["y"][0]) - float(label))
gap.direction, gap.unit = "lower", "m"
def unlike(outputs, label):
    what = int(label)
    if what == 1: return 1 / 0
    if what == 2: return float("nan")
    if what == 3: sys.exit(0)
    if what == 4: os._exit(0)
    if what == 5: time.sleep(600)
    return 0
def sideways(outputs, label):
    return 0
sideways.direction = "left"
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Task]:
    """The task of a function of the user's own."""
    (tmp_path / "own_metric_of_a_test.py").write_text(OWN)

    def found(name: str) -> Task:
        task = tasks.find(f"own_metric_of_a_test:{name}")
        assert task is not None
        return task

    monkeypatch.chdir(tmp_path)
    return found


def test_a_function_of_the_user_s_own(own: Callable[[str], Task]) -> None:
    """Its mean is the metric; what it prints is not read as an answer, and nothing of it is imported here."""
    answers = given([np.array([2.0]), np.array([4.0])], [np.array([1.0]), np.array([3.0])], [1.0, 3.0])
    (found,) = own("gap").measured(answers)
    assert ("gap", "lower", "m", 1.0, 0.0, 1.0) == (
        found.value.name, found.value.direction, found.value.unit, found.value.value, found.value.reference,
        found.value.drop,
    )  # fmt: skip
    pair = own("gap").paired(answers, answers)
    assert pair is not None
    assert ((1.0, 1.0), (1.0, 1.0), "lower") == (pair.base, pair.head, pair.direction)
    assert "own_metric_of_a_test" not in sys.modules


@pytest.mark.parametrize(
    ("name", "label", "said"),
    [
        ("unlike", 1, "failed on example 1: ZeroDivisionError: division by zero"),
        ("unlike", 2, "gives nan for example 1: expected a finite number"),
        ("unlike", 3, "failed on example 1: SystemExit: 0"),
        ("unlike", 4, "its process ended with exit code 0 while it was at example 1"),
        ("unlike", 5, "its process was ended after 3 s without a word"),
        ("sideways", 0, "direction 'left'; valid: higher, lower"),
        ("gab", 0, "no callable `gab`; did you mean `gap`"),
    ],
)
def test_whatever_a_function_of_the_user_s_own_does(
    own: Callable[[str], Task], monkeypatch: pytest.MonkeyPatch, name: str, label: float, said: str
) -> None:
    """It is that case's failure, with the example's place; this process goes on."""
    if "without a word" in said:
        monkeypatch.setenv(processes.STEP_DEADLINE, "3s")
    value = [np.array([0.0])] * 2
    with pytest.raises(TaskError, match=said):
        own(name).measured(given(value, value, [0, label]))


def test_intervals_of_a_statistic_that_is_not_a_mean() -> None:
    """The median of normal numbers; the jackknife's values have the statistic for their mean."""
    values = RNG.normal(10, 1, 200)
    found = resampled.difference(
        lambda drawn: (float(np.median(values[drawn])), 10.0), 200, differing=200, resamples=200
    )
    assert found.low is not None
    assert found.high is not None
    assert 9.5 < found.low < found.value < found.high < 10.5
    assert pytest.approx(values.var()) == np.mean(resampled.influence(lambda drawn: float(values[drawn].var()), 200))
    with pytest.raises(ValueError, match="no examples"):
        resampled.difference(lambda _: (0.0, 0.0), 0, differing=0)
    with pytest.raises(ValueError, match="not a number"):
        resampled.difference(lambda _: (float("nan"), 0.0), 3, differing=0)
