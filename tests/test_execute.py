"""harness.flow.execute: from artifact to outcome, with real sessions and with workers that misbehave."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from harness import zoo
from harness.build import inventory, pipeline
from harness.build.cache import Cache
from harness.flow import plan as planning
from harness.flow.execute import Bench, remarks, run_case
from harness.flow.preview import SweepSettings
from harness.frameworks import onnx
from harness.records import Artifact, Case, DataSpec, Latency, ModelSpec, ProcessSamples, Refusal, Status, wire
from harness.runtimes.client import Client
from tests import builders, specs
from tests.conftest import Project
from tests.workers import HELLO, worker

SETTINGS = SweepSettings(processes=2, time_per_case=0.2, ci_width=0.05)


@pytest.fixture
def case(project: Project) -> Case:
    """tiny/fp32 on one CPU thread."""
    return planning.plan(zoo.load(project.root / "model_zoo.yaml"), planning.Selection(variants=("fp32",))).cases[0]


@pytest.fixture
def bench(project: Project) -> Bench:
    """A bench with an empty cache."""
    return Bench(cache=Cache(project.root / "cache"), settings=SETTINGS, fingerprint="f")


@pytest.fixture
def built(case: Case, bench: Bench) -> Artifact:
    """The artifact of `case`."""
    found = pipeline.build(bench.cache, [(case.model, [case.recipe])], on_event=lambda _: None)["tiny", "fp32"]
    assert isinstance(found, Artifact)
    return found


def test_a_case_is_measured_and_evaluated(case: Case, built: Artifact, bench: Bench) -> None:
    """Numbers, placement, fidelity and the kernels that ran."""
    outcome = run_case(case, built, bench)
    assert Status.MEASURED is outcome.status, outcome.reason
    assert outcome.latency is not None
    assert 2 == outcome.latency.processes == len(outcome.processes)
    assert {"CPUExecutionProvider": 1.0} == dict(outcome.placement)
    assert outcome.evaluation is not None
    assert outcome.evaluation.kernels["BatchNormalization"] == 1  # optimizations are off for fp32
    assert outcome.evaluation.fidelity is not None
    assert 0 == outcome.evaluation.fidelity.max_abs
    assert all(p.peak_rss_bytes is None or p.peak_rss_bytes > 1_000_000 for p in outcome.processes)


def test_an_evaluation_is_done_once(case: Case, built: Artifact, bench: Bench) -> None:
    """The same artifact with other threads and batch: no second evaluation; another host: a new one."""
    run_case(case, built, bench)
    other = dataclasses.replace(case, target=dataclasses.replace(case.target, intra_threads=2, batch=4))
    run_case(other, built, bench)
    count = len([e for e in inventory.entries(bench.cache) if e.kind == "evaluations"])
    run_case(case, built, dataclasses.replace(bench, fingerprint="another"))
    assert (1, 2) == (count, len([e for e in inventory.entries(bench.cache) if e.kind == "evaluations"]))


def built_of(model: ModelSpec, bench: Bench) -> Artifact:
    """The fp32 artifact of a model."""
    found = pipeline.build(bench.cache, [(model, [specs.FP32])], on_event=lambda _: None)[model.name, "fp32"]
    assert isinstance(found, Artifact), found
    return found


def test_the_metrics_of_a_task_are_kept(case: Case, bench: Bench, project: Project) -> None:
    """Classes on labelled data: accuracy with its interval, read from the cache as it was measured."""
    import numpy as np

    (spec,) = onnx.with_inputs(case.model, Path(case.model.id)).inputs
    shape = (44, *(axis for axis in spec.shape[1:] if isinstance(axis, int)))
    arrays: dict[str, Any] = {spec.name: np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    np.savez(project.root / "data.npz", labels=np.arange(44) % 4, **arrays)
    options = {"path": str(project.root / "data.npz")}
    data = DataSpec(name="npz", source="npz", calibration=4, evaluation=40, options=options)
    one = dataclasses.replace(case, model=dataclasses.replace(case.model, task="classification", data=data))
    built = built_of(one.model, bench)
    first, again = (run_case(one, built, bench).evaluation for _ in range(2))
    assert first == again
    assert first is not None
    assert first.accuracy is not None
    top1 = first.metrics[0]
    assert ("top1", 40, first.accuracy.value) == (top1.name, top1.n, top1.value)
    assert top1.low is not None
    assert top1.high is not None
    assert top1.low < top1.value < top1.high
    assert ["y"] == [part.output for part in first.parts]


def graph(name: str) -> tuple[list[Any], list[Any], list[Any]]:
    """Nodes, inputs and outputs of a graph that is not rows in, rows out."""
    value, node = builders.value, helper.make_node
    return {
        "sequence first": ([node("Relu", ["x"], ["y"])], [value("x", [5, "batch", 4])], [value("y", [5, "batch", 4])]),
        "one number": (
            [node("ReduceMean", ["x"], ["y"], keepdims=0)], [value("x", ["batch", 4])], [value("y", [])],
        ),
        "a constant": (
            [node("Mul", ["x", "s"], ["y"])], [value("x", ["batch", 4]), value("s", [])], [value("y", ["batch", 4])],
        ),
        "a state": (
            [node("Mul", ["x", "h"], ["y"])], [value("x", [1, 4]), value("h", [2, 4])], [value("y", [2, 4])],
        ),
        "as many as there are": (
            [node("NonZero", ["x"], ["y"])],
            [value("x", [1, 40], TensorProto.BOOL)],
            [value("y", [2, "n"], TensorProto.INT64)],
        ),
    }[name]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "batches"),
    [("sequence first", True), ("one number", True), ("a constant", True), ("a state", False),
     ("as many as there are", False)],
)  # fmt: skip
def test_whole_feeds_are_measured(tmp_path: Path, bench: Bench, case: Case, name: str, batches: bool) -> None:
    """Any shape at batch 1, with outputs as the reference has them; at batch 2 where there is a batch axis."""
    model = specs.file_model(builders.save(tmp_path / "m.onnx", *graph(name)))
    built = built_of(model, bench)
    quick = dataclasses.replace(bench, settings=dataclasses.replace(SETTINGS, processes=1, time_per_case=0.05))
    for batch in (1, 2):
        one = dataclasses.replace(case, model=model, target=dataclasses.replace(case.target, batch=batch))
        outcome = run_case(one, built, quick)
        if batch == 1 or batches:
            assert Status.MEASURED is outcome.status, outcome.reason
            assert outcome.evaluation is not None
            assert outcome.evaluation.fidelity is not None
            assert 0 == outcome.evaluation.fidelity.max_abs
        else:
            assert (Status.UNSUPPORTED, "input 'x' has a fixed batch of 1, not 2") == (outcome.status, outcome.reason)


def test_a_reference_of_an_earlier_version(case: Case, built: Artifact, bench: Bench) -> None:
    """A gate's base may have one: the same examples in files that have them on axis 0 give the same numbers."""
    import numpy as np

    now = run_case(case, built, bench).evaluation
    folder = bench.cache.reference_dir(built.reference.digest)
    for file in ("feeds/0.npy", "outputs/0.npy"):
        np.save(folder / file, np.load(folder / file)[:, 0])
    content = wire.reference_to_json(built.reference)
    old = wire.reference_from_json(
        {name: content[name] for name in ("origin", "inputs", "outputs", "examples", "labelled")} | {"digest": "old"}
    )
    folder.rename(folder.with_name("old"))
    before = run_case(case, dataclasses.replace(built, reference=old), bench).evaluation
    assert now == before
    assert now is not None


