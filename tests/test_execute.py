"""harness.flow.execute: from artifact to outcome, with real sessions and with workers that misbehave."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from harness import zoo
from harness.build import inventory, pipeline
from harness.build.cache import Cache
from harness.errors import WorkerRefusal
from harness.flow import plan as planning
from harness.flow.execute import Job, run_case, workload
from harness.flow.preview import SweepSettings
from harness.flow.remarks import of_samples
from harness.frameworks import onnx
from harness.measure import coordinator, host
from harness.measure.coordinator import Workload
from harness.records import (
    Artifact,
    Case,
    DataSpec,
    HostInfo,
    Latency,
    ModelSpec,
    ProcessSamples,
    Refusal,
    RuntimeInfo,
    Status,
    TimedInputs,
    wire,
)
from harness.runtimes import client as clients
from harness.runtimes.client import Client
from harness.runtimes.clients import WorkerStarter
from tests import builders, specs
from tests.conftest import Project, take_over, write_project
from tests.workers import worker

SETTINGS = SweepSettings(processes=2, time_per_case=0.05, ci_width=0.05)


@pytest.fixture
def case(project: Project) -> Case:
    """tiny/fp32 on one CPU thread."""
    return planning.plan(zoo.load(project.root / "model_zoo.yaml"), planning.Selection(variants=("fp32",))).cases[0]


@pytest.fixture(scope="module")
def found(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The artifact of tiny/fp32, which does not depend on where it lies."""
    project = write_project(tmp_path_factory.mktemp("found"))
    take_over(built, project.root)
    (case,) = planning.plan(zoo.load(project.root / "model_zoo.yaml"), planning.Selection(variants=("fp32",))).cases
    cache = Cache(project.root / "cache")
    found = pipeline.build(cache, [(case.model, [case.recipe])], on_event=lambda _: None)["tiny", "fp32"]
    assert isinstance(found, Artifact)
    return found


@pytest.fixture
def job(case: Case, built_project: Project, found: Artifact) -> Job:
    """The job of `case`, whose artifact is in the cache, and no evaluation."""
    return Job(case=case, built=found, settings=SETTINGS, cache=built_project.root / "cache")


@pytest.fixture
def brief(job: Job) -> Job:
    """The same in one process."""
    return dataclasses.replace(job, settings=dataclasses.replace(SETTINGS, processes=1))


def of_target(job: Job, **changes: Any) -> Job:
    """The same job on another target."""
    target = dataclasses.replace(job.case.target, **changes)
    return dataclasses.replace(job, case=dataclasses.replace(job.case, target=target))


def evaluations(job: Job) -> int:
    """How many the cache holds."""
    return len([entry for entry in inventory.entries(Cache(job.cache)) if entry.kind == "evaluations"])


def test_a_case_is_measured_and_evaluated(job: Job) -> None:
    """Numbers, placement, fidelity and the kernels that ran, and what and where it was.

    Peak memory is that of a process with a runtime: importing onnxruntime and NumPy takes some tens of megabytes, and
    this model next to nothing.
    """
    outcome = run_case(job)
    assert Status.MEASURED is outcome.status, outcome.reason
    assert outcome.latency is not None
    assert 2 == outcome.latency.processes == len(outcome.processes)
    assert {"CPUExecutionProvider": 1.0} == dict(outcome.placement)
    assert outcome.evaluation is not None
    assert outcome.evaluation.kernels["BatchNormalization"] == 1  # optimizations are off for fp32
    assert outcome.evaluation.fidelity is not None
    assert 0 == outcome.evaluation.fidelity.max_abs
    assert outcome.runtime is not None
    assert ("onnxruntime", onnxruntime.__version__) == (outcome.runtime.name, outcome.runtime.version)
    assert host.here() == outcome.host
    if sys.platform.startswith("linux"):  # it is read from /proc
        peaks = [process.peak_rss_bytes for process in outcome.processes]
        assert all(peak is not None and 20e6 < peak < 2e9 for peak in peaks)


