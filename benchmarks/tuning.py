"""`tune` against everything there is to try: how much of the best speed it finds, in how much of the time.

A small grid of one model, builds by settings, is really run: every build that keeps the budget on every setting is
timed as a sweep times a case, with as many processes as a sweep has. `tune` searches the same space.
What both take is that of measuring: every build of the grid is in the cache, and evaluated on every setting, before
either begins. `tune` pays for the builds that the grid has not, for its profiles, and for confirming its choice, which
the grid does without. It is given three times: by the clock, in processor time of this process and of all that it
started, which a busy host moves less, and as the number of processes that were timed. The speeds that are compared are
not the ones that selected: the grid's best, what `tune` recommends and the default run in live groups.

    python benchmarks/tuning.py                       # a convolutional network that is made here
    python benchmarks/tuning.py --variants int8-static    # a smaller grid of it
    python benchmarks/tuning.py --model digits_cnn    # one of the shipped zoo
    python benchmarks/tuning.py --batch 1,4           # sizes of the batch as well, by the time of one example
"""

from __future__ import annotations

import argparse
import itertools
import random
import resource
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from blame import NET, network
from common import ROOT, host

from harness import zoo as zoos
from harness.build import keys
from harness.build.cache import default_root
from harness.cli.tune import default_case, starting_from
from harness.confirmation import BLOCKS, log_ratios
from harness.explain import cases, leaving
from harness.flow.confirm import per_example
from harness.flow.execute import run_case, workload
from harness.flow.session import Session, key
from harness.measure.pairs import GroupSpec, measure_block
from harness.records import Artifact, Case, Status
from harness.runtimes.client import Client
from harness.stats import paired
from harness.store.rows import to_row
from harness.tune import recipes, settings
from harness.tune.clock import MEMBERS
from harness.tune.model import TriedBuild
from harness.tune.racing import PROCESS_S, fit
from harness.tune.request import TuneRequest
from harness.tune.tune import tune

SIZE = 32
ZOO = f"""
version: 1
defaults: {{variants: [fp32-default, fp32-fused, int8-dynamic, int8-static], targets: [cpu]}}
variants:
  fp32-default: {{precision: float32, steps: [export]}}
  fp32-fused: {{precision: float32, steps: [export, fuse: {{level: basic}}]}}
  int8-dynamic: {{precision: int8, steps: [export, fuse: {{level: basic}}, quantize: {{method: dynamic}}]}}
  int8-static: {{precision: int8, steps: [export, fuse: {{level: basic}}, quantize: {{method: static}}]}}
targets: {{cpu: {{provider: cpu}}}}
{NET}"""


