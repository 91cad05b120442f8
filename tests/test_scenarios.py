"""How requests arrive: the texts, the load generator in simulated time, the search for a server's capacity."""

from __future__ import annotations

import json
import math
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import WorkerError, WorkerRefusal
from harness.measure import capacity, scenarios
from harness.measure.capacity import Trial
from harness.measure.coordinator import FLOOR_MODEL, Workload, time_process
from harness.measure.pacing import Pace
from harness.measure.scenarios import Driver
from harness.records import Target
from harness.records.case_id import CaseId
from harness.records.scenario import Scenario
from harness.runtimes import load
from harness.runtimes.client import Client

SERVICE_NS = 1_000_000


@pytest.mark.parametrize(
    ("text", "written", "streams"),
    [
        ("", "", 1),
        ("single-stream", "", 1),
        ("multi4", "multi4", 4),
        ("sessions2", "sessions2", 2),
        ("shared16", "shared16", 16),
        ("offline", "offline", 1),
        ("server50ms", "server50ms", 1),
        ("server0.50ms", "server0.5ms", 1),
        ("server200qps", "server200qps", 1),
        ("server12.5qpsx2", "server12.5qpsx2", 2),
    ],
)
def test_a_scenario_has_one_way_of_being_written(text: str, written: str, streams: int) -> None:
    """However it was typed."""
    found = Scenario.parse(text)
    assert (written, streams) == (str(found), found.streams)
    assert found == Scenario.parse(written)


@pytest.mark.parametrize(
    "text",
    [
        *("multi", "multi0", "multi257", "sessions1", "shared1", "shared"),
        *("server", "server0ms", "server5", "server5s", "Offline", "offline2", "x"),
    ],
)
def test_what_is_no_scenario_is_refused_with_what_is(text: str) -> None:
    """With what would be one."""
    with pytest.raises(ValueError, match=r"expected single-stream, or such as|requests at a time|one session is"):
        Scenario.parse(text)


@pytest.mark.parametrize("scenario", ["", "multi4", "shared4", "offline", "server0.5ms", "server200qpsx2"])
@pytest.mark.parametrize("target", ["cpu", "cpu-t2-b1-multi4"])
def test_a_case_is_read_as_it_is_written(scenario: str, target: str) -> None:
    """Also where a target's own name ends like one."""
    case = CaseId(model="m", variant="v", target=target, intra_threads=2, batch=8, scenario=scenario)
    assert case == CaseId.parse(str(case))
    assert Target(name=target, provider="p", intra_threads=2, batch=8, scenario=scenario).label == case.label


class Simulated:
    """One server in simulated time: serving takes `service_ns`, waiting takes as long as it is asked to."""

    def __init__(self, service_ns: int = SERVICE_NS) -> None:
        self.now, self.service_ns = 0, service_ns

    def serve(self, stream: int, number: int) -> None:  # noqa: ARG002  (what the generator gives)
        """Take a service."""
        self.now += self.service_ns

    def clock(self) -> int:
        """Now."""
        return self.now

    def wait(self, due: int, clock: Callable[[], int]) -> None:
        """Until it is due."""
        self.now = max(clock(), due)

    def offer(self, rate: float, n: int, **limits: int) -> dict[str, Any]:
        """What the generator answers for a Poisson process."""
        due = load.arrivals(n, rate, scenarios.SEED)
        return load.Load(self.serve, n, due=due, clock=self.clock, wait=self.wait, **limits).run()

    def trial(self, rate: float, n: int, **limits: int) -> Trial:
        """The same, as the search reads it."""
        reply = self.offer(rate, n, **limits)
        return Trial(latencies_ns=reply["durations_ns"], ended=reply["ended"], waiting=reply["waiting"])


def waits_at_most(multiple: float, busy: float) -> float:
    """The share of requests of an M/D/1 queue that wait for at most so many services.

    Source: A. K. Erlang, "The Theory of Probabilities and Telephone Conversations" (1909).
    """
    total = 0.0
    for k in range(math.floor(multiple) + 1):
        left = busy * (k - multiple)
        total += left**k / math.factorial(k) * math.exp(-left)
    return (1 - busy) * total


def true_capacity(bound: float) -> float:
    """The highest share of time that an M/D/1 server may be busy while 99% take at most `bound` services."""
    low, high = 0.0, 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if waits_at_most(bound - 1, middle) >= 0.99 else (low, middle)
    return low


