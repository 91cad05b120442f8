"""What a gate speaks of: sides, matches, pairs, findings, verdicts. Frozen; imports `records` and the rule's numbers.

Ratios are head over base: above 1 is slower, larger, worse. Times are integers in nanoseconds where they were read
from a clock, and floats in seconds where they are statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness import metrics
from harness.measure import usual_bursts
from harness.records import Artifact, Case, Pair, Refusal, SideSamples
from harness.stats import rule

__all__ = [
    "EXIT_FAILED",
    "EXIT_INCONCLUSIVE",
    "EXIT_PASS",
    "EXIT_REGRESSION",
    "EXIT_USAGE",
    "FAIL_ON",
    "GRAVITY",
    "CaseVerdict",
    "Contender",
    "Finding",
    "GateSettings",
    "Match",
    "MeasuringHost",
    "Pair",
    "Report",
    "Side",
    "SideSamples",
    "Verdict",
    "counts",
    "exit_code",
    "gravest",
    "latency_unjudged",
    "whole",
]  # fmt: skip


class Verdict(StrEnum):
    """What became of a case, or of one metric of it; ordered from harmless to grave by `gravest`."""

    PASS = "pass"  # noqa: S105  (a verdict, not a password)
    IMPROVEMENT = "improvement"
    NOT_COMPARABLE = "not compared"
    INCONCLUSIVE = "inconclusive"
    FAILED = "failed"
    REGRESSION = "regression"

    @classmethod
    def _missing_(cls, value: object) -> Verdict | None:
        """What reports of earlier versions call it."""
        return cls.NOT_COMPARABLE if value == "not comparable" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What a gate compares: a commit, a working tree, an interpreter, a runtime version, a zoo file or a case.

    Attributes:
        role: `base` or `head`.
        asked: as the person wrote it, such as `main` or `onnxruntime==1.22.1`; it names the side in every sentence.
        kind: commit, tree, interpreter, zoo, case or file; reports of earlier versions also have runtime.
        zoo: the zoo file of this side, inside its worktree where it has one.
        python: the interpreter that builds this side's artifacts.
        worker: the command that starts this side's worker.
        spec: what `worker` was found by (`harness.runtime_spec`): `current`, a release, a wheel or an interpreter.
        runtime: name, version and build of its onnxruntime, as a worker's hello says it.
        commit: full hash, None outside git; `dirty` says whether the tree differed from it.
        versions: distributions that can change a number.
        tree: the top folder of its files: a worktree of its own, or the working tree; None outside git.
        path: folders that its build finds modules in before all others (PYTHONPATH).
        cache: root of the cache that its artifacts go into: the shared one, or one of its own where the code that
            builds differs between the sides.
        case: what stands for a case id where the side is a case, such as `resnet50/fp32/cpu-t1`; else empty.
        notes: what a reader has to know of it, such as a dirty tree.
    """

    role: str
    asked: str
    kind: str
    zoo: Path
    python: str
    worker: tuple[str, ...]
    runtime: Mapping[str, Any] = field(default_factory=dict)
    commit: str | None = None
    dirty: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
    tree: Path | None = None
    path: tuple[str, ...] = ()
    cache: Path | None = None
    case: str = ""
    notes: tuple[str, ...] = ()
    spec: str = "current"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One side's part of a match: a case of its zoo and what its build made of it.

    Attributes:
        cache: root of the cache that artifact and reference lie in.
        own_worker: the command that starts a worker of the runtime that the case's target names; empty where it names
            none, which leaves it to the side.
    """

    side: Side
    case: Case
    built: Artifact | Refusal
    cache: Path
    own_worker: tuple[str, ...] = ()

    @property
    def worker(self) -> tuple[str, ...]:
        """The command that starts its worker."""
        return self.own_worker or self.side.worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Base and head of one comparison, under the name that all sentences use (the case's id, or `a vs b`).

    Attributes:
        base, head: None where that side's zoo has no such case.
        differs: fields that make the two not comparable (weights, data, host ...), as `field: base value, head value`.
        same: why timing both would measure the same thing twice; empty where they can differ.
        notes: what differs on purpose, or what else a reader has to know.
    """

    name: str
    base: Contender | None
    head: Contender | None
    differs: tuple[str, ...] = ()
    same: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found of one metric of one match.

    Attributes:
        metric: latency, first_inference, session_creation, model_memory, energy, peak_memory (shown, never judged),
            budget_latency and its like, size, nodes, accuracy, fidelity, placement, fusion, quantization, signature or
            opset, or a task's own metric where less is better (such as mae); in a history also accuracy_drop and
            fidelity_loss.
        sentence: for a tired reviewer, whole, such as `4.8% slower (95% interval 3.9 to 5.6%, 20 pairs)`.
        ratio, low, high: head over base with its 95% interval; None where the metric is not a ratio.
        base, head: the two values, in seconds, bytes, points or counts; None where there is none.
        p: adjusted (Holm) p-value of the confirmation; None where none was needed.
        detectable: the smallest ratio minus one that this many pairs of this spread would have shown (power .8).
        commits: of a change in the history, the last commit before it and the first one after it.
        accepted: who accepted it, when and why, where somebody did (`harness gate --accept`); it then fails nothing.
    """

    metric: str
    verdict: Verdict
    sentence: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    base: float | None = None
    head: float | None = None
    n: int = 0
    p: float | None = None
    detectable: float | None = None
    unit: str = ""
    commits: tuple[str, str] | None = None
    accepted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseVerdict:
    """The verdict of one match, with everything it rests on.

    Attributes:
        reason: why it is not comparable, inconclusive or failed, and what would help; else empty.
        notes: things to know that change no verdict.
    """

    name: str
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    pairs: tuple[Pair, ...] = ()
    reason: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """How a gate decides; ratios and shares as fractions.

    Attributes:
        max_slowdown: margin of latency: a slow-down is a regression only beyond it.
        screen_pairs, confirm_pairs: fresh pairs of processes per case, and again for every case that was flagged.
        time_limit_s: measuring stops after it; cases that are not decided are inconclusive.
        family_alpha: chance of any false alarm among the confirmed cases.
        bursts, burst_s: bursts per side and pair (fewer of a slow model), and the length of each in seconds.
        detect: a slow-down this far beyond the margin must have been visible, or a case without one is inconclusive.
        max_startup: margin of first inference and of session creation, which differ most between processes.
        max_memory: margin of the model's memory.
        max_energy: margin of the energy of one inference.
        max_size: margin of the artifact's bytes and of its nodes, which are counted and not estimated.
        max_accuracy_drop: allowed loss of a task metric in points (0.01 = 1 point), where the zoo's budget says none.
        max_fidelity_drop: allowed mean loss of fidelity in decibels, where there is neither a budget nor a label.
        metrics: findings that can fail the gate, and whose doubt leaves it open; with none named, every one can fail
            it, and only the doubt about a metric of `SECONDARY` leaves nothing open.
    """

    max_slowdown: float = metrics.LATENCY.margin
    detect: float = rule.EFFECT
    max_startup: float = metrics.SESSION_CREATION.margin
    max_memory: float = metrics.MODEL_MEMORY.margin
    max_energy: float = metrics.ENERGY.margin
    max_size: float = metrics.ARTIFACT_SIZE.margin
    max_accuracy_drop: float = metrics.ACCURACY_DROP.margin
    max_fidelity_drop: float = metrics.FIDELITY_LOSS.margin
    screen_pairs: int = rule.SCREEN_PAIRS
    confirm_pairs: int = rule.CONFIRM_PAIRS
    time_limit_s: float | None = None
    family_alpha: float = rule.FAMILY_ALPHA
    bursts: int = field(default_factory=usual_bursts.bursts)
    burst_s: float = field(default_factory=usual_bursts.burst_s)
    remeasure_same: bool = False
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuringHost:
    """A host of a fleet that measured pairs.

    Attributes:
        host_class: its fingerprint; hosts of one class are alike but for their names.
        pairs: how many it measured, of all cases.
    """

    name: str
    host_class: str
    cpu: str = ""
    pairs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole gate: what all its outputs are made from.

    Attributes:
        interrupted: why measuring stopped early (`time limit`, `Ctrl-C`); else empty.
        wall_s: seconds from start to verdict.
        spread: standard deviation of the log-ratios between pairs, median over cases; None where nothing was timed.
        hosts: who measured the pairs; empty where it was this host.
    """

    base: Side | None
    head: Side | None
    cases: tuple[CaseVerdict, ...]
    settings: GateSettings
    fingerprint: str
    host: Mapping[str, Any]
    started_at: str
    wall_s: float
    interrupted: str = ""
    spread: float | None = None
    notes: tuple[str, ...] = ()
    hosts: tuple[MeasuringHost, ...] = ()


