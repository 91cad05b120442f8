"""Outcomes as rows."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.records import Evaluation, Fidelity, HostInfo, MetricValue, RuntimeInfo, Status
from harness.store.columns import COLUMNS
from harness.store.rows import plain, public, runtime_of, series, tell_apart, to_row
from tests.outcomes import artifact, case, measured, refused, run

DOCUMENTED = {
    "case", "model", "variant", "runtime", "provider", "intra_threads", "inter_threads", "batch", "status", "reason",
    "latency", "session_s", "first_inference_s", "peak_rss_bytes", "artifact", "weights", "fidelity", "accuracy",
    "placement", "run", "commit", "fingerprint", "started_at",
}  # fmt: skip


def test_documented_keys() -> None:
    """The JSON has every documented key, nested ones included."""
    row = public(to_row(run(), measured()))
    assert row.keys() >= DOCUMENTED
    assert {"digest", "bytes", "nodes"} == row["artifact"].keys()
    assert row["weights"].keys() >= {"kind", "digest"}
    assert {"metric", "value", "reference", "drop", "n", "drop_low", "drop_high"} == row["accuracy"].keys()
    assert {
        "centred_sqnr_db", "sqnr_db", "cosine", "max_abs", "top1_agreement", "equal", "rank", "unmatched", "worst",
        "faults", "reason",
    } == row["fidelity"].keys()  # fmt: skip
    assert {
        "median_s", "ci95_low_s", "ci95_high_s", "mean_s", "min_s", "p90_s", "p95_s", "p99_s", "n", "processes",
        "stop", "warmup_n", "percentile_rule", "run95_low_s", "run95_high_s",
    } == row["latency"].keys()  # fmt: skip


def test_every_column_is_filled() -> None:
    """A row has the stored columns and no others, in their order."""
    assert list(COLUMNS) == list(to_row(run(), refused()))


def test_values() -> None:
    """Medians over processes, the largest peak, and identities."""
    row = to_row(run(), measured(case(intra_threads=2), (2_000_000, 1_000_000, 4_000_000)))
    assert "digits_cnn/fp32/cpu-t2-b1" == row["case"]
    assert ("cpu-t2-b1", "cpu") == (row["target"], row["target_name"])
    assert "measured" == row["status"]
    assert 0.002 == row["latency"]["median_s"]
    assert 0.02 == row["session_s"]
    assert 0.006 == row["first_inference_s"]
    assert 54_000_000 == row["peak_rss_bytes"]
    assert {"CPUExecutionProvider": 1.0} == row["placement"]
    assert "20260131T101502Z-3f9c2a" == row["run"]
    assert [2_000_000 - 2000, 2_000_000 - 1000, 2_000_000, 2_001_000, 2_002_000] == list(
        row["processes"][0]["samples_ns"]
    )


def test_absent_is_none() -> None:
    """What a refused case does not have is None, and its reason is there."""
    row = to_row(run(), refused(status=Status.SKIPPED, reason="no MatMul"))
    assert ("skipped", "no MatMul") == (row["status"], row["reason"])
    for key in ("latency", "session_s", "peak_rss_bytes", "artifact", "weights", "fidelity", "accuracy", "placement"):
        assert row[key] is None


def test_nothing_is_nan() -> None:
    """NaN and infinity become null: JSON has neither."""
    odd = Fidelity(
        centred_sqnr_db=float("inf"), sqnr_db=float("nan"), cosine=1.0, max_abs=0.0, top1_agreement=float("-inf")
    )
    row = to_row(run(), measured(evaluation=Evaluation(fidelity=odd, accuracy=None)))
    numbers = {"centred_sqnr_db": None, "sqnr_db": None, "cosine": 1.0, "max_abs": 0.0, "top1_agreement": None}
    assert numbers.items() <= row["fidelity"].items()
    json.dumps(row, allow_nan=False, default=list)


def test_public_has_no_samples() -> None:
    """What is printed and kept in memory carries no samples."""
    assert "processes" not in public(to_row(run(), measured()))


def test_numpy_numbers_are_plain() -> None:
    """Numbers that a library made are stored as Python's own."""
    import numpy as np

    values = plain({"i": np.int64(3), "f": np.float32(0.5), "n": np.float64("nan")})
    assert {"i": 3, "f": 0.5, "n": None} == values
    assert [int, float] == [type(values["i"]), type(values["f"])]


