"""The columns of a stored row: one description, from which the Arrow schema, the queries and the tables follow.

A column is a Python type, a dict (a struct), a one-element list (a list of that) or `JSON` (a mapping whose keys are
open-ended; it is kept as JSON text, so that a new key is not a change of schema).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

SCHEMA: Final = 1
"""Version of the stored format; it stands in every file's metadata.

History:
    1: first.

A reader refuses a version above its own. Adding a column that readers may find absent raises no version; removing
one, or changing what one means, does.
"""

SCHEMA_KEY: Final = "harness.schema"


class JSON:
    """Marks a column that holds JSON text."""


PROCESS: Final[Mapping[str, Any]] = {
    "started_at": str,
    "session_ns": int,
    "first_inference_ns": int,
    "warmup_ns": [int],
    "samples_ns": [int],
    "steady": bool,
    "stop": str,
    "peak_rss_bytes": int,
    "preempted": int,
    "reference_before_ns": int,
    "reference_after_ns": int,
    "floor_before_ns": int,
    "floor_after_ns": int,
    "reference_problem": str,
    "model_bytes": int,
    "session_cpu_ns": int,
    "session_peak_bytes": int,
    "cold_ns": int,
    "cold_disk_ns": int,
    "cold_resident": float,
    "growth_bytes": int,
    "example_ns": float,
    "rate": float,
    "chosen_batch": int,
    "energy_j": float,
    "energy_source": str,
    "transfer_ns": int,
}

COLUMNS: Final[Mapping[str, Any]] = {
    "case": str,
    "model": str,
    "variant": str,
    "task": str,
    "target": str,
    "target_name": str,
    "runtime": str,
    "measured_by": {"name": str, "version": str, "build": str, "language": str, "package": str},
    "provider": str,
    "plugin": str,
    "device": str,
    "intra_threads": int,
    "inter_threads": int,
    "batch": int,
    "scenario": str,
    "tokens": int,
    "status": str,
    "reason": str,
    "notes": [str],
    "crashes": JSON,
    "stopped": str,
    "baseline": str,
    "choice": JSON,
    "latency": {
        "median_s": float,
        "ci95_low_s": float,
        "ci95_high_s": float,
        "mean_s": float,
        "min_s": float,
        "p90_s": float,
        "p95_s": float,
        "p99_s": float,
        "n": int,
        "processes": int,
        "stop": str,
        "warmup_n": int,
        "percentile_rule": str,
        "run95_low_s": float,
        "run95_high_s": float,
    },
    "pace": {"median_s": float, "low_s": float, "high_s": float},
    "load": {"example_s": float, "rate": float, "bound_s": float, "streams": int, "batch": int},
    "timed_inputs": {"mode": str, "examples": int},
    "session_s": float,
    "first_inference_s": float,
    "session_cpu_s": float,
    "session_peak_bytes": int,
    "cold_start_s": float,
    "cold_disk_start_s": float,
    "memory_growth_bytes": int,
    "peak_rss_bytes": int,
    "model_bytes": int,
    "energy": {"inference_j": float, "source": str},
    "transfer_s": float,
    "artifact": {"digest": str, "bytes": int, "nodes": int},
    "weights": {"kind": str, "digest": str, "reason": str},
    "reference": {"digest": str, "origin": str, "examples": int, "labelled": bool},
    "fidelity": {
        "centred_sqnr_db": float,
        "sqnr_db": float,
        "cosine": float,
        "max_abs": float,
        "top1_agreement": float,
        "equal": float,
        "rank": float,
        "unmatched": int,
        "worst": str,
        "faults": [str],
        "reason": str,
    },
    "fidelity_parts": JSON,
    "accuracy": {
        "metric": str,
        "value": float,
        "reference": float,
        "drop": float,
        "n": int,
        "drop_low": float,
        "drop_high": float,
    },
    "metrics": JSON,
    "evaluation": str,
    "postprocess_s": float,
    "placement": JSON,
    "placed": JSON,
    "behind": JSON,
    "time_share": JSON,
    "arithmetic": JSON,
    "computation": JSON,
    "kernels": JSON,
    "operators": JSON,
    "fusion": JSON,
    "steps": JSON,
    "precision": str,
    "optimization": str,
    "provider_options": JSON,
    "session_config": JSON,
    "limits": JSON,
    "budget": {
        "accuracy_drop": float,
        "accuracy_share": float,
        "fidelity_db": float,
        "fidelity_equal": float,
        "latency_s": float,
        "size_bytes": int,
        "memory_bytes": int,
        "energy_j": float,
        "structure": str,
    },
    "metric_budgets": JSON,
    "build_s": float,
    "noise": JSON,
    "started_at": str,
    "run": str,
    "plan": str,
    "run_started_at": str,
    "commit": str,
    "dirty": bool,
    "commit_time": int,
    "fingerprint": str,
    "host": JSON,
    "versions": JSON,
    "settings": JSON,
    "floor_s": JSON,
    "processes": [PROCESS],
}
"""Every key of a row in its order; `harness.store.rows.to_row` documents the meanings."""

HEAVY: Final = frozenset({"processes"})
"""Columns that only a reader of samples wants."""
