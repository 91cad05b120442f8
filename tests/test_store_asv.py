"""The files that asv reads, read by asv itself."""

from __future__ import annotations

import itertools
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import NewerSchema, StoreError
from harness.records import Accuracy, Evaluation, Fidelity, HostInfo, Outcome, Run, RuntimeInfo, Status
from harness.store.asv import results as asv
from harness.store.rows import Row, public, to_row
from tests.outcomes import COMMIT, artifact, case, measured, process, refused, run

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without a machine file."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    return folder


def rows_of(of: Run, *outcomes: Outcome) -> list[Row]:
    """Rows with samples."""
    return [to_row(of, outcome) for outcome in outcomes]


def store(results: Path, *outcomes: Outcome, of: Run | None = None) -> tuple[Path, ...]:
    """Write one run."""
    return asv.write(results, of or run(), rows_of(of or run(), *outcomes))


def result_files(results: Path) -> list[Path]:
    """The result files of asv, machine.json left out."""
    return sorted(p for p in results.glob("*/*.json") if p.name != "machine.json")


def values(path: Path, metric: str = "sweep.track_latency") -> dict[str, Any]:
    """Parameters -> value, read by the documented layout and not by our own reader."""
    content = json.loads(path.read_text())
    row = dict(zip(content["result_columns"], content["results"][metric], strict=False))
    points = [" ".join(point) for point in itertools.product(*row["params"])]
    return dict(zip(points, row["result"] or [None] * len(points), strict=True))


def column(path: Path, name: str, metric: str = "sweep.track_latency") -> Any:
    """One column of a benchmark's results."""
    content = json.loads(path.read_text())
    return dict(zip(content["result_columns"], content["results"][metric], strict=False))[name]


# --- asv's own commands --------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small git repository with this project's own asv.conf.json and two commits."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "asv.conf.json").write_text((ROOT / "asv.conf.json").read_text())
    git(folder, "init", "-q", "-b", "main")
    for text in ("one", "two"):
        (folder / "a.txt").write_text(text)
        git(folder, "add", "-A")
        git(folder, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "-m", text)
    return folder


def git(folder: Path, *arguments: str) -> str:
    """A git command's output."""
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def run_asv(folder: Path, *arguments: str) -> str:
    """An asv command's output; it must succeed without a warning about our files."""
    done = subprocess.run(
        [sys.executable, "-m", "asv", *arguments],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "300"},
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "Skipping" not in done.stdout + done.stderr
    return done.stdout


def of_commit(folder: Path, revision: str, **changes: Any) -> Run:
    """A run of one of the commits."""
    commit = git(folder, "rev-parse", revision)
    time = int(git(folder, "show", "-s", "--format=%at", commit)) * 1000
    return run(commit=commit, commit_time=time, **changes)


