"""harness.fleet.depot_builds: what others built comes from a place below a URL, and what is built here goes there."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import trained
from harness import zoo as zoos
from harness.build import keys, lookup, pipeline
from harness.build.cache import Cache
from harness.build.inventory import entries as inventory
from harness.cli import depots
from harness.cli.tune import default_case
from harness.errors import UsageError
from harness.fleet import builders, depot_builds, flights, transfer
from harness.fleet.depot_builds import DepotBuilds
from harness.fleet.model import FleetHost
from harness.flow.execute import Job
from harness.flow.preview import SweepSettings
from harness.predict import predict
from harness.predict.host import HostSpec
from harness.records import Artifact, Budget, Built, ModelSpec, Recipe
from harness.tune import tune
from harness.tune.request import TuneRequest
from tests import conftest, outcomes
from tests.conftest import Project
from tests.test_bad_bucket import BadBucket, bucket
from tests.test_tune import Quiet

__all__ = ["bucket"]

VARIANTS = ("fp32", "fp32-fused", "int8-static")
Requests = list[tuple[ModelSpec, list[Recipe]]]


def asked(root: Path) -> Requests:
    """The one model of the small project, with the variants that it is swept in."""
    model = conftest.tiny_of(root)
    return [(model, [model.recipes[name] for name in VARIANTS])]


def nothing(_: Cache, requests: Sequence[Any], **__: Any) -> dict[tuple[str, str], Built]:
    """Builds of somebody who cannot build at all."""
    return {}


def from_cache(cache: Cache, requests: Sequence[Any], **_: Any) -> dict[tuple[str, str], Built]:
    """Builds of somebody who only finds."""
    return {
        (model.name, one.name): found
        for model, recipes in requests
        for one in recipes
        if (found := lookup.lookup(cache, model, one)) is not None
    }


def through(url: str, root: Path, cache: Path, builds: Any, said: list[str]) -> dict[tuple[str, str], Built]:
    """What came of the small project's variants."""
    made = DepotBuilds(url, builds=builds, say=said.append)
    return dict(made(Cache(cache), asked(root), on_event=lambda _: None, surround=pipeline.surrounded))


def other_checkout(project: Project, tmp_path: Path) -> Path:
    """The same model in another folder, as on another machine; its file is as old as it is there."""
    other = tmp_path / "elsewhere"
    conftest.write_project(other)
    shutil.copyfile(project.root / "tiny.onnx", other / "tiny.onnx")
    return other


def test_another_machine_builds_nothing(built_project: Project, bucket: BadBucket, tmp_path: Path) -> None:
    """It finds all variants by its own copy of the file, without loading it; a file of another content finds none."""
    said: list[str] = []
    assert 3 == len(through("bad://bench", built_project.root, built_project.root / "cache", from_cache, said))
    assert [] == said
    other = other_checkout(built_project, tmp_path)
    found = through("bad://bench", other, other / "cache", from_cache, said)
    assert {("tiny", name) for name in VARIANTS} == set(found)
    assert all(isinstance(one, Artifact) for one in found.values())
    assert ["tiny: 5 parts came from bad://bench"] == said
    assert set() == {one.kind for one in inventory(Cache(other / "cache"), deep=True) if one.damage}

    content = (other / "tiny.onnx").read_bytes()
    (other / "tiny.onnx").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert {} == through("bad://bench", other, tmp_path / "third", from_cache, said)


def test_verbs_that_need_an_artifact_fetch_it(built_project: Project, bucket: BadBucket, tmp_path: Path) -> None:
    """Somebody who built nothing looks into what a sweep kept there, and gets what a stored row is of, checked."""
    through("bad://bench", built_project.root, built_project.root / "cache", from_cache, [])
    other = Project(other_checkout(built_project, tmp_path))
    ((model, recipes),) = asked(other.root)
    assert "int8" in other.run("inspect", "tiny/int8-static", "--cache", "bad://bench")
    found = lookup.lookup(Cache(other.root / "cache"), model, recipes[-1])
    assert isinstance(found, Artifact)

    said: list[str] = []
    row = {"case": "tiny/int8-static/cpu-t1-b1"} | {
        "artifact": {"digest": found.digest},
        "reference": {"digest": found.reference.digest},
    }
    third = Cache(tmp_path / "third")
    depots.fetch_row(DepotBuilds("bad://bench", say=said.append), third, row)
    assert third.meta("artifacts", found.digest, deep=True)
    assert third.meta("references", found.reference.digest, deep=True)
    assert ["tiny/int8-static/cpu-t1-b1: 2 parts came from bad://bench"] == said
    asked_for = row | {"artifact": {"digest": "../../elsewhere"}, "reference": None}
    depots.fetch_row(DepotBuilds("bad://bench", say=said.append), third, asked_for)
    assert 1 == len(said)


