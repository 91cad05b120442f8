"""What stored results per example say of a side, so that an artifact that was evaluated is not run again.

A sweep that evaluated the same artifact on the same data, runtime, provider and host kept what a gate decides on
(`harness.store.examples`), under a digest of all that. A side whose digest is there is not run; the other one may be.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import StoreError
from harness.flow.execute import evaluation_of
from harness.gate.model import Contender, Finding
from harness.measure import host
from harness.measure.coordinator import Observed
from harness.records import Artifact, PairedScores, RuntimeInfo
from harness.runtimes.client import default_command
from harness.runtimes.resolve import worker
from harness.store import examples
from harness.store.examples import JudgedScores
from harness.tasks.base import Paired


def of(contender: Contender, results: Path) -> JudgedScores | None:
    """What is stored of a contender; None where it has to be run: on a runtime of its own, or nothing is kept."""
    artifact = contender.built
    if not isinstance(artifact, Artifact) or contender.own_worker or ":" in (contender.case.model.task or ""):
        return None
    key, _ = evaluation_of(contender.case, artifact, runtime_of(contender), host.here())
    try:
        return examples.judged(results, key)
    except (StoreError, OSError):
        return None


def runtime_of(contender: Contender) -> RuntimeInfo:
    """The runtime that a side's worker said it is."""
    said = {name: str(value or "") for name, value in contender.side.runtime.items()}
    name, version, build = (said.get(one, "") for one in ("name", "version", "build"))
    own = contender.side.worker in (default_command(), worker(sys.executable))  # has no digest in a sweep's evaluations
    return RuntimeInfo(name=name, version=version, build=build, digest="" if own else said.get("digest", ""))


def observed(kept: JudgedScores, contender: Contender) -> Observed:
    """The kernels that it ran, and the providers."""
    return Observed(
        kernels=kept.kernels, placement=kept.placement, time_share={}, arithmetic={}, runtime=runtime_of(contender)
    )


def pair(base: PairedScores, head: PairedScores) -> Paired | None:
    """Both sides example by example; None where they are not of one metric on as many examples."""
    first, second = (replace(one, values=(), span=1.0) for one in (base, head))
    if first != second or len(base.values) != len(head.values) or not base.values:
        return None
    return Paired(
        metric=base.metric,
        unit=base.unit,
        direction=base.direction,
        base=base.values,
        head=head.values,
        right=base.right,
        span=max(base.span, head.span),
    )


def said(findings: Sequence[Finding], kept: Mapping[str, JudgedScores]) -> tuple[Finding, ...]:
    """Findings that say which side was not run."""
    who = " and ".join(kept)
    return tuple(replace(one, sentence=f"{one.sentence} ({who} as stored, not run again)") for one in findings)