GRAVITY = tuple(Verdict)
"""From harmless to grave."""


def gravest(verdicts: tuple[Verdict, ...]) -> Verdict:
    """The verdict that stands for several; pass where there is none."""
    return max(verdicts, key=GRAVITY.index, default=Verdict.PASS)


SECONDARY = frozenset(metric.name for metric in metrics.METRICS if metric.noisy) - {metrics.LATENCY.name}
"""Metrics that come along with the pairs of latency, with a spread that no number of pairs was chosen for."""


METRIC_NAMES = (
    *(metric.name for metric in metrics.METRICS if metric.noisy),
    "size", "nodes", "accuracy", "fidelity", "accuracy_drop", "fidelity_loss",
    "budget_latency", "budget_size", "budget_memory", "budget_energy",
    "placement", "fusion", "quantization", "signature", "opset",
)  # fmt: skip
"""What findings are about; a task's own metric counts as accuracy."""


def counts(finding: Finding, settings: GateSettings) -> bool:
    """Whether a finding has a say in the verdict of its case; the others are for information."""
    if settings.metrics:
        metric = finding.metric if finding.metric in METRIC_NAMES else "accuracy"
        return metric in settings.metrics or finding.verdict in (Verdict.PASS, Verdict.FAILED)
    return finding.verdict is not Verdict.INCONCLUSIVE or finding.metric not in SECONDARY