def history(folder: Path) -> None:
    """Two commits: fp32 becomes twice as slow, int8 stays, fp16 fails the second time, int4 is never possible."""
    slow = (20_100_000, 20_000_000, 19_900_000, 20_050_000, 19_950_000)
    fast = tuple(ns // 2 for ns in slow)
    for revision, fp32, fp16 in (
        ("HEAD~1", fast, measured(case(variant="fp16"), fast)),
        ("HEAD", slow, refused(case(variant="fp16"))),
    ):
        store(
            folder / "results",
            measured(case(variant="fp32"), fp32),
            measured(case(variant="int8"), fast),
            fp16,
            refused(case(variant="int4"), Status.UNSUPPORTED),
            of=of_commit(folder, revision),
        )
    # An unfinished sweep's journal beside them must not confuse asv.
    parts = folder / "results" / "samples" / "x.parts"
    parts.mkdir(parents=True)
    (parts / "run.header").write_text("{}")


def test_asv_show(checkout: Path) -> None:
    """`asv show` prints every value, failures as failed and what cannot be as n/a."""
    history(checkout)
    shown = run_asv(checkout, "show", "HEAD")
    assert "sweep.track_latency" in shown
    (latency,) = [block for block in shown.split("\n\n") if "sweep.track_latency" in block]
    (header, line) = [text for text in latency.splitlines() if "  model " in text or "  digits_cnn " in text]
    cells = dict(zip((cell.strip() for cell in header.split("  ") if cell.strip()), line.split(), strict=True))
    expected = {
        "model": "digits_cnn",
        "fp16 / cpu / 1 / 1": "failed",
        "fp32 / cpu / 1 / 1": "20.0±0.05ms",
        "int4 / cpu / 1 / 1": "n/a",
        "int8 / cpu / 1 / 1": "10.0±0.02ms",
    }
    assert expected == cells
    assert "123k" in shown  # 123,456 bytes
    commits = run_asv(checkout, "show")
    assert "harness-py3.11-onnxruntime-gpu1.31.1-digits_cnn-seeded-aaaaaaaa-host0123456789ab" in commits
    assert git(checkout, "rev-parse", "HEAD")[:8] in commits


def test_asv_compare(checkout: Path) -> None:
    """`asv compare` sees the slow-down and the new failure, and nothing where nothing changed."""
    history(checkout)
    compared = run_asv(checkout, "compare", "HEAD~1", "HEAD")
    lines = [line for line in compared.splitlines() if "track_" in line]
    marks = {
        tuple(line.split("|")[5].strip(" )").split("('digits_cnn', ")): line.split("|")[1].strip() for line in lines
    }
    assert "+" == marks["sweep.track_latency", "'fp32', 'cpu', 1, 1"]
    assert "!" == marks["sweep.track_latency", "'fp16', 'cpu', 1, 1"]
    unchanged = {mark for (name, point), mark in marks.items() if "int" in point}
    assert {""} == unchanged
    assert "2.00" in next(line for line in lines if "track_latency" in line and "'fp32'" in line)


def test_asv_publish(checkout: Path) -> None:
    """`asv publish` draws the series, with runtime, host and weights as dimensions."""
    history(checkout)
    run_asv(checkout, "publish", "--no-pull")
    index = json.loads((checkout / "html" / "index.json").read_text())
    assert ["1.31.1+gpu"] == index["params"]["onnxruntime"]
    assert ["0123456789ab"] == index["params"]["host"]
    assert ["digits_cnn-seeded-aaaaaaaa"] == index["params"]["weights"]
    (graph,) = [p for p in (checkout / "html" / "graphs").rglob("sweep.track_latency.json") if "summary" not in p.parts]
    points = json.loads(graph.read_text())
    variants = [v.strip("'") for v in index["benchmarks"]["sweep.track_latency"]["params"][1]]
    assert ["fp16", "fp32", "int4", "int8"] == variants
    assert [0.01, 0.02] == [point[1][variants.index("fp32")] for point in points]


def test_other_weights_are_not_compared(checkout: Path) -> None:
    """Weights that change between two commits give two series, and no comparison."""
    for revision, weights in (("HEAD~1", "aaaaaaaa0"), ("HEAD", "bbbbbbbb0")):
        one = measured(artifact=artifact(case(), weights=weights))
        store(checkout / "results", one, of=of_commit(checkout, revision))
    compared = run_asv(checkout, "compare", "HEAD~1", "HEAD")
    assert all("n/a" in line for line in compared.splitlines() if "track_latency" in line)
    run_asv(checkout, "publish", "--no-pull")
    index = json.loads((checkout / "html" / "index.json").read_text())
    assert ["digits_cnn-seeded-aaaaaaaa", "digits_cnn-seeded-bbbbbbbb"] == index["params"]["weights"]


# --- values --------------------------------------------------------------------------------------


def test_value_is_the_reported_median(tmp_path: Path) -> None:
    """The value in asv is the median that `harness results` prints, with one sample per process."""
    outcome = measured(medians_ns=(1_000_000, 1_030_000, 990_000, 1_010_000))
    store(tmp_path, outcome)
    (path,) = result_files(tmp_path)
    assert outcome.latency is not None
    assert outcome.latency.median_s == pytest.approx(values(path)["'digits_cnn' 'fp32' 'cpu' 1 1"], rel=1e-12)
    assert [[0.001, 0.00103, 0.00099, 0.00101]] == column(path, "samples")
    assert [4] == column(path, "stats_repeat")
    low, high = column(path, "stats_ci_99_a")[0], column(path, "stats_ci_99_b")[0]
    assert low <= 0.00099
    assert high >= 0.00103


def test_single_process_keeps_its_spread(tmp_path: Path) -> None:
    """One process gives its own quantiles: same median and quartiles, few enough for asv's quadratic test."""
    one = replace(process(1_000_000), samples_ns=tuple(1_000_000 + i * i for i in range(1000)))
    store(tmp_path, replace(measured(medians_ns=(1_000_000,)), processes=(one,)))
    (path,) = result_files(tmp_path)
    assert 101 == len(column(path, "samples")[0])
    ordered = [ns / 1e9 for ns in one.samples_ns]
    assert (ordered[499] + ordered[500]) / 2 == pytest.approx(values(path)["'digits_cnn' 'fp32' 'cpu' 1 1"], rel=1e-12)
    assert ordered[249] + 0.75 * (ordered[250] - ordered[249]) == pytest.approx(column(path, "stats_q_25")[0], rel=1e-4)


def test_every_metric(tmp_path: Path) -> None:
    """Each benchmark holds its number in its unit."""
    store(tmp_path, measured(medians_ns=(1_000_000, 1_010_000, 990_000)))
    (path,) = result_files(tmp_path)
    found = {m: next(iter(values(path, m).values())) for m in json.loads(path.read_text())["results"]}
    expected = {
        "sweep.track_latency": 0.001,
        "sweep.track_accuracy_drop": 0.01,
        "sweep.track_fidelity_loss": 0.01,  # 40 dB
        "sweep.track_artifact_size": 123_456,
        "sweep.track_peak_memory": 51_010_000,
        "sweep.track_model_memory": 6_000_000,
        "sweep.track_session_creation": 0.01,
        "sweep.track_first_inference": 0.003,
    } | dict.fromkeys(  # these processes say nothing of them
        (
            "sweep.track_session_cpu",
            "sweep.track_session_peak",
            "sweep.track_cold_start",
            "sweep.track_time_per_example",
            "sweep.track_cold_disk_start",
            "sweep.track_memory_growth",
            "sweep.track_energy",
            "sweep.track_transfer",
        ),
        math.nan,
    )
    assert expected == pytest.approx(found, nan_ok=True)
    units = {n: b["unit"] for n, b in json.loads((tmp_path / "benchmarks.json").read_text()).items() if n != "version"}
    assert [*["bytes"] * 5, "fraction", "joules", "noise to signal", *["seconds"] * 8] == sorted(units.values())


@pytest.mark.parametrize(
    ("drop", "decibels", "max_abs", "expected"),
    [(-0.002, -6.0, 0.5, (0.0, 1.9952623)), (0.0, None, 0.0, (0.0, 0.0)), (0.02, None, 0.5, (0.02, math.nan))],
    ids=["better than the reference", "exact", "no ratio"],
)
def test_losses_are_never_negative(
    tmp_path: Path, drop: float, decibels: float | None, max_abs: float, expected: tuple[float, float]
) -> None:
    """Because asv divides, a gain is not a loss, an exact output is zero and a missing ratio is n/a."""
    evaluation = Evaluation(
        fidelity=Fidelity(centred_sqnr_db=decibels, sqnr_db=None, cosine=None, max_abs=max_abs, top1_agreement=None),
        accuracy=Accuracy(metric="top1", value=0.98 - drop, reference=0.98, drop=drop, n=450),
    )
    store(tmp_path, measured(evaluation=evaluation))
    (path,) = result_files(tmp_path)
    for metric, value in zip(("accuracy_drop", "fidelity_loss"), expected, strict=True):
        (found,) = values(path, f"sweep.track_{metric}").values()
        assert value == pytest.approx(found, nan_ok=True)


def test_statuses(tmp_path: Path) -> None:
    """Failed is null; unsupported, skipped and places that are not a case are NaN."""
    store(
        tmp_path,
        measured(case(variant="a")),
        refused(case(variant="b")),
        refused(case(variant="c"), Status.UNSUPPORTED),
        refused(case(variant="d", intra_threads=2), Status.SKIPPED),
        measured(case(variant="e"), status=Status.EMULATED),
    )
    (path,) = result_files(tmp_path)
    found = {point.removeprefix("'digits_cnn' "): value for point, value in values(path).items()}
    assert 10 == len(found)
    assert 0.001 == found["'a' 'cpu' 1 1"]
    assert found["'b' 'cpu' 1 1"] is None
    assert 0.001 == found["'e' 'cpu' 1 1"]
    rest = set(found) - {"'a' 'cpu' 1 1", "'b' 'cpu' 1 1", "'e' 'cpu' 1 1"}
    assert all(math.isnan(found[point]) for point in rest)


def test_targets_never_share_a_place(tmp_path: Path) -> None:
    """Targets of one provider, and inter-op threads, are told apart."""
    store(
        tmp_path,
        measured(case(name="cpu")),
        measured(case(name="cpu-nospin")),
        measured(case(name="mine")),
        measured(case(name="cpu", inter_threads=4)),
    )
    (path,) = result_files(tmp_path)
    present = {p for p, value in values(path).items() if not math.isnan(value)}
    assert {
        "'digits_cnn' 'fp32' 'cpu' 1 1",
        "'digits_cnn' 'fp32' 'cpu-nospin' 1 1",
        "'digits_cnn' 'fp32' 'cpu:mine' 1 1",
        "'digits_cnn' 'fp32' 'cpu' '1-i4' 1",
    } == present


# --- environments --------------------------------------------------------------------------------


def test_one_file_per_weights(tmp_path: Path) -> None:
    """Models, and weights of one model, have files of their own; a case without weights joins its model."""
    paths = store(
        tmp_path,
        measured(case("resnet50")),
        refused(case("resnet50", "int4"), Status.SKIPPED),
        measured(case("digits_cnn"), artifact=artifact(case("digits_cnn"), weights="cccccccc0")),
        refused(case("yolov8n")),
    )
    names = [json.loads(path.read_text())["params"]["weights"] for path in result_files(tmp_path)]
    assert ["digits_cnn-seeded-cccccccc", "resnet50-seeded-aaaaaaaa", "yolov8n-unknown"] == names
    assert 5 == len(paths)
    assert math.isnan(values(result_files(tmp_path)[1])["'resnet50' 'int4' 'cpu' 1 1"])


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "ffffffffffff"},
        {"versions": {"python": "3.11.9", "onnxruntime": "1.31.1"}},
        {"versions": {"python": "3.11.9", "onnxruntime-gpu": "1.32.0"}},
        {"versions": {"python": "3.12.1", "onnxruntime-gpu": "1.31.1"}},
    ],
    ids=["host", "flavour", "version", "python"],
)
def test_other_conditions_are_another_environment(tmp_path: Path, change: dict[str, Any]) -> None:
    """What would change the number is a file and a dimension of its own."""
    store(tmp_path, measured())
    store(tmp_path, measured(), of=run(**change))
    one, two = (json.loads(path.read_text()) for path in result_files(tmp_path))
    assert one["params"] != two["params"]
    assert one["env_name"] != two["env_name"]