def test_an_evaluation_is_done_once(brief: Job) -> None:
    """The same artifact with other threads and batch: no second evaluation; another host or build: a new one each."""
    job = brief
    run_case(job)
    run_case(of_target(job, intra_threads=2, batch=4))
    assert 1 == evaluations(job)
    run_case(dataclasses.replace(job, host=HostInfo(fingerprint="another")))
    assert 2 == evaluations(job)
    run_case(dataclasses.replace(job, client=WorkerStarter(command=clients.default_command(), digest="own build")))
    assert 3 == evaluations(job)


def built_of(model: ModelSpec, cache: Path) -> Artifact:
    """The fp32 artifact of a model."""
    found = pipeline.build(Cache(cache), [(model, [specs.FP32])], on_event=lambda _: None)[model.name, "fp32"]
    assert isinstance(found, Artifact), found
    return found


def test_the_metrics_of_a_task_are_kept(brief: Job, project: Project) -> None:
    """Classes on labelled data: accuracy with its interval, read from the cache as it was measured."""
    job = brief
    (spec,) = onnx.with_inputs(job.case.model, Path(job.case.model.id)).inputs
    shape = (44, *(axis for axis in spec.shape[1:] if isinstance(axis, int)))
    arrays: dict[str, Any] = {spec.name: np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    np.savez(project.root / "data.npz", labels=np.arange(44) % 4, **arrays)
    options = {"path": str(project.root / "data.npz")}
    data = DataSpec(name="npz", source="npz", calibration=4, evaluation=40, options=options)
    model = dataclasses.replace(job.case.model, task="classification", data=data)
    one = dataclasses.replace(job, case=dataclasses.replace(job.case, model=model), built=built_of(model, job.cache))
    first, again = (run_case(one).evaluation for _ in range(2))
    assert first == again
    assert first is not None
    assert first.accuracy is not None
    top1 = first.metrics[0]
    assert ("top1", 40, first.accuracy.value) == (top1.name, top1.n, top1.value)
    assert top1.low is not None
    assert top1.high is not None
    assert top1.low < top1.value < top1.high
    assert ["y"] == [part.output for part in first.parts]


def graphs() -> dict[str, tuple[list[Any], list[Any], list[Any]]]:
    """Nodes, inputs and outputs of graphs that are not rows in, rows out."""
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
    }  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[ModelSpec, Artifact]]]:
    """Their cache, and each as it was built there."""
    folder = tmp_path_factory.mktemp("whole")
    models = {}
    for name, parts in graphs().items():
        path = builders.save(folder / f"{name}.onnx", *parts)
        models[name] = dataclasses.replace(specs.file_model(path), name=name.replace(" ", "-"))
    found = pipeline.build(
        Cache(folder / "cache"), [(model, [specs.FP32]) for model in models.values()], on_event=lambda _: None
    )
    built = {}
    for name, model in models.items():
        artifact = found[model.name, "fp32"]
        assert isinstance(artifact, Artifact), artifact
        built[name] = (model, artifact)
    return folder / "cache", built


@pytest.mark.parametrize(
    ("name", "batches"),
    [("sequence first", True), ("one number", False), ("a constant", True), ("a state", False),
     ("as many as there are", False)],
)  # fmt: skip
def test_whole_feeds_are_measured(
    whole: tuple[Path, dict[str, tuple[ModelSpec, Artifact]]], brief: Job, name: str, batches: bool
) -> None:
    """Any shape at batch 1, with outputs as the reference has them; at batch 2 where rows do not interact."""
    cache, built = whole
    model, artifact = built[name]
    quick = dataclasses.replace(brief, case=dataclasses.replace(brief.case, model=model), built=artifact, cache=cache)
    for batch in (1, 2):
        outcome = run_case(of_target(quick, batch=batch))
        if batch == 1 or batches:
            assert Status.MEASURED is outcome.status, outcome.reason
            assert outcome.evaluation is not None
            assert outcome.evaluation.fidelity is not None
            assert 0 == outcome.evaluation.fidelity.max_abs
        else:
            assert Status.UNSUPPORTED is outcome.status
            assert outcome.reason.startswith("batch 2 is left out: ")
            assert outcome.reason.endswith("batch 1 is one example, as it is")


