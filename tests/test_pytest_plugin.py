"""harness.pytest_plugin: zoo cases as tests, run by a pytest of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.build import pipeline
from harness.flow import session
from harness.pytest_plugin.cases import WorkerClock, line_of
from harness.records import Case, Evaluation, Fidelity, Outcome, Status
from harness.zoo import validate  # noqa: F401  (else every pytest that is run here imports pydantic anew)
from tests import builders, outcomes

pytest_plugins = ["pytester"]

ZOO = """
version: 1
defaults: {{variants: [fp32, int8-static], targets: [cpu], threads: [1], batch: [1], processes: 1, time_per_case: 0.2}}
variants:
  fp32: {{precision: float32, optimization: disabled, steps: [export]}}
  int8-static: {{precision: int8, steps: [export, fuse: {{level: basic}}, quantize: {{method: static}}]}}
  int4-weights: {{precision: int4, steps: [export, fuse: {{level: basic}}, quantize: {{method: weights, bits: 4}}]}}
targets:
  cpu: {{provider: cpu}}
  qnn: {{provider: qnn, threads: [1]}}
models:
  {models}
"""
TINY = "tiny: {source: onnx, id: NETWORKS/tiny.onnx, budget: {fidelity_db: 5}}"

# Hypothesis would be imported anew by every one of these runs.
PLAIN = ("-W", "error", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:anyio")

Run = Callable[..., pytest.RunResult]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """However these tests are run, the pytest that they start is not a worker of pytest-xdist."""
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)


def zoo_of(networks: Path, models: str = TINY) -> str:
    """A zoo of these models, whose files stay where they are: the cache knows a file by its place."""
    return ZOO.format(models=models.replace("NETWORKS", str(networks)))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests, so that each artifact is built once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The .onnx files that zoos name."""
    folder = tmp_path_factory.mktemp("networks")
    builders.tiny_conv(folder / "tiny.onnx")
    builders.conv_only(folder / "conv.onnx")
    builders.truncated(folder / "broken.onnx")
    return folder


@pytest.fixture(scope="module")
def floors() -> dict[str, Any]:
    """What trying a target gave: seen once, it is not what these tests are about."""
    return {}