def test_rows_of_one_run_go_where_they_were_measured(tmp_path: Path) -> None:
    """Another runtime and another host are environments of their own."""
    other = RuntimeInfo(name="onnxruntime", version="1.23.0", package="onnxruntime-openvino")
    host = HostInfo(fingerprint="eeeeeeeeeeee")
    store(tmp_path, measured(), measured(case("two"), runtime=other), measured(case("three"), runtime=other, host=host))
    params = [json.loads(path.read_text(encoding="utf-8"))["params"] for path in result_files(tmp_path)]
    found = [(one["onnxruntime"], one["host"]) for one in params]
    elsewhere = "1.23.0+openvino"
    assert [(elsewhere, "0123456789ab"), (elsewhere, "eeeeeeeeeeee"), ("1.31.1+gpu", "0123456789ab")] == sorted(found)


def test_long_names_stay_apart(tmp_path: Path) -> None:
    """Names too long for a file are shortened without running together."""
    store(tmp_path, measured(case("a" * 150 + "1")), measured(case("a" * 150 + "2")))
    assert 2 == len(result_files(tmp_path))


# --- merging -------------------------------------------------------------------------------------


def test_merging_keeps_everything(tmp_path: Path) -> None:
    """A later sweep of other cases adds to the same file; the same case is replaced; values stay by parameters."""
    store(tmp_path, measured(case(variant="b"), (2_000_000,) * 3), refused(case(variant="x")))
    store(
        tmp_path,
        measured(case(variant="a", intra_threads=10), (1_000_000,) * 3),
        measured(case(variant="b", intra_threads=2), (3_000_000,) * 3),
    )
    store(tmp_path, measured(case(variant="a", intra_threads=10), (4_000_000,) * 3))
    (path,) = result_files(tmp_path)
    found = {point: value for point, value in values(path).items() if value is None or not math.isnan(value)}
    assert {
        "'digits_cnn' 'a' 'cpu' 10 1": 0.004,
        "'digits_cnn' 'b' 'cpu' 1 1": 0.002,
        "'digits_cnn' 'b' 'cpu' 2 1": 0.003,
        "'digits_cnn' 'x' 'cpu' 1 1": None,
    } == found
    assert [["'digits_cnn'"], ["'a'", "'b'", "'x'"], ["'cpu'"], ["1", "2", "10"], ["1"]] == column(path, "params")
    samples = dict(zip(values(path), column(path, "samples"), strict=True))
    assert [0.002] * 3 == samples["'digits_cnn' 'b' 'cpu' 1 1"]


