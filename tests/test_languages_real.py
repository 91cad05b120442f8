"""The workers of other languages, really run: what they compute and answer is what the Python worker does.

They need packages that no test downloads: HARNESS_TEST_LANGUAGES names a cache that has them, as a sweep with targets
`runtime: node`, `browser`, `cpp` and `java` leaves it; HARNESS_ONNXRUNTIME_JAR names Java's jar.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from harness.errors import UsageError, WorkerRefusal
from harness.measure import bursts, coordinator
from harness.measure.coordinator import Workload
from harness.measure.pacing import Pace
from harness.measure.scenarios import FEATURE
from harness.records import Target
from harness.records.values import ValueEntry
from harness.runtimes import load
from harness.runtimes.client import Client
from harness.runtimes.clients import WorkerStarter, client_factory
from tests.builders import value

VARIABLE = "HARNESS_TEST_LANGUAGES"
CPU = Target(name="cpu", provider="CPUExecutionProvider", batch=2)
EXAMPLES = 5

pytestmark = pytest.mark.long


@pytest.fixture(scope="module", params=["node", "browser", "cpp", "java"])
def start(request: pytest.FixtureRequest) -> WorkerStarter:
    """What starts the worker of a language; skipped where it cannot be had here."""
    if not os.environ.get(VARIABLE):
        pytest.skip(f"{VARIABLE} names no cache with packages of other languages")
    try:
        target = dataclasses.replace(CPU, runtime=request.param)
        return client_factory(target, Path(os.environ[VARIABLE]), install=False)
    except UsageError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with inputs of three types; an output with a fixed size, one of varying size, and a scalar."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("Cast", ["ids"], ["found"], to=TensorProto.INT32),
        helper.make_node("NonZero", ["flags"], ["places"]),
        helper.make_node("ReduceSum", ["y"], ["total"], keepdims=0),
    ]
    weights = onnx.numpy_helper.from_array(np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3), "w")
    graph = helper.make_graph(
        nodes,
        "mixed",
        [value("x", ["batch", 4]), value("ids", ["batch", 2], TensorProto.INT64),
         value("flags", [6], TensorProto.BOOL)],
        [value("y", ["batch", 3]), value("found", ["batch", 2], TensorProto.INT32),
         value("places", [1, "n"], TensorProto.INT64), value("total", [])],
        [weights],
    )  # fmt: skip
    path = tmp_path_factory.mktemp("mixed") / "mixed.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.fixture(scope="module")
def work(mixed: Path) -> Workload:
    """It with feeds in a file, in files and in the message."""
    random = np.random.default_rng(5)
    x = random.random((EXAMPLES, 1, 4)).astype(np.float32)
    np.save(mixed.with_name("x.npy"), x)
    ids = []
    for place in range(EXAMPLES):
        ids.append(str(mixed.with_name(f"ids-{place}.npy")))
        np.save(ids[-1], random.integers(-(2**31), 2**31, (1, 2)))
    flags = random.random((EXAMPLES, 6)) > 0.5
    np.save(mixed.with_name("flags.npy"), flags)
    feeds = {
        "x": ValueEntry(name="x", stacked=str(mixed.with_name("x.npy"))),
        "ids": ValueEntry(name="ids", files=tuple(ids)),
        "flags": ValueEntry(name="flags", stacked=str(mixed.with_name("flags.npy"))),
    }
    return Workload(
        model=mixed,
        target=CPU,
        optimization="all",
        feeds=feeds,
        dims={"batch": 2},
        batch_axes={"x": 0, "ids": 0},
        rotate=3,
    )


class Kept(Client):
    """A worker that stays when a test is done with it; one that a test failed with goes."""

    def close(self) -> None:
        """Leave it running."""

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._ended


@pytest.fixture(scope="module")
def again(start: WorkerStarter) -> Iterator[Callable[[], Client]]:
    """The same worker for several tests: a browser takes a second to start."""
    live: list[Kept] = []

    def same() -> Client:
        if not live or live[-1].ended:
            live.append(Kept(start.command, package=start.package, digest=start.digest, within=start.within))
        return live[-1]

    yield same
    for one in live:
        Client.close(one)


def outputs(start: Callable[[], Client], work: Workload, folder: Path) -> Mapping[str, list[np.ndarray]]:
    """What a worker computes from every example, as its files have it."""
    folder.mkdir()
    single = dataclasses.replace(work, target=dataclasses.replace(CPU, batch=1), dims={"batch": 1})
    seen = coordinator.observe(single, examples=EXAMPLES, folder=folder, client=start)
    found = {}
    for entry in seen.outputs:
        stacked = list(np.load(folder / entry.stacked)) if entry.stacked else []
        found[entry.name] = stacked or [np.load(folder / file) for file in entry.files]
    return found


def test_a_language_computes_what_python_does(again: Callable[[], Client], work: Workload, tmp_path: Path) -> None:
    """Every output of every example, with its type and shape: bits where nothing is rounded."""
    own = outputs(WorkerStarter(command=client_factory(CPU, tmp_path).command), work, tmp_path / "own")
    other = outputs(again, work, tmp_path / "other")
    assert list(own) == list(other)
    for name, values in own.items():
        for mine, theirs in zip(values, other[name], strict=True):
            assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape), name
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-6 if mine.dtype.kind == "f" else 0, err_msg=name)


def test_a_language_times_batches_and_refuses_what_python_refuses(again: Callable[[], Client], work: Workload) -> None:
    """One process: rotated batches, bursts of the asked length, refusals with Python's kinds, and on it goes."""
    with again() as worker:
        opened = worker.ask("open", 60.0, **work.request())
        assert (3, 3, 4) == (opened["examples"], len(opened["inputs"]), len(opened["outputs"]))
        assert ["x", "tensor(float)"] == opened["inputs"][0][:2]
        for n in (1, 7):
            durations, _ = bursts.burst(worker, n, 60.0, at=2)
            assert n == len(durations)
            assert min(durations) >= 0
        for changed, kind in (
            ({"batch": 3, "batch_axes": {}}, "batch"),
            ({"feeds": {}}, "input"),
            ({"artifact": {"path": __file__}}, "model"),
            ({"options": {**work.request()["options"], "provider": "TensorrtNoneExecutionProvider"}}, "provider"),
        ):
            with pytest.raises(WorkerRefusal) as refused:
                worker.ask("open", 60.0, **{**work.request(), **changed})
            assert kind == refused.value.kind, str(refused.value)
        worker.ask("open", 60.0, **work.request())


