"""Runs and outcomes made of chosen numbers: what the tests of everything behind the measurement share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.records import (
    Accuracy,
    Artifact,
    Case,
    DataSpec,
    Evaluation,
    Fidelity,
    ModelSpec,
    Outcome,
    ProcessSamples,
    Recipe,
    Reference,
    Run,
    Status,
    Step,
    Target,
    TimedInputs,
    Weights,
    WeightsSpec,
)
from harness.stats.estimate import latency

COMMIT = "1234567890abcdef1234567890abcdef12345678"


def run(**changes: Any) -> Run:
    """A run of a clean checkout, with the fields that are given changed."""
    base = Run(
        id="20260131T101502Z-3f9c2a",
        plan="plan-a",
        started_at="2026-01-31T10:15:02+00:00",
        commit=COMMIT,
        dirty=False,
        commit_time=1_769_850_000_000,
        fingerprint="0123456789ab",
        host={"cpu": "A CPU", "cores_logical": 2},
        versions={"python": "3.11.9", "onnxruntime-gpu": "1.31.1"},
        settings={"processes": 5, "time_per_case": 15.0, "ci_width": 0.02},
        floor_s={"cpu": 2.5e-06},
    )
    return replace(base, **changes)


def case(model: str = "digits_cnn", variant: str = "fp32", **target: Any) -> Case:
    """A case on one CPU thread; `target` changes fields of its target."""
    return Case(
        model=ModelSpec(
            name=model,
            source="torch",
            id="nowhere:build",
            task="classification",
            weights=WeightsSpec(kind="seeded"),
            inputs=(),
            dims={},
            data=DataSpec(name="digits", source="digits"),
        ),
        recipe=Recipe(name=variant, steps=(Step(kind="export"),)),
        target=Target(**{"name": "cpu", "provider": "CPUExecutionProvider", **target}),
    )


def artifact(of: Case, weights: str = "aaaaaaaabbbb", **changes: Any) -> Artifact:
    """What `of` would be measured on, with weights of the given digest."""
    base = Artifact(
        digest=f"artifact-{of.model.name}-{of.recipe.name}",
        model=of.model.name,
        variant=of.recipe.name,
        weights=Weights(kind="seeded", digest=weights, reason="the hub cannot be reached"),
        reference=Reference(
            digest="reference", origin="torch 2.13.0", inputs=("x",), outputs=("y",), examples=450, labelled=True
        ),
        bytes=123_456,
        nodes=17,
        operators={"Conv": 2, "Gemm": 1},
    )
    return replace(base, **changes)


def process(median_ns: int, n: int = 5) -> ProcessSamples:
    """A process whose `n` samples (odd) lie evenly around their median."""
    samples = tuple(median_ns + 1000 * (i - n // 2) for i in range(n))
    return ProcessSamples(
        started_at="2026-01-31T10:16:00+00:00",
        session_ns=median_ns * 10,
        first_inference_ns=median_ns * 3,
        warmup_ns=(median_ns + 7, median_ns + 5),
        samples_ns=samples,
        steady=True,
        stop="precise",
        peak_rss_bytes=50_000_000 + median_ns,
        preempted=1,
    )


def measured(
    of: Case | None = None, medians_ns: tuple[int, ...] = (1_000_000, 1_010_000, 990_000), **changes: Any
) -> Outcome:
    """A measured case with one process per median."""
    of = of or case()
    processes = tuple(process(ns) for ns in medians_ns)
    base = Outcome(
        case=of,
        status=Status.MEASURED,
        reason="",
        started_at="2026-01-31T10:16:00+00:00",
        artifact=artifact(of),
        latency=latency(processes, 0.02),
        processes=processes,
        evaluation=Evaluation(
            fidelity=Fidelity(centred_sqnr_db=40.0, sqnr_db=41.0, cosine=0.999, max_abs=0.5, top1_agreement=None),
            accuracy=Accuracy(metric="top1", value=0.97, reference=0.98, drop=0.01, n=450),
            kernels={"Conv": 2},
            time_share={"CPUExecutionProvider": 1.0},
        ),
        placement={"CPUExecutionProvider": 1.0},
        notes=("noisy: close other programs",),
        noise={"load": 0.5},
        timed_inputs=TimedInputs(mode="rotate", examples=8),
    )
    return replace(base, **changes)


def refused(of: Case | None = None, status: Status = Status.FAILED, reason: str = "it broke") -> Outcome:
    """A case without an artifact or numbers."""
    return Outcome(
        case=of or case(),
        status=status,
        reason=reason,
        started_at="2026-01-31T10:17:00+00:00",
        timed_inputs=TimedInputs(mode="rotate", examples=1),
    )
