"""An outcome as one flat record: what is stored, queried, printed as JSON and charted.

A number that is not there is None; NaN and infinity never leave this module, because JSON has neither.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from numbers import Integral, Real
from typing import Any

from harness import flavours
from harness.records import Artifact, Case, Json, Outcome, ProcessSamples, Run, RuntimeInfo, Target
from harness.records.scenario import Scenario
from harness.store.columns import COLUMNS, HEAVY
from harness.store.compact import LISTS, nanoseconds

OWN = flavours.PLAIN
"""What a target asks for that runs on the onnxruntime installed beside harness."""

MEASURED_BY = tuple(COLUMNS["measured_by"])

Row = dict[str, Any]
"""One case of one run; the keys are those of `harness.store.columns.COLUMNS`."""


def plain(value: Any) -> Json:
    """Records, mappings and tuples as dicts and lists that `json.dumps` accepts; not-finite floats as None.

    Raises:
        TypeError: for a value that JSON cannot hold.
    """
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, (bool, int, str)):  # first, since most of what is stored are samples
        return value
    if isinstance(value, Integral):  # NumPy's numbers as well
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [plain(entry) for entry in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    raise TypeError(f"a {type(value).__name__} cannot be stored as JSON: {value!r}")


def fields_of(record: Any) -> dict[str, Json]:
    """The fields of a record as JSON holds them."""
    return {field.name: plain(getattr(record, field.name)) for field in fields(record)}


def to_row(run: Run, outcome: Outcome) -> Row:
    """One outcome with everything that its numbers were measured on.

    `session_s`, `session_cpu_s`, `cold_start_s`, `first_inference_s` and `model_bytes` are medians over the processes,
    `peak_rss_bytes` and `session_peak_bytes` are the largest;
    `started_at` is the case's own start and `run_started_at` that of its run. `target` is the target's label with
    threads and batch (`cpu-t2-b1`), `target_name` the zoo's name for it. `runtime` is what the target asked for and
    `measured_by` what ran; `fingerprint` and `host` are of the host that measured, or of the run where nothing ran. A
    mapping that would be empty is None. `limits` is what the worker was held to (`harness.records.Target`).
    `scenario` is how requests arrived, None for single-stream, and `load` what it
    found: the time per example at its throughput, the requests per second that arrived, the bound of their 99th
    percentile, how many were served at a time, and the examples per inference. `evaluation` names the results per
    example (`harness.store.examples`), and `postprocess_s` is what a task did with one example's outputs before they
    could be judged. `precision` is what the status was judged by: the file's own where no step changes it.
    """
    case = outcome.case
    row = {
        **_case(case),
        "precision": _precision(outcome),
        "measured_by": _measured_by(outcome.runtime),
        "status": outcome.status.value,
        "reason": outcome.reason,
        "notes": [*outcome.notes, *(outcome.artifact.notes if outcome.artifact else ())],
        "choice": None,  # what it has part in is known when all cases are measured
        "crashes": plain(outcome.crashes) or None,
        "stopped": outcome.stopped or None,
        "latency": plain(outcome.latency),
        "pace": plain(outcome.pace),
        "load": _load(case.target, outcome),
        "timed_inputs": plain(outcome.timed_inputs),
        **_processes(outcome.processes),
        **_artifact(outcome.artifact),
        "fidelity": plain(outcome.evaluation.fidelity) if outcome.evaluation else None,
        "fidelity_parts": (plain(outcome.evaluation.parts) or None) if outcome.evaluation else None,
        "accuracy": plain(outcome.evaluation.accuracy) if outcome.evaluation else None,
        "metrics": (plain(outcome.evaluation.metrics) or None) if outcome.evaluation else None,
        "evaluation": (outcome.evaluation.key or None) if outcome.evaluation else None,
        "postprocess_s": outcome.evaluation.postprocess_s if outcome.evaluation else None,
        "placement": plain(outcome.placement) or None,
        "placed": (plain(outcome.evaluation.placed) or None) if outcome.evaluation else None,
        "behind": (plain(outcome.evaluation.behind) or None) if outcome.evaluation else None,
        "time_share": (plain(outcome.evaluation.time_share) or None) if outcome.evaluation else None,
        "arithmetic": (plain(outcome.evaluation.arithmetic) or None) if outcome.evaluation else None,
        "computation": (plain(outcome.evaluation.computation) or None) if outcome.evaluation else None,
        "kernels": (plain(outcome.evaluation.kernels) or None) if outcome.evaluation else None,
        "steps": plain(outcome.artifact.steps if outcome.artifact else ()) or plain(case.recipe.steps),
        "noise": plain(outcome.noise) or None,
        "started_at": outcome.started_at,
        "run": run.id,
        "plan": run.plan,
        "run_started_at": run.started_at,
        "commit": run.commit,
        "dirty": run.dirty,
        "commit_time": run.commit_time,
        "fingerprint": outcome.host.fingerprint if outcome.host else run.fingerprint,
        "host": plain(outcome.host.facts if outcome.host else run.host),
        "versions": plain(run.versions),
        "settings": plain(run.settings),
        "floor_s": plain(run.floor_s),
        "processes": [_process(one) for one in outcome.processes],
    }
    return {key: row[key] for key in COLUMNS}


def public(row: Row) -> Row:
    """A row without its samples: small enough to keep for every case, and what is printed as JSON."""
    return {key: value for key, value in row.items() if key not in HEAVY}


def series(row: Row) -> tuple[str, str | None, str]:
    """What two rows must share for their numbers to be compared over time: case, digest of weights, host fingerprint.

    Weights of another digest (pretrained against seeded, or trained again) never stand in one series. Within one
    run, rows of a model whose `series(row)[1:]` differ must not be divided by one another either: a resumed sweep
    may have found a hub that was out of reach before.
    """
    weights = row["weights"]
    return row["case"], weights["digest"] if weights else None, row["fingerprint"]


def runtime_of(row: Mapping[str, Any]) -> RuntimeInfo:
    """What measured a row: as the worker said, or as the run's packages tell in rows that do not say.

    Needs `measured_by`, `runtime` and `versions`, each of which may be None.
    """
    said = row.get("measured_by")
    if said:
        return RuntimeInfo(
            name=said.get("name") or "",
            version=said.get("version") or "",
            build=said.get("build") or "",
            language=said.get("language") or "",
            package=said.get("package") or "",
        )
    asked = row.get("runtime") or OWN
    found = flavours.chosen(row.get("versions") or {}) if asked == OWN else None
    package, version = found or (asked, "")  # a runtime other than the own one names itself
    return RuntimeInfo(name=OWN, version=version, package=package)


def run_start(row: Mapping[str, Any]) -> str:
    """When a row's run started, to the minute."""
    return str(row["run_started_at"])[:16].replace("T", " ")


