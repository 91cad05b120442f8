"""The choice of a sweep, measured again: what competes runs side by side in fresh processes, and so does the baseline.

A sweep's own numbers select; numbers that selected exaggerate. So the fastest case inside the budget and those that it
was not told apart from are measured once more, together, in blocks of live processes that take turns.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness import budget, confirmation
from harness.build.cache import Cache
from harness.confirmation import ConfirmedChoice
from harness.errors import WorkerError
from harness.flow.execute import Job, workload
from harness.measure import memory
from harness.measure.pairs import GroupSpec, measure_block
from harness.records import Artifact, Block
from harness.runtimes.client import Client

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmJob:
    """What confirming one choice takes; it can be pickled.

    Attributes:
        model, target: whose choice it is.
        candidates: variants inside the budget that compete, the fastest first.
        cut: variants that compete as well and are not measured again, since there are too many.
        baseline: the variant that speed-ups refer to; empty where it has no number.
        jobs: by variant: the candidates and the baseline.
        cases: ids of the rows that the choice belongs to.
        examples: of one inference, by variant; one each where empty. Where they differ, one example's time is compared.
    """

    model: str
    target: str
    candidates: tuple[str, ...]
    cut: tuple[str, ...]
    baseline: str
    jobs: Mapping[str, Job]
    cases: tuple[str, ...]
    blocks: int
    seed: str
    examples: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def text(self) -> str:
        """What is going on, for somebody who waits."""
        others = [name for name in self.jobs if name != self.candidates[0]]
        against = f" against {', '.join(others)}" if others else ""
        return f"confirming the choice for {self.model} on {self.target}: {self.candidates[0]}{against}"


def confirm_jobs(rows: Sequence[Row], jobs: Mapping[str, Job], *, blocks: int, seed: str) -> Iterator[ConfirmJob]:
    """What is to be confirmed of a run: one for each model and target that has a case inside its budget.

    Args:
        rows: the run's.
        jobs: by case id.
        blocks: for each of them.
        seed: decides every order.
    """
    free = memory.free_bytes()
    for (model, target), choice in budget.choices(rows).items():
        own = [row for row in choice.rows if row["case"] in jobs]
        inside = sorted(
            (row for row in own if row["status"] == "measured" and not row["stopped"] and budget.excess(row) == ""),
            key=lambda row: row["latency"]["median_s"],
        )
        if not inside or any(row.get("choice") for row in own):
            continue
        base = next((row for row in own if row["variant"] == row.get("baseline")), None)
        beside = (base or {}).get("peak_rss_bytes") or 0
        candidates, cut = confirmation.candidates(inside, room=math.inf if free is None else free / 2 - beside)
        taking_part = {row["variant"]: row["case"] for row in [*candidates, *([base] if base else [])]}
        yield ConfirmJob(
            model=model,
            target=target,
            candidates=tuple(row["variant"] for row in candidates),
            cut=tuple(row["variant"] for row in cut),
            baseline=base["variant"] if base else "",
            jobs={variant: jobs[case] for variant, case in taking_part.items()},
            cases=tuple(dict.fromkeys([*taking_part.values(), *(row["case"] for row in cut)])),
            blocks=blocks,
            seed=f"{seed}/{model}/{target}",
        )


MeasureBlock = Callable[..., Block]
"""`harness.measure.pairs.measure_block`, or what stands for it."""


def confirm_choice(
    job: ConfirmJob,
    *,
    on_burst: Callable[[], None] | None = None,
    goes_on: Callable[[int], bool] = lambda _: True,
    measure: MeasureBlock = measure_block,
) -> ConfirmedChoice:
    """Measure what competes, and decide. Never raises for what is wrong with a case: then nothing is confirmed.

    Args:
        job: what competes.
        on_burst: called while workers are idle; must return quickly.
        goes_on: asked before every block but the first, with how many there are: whether there is time for one more.
        measure: measures one block.
    """
    if len(job.jobs) == 1:
        return confirmation.alone(job.candidates[0], job.baseline, job.cut)
    rng = random.Random(job.seed)  # noqa: S311  (an order, no secret)
    built = {name: one.built for name, one in job.jobs.items()}
    try:
        spec = GroupSpec(
            workloads={
                name: workload(one.case, artifact, Cache(one.cache))
                for name, one in job.jobs.items()
                if isinstance(artifact := built[name], Artifact)
            },
            clients={name: one.client or Client for name, one in job.jobs.items()},
        )
        blocks: list[Block] = []
        while len(blocks) < job.blocks and (not blocks or goes_on(len(blocks))):
            blocks.append(measure(spec, rng=rng, on_burst=on_burst))
    except (WorkerError, OSError) as error:
        return confirmation.unconfirmed(job.candidates[0], job.baseline, str(error))
    blocks = [per_example(block, job.examples) for block in blocks]
    return confirmation.decide(job.candidates, job.baseline, blocks, cut=job.cut)


def per_example(block: Block, examples: Mapping[str, int]) -> Block:
    """A block whose bursts are the time of one example and not of one inference."""
    members = {
        name: dataclasses.replace(one, bursts_ns=tuple(ns / examples.get(name, 1) for ns in one.bursts_ns))
        for name, one in block.members.items()
    }
    return dataclasses.replace(block, members=members)
