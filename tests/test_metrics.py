"""The registry of metrics, and that everybody refers to it."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

from harness import metrics
from harness.cli import result_columns
from harness.gate.model import GateSettings
from harness.gate.text import phrases
from harness.gate.timing import phases
from harness.init.settings import THRESHOLDS
from harness.report import data, histories, sides
from harness.report.figures import model as model_figures
from harness.store.absent import LEAVES
from harness.store.asv.benchmarks import BENCHMARKS
from harness.store.rows import to_row
from tests import outcomes


def test_asv_names_units_and_versions_are_fixed() -> None:
    """Another name, unit or version would end every stored series."""
    assert [
        ("sweep.track_latency", "seconds", "time", "2"),
        ("sweep.track_accuracy_drop", "fraction", "track", "1"),
        ("sweep.track_fidelity_loss", "noise to signal", "track", "2"),
        ("sweep.track_artifact_size", "bytes", "track", "1"),
        ("sweep.track_peak_memory", "bytes", "track", "1"),
        ("sweep.track_model_memory", "bytes", "track", "1"),
        ("sweep.track_session_creation", "seconds", "time", "1"),
        ("sweep.track_first_inference", "seconds", "time", "1"),
        ("sweep.track_session_cpu", "seconds", "time", "1"),
        ("sweep.track_session_peak", "bytes", "track", "1"),
        ("sweep.track_cold_start", "seconds", "time", "1"),
        ("sweep.track_time_per_example", "seconds", "time", "1"),
        ("sweep.track_cold_disk_start", "seconds", "time", "1"),
        ("sweep.track_memory_growth", "bytes", "track", "1"),
        ("sweep.track_energy", "joules", "track", "1"),
        ("sweep.track_transfer", "seconds", "time", "1"),
    ] == [(one.name, one.unit, one.type, one.version) for one in BENCHMARKS]


def test_values_are_those_of_the_columns() -> None:
    """Every metric has a number in a measured row, and none in a row without numbers."""
    measured = outcomes.measured()
    known = tuple(
        replace(
            one,
            session_cpu_ns=20_000_000,
            session_peak_bytes=31_000_000,
            cold_ns=500_000_000,
            cold_disk_ns=700_000_000,
            growth_bytes=70_000,
            example_ns=250e3,
            energy_j=0.0021,
            energy_source="RAPL package-0",
            transfer_ns=140_000,
        )
        for one in measured.processes
    )
    row = to_row(outcomes.run(), replace(measured, processes=known))
    assert {
        "latency": 0.001,
        "accuracy_drop": 0.01,
        "fidelity_loss": 0.01,
        "artifact_size": 123_456,
        "peak_memory": 51_010_000,
        "model_memory": 6_000_000,
        "session_creation": 0.01,
        "first_inference": 0.003,
        "session_cpu": 0.02,
        "session_peak": 31_000_000,
        "cold_start": 0.5,
        "time_per_example": 0.00025,
        "cold_disk_start": 0.7,
        "memory_growth": 70_000,
        "energy": 0.0021,
        "transfer": 0.00014,
    } == {one.metric.name: one.value(row) for one in BENCHMARKS}
    empty = to_row(outcomes.run(), outcomes.refused())
    assert {None} == {one.value(empty) for one in BENCHMARKS}
    assert 0.0 == BENCHMARKS[1].value(row | {"accuracy": row["accuracy"] | {"drop": -0.5}})
    assert 0.0 == BENCHMARKS[2].value(row | {"fidelity": {"max_abs": 0.0, "centred_sqnr_db": None, "worst": ""}})


def test_columns_are_stored() -> None:
    """What a metric reads is a column of a row, and the report has it."""
    for metric in metrics.METRICS:
        assert {metric.column, *metric.reads} <= LEAVES.keys()
        assert {*metric.reads} <= data.NAMES.keys()


def test_margins_are_settings_of_a_gate() -> None:
    """The margin of each metric is the setting that it names, and its default is the registry's."""
    names = {field.name for field in fields(GateSettings)}
    for metric in metrics.METRICS:
        assert metric.option in names
        assert metric.margin == getattr(GateSettings(), metric.option)
    changed = replace(GateSettings(), max_memory=0.5, max_energy=0.4)
    assert [0.01, 0.25, 0.25, 0.5, 0.4] == [one.margin(changed) for one in phases.METRICS]


def test_asv_calls_a_regression_what_the_registry_says() -> None:
    """This project's own configuration and that of `harness init` are the same."""
    own = json.loads((Path(__file__).parent.parent / "asv.conf.json").read_text(encoding="utf-8"))
    assert own["regressions_thresholds"] == THRESHOLDS


def test_words() -> None:
    """Sentences, headings and charts are worded in one place."""
    assert ("peak memory ", "larger", "smaller") == phrases.WORDS["peak_memory"]
    assert ("", "slower", "faster") == phrases.WORDS["latency"]
    assert ("artifact ", "larger", "smaller") == phrases.WORDS["size"]
    assert {
        "size": "bytes",
        "peak_memory": "bytes",
        "model_memory": "bytes",
        "session_peak": "bytes",
        "memory_growth": "bytes",
        "nodes": "nodes",
    } == phrases.UNITS
    assert {
        "artifact_bytes": ("Artifact size", "bytes"),
        "peak_rss_bytes": ("Peak memory of the worker", "bytes"),
        "model_bytes": ("Memory of the model", "bytes"),
        "session_s": ("Session creation", "seconds"),
        "first_inference_s": ("First inference", "seconds"),
        "session_cpu_s": ("Processor time of session creation", "seconds"),
        "session_peak_bytes": ("Peak memory of session creation", "bytes"),
        "cold_start_s": ("Cold start", "seconds"),
        "load_example_s": ("Time per example under load", "seconds"),
        "cold_disk_start_s": ("Cold start from the disk", "seconds"),
        "memory_growth_bytes": ("Memory growth per 1000 inferences", "bytes"),
        "energy_inference_j": ("Energy of one inference", "joules"),
        "transfer_s": ("Copies to the device and back", "seconds"),
    } == model_figures.PARTS
    assert "memory" in [column.name for column in result_columns.USUAL]
    assert (
        "latency", "peak_memory", "model_memory", "session_creation", "first_inference", "session_cpu", "session_peak",
        "cold_start", "time_per_example", "cold_disk_start", "memory_growth", "energy", "transfer",
    ) == histories.NOISY  # fmt: skip
    assert {
        "accuracy_drop": "accuracy_drop",
        "fidelity_loss": "loss",
        "artifact_size": "size_bytes",
        "model_memory": "model_bytes",
    } == sides.OF_ASV


def test_stored() -> None:
    """A value by its column; nothing where a part of the way is absent."""
    assert 1.0 == metrics.stored({"latency": {"median_s": 1.0}}, "latency.median_s")
    assert metrics.stored({"latency": None}, "latency.median_s") is None
    assert metrics.stored({}, "peak_rss_bytes") is None
