"""Series over commits, from asv's files and from the samples."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import NewerSchema, UsageError
from harness.records import HostInfo, RuntimeInfo, Status
from harness.store.asv import files as asv_files
from harness.store.asv.environments import weights_label
from harness.store.history import Series, history
from tests.histories import asv_file, commit, git, repository, store, sweep_of
from tests.outcomes import artifact, case, measured, refused


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home folder without a machine file."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


def latency(results: Path, repo: Path | None = None, case_: str = "digits_cnn/fp32/*") -> Series:
    """The one series of a case's latency."""
    (series,) = history(results, repo=repo, cases=[case_], metrics=["latency"]).series
    return series


def test_an_empty_store_has_no_series(tmp_path: Path) -> None:
    """A folder that is not there is not an error."""
    assert () == history(tmp_path / "nowhere", repo=tmp_path).series


@pytest.mark.parametrize(
    ("asv_too", "parquet", "sources"), [(True, True, {"samples"}), (True, False, {"asv"}), (False, True, {"samples"})]
)
def test_a_measurement_is_one_point(tmp_path: Path, asv_too: bool, parquet: bool, sources: set[str]) -> None:
    """Whether asv's files, the samples or both hold it; the samples' 95% interval wins."""
    results = tmp_path / "results"
    first, second, _ = repository(tmp_path)
    for number, of in enumerate((first, second)):
        store(results, sweep_of(of, number), measured(), asv_too=asv_too, parquet=parquet)
    series = latency(results, tmp_path)
    assert [first, second] == [point.commit for point in series.points]
    assert sources == {point.source for point in series.points}
    assert [0.001, 0.001] == [point.value for point in series.points]
    assert {0.95 if parquet else 0.99} == {point.confidence for point in series.points}
    assert [3, 3] == [point.n for point in series.points]
    assert [0, 1] == [point.position for point in series.points]


def test_both_sources_name_a_series_alike(tmp_path: Path) -> None:
    """A run whose samples were deleted stays in the series of the others, for every metric."""
    results = tmp_path / "results"
    first, second, _ = repository(tmp_path)
    store(results, sweep_of(first, 0), measured(), parquet=False)
    store(results, sweep_of(second, 1), measured())
    found = history(results, repo=tmp_path).series
    assert 8 == len(found)
    assert {("asv", "samples")} == {tuple(point.source for point in series.points) for series in found}


def test_asvs_interval_stands_in(tmp_path: Path) -> None:
    """Session creation has no interval in the rows of the samples; asv's has one."""
    results = tmp_path / "results"
    store(results, sweep_of("a" * 40), measured())
    (series,) = history(results, repo=None, metrics=["session_creation"]).series
    (point,) = series.points
    assert ("samples", 0.99) == (point.source, point.confidence)
    assert point.low is not None
    assert point.high is not None
    assert point.low < 0.01 < point.high


def test_git_orders_not_the_clock(tmp_path: Path) -> None:
    """A newer commit that was measured first, on a clock that ran backwards, still comes last."""
    results = tmp_path / "results"
    (oldest,) = repository(tmp_path, 1)
    newest = commit(tmp_path, "later", date="2025-01-01T00:00:00+00:00")
    store(results, sweep_of(newest, 0, commit_time=1_600_000_000_000), measured(medians_ns=(2_000_000,) * 3))
    store(results, sweep_of(oldest, 5), measured())
    assert [0.001, 0.002] == [point.value for point in latency(results, tmp_path).points]


def test_unknown_commits_come_last_by_time(tmp_path: Path) -> None:
    """A commit of another clone has no position."""
    results = tmp_path / "results"
    _, known = repository(tmp_path, 2)
    store(results, sweep_of("b" * 40, 2, commit_time=0), measured())
    store(results, sweep_of("a" * 40, 1, commit_time=2_000), measured())
    store(results, sweep_of(known, 3), measured())
    points = latency(results, tmp_path).points
    assert [known, "b" * 40, "a" * 40] == [point.commit for point in points]
    assert [1, None, None] == [point.position for point in points]


def test_dirty_runs_stand_behind_their_commit(tmp_path: Path) -> None:
    """They are in the samples only, and are never taken for the commit's own measurement."""
    results = tmp_path / "results"
    first, second, _ = repository(tmp_path)
    store(results, sweep_of(first, 0, dirty=True), measured())
    store(results, sweep_of(first, 1), measured(), parquet=False)
    store(results, sweep_of(second, 2), measured())
    points = latency(results, tmp_path).points
    assert [(first, False), (first, True), (second, False)] == [(point.commit, point.dirty) for point in points]


