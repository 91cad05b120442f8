"""Gate reports made of chosen numbers: what the tests of everything behind the judgement share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.gate.model import CaseVerdict, Finding, GateSettings, Pair, Report, Side, SideSamples, Verdict
from harness.gate.text import sentences

BASE_COMMIT, HEAD_COMMIT = "1" * 40, "2" * 40
CASE = "resnet50/int8-static/cpu-t2-b1"


def side(role: str = "base", **changes: Any) -> Side:
    """A commit's side: `main` as base, the working tree as head."""
    asked, kind, commit = ("main", "commit", BASE_COMMIT) if role == "base" else ("working tree", "tree", HEAD_COMMIT)
    base = Side(
        role=role,
        asked=asked,
        kind=kind,
        zoo=Path("model_zoo.yaml"),
        python="python",
        worker=("python", "worker.py"),
        runtime={"name": "onnxruntime", "version": "1.23.0"},
        commit=commit,
        versions={"numpy": "2.3"},
    )
    return replace(base, **changes)


def pair(log_ratio: float = 0.05) -> Pair:
    """A pair of one burst a side."""
    half = SideSamples(session_ns=1000, first_inference_ns=500, bursts_ns=(100.0,), peak_rss_bytes=10)
    return Pair(
        phase="confirm", log_ratio=log_ratio, base=half, head=half, started_at="2026-01-31T10:15:02+00:00", order="bh"
    )


def slower(ratio: float = 1.048, **changes: Any) -> Finding:
    """A confirmed slow-down."""
    low, high = ratio - 0.009, ratio + 0.008
    base = Finding(
        metric="latency",
        verdict=Verdict.REGRESSION,
        sentence=sentences.moved("latency", ratio, low, high, 20),
        ratio=ratio,
        low=low,
        high=high,
        base=0.0123,
        head=0.0123 * ratio,
        n=20,
        p=0.001,
        unit="seconds",
    )
    return replace(base, **changes)


def steady() -> Finding:
    """No change of the latency."""
    text = sentences.unchanged("latency", 1.003, 0.995, 1.011, 8, detectable=0.025)
    return Finding(
        metric="latency", verdict=Verdict.PASS, sentence=text, ratio=1.003, low=0.995, high=1.011, base=0.01,
        head=0.01003, n=8, unit="seconds",
    )  # fmt: skip


def case(name: str = CASE, verdict: Verdict = Verdict.REGRESSION, **changes: Any) -> CaseVerdict:
    """A case of the given verdict: slower where that is a regression, steady where it passed, else without findings."""
    findings = {Verdict.REGRESSION: (slower(),), Verdict.PASS: (steady(),)}.get(verdict, ())
    return replace(CaseVerdict(name=name, verdict=verdict, findings=findings, pairs=(pair(),)), **changes)


def report(*cases: CaseVerdict, **changes: Any) -> Report:
    """A gate of these cases, `main` against the working tree."""
    base = Report(
        base=side("base"),
        head=side("head"),
        cases=cases,
        settings=GateSettings(),
        fingerprint="0123456789ab",
        host={"cpu": "A CPU", "cores_logical": 2},
        started_at="2026-01-31T10:15:02+00:00",
        wall_s=61.5,
        spread=0.02,
    )
    return replace(base, **changes)


def mixed() -> Report:
    """One case of every verdict."""
    return report(
        case("m/fp32/cpu-t1-b1", Verdict.PASS),
        case("m/fp16/cpu-t1-b1", Verdict.NOT_COMPARABLE, reason=sentences.incomparable(["weights: base a, head b"])),
        case(),
        case("m/bf16/cpu-t1-b1", Verdict.FAILED, reason=sentences.failed("head", "working tree", "the worker died")),
        case(
            "m/int4/cpu-t1-b1",
            Verdict.INCONCLUSIVE,
            reason=sentences.unclear("latency", 8, wanted=0.03, detectable=0.061, ratio=1.012, low=0.97, high=1.056),
        ),
        case(
            "m/int8/cpu-t1-b1",
            Verdict.IMPROVEMENT,
            findings=(slower(0.9, verdict=Verdict.IMPROVEMENT, sentence="10.0% faster"),),
        ),
        notes=("the fan was loud",),
    )
