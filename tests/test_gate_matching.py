"""harness.gate.sides.matching: what belongs together, what cannot be compared, and what cannot differ."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.build import inventory
from harness.build.cache import Cache
from harness.gate.model import Contender, Side
from harness.gate.sides import matching
from harness.gate.sides.matching import match
from harness.records import Artifact, Case, Refusal, Status, Target, ValueEntry
from tests import outcomes

FILES = {"feeds/0.npy": "feeds", "labels/0.npy": "labels", "outputs/0.npy": "outputs"}
"""What the reference's arrays hold: one example of text each."""


def npy(text: str, *shape: int) -> bytes:
    """A .npy file that holds one text, in an array of this shape (one example where none is given)."""
    file = io.BytesIO()
    np.save(file, np.full(shape or (1, 1), text))
    return file.getvalue()


def side(role: str, **changes: Any) -> Side:
    """A side on one runtime."""
    known = Side(
        role=role,
        asked={"base": "main", "head": "working tree"}[role],
        kind="commit",
        zoo=Path("model_zoo.yaml"),
        python="python",
        worker=("python", "worker.py"),
        runtime={"name": "onnxruntime", "version": "1.2.3", "package": "onnxruntime-gpu", "digest": "r"},
    )
    return dataclasses.replace(known, **changes)


def contender(
    role: str,
    cache: Path,
    *,
    of: Case | None = None,
    model: bytes = b"model",
    files: dict[str, str] | None = None,
    artifact: dict[str, Any] | None = None,
    stored: dict[str, Any] | None = None,
    **changes: Any,
) -> Contender:
    """A contender whose artifact and reference lie in a cache of its own, holding these values."""
    one = of or outcomes.case()
    built = outcomes.artifact(one, **(artifact or {}))
    entries: dict[str, Any] = {
        "feeds": (ValueEntry(name="x", stacked="feeds/0.npy"),),
        "answers": (ValueEntry(name="y", stacked="outputs/0.npy"),),
        "labels": (ValueEntry(name="", stacked="labels/0.npy"),),
        "examples": 1,
    }
    built = dataclasses.replace(built, reference=dataclasses.replace(built.reference, **(stored or entries)))
    store = Cache(cache / role)
    for kind, digest, content in (
        ("artifacts", built.digest, {"model.onnx": model}),
        ("references", built.reference.digest, {name: npy(text) for name, text in (FILES | (files or {})).items()}),
    ):
        with store.workdir() as folder:
            for name, data in content.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
            store.admit(kind, digest, folder, {})
    return Contender(side=side(role, **changes), case=one, built=built, cache=store.root)


def test_the_same_file_on_the_same_runtime_cannot_differ(tmp_path: Path) -> None:
    """Two caches may hold one file: what counts is its content."""
    (found,) = match([contender("base", tmp_path)], [contender("head", tmp_path)])
    assert ("digits_cnn/fp32/cpu-t1-b1", ()) == (found.name, found.differs)
    assert "the same onnxruntime-gpu 1.2.3 and the same target" in found.same


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"device": "gpu"}, "device: base , head gpu"),
        ({"scenario": "multi2"}, "scenario: base single-stream, head multi2"),
    ],
)
def test_another_device_or_scenario_cannot_be_compared(tmp_path: Path, changes: dict[str, str], says: str) -> None:
    """Their latencies are not of the same thing."""
    kind = "case" if "scenario" in changes else "commit"
    head = contender("head", tmp_path, of=outcomes.case(**changes), kind=kind)
    (found,) = match([contender("base", tmp_path, kind=kind)], [head])
    assert says in " ".join(found.differs)


def test_a_plugin_is_what_gets_measured(tmp_path: Path) -> None:
    """Another build of the same provider is a change like any other."""
    of = outcomes.case(plugin="onnxruntime-ep-openvino", device="cpu")
    base = contender("base", tmp_path, of=outcomes.case(device="cpu"))
    (found,) = match([base], [contender("head", tmp_path, of=of)])
    assert ("plugin: base , head onnxruntime-ep-openvino",) == found.notes


def test_a_runtime_that_the_target_names_is_one_for_both_sides(tmp_path: Path) -> None:
    """Whatever the sides themselves run on; where the targets name two, that is what gets measured."""
    of = outcomes.case(runtime="onnxruntime==1.23.0")
    other: dict[str, Any] = {"worker": ("other", "worker.py"), "runtime": {"name": "onnxruntime", "digest": "s"}}
    (found,) = match([contender("base", tmp_path, of=of)], [contender("head", tmp_path, of=of, **other)])
    assert "on the same onnxruntime==1.23.0 and the same target" in found.same
    (apart,) = match([contender("base", tmp_path)], [contender("head", tmp_path, of=of)])
    assert "" == apart.same
    assert ("runtime of the target: base onnxruntime, head onnxruntime==1.23.0",) == apart.notes