@pytest.mark.parametrize("bound", [6.0])
def test_the_search_finds_the_capacity_of_a_server_whose_queue_is_known(bound: float) -> None:
    """M/D/1: Poisson arrivals, a constant service time, one server."""
    bound_ns, n = int(bound * SERVICE_NS), capacity.MOST_REQUESTS
    late = capacity.most_late(n)
    found = capacity.search(
        lambda rate: Simulated().trial(rate, n, bound_ns=bound_ns, most_late=late),
        bound_ns=bound_ns,
        saturated=1e9 / SERVICE_NS,
    )
    assert found is not None
    assert true_capacity(bound) == pytest.approx(found.rate * SERVICE_NS / 1e9, rel=0.05)
    assert capacity.holds(found.trial, bound_ns)


def test_a_bound_below_one_service_has_no_rate() -> None:
    """Not even a request that finds no queue keeps it."""
    n = capacity.LEAST_REQUESTS
    assert (
        capacity.search(
            lambda rate: Simulated().trial(rate, n, bound_ns=SERVICE_NS // 2, most_late=1),
            bound_ns=SERVICE_NS // 2,
            saturated=1e9 / SERVICE_NS,
        )
        is None
    )


def test_queueing_is_part_of_the_latency() -> None:
    """Three requests at once wait for none, one and two services."""
    server = Simulated()
    reply = load.Load(server.serve, 3, due=[0, 0, 0], clock=server.clock, wait=server.wait).run()
    assert [SERVICE_NS, 2 * SERVICE_NS, 3 * SERVICE_NS] == reply["durations_ns"]
    assert (3 * SERVICE_NS, "", 0) == (reply["elapsed_ns"], reply["ended"], reply["waiting"])


def test_a_queue_that_grows_without_bound_ends_the_load() -> None:
    """Twice as many requests as can be served: it ends long before the last of them, and says how many wait."""
    reply = Simulated().offer(2e9 / SERVICE_NS, 10_000, most_wait_ns=20 * SERVICE_NS)
    assert reply["ended"] == load.QUEUE
    assert len(reply["durations_ns"]) < 100
    assert 10 < reply["waiting"] < 100


def test_too_many_late_requests_end_a_trial() -> None:
    """The sixth, where five may be late."""
    reply = Simulated().offer(2e9 / SERVICE_NS, 10_000, bound_ns=3 * SERVICE_NS, most_late=5)
    assert reply["ended"] == load.LATE
    assert sum(one > 3 * SERVICE_NS for one in reply["durations_ns"]) == 6


def test_a_higher_rate_is_the_same_history_played_faster() -> None:
    """So that what is too fast at one rate is too fast at every higher one."""
    slow, fast = load.arrivals(200, 10.0, 7), load.arrivals(200, 40.0, 7)
    assert all(abs(one - 4 * other) <= 4 for one, other in zip(slow, fast, strict=True))
    assert slow == sorted(slow)
    assert 200 / 10.0 == pytest.approx(slow[-1] / 1e9, rel=0.3)


FIRST = [175643, 1018374, 1390871, 1846797, 1988193, 2213099]
"""Nanoseconds of the first arrivals at 1000 per second from seed 20240229."""

JAVASCRIPT = Path(load.__file__).parent / "javascript" / "load.mjs"


def test_arrivals_are_those_of_every_other_language() -> None:
    """Stored rates were found with these histories: they stay as they are, and JavaScript draws the same."""
    assert FIRST == load.arrivals(6, 1000.0, scenarios.SEED)
    drawn = load.arrivals(4000, 1000.0, 7)
    assert np.mean(np.diff(drawn)) == pytest.approx(1e6, rel=0.05)
    assert np.std(np.diff(drawn)) == pytest.approx(1e6, rel=0.05)  # an exponential's is its mean
    if shutil.which("node"):
        says = "console.log(JSON.stringify(arrivals(6, 1000, 20240229)))"
        code = f"import {{arrivals}} from {json.dumps(str(JAVASCRIPT))}; {says}"
        done = subprocess.run(["node", "--input-type=module", "-e", code], capture_output=True, text=True, check=True)
        assert FIRST == json.loads(done.stdout)


def test_streams_serve_each_request_once_and_say_what_one_raised() -> None:
    """Four threads share fifty requests."""
    seen: list[tuple[int, int]] = []
    reply = load.Load(lambda stream, number: seen.append((stream, number)), 50, 4).run()
    assert list(range(50)) == sorted(number for _, number in seen)
    assert {stream for stream, _ in seen} <= set(range(4))
    assert len(reply["durations_ns"]) == 50

    def broken(stream: int, number: int) -> None:
        raise ValueError(f"request {number} of stream {stream}")

    with pytest.raises(ValueError, match="request"):
        load.Load(broken, 50, 4).run()


class Scripted(Client):
    """A worker that answers from a simulation and starts no process."""

    def __init__(self, service_ns: Callable[[int], int], features: Sequence[str] = ("load",)) -> None:
        self.hello = {"features": list(features)}
        self.lacks = {}
        self.service_ns = service_ns
        self.batch = 1
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def ask(self, command: str, deadline_s: float, **arguments: Any) -> dict[str, Any]:
        """Answer as the protocol says."""
        assert deadline_s > 0
        self.asked.append((command, arguments))
        if command == "open":
            self.batch = arguments["batch"]
            return {"session_ns": 1, "runtime": {"placement": {}}}
        server = Simulated(self.service_ns(self.batch))
        if command == "load" and "rate" in arguments:
            limits = {
                key: value for key, value in arguments.items() if key in ("bound_ns", "most_late", "most_wait_ns")
            }
            return server.offer(arguments["rate"], arguments["n"], **limits)
        return {"durations_ns": [server.service_ns] * arguments["n"]}


def workload_of(scenario: str, batch: int = 1) -> Workload:
    """What a case of the scenario asks for."""
    return Workload(
        model=Path("net.onnx"),
        target=Target(name="cpu", provider="CPUExecutionProvider", batch=batch, scenario=scenario),
        optimization="all",
        feeds={},
        dims={"batch": batch},
        batch_axes={"x": 0},
    )


def driven(scenario: str, worker: Client, batch: int = 1, budget_s: float = 20.0) -> scenarios.Driven:
    """What a process of the scenario gives, with the worker's times."""
    from harness.measure.pacing import pace

    drive, plan = Driver(workload_of(scenario, batch)), Pace(budget_s=budget_s, ci_width=0.02)
    drive.open(worker)
    drive.settle(worker)
    bursts = pace(drive.plan(plan), SERVICE_NS)
    n = next(bursts)
    while True:
        try:
            n = bursts.send(drive.burst(worker, n, 60.0)[0])
        except StopIteration as stop:
            return drive.finish(worker, stop.value, plan)


def test_a_server_finds_its_capacity_through_the_protocol() -> None:
    """Few requests find a lower rate than there is, and say so."""
    found = driven("server6ms", Scripted(lambda _: SERVICE_NS))
    true = true_capacity(6.0) * 1e9 / SERVICE_NS
    assert found.rate is not None
    assert 0.8 * true < found.rate < true
    assert ["cautious" in note for note in found.notes] == [True]
    assert found.example_ns == pytest.approx(1e9 / found.rate)
    assert max(found.paced.samples_ns) > SERVICE_NS  # its samples are the requests', with their queueing
    assert capacity.holds(Trial(latencies_ns=found.paced.samples_ns), 6 * SERVICE_NS)


def test_offline_chooses_the_batch_that_takes_least_per_example() -> None:
    """Per example 1000, 600, 400, 500 us at batch 1, 2, 4, 8: a query of eight is two batches of four."""
    per_example = {1: 1000, 2: 600, 4: 400, 8: 500}
    worker = Scripted(lambda batch: batch * per_example[batch] * 1000)
    found = driven("offline", worker, batch=8)
    assert (4, 400_000) == (found.chosen_batch, found.example_ns)
    assert {8 * 400_000} == set(found.paced.samples_ns)
    assert [8, 1, 2, 4, 8, 4] == [asked["batch"] for command, asked in worker.asked if command == "open"]


def test_multi_stream_counts_what_all_streams_serve() -> None:
    """Four at a time: four times the throughput of one latency."""
    worker = Scripted(lambda _: SERVICE_NS)
    found = driven("multi4", worker)
    assert found.example_ns == SERVICE_NS / 4
    assert {4} == {asked["streams"] for command, asked in worker.asked if command in ("open", "load")}


@pytest.mark.parametrize(
    ("scenario", "says"),
    [
        ("server0.5ms", r"no rate keeps the 99th percentile under 500 µs: .* takes 1.00 ms in the median"),
        ("server1100qps", r"grows without bound at 1100 requests per second: .* is served at 1000 per second"),
        ("server5000qps", r"after 3\d\d ms \d+ requests were waiting and the load was ended"),
    ],
)
def test_a_load_that_cannot_be_served_says_so(scenario: str, says: str) -> None:
    """A bound that nothing keeps, and rates above what can be served."""
    with pytest.raises(WorkerRefusal, match=says):
        driven(scenario, Scripted(lambda _: SERVICE_NS))


def test_a_worker_without_a_load_generator_says_so() -> None:
    """It cannot, and nothing is broken."""
    worker = Scripted(lambda _: SERVICE_NS, features=())
    worker.lacks = {"load": "it takes turns"}
    with pytest.raises(WorkerRefusal, match=r"no load generator, which multi2 needs \(it takes turns\)") as refused:
        driven("multi2", worker)
    assert refused.value.kind == "not_implemented"


@pytest.mark.parametrize("reply", [{}, {"ended": 1}, {"ended": "", "waiting": -1, "elapsed_ns": 1}, {"ended": None}])
def test_a_reply_that_is_not_the_protocol_is_an_error_of_the_worker(reply: dict[str, Any]) -> None:
    """Whatever is missing or strange in it."""
    worker = Scripted(lambda _: SERVICE_NS)
    answers: Iterator[dict[str, Any]] = iter([reply])
    drive = Driver(workload_of("server200qps"))
    worker.ask = lambda *_, **__: next(answers)  # type: ignore[method-assign]
    with pytest.raises(WorkerError, match="not the protocol"):
        drive.offer(worker, 200.0, 700)


@pytest.mark.parametrize(("scenario", "threads"), [("sessions2", 1), ("shared2", 1), ("shared2", 2)])
def test_several_sessions_in_one_process(tmp_path: Path, scenario: str, threads: int) -> None:
    """Two of them serve two requests at a time; a pool of several threads has no place for the reference workload."""
    np.save(tmp_path / "x.npy", np.full((1,), 0.5, np.float32))
    target = Target(name="cpu", provider="CPUExecutionProvider", scenario=scenario, intra_threads=threads)
    feeds = {"x": tmp_path / "x.npy"}
    work = Workload(model=FLOOR_MODEL, target=target, optimization="all", feeds=feeds, dims={})
    plan = Pace(budget_s=0.05, ci_width=0.5, least_warmup_s=0.0, least_sampling_s=0.0)
    found = time_process(work, plan)
    assert found.samples.example_ns == pytest.approx(statistics.fmean(found.samples.samples_ns) / 2)
    shared = scenario.startswith("shared")
    how = "one pool of threads and one arena for all" if shared else "each with threads and an arena of its own"
    assert any(note.startswith(f"2 sessions in one process, {how}") for note in found.notes)
    assert (threads == 1) == (not found.samples.reference_problem), found.samples.reference_problem


def test_a_worker_with_one_session_says_so() -> None:
    """It is refused before it opens anything."""
    worker = Scripted(lambda _: SERVICE_NS)
    with pytest.raises(WorkerRefusal, match="opens one session in a process, and shared2 needs 2") as refused:
        driven("shared2", worker)
    assert ("not_implemented", []) == (refused.value.kind, worker.asked)


def test_onnxruntime_serves_a_load(tmp_path: Path) -> None:
    """In a real process: three requests at a time over one session, then a Poisson process."""
    np.save(tmp_path / "x.npy", np.full((1,), 0.5, np.float32))
    target = Target(name="cpu", provider="CPUExecutionProvider", scenario="multi3")
    feeds = {"x": tmp_path / "x.npy"}
    work = Workload(model=FLOOR_MODEL, target=target, optimization="all", feeds=feeds, dims={})
    plan = Pace(budget_s=0.05, ci_width=0.5, least_warmup_s=0.0, least_sampling_s=0.0)
    replies = []
    found = time_process(
        work, plan, reference=False, afterwards=lambda worker: replies.append(worker.ask("load", 60.0, n=40, rate=2e3))
    )
    assert len(found.samples.samples_ns) % 3 == 0
    assert found.samples.example_ns == pytest.approx(statistics.fmean(found.samples.samples_ns) / 3)
    assert found.examples == 1  # three buffers, one example
    assert len(replies[0]["durations_ns"]) == 40
    assert replies[0]["elapsed_ns"] >= load.arrivals(40, 2e3, 0)[-1]
