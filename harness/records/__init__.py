"""The nouns that flow through a sweep, all frozen.

What to measure (`asked`), what was built (`built`), what was measured (`measured`) and by what (`origin`) are different
types. Standard library and `harness.errors` only: everything else may import this package, and names are imported from
it, not from its modules (but for the functions of `case_id`).
"""

import importlib
from typing import TYPE_CHECKING

from harness.records.asked import (
    BASELINES,
    BATCH,
    Budget,
    Case,
    DataSpec,
    FrameworkEnv,
    InputSpec,
    Json,
    MetricLimit,
    ModelSpec,
    Recipe,
    Step,
    Target,
    ValueNeed,
    WeightsSpec,
    batch_axes,
    fixed_batch,
)
from harness.records.built import Artifact, Built, Reference, Refusal, Weights
from harness.records.case_id import CaseId
from harness.records.intervals import within_run
from harness.records.status import Status
from harness.records.values import NESTED, ValueEntry

if TYPE_CHECKING:
    from harness.records.measured import (
        Accuracy,
        Block,
        Crash,
        Evaluation,
        ExampleAnswer,
        ExampleScores,
        Fidelity,
        HostPace,
        Latency,
        MetricValue,
        Outcome,
        Pair,
        PairedScores,
        PartFidelity,
        ProcessSamples,
        Run,
        SideSamples,
        TimedInputs,
    )
    from harness.records.origin import HostInfo, RuntimeInfo

__all__ = [
    "BASELINES",
    "BATCH",
    "NESTED",
    "Accuracy",
    "Artifact",
    "Block",
    "Budget",
    "Built",
    "Case",
    "CaseId",
    "Crash",
    "DataSpec",
    "Evaluation",
    "ExampleAnswer",
    "ExampleScores",
    "Fidelity",
    "FrameworkEnv",
    "HostInfo",
    "HostPace",
    "InputSpec",
    "Json",
    "Latency",
    "MetricLimit",
    "MetricValue",
    "ModelSpec",
    "Outcome",
    "Pair",
    "PairedScores",
    "PartFidelity",
    "ProcessSamples",
    "Recipe",
    "Reference",
    "Refusal",
    "Run",
    "RuntimeInfo",
    "SideSamples",
    "Status",
    "Step",
    "Target",
    "TimedInputs",
    "ValueEntry",
    "ValueNeed",
    "Weights",
    "WeightsSpec",
    "batch_axes",
    "fixed_batch",
    "within_run",
]


def __getattr__(name: str) -> object:
    """A name of `measured`, imported once one is asked for: what only plans or builds has measured nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(importlib.import_module("harness.records.measured"), name)
    return found