def test_runs_outside_git(tmp_path: Path) -> None:
    """They have no commit and are ordered by their start."""
    results = tmp_path / "results"
    for number in (3, 1):
        store(results, sweep_of(None, number), measured())
    points = latency(results).points
    assert [None, None] == [point.commit for point in points]
    assert ["2026-01-31T10:01:02+00:00", "2026-01-31T10:03:02+00:00"] == [point.started_at for point in points]


def test_a_sweep_and_asv_run_are_two_series(tmp_path: Path) -> None:
    """Same commit, case and runtime: told apart by environment, where asv's file names only the policy."""
    results = tmp_path / "results"
    (first,) = repository(tmp_path, 1)
    store(results, sweep_of(first), measured())
    asv_file(
        results,
        first,
        [0.0011],
        machine="other",
        params={"host": "0123456789ab"},
        env_vars={"HARNESS_WEIGHTS": "seeded"},
    )
    found = history(results, repo=tmp_path, metrics=["latency"]).series
    assert [
        "harness-py3.11-onnxruntime-gpu1.31.1-digits_cnn-seeded-aaaaaaaa-host0123456789ab",
        "virtualenv-py3.11-onnxruntime1.31.1",
    ] == [series.environment for series in found]
    assert ["digits_cnn-seeded-aaaaaaaa", "seeded"] == [series.weights for series in found]
    assert [(0.001, "samples"), (0.0011, "asv")] == [
        (point.value, point.source) for series in found for point in series.points
    ]


def test_a_sweep_and_asv_run_of_the_same_weights_share_a_series(tmp_path: Path) -> None:
    """What was built decides the label; values of before files named it join where they can be no other's."""
    store(tmp_path, sweep_of("a" * 40), measured())
    described = {"host": "0123456789ab", "onnxruntime": "1.31.1+gpu", "weights": "seeded"}
    label = weights_label("digits_cnn", "seeded", "aaaaaaaabbbb")
    asv_file(tmp_path, "b" * 40, [0.002], params=described, harness_weights={"digits_cnn": label})
    asv_file(tmp_path, "c" * 40, [0.003], params=described)
    (series,) = history(tmp_path, repo=None, metrics=["latency"]).series
    assert label == series.weights
    assert {"a" * 40, "b" * 40, "c" * 40} == {point.commit for point in series.points}
    asv_file(tmp_path, "d" * 40, [0.004], params=described, harness_weights={"digits_cnn": f"{label[:-1]}x"})
    found = {one.weights: len(one.points) for one in history(tmp_path, repo=None, metrics=["latency"]).series}
    assert {label: 2, f"{label[:-1]}x": 1, "seeded": 1} == found


def test_two_machines_without_a_fingerprint_are_two_series(tmp_path: Path) -> None:
    """The name that asv knows the machine by stands for the host."""
    for machine in ("a", "b"):
        asv_file(tmp_path, "c" * 40, [0.001], machine=machine)
    assert ["a", "b"] == [series.host for series in history(tmp_path, repo=None).series]


def test_other_weights_and_hosts_are_other_series(tmp_path: Path) -> None:
    """What cannot be compared never shares a line."""
    results = tmp_path / "results"
    store(results, sweep_of("a" * 40, 0), measured())
    store(results, sweep_of("b" * 40, 1), measured(artifact=artifact(case(), weights="bbbbbbbbcccc")))
    store(results, sweep_of("c" * 40, 2, fingerprint="ffffffffffff"), measured())
    found = history(results, repo=None, metrics=["latency"]).series
    assert [1, 1, 1] == [len(series.points) for series in found]


def test_a_run_of_several_runtimes_and_hosts_makes_several_series(tmp_path: Path) -> None:
    """Each row stands where it was measured, also where asv's files hold the same run."""
    other = RuntimeInfo(name="onnxruntime", version="1.23.0", package="onnxruntime")
    there = HostInfo(fingerprint="eeeeeeeeeeee")
    store(
        tmp_path / "results",
        sweep_of("a" * 40, 0),
        measured(case("one")),
        measured(case("two"), runtime=other),
        measured(case("three"), runtime=other, host=there),
    )
    found = history(tmp_path / "results", repo=None, metrics=["latency"]).series
    assert {
        "one/fp32/cpu-t1-b1": ("1.31.1+gpu", "0123456789ab"),
        "two/fp32/cpu-t1-b1": ("1.23.0", "0123456789ab"),
        "three/fp32/cpu-t1-b1": ("1.23.0", "eeeeeeeeeeee"),
    } == {series.case: (series.runtime, series.host) for series in found}