@pytest.fixture
def run(
    pytester: pytest.Pytester,
    cache: Path,
    networks: Path,
    floors: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Write a zoo of these models, unless there is one, and run pytest on it."""
    monkeypatch.setenv("HARNESS_CACHE", str(cache))
    really = session.try_targets

    def try_once(selected: Sequence[Case], cache: Path, **more: Any) -> Any:
        name = selected[0].target.name
        if name not in floors:
            floors[name] = really(selected, cache, **more)
        return floors[name]

    monkeypatch.setattr(session, "try_targets", try_once)

    def start(*arguments: str, models: str = TINY, zoo: str | None = "model_zoo.yaml") -> pytest.RunResult:
        if zoo and not (pytester.path / zoo).exists():
            (pytester.path / zoo).write_text(zoo_of(networks, models), encoding="utf-8")
        given = ["--zoo", zoo] if zoo else []
        return pytester.runpytest_inprocess(*PLAIN, *given, *arguments)

    return start


@pytest.fixture
def fake(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """As `run`, but nothing is built or measured: cases have one outcome, and `asked` hears what a build was asked."""

    def start(
        *arguments: str,
        outcome: Callable[[Case], Outcome] = outcomes.measured,
        asked: list[list[tuple[str, list[str]]]] | None = None,
        **more: Any,
    ) -> pytest.RunResult:
        def build(_: Any, requests: Any, **__: Any) -> Any:
            by_model = [(model.name, [recipe.name for recipe in recipes]) for model, recipes in requests]
            if asked is not None:
                asked.append(by_model)
            return {(model, variant): outcomes.artifact for model, variants in by_model for variant in variants}

        monkeypatch.setattr(pipeline, "build", build)
        monkeypatch.setattr(session, "try_targets", lambda selected, cache, **_: session.TriedTargets())
        monkeypatch.setattr(session, "run_case", lambda job: outcome(job.case))
        return run(*arguments, **more)

    return start


def unjudged(case: Case) -> Outcome:
    """A measured case without labels, whose outputs do not vary."""
    fidelity = Fidelity(centred_sqnr_db=None, sqnr_db=None, cosine=None, max_abs=None, top1_agreement=None)
    evaluation = Evaluation(fidelity=fidelity, accuracy=None)
    return outcomes.measured(case, evaluation=evaluation)


def saved(folder: Path) -> dict[str, Any]:
    """The benchmarks of out.json, by name."""
    return {entry["name"]: entry for entry in json.loads((folder / "out.json").read_bytes())["benchmarks"]}


def test_every_case_is_a_test_and_collecting_builds_nothing(run: Run, pytester: pytest.Pytester) -> None:
    """The ids are those of the cases, in the order of the plan; the header says what would be built."""
    result = run("--collect-only", "-q", "--harness-cache", str(pytester.path / "empty"))
    result.stdout.fnmatch_lines(["model_zoo.yaml::tiny/fp32/cpu-t1-b1", "model_zoo.yaml::tiny/int8-static/cpu-t1-b1"])
    assert not (pytester.path / "empty").exists()
    assert 0 == result.ret


def test_the_workers_own_samples_reach_pytest_benchmark(run: Run, pytester: pytest.Pytester) -> None:
    """As many as were timed, bit for bit, with everything that is known of them, and a table per model and target."""
    result = run("--benchmark-json", "out.json", "--benchmark-columns", "min,median,rounds", "--processes", "2")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*benchmark 'tiny on cpu-t1-b1': 2 tests*", "Name (time in *Min*Median*Rounds*"])
    entry = saved(pytester.path)["tiny/int8-static/cpu-t1-b1"]
    data, info = entry["stats"]["data"], entry["extra_info"]
    assert info["latency"]["n"] == len(data) == sum(info["samples_per_process"])
    assert 2 == len(info["samples_per_process"])
    assert info["latency"]["min_s"] == min(data)
    assert "harness worker" == entry["options"]["timer"]
    assert "tiny/int8-static/cpu-t1-b1" == info["case"]
    for key in ("artifact", "weights", "fidelity", "fingerprint", "host", "versions", "settings", "run"):
        assert info[key], key
    assert info["artifact"]["digest"]
    assert "processes" not in info
    assert 1 < info["reference"]["examples"] <= 64
    assert {"mode": "rotate", "examples": info["reference"]["examples"]} == info["timed_inputs"]


def test_the_clock_replays_samples_exactly() -> None:
    """No rounding: the difference of each two readings is the sample, however large the ones before it were."""
    clock = WorkerClock()
    samples = [1e6, 3e-9, 0.1, 1.2345678901234567e-5]
    clock.load(samples)
    seen = []
    for _ in samples:
        start = clock()
        seen.append(clock() - start)
    assert samples == seen


def test_saving_and_comparing_work_as_usual(fake: Run) -> None:
    """Two runs, the second set beside the first; one that is slower than allowed fails."""
    fake("--benchmark-autosave", "--variants", "fp32").assert_outcomes(passed=1)
    result = fake("--benchmark-compare", "--variants", "fp32")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*tiny/fp32/cpu-t1-b1 (NOW)*"])
    slower = fake(
        "--benchmark-compare", "--benchmark-compare-fail", "median:50%", "--variants", "fp32",
        outcome=lambda case: outcomes.measured(case, (2_000_000, 2_010_000, 1_990_000)),
    )  # fmt: skip
    assert slower.ret != 0


def test_a_broken_budget_fails_with_every_limit_and_no_traceback(fake: Run, pytester: pytest.Pytester) -> None:
    """Fidelity, latency and size are reported together; the numbers are kept all the same."""
    result = fake(
        "--variants", "int8-static", "--benchmark-json", "out.json",
        models="tiny: {source: onnx, id: NETWORKS/tiny.onnx, budget: {fidelity_db: 200, latency: 0.1us, size: 10B}}",
    )  # fmt: skip
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "tiny/int8-static/cpu-t1-b1 is outside the budget that model_zoo.yaml sets:",
            "  fidelity 40.0 dB, budget 200.0 dB",
            "  median 1 ms, budget 0.0001 ms",
            "  123,456 bytes, budget 10 bytes",
            "*noisy: close other programs*",
        ]
    )
    assert "cases.py" not in result.stdout.str()
    assert ["tiny/int8-static/cpu-t1-b1"] == list(saved(pytester.path))


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ("latency: 0.1us", "  median 1 ms, budget 0.0001 ms"),
        ("accuracy_drop: 1%", "  accuracy drop, budget 1.00%: cannot be judged, the data has no labels"),
        ("fidelity_db: 20", "  fidelity, budget 20.0 dB: cannot be judged, *"),
    ],
)
def test_limits_that_excess_has_no_verdict_on(fake: Run, budget: str, said: str) -> None:
    """A latency budget holds without a fidelity budget, and a budget that nobody can look at does not pass."""
    models = f"tiny: {{source: onnx, id: NETWORKS/tiny.onnx, budget: {{{budget}}}}}"
    result = fake("--variants", "int8-static", models=models, outcome=unjudged)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([said])


def test_a_budget_that_holds_passes(fake: Run) -> None:
    """And so does a model without one, and a case that is emulated."""
    emulated = Status.EMULATED
    models = (
        "tiny: {source: onnx, id: NETWORKS/tiny.onnx, "
        "budget: {accuracy_drop: 1%, latency: 2ms, size: 1MB}}\n  free: {source: onnx, id: NETWORKS/tiny.onnx}"
    )
    result = fake(models=models, outcome=lambda case: outcomes.measured(case, status=emulated))
    result.assert_outcomes(passed=4)


def test_cases_that_cannot_run_are_skipped_and_broken_ones_fail(run: Run, pytester: pytest.Pytester) -> None:
    """With their reasons; a failed case leaves no numbers behind."""
    models = "conv: {source: onnx, id: NETWORKS/conv.onnx}\n  broken: {source: onnx, id: NETWORKS/broken.onnx}"
    arguments = ("-rs", "--benchmark-json", "out.json", "-k", "not broken/int4")
    result = run(*arguments, "--variants", "int4-weights,fp32", "--targets", "cpu,qnn", models=models)
    result.assert_outcomes(passed=1, skipped=3, failed=2, deselected=2)
    result.stdout.fnmatch_lines(
        [
            "broken/fp32/cpu-t1-b1 failed: *broken.onnx*",
            "SKIPPED * conv/int4-weights/cpu-t1-b1 skipped: *MatMul*",
            "SKIPPED * conv/fp32/qnn-t1-b1 unsupported: *",
        ]
    )
    assert ["conv/fp32/cpu-t1-b1"] == list(saved(pytester.path))


def test_without_timing_the_other_budgets_are_still_asserted(run: Run) -> None:
    """`--benchmark-disable` runs each case briefly: its latency is not judged, its size is."""
    models = "tiny: {source: onnx, id: NETWORKS/tiny.onnx, budget: {latency: 0.1us, size: 10B}}"
    result = run("--benchmark-disable", "--variants", "fp32", models=models)
    result.assert_outcomes(failed=1)
    assert "10 bytes" in result.stdout.str()
    assert "median" not in result.stdout.str()


def test_tests_side_by_side_are_not_timed(fake: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of pytest-xdist without pytest-benchmark judges everything but latency."""
    models = "tiny: {source: onnx, id: NETWORKS/tiny.onnx, budget: {latency: 0.1us}}"
    arguments = ("-p", "no:benchmark", "--variants", "fp32")
    fake(*arguments, models=models).assert_outcomes(failed=1)
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    fake(*arguments).assert_outcomes(passed=1)


def test_other_options_of_pytest_benchmark(fake: Run, pytester: pytest.Pytester) -> None:
    """`--benchmark-skip` leaves the cases out, `--benchmark-only` leaves the others out."""
    pytester.makepyfile("def test_ordinary(): pass")
    skipped = fake("-rs", "--benchmark-skip", "--variants", "fp32")
    skipped.assert_outcomes(skipped=1)
    skipped.stdout.fnmatch_lines(["SKIPPED * model_zoo.yaml*--benchmark-skip*"])
    fake("--benchmark-only", "--variants", "fp32", ".").assert_outcomes(passed=1, skipped=1)


def test_a_case_stands_at_its_models_line() -> None:
    """Editors jump there; a model that is written in another way is at the file's start."""
    lines = ["models:", "  tiny2: {}", "  tiny: {source: onnx}", '  "a b": {}']
    assert [2, 1, 3, 0] == [line_of(name, lines) for name in ("tiny", "tiny2", "a b", "absent")]


def test_pytest_benchmark_is_not_needed(fake: Run) -> None:
    """Cases run and budgets hold without it; what needs it says so."""
    result = fake("-p", "no:benchmark", "--strict-markers", "--variants", "fp32")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["zoo: pytest-benchmark is not loaded*"])
    failed = fake(
        "-p", "no:benchmark", "--variants", "fp32",
        outcome=lambda case: outcomes.refused(case, reason="it broke in two"),
    )  # fmt: skip
    failed.assert_outcomes(failed=1)
    failed.stdout.fnmatch_lines(["tiny/fp32/cpu-t1-b1 failed: it broke in two"])
    refused = fake("-p", "no:benchmark", "--benchmark-autosave")
    assert pytest.ExitCode.USAGE_ERROR == refused.ret
    refused.stderr.fnmatch_lines(["ERROR: --benchmark-autosave needs pytest-benchmark*pip install pytest-benchmark"])


