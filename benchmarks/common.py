"""What the benchmarks share: the model they use, and how ratios are printed."""

from __future__ import annotations

import dataclasses
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path

from harness.build.cache import default_root
from harness.flow import plan as planning
from harness.flow.execute import workload
from harness.flow.preview import SweepRequest, preview
from harness.flow.session import Session, key
from harness.measure.coordinator import Workload
from harness.records import Artifact

ROOT = Path(__file__).resolve().parent.parent


def prepared(model: str = "resnet50", variant: str = "fp32", target: str = "cpu") -> Workload:
    """A case of the shipped zoo with one thread, built where it is missing."""
    selection = planning.Selection(models=(model,), variants=(variant,), targets=(target,), threads=(1,), batch=(1,))
    ahead = preview(
        SweepRequest(zoo=ROOT / "model_zoo.yaml", results=ROOT / "results", cache=default_root(), selection=selection)
    )
    session = Session.of(ahead, cache=default_root(), results=ROOT / "results")
    (case,) = session.cases
    built = session.build()[key(case)]
    if not isinstance(built, Artifact):
        raise SystemExit(f"{model}/{variant} could not be built: {built.reason}")
    return workload(case, built, session.cache)


def of_zoo(cases: Sequence[tuple[str, str, int]]) -> dict[str, Workload]:
    """Cases of the shipped zoo on one thread, by name."""
    found: dict[str, Workload] = {}
    for model, variant, batch in cases:
        work = prepared(model, variant)
        target = dataclasses.replace(work.target, batch=batch)
        found[f"{model}/{variant}/{target.label}"] = dataclasses.replace(
            work, target=target, dims={**work.dims, "batch": batch}
        )
    return found


def host() -> str:
    """One line about this machine."""
    from harness.measure.host import facts

    found = facts()
    return f"{found['cpu']}, {found['cores_usable']} cores, {found['os']}, Python {platform.python_version()}"


def ratios(name: str, values: Sequence[float]) -> None:
    """Print paired ratios: median, smallest and largest."""
    print(
        f"{name}: {statistics.median(values):.3f}x (from {min(values):.3f} to {max(values):.3f}, {len(values)} pairs)"
    )
