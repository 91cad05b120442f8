"""Results per example: kept beside the runs, listed, shown on a case's page; and budgets of single metrics."""

from __future__ import annotations

import base64
import csv
import io
import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import budget
from harness.errors import StoreError
from harness.gate.checks import quality
from harness.gate.model import GateSettings
from harness.records import Budget, Evaluation, ExampleAnswer, ExampleScores, MetricLimit, wire
from harness.report.pages import examples as pages
from harness.store import examples
from harness.store.journal import Journal
from harness.store.rows import to_row
from harness.tasks import by_example, classification, evaluation
from harness.tasks.base import Evaluated, Paired
from harness.tasks.png import encoded, picture
from tests import outcomes
from tests.conftest import Project

KEY = "ab" * 32
PNG = encoded(np.zeros((10, 20, 3), np.uint8))
EVALUATION = Evaluation(
    fidelity=None,
    accuracy=None,
    key=KEY,
    each=(
        ExampleScores(
            metric="map50",
            unit="fraction",
            direction="higher",
            values=(0.5, 1.0, 0.25, 1.0),
            reference=(1.0, 1.0, 0.5, 0.75),
            examples=((0,), (1,), (2,), (3,)),
        ),
        ExampleScores(
            metric="cer",
            unit="fraction",
            direction="lower",
            values=(0.0, 0.3, 0.0, 0.0),
            reference=(0.0, 0.1, 0.0, 0.0),
            examples=((0,), (1,), (2,), (3,)),
        ),
    ),
    answers=(
        ExampleAnswer(
            examples=(0,),
            truth={"boxes": [[0, 0, 10, 5]], "classes": [1]},
            reference={"boxes": [], "classes": [], "scores": []},
            answer={"boxes": [[2, 2, 4, 4]], "classes": [0], "scores": [0.5]},
            pictures=(base64.b64encode(PNG).decode(),),
            shrunk=2,
        ),
    ),
)


@pytest.fixture
def kept(tmp_path: Path) -> Project:
    """A project with one measured case that has results per example."""
    project = Project(tmp_path)
    with Journal.open(tmp_path / "results", outcomes.run(), resume=False) as journal:
        journal.append(outcomes.measured(evaluation=EVALUATION))
        journal.append(outcomes.measured(outcomes.case(variant="old"), evaluation=replace(EVALUATION, key="", each=())))
        journal.finish()
    return project


CASE = "digits_cnn/fp32/cpu-t1-b1"


def test_what_is_kept_is_read_again(kept: Project) -> None:
    """Every metric of every example with its drop, and what was said where it is kept; written once."""
    found = examples.read(kept.root / "results", KEY)
    assert 8 == len(found)
    assert (0.5, {"boxes": [[0, 0, 10, 5]], "classes": [1]}, (PNG,), 2) == (
        found[0].drop, found[0].truth, found[0].pictures, found[0].shrunk,
    )  # fmt: skip
    assert pytest.approx(0.2) == found[5].drop
    file = kept.root / f"results/examples/{KEY}.parquet"
    before = file.stat().st_mtime_ns
    examples.write(kept.root / "results", EVALUATION)
    assert before == file.stat().st_mtime_ns
    file.write_bytes(b"PAR1 and no more")
    with pytest.raises(StoreError, match="is damaged"):
        examples.read(kept.root / "results", KEY)
    for key, said in (("cd" * 32, "is missing"), ("../../secret", "not a digest")):
        with pytest.raises(StoreError, match=said):
            examples.read(kept.root / "results", key)


def test_the_worst_come_first(kept: Project) -> None:
    """By the first metric, or by the one that is named, in any format; what did not change is left out."""
    said = kept.run("examples", CASE)
    assert "by map50, 2 of 4 examples are worse than the reference's and 1 better" in said
    assert ["0", "2", "3"] == [line.split()[0] for line in said.splitlines() if line.strip()[:1].isdigit()]
    assert "1 boxes: 0" in said
    found = json.loads(kept.run("examples", CASE, "--metric", "cer", "--json"))
    assert ("cer", 1, [1]) == (found["metric"], found["worse"], found["examples"][0]["examples"])
    lines = list(csv.DictReader(io.StringIO(kept.run("examples", "digits_cnn/fp32", "--all", "--format", "csv"))))
    assert ["[0]", "[2]", "[1]", "[3]"] == [line["examples"] for line in lines]
    assert "| 0 | +0.5 |" in kept.run("examples", CASE, "--limit", "1", "--format", "markdown")
    assert "and 2 more" in kept.run("examples", CASE, "--limit", "1")