def whole(findings: Sequence[Finding], settings: GateSettings) -> Verdict:
    """The verdict of a case by its findings: the gravest of those that count and could be judged."""
    judged = [one for one in findings if one.verdict is not Verdict.NOT_COMPARABLE]
    if findings and not judged:
        return Verdict.NOT_COMPARABLE
    return gravest(tuple(one.verdict for one in judged if counts(one, settings)))


EXIT_PASS, EXIT_REGRESSION, EXIT_USAGE, EXIT_INCONCLUSIVE, EXIT_FAILED = 0, 1, 2, 3, 4


FAIL_ON: Mapping[str, frozenset[int]] = {
    "inconclusive": frozenset({EXIT_REGRESSION, EXIT_FAILED, EXIT_INCONCLUSIVE}),
    "regression": frozenset({EXIT_REGRESSION, EXIT_FAILED}),
    "never": frozenset(),
}
"""What a gate is asked to fail on -> the exit codes that stay; the others become 0. `never` only warns."""


def exit_code(report: Report, *, fail_on: str = "inconclusive") -> int:
    """1 for any regression, else 4 for any failed case, else 3 for inconclusive or nothing compared, else 0.

    A history whose latencies could not be judged is inconclusive, however many sizes passed.

    Args:
        report: of a gate or a history.
        fail_on: a key of `FAIL_ON`.
    """
    code = _code(report)
    return code if code in FAIL_ON[fail_on] else EXIT_PASS


def latency_unjudged(report: Report) -> int:
    """How many series of latency a history has, where it could judge none of them and was to; else 0."""
    if report.base is not None or report.head is not None:
        return 0
    name = metrics.LATENCY.name
    if report.settings.metrics and name not in report.settings.metrics:
        return 0
    verdicts = [one.verdict for case in report.cases for one in case.findings if one.metric == name]
    return len(verdicts) if set(verdicts) == {Verdict.NOT_COMPARABLE} else 0


def _code(report: Report) -> int:
    verdicts = {case.verdict for case in report.cases}
    if Verdict.REGRESSION in verdicts:
        return EXIT_REGRESSION
    if Verdict.FAILED in verdicts:
        return EXIT_FAILED
    judged = verdicts & {Verdict.PASS, Verdict.IMPROVEMENT}
    if Verdict.INCONCLUSIVE in verdicts or not judged or report.interrupted or latency_unjudged(report):
        return EXIT_INCONCLUSIVE
    return EXIT_PASS