def test_writing_again_changes_nothing(tmp_path: Path) -> None:
    """After a crash the same rows may be written once more."""
    store(tmp_path, measured())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    store(tmp_path, measured())
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.json")}


def test_others_stay(tmp_path: Path) -> None:
    """Benchmarks of the user's own, other environments and their definitions are left as they are."""
    store(tmp_path, measured())
    (path,) = result_files(tmp_path)
    content = json.loads(path.read_text())
    content["results"]["own.time_it"] = [[1.5], [], "abc", 1, 2.5]
    path.write_text(json.dumps(content))
    other = path.with_name("12345678-virtualenv-py3.11.json")
    other.write_text(json.dumps({**content, "env_name": "virtualenv-py3.11"}))
    other_before = other.read_bytes()
    definitions = json.loads((tmp_path / "benchmarks.json").read_text())
    definitions["own.time_it"] = {"name": "own.time_it", "params": [], "param_names": [], "version": "abc"}
    definitions["sweep.track_latency"]["code"] = "def track_latency(): ..."
    (tmp_path / "benchmarks.json").write_text(json.dumps(definitions))

    store(tmp_path, measured(case("resnet50")), measured(case(variant="fp16")))
    after = json.loads(path.read_text())
    assert [[1.5], [], "abc", 1, 2.5] == after["results"]["own.time_it"]
    assert other_before == other.read_bytes()
    merged = json.loads((tmp_path / "benchmarks.json").read_text())
    assert definitions["own.time_it"] == merged["own.time_it"]
    assert "def track_latency(): ..." == merged["sweep.track_latency"]["code"]
    assert ["'digits_cnn'", "'resnet50'"] == merged["sweep.track_latency"]["params"][0]
    assert "2" == merged["sweep.track_latency"]["version"]