def test_predictions_are_of_what_others_built(built_project: Project, bucket: BadBucket, tmp_path: Path) -> None:
    """The case's artifact is fetched, and those of the rows that calibrate it are asked for, each once."""
    through("bad://bench", built_project.root, built_project.root / "cache", from_cache, [])
    other = Project(other_checkout(built_project, tmp_path))
    (other.root / "board.yaml").write_text("flops: {float32: 40e9}\nbandwidth: 8GB/s\ncores: 4\n", encoding="utf-8")
    asking = ("tiny/fp32/cpu-t2-b1", "--host", "board.yaml", "--cache", "bad://bench")
    code, out, err = other.here("predict", *asking)
    assert (0, True) == (code, "predicted" in out), err
    assert "parts came from bad://bench" in err

    row = {"case": "tiny/fp32/cpu-t1-b1", "model": "tiny", "fingerprint": "0" * 12, "status": "measured", "batch": 1}
    row |= {"provider": "CPUExecutionProvider", "intra_threads": 1, "latency": {"median_s": 0.001}}
    digests = ["e" * 64, "f" * 64, "f" * 64, None]
    rows = [row | {"artifact": digest and {"digest": digest}} for digest in digests]
    said, fetched = list[str](), list[str]()
    known, why = predict.measured(
        zoos.load(other.root / "model_zoo.yaml"),
        HostSpec(name="board", fingerprint="0" * 12, flops={"float32": 1e9}, bandwidth=1e8, cores=4),
        rows,
        other.root / "cache",
        said.append,
        fetch=lambda one: fetched.append(one["artifact"]["digest"]),
    )
    assert ([], ("4 rows: their artifact is no longer in the cache",)) == (known, why)
    assert (["e" * 64, "f" * 64], []) == (fetched, said)


def test_a_search_begins_with_what_others_built(built_project: Project, bucket: BadBucket, tmp_path: Path) -> None:
    """The default is fetched, by the place that knows what is away; one of somebody else knows it as well."""
    through("bad://bench", built_project.root, built_project.root / "cache", from_cache, [])
    other = other_checkout(built_project, tmp_path)
    the_zoo, said = zoos.load(other / "model_zoo.yaml"), list[str]()
    default, _ = default_case(the_zoo, "tiny", "cpu-t1")
    default = dataclasses.replace(default, model=dataclasses.replace(default.model, budget=Budget(accuracy_drop=0.01)))
    request = TuneRequest(
        zoo=the_zoo,
        default=default,
        variants=[default.recipe],
        cache=other / "cache",
        results=other / "results",
        depot=DepotBuilds("bad://bench", say=said.append),
    )
    with pytest.raises(UsageError, match="the data has no labels"):
        tune.tune(request, Quiet())
    assert ["tiny: 2 parts came from bad://bench"] == said


@pytest.mark.parametrize(
    "verb", [("tune", "tiny"), ("predict", "tiny/fp32/cpu-t1"), ("bisect", "a/b/c", "--good", "1.0", "--bad", "2.0")]
)
def test_a_place_that_nothing_reaches_is_named_at_once(verb: tuple[str, ...], project: Project) -> None:
    """Before anything is looked for or measured: exit code 2."""
    assert "no-such-kind" in project.error(*verb, "--cache", "no-such-kind://bucket/cache")