def test_selecting_builds_only_what_is_selected_and_once_per_model(fake: Run) -> None:
    """`-k` and node ids narrow what is built; each model is built in one go."""
    asked: list[list[tuple[str, list[str]]]] = []
    two = f"{TINY}\n  conv: {{source: onnx, id: NETWORKS/conv.onnx}}"
    fake(models=two, asked=asked).assert_outcomes(passed=4)
    both = ["fp32", "int8-static"]
    assert [[("tiny", both)], [("conv", both)]] == asked
    asked.clear()
    fake("-k", "tiny and int8", asked=asked).assert_outcomes(passed=1, deselected=3)
    fake("model_zoo.yaml::conv/fp32/cpu-t1-b1", asked=asked).assert_outcomes(passed=1)
    assert [[("tiny", ["int8-static"])], [("conv", ["fp32"])]] == asked


def test_threads_and_batch_make_cases(run: Run) -> None:
    """As on the command line of `harness sweep`."""
    result = run("--collect-only", "-q", "--threads", "1,2", "--batch", "1,4", "--models", "ti*", "--variants", "fp32")
    assert "4 tests collected" in result.stdout.str()
    result.stdout.fnmatch_lines(["*tiny/fp32/cpu-t2-b4"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--zoo", "nowhere.yaml"], "*nowhere.yaml*"),
        (["--zoo", "model_zoo.yaml", "--models", "tinny"], "*no model matches 'tinny'*tiny*"),
        (["--zoo", "wrong.yaml"], "*wrong.yaml*"),
        (["--zoo", "model_zoo.yaml", "--threads", "many"], "*--threads*expected whole numbers*"),
        (["--zoo", "model_zoo.yaml", "--time-per-case", "0"], "*--time-per-case*above 0*"),
        (["--models", "tiny"], "*unrecognized arguments: --models*"),
    ],
)
def test_wrong_usage_is_refused_with_harness_own_words(
    pytester: pytest.Pytester, networks: Path, arguments: list[str], said: str
) -> None:
    """Exit code 4, as pytest has it, and no traceback."""
    (pytester.path / "wrong.yaml").write_text("version: 1\nmodells: {}\n", encoding="utf-8")
    (pytester.path / "model_zoo.yaml").write_text(zoo_of(networks), encoding="utf-8")
    result = pytester.runpytest_inprocess(*PLAIN, *arguments)
    assert pytest.ExitCode.USAGE_ERROR == result.ret
    result.stderr.fnmatch_lines([said])
    assert "Traceback" not in result.stderr.str()


