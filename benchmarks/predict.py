"""How wrong `harness predict` is about models that were left out of its calibration: the shipped zoo, on this host.

Every build that is in the cache is measured on one thread, and the roofline of this host is calibrated on all models
but one in turn. What is measured is the processor time of inferences in a worker, which other work on the host changes
little: a median on the wall clock would say how busy it was. `--keep` writes what was measured, `--from` reads it.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from pathlib import Path

from common import ROOT, host

from harness import zoo as zoos
from harness.build.cache import Cache, default_root
from harness.build.lookup import lookup
from harness.errors import HarnessError
from harness.flow import plan as planning
from harness.flow.execute import workload
from harness.predict import calibrate, counted, roofline
from harness.predict.calibrate import MeasuredCase
from harness.records import Artifact, Case
from harness.runtimes.client import Client

BURSTS, BURST_S = 3, 0.1
MOST = 5000


def processor_ns(pid: int) -> int:
    """What the main thread of a process has taken of the processor."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0])


def measured(case: Case, artifact: Artifact, cache: Cache) -> float:
    """Seconds of processor time of one inference: the median of bursts."""
    with Client() as worker:
        worker.ask("open", 300, **workload(case, artifact, cache).request())
        first = worker.ask("burst", 300, n=1)["durations_ns"][0]
        first = min(first, *worker.ask("burst", 300, n=2)["durations_ns"])
        n = max(1, min(MOST, int(BURST_S * 1e9 / first)))
        taken = []
        for _ in range(BURSTS):
            start = processor_ns(worker.pid)
            worker.ask("burst", 600, n=n)
            taken.append((processor_ns(worker.pid) - start) / n / 1e9)
        return statistics.median(taken)


def rows(cache: Cache, models: tuple[str, ...], known: dict[str, float], keep: Path | None) -> list[MeasuredCase]:
    """What every build in the cache takes, with the parts of its roofline.

    Args:
        cache: of the builds.
        models: names or globs; all where there are none.
        known: case -> seconds, where it was measured before; all others are measured where there are none.
        keep: where seconds are written.
    """
    the_host = counted.host_here(cache, again=False, budget_s=10)
    zoo = zoos.load(ROOT / "model_zoo.yaml")
    selection = planning.Selection(models=models, targets=("cpu",), threads=(1,), batch=(1,))
    found: list[MeasuredCase] = []
    taken = dict(known)
    for case in planning.plan(zoo, selection).cases:
        artifact = lookup(cache, case.model, case.recipe)
        if not isinstance(artifact, Artifact) or (known and case.id not in known):
            continue
        try:
            costs = counted.of_artifact(
                cache,
                artifact.digest,
                optimization=case.recipe.optimization,
                sizes={**case.model.dims, "batch": 1},
                batch=1,
                axes=case.model.batch_axes or artifact.reference.batch_axes,
            )
            took = taken.get(case.id) or measured(case, artifact, cache)
        except HarnessError as error:
            print(f"left out: {case.id}: {error}", flush=True)
            continue
        taken[case.id] = took
        if keep is not None:
            keep.write_text(json.dumps(taken))
        parts = roofline.parts(costs, the_host, 1)
        print(f"{case.id}: {took * 1e3:.3f} ms, roofline {sum(parts.values()) * 1e3:.3f} ms", flush=True)
        found.append(
            MeasuredCase(case=case.id, model=case.model.name, digest=artifact.digest, seconds=took, parts=parts)
        )
    return found


def main() -> None:
    """Measure, or read what was measured, and print errors by model and over all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="", help="names or globs, separated by commas; all of the zoo by default")
    parser.add_argument("--keep", type=Path, help="write what was measured there")
    parser.add_argument("--from", dest="source", type=Path, help="read what was measured there")
    asked = parser.parse_args()
    models = tuple(filter(None, asked.models.split(",")))
    known = json.loads(asked.source.read_text()) if asked.source else {}
    cases = rows(Cache(default_root()), models, known, asked.keep)
    held = calibrate.held_out(cases)
    by_model: dict[str, list[float]] = defaultdict(list)
    for case in cases:
        by_model[case.model].append(held.errors[case.case])
    print(host())
    for model, errors in by_model.items():
        sizes = sorted(map(abs, errors))
        print(f"{model}: {len(errors)} builds, median error {statistics.median(sizes):.1%}, worst {sizes[-1]:.1%}")
    print(f"{len(cases)} builds of {held.models} models, each left out: ", end="")
    print(f"median error {held.median or 0:.1%}, nine of ten within {held.worst_tenth or 0:.1%}")
    print({name: round(value, 2) for name, value in calibrate.factors(cases).items()})


if __name__ == "__main__":
    main()
