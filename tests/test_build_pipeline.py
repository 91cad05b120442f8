"""The pipeline: what is missing is built in a child, once, and nothing that happens to the child stops the rest."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import helper

from harness import sealed
from harness.build import pipeline
from harness.build.builder import Maker
from harness.build.cache import Cache
from harness.build.pipeline import BuildEvent, build, lookup
from harness.errors import StoreError
from harness.records import Artifact, InputSpec, Recipe, Refusal, Status, Step
from tests import builders, specs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness.records import Built, ModelSpec


def make(
    cache: Cache,
    model: ModelSpec,
    recipes: Sequence[Recipe] = specs.ALL,
    events: list[BuildEvent] | None = None,
    command: Sequence[str] = pipeline.COMMAND,
) -> Mapping[str, Built]:
    """Build variants of one model: variant -> what came of it."""
    seen: list[BuildEvent] = [] if events is None else events
    built = build(cache, [(model, recipes)], on_event=seen.append, command=command)
    return {name: one for (_, name), one in built.items()}


def made(cache: Cache, model: ModelSpec, recipe: Recipe) -> Artifact:
    """What a child makes, made in this process: what a test begins with."""
    Maker(cache, model, lambda *_: None).make(recipe)
    found = lookup(cache, model, recipe)
    assert isinstance(found, Artifact)
    return found


NO_CHILD = ("no-child-may-start",)
"""The command of a child where none may start: nobody has such a program, and a variant would say so."""


def test_every_variant_of_a_file(tmp_path: Path) -> None:
    """All seven variants come of one small file; shared steps run once; the second time no child starts."""
    cache, events = Cache(tmp_path / "cache"), list[BuildEvent]()
    model = specs.file_model(builders.tiny_conv(tmp_path / "tiny.onnx"))
    built = make(cache, model, events=events)

    assert {recipe.name for recipe in specs.ALL} == {name for name, one in built.items() if isinstance(one, Artifact)}
    done = [event.step for event in events if event.state == "done" and event.step]
    assert (1, 2) == (done.count("export"), done.count("fuse"))
    fp32, fused, bf16 = built["fp32"], built["fp32-fused"], built["bf16"]
    assert isinstance(fp32, Artifact)
    assert isinstance(fused, Artifact)
    assert isinstance(bf16, Artifact)
    assert ("file", 7) == (fp32.weights.kind, fp32.nodes)
    assert 1 == fused.fusion["patterns"]["Conv+BN+Relu"]
    assert any(note.startswith("not proven here") for note in bf16.notes)
    outputs = np.load(cache.reference_dir(fp32.reference.digest) / "outputs" / "0.npy")
    assert (4, 1, 4) == outputs.shape

    events.clear()
    assert built == make(cache, model, events=events, command=NO_CHILD)
    assert {"cached"} == {event.state for event in events}


CAST = specs.variant("cast", Step(kind="cast", options={"to": "float16"}))
"""Two steps, of which neither imports what the optimizers do."""


def test_damaged_artifact_is_rebuilt(tmp_path: Path) -> None:
    """An artifact that was changed on disk is noticed, and only what is broken is built again."""
    cache, events = Cache(tmp_path / "cache"), list[BuildEvent]()
    model = specs.file_model(builders.tiny_conv(tmp_path / "tiny.onnx"))
    before = made(cache, model, CAST)
    whole = cache.artifact_path(before.digest).read_bytes()
    cache.artifact_path(before.digest).write_bytes(whole[: len(whole) // 2])

    assert lookup(cache, model, CAST) is None
    after = make(cache, model, [CAST], events)["cast"]

    assert isinstance(after, Artifact)
    assert before.digest == after.digest
    assert whole == cache.artifact_path(after.digest).read_bytes()
    assert ["cast"] == [event.step for event in events if event.state == "done" and event.step not in ("", "proof")]


def test_what_an_earlier_version_admitted_is_completed(tmp_path: Path) -> None:
    """It does not know what the file states: that is added, and nothing is built again."""
    cache = Cache(tmp_path / "cache")
    model = specs.file_model(builders.tiny_conv(tmp_path / "tiny.onnx"))
    recipe = specs.variant("fp32")
    first = made(cache, model, recipe)
    path = cache.place("artifacts", first.digest) / "meta.json"
    name = f"artifacts/{first.digest}"
    content = sealed.opened(path, name).content or {}
    assert {"float"} == set(content.pop("stated")["weights"])
    path.write_bytes(sealed.seal(name, content))
    events = list[BuildEvent]()
    assert first == make(cache, model, [recipe], events)["fp32"]
    assert "export" not in {event.step for event in events}


def test_skips_are_remembered(tmp_path: Path) -> None:
    """A variant that makes no sense is skipped with its reason, and the next look needs no child."""
    cache = Cache(tmp_path / "cache")
    int4 = specs.variant("int4-weights", Step(kind="quantize", options={"method": "weights"}), precision="int8")
    model = specs.file_model(builders.conv_only(tmp_path / "conv.onnx"))
    first = make(cache, model, [int4])["int4-weights"]

    assert isinstance(first, Refusal)
    assert (Status.SKIPPED, True) == (first.status, "MatMul with constant weights" in first.reason)
    assert first == make(cache, model, [int4], command=NO_CHILD)["int4-weights"]


def test_bad_models_say_what_is_wrong(tmp_path: Path) -> None:
    """Each kind of bad file becomes its own status with a clear text, also where one child has them all."""
    bad = {
        "none": (tmp_path / "none.onnx", Status.FAILED, "there is no file"),
        "cut": (builders.truncated(tmp_path / "cut.onnx"), Status.FAILED, "truncated or corrupt"),
        "unknown": (builders.unknown_op(tmp_path / "unknown.onnx"), Status.UNSUPPORTED, "Frobnicate"),
        "escaping": (builders.escaping_data(tmp_path / "in"), Status.FAILED, "outside the model's folder"),
    }
    requests = [(replace(specs.file_model(path), name=name), [specs.FP32]) for name, (path, *_) in bad.items()]
    built = build(Cache(tmp_path / "cache"), requests, on_event=lambda _: None)

    for name, (_, status, message) in bad.items():
        one = built[name, "fp32"]
        assert isinstance(one, Refusal)
        assert status == one.status
        assert message in one.reason


def test_missing_external_data(tmp_path: Path) -> None:
    """A weights file that is gone is named; one that is there is taken into the artifact."""
    path = builders.external_data(tmp_path / "in")
    cache = Cache(tmp_path / "cache")
    good = make(cache, specs.file_model(path), [specs.FP32])["fp32"]
    (path.parent / "weights.bin").unlink()
    bad = make(cache, specs.file_model(path), [specs.FP32])["fp32"]

    assert isinstance(good, Artifact)
    assert good.bytes > 64 * 64 * 4
    assert isinstance(bad, Refusal)
    assert (Status.FAILED, True) == (bad.status, "weights.bin, which is missing" in bad.reason)


def test_misspelt_input_gets_a_hint(tmp_path: Path) -> None:
    """An input name that is not in the file is met with the one that is."""
    path = builders.save(
        tmp_path / "m.onnx",
        [helper.make_node("Relu", ["pixels"], ["y"])],
        [builders.value("pixels", ["batch", 4])],
        [builders.value("y", ["batch", 4])],
    )
    model = specs.file_model(path, InputSpec(name="pixel", dtype="float32", shape=("batch", 4)))
    built = make(Cache(tmp_path / "cache"), model, [specs.FP32])["fp32"]

    assert isinstance(built, Refusal)
    assert "did you mean `pixels`" in built.reason


def test_broken_result_is_not_admitted(tmp_path: Path) -> None:
    """A file that computes no numbers is measured as it stands, and noted; what is made of it is not admitted."""
    cache = Cache(tmp_path / "cache")
    model = specs.file_model(builders.not_a_number(tmp_path / "nan.onnx"))
    built = make(cache, model, [specs.FP32, specs.FUSED])

    standing, fused = built["fp32"], built["fp32-fused"]
    assert isinstance(standing, Artifact)
    assert any("nowhere finite" in note for note in standing.notes)
    assert isinstance(fused, Refusal)
    assert (Status.FAILED, True) == (fused.status, "nowhere finite" in fused.reason)
    assert lookup(cache, model, specs.FUSED) is None


def test_wrong_recipe_fails_without_a_child(tmp_path: Path) -> None:
    """A misspelt option fails its own variant, with a hint and at once."""
    recipe = specs.variant("odd", Step(kind="fuse", options={"levl": "all"}))
    built = make(Cache(tmp_path / "cache"), specs.file_model(tmp_path / "a.onnx"), [recipe], command=NO_CHILD)["odd"]

    assert isinstance(built, Refusal)
    assert "did you mean `level`" in built.reason


DYING_CHILD = """
import json, os, signal, sys
job = json.loads(sys.stdin.readline())
model, name = job["models"][0]["model"]["name"], job["models"][0]["recipes"][0]["name"]
place = {"model": model, "variant": name}
print(json.dumps({"event": "begin", **place}), flush=True)
step = {"event": "step", **place, "step": "quantize", "state": "started", "seconds": 0, "detail": ""}
os.makedirs(os.path.join(job["cache"], f".tmp-{os.getpid()}-half"))
print(json.dumps(step), flush=True)
sys.stderr.write("the last lines\\n"); sys.stderr.flush()
if name == "fp32":
    os.kill(os.getpid(), signal.SIGKILL)
