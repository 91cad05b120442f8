"""harness.tasks.regression and the data source `tables`: numbers whose answers are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from harness.data import base as data
from harness.data import tables
from harness.errors import BuildError
from harness.records import InputSpec
from harness.tasks import evaluation, regression
from harness.tasks.base import Evaluated

LABELS = [1.0, 2.0, 3.0, 6.0]


def answers(outputs: list[float], reference: list[float], labels: Any = LABELS) -> Evaluated:
    """Predictions of one number each, beside a label that is in another output."""

    def columns(values: list[float]) -> dict[str, Any]:
        label = [np.array([0], np.int64) for _ in values]
        return {"label": label, "prediction": [np.array([[value]], np.float32) for value in values]}

    return Evaluated(outputs=columns(outputs), reference=columns(reference), labels=labels)


def test_r2_and_rmse_of_known_predictions() -> None:
    """Labels 1, 2, 3, 6 spread by 14 about 3; errors 1, 0, 0, 1 leave 1 - 2/14 of it."""
    given = answers([2.0, 2.0, 3.0, 5.0], LABELS)
    r2, rmse = (one.value for one in regression.TASK.measured(given))
    assert ("r2", "fraction", "higher") == (r2.name, r2.unit, r2.direction)
    assert math.isclose(1 - 2 / 14, r2.value)
    assert (1.0, 4) == (r2.reference, r2.n)
    assert math.isclose(2 / 14, r2.drop or 0)
    assert (r2.drop_low or 0) < 2 / 14 < (r2.drop_high or 0)
    assert math.isclose(math.sqrt(0.5), rmse.value)
    assert (0.0, "lower") == (rmse.reference, rmse.direction)
    found = evaluation.score(given, "regression").accuracy
    assert found is not None
    assert ("r2", r2.value) == (found.metric, found.value)


def test_the_mean_label_explains_nothing_and_the_gate_sees_each_example() -> None:
    """R2 is zero for it, below zero for worse; pairs differ where an example's error does."""
    (r2, _) = regression.TASK.measured(answers([3.0] * 4, LABELS))
    assert math.isclose(0.0, r2.value.value, abs_tol=1e-12)
    (worse, _) = regression.TASK.measured(answers([9.0] * 4, LABELS))
    assert worse.value.value < -1
    paired = regression.TASK.paired(answers(LABELS, LABELS), answers([1.0, 2.0, 4.0, 6.0], LABELS))
    assert paired is not None
    assert [0.0, 0.0, 1 / 3.5, 0.0] == [base - head for base, head in zip(paired.base, paired.head, strict=True)]
    assert None is regression.TASK.paired(answers(LABELS, LABELS, None), answers(LABELS, LABELS, None))
    assert () == regression.TASK.measured(answers(LABELS, LABELS, None))


@pytest.mark.parametrize(
    ("outputs", "labels", "words"),
    [
        (LABELS, [1.0, 2.0], "4 predictions for 2 labels"),
        (LABELS, [2.0] * 4, "all labels are equal"),
        (LABELS, ["a", "b", "c", "d"], "needs labels that are numbers"),
        ([1.0, 2.0, 3.0, math.nan], LABELS, "not finite"),
    ],
)
def test_what_is_no_regression_is_said(outputs: list[float], labels: Any, words: str) -> None:
    """Instead of a number that means nothing."""
    with pytest.raises(ValueError, match=words):
        regression.TASK.measured(answers(outputs, LABELS, labels))


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_label_that_nothing_can_agree_with_is_named(task: str, bad: float) -> None:
    """Else it is a wrong answer of every artifact, or makes all labels "equal"."""
    given = answers(LABELS, LABELS, [1.0, 2.0, bad, 4.0])
    with pytest.raises(ValueError, match="the label of example 3 of 4 holds NaN or infinity"):
        evaluation.score(given, task)
    assert not evaluation.score(given, None).metrics


def asked(table: str, columns: int, calibration: int = 4, evaluation_count: int = 6) -> data.DataRequest:
    """Rows of a table."""
    return data.DataRequest(
        source="tables",
        counts={"calibration": calibration, "evaluation": evaluation_count},
        model_source="sklearn",
        task=None,
        inputs=(InputSpec(name="rows", dtype="float32", shape=("batch", columns)),),
        options={"table": table},
    )


def test_tables_are_split_once() -> None:
    """The splits share no row, whatever their counts, and classes and numbers are the tables' own."""
    pytest.importorskip("sklearn")
    whole, labels = tables.rows("iris")
    assert ((150, 4), {0, 1, 2}) == (whole.shape, set(labels.tolist()))
    parts = {
        split: [
            (tuple(one.feed["rows"][0].tolist()), int(one.label))
            for one in data.stream(asked("iris", 4, 75, 75), split)
        ]
        for split in ("calibration", "evaluation")
    }
    rows = [(tuple(row), int(label)) for row, label in zip(whole.astype("f4").tolist(), labels, strict=True)]
    assert rows == parts["calibration"] + parts["evaluation"]
    assert parts["evaluation"][-6:] == [
        (tuple(one.feed["rows"][0].tolist()), int(one.label)) for one in data.stream(asked("iris", 4), "evaluation")
    ]
    with pytest.raises(BuildError, match="iris has 150 rows and 151 are asked for"):
        list(data.stream(asked("iris", 4, 100, 51), "calibration"))
    with pytest.raises(BuildError, match=r"fills one input of shape \[batch, 4\]"):
        list(data.stream(asked("iris", 5), "calibration"))
    with pytest.raises(BuildError, match="no table 'irises'"):
        list(data.stream(asked("irises", 4), "calibration"))
