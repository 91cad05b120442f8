"""How a worker is driven in each scenario: what a burst is, and what comes after it.

Single-stream: the protocol's `burst`. Multi-stream: its `load` without a rate, as many requests at a time. Offline: a
burst of batches of the size that is fastest, added up to queries of all examples. Server: `load` at rates that are
searched for, or at the one that was given.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import WorkerError, WorkerRefusal
from harness.measure import capacity
from harness.measure.bursts import OPEN_DEADLINE_S, burst, durations_of, is_duration
from harness.measure.capacity import Trial
from harness.measure.pacing import Pace, Paced
from harness.records.scenario import MULTI, OFFLINE, SERVER, Scenario
from harness.runtimes.client import Client
from harness.units import seconds

if TYPE_CHECKING:
    from harness.measure.coordinator import Workload

FEATURE = "load"
"""What the worker's hello has where it has a load generator."""

SEVERAL = "sessions"
"""What it has where it opens several sessions in one process."""

SEED = 20_240_229
"""Of the arrivals of a case's first process, the next one's is one more: two cases face the same histories."""

CALM_SHARE = 0.25
"""The part of a server's budget in which it is warmed up and its pace without a queue is found."""

LOST = 20
"""A request that waits longer than so many services, and `LEAST_LOST_S`, tells that the queue only grows."""

LEAST_LOST_S = 0.25

PROBE_S = 0.1
"""Seconds that one size of offline's batches is tried for."""