def test_no_artifact_no_number(case: Case, bench: Bench) -> None:
    """What the build refused is the outcome, with the build's reason."""
    outcome = run_case(case, Refusal(status=Status.SKIPPED, reason="makes no sense"), bench)
    assert (Status.SKIPPED, "makes no sense", None) == (outcome.status, outcome.reason, outcome.latency)


def test_an_unusable_target_starts_no_worker(case: Case, built: Artifact, bench: Bench) -> None:
    """It was tried once for the whole sweep; the worker command here would fail at once."""

    def never() -> Client:
        raise AssertionError

    outcome = run_case(case, built, dataclasses.replace(bench, unusable={"cpu": "no such thing"}, client=never))
    assert (Status.UNSUPPORTED, "no such thing") == (outcome.status, outcome.reason)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("not_implemented", Status.UNSUPPORTED),
        ("provider", Status.UNSUPPORTED),
        ("batch", Status.UNSUPPORTED),
        ("model", Status.FAILED),
        ("memory", Status.FAILED),
        ("input", Status.FAILED),
        ("runtime", Status.FAILED),
    ],
)
def test_a_refusal_decides_the_status(
    case: Case, built: Artifact, bench: Bench, tmp_path: Path, kind: str, status: Status
) -> None:
    """What nothing here can run is unsupported; what is broken has failed."""
    start = worker(tmp_path, f"send({{'ok': False, 'kind': {kind!r}, 'message': 'said so'}})")
    outcome = run_case(case, built, dataclasses.replace(bench, client=start))
    assert (status, "said so", None) == (outcome.status, outcome.reason, outcome.latency)