def test_a_language_profiles_or_says_why_not(again: Callable[[], Client], work: Workload, tmp_path: Path) -> None:
    """Kernels are Python's where there is a profile; memory is a number only where it is the model's."""
    seen = coordinator.observe(
        dataclasses.replace(work, target=dataclasses.replace(CPU, batch=1), dims={"batch": 1}),
        examples=1, folder=tmp_path, client=again,
    )  # fmt: skip
    assert bool(seen.kernels.get("MatMul")) != ("profile" in seen.lacks)
    assert bool(seen.placement) != ("placement" in seen.lacks)
    pace = Pace(budget_s=0.05, ci_width=0.0)
    timed = coordinator.time_process(work, pace, client=again, reference=False)
    assert (timed.samples.peak_rss_bytes is None) == ("memory" in seen.lacks)


def test_a_language_serves_a_load_or_says_why_not(again: Callable[[], Client], work: Workload) -> None:
    """Two requests at a time; a Poisson process that is Python's to the request; a rate that nobody serves."""
    several = dataclasses.replace(work, target=dataclasses.replace(CPU, scenario="multi2"))
    with again() as worker:
        if FEATURE not in worker.hello["features"]:
            assert worker.lacks[FEATURE]
            return
        opened = worker.ask("open", 60.0, **several.request())
        assert 3 == opened["examples"]
        reply = worker.ask("load", 60.0, n=50, streams=2)
        assert (50, "", 0) == (len(bursts.durations_of(reply, 50, 50)), reply["ended"], reply["waiting"])
        reply = worker.ask("load", 60.0, n=200, streams=2, rate=1e3, seed=7)
        assert (200, "") == (len(reply["durations_ns"]), reply["ended"])
        assert reply["elapsed_ns"] >= load.arrivals(200, 1e3, 7)[-1]
        flood = {"n": 50_000, "streams": 2, "rate": 1e9, "seed": 7}
        reply = worker.ask("load", 60.0, **flood, most_wait_ns=1_000_000)
        assert ("queue", True) == (reply["ended"], reply["waiting"] > 0)
        reply = worker.ask("load", 60.0, **flood, bound_ns=1, most_late=3)
        assert ("late", True) == (reply["ended"], len(reply["durations_ns"]) < 50_000)