WORSE = 1.1
"""Larger batches are not tried any more once one takes so much longer per example than the best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """What a scenario made of a process's durations.

    Attributes:
        paced: the samples, of what the scenario calls a latency.
        example_ns: the time per example at its throughput; None in single-stream, where the latency says it.
        rate: server: requests per second of the samples.
        chosen_batch: offline: examples per inference.
        notes: what must be known of the numbers.
    """

    paced: Paced
    example_ns: float | None = None
    rate: float | None = None
    chosen_batch: int | None = None
    notes: tuple[str, ...] = ()


class Driver:
    """One process of a case, driven as its scenario says."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.scenario = Scenario.parse(workload.target.scenario)
        self.batch = workload.target.batch
        self.chunk = self.batch
        self.opened: dict[str, Any] = {}

    def open(self, worker: Client) -> dict[str, Any]:
        """The worker's reply to `open`.

        Raises:
            WorkerRefusal: it has no load generator and needs one.
            WorkerError: as `Client.ask`.
        """
        features = worker.hello.get("features") or ()
        if self.scenario.kind in (MULTI, SERVER) and FEATURE not in features:
            why = worker.lacks.get(FEATURE)
            raise WorkerRefusal(
                "not_implemented",
                f"the worker of {self.workload.target.runtime} has no load generator, which {self.scenario} needs"
                f"{f' ({why})' if why else ''}; single-stream and offline need none",
            )
        if self.scenario.sessions > 1 and SEVERAL not in features:
            why = worker.lacks.get(SEVERAL)
            raise WorkerRefusal(
                "not_implemented",
                f"the worker of {self.workload.target.runtime} opens one session in a process, and {self.scenario} "
                f"needs {self.scenario.sessions}{f' ({why})' if why else ''}",
            )
        self.opened = worker.ask("open", OPEN_DEADLINE_S, **self.workload.request())
        return self.opened

    def settle(self, worker: Client) -> None:
        """Choose offline's batch: of 1, 2, 4 and so on, and the whole, what takes the least time per example.

        What is open afterwards has that batch.
        """
        if self.scenario.kind != OFFLINE or not self.workload.batch_axes or self.batch == 1:
            return
        best: tuple[float, int] | None = None
        for chunk in sizes(self.batch):
            try:
                worker.ask("open", OPEN_DEADLINE_S, **self.at_batch(chunk).request())
                first_ns = burst(worker, 1, OPEN_DEADLINE_S)[0][0]
                n = max(3, min(1000, int(PROBE_S * 1e9 / max(first_ns, 1))))
                durations, _ = burst(worker, n, limit_s(n * first_ns))
            except WorkerRefusal:
                if best is None:
                    raise
                break  # memory, say: what was smaller works
            each = statistics.median(durations) / chunk
            if best is None or each < best[0]:
                best = (each, chunk)
            elif each > WORSE * best[0]:
                break
        self.chunk = best[1] if best else self.batch
        worker.ask("open", OPEN_DEADLINE_S, **self.at_batch(self.chunk).request())

    def at_batch(self, batch: int) -> Workload:
        """The workload with another batch."""
        dims = self.workload.dims
        return dataclasses.replace(
            self.workload,
            target=dataclasses.replace(self.workload.target, batch=batch),
            dims={**dims, **({"batch": batch} if "batch" in dims else {})},
        )

    def plan(self, plan: Pace) -> Pace:
        """How bursts are paced.

        Latencies of requests that run at a time add up to so many times the clock, and a server keeps most of its
        time for the search.
        """
        share = self.scenario.streams * (CALM_SHARE if self.scenario.kind == SERVER else 1.0)
        return dataclasses.replace(
            plan,
            budget_s=plan.budget_s * share,
            least_warmup_s=plan.least_warmup_s * self.scenario.streams,
            least_sampling_s=plan.least_sampling_s * share,
        )

    def burst(
        self, worker: Client, n: int, deadline_s: float, *, at: int | None = None
    ) -> tuple[Sequence[int], int | None]:
        """At least n durations, and the preemptions meanwhile; as `bursts.burst` in single-stream.

        Raises:
            WorkerError: as `bursts.burst`.
        """
        if self.scenario.streams > 1:
            most = n * self.scenario.streams
            reply = worker.ask(FEATURE, deadline_s, n=most, streams=self.scenario.streams)
            return durations_of(reply, most, most), reply.get("preempted")
        parts = self.batch // self.chunk
        if parts == 1:
            return burst(worker, n, deadline_s, at=at)
        durations, switches = burst(worker, n * parts, deadline_s, at=None if at is None else at * parts)
        return [sum(durations[i : i + parts]) for i in range(0, n * parts, parts)], switches

    def finish(self, worker: Client, paced: Paced, plan: Pace) -> Driven:
        """What the scenario makes of it.

        Raises:
            WorkerRefusal: a server's bound cannot be met, or its queue grows without bound.
            WorkerError: as `Client.ask`.
        """
        mean_ns = statistics.fmean(paced.samples_ns)
        if self.scenario.kind == MULTI:
            return Driven(paced=paced, example_ns=mean_ns / self.scenario.streams / self.batch)
        if self.scenario.kind == OFFLINE:
            return Driven(paced=paced, example_ns=mean_ns / self.batch, chosen_batch=self.chunk)
        if self.scenario.kind == SERVER:
            return self.serve(worker, paced, plan)
        return Driven(paced=paced)

    def serve(self, worker: Client, calm: Paced, plan: Pace) -> Driven:
        """Search for the highest rate, or offer the one that was given."""
        streams = self.scenario.streams
        service_ns = statistics.fmean(calm.samples_ns)
        saturated = streams * 1e9 / service_ns
        lost_ns = int(max(LOST * service_ns, LEAST_LOST_S * 1e9))
        n = capacity.requests((1 - CALM_SHARE) * plan.budget_s, saturated)
        if self.scenario.rate is not None:
            rate, held = self.scenario.rate, self.offer(worker, self.scenario.rate, n, most_wait_ns=lost_ns)
            if held.ended or rate >= saturated:
                raise WorkerRefusal("overload", overload(rate, saturated, held))
        else:
            bound_ns = int((self.scenario.bound_s or 0.0) * 1e9)
            late = capacity.most_late(n)
            found = capacity.search(
                lambda asked: self.offer(
                    worker, asked, n, bound_ns=bound_ns, most_late=late, most_wait_ns=max(lost_ns, bound_ns)
                ),
                bound_ns=bound_ns,
                saturated=saturated,
            )
            if found is None:
                raise WorkerRefusal(
                    "overload",
                    f"no rate keeps the 99th percentile under {seconds(bound_ns / 1e9)}: a request that finds no queue "
                    f"takes {seconds(statistics.median(calm.samples_ns) / 1e9)} in the median and "
                    f"{seconds(max(calm.samples_ns) / 1e9)} at most",
                )
            rate, held = found.rate, found.trial
        warmup = calm.warmup_ns + calm.samples_ns
        paced = dataclasses.replace(
            calm, warmup_ns=warmup, samples_ns=type(calm.samples_ns)("q", held.latencies_ns), stop="count"
        )
        searched = self.scenario.rate is None and n < capacity.FEW_REQUESTS
        few = f"the rate is cautious, from {n} requests a trial: more time (--time-per-case) may find a higher one"
        return Driven(
            paced=paced,
            example_ns=1e9 / (rate * self.batch),
            rate=rate,
            notes=(few,) if searched else (),
        )

    def offer(self, worker: Client, rate: float, n: int, **limits: int) -> Trial:
        """Offer requests at a rate and see what becomes of them.

        Raises:
            WorkerError: the reply is not the protocol; as `Client.ask`.
        """
        deadline_s = limit_s(n / rate * 1e9)
        reply = worker.ask(
            FEATURE, deadline_s, n=n, rate=rate, seed=SEED + self.workload.seed, streams=self.scenario.streams, **limits
        )
        ended, waiting, elapsed = reply.get("ended"), reply.get("waiting"), reply.get("elapsed_ns")
        if not isinstance(ended, str) or not is_duration(waiting) or not is_duration(elapsed):
            raise WorkerError(f"the worker's reply to `load` is not the protocol: {str(reply)[:80]}")
        latencies = durations_of(reply, 0 if ended else n, n)
        return Trial(latencies_ns=latencies, ended=ended, waiting=int(str(waiting)), elapsed_ns=int(str(elapsed)))


def sizes(batch: int) -> list[int]:
    """The batches that offline tries for so many examples: powers of two that divide them, and the whole."""
    found, size = [], 1
    while size < batch:
        if batch % size == 0:
            found.append(size)
        size *= 2
    return [*found, batch]


def limit_s(expected_ns: float) -> float:
    """Seconds after which the worker counts as hung: generous, since a host may stall."""
    return 60.0 + 20.0 * expected_ns / 1e9


def overload(rate: float, saturated: float, seen: Trial) -> str:
    """Why a load test at a given rate has no number."""
    served = f"one request after the other is served at {saturated:.4g} per second"
    if not seen.ended:
        return f"the queue grows without bound at {rate:g} requests per second: {served}"
    return (
        f"the queue grows without bound at {rate:g} requests per second: after {seconds(seen.elapsed_ns / 1e9)} "
        f"{seen.waiting} requests were waiting and the load was ended; {served}"
    )