def test_a_reference_of_an_earlier_version(brief: Job) -> None:
    """A gate's base may have one: the same examples in files that have them on axis 0 give the same numbers."""
    job = brief
    built = job.built
    assert isinstance(built, Artifact)
    now = run_case(job).evaluation
    folder = Cache(job.cache).reference_dir(built.reference.digest)
    for file in ("feeds/0.npy", "outputs/0.npy"):
        np.save(folder / file, np.load(folder / file)[:, 0])
    content = wire.reference_to_json(built.reference)
    old = wire.reference_from_json(
        {name: content[name] for name in ("origin", "inputs", "outputs", "examples", "labelled")} | {"digest": "old"}
    )
    folder.rename(folder.with_name("old"))
    before = run_case(dataclasses.replace(job, built=dataclasses.replace(built, reference=old))).evaluation
    assert now is not None
    assert before is not None
    assert now == dataclasses.replace(before, key=now.key)
    assert now is not None


def test_no_artifact_no_number(job: Job) -> None:
    """What the build refused is the outcome, with the build's reason."""
    outcome = run_case(dataclasses.replace(job, built=Refusal(status=Status.SKIPPED, reason="makes no sense")))
    assert (Status.SKIPPED, "makes no sense", None) == (outcome.status, outcome.reason, outcome.latency)
    assert (None, None) == (outcome.runtime, outcome.host)


def test_an_unusable_target_starts_no_worker(job: Job) -> None:
    """It was tried once for the whole sweep; the worker command here would fail at once."""

    def never() -> Client:
        raise AssertionError

    tried = RuntimeInfo(name="onnxruntime", version="1.31.1", package="onnxruntime")
    outcome = run_case(dataclasses.replace(job, unusable="no such thing", client=never, runtime=tried))
    assert (Status.UNSUPPORTED, "no such thing") == (outcome.status, outcome.reason)
    assert (tried, None) == (outcome.runtime, outcome.host)


def test_a_runtime_that_is_not_there_is_a_failure(job: Job) -> None:
    """What is missing can be installed: the case does not look like one that never had a number."""
    outcome = run_case(dataclasses.replace(job, absent="pip found no such version"))
    assert (Status.FAILED, "pip found no such version") == (outcome.status, outcome.reason)


def test_whatever_breaks_is_the_cases_own_failure(job: Job) -> None:
    """A list where a mapping was expected: in words, once the processes are timed, with the sizes that were guessed."""
    assert isinstance(job.built, Artifact)
    stated: Any = []  # as nobody writes it
    model = dataclasses.replace(job.case.model, dims={"seq": 16})
    built = dataclasses.replace(job.built, stated=stated)
    outcome = run_case(dataclasses.replace(job, built=built, case=dataclasses.replace(job.case, model=model)))
    assert Status.FAILED == outcome.status
    assert outcome.reason.startswith("its outputs: harness could not handle this (internal: AttributeError")
    assert "seq = 16" in outcome.reason


def test_a_case_that_fails_says_where_it_would_have_run(job: Job) -> None:
    """The runtime is what its target said when it was tried, where no worker of the case came to speak."""
    runtime = RuntimeInfo(name="onnxruntime", version="1.0")
    lost = WorkerStarter(command=("/nonexistent/python",))
    outcome = run_case(dataclasses.replace(job, client=lost, runtime=runtime))
    assert (Status.FAILED, runtime, host.here()) == (outcome.status, outcome.runtime, outcome.host)


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
def test_a_refusal_decides_the_status(job: Job, tmp_path: Path, kind: str, status: Status) -> None:
    """What nothing here can run is unsupported; what is broken has failed."""
    start = worker(tmp_path, f"send({{'ok': False, 'kind': {kind!r}, 'message': 'said so'}})")
    outcome = run_case(dataclasses.replace(job, client=start))
    assert (status, "said so", None) == (outcome.status, outcome.reason, outcome.latency)


