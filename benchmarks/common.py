"""What the benchmarks share: the model they use, and how ratios are printed."""

from __future__ import annotations

import dataclasses
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path

from harness import zoo
from harness.build import pipeline
from harness.build.cache import Cache, default_root
from harness.flow import plan as planning
from harness.flow.execute import workload
from harness.measure.coordinator import Workload
from harness.records import Artifact

ROOT = Path(__file__).resolve().parent.parent


def prepared(model: str = "resnet50", variant: str = "fp32", target: str = "cpu") -> Workload:
    """A case of the shipped zoo with one thread, built where it is missing."""
    selection = planning.Selection(models=(model,), variants=(variant,), targets=(target,), threads=(1,), batch=(1,))
    case = planning.plan(zoo.load(ROOT / "model_zoo.yaml"), selection).cases[0]
    cache = Cache(default_root())
    built = pipeline.build(cache, [(case.model, [case.recipe])], on_event=lambda _: None)[model, variant]
    if not isinstance(built, Artifact):
        raise SystemExit(f"{model}/{variant} could not be built: {built.reason}")
    return workload(case, built, cache)


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