class Watch:
    """Prints what takes a while, and counts the processes that are timed."""

    def __init__(self) -> None:
        """None so far."""
        self.processes = 0

    def saying(self, text: str) -> None:
        """Something that takes a while."""
        print(f"  {text}", flush=True)

    def building(self, event: object) -> None:
        """A build step."""

    def tried(self, found: TriedBuild) -> None:
        """A build was evaluated."""

    def timing(self, text: str, candidates: int) -> None:
        """A race begins."""
        print(f"  timing {text}: {candidates}", flush=True)

    def timed(self, row: object) -> None:  # noqa: ARG002 # whatever it says, it was timed
        """A process was timed."""
        self.processes += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a search took so far: seconds by the clock, and of processors, children that ended included."""

    clock: float
    processor: float

    @classmethod
    def so_far(cls) -> Spent:
        """Up to now."""
        both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return cls(clock=time.monotonic(), processor=sum(one.ru_utime + one.ru_stime for one in both))

    def since(self, before: Spent) -> Spent:
        """The difference."""
        return Spent(clock=self.clock - before.clock, processor=self.processor - before.processor)


def made(folder: Path) -> Path:
    """A zoo of one network: eight convolutions of 48 channels, one of which integers hurt."""
    network(folder / "net.onnx", seed=1, channels=48, size=SIZE)
    path = folder / "model_zoo.yaml"
    path.write_text(ZOO.replace("SIZE", str(SIZE)), encoding="utf-8")
    return path


def grid(request: TuneRequest) -> list[Case]:
    """Every build that `tune` may try, on every one of its settings."""
    default = request.default
    own = recipes.own(request.variants, default.recipe.name)
    first = recipes.distinct([(default.recipe, ""), *own, *recipes.plain(default.recipe)])
    quantized = [recipe for recipe, _ in first if cases.quantizing(recipe) is not None]
    varied = [one for recipe in quantized for one in recipes.variations(recipe, keys.isa())]
    builds = recipes.distinct([*first, *varied])
    counts = settings.counts(default.target.intra_threads, default.target.intra_threads, fixed=True)
    found: dict[str, Case] = {}
    for recipe, _ in builds:
        base = replace(default, recipe=recipe)
        for case in itertools.chain([base], (one for one, _ in settings.one_by_one(base, counts, request.batches))):
            found[case.id] = case
    return list(found.values())


def keeps(session: Session, case: Case) -> bool:
    """Whether a build keeps the budget, on whatever settings."""
    built = session.build([case])[key(case)]
    return isinstance(built, Artifact) and leaving.quality(session, case, built).excess == ""


def main() -> None:
    """Run the grid, then `tune`, then both of their answers side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="net")
    parser.add_argument("--target", default="cpu-t1")
    parser.add_argument("--variants", default="fp32-fused,int8-dynamic,int8-static", help="of the zoo, to start from")
    parser.add_argument("--batch", default="", help="sizes that both search as well, such as 1,4,8")
    asked = parser.parse_args()
    print(host())
    with tempfile.TemporaryDirectory() as name:
        the_zoo = zoos.load(ROOT / "model_zoo.yaml" if asked.model != "net" else made(Path(name)))
        default, fixed = default_case(the_zoo, asked.model, asked.target)
        request = TuneRequest(
            zoo=the_zoo,
            default=default,
            variants=starting_from(the_zoo, default, tuple(asked.variants.split(","))),
            cache=default_root(),
            results=Path(name),
            fixed_threads=fixed,
            time_limit=3600,
            batches=tuple(map(int, filter(None, asked.batch.split(",")))),
        )
        session = cases.open_session(the_zoo, default, cache=default_root(), results=Path(name), say=lambda _: None)
        every = grid(request)
        session.build([default, *every])
        every = [case for case in every if keeps(session, case)]
        started = Spent.so_far()
        timed: dict[str, tuple[float, Case]] = {}
        for case in every:
            job = replace(session.job(default), case=case, built=session.build([case])[key(case)])
            processes = the_zoo.defaults.processes
            paced = replace(job.settings, processes=processes, time_per_case=processes * PROCESS_S)
            outcome = run_case(replace(job, settings=paced))
            if outcome.status is Status.MEASURED and fit(row := to_row(session.run, outcome)):
                timed[case.id] = row["latency"]["median_s"] / case.target.batch, case
        whole = Spent.so_far().since(started)
        started, watch = Spent.so_far(), Watch()
        found = tune(request, watch)
        spent = Spent.so_far().since(started)
        best = min(timed.values(), key=lambda one: one[0])[1]
        assert found.best is not None
        timed_by_grid = len(every) * the_zoo.defaults.processes
        timed_by_tune = watch.processes + (found.choice.blocks if found.choice else 0) * MEMBERS
        print(
            f"grid: {len(every)} cells, {timed_by_grid} processes, {whole.clock:.0f} s by the clock, "
            f"{whole.processor:.0f} s of processors; best {best.id}",
            flush=True,
        )
        print(
            f"tune: {timed_by_tune} processes, {spent.clock:.0f} s by the clock, {spent.processor:.0f} s of "
            f"processors; recommends {found.best.case.id}"
        )
        print(
            f"tune over grid: {timed_by_tune / timed_by_grid:.2f} of the processes, {spent.clock / whole.clock:.2f} of "
            f"the clock, {spent.processor / whole.processor:.2f} of the processor time"
        )
        members = {"grid": best, "tune": found.best.case, "default": default}
        works = {
            role: workload(case, built, session.cache)
            for role, case in members.items()
            if isinstance(built := session.build([case])[key(case)], Artifact)
        }
        client = session.job(default).client or Client
        sizes = {role: case.target.batch for role, case in members.items()}
        spec = GroupSpec(workloads=works, clients=dict.fromkeys(works, client))
        blocks = [
            per_example(measure_block(spec, rng=random.Random(1)), sizes)  # noqa: S311  # an order, no secret
            for _ in range(BLOCKS)
        ]
    for base, head, text in (
        ("tune", "grid", "speed of tune's choice over the grid's"),
        ("tune", "default", "over the default's"),
    ):
        ratio = paired.ratio_interval(log_ratios(blocks, base, head), 0.95)
        print(f"{text}: {ratio.ratio:.3f} [{ratio.low:.3f}, {ratio.high:.3f}], {len(blocks)} live groups")


if __name__ == "__main__":
    main()
