"""How often a sweep names one of k identical builds as better, and how often it finds one that is really faster.

    python -m benchmarks.identical --sweeps 200            # simulated hosts, minutes
    python -m benchmarks.identical --live --sweeps 5       # real processes, here

Whole sweeps (`harness.flow.sweep`): a zoo with k variants that do the same, in rounds, confirmed, stored. What measures
is the flow's own seam, an executor: a simulated host (`hosts.py`), or real workers that are each given a file of their
own, copies that differ in their metadata alone. In the second half one build takes 5% less time than the others; live,
all others carry extra nodes that cost 5%. Beside the confirmed choice stands what the intervals alone would say.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import onnx

from benchmarks import common
from benchmarks.hosts import HOSTS, STARTED, Noise, SimulatedHost, dice_of
from harness import confirmation
from harness.build.cache import Cache
from harness.flow.confirm import ConfirmJob
from harness.flow.execute import Job, workload
from harness.flow.executors import Executor, JobWatcher, LocalExecutor
from harness.flow.plan import Selection
from harness.flow.preview import SweepRequest, preview
from harness.flow.progress import ProcessOutcome
from harness.flow.session import Session
from harness.flow.sweep import SweepWatcher, Swept, sweep
from harness.gate.selftest import slowing
from harness.measure import host
from harness.records import Artifact, Evaluation, Fidelity, RuntimeInfo, within_run
from harness.stats import binomial

FASTER = 0.95
"""What the better build takes of the others' time."""

TRUE_S = 0.001
OPSETS = range(17, 31)
RUNTIME = RuntimeInfo(name="simulated", version="0")
EXACT = Evaluation(
    fidelity=Fidelity(centred_sqnr_db=None, sqnr_db=None, cosine=1.0, max_abs=0.0, top1_agreement=None),
    accuracy=None,
    precision="float32",
)

ZOO = """version: 1
variants:
{variants}
targets:
  cpu: {{provider: cpu}}
data:
  noise: {{source: random, evaluation: 8, calibration: 8}}
models:
  net: {{source: onnx, id: net.onnx, data: noise, budget: {{fidelity_db: 30}}}}
"""


class SimulatedExecutor:
    """Gives every process the time that a simulated host has for its variant."""

    def __init__(self, machine: SimulatedHost, true_s: Mapping[str, float]) -> None:
        """Nothing is run.

        Args:
            machine: the host.
            true_s: by variant, at pace 1.
        """
        self.machine, self.true_s, self.here = machine, true_s, host.here()

    def run(self, jobs: Iterable[Job], watch: JobWatcher) -> Iterator[ProcessOutcome]:
        """See `harness.flow.executors.Executor`."""
        for job in jobs:
            watch.started(job.case)
            variant = job.case.recipe.name
            yield ProcessOutcome(
                case=job.case,
                process=job.process,
                started_at=STARTED,
                samples=self.machine.process(variant, self.true_s[variant]),
                evaluation=EXACT,
                placement={job.case.target.provider: 1.0},
                runtime=RUNTIME,
                host=self.here,
            )

    def confirm(self, job: ConfirmJob, watch: JobWatcher) -> confirmation.ConfirmedChoice:  # noqa: ARG002
        """See `harness.flow.executors.Executor`."""
        if len(job.jobs) == 1:
            return confirmation.alone(job.candidates[0], job.baseline, job.cut)
        blocks = [self.machine.block({name: self.true_s[name] for name in job.jobs}) for _ in range(job.blocks)]
        return confirmation.decide(job.candidates, job.baseline, blocks, cut=job.cut)


class CopiesExecutor:
    """Real workers, each variant on a file of its own."""

    def __init__(self, digests: Mapping[str, str]) -> None:
        """Nothing is run.

        Args:
            digests: variant -> under which its file lies in the cache.
        """
        self.digests, self.local = digests, LocalExecutor()

    def given(self, job: Job) -> Job:
        """The same job on the variant's own file."""
        assert isinstance(job.built, Artifact)
        built = dataclasses.replace(job.built, digest=self.digests[job.case.recipe.name])
        return dataclasses.replace(job, built=built)

    def run(self, jobs: Iterable[Job], watch: JobWatcher) -> Iterator[ProcessOutcome]:
        """See `harness.flow.executors.Executor`."""
        return self.local.run(map(self.given, jobs), watch)

    def confirm(self, job: ConfirmJob, watch: JobWatcher) -> confirmation.ConfirmedChoice:
        """See `harness.flow.executors.Executor`."""
        own = {name: self.given(one) for name, one in job.jobs.items()}
        return self.local.confirm(dataclasses.replace(job, jobs=own), watch)


class Nobody:
    """A watcher that does not look."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Whatever is told."""
        return lambda *_, **__: None


WATCH: SweepWatcher = Nobody()  # type: ignore[assignment]  # it has whatever is asked for


def request_of(folder: Path, copies: int, *, processes: int, seconds: float) -> SweepRequest:
    """A sweep over so many variants of one small network; the folder holds everything of it."""
    slowing.make([{"make": "mixed", "to": str(folder / "net.onnx")}])
    # An option that means nothing for a file: equal recipes would be planned once.
    variants = "\n".join(
        f"  same{number}: {{steps: [{{export: {{opset: {OPSETS[number]}}}}}]}}" for number in range(copies)
    )
    (folder / "zoo.yaml").write_text(ZOO.format(variants=variants), encoding="utf-8")
    return SweepRequest(
        zoo=folder / "zoo.yaml",
        results=folder / "results",
        cache=folder / "cache",
        selection=Selection(threads=(1,), batch=(1,)),
        processes=processes,
        time_per_case=seconds,
    )