def test_half_an_object_is_built_and_written_anew(built_project: Project, bucket: BadBucket, tmp_path: Path) -> None:
    """It is said, counts as absent for whoever fetches it, and is replaced by whoever builds it."""
    said: list[str] = []
    through("bad://bench", built_project.root, built_project.root / "cache", from_cache, said)
    name = next(name for name in bucket.store if "/artifacts/" in name)
    whole = bucket.store[name].getvalue()
    bucket.store[name].seek(0)
    bucket.store[name].truncate(len(whole) // 2)
    other = other_checkout(built_project, tmp_path)
    digest = Path(name).stem

    def build(cache: Cache, requests: Sequence[Any], **_: Any) -> dict[tuple[str, str], Built]:
        shutil.copytree(built_project.root / "cache" / "artifacts" / digest, cache.place("artifacts", digest))
        return from_cache(cache, requests)

    assert 3 == len(through("bad://bench", other, other / "cache", build, said))
    assert any(f"artifacts/{digest} arrived damaged" in one for one in said)
    assert len(whole) == len(bucket.store[name].getvalue())


def test_a_bucket_that_is_away_costs_no_sweep(built_project: Project, bucket: BadBucket, tmp_path: Path) -> None:
    """A minute is waited for; after that it is built here, and nothing more is asked of the place."""
    said: list[str] = []
    cache = built_project.root / "cache"
    bucket.away = 3
    assert 3 == len(through("bad://bench", built_project.root, cache, from_cache, said))
    assert [] == said
    other = other_checkout(built_project, tmp_path)
    bucket.away = 10**6
    assert {} == through("bad://bench", other, other / "cache", nothing, said)
    assert 1 == len(said)
    assert "What is missing is built." in said[0]
    assert 10**6 - 10 < bucket.away


def test_trained_weights_travel(built_project: Project, bucket: BadBucket, tmp_path: Path) -> None:
    """Whoever needs them has them trained once: they are known by the request for them, and checked on arrival."""
    safetensors = pytest.importorskip("safetensors.numpy")
    source, target = Cache(built_project.root / "cache"), Cache(tmp_path / "cache")
    entry, model = (trained.FOLDER, "0a1b"), conftest.tiny_of(built_project.root)
    place = source.place(*entry)
    place.parent.mkdir()
    tensors = {"weight": np.ones(3, np.float32)}
    place.write_bytes(safetensors.save(tensors, trained.metadata("a detector", safetensors.save(tensors))))
    known = lookup.resolution(source, model, probe=False)
    assert known is not None
    content = {**known, "facts": {**known["facts"], trained.FOLDER: ["0a1b"]}}
    source.put_resolution(keys.source_key(model), content)
    assert entry in depot_builds.needed(source, *asked(built_project.root)[0])

    depot = transfer.Depot("bad://bench")
    assert depot.put(source, entry)
    assert depot.fetch(target, entry)
    assert transfer.has(target, entry)
    name = "/bench/trained/0a1b.tar"
    data = bytearray(bucket.store[name].getvalue())
    data[data.index(place.read_bytes()[-4:], 512)] ^= 1
    bucket.store[name].seek(0)
    bucket.store[name].write(bytes(data))
    assert not depot.fetch(Cache(tmp_path / "third"), entry)
    assert "arrived damaged" in depot.damaged[entry]


def test_trained_weights_go_where_the_network_runs(built_project: Project, tmp_path: Path) -> None:
    """A host that runs the network itself is sent them, and who builds it, where it lacks them; nobody else is."""
    safetensors = pytest.importorskip("safetensors.numpy")
    cache, tiny = Cache(built_project.root / "cache"), conftest.tiny_of(built_project.root)
    model = dataclasses.replace(tiny, weights=dataclasses.replace(tiny.weights, kind="trained"))
    entry = (trained.FOLDER, "0a1b")
    tensors = {"weight": np.ones(3, np.float32)}
    cache.place(*entry).parent.mkdir()
    cache.place(*entry).write_bytes(
        safetensors.save(tensors, trained.metadata("a detector", safetensors.save(tensors)))
    )
    weights = {"kind": "trained", "digest": "w", "reason": ""}
    known: dict[str, Any] = {"weights": weights, "files": [], "facts": {trained.FOLDER: ["0a1b"]}}
    cache.put_resolution(keys.source_key(model), known)
    case = dataclasses.replace(outcomes.case(), model=model)
    settings = SweepSettings(processes=1, time_per_case=1.0, ci_width=0.1)
    job = Job(case=case, built=outcomes.artifact(case), settings=settings, cache=cache.root)
    itself = dataclasses.replace(case, target=dataclasses.replace(case.target, runtime="torch"))
    assert entry not in flights.entries_of(job)
    assert entry in flights.entries_of(dataclasses.replace(job, case=itself))

    class Builder:
        def ask(self, call: Any, addresses: Sequence[str], **arguments: Any) -> dict[str, Any]:
            """Answer as a worker whose cache is another."""
            with pytest.MonkeyPatch.context() as patched:
                patched.setenv("HARNESS_CACHE", str(tmp_path / "its"))
                asked_for.append(call.__name__)
                return {addresses[0]: call(**arguments)}

    asked_for: list[str] = []
    builds = builders.FleetBuilds(Builder())  # type: ignore[arg-type]
    for _ in range(2):
        builds._lend(cache, model, FleetHost(address="tcp://one", builds=1))
    assert ["lacking", "receive", "lacking"] == asked_for
    assert transfer.has(Cache(tmp_path / "its"), entry)


def test_pretrained_weights_are_kept_rather_than_a_fallback(tmp_path: Path) -> None:
    """Where a hub cannot be reached, what somebody else got of it counts; a fallback never takes its place."""
    model = outcomes.case("resnet18", "fp32").model
    weights = {"kind": "pretrained", "digest": "p", "reason": ""}
    cache, note = Cache(tmp_path), dict[str, Any](files=[], facts={})
    fallback = {**weights, "kind": "seeded", "digest": "s"}
    asks = dataclasses.replace(model, weights=dataclasses.replace(model.weights, kind="pretrained"))
    for found, expected in ((fallback, "s"), (weights, "p"), (fallback, "p")):
        depot_builds.learn(cache, asks, {**note, "weights": found})
        known = lookup.resolution(cache, asks, probe=False)
        assert known is not None
        assert expected == known["weights"]["digest"]


def test_a_bucket_that_refuses_costs_no_sweep(built_project: Project, bucket: BadBucket, tmp_path: Path) -> None:
    """Who may only read keeps nothing there, and who may not even read builds: each is said once."""
    other = other_checkout(built_project, tmp_path)
    for closed, root, builds, count, said in (
        ("wb", built_project.root, from_cache, 3, "not kept for others: Cannot write bad://bench/sources/"),
        ("", built_project.root, from_cache, 3, ""),
        ("rb", other, nothing, 0, "Cannot read bad://bench/references/"),
    ):
        bucket.closed = closed
        heard: list[str] = []
        assert count == len(through("bad://bench", root, root / "cache", builds, heard))
        assert [True] * bool(said) == [one.startswith(said) for one in heard]