def measured_apart(rows: Sequence[Row], among: Sequence[Row]) -> list[str]:
    """The variants of rows that are not compared with others, by what they were measured on.

    Such as `fp16, fp32 (run of 2026-01-31 10:15)`.
    """
    tell = tell_apart(among)
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(tell(row), []).append(row["variant"])
    return [f"{', '.join(dict.fromkeys(names))} ({where})" for where, names in found.items()]


def tell_apart(among: Iterable[Row]) -> Callable[[Row], str]:
    """What says what measured a row, where and when, as far as it tells the row from others.

    Args:
        among: rows; only that is named in which they and the row are not all the same.

    Returns:
        A function of a row, one of them or another, that gives such as `onnxruntime-gpu 1.31.1, host 0123456789ab,
        run of 2026-01-31 10:15`; empty where nothing differs.
    """
    runtimes, hosts, runs = set(), set(), set()
    for other in among:
        runtimes.add(runtime_of(other))
        hosts.add(other["fingerprint"])
        runs.add(other["run"])

    def tell(row: Row) -> str:
        runtime = runtime_of(row)
        parts = []
        if runtimes - {runtime}:
            parts.append(runtime.label if runtime.version else flavours.UNKNOWN_VERSION)
        if hosts - {row["fingerprint"]}:
            parts.append(f"host {row['fingerprint']}")
        if runs - {row["run"]}:
            parts.append(f"run of {run_start(row)}")
        return ", ".join(parts)

    return tell


def _measured_by(runtime: RuntimeInfo | None) -> Row | None:
    return None if runtime is None else {name: getattr(runtime, name) for name in MEASURED_BY}


def _precision(outcome: Outcome) -> str:
    """What it is judged by: the arithmetic that the file has, else what its recipe claims."""
    own = outcome.evaluation.precision if outcome.evaluation else ""
    built = outcome.artifact.precision if outcome.artifact else ""
    return own or built or outcome.case.recipe.precision