def dying(tmp_path: Path, *starts: int) -> Callable[[], Client]:
    """Starts real workers, but for these starts, counted from 1, workers that die of their first burst."""
    dead = worker(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    count = itertools.count(1)
    return lambda: dead() if next(count) in starts else Client()


def test_outputs_come_of_the_first_process_that_is_timed(job: Job, tmp_path: Path) -> None:
    """Two planned processes are two workers; where a timed one can show no outputs, a third does."""
    starts: list[int] = []

    def start() -> Client:
        starts.append(1)
        return Client()

    outcome = run_case(dataclasses.replace(job, client=start))
    assert (Status.MEASURED, 2) == (outcome.status, len(starts)), outcome.reason
    assert outcome.evaluation is not None

    cannot = "from harness.runtimes.onnxruntime import worker as w; w.Worker.outputs = None; w.main()"
    count = itertools.count(1)
    (job.cache / "evaluations").rename(job.cache / "elsewhere")

    def lame() -> Client:
        return Client([sys.executable, "-c", cannot]) if next(count) == 1 else Client()

    again = run_case(dataclasses.replace(job, client=lame))
    assert (Status.MEASURED, 4) == (again.status, next(count)), again.reason
    assert again.evaluation is not None
    assert outcome.evaluation.fidelity == again.evaluation.fidelity


def test_a_crash_in_the_second_process_keeps_the_first_but_makes_no_number(job: Job, tmp_path: Path) -> None:
    """What was timed is stored; a median over half a case would not be what was asked for."""
    outcome = run_case(dataclasses.replace(job, client=dying(tmp_path, 2)))
    assert Status.FAILED is outcome.status
    assert outcome.reason.startswith("process 2: the worker died")
    assert 1 == len(outcome.processes)
    assert [2] == [crash.process for crash in outcome.crashes]
    assert outcome.latency is None


def test_a_case_whose_processes_crash_every_second_time_has_numbers_that_say_so(job: Job, tmp_path: Path) -> None:
    """Two of five: the three others make the number, and a note travels with it."""
    settings = dataclasses.replace(SETTINGS, processes=5, time_per_case=0.1)
    outcome = run_case(dataclasses.replace(job, settings=settings, client=dying(tmp_path, 2, 4)))
    assert Status.MEASURED is outcome.status, outcome.reason
    assert outcome.latency is not None
    assert 3 == outcome.latency.processes == len(outcome.processes)
    assert [2, 4] == [crash.process for crash in outcome.crashes]
    assert any(note.startswith("2 of 5 processes crashed (process 2: the worker died") for note in outcome.notes)


def test_a_case_whose_first_processes_crash_fails_and_is_not_tried_for_good(job: Job, tmp_path: Path) -> None:
    """Three of five make it impossible to have more than half: the fourth is not started."""
    starts: list[int] = []

    def start() -> Client:
        starts.append(1)
        return worker(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")()

    settings = dataclasses.replace(SETTINGS, processes=5)
    outcome = run_case(dataclasses.replace(job, settings=settings, client=start))
    assert (Status.FAILED, 3, None) == (outcome.status, len(starts), outcome.latency)
    assert outcome.reason.startswith("3 of 3 processes crashed, the first with: the worker died")


@pytest.mark.parametrize("mode", ["rotate", "fixed"])
def test_a_case_is_timed_on_as_many_examples_as_there_are_unless_its_zoo_fixes_one(job: Job, mode: str) -> None:
    """And the row says through how many its inferences went; the evaluation is in the cache."""
    assert isinstance(job.built, Artifact)
    model = dataclasses.replace(job.case.model, timed_inputs=mode)
    own = dataclasses.replace(job, case=dataclasses.replace(job.case, model=model))
    expected = min(job.built.reference.examples, 64) if mode == "rotate" else 1
    assert (mode == "rotate") == (expected > 1)
    assert expected == workload(own.case, job.built, Cache(job.cache)).rotate
    outcome = run_case(dataclasses.replace(own, settings=dataclasses.replace(SETTINGS, processes=1)))
    assert TimedInputs(mode=mode, examples=expected) == outcome.timed_inputs


def test_outputs_of_another_shape_than_the_reference_fail(job: Job) -> None:
    """Fidelity is never computed on what cannot be compared."""
    assert isinstance(job.built, Artifact)
    path = Cache(job.cache).reference_dir(job.built.reference.digest) / "outputs" / "0.npy"
    np.save(path, np.zeros((job.built.reference.examples, 2), np.float32))
    outcome = run_case(job)
    assert Status.FAILED is outcome.status
    assert "shape" in outcome.reason


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the address space")
def test_a_worker_out_of_memory_is_a_failed_case(job: Job) -> None:
    """A real worker under an address space limit says so with the kind `memory`, and the case fails with its words."""
    limited = (
        "import resource, runpy, sys\n"
        "import numpy, onnxruntime\n"
        "plain = onnxruntime.InferenceSession\n"
        "def limited(*given, **named):\n"  # the session fits, the batch does not
        "    made = plain(*given, **named)\n"
        "    used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (used + 4_000_000, used + 4_000_000))\n"
        "    return made\n"
        "onnxruntime.InferenceSession = limited\n"
        f"sys.path.insert(0, {str(Path(clients.__file__).parent)!r})\n"
        f"runpy.run_path({clients.default_command()[1]!r}, run_name='__main__')\n"
    )
    large = of_target(job, batch=200_000)
    start = WorkerStarter(command=(sys.executable, "-c", limited))
    with start() as client, pytest.raises(WorkerRefusal) as caught:
        assert isinstance(large.built, Artifact)
        client.ask("open", 60, **workload(large.case, large.built, Cache(large.cache)).request())
    assert "memory" == caught.value.kind
    outcome = run_case(dataclasses.replace(large, client=start))
    assert (Status.FAILED, str(caught.value)) == (outcome.status, outcome.reason)


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
    noisy = of_samples((process(10_000), process(15_000, steady=False)), found, 5e-6)
    assert ["--time-per-case" in noisy[0], "--processes" in noisy[1], "floor" in noisy[2]] == [True] * 3
    assert () == of_samples((process(10_000), process(10_100)), found, 1e-9)


def test_a_clock_that_is_too_coarse_is_a_remark() -> None:
    """A millisecond's steps of a median of 10 ms, in enough samples that this is not by chance."""
    found = Latency(
        median_s=10e-3, ci95_low_s=0, ci95_high_s=1, mean_s=1, min_s=1, p90_s=None, p95_s=None, p99_s=None, n=1,
        processes=2, stop="time", warmup_n=0,
    )  # fmt: skip
    ticks = [dataclasses.replace(process(0), samples_ns=(10_000_000, 11_000_000) * 6) for _ in range(2)]
    (note,) = of_samples(tuple(ticks), found, None)
    assert note.startswith("samples come in steps of 1.00 ms, 10% of the median: the clock is too coarse")
    finer = dataclasses.replace(ticks[0], samples_ns=(10_000_000, 10_000_500) * 6)
    assert () == of_samples((finer, finer), found, None)


def test_a_file_that_no_step_changes_is_judged_by_its_weights(brief: Job) -> None:
    """What the file states goes before the recipe's float32; the outcome says by which it was judged, and on what."""
    job = brief
    assert isinstance(job.built, Artifact)
    assert {"float"} == set(job.built.stated["weights"])
    found = run_case(job)
    assert found.evaluation is not None
    assert (Status.MEASURED, "float32") == (found.status, found.evaluation.precision)
    assert {"float": 1.0} == dict(found.evaluation.computation)
    pretended = dataclasses.replace(job.built, stated={"weights": {"float16": 1}, "packed": {}})
    found = run_case(dataclasses.replace(job, built=pretended))
    assert found.evaluation is not None
    assert (Status.EMULATED, "float16") == (found.status, found.evaluation.precision)
    assert "claims float16, but its computation was 100% float" == found.reason
    unknown = dataclasses.replace(job.built, stated={})  # built by an earlier version
    assert Status.MEASURED is run_case(dataclasses.replace(job, built=unknown)).status


def test_another_language_has_to_compute_what_python_does(brief: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it does not, the case fails with the first value that differs; where it does, it is measured."""
    job = of_target(brief, runtime="cpp")  # the job's own client runs it, which is Python's
    assert Status.MEASURED is run_case(job).status
    inventory.prune(Cache(job.cache), kind="evaluations")
    observe = coordinator.observe

    def other(work: Workload, **rest: Any) -> Any:
        found = observe(work, **rest)
        for path in rest["folder"].glob("0.npy"):
            np.save(path, np.load(path) + 1)
        return found

    monkeypatch.setattr(coordinator, "observe", other)
    outcome = run_case(job)
    assert Status.FAILED is outcome.status
    assert "they are not those of Python: `" in outcome.reason
    assert "of example 0 is" in outcome.reason