def files(request: SweepRequest, *, share: float) -> dict[str, str]:
    """Variant -> the digest of a file of its own in the cache; all but the first carry nodes that cost a share."""
    ahead = preview(request)
    session = Session.of(ahead, cache=request.cache, results=request.results)
    found = {}
    nodes = 0
    for number, case in enumerate(session.cases):
        job = session.job(case)
        if not isinstance(job.built, Artifact):
            raise SystemExit(job.built.reason)
        cache = Cache(request.cache)
        work = workload(case, job.built, cache)
        if share and number:
            nodes = nodes or slowing.nodes_for(work, share, request.cache / "slowed", pairs=9)
            work = slowing.with_nodes(work, nodes, request.cache / "slowed")
        digest = f"{job.built.digest[:-6]}{number:02}{round(1000 * share):04}"
        path = cache.artifact_path(digest)
        shutil.copytree(cache.artifact_path(job.built.digest).parent, path.parent, dirs_exist_ok=True)
        model = onnx.load(work.model)
        onnx.helper.set_model_props(model, {"copy": str(number)})
        onnx.save(model, path)
        found[case.recipe.name] = digest
    return found


@dataclasses.dataclass(slots=True)
class Counted:
    """What sweeps said.

    Attributes:
        confirmed: those that name one build, confirmed against all others that compete.
        slower: those that find some build slower, confirmed; `confirmed` ones among them.
        right: those that name the first build, confirmed.
        first: those that name it, confirmed or not.
        by_intervals: those where one interval lies below all others.
    """

    sweeps: int = 0
    confirmed: int = 0
    slower: int = 0
    right: int = 0
    first: int = 0
    by_intervals: int = 0

    def add(self, swept: Swept) -> None:
        """Count one."""
        rows = sorted((row for row in swept.rows if row["latency"]), key=lambda row: row["latency"]["median_s"])
        choice = next(found for row in rows if (found := confirmation.stored(row)) is not None)
        self.sweeps += 1
        self.confirmed += choice.state == confirmation.CONFIRMED
        self.slower += bool(choice.slower)
        self.first += choice.best == "same0"
        self.right += choice.best == "same0" and choice.state == confirmation.CONFIRMED
        high = within_run(rows[0]["latency"])[1]
        self.by_intervals += all(within_run(row["latency"])[0] > high for row in rows[1:])

    def told(self, name: str) -> str:
        """A count with its exact interval."""
        k = getattr(self, name)
        low, high = binomial.interval(k, self.sweeps)
        return f"{k} of {self.sweeps} ({k / self.sweeps:.0%}, 95% {low:.1%} to {high:.1%})"


def experiment(request: SweepRequest, executors: Iterable[Executor]) -> Counted:
    """So many sweeps as there are executors."""
    counted = Counted()
    for number, executor in enumerate(executors):
        own = dataclasses.replace(request, results=request.results / str(number))
        counted.add(sweep(own, WATCH, executor=executor))
    return counted


def tell(title: str, same: Counted, faster: Counted) -> None:
    """Print both halves."""
    print(f"{title}: identical builds, one named as better than all others: {same.told('confirmed')}")
    print(f"  some build found slower than another: {same.told('slower')}")
    print(f"  by intervals alone one is better than all others: {same.told('by_intervals')}")
    print(f"  one takes 5% less: it is named, confirmed: {faster.told('right')}")
    print(f"  it is named, confirmed or not: {faster.told('first')}", flush=True)


def simulated(asked: argparse.Namespace, hosts: Mapping[str, Noise]) -> None:
    """Both halves on every host."""
    with tempfile.TemporaryDirectory(prefix="harness-identical-") as folder:
        request = request_of(Path(folder), asked.copies, processes=asked.processes, seconds=asked.seconds)
        names = [f"same{number}" for number in range(asked.copies)]
        equal = dict.fromkeys(names, TRUE_S)
        for title, noise in hosts.items():
            halves = []
            for kind, times in (("same", equal), ("faster", equal | {"same0": FASTER * TRUE_S})):
                seeds = (f"{asked.seed}/{title}/{kind}/{number}" for number in range(asked.sweeps))
                machines = (SimulatedHost(noise, dice_of(seed)) for seed in seeds)
                own = dataclasses.replace(request, results=request.results / f"{title}-{kind}")
                halves.append(experiment(own, (SimulatedExecutor(machine, times) for machine in machines)))
            tell(title, *halves)


def live(asked: argparse.Namespace) -> None:
    """Both halves with real processes."""
    print(common.host(), flush=True)
    halves = []
    for share in (0.0, 1 / FASTER - 1):
        with tempfile.TemporaryDirectory(prefix="harness-identical-") as folder:
            request = request_of(Path(folder), asked.copies, processes=asked.processes, seconds=asked.seconds)
            executor = CopiesExecutor(files(request, share=share))
            halves.append(experiment(request, [executor] * asked.sweeps))
    tell("here", *halves)


def main() -> None:
    """Simulate, or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=20)
    parser.add_argument("--copies", type=int, default=6)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of inference per case, live")
    parser.add_argument("--hosts", nargs="+", choices=list(HOSTS), default=list(HOSTS), metavar="HOST")
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--live", action="store_true")
    asked = parser.parse_args()
    if asked.live:
        live(asked)
    else:
        simulated(asked, {name: HOSTS[name] for name in asked.hosts})


if __name__ == "__main__":
    main()