def test_results_per_example_come_along_with_a_run(kept: Project, tmp_path: Path) -> None:
    """`harness import` takes them over where it takes the run."""
    kept.run("import", "results", "--results", "elsewhere")
    assert "by map50, 2 of 4 examples" in kept.run("examples", CASE, "--results", "elsewhere")
    kept.run("import", "results", "--results", "elsewhere")
    assert [f"{KEY}.parquet"] == [file.name for file in (tmp_path / "elsewhere/examples").iterdir()]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("digits_cnn/fp31/cpu-t1-b1",), "nothing is stored of it; did you mean"),
        (("digits_cnn/old",), "has no results per example"),
        ((CASE, "--metric", "top1"), "has results per example of map50, cer"),
        ((CASE, "--target", "cuda"), "nothing is stored of it"),
    ],
)
def test_what_cannot_be_listed(kept: Project, words: tuple[str, ...], said: str) -> None:
    """Each says what there is instead."""
    assert said in kept.error("examples", *words)


def test_a_page_shows_boxes_on_the_picture(kept: Project) -> None:
    """In shares of the input, of which every second pixel is shown; nothing where nothing is kept."""
    found = pages.of(kept.root / "results", {"evaluation": KEY, "case": CASE})
    assert found is not None
    worst = found.shown[0]
    assert worst.picture.startswith("data:image/png;base64,")
    assert ["truth", "reference", "build"] == [one.who for one in worst.answers]
    assert ((0.0, 0.0, 25.0, 25.0, "1"),) == worst.answers[0].boxes
    assert ((5.0, 10.0, 5.0, 10.0, "0 0.50"),) == worst.answers[2].boxes
    assert None is pages.of(kept.root / "results", {"evaluation": None, "case": CASE})
    assert None is pages.of(kept.root / "results", {"evaluation": "cd" * 32, "case": CASE})


def test_examples_without_labels_are_compared_by_fidelity() -> None:
    """In decibels, one for each example; what is the reference's own has not changed."""
    reference = [np.array([[float(number)]]) for number in range(5)]
    outputs = [*reference[:4], np.array([[9.0]])]
    given = Evaluated(outputs={"y": outputs}, reference={"y": reference})
    (found,) = by_example.scores(given, ())
    assert ("fidelity", "dB") == (found.metric, found.unit)
    assert [4] == by_example.changed(found)


def test_answers_and_pictures_of_what_changed() -> None:
    """The class that is true, the reference's and the build's, and the picture; only of examples that changed."""
    reference = [np.eye(8)[[number]] for number in range(6)]
    outputs = [*reference[:5], np.eye(8)[[0]]]
    given = Evaluated(outputs={"y": outputs}, reference={"y": reference}, labels=list(range(6)))
    each = by_example.scores(given, classification.TASK.measured(given))
    feeds = {"x": [np.full((1, 1, 8, 8), float(number)) for number in range(6)]}
    (answer,) = by_example.answers(given, classification.TASK, each, feeds)
    assert ((5,), ["5"], ["5"], ["0"]) == (answer.examples, answer.truth, answer.reference, answer.answer)
    assert base64.b64decode(answer.pictures[0]).startswith(b"\x89PNG")


def test_outputs_that_a_task_cannot_read_are_still_compared() -> None:
    """Without labels a detector's outputs may be anything: what changed is listed, and nothing is said of boxes."""
    reference = [np.array([[float(number)]]) for number in range(4)]
    given = Evaluated(outputs={"y": [one + 1 for one in reference]}, reference={"y": reference})
    scores = evaluation.score(given, "detection")
    assert ("fidelity", 4) == (scores.each[0].metric, len(scores.answers))
    assert [None] * 4 == [one.answer for one in scores.answers]


