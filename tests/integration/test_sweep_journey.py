"""`harness sweep` as a person runs it, from a zoo to results, on a tiny real model."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.conftest import Project, quick, resolve_again, take_over, write_project
from tests.waiting import children, hold, wait_for, workers, zombie

KEYS = {
    "case": None,
    "model": None,
    "variant": None,
    "runtime": None,
    "provider": None,
    "intra_threads": None,
    "inter_threads": None,
    "batch": None,
    "status": None,
    "reason": None,
    "latency": {
        "median_s", "ci95_low_s", "ci95_high_s", "mean_s", "min_s", "p90_s", "p95_s", "p99_s", "n", "processes", "stop",
        "warmup_n",
    },
    "session_s": None,
    "first_inference_s": None,
    "peak_rss_bytes": None,
    "artifact": {"digest", "bytes", "nodes"},
    "weights": {"kind", "digest"},
    "fidelity": {"centred_sqnr_db", "sqnr_db", "cosine", "max_abs", "top1_agreement"},
    "accuracy": {"metric", "value", "reference", "drop", "n"},
    "placement": None,
    "run": None,
    "commit": None,
    "fingerprint": None,
    "started_at": None,
}  # fmt: skip
"""What `harness results --format json` promises."""


ONE = ("sweep", "--processes", "1", "--variants", "fp32")

TWO = ("--variants", "fp32,fp32-fused")
"""The fewest cases of which one can be finished while another one is at work."""

INTERRUPTED = ("sweep", "--time-per-case", "0.4", *TWO)
"""A sweep that goes on long enough to be met at work, and is over soon after."""

LONG_ROUND = ("sweep", "--time-per-case", "1.5", *TWO)
"""One whose first round goes on long enough to be met at work."""


def parts(project: Project) -> list[Path]:
    """What an unfinished run has stored."""
    return list(project.root.glob("results/samples/*.parts/*.parquet"))


def rows(project: Project, *more: str) -> dict[str, dict[str, Any]]:
    """Stored rows by case."""
    return {row["case"]: row for row in json.loads(project.run("results", "--format", "json", *more))}


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, built: Path) -> tuple[Project, list[dict[str, Any]]]:
    """A project in which one variant was swept, and what that printed as JSON; only to be copied."""
    project = write_project(tmp_path_factory.mktemp("swept"))
    take_over(built, project.root)
    return project, json.loads(project.run(*ONE, "--json"))


@pytest.fixture
def swept(once: tuple[Project, list[dict[str, Any]]], tmp_path: Path) -> Project:
    """A project in which one variant was swept."""
    shutil.copytree(once[0].root, tmp_path, dirs_exist_ok=True)
    resolve_again(once[0].root, tmp_path)
    return Project(tmp_path)


def test_one_command_measures_every_variant(project: Project) -> None:
    """Plan, a line per case, a table, the choice, where results lie; no control codes; every promised key."""
    out = project.run("sweep")
    assert "3 cases of 1 model" in out
    assert "to build: tiny: fp32, fp32-fused, int8-static" in out
    for variant in ("fp32", "fp32-fused", "int8-static"):  # rounds are in a random order
        assert re.search(rf"^[123]/3 tiny/{variant}/cpu-t1-b1  measured", out, re.MULTILINE), out
    assert "p50 [95% interval]" in out
    notes, _, answer = out.partition("Builds to ship: the fastest inside the budget\n")
    assert "asv files not written: not inside a git checkout" in notes
    heads, ship, nothing, samples = answer.splitlines()
    assert heads.startswith("case")
    assert re.match(r"tiny/\S+/cpu-t1-b1 ", ship)
    assert "" == nothing
    assert samples.startswith("samples: results/samples/")
    assert "asv files not written: not inside a git checkout" in out
    assert "\x1b" not in out

    stored = rows(project)
    assert {"tiny/fp32/cpu-t1-b1", "tiny/fp32-fused/cpu-t1-b1", "tiny/int8-static/cpu-t1-b1"} == set(stored)
    for row in stored.values():
        assert set(KEYS) <= set(row)
        for key, inner in KEYS.items():
            if inner and row[key] is not None:
                assert inner <= set(row[key]), key
        assert "measured" == row["status"]
        assert row["latency"]["ci95_low_s"] <= row["latency"]["median_s"] <= row["latency"]["ci95_high_s"]
        assert 2 == row["latency"]["processes"]
        assert {"CPUExecutionProvider": 1.0} == row["placement"]
        assert "file" == row["weights"]["kind"]
        assert row["fidelity"]["cosine"] > 0.9
    digests = {row["artifact"]["digest"] for row in stored.values()}
    assert 3 == len(digests)


def test_a_second_sweep_builds_nothing_and_loads_no_database(swept: Project) -> None:
    """The cache is warm; results of both runs are kept, and the newest is shown.

    The process that measures has neither a database nor data frames, for what earlier days say, nor an allocator that
    keeps what was freed: its memory is bounded.
    """
    code = (
        "import atexit, sys\n"
        "from harness.cli import main\n"
        "def said():\n"
        "    import pyarrow\n"
        "    pool = pyarrow.default_memory_pool().backend_name\n"
        "    print({'duckdb', 'pandas'} & {*sys.modules}, pool, file=sys.stderr)\n"
        "atexit.register(said)\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *quick(ONE)],
        cwd=swept.root, env=os.environ | swept.environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "set() system" == done.stderr.splitlines()[-1]
    assert "nothing to build" in done.stdout
    assert "built " not in done.stdout
    assert 2 == len(json.loads(swept.run("results", "--format", "json", "--all")))
    assert 1 == len(rows(swept))


def test_dry_run_shows_the_plan_and_touches_nothing(project: Project) -> None:
    """No build, no results, no cache."""
    out = project.run("sweep", "--dry-run", "--threads", "1,2,0", "--batch", "1,8")
    assert "18 cases" in out
    assert "tiny/int8-static/cpu-t0-b8" in out
    assert "was not tried" not in out
    assert "whether qnn can run on this host was not tried" in project.run("sweep", "--dry-run", "--targets", "cpu,qnn")
    assert {"model_zoo.yaml", "tiny.onnx"} == {p.name for p in project.root.iterdir()}


def test_json_is_all_that_stands_on_standard_output(once: tuple[Project, list[dict[str, Any]]]) -> None:
    """Progress goes to standard error."""
    project, found = once
    assert ["tiny/fp32/cpu-t1-b1"] == [row["case"] for row in found]
    assert ["tiny/fp32/cpu-t1-b1"] == json.loads(project.run(*ONE, "--json", "--dry-run"))


def test_a_variant_that_makes_no_sense_is_skipped(project: Project) -> None:
    """Weight-only quantization of a network without MatMul: skipped with the reason; exit code 0 beside a number."""
    builders.conv_only(project.root / "conv.onnx")
    project.add_model("conv", "conv.onnx")
    for variants, code in (("fp32,int4-weights", 0), ("int4-weights", 4)):  # 4: nothing at all was measured
        out = project.run("sweep", "--processes", "1", "--models", "conv", "--variants", variants, code=code)
        assert "skipped conv/int4-weights/cpu-t1-b1: " in out
        assert "MatMul" in out
    row = rows(project)["conv/int4-weights/cpu-t1-b1"]
    assert ("skipped", None) == (row["status"], row["latency"])


def broken(project: Project, kind: str) -> str:
    """Make a model file that cannot be used, and return its name."""
    folder = project.root / kind
    folder.mkdir()
    path = folder / "model.onnx"
    if kind in ("external_data", "escaping_data"):
        getattr(builders, kind)(folder)
        if kind == "external_data":
            (folder / "weights.bin").unlink()
    elif kind == "corrupt":
        path.write_bytes(os.urandom(4096))
    elif kind != "missing":
        getattr(builders, kind)(path)
    return f"{kind}/model.onnx"


BAD = (
    ("missing", "failed", "there is no file"),
    ("truncated", "failed", ""),
    ("corrupt", "failed", ""),
    ("external_data", "failed", "weights.bin"),
    ("escaping_data", "failed", "outside"),
    ("unknown_op", "unsupported", "Frobnicate"),
)
"""Bad models: how each is made, what becomes of it, and what its reason names."""

ODD = (
    ("no_inputs", "has no inputs"),
    ("string_input", "tensor(string)"),
    ("zero_dim", ""),
    ("not_a_number", "nowhere finite"),
)
"""Models that are measured as they stand, as onnxruntime runs them, and what a note says of each."""


def swept_with_bad(project: Project, status: str, *more: str, code: int) -> dict[str, dict[str, Any]]:
    """Rows of a sweep of the bad models of which this becomes: each has its reason, and no number."""
    bad = {kind: said for kind, becomes, said in BAD if becomes == status}
    for kind in bad:
        project.add_model(kind, broken(project, kind))
    assert "Traceback" not in project.run(*ONE, *more, code=code)
    stored = rows(project)
    for kind, said in bad.items():
        row = stored.pop(f"{kind}/fp32/cpu-t1-b1")
        assert (kind, status, None) == (kind, row["status"], row["latency"]), row["reason"]
        assert said.lower() in row["reason"].lower()
    return stored


def test_bad_models_are_outcomes_and_the_sweep_goes_on(built_project: Project) -> None:
    """The other model of the zoo is measured all the same; the exit code tells that something failed.

    Of an input that the zoo misspells, the text has what the file holds, and which key of the zoo to fix.
    """
    project = built_project
    project.add_model("typo", "tiny.onnx", ", inputs: {imaeg_x: {dtype: float32, shape: [batch, 1, 8, 8]}}")
    stored = swept_with_bad(project, "failed", code=4)
    reason = stored.pop("typo/fp32/cpu-t1-b1")["reason"]
    assert "has no input `imaeg_x`. It has x; fix `inputs` of `typo`" in reason
    assert {"tiny/fp32/cpu-t1-b1": "measured"} == {case: row["status"] for case, row in stored.items()}


def test_what_does_not_run_here_is_unsupported_and_no_error(built_project: Project) -> None:
    """A missing provider, an unknown operator: exit code 0, with the reason, no number; the rest is measured.

    Two batches are measured from one artifact: the dynamic axis is set when the session is made, and eight examples
    take longer than one.
    """
    stored = swept_with_bad(built_project, "unsupported", "--targets", "cpu,qnn", "--batch", "1,8", code=0)
    one, eight = stored["tiny/fp32/cpu-t1-b1"], stored["tiny/fp32/cpu-t1-b8"]
    assert one["artifact"] == eight["artifact"]
    assert eight["latency"]["median_s"] > one["latency"]["median_s"]
    row = stored["tiny/fp32/qnn-t1-b1"]
    assert ("unsupported", None) == (row["status"], row["latency"])
    assert "this onnxruntime build has no QNNExecutionProvider" in row["reason"]


@pytest.mark.long
def test_odd_models_are_measured_as_they_stand(built_project: Project) -> None:
    """What onnxruntime runs has numbers, with a note where it is odd; what a step makes of nonsense fails."""
    project = built_project
    for kind, _ in ODD:
        project.add_model(kind, broken(project, kind))
    models = ",".join(kind for kind, _ in ODD)
    out = project.run("sweep", "--processes", "1", "--models", models, *TWO, code=4)
    assert "Traceback" not in out
    stored = rows(project)
    failed = stored.pop("not_a_number/fp32-fused/cpu-t1-b1")
    assert ("failed", None) == (failed["status"], failed["latency"])
    assert "nowhere finite" in failed["reason"]
    assert {"measured"} == {row["status"] for row in stored.values()}
    assert 2 * len(ODD) - 1 == len(stored)
    for kind, said in ODD:
        row = stored[f"{kind}/fp32/cpu-t1-b1"]
        assert row["latency"]["median_s"] > 0
        assert not said or any(said in note for note in row["notes"]), (kind, row["notes"])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the worker through /proc")
def test_ctrl_c_keeps_what_is_finished_and_the_same_command_resumes(built_project: Project) -> None:
    """Interrupted in the first round: exit code 130; the next sweep measures only the rest, in the same run."""
    project = built_project
    first = project.start(*LONG_ROUND)
    hold(first, lambda: parts(project) and workers(first.pid))  # the next one's: the first has been counted
    first.send_signal(signal.SIGINT)
    first.send_signal(signal.SIGCONT)
    out, err = first.communicate(timeout=300)
    assert 130 == first.returncode, (out, err)
    assert re.search(r"[12] finished process(es are| is) kept", out)
    assert "Traceback" not in err
    done = rows(project)
    assert 1 <= len(done) <= 2
    assert {1} == {row["latency"]["processes"] for row in done.values()}

    out = project.run(*LONG_ROUND)
    assert f"resuming: 0 of 2 cases were finished before, {len(done)} in part" in out
    after = rows(project)
    assert 2 == len(after)
    assert 1 == len({row["run"] for row in after.values()})
    for case, row in done.items():
        assert row["started_at"] == after[case]["started_at"]
    assert {2} == {row["latency"]["processes"] for row in after.values()}
    assert not list(project.root.glob("results/samples/*.parts"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the worker through /proc")
def test_a_sweep_that_is_killed_resumes(built_project: Project) -> None:
    """SIGKILL of the coordinator: finished cases are there, and no worker is left behind."""
    project = built_project
    first = project.start(*INTERRUPTED)
    hold(first, lambda: parts(project))
    left = children(first.pid)
    first.kill()
    first.communicate(timeout=300)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() and not zombie(pid) for pid in left))
    assert "resuming" in project.run(*INTERRUPTED)
    assert 2 == len(rows(project))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the worker through /proc")
def test_a_worker_that_is_killed_fails_its_case_alone(built_project: Project) -> None:
    """SIGKILL in the middle of a case, as the out-of-memory killer does: failed with the reason, the rest goes on."""
    project = built_project
    sweep = project.start(*INTERRUPTED)
    hold(sweep, lambda: parts(project) and workers(sweep.pid))
    os.kill(workers(sweep.pid)[0], signal.SIGKILL)
    sweep.send_signal(signal.SIGCONT)
    out, err = sweep.communicate(timeout=300)
    assert 4 == sweep.returncode, (out, err)
    statuses = [row["status"] for row in rows(project).values()]
    assert ["failed", "measured"] == sorted(statuses)
    reason = next(row["reason"] for row in rows(project).values() if row["status"] == "failed")
    assert "SIGKILL" in reason
    # A failed case is measured again by the next sweep, which is a new run since this one was finished.
    project.run("sweep", "--processes", "1", *TWO)
    assert {"measured"} == {row["status"] for row in rows(project).values()}


def test_two_sweeps_at_once_lose_nothing(project: Project) -> None:
    """Same cache, same results, same plan, cold: two runs, the case in both, the artifact whole."""
    same = ("sweep", "--processes", "1", "--variants", "fp32-fused")
    other = project.start(*same)
    project.run(*same)
    out, err = other.communicate(timeout=300)
    assert 0 == other.returncode, (out, err)
    every = json.loads(project.run("results", "--format", "json", "--all"))
    assert 2 == len(every) == len({row["run"] for row in every})
    assert 1 == len({row["artifact"]["digest"] for row in every})


def test_a_damaged_artifact_is_noticed_and_rebuilt(built_project: Project) -> None:
    """Somebody cut the cached file: the next sweep builds it anew."""
    project = built_project
    for path in project.root.glob("cache/artifacts/*/model.onnx"):
        path.write_bytes(path.read_bytes()[:-10])
    out = project.run("sweep", "--processes", "1", "--variants", "fp32-fused")
    assert "built tiny/fp32-fused" in out
    assert "measured" == rows(project)["tiny/fp32-fused/cpu-t1-b1"]["status"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sweep", "--models", "tinny"), "did you mean 'tiny'"),
        (("sweep", "--variants", "int8"), "available: fp32"),
        (("sweep", "--targets", "gpu"), "no target matches 'gpu'"),
        (("sweep", "--threads", "two"), "--threads two"),
        (("sweep", "--batch", "0"), "whole numbers from 1"),
        (("sweep", "--ci-width", "200%"), "--ci-width 200%"),
        (("sweep", "--time-per-case", "-1"), "above 0"),
        (("sweep", "--processes", "0"), "processes"),
        (("sweep", "--models", ","), "no name"),
        (("sweep", "--bogus"), "bogus"),
        (("sweep", "--zoo", "nowhere.yaml"), "nowhere.yaml"),
        (("results", "--format", "xml"), "table, csv, json"),
        (("inspect", "nothing.onnx"), "no such file"),
        (("inspect", "tiny/fp32"), "not built yet"),
        (("cache", "--prune", "sometimes"), "30d"),
        (("frobnicate",), "frobnicate"),
    ],
)
def test_bad_usage_says_what_would_be_valid(project: Project, arguments: tuple[str, ...], said: str) -> None:
    """Exit code 2, one clear message, no traceback, nothing written."""
    err = project.error(*arguments)
    assert said in err
    assert "Traceback" not in err
    assert not (project.root / "results").exists()


def test_results_that_cannot_be_written_stop_before_measuring(project: Project) -> None:
    """A file stands where the folder should be."""
    (project.root / "taken").write_text("", encoding="utf-8")
    assert "taken" in project.error("sweep", "--results", "taken/results")


def test_a_cache_that_cannot_be_written_says_so(project: Project) -> None:
    """The same for the cache."""
    (project.root / "taken").write_text("", encoding="utf-8")
    err = project.error("sweep", "--cache", "taken/cache")
    assert "taken" in err
    assert "Traceback" not in err


def test_results_of_a_newer_harness_are_left_out_with_a_message(swept: Project) -> None:
    """The rest is shown; the newer file is named, with both versions."""
    project = swept
    import pyarrow.parquet as pq

    (path,) = project.root.glob("results/samples/*.parquet")
    table = pq.read_table(path)
    metadata = {**(table.schema.metadata or {}), b"harness.schema": b"999"}
    newer = path.with_name("20990101T000000Z-ffffff.parquet")
    pq.write_table(table.replace_schema_metadata(metadata), newer)
    _, out, err = project.here("results", "--format", "json")
    assert 1 == len(json.loads(out))
    assert newer.name in err
    assert "999" in err


def test_build_inspect_list_and_cache(built_project: Project) -> None:
    """The other verbs on the same small zoo."""
    project = built_project
    assert "tiny/fp32-fused:" in project.run("build", "tiny")
    shown = json.loads(project.run("inspect", "tiny/fp32/cpu-t1-b1", "--json"))
    assert 1 == shown["operators"]["BatchNormalization"]
    assert "ai.onnx  17" in project.run("inspect", "tiny.onnx", "--nodes")
    listed = json.loads(project.run("list", "--json"))
    assert [True, False] == [t["runs_here"] for t in listed["targets"]]
    assert "int8-static" in project.run("list")
    assert "artifacts" in project.run("cache")
    assert "removed" in project.run("cache", "--prune", "all")
    assert [] == json.loads(project.run("cache", "--json"))


def test_csv_has_a_column_per_number(swept: Project) -> None:
    """For spreadsheets."""
    project = swept
    header, first = project.run("results", "--format", "csv").splitlines()[:2]
    assert "latency_median_s" in header.split(",")
    assert first.startswith("tiny/fp32/cpu-t1-b1,")
    assert "tiny" in project.run("results")