def test_a_crash_in_the_second_process_keeps_the_first_but_makes_no_number(
    case: Case, built: Artifact, bench: Bench, tmp_path: Path
) -> None:
    """What was timed is stored; a median over half a case would not be what was asked for."""
    flag = tmp_path / "second"
    body = (
        f"if os.path.exists({str(flag)!r}): os.kill(os.getpid(), signal.SIGKILL)\n"
        "send({'ok': True, 'durations_ns': [10**6] * request['n'], 'preempted': 0})"
    )
    hello = HELLO.replace("if cmd == 'close': break", f"if cmd == 'close': open({str(flag)!r}, 'w').close(); break")
    outcome = run_case(case, built, dataclasses.replace(bench, client=worker(tmp_path, body, hello=hello)))
    assert Status.FAILED is outcome.status
    assert outcome.reason.startswith("process 2: the worker died")
    assert 1 == len(outcome.processes)
    assert outcome.latency is None


def test_outputs_of_another_shape_than_the_reference_fail(case: Case, built: Artifact, bench: Bench) -> None:
    """Fidelity is never computed on what cannot be compared."""
    import numpy as np

    path = bench.cache.reference_dir(built.reference.digest) / "outputs" / "0.npy"
    np.save(path, np.zeros((built.reference.examples, 2), np.float32))
    outcome = run_case(case, built, bench)
    assert Status.FAILED is outcome.status
    assert "shape" in outcome.reason


def test_a_worker_out_of_memory_is_a_failed_case(case: Case, built: Artifact, bench: Bench) -> None:
    """A real worker under an address space limit: it dies or refuses, and the sweep goes on."""
    import sys

    from harness.runtimes import client as clients

    limited = (
        "import resource, runpy, sys\n"
        "import numpy, onnxruntime\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 4_000_000, used + 4_000_000))\n"
        f"sys.path.insert(0, {str(Path(clients.__file__).parent)!r})\n"
        f"runpy.run_path({clients.default_command()[1]!r}, run_name='__main__')\n"
    )
    large = dataclasses.replace(case, target=dataclasses.replace(case.target, batch=200_000))
    start = dataclasses.replace(bench, client=lambda: clients.Client([sys.executable, "-c", limited]))
    outcome = run_case(large, built, start)
    assert Status.FAILED is outcome.status
    assert outcome.reason


def process(median: int, *, steady: bool = True) -> ProcessSamples:
    """A process whose samples are all alike."""
    return ProcessSamples(
        started_at="",
        session_ns=1,
        first_inference_ns=1,
        warmup_ns=(),
        samples_ns=(median,) * 5,
        steady=steady,
        stop="time",
    )


def test_remarks_name_the_remedy() -> None:
    """Unsteady, spread out and near the floor: three remarks; a quiet case has none."""
    found = Latency(
        median_s=10e-6, ci95_low_s=0, ci95_high_s=1, mean_s=1, min_s=1, p90_s=None, p95_s=None, p99_s=None, n=1,
        processes=2, stop="time", warmup_n=0,
    )  # fmt: skip
    noisy = remarks((process(10_000), process(15_000, steady=False)), found, 5e-6)
    assert ["--time-per-case" in noisy[0], "--processes" in noisy[1], "floor" in noisy[2]] == [True] * 3
    assert () == remarks((process(10_000), process(10_100)), found, 1e-9)