def _case(case: Case) -> Row:
    model, recipe, target = case.model, case.recipe, case.target
    return {
        "case": case.id,
        "model": model.name,
        "variant": recipe.name,
        "baseline": model.baseline or None,
        "task": model.task,
        "target": target.label,
        "target_name": target.name,
        "runtime": target.runtime,
        "provider": target.provider,
        "plugin": target.plugin or None,
        "device": target.device or None,
        "intra_threads": target.intra_threads,
        "inter_threads": target.inter_threads,
        "batch": target.batch,
        "scenario": target.scenario or None,
        "tokens": model.tokens,
        "optimization": recipe.optimization,
        "provider_options": plain(target.provider_options),
        "session_config": plain(target.session_config),
        "limits": plain(target.limits) or None,
        "budget": {key: value for key, value in fields_of(model.budget).items() if key != "metrics"},
        "metric_budgets": plain(model.budget.metrics) or None,
    }


def _process(process: ProcessSamples) -> Row:
    """A process as it is stored: its samples stay a block of integers."""
    return {
        field.name: nanoseconds(getattr(process, field.name))
        if field.name in LISTS
        else plain(getattr(process, field.name))
        for field in fields(process)
    }


def _processes(processes: Sequence[ProcessSamples]) -> Row:
    models = [p.model_bytes for p in processes if p.model_bytes is not None]
    growths = [p.growth_bytes for p in processes if p.growth_bytes is not None]
    peaks = [p.peak_rss_bytes for p in processes if p.peak_rss_bytes is not None]
    return {
        "session_s": statistics.median(p.session_ns for p in processes) / 1e9 if processes else None,
        "first_inference_s": statistics.median(p.first_inference_ns for p in processes) / 1e9 if processes else None,
        "session_cpu_s": _median_s(processes, "session_cpu_ns"),
        "session_peak_bytes": max((p.session_peak_bytes for p in processes if p.session_peak_bytes), default=None),
        "cold_start_s": _median_s(processes, "cold_ns"),
        "cold_disk_start_s": _median_s(processes, "cold_disk_ns"),
        "memory_growth_bytes": round(statistics.median(growths)) if growths else None,
        "peak_rss_bytes": max(peaks, default=None),
        "model_bytes": round(statistics.median(models)) if models else None,
        "energy": _energy(processes),
        "transfer_s": _median_s(processes, "transfer_ns"),
    }


def _energy(processes: Sequence[ProcessSamples]) -> Row | None:
    """Of one inference: the median of the processes that know; where none does, why."""
    known = [one for one in processes if one.energy_j is not None]
    said = [one.energy_source for one in known or processes if one.energy_source]
    if not said:
        return None
    return {
        "inference_j": statistics.median(one.energy_j for one in known if one.energy_j is not None) if known else None,
        "source": said[0],
    }


def _median_s(processes: Sequence[ProcessSamples], name: str) -> float | None:
    """The median of a time in nanoseconds that not every process need have, in seconds."""
    known = [value for one in processes if (value := getattr(one, name)) is not None]
    return statistics.median(known) / 1e9 if known else None


def _load(target: Target, outcome: Outcome) -> Row | None:
    """What the scenario found: medians over the processes, of the batches the one that most of them chose."""
    timed = [one for one in outcome.processes if one.example_ns is not None]
    if not timed or outcome.latency is None:
        return None
    scenario = Scenario.parse(target.scenario)
    rates = [one.rate for one in timed if one.rate is not None]
    batches = [one.chosen_batch for one in timed if one.chosen_batch is not None]
    return {
        "example_s": statistics.median(one.example_ns for one in timed if one.example_ns is not None) / 1e9,
        "rate": statistics.median(rates) if rates else None,
        "bound_s": scenario.bound_s,
        "streams": scenario.streams,
        "batch": statistics.mode(batches) if batches else target.batch,
    }


def _artifact(artifact: Artifact | None) -> Row:
    if artifact is None:
        return dict.fromkeys(("artifact", "weights", "reference", "operators", "fusion", "build_s"))
    reference = artifact.reference
    return {
        "artifact": {"digest": artifact.digest, "bytes": artifact.bytes, "nodes": artifact.nodes},
        "weights": plain(artifact.weights),
        "reference": {
            "digest": reference.digest,
            "origin": reference.origin,
            "examples": reference.examples,
            "labelled": reference.labelled,
        },
        "operators": plain(artifact.operators),
        "fusion": plain(artifact.fusion) or None,
        "build_s": artifact.seconds,
    }