def test_failures_are_points_and_na_is_none(tmp_path: Path) -> None:
    """Null is a failure; NaN is a place where the case does not apply; a trimmed column is all failures."""
    axes = (("'m'",), ("'a'", "'b'", "'c'"), ("'cpu'",), ("1",), ("1",))
    asv_file(tmp_path, "a" * 40, [0.001, None, math.nan], axes=axes)
    asv_file(tmp_path, "b" * 40, [None, None, None], axes=axes)
    found = history(tmp_path, repo=None).series
    assert {
        "m/a/cpu-t1-b1": ["measured", "failed"],
        "m/b/cpu-t1-b1": ["failed", "failed"],
        "m/c/cpu-t1-b1": ["failed"],
    } == {series.case: [point.status for point in series.points] for series in found}


def test_failed_cases_show_once(tmp_path: Path) -> None:
    """A case that only ever failed is a series of its latency; skipped ones are none."""
    results = tmp_path / "results"
    broken, skipped = case(variant="broken"), case(variant="skipped")
    store(results, sweep_of("a" * 40), measured(), refused(broken), refused(skipped, Status.SKIPPED))
    found = history(results, repo=None, cases=["*/broken/*", "*/skipped/*"]).series
    assert [("digits_cnn/broken/cpu-t1-b1", "latency")] == [(series.case, series.metric) for series in found]
    assert ["failed"] == [point.status for point in found[0].points]


def test_models_come_and_go(tmp_path: Path) -> None:
    """A zoo whose models differ between commits, and a rename: each name keeps its own points."""
    results = tmp_path / "results"
    commits = repository(tmp_path)
    for number, (of, names) in enumerate(zip(commits, (("a", "old"), ("old",), ("a", "new")), strict=True)):
        store(results, sweep_of(of, number), *(measured(case(name)) for name in names))
    found = history(results, repo=tmp_path, metrics=["latency"]).series
    assert {"a": [0, 2], "new": [2], "old": [0, 1]} == {
        series.case.partition("/")[0]: [point.position for point in series.points] for series in found
    }


def test_case_ids_survive_asvs_parameters(tmp_path: Path) -> None:
    """Targets with names of their own, and inter-op threads."""
    mine = case(name="mine", intra_threads=2, inter_threads=4)
    store(tmp_path, sweep_of("a" * 40), measured(mine), measured(case(name="cpu-nospin", batch=8)), parquet=False)
    assert ["digits_cnn/fp32/cpu-nospin-t1-b8", mine.id] == [
        series.case for series in history(tmp_path, repo=None, metrics=["latency"]).series
    ]


def test_several_runs_of_a_commit_are_several_points(tmp_path: Path) -> None:
    """The file of asv holds the last one only, and adds nothing to it."""
    results = tmp_path / "results"
    for number, median in enumerate((1_000_000, 1_200_000)):
        store(results, sweep_of("a" * 40, number), measured(medians_ns=(median,) * 3))
    assert [0.001, 0.0012] == [point.value for point in latency(results).points]


def test_since_takes_what_is_not_older(tmp_path: Path) -> None:
    """The revision itself, later commits of every branch, and unknown commits by their time."""
    results = tmp_path / "results"
    first, second, third = repository(tmp_path)
    git(tmp_path, "checkout", "-q", "-b", "side", first)
    side = commit(tmp_path, "side")
    for number, of in enumerate((first, second, third, side)):
        store(results, sweep_of(of, number), measured())
    store(results, sweep_of("f" * 40, 7, commit_time=1_000), measured())
    store(results, sweep_of("e" * 40, 8, commit_time=1_800_000_000_000), measured())
    (series,) = history(results, repo=tmp_path, metrics=["latency"], since=second).series
    assert {second, third, side, "e" * 40} == {point.commit for point in series.points}