def test_unknown_kinds_are_refused() -> None:
    """Something that JSON cannot hold is named instead of stored as its repr."""
    with pytest.raises(TypeError, match="a set cannot be stored"):
        plain({"a": {1, 2}})


def test_weights_separate_series() -> None:
    """Other weights, or another host, are another series."""
    one = to_row(run(), measured())
    other = to_row(run(), measured(artifact=artifact(case(), weights="ccccccccdddd")))
    elsewhere = to_row(replace(run(), fingerprint="ffffffffffff"), measured())
    assert 3 == len({series(one), series(other), series(elsewhere)})
    assert ("digits_cnn/fp32/cpu-t1-b1", None, "0123456789ab") == series(to_row(run(), refused()))


GPU = RuntimeInfo(name="onnxruntime", version="1.23.0", build="b", package="onnxruntime-gpu", providers=("X",))


def test_a_row_says_what_measured_it() -> None:
    """Runtime and host are the outcome's own, whatever is installed beside the coordinator."""
    host = HostInfo(fingerprint="eeeeeeeeeeee", facts={"cpu": "Another"})
    row = to_row(run(), measured(runtime=GPU, host=host))
    expected = {
        "name": "onnxruntime", "version": "1.23.0", "build": "b", "language": "python", "package": "onnxruntime-gpu",
    }  # fmt: skip
    assert expected == row["measured_by"]
    assert ("eeeeeeeeeeee", {"cpu": "Another"}) == (row["fingerprint"], row["host"])
    assert "onnxruntime-gpu 1.23.0" == runtime_of(row).label


def test_a_row_of_before_says_it_by_its_versions() -> None:
    """The flavour with the longest name; another runtime names itself; nothing known is not an error."""
    row = to_row(run(), measured())
    assert row["measured_by"] is None
    assert "onnxruntime-gpu 1.31.1" == runtime_of(row).label
    assert "torch" == runtime_of(row | {"runtime": "torch"}).label
    both = {"onnxruntime": "1.31.1", "onnxruntime-openvino": "1.31.0"}
    assert "onnxruntime-openvino 1.31.0" == runtime_of(row | {"versions": both}).label
    assert "onnxruntime" == runtime_of({"versions": None, "runtime": None}).label


def test_what_tells_a_row_from_others() -> None:
    """Runtime, host and run are named as far as they differ."""
    first = to_row(run(versions={"onnxruntime": "1.20.0"}), measured())
    second = to_row(run(id="later", fingerprint="f" * 12, versions={"onnxruntime-gpu": "1.31.1"}), measured())
    assert "" == tell_apart([first])(first)
    assert "onnxruntime 1.20.0, host 0123456789ab, run of 2026-01-31 10:15" == tell_apart([first, second])(first)
    assert "onnxruntime of unknown version" == tell_apart([first])({**first, "versions": None})


def test_every_metric_of_a_task_is_kept() -> None:
    """Any number of them, with interval and direction; none is None."""
    found = MetricValue(name="rmse", unit="m", direction="lower", value=0.5, low=0.4, high=0.6, n=9)
    row = to_row(run(), measured(evaluation=Evaluation(fidelity=None, accuracy=None, metrics=(found,))))
    assert [("rmse", "lower", 0.5, 0.4, None)] == [
        (one["name"], one["direction"], one["value"], one["low"], one["drop"]) for one in row["metrics"]
    ]
    assert to_row(run(), measured())["metrics"] is None