def test_old_meaning_is_replaced(tmp_path: Path) -> None:
    """Values under another version of a benchmark are not mixed with ours."""
    store(tmp_path, measured(case(variant="a")))
    (path,) = result_files(tmp_path)
    content = json.loads(path.read_text())
    content["results"]["sweep.track_latency"][2] = "0"
    path.write_text(json.dumps(content))
    store(tmp_path, measured(case(variant="b")))
    assert ["'digits_cnn' 'b' 'cpu' 1 1"] == list(values(path))


# --- machines ------------------------------------------------------------------------------------


def test_machine_of_the_user(tmp_path: Path, home: Path) -> None:
    """`asv machine` decides the name and the description."""
    info = {"machine": "bench-1", "os": "Linux", "arch": "x86_64", "cpu": "x", "num_cpu": "2", "ram": "1"}
    (home / ".asv-machine.json").write_text(json.dumps({"bench-1": info, "version": 1}))
    store(tmp_path, measured())
    (path,) = result_files(tmp_path)
    assert {**info, "version": 1} == json.loads((tmp_path / "bench-1" / "machine.json").read_text())
    assert info.items() <= json.loads(path.read_text())["params"].items()


def test_machine_by_default(tmp_path: Path) -> None:
    """Without one the host's name is used, and what is stored stays: a kernel update ends no series."""
    store(tmp_path, measured())
    path = tmp_path / platform.node() / "machine.json"
    before = {**json.loads(path.read_text()), "os": "Linux 5.0.0"}
    path.write_text(json.dumps(before))
    store(tmp_path, measured(case("resnet50")))
    assert before == json.loads(path.read_text())
    assert {"Linux 5.0.0"} <= {json.loads(p.read_text())["params"]["os"] for p in result_files(tmp_path)}


# --- bad luck ------------------------------------------------------------------------------------


def everything(results: Path) -> dict[Path, bytes]:
    """Every file's content."""
    return {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}