@pytest.mark.parametrize("revision", ["mian", "--all", "nothing^{tree}"])
def test_since_needs_a_commit(tmp_path: Path, revision: str) -> None:
    """An unknown revision is named, with what is near; an option is not a revision."""
    repository(tmp_path, 1)
    with pytest.raises(UsageError, match="knows no such commit") as error:
        history(tmp_path, repo=tmp_path, since=revision)
    assert ("did you mean `main`" in str(error.value)) == (revision == "mian")
    with pytest.raises(UsageError, match="not inside a git checkout"):
        history(tmp_path, repo=None, since=revision)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A file cut in half, one of a newer asv, a missing machine.json: the others are read."""
    good = asv_file(tmp_path, "a" * 40, [0.001])
    cut = asv_file(tmp_path, "b" * 40, [0.001])
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    newer = asv_file(tmp_path, "c" * 40, [0.001])
    newer.write_text(json.dumps({**json.loads(newer.read_text()), "version": asv_files.RESULTS_VERSION + 1}))
    (good.parent / "machine.json").unlink()
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "x.parquet").write_bytes(b"PAR1")
    found = history(tmp_path, repo=None)
    assert ["a" * 40] == [point.commit for series in found.series for point in series.points]
    assert ["x.parquet", cut.name, newer.name] == [
        next(name for name in ("x.parquet", cut.name, newer.name) if name in str(problem)) for problem in found.problems
    ]
    assert isinstance(found.problems[2], NewerSchema)


@pytest.mark.parametrize(("version", "kind"), [("3", "NewerSchema"), ("0", "StoreError")])
def test_other_meanings_are_left_out_and_told_once(tmp_path: Path, version: str, kind: str) -> None:
    """A benchmark of another version is another number."""
    for of in "ab":
        path = asv_file(tmp_path, of * 40, [0.001])
        found = asv_files.read(path)
        (columns,) = found.benchmarks.values()
        path.write_bytes(asv_files.encode(found.header, {"sweep.track_latency": {**columns, "version": version}}))
    read = history(tmp_path, repo=None)
    assert () == read.series
    assert [kind] == [type(problem).__name__ for problem in read.problems]


def test_latencies_of_one_input_and_of_many_are_never_one_series(tmp_path: Path) -> None:
    """Older numbers stay readable, from asv's files and from samples, in a series that says what they are."""
    earlier = asv_file(tmp_path, "a" * 40, [0.001])
    found = asv_files.read(earlier)
    (columns,) = found.benchmarks.values()
    earlier.write_bytes(asv_files.encode(found.header, {"sweep.track_latency": {**columns, "version": "1"}}))
    assert [False] == [one.environment.endswith(")") for one in history(tmp_path, repo=None).series]
    asv_file(tmp_path, "b" * 40, [0.002])
    read = history(tmp_path, repo=None)
    assert () == read.problems
    assert [(0.002, False), (0.001, True)] == [
        (one.points[0].value, one.environment.endswith(" (first input only)")) for one in read.series
    ]


def test_benchmarks_of_others_are_no_series(tmp_path: Path) -> None:
    """A project's own asv benchmarks stay asv's; imported ones are shown with their unit."""
    asv_file(tmp_path, "a" * 40, [1.0], benchmark="time_mine", axes=[])
    asv_file(tmp_path, "b" * 40, [2.0], benchmark="pytest.tests.test_x.test_y", axes=[["'a-1'"]])
    described = {"pytest.tests.test_x.test_y": {"unit": "seconds", "param_names": ["param"], "params": [["'a-1'"]]}}
    (tmp_path / "benchmarks.json").write_text(json.dumps({**described, "version": 2}))
    (series,) = history(tmp_path, repo=None).series
    assert ("tests.test_x.test_y(a-1)", "pytest", "seconds") == (series.case, series.metric, series.unit)


def test_selection(tmp_path: Path) -> None:
    """Cases by id or glob, metrics by name or glob."""
    store(tmp_path, sweep_of("a" * 40), *(measured(case(variant=name)) for name in ("fp32", "fp16")))
    found = history(tmp_path, repo=None, cases=["*/fp16/*"], metrics=["latency", "artifact*"]).series
    assert [("digits_cnn/fp16/cpu-t1-b1", "latency"), ("digits_cnn/fp16/cpu-t1-b1", "artifact_size")] == [
        (series.case, series.metric) for series in found
    ]


def test_emulated_is_said(tmp_path: Path) -> None:
    """The status of a number travels with it."""
    store(tmp_path, sweep_of("a" * 40), replace(measured(), status=Status.EMULATED, reason="casts"))
    assert ["emulated"] == [point.status for point in latency(tmp_path).points]