if name == "fp16":
    import time
    time.sleep(600)
print(json.dumps({"event": "refused", **place, "status": "skipped", "reason": "fine"}), flush=True)
"""


def test_killed_child_takes_one_variant_with_it(tmp_path: Path) -> None:
    """A child that the kernel kills fails one variant, with its last stderr lines; the rest goes on in a new child."""
    cache = Cache(tmp_path / "cache")
    command = (sys.executable, "-c", DYING_CHILD)
    built = make(cache, specs.file_model(tmp_path / "a.onnx"), [specs.FP32, specs.STATIC], command=command)

    fp32, static = built["fp32"], built["int8-static"]
    assert isinstance(fp32, Refusal)
    assert isinstance(static, Refusal)
    assert (Status.FAILED, Status.SKIPPED) == (fp32.status, static.status)
    for part in ("SIGKILL", "memory", "quantize", "the last lines"):
        assert part in fp32.reason
    assert [] == list(cache.root.glob(".tmp-*"))


DEADLY_CHILD = """
import json, os, signal, sys
job = json.loads(sys.stdin.readline())
for one in job["models"]:
    place = {"model": one["model"]["name"], "variant": one["recipes"][0]["name"]}
    print(json.dumps({"event": "begin", **place}), flush=True)
    if place["model"] == "deadly" or place["model"] == "poisoned" and len(job["models"]) > 1:
        os.kill(os.getpid(), signal.SIGSEGV)
    more = {"status": "skipped", "reason": f"one of {len(job['models'])}"}
    print(json.dumps({"event": "refused", **place, **more}), flush=True)
