"""harness.tasks.detection: boxes from outputs, average precision as pycocotools has it, and what is refused."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from harness.data import shapes
from harness.tasks import boxes, detection, precision_recall
from harness.tasks.base import Evaluated
from harness.tasks.boxes import Found

pycocotools = pytest.importorskip("pycocotools", reason="average precision needs pycocotools, of the extra `zoo`")

PICTURES = 24
LABELS = [shapes.picture(64, 64, seed=0, split="evaluation", number=number)[1] for number in range(PICTURES)]


def predictions(label: Mapping[str, Any], noise: float, missed: float, generator: np.random.Generator) -> Any:
    """What a detector of three classes could answer: float32 [1, 7, 40], the true boxes moved by `noise` pixels."""
    found = np.zeros((1, 7, 40), np.float32)
    found[0, :2] = generator.uniform(0, 64, (2, 40))
    found[0, 2:4] = generator.uniform(8, 25, (2, 40))
    found[0, 4:] = generator.uniform(0, 0.3, (3, 40))
    for place, (corners, kind) in enumerate(zip(label["boxes"], label["classes"], strict=True)):
        if generator.random() >= missed:
            left, top, right, bottom = corners + generator.normal(0, noise, 4)
            found[0, :4, place] = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
            found[0, 4:, place] = 0.05
            found[0, 4 + kind, place] = generator.uniform(0.3, 1)
    return found


def answered(noise: float, missed: float, seed: int = 1) -> list[Any]:
    """Answers to every picture."""
    generator = np.random.default_rng(seed)
    return [predictions(label, noise, missed, generator) for label in LABELS]


def evaluated(outputs: Sequence[Any], reference: Sequence[Any], **more: Any) -> Evaluated:
    """Answers of one output."""
    return Evaluated(outputs={"output0": outputs}, reference={"output0": reference}, **{"labels": LABELS, **more})


def test_average_precision_is_that_of_pycocotools() -> None:
    """All sizes, with crowds, and the average of drawn pictures is the library's own where each is drawn once."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    generator = np.random.default_rng(5)
    labels = [{**label, "crowd": generator.random(len(label["classes"])) < 0.2} for label in LABELS]
    found = [boxes.found({"predictions": value}) for value in answered(1.5, 0.2)]
    ours = precision_recall.precision(found, labels)
    truth = COCO()
    truth.dataset = shapes.truth(LABELS, 64, 64)
    crowds = np.concatenate([label["crowd"] for label in labels])
    for annotation, crowd in zip(truth.dataset["annotations"], crowds, strict=True):
        annotation["iscrowd"] = int(crowd)
    detections = [
        {
            "image_id": number,
            "category_id": int(kind),
            "score": float(score),
            "bbox": [*map(float, corners[:2]), *map(float, corners[2:] - corners[:2])],
        }
        for number, one in enumerate(found, 1)
        for corners, score, kind in zip(one.boxes, one.scores, one.classes, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        judged = COCOeval(truth, truth.loadRes(detections), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    assert pytest.approx((judged.stats[0], judged.stats[1]), abs=1e-9) == (ours.map50_95, ours.map50)
    assert pytest.approx((ours.map50, ours.map50_95), abs=1e-12) == ours.of(np.arange(PICTURES))
    assert ours.of(np.arange(PICTURES)) == ours.of(np.repeat(np.arange(PICTURES), 3))
    assert 0.2 < ours.map50_95 < ours.map50 < 1


def test_a_worse_detector_has_an_interval_that_excludes_nothing_lost() -> None:
    """The drop is paired by picture; the same answers lose nothing, and the interval says how little that tells."""
    good, bad = answered(0.5, 0.0), answered(2.5, 0.4)
    worse = detection.TASK.measured(evaluated(bad, good))
    assert ["map50_95", "map50"] == [one.value.name for one in worse]
    for one in worse:
        found = one.value
        assert found.drop is not None and found.drop_low is not None and found.drop_high is not None  # noqa: PT018
        assert 0 < found.drop_low < found.drop < found.drop_high
        assert PICTURES == found.n
        assert one.postprocess_s is not None
    same = detection.TASK.measured(evaluated(good, good))[0].value
    assert (0.0, same.value) == (same.drop, same.reference)
    assert same.drop_low is not None
    assert same.drop_low < 0
    pair = detection.TASK.paired(evaluated(good, good), evaluated(bad, good))
    assert pair is not None
    assert pytest.approx(worse[0].value.value) == np.mean(pair.head)
    assert pytest.approx(same.value) == np.mean(pair.base)


def test_what_overlaps_is_one_thing_of_its_class() -> None:
    """Two boxes on one another: the better stays; another class's stays as well; either layout gives the same."""
    table = np.zeros((1, 6, 20), np.float32)
    table[0, :, 0] = [10, 10, 8, 8, 0.9, 0.0]
    table[0, :, 1] = [10.5, 10, 8, 8, 0.8, 0.0]
    table[0, :, 2] = [10, 10, 8, 8, 0.0, 0.7]
    found = boxes.found({"predictions": table})
    assert [0.9, 0.7] == pytest.approx(found.scores.tolist())
    assert [0, 1] == found.classes.tolist()
    assert [6, 6, 14, 14] == found.boxes[0].tolist()
    wide = np.zeros((1, 7, 20), np.float32)
    wide[0, :6] = table[0]
    turned = boxes.found({"predictions": wide.transpose(0, 2, 1)})
    assert found.boxes.tolist() == turned.boxes.tolist()
    final = np.array([[[6, 6, 14, 14, 0.9, 2]] + [[0, 0, 1, 1, 0.0, 0]] * 8], np.float32)
    alone = boxes.found({"predictions": final})
    assert ([[6, 6, 14, 14]], [2]) == (alone.boxes.tolist(), alone.classes.tolist())
    three = {"boxes": np.ones((2, 4)), "scores": np.array([0.1, 0.5]), "classes": np.array([1, 0])}
    assert [0, 1] == boxes.found(three).classes.tolist()


def test_nothing_found_and_not_a_number() -> None:
    """A detector that is silent has an average of 0 and says so; what is not finite is counted, and no detection."""
    good, silent = answered(0.5, 0.0), [np.zeros((1, 7, 40), np.float32)] * PICTURES
    none = detection.TASK.measured(evaluated(silent, good))[0].value
    assert 0 == none.value
    assert f"nothing was found in any of {PICTURES} pictures" in none.note
    broken = [value.copy() for value in good]
    broken[0][0, :, 3:5] = np.nan
    found = detection.TASK.measured(evaluated(broken, good))[0].value
    assert "2 detections are not finite numbers" in found.note
    assert np.isfinite(found.value)


def test_no_labels_and_other_labels_give_no_metric() -> None:
    """Fidelity alone then, whatever the outputs are."""
    given = evaluated([np.zeros(3)] * PICTURES, [np.zeros(3)] * PICTURES, labels=None)
    assert () == detection.TASK.measured(given)
    assert None is detection.TASK.paired(given, given)
    assert () == detection.TASK.measured(evaluated([np.zeros(3)], [np.zeros(3)], labels=[np.int64(3)]))


def test_outputs_called_otherwise_are_listed_and_can_be_named() -> None:
    """The message has the model's outputs, and how to name one."""
    shaped = {"a": (1, 7, 40), "b": (1, 7, 40)}
    with pytest.raises(
        ValueError, match=r"has `a` \[1, 7, 40\], `b` \[1, 7, 40\]. Name one .*`outputs: {predictions: N"
    ):
        boxes.layout(shaped, {})
    assert {"predictions": "b"} == boxes.layout(shaped, {"predictions": "b"})
    with pytest.raises(ValueError, match="no output `c`"):
        boxes.layout(shaped, {"predictions": "c"})
    named: dict[str, tuple[int, ...] | None] = {"boxes": (4, 4), "labels": (4,), "scores": (4,)}
    assert {"boxes": "boxes", "scores": "scores", "classes": "labels"} == boxes.layout(named, {})


def test_pictures_without_anything() -> None:
    """No thing in any picture is an error that says so; in one picture, a sure detection there is what is wrong."""
    nothing: dict[str, Any] = {"boxes": np.zeros((0, 4)), "classes": np.zeros(0, int)}
    silent = Found(boxes=np.zeros((0, 4)), scores=np.zeros(0), classes=np.zeros(0, int))
    with pytest.raises(ValueError, match="no picture of the evaluation data holds anything"):
        precision_recall.precision([silent], [nothing])
    loud = Found(boxes=np.ones((1, 4)), scores=np.ones(1), classes=np.zeros(1, int))
    something = {"boxes": np.array([[0, 0, 9, 9]]), "classes": np.array([0])}
    found = precision_recall.precision([silent, loud, silent], [nothing, nothing, something])
    assert (1.0, 0.0, 0.0) == found.each


def test_the_shipped_operator_is_what_onnx_writes() -> None:
    """suppression.onnx holds NonMaxSuppression, and nothing else."""
    inputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, "N", 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, "C", "N"]),
        helper.make_tensor_value_info("most", TensorProto.INT64, [1]),
        helper.make_tensor_value_info("overlap", TensorProto.FLOAT, [1]),
        helper.make_tensor_value_info("least", TensorProto.FLOAT, [1]),
    ]
    outputs = [helper.make_tensor_value_info("chosen", TensorProto.INT64, ["M", 3])]
    names = [one.name for one in inputs]
    node = helper.make_node("NonMaxSuppression", names, ["chosen"], center_point_box=0)
    shipped = onnx.load(boxes.SUPPRESSION)
    assert helper.make_graph([node], "non_maximum_suppression", inputs, outputs) == shipped.graph