WORDS = [["a", "caf\u00e9"], ["", "\U0001f40d snake"], ["\u4f60\u597d", "longer than all others"]]


def test_a_language_passes_text(again: Callable[[], Client], tmp_path: Path) -> None:
    """Words of any length and script, also joined to a batch from files of different widths."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["words"], ["same"])],
        "text",
        [value("words", ["batch", 2], TensorProto.STRING)],
        [value("same", ["batch", 2], TensorProto.STRING)],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "text.onnx"
    )
    files = []
    for place, row in enumerate(WORDS):
        files.append(str(tmp_path / f"words-{place}.npy"))
        np.save(files[-1], np.array([row]))
    feeds = {"words": ValueEntry(name="words", files=tuple(files))}
    single = dataclasses.replace(CPU, batch=1)
    text = Workload(
        model=tmp_path / "text.onnx", target=single, optimization="all", feeds=feeds, dims={}, batch_axes={"words": 0}
    )
    (tmp_path / "out").mkdir()
    seen = coordinator.observe(text, examples=len(WORDS), folder=tmp_path / "out", client=again)
    entry = next(iter(seen.outputs))
    stacked = [] if not entry.stacked else list(np.load(tmp_path / "out" / entry.stacked))
    found = stacked or [np.load(tmp_path / "out" / file) for file in entry.files]
    assert [[row] for row in WORDS] == [one.tolist() for one in found]
    with again() as worker:
        joined = {**text.request(), "batch": 3, "rotate": 3}
        assert 3 == worker.ask("open", 60.0, **joined)["examples"]
        assert 2 == len(bursts.burst(worker, 2, 60.0)[0])


def test_a_heap_that_is_exhausted_is_an_outcome(
    work: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A feed that Java has no memory for is refused as such, and the worker goes on."""
    if not os.environ.get(VARIABLE):
        pytest.skip(f"{VARIABLE} names no cache with packages of other languages")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx24m")
    try:
        start = client_factory(dataclasses.replace(CPU, runtime="java"), Path(os.environ[VARIABLE]), install=False)
    except UsageError as error:
        pytest.skip(str(error))
    np.save(tmp_path / "large.npy", np.zeros((8, 1, 4_000_000), np.float32))
    feeds = {**work.request()["feeds"], "x": {"stacked": str(tmp_path / "large.npy")}}
    with start() as worker:
        with pytest.raises(WorkerRefusal, match="heap is exhausted") as refused:
            worker.ask("open", 60.0, **{**work.request(), "feeds": feeds})
        assert "memory" == refused.value.kind
        assert 3 == worker.ask("open", 60.0, **work.request())["examples"]


OLD_LIBRARY = """
static const void* get_api(unsigned version) { return 0; }
static const char* get_version(void) { return "1.17.3"; }
static const struct { const void* (*api)(unsigned); const char* (*version)(void); } base = {get_api, get_version};
const void* OrtGetApiBase(void) { return &base; }
"""


def test_a_library_that_is_too_old_says_which_release_would_do(tmp_path: Path) -> None:
    """What its API lacks would be read past its end: it is asked for its version first."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not os.environ.get(VARIABLE) or compiler is None:
        pytest.skip(f"{VARIABLE} names no cache with packages of other languages, or no C compiler is here")
    (tmp_path / "old.c").write_text(OLD_LIBRARY, encoding="ascii")
    command = [compiler, "-shared", "-fPIC", "-o", str(tmp_path / "libonnxruntime.so"), str(tmp_path / "old.c")]
    subprocess.run(command, check=True, timeout=300)
    target = dataclasses.replace(CPU, runtime=f"cpp:{tmp_path}")
    try:
        start = client_factory(target, Path(os.environ[VARIABLE]), install=False)
    except UsageError as error:
        pytest.skip(str(error))
    with pytest.raises(WorkerRefusal, match=r"onnxruntime 1\.17\.3 .* is older than the API .* use 1\.22 or newer"):
        start()