def test_pictures_are_png() -> None:
    """The least value black, the largest white; anything else gives none."""
    found = picture(np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4))
    assert found is not None
    assert (4, 4) == struct.unpack(">II", found[16:24])
    start = found.index(b"IDAT") + 4
    rows = zlib.decompressobj().decompress(found[start:])
    assert (0, 255) == (rows[1], rows[-1])
    assert (160, 160) == struct.unpack(">II", (picture(np.zeros((1, 3, 640, 640), np.uint8)) or b"")[16:24])
    for odd in (
        np.zeros((1, 2, 8, 8)),
        np.zeros((8, 8)),
        np.full((1, 1, 8, 8), np.nan),
        "text",
        np.zeros((1, 3, 2, 9)),
    ):
        assert None is picture(odd)


def metric(name: str, drop: float, half: float, **more: Any) -> dict[str, Any]:
    """A stored metric whose reference is 0.8 and whose drop has this interval."""
    base = {"name": name, "unit": "fraction", "direction": "higher", "reference": 0.8, "n": 50}
    return {**base, "drop": drop, "drop_low": drop - half, "drop_high": drop + half, **more}


@pytest.mark.parametrize(
    ("limit", "found", "verdict", "said"),
    [
        ({"drop": 0.01}, metric("map50", 0.0, 0.005), budget.INSIDE, ""),
        ({"drop": 0.01}, metric("map50", 0.05, 0.01), budget.OUTSIDE, "map50 is worse by 5.00%, budget 1.00%"),
        ({"drop": 0.01}, metric("map50", 0.0, 0.02), budget.CANNOT_TELL, "50 examples cannot tell: map50"),
        ({"share": 0.95}, metric("map50", 0.03, 0.005), budget.INSIDE, ""),
        ({"share": 0.95}, metric("map50", 0.06, 0.01), budget.OUTSIDE, "budget 95.00% of the reference's"),
        ({"share": 0.5}, metric("map50", 0.5, 0.0, direction="lower"), budget.INSIDE, ""),
        ({"share": 0.99}, metric("map50", 0.5, 0.1, direction="lower"), budget.OUTSIDE, "worse by 50.00%"),
        ({"drop": 0.01}, metric("other", 0.0, 0.0), budget.UNKNOWN, "the evaluation gave no such metric"),
    ],
)
def test_a_limit_of_one_metric(limit: dict[str, float], found: dict[str, Any], verdict: str, said: str) -> None:
    """Inside, outside, or left open by so few examples; a metric that is missing is not inside."""
    row = {"metrics": [found], "metric_budgets": {"map50": limit}, "budget": {}, "latency": {"median_s": 1.0}}
    judged = budget.judged(row)
    assert verdict == judged.verdict
    assert said in judged.phrase
    assert {budget.INSIDE: "", budget.UNKNOWN: None}.get(verdict, budget.excess(row)) == budget.excess(row)
    assert (verdict in (budget.OUTSIDE, budget.UNKNOWN)) == bool(budget.exceeded(row))


def test_limits_travel_with_the_case() -> None:
    """To the worker's process and back, into the row, and to the gate."""
    of = outcomes.case()
    limited = replace(of, model=replace(of.model, budget=Budget(metrics={"map50": MetricLimit(share=0.95)})))
    assert limited.model.budget == wire.case_from_json(json.loads(json.dumps(wire.case_to_json(limited)))).model.budget
    row = to_row(outcomes.run(), outcomes.measured(limited))
    assert {"map50": {"drop": None, "share": 0.95}} == row["metric_budgets"]
    assert "metrics" not in row["budget"]
    paired = Paired(metric="map50", unit="fraction", direction="higher", base=(1.0, 1.0), head=(1.0, 0.9))
    margin = quality.accuracy_margin(limited.model.budget, paired, GateSettings())
    assert pytest.approx(0.04) == margin.allowed(0.8)