def test_a_contender_runs_on_what_its_target_names(tmp_path: Path) -> None:
    """Else on the worker of its side."""
    plain = contender("base", tmp_path)
    assert plain.side.worker == plain.worker
    assert ("python", "w.py") == dataclasses.replace(plain, own_worker=("python", "w.py")).worker


@pytest.mark.parametrize(
    "changes",
    [
        {"model": b"another"},
        {"worker": ("other", "worker.py"), "runtime": {"name": "onnxruntime", "version": "1.2.3", "digest": "s"}},
        {"worker": ("other", "worker.py"), "runtime": {"name": "onnxruntime", "version": "1.2.3"}},
        {"of": outcomes.case(session_config={"session.intra_op.allow_spinning": "0"})},
    ],
)
def test_what_can_differ_is_measured(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Another file, another build of the same version, one that is not known, another session."""
    (found,) = match([contender("base", tmp_path)], [contender("head", tmp_path, **changes)])
    assert ((), "") == (found.differs, found.same)


def test_one_digest_of_two_files_is_two_files(tmp_path: Path) -> None:
    """An artifact's digest is of what went in; code that it does not cover may have made another file of it."""
    base, head = contender("base", tmp_path), contender("head", tmp_path, model=b"another")
    assert isinstance(base.built, Artifact)
    assert isinstance(head.built, Artifact)
    assert base.built.digest == head.built.digest
    assert "" == match([base], [head])[0].same


def test_an_artifact_that_left_the_cache_is_not_the_same(tmp_path: Path) -> None:
    """Where nobody can look, nobody claims."""
    base, head = contender("base", tmp_path), contender("head", tmp_path)
    inventory.prune(Cache(head.cache), kind="artifacts")
    assert "" == match([base], [head])[0].same


def test_what_inputs_are_timed_is_noted_where_the_zoos_differ(tmp_path: Path) -> None:
    """It makes neither two things of one nor one of two."""
    case = outcomes.case()
    fixed = dataclasses.replace(case, model=dataclasses.replace(case.model, timed_inputs="fixed"))
    (found,) = match([contender("base", tmp_path, of=fixed)], [contender("head", tmp_path)])
    assert found.same
    assert ("timed_inputs: base fixed, head rotate: both are timed as the head asks",) == found.notes
    (found,) = match([contender("base", tmp_path, of=fixed)], [contender("head", tmp_path, of=fixed)])
    assert () == found.notes


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"files": {"feeds/0.npy": "other"}}, "data: base 1 examples of digits ("),
        ({"files": {"labels/0.npy": "other"}}, "data: base 1 examples of digits ("),
        (
            {"of": outcomes.case(provider="CUDAExecutionProvider")},
            "provider: base CPUExecutionProvider, head CUDAExecutionProvider",
        ),
        ({"runtime": {"name": "torch"}}, "runtime: base onnxruntime, head torch"),
    ],
)
def test_what_makes_two_not_comparable_is_named(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    """The field and both values; nothing is said to be the same then."""
    head = contender("head", tmp_path, **changes)
    base = contender("base", tmp_path)
    (found,) = match([base], [head])
    assert 1 == len(found.differs)
    assert expected in found.differs[0]
    assert "" == found.same


def test_other_outputs_of_the_reference_are_no_other_data(tmp_path: Path) -> None:
    """A new framework computes its own reference on the same examples: the numbers can be compared."""
    head = contender("head", tmp_path, files={"outputs/0.npy": "other"})
    assert () == match([contender("base", tmp_path)], [head])[0].differs


def test_data_that_lie_in_other_files_are_the_same(tmp_path: Path) -> None:
    """Earlier versions had the examples on axis 0 in place of the batch axis: the arrays are what counts."""
    earlier = {
        "feeds": (ValueEntry(name="x", concatenated="feeds/0.npy"),),
        "labels": (ValueEntry(name="", stacked="labels/0.npy"),),
        "examples": 1,
    }
    now = {**earlier, "feeds": (ValueEntry(name="x", files=("feeds/0.npy",)),)}
    base, head = contender("base", tmp_path, stored=earlier), contender("head", tmp_path, stored=now)
    assert () == match([base], [head])[0].differs


def test_other_weights_are_named_and_compared_all_the_same(tmp_path: Path) -> None:
    """A model trained again is what a pull request brings: all but its fidelity can be set against the base's."""
    head = contender("head", tmp_path, artifact={"weights": "cccccccccccc"})
    (found,) = match([contender("base", tmp_path)], [head])
    assert ((), "") == (found.differs, found.same)
    assert (
        "weights: base seeded aaaaaaaabb, head seeded cccccccccc: fidelity between different weights is not compared",
    ) == found.notes
    assert matching.retrained(found)


def test_fields_can_be_overlooked_and_are_still_noted(tmp_path: Path) -> None:
    """Somebody who knows that the data changed may want the latency all the same."""
    head = contender("head", tmp_path, files={"feeds/0.npy": "other"})
    (found,) = match([contender("base", tmp_path)], [head], overlook=("data",))
    assert () == found.differs
    assert "data: base 1 examples of digits (" in found.notes[0]
    assert "" == found.same


def test_two_files_meet_whatever_they_are_called(tmp_path: Path) -> None:
    """By their place in the plan that both got; the name says both."""
    base = contender("base", tmp_path, of=outcomes.case(model="old"), kind="file")
    (found,) = match([base], [contender("head", tmp_path, of=outcomes.case(model="new"), kind="file")])
    assert "old/fp32/cpu-t1-b1 vs new/fp32/cpu-t1-b1" == found.name
    assert () == found.differs
    (same,) = match([base], [contender("head", tmp_path, of=outcomes.case(model="old"), kind="file")])
    assert "old/fp32/cpu-t1-b1" == same.name


def test_changed_settings_are_measured_and_noted(tmp_path: Path) -> None:
    """A session option under the same name is a change like any other."""
    spinning = outcomes.case(session_config={"session.intra_op.allow_spinning": "0"})
    (found,) = match([contender("base", tmp_path)], [contender("head", tmp_path, of=spinning)])
    assert ('session_config: base {}, head {"session.intra_op.allow_spinning": "0"}',) == found.notes


def test_cases_of_one_side_are_notes(tmp_path: Path) -> None:
    """A new model has no base, and a removed one no head: neither is a mistake."""
    base = contender("base", tmp_path, of=outcomes.case(variant="old"))
    head = contender("head", tmp_path, of=outcomes.case(variant="new"))
    new, removed = match([base], [head])
    assert (None, ("new: working tree has it, main does not",)) == (new.base, new.notes)
    assert (None, ("removed: main has it, working tree does not",)) == (removed.head, removed.notes)


def test_a_side_that_refused_is_still_matched(tmp_path: Path) -> None:
    """What did not build is that case's own verdict."""
    refusal = Refusal(status=Status.FAILED, reason="broken")
    head = dataclasses.replace(contender("head", tmp_path), built=refusal)
    (found,) = match([contender("base", tmp_path)], [head])
    assert (refusal, (), "") == (found.head and found.head.built, found.differs, found.same)


def test_two_cases_meet_under_both_names(tmp_path: Path) -> None:
    """Threads and provider were chosen; they are reported and do not stand in the way."""
    base = contender("base", tmp_path, of=outcomes.case(variant="fp32"), kind="case")
    other = outcomes.case(variant="int8", intra_threads=2, provider="OpenVINOExecutionProvider")
    (found,) = match([base], [contender("head", tmp_path, of=other, kind="case")])
    assert "digits_cnn/fp32/cpu-t1-b1 vs digits_cnn/int8/cpu-t2-b1" == found.name
    assert () == found.differs
    assert ["provider", "threads"] == [note.partition(":")[0] for note in found.notes]


def test_two_batches_are_not_comparable(tmp_path: Path) -> None:
    """The time of a whole batch is not the time of one example."""
    base = contender("base", tmp_path, kind="case")
    (found,) = match([base], [contender("head", tmp_path, of=outcomes.case(batch=2), kind="case")])
    assert ("batch: base 1, head 2",) == found.differs


def test_targets_differ_in_more_than_their_name(tmp_path: Path) -> None:
    """A renamed target is the same target where two cases are compared."""
    renamed = dataclasses.replace(outcomes.case(), target=Target(name="other", provider="CPUExecutionProvider"))
    base = contender("base", tmp_path, kind="case")
    (found,) = match([base], [contender("head", tmp_path, of=renamed, kind="case")])
    assert found.same


def test_a_changed_onnx_file_is_the_change_that_is_looked_at(tmp_path: Path) -> None:
    """Where the model is a file, other content does not count as other weights: it is what a gate is asked about."""

    def filed(role: str, digest: str, kind: str) -> Contender:
        one = contender(role, tmp_path, model=digest.encode())
        assert isinstance(one.built, Artifact)
        weights = dataclasses.replace(one.built.weights, kind=kind, digest=digest * 12)
        return dataclasses.replace(one, built=dataclasses.replace(one.built, weights=weights))

    (found,) = match([filed("base", "a", "file")], [filed("head", "b", "file")])
    assert ((), "") == (found.differs, found.same)
    assert "the .onnx file changed (weights: base file aaaaaaaaaa, head file bbbbbbbbbb)" in found.notes[0]
    assert matching.retrained(match([filed("base", "a", "file")], [filed("head", "b", "seeded")])[0])