def test_cut_in_half(tmp_path: Path) -> None:
    """Each of asv's files, cut in half, is named; nothing is overwritten, and it is found before measuring too."""
    store(tmp_path, measured())
    for path in [*result_files(tmp_path), tmp_path / "benchmarks.json", tmp_path / platform.node() / "machine.json"]:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        before = everything(tmp_path)
        for attempt in (lambda: store(tmp_path, measured(), measured(case("b"))), lambda: asv.check(tmp_path, run())):
            with pytest.raises(StoreError, match=rf"{path.name} is damaged .*restore it"):
                attempt()
        assert before == everything(tmp_path)
        path.write_bytes(whole)
    asv.check(tmp_path, run())


@pytest.mark.parametrize(
    ("column_", "value"),
    [(0, [1.0, 2.0]), (1, "none"), (11, [[1.0], [2.0], [3.0]])],
    ids=["values", "params", "samples"],
)
def test_shapes_are_checked(tmp_path: Path, column_: int, value: Any) -> None:
    """Values that do not fit their parameters would be read as other cases' numbers."""
    store(tmp_path, measured())
    (path,) = result_files(tmp_path)
    content = json.loads(path.read_text())
    content["results"]["sweep.track_latency"][column_] = value
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="is damaged"):
        store(tmp_path, measured())


@pytest.mark.parametrize("which", ["benchmarks.json", "result file"])
def test_newer_asv(tmp_path: Path, which: str) -> None:
    """Files of a later asv are refused."""
    store(tmp_path, measured())
    path = tmp_path / which if which == "benchmarks.json" else result_files(tmp_path)[0]
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 3}))
    with pytest.raises(NewerSchema, match=r"has version 3 of asv's format; this harness reads version 2"):
        store(tmp_path, measured())


@pytest.mark.parametrize("which", ["benchmarks.json", "result file"])
def test_newer_harness(tmp_path: Path, which: str) -> None:
    """Numbers whose meaning a later harness changed are refused."""
    store(tmp_path, measured())
    path = tmp_path / which if which == "benchmarks.json" else result_files(tmp_path)[0]
    content = json.loads(path.read_text())
    if which == "benchmarks.json":
        content["sweep.track_latency"]["version"] = "3"
    else:
        content["results"]["sweep.track_latency"][2] = "3"
    path.write_text(json.dumps(content))
    with pytest.raises(NewerSchema, match=r"holds sweep\.track_latency in version 3; this harness writes version 2"):
        store(tmp_path, measured())


def test_commits_that_begin_alike(tmp_path: Path) -> None:
    """Files are named by eight digits of the commit; another commit's file is not overwritten."""
    store(tmp_path, measured())
    with pytest.raises(StoreError, match="belongs to commit"):
        store(tmp_path, measured(), of=run(commit=COMMIT[:8] + "f" * 32))


@pytest.mark.parametrize("change", [{"commit": None}, {"dirty": True}], ids=["no commit", "dirty"])
def test_only_clean_commits(tmp_path: Path, change: dict[str, Any]) -> None:
    """A number of changed files is booked on no commit."""
    with pytest.raises(ValueError, match="clean checkout"):
        store(tmp_path, measured(), of=run(**change))
    assert [] == list(tmp_path.iterdir())


def test_rows_must_have_samples_of_this_run(tmp_path: Path) -> None:
    """Light rows, or rows of another run, would be wrong numbers."""
    light: Sequence[Row] = [public(to_row(run(), measured()))]
    with pytest.raises(ValueError, match="samples"):
        asv.write(tmp_path, run(), light)
    with pytest.raises(ValueError, match="of this very run"):
        asv.write(tmp_path, run(), rows_of(run(id="another"), measured()))


def test_many_writers(tmp_path: Path) -> None:
    """Several processes writing the same commit at once lose no case."""
    code = (
        "import sys; from pathlib import Path; from harness.store.asv import results;"
        "from harness.store.rows import to_row; from tests.outcomes import case, measured, run;"
        "rows = [[to_row(run(), measured(case(variant=f'v{sys.argv[2]}{i}')))] for i in range(4)];"
        "[results.write(Path(sys.argv[1]), run(), one) for one in rows]"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(n)], cwd=ROOT, env={**os.environ})
        for n in range(4)
    ]
    assert [0] * 4 == [child.wait() for child in children]
    (path,) = result_files(tmp_path)
    assert 16 == sum(value == 0.001 for value in values(path).values())
    definitions = json.loads((tmp_path / "benchmarks.json").read_text())
    assert 16 == len(definitions["sweep.track_latency"]["params"][1])