def test_two_zoos_and_a_folder_are_each_collected_once(run: Run, pytester: pytest.Pytester, networks: Path) -> None:
    """Also where the folder that holds a zoo is named, and beside ordinary tests."""
    pytester.makepyfile("def test_ordinary(): pass")
    (pytester.path / "other.yaml").write_text(zoo_of(networks), encoding="utf-8")
    only = run("--collect-only", "-q", "--variants", "fp32", "--zoo", "other.yaml")
    assert "2 tests collected" in only.stdout.str()
    both = run("--collect-only", "-q", "--variants", "fp32", "--zoo", "other.yaml", ".")
    assert "3 tests collected" in both.stdout.str()


def test_without_a_zoo_the_plugin_does_nothing(pytester: pytest.Pytester, networks: Path) -> None:
    """Nothing of harness is imported but the plugin, and a conftest may have options of the same names."""
    pytester.makeconftest('def pytest_addoption(parser): parser.addoption("--models")')
    pytester.makepyfile(
        """
        import sys

        def test_light(request):
            assert "x" == request.config.getoption("--models")
            heavy = {"harness.flow.preview", "harness.errors", "numpy", "yaml", "pydantic"}
            assert not heavy & set(sys.modules)
        """
    )
    pytester.runpytest_subprocess(*PLAIN, "--models", "x").assert_outcomes(passed=1)
    (pytester.path / "model_zoo.yaml").write_text(zoo_of(networks), encoding="utf-8")
    clash = pytester.runpytest_subprocess(*PLAIN, "--zoo", "model_zoo.yaml")
    assert pytest.ExitCode.USAGE_ERROR == clash.ret
    clash.stderr.fnmatch_lines(["ERROR: --zoo brings an option --models, and a conftest*"])