"""


def test_files_share_a_child(tmp_path: Path) -> None:
    """A death costs the file at work alone: not those before or behind it, nor one that only dies behind others."""
    names = ("first", "deadly", "second", "poisoned", "third")
    files = [replace(specs.file_model(tmp_path / f"{name}.onnx"), name=name) for name in names]
    requests = [(one, [specs.FP32]) for one in files]
    command = (sys.executable, "-c", DEADLY_CHILD)
    built = build(Cache(tmp_path / "cache"), requests, on_event=lambda _: None, command=command)

    ends = {name: one.reason for (name, _), one in built.items() if isinstance(one, Refusal)}
    assert "SIGSEGV" in ends.pop("deadly")
    assert {"first": "one of 5", "second": "one of 3", "poisoned": "one of 1", "third": "one of 1"} == ends


def test_interrupt_ends_the_child(tmp_path: Path) -> None:
    """Ctrl-C while a step runs ends the child at once and leaves nothing half written."""
    cache = Cache(tmp_path / "cache")
    children: list[int] = []

    def interrupt(event: BuildEvent) -> None:
        children.extend(int(path.name.split("-")[1]) for path in cache.root.glob(".tmp-*"))
        raise KeyboardInterrupt

    model, command = specs.file_model(tmp_path / "a.onnx"), (sys.executable, "-c", DYING_CHILD)
    with pytest.raises(KeyboardInterrupt):
        build(cache, [(model, [specs.FP16])], on_event=interrupt, command=command)

    (child,) = children
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert [] == list(cache.root.glob(".tmp-*"))


def test_unwritable_cache_stops_the_build(tmp_path: Path) -> None:
    """A cache that the child cannot write is an error for the whole build, with the way out."""
    (tmp_path / "file").write_text("")
    model = specs.file_model(builders.one_node(tmp_path / "a.onnx"))

    with pytest.raises(StoreError, match="HARNESS_CACHE"):
        make(Cache(tmp_path / "file" / "cache"), model, [specs.FP32])


def test_new_evaluation_examples_need_a_new_proof_only(tmp_path: Path) -> None:
    """Another evaluation set makes another reference and proves the same artifact again, without building it."""
    cache, events = Cache(tmp_path / "cache"), list[BuildEvent]()
    model = specs.file_model(builders.tiny_conv(tmp_path / "tiny.onnx"))
    one = made(cache, model, CAST)
    other = replace(model, data=replace(model.data, evaluation=6))
    two = make(cache, other, [CAST], events)["cast"]

    assert isinstance(two, Artifact)
    assert one.digest == two.digest
    assert (4, 6) == (one.reference.examples, two.reference.examples)
    assert {"export", "cast"}.isdisjoint(event.step for event in events)
