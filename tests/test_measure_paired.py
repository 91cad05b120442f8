"""harness.measure.pairs and harness.measure.cores: two live workers, and what becomes of a side that misbehaves."""

from __future__ import annotations

import dataclasses
import math
import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import UsageError, WorkerError, WorkerRefusal
from harness.gate.model import GateSettings
from harness.measure import coordinator, cores, idle, usual_bursts
from harness.measure.coordinator import Workload
from harness.measure.pairs import PairSpec, measure_pair, repeats
from harness.records import Target
from harness.runtimes.client import Client
from tests import builders, workers
from tests.load import busy_loops

linux = pytest.mark.skipif(sys.platform != "linux", reason="threads of other processes are seen on Linux only")

STEADY = "send({'ok': True, 'durations_ns': [%s] * request['n'], 'preempted': 0})"


@pytest.fixture
def workload(tmp_path: Path) -> Workload:
    """A one-node model and its input."""
    np.save(tmp_path / "x.npy", np.ones((1, 4), np.float32))
    return Workload(
        model=builders.one_node(tmp_path / "relu.onnx"),
        target=Target(name="cpu", provider="CPUExecutionProvider"),
        optimization="all",
        feeds={"x": tmp_path / "x.npy"},
        dims={"batch": 1},
    )


def pair_spec(workload: Workload, base: Callable[[], Client], head: Callable[[], Client], **more: Any) -> PairSpec:
    """The same workload on both sides, by two workers."""
    return PairSpec(
        workloads={"base": workload, "head": workload}, clients={"base": base, "head": head}, burst_s=0.005, **more
    )


def fake(tmp_path: Path, name: str, body: str) -> Callable[[], Client]:
    """A worker whose script is its own."""
    folder = tmp_path / name
    folder.mkdir()
    return workers.worker(folder, body)


def test_real_pair(workload: Workload) -> None:
    """Two real workers give the median ratio of their bursts, every burst of both, and what each start cost."""
    found = measure_pair(pair_spec(workload, Client, Client, bursts=5), phase="confirm")
    assert "confirm" == found.phase
    bursts = zip(found.base.bursts_ns, found.head.bursts_ns, strict=True)
    assert pytest.approx(statistics.median(math.log(head / base) for base, head in bursts)) == found.log_ratio
    assert 5 == len(found.base.bursts_ns) == len(found.head.bursts_ns)
    assert found.base.session_ns > 0
    assert found.head.first_inference_ns > 0
    assert sys.platform != "linux" or (found.head.peak_rss_bytes or 0) > 1_000_000


def test_the_environment_may_ask_for_short_pairs(workload: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate's settings, which its report shows, and groups follow it; what is asked for in so many words wins."""
    sides: Any = {"workloads": {"base": workload, "head": workload}, "clients": {"base": Client, "head": Client}}
    assert (15, 0.01, 0.5) == (PairSpec(**sides).bursts, GateSettings().burst_s, PairSpec(**sides).most_warmup_s)
    monkeypatch.setenv(usual_bursts.VARIABLE, "7x2ms")
    assert (7, 0.002) == (PairSpec(**sides).bursts, PairSpec(**sides).burst_s)
    assert (7, 0.002) == (GateSettings().bursts, GateSettings().burst_s)
    assert 15 == GateSettings(bursts=15).bursts
    assert 0.1 == PairSpec(**sides).most_warmup_s  # what is less exact takes less to come to rest
    monkeypatch.setenv(usual_bursts.VARIABLE, "60x10ms")
    assert 0.5 == PairSpec(**sides).most_warmup_s
    for wrong in ("0x2ms", "7", "7x0ms", "7x2s", "-7x2ms", "7x2ms ", "7.0x2ms"):
        monkeypatch.setenv(usual_bursts.VARIABLE, wrong)
        with pytest.raises(UsageError, match="expected how many bursts, and how long each is, such as 7x2ms"):
            GateSettings()


def test_ratio_is_the_median_of_log_ratios(workload: Workload, tmp_path: Path) -> None:
    """A head that takes twice as long gives log 2, also where one burst was disturbed."""
    slow = "send({'ok': True, 'durations_ns': [200000 if time.time_ns() % 7 else 9000000] * request['n']})"
    sides = fake(tmp_path, "b", STEADY % 100000), fake(tmp_path, "h", slow.replace("time.time_ns() % 7", "True"))
    found = measure_pair(pair_spec(workload, *sides))
    assert pytest.approx(np.log(2)) == found.log_ratio
    disturbed = fake(
        tmp_path,
        "d",
        "count = globals().get('count', 0) + 1\n"
        "send({'ok': True, 'durations_ns': [9000000 if count == 9 else 100000] * request['n']})",
    )
    assert pytest.approx(0.0) == measure_pair(pair_spec(workload, sides[0], disturbed)).log_ratio


def test_order_is_random(workload: Workload, tmp_path: Path) -> None:
    """Every burst of one side has its neighbour of the other, in a random order that the pair says."""
    sides = fake(tmp_path, "b", STEADY % 100000), fake(tmp_path, "h", STEADY % 100000)
    orders = {measure_pair(pair_spec(workload, *sides, bursts=8), rng=random.Random(seed)).order for seed in (1, 2)}
    assert 2 == len(orders)
    for order in orders:
        assert {"bh", "hb"} == {order[i : i + 2] for i in range(0, len(order), 2)}


@pytest.mark.parametrize(("each_s", "expected"), [(0.010, 15), (0.075, 10), (0.100, 8), (0.130, 7), (2.0, 7)])
def test_slow_models_get_fewer_bursts(workload: Workload, each_s: float, expected: int) -> None:
    """Bursts become fewer where they take long, and never so few that a median means nothing."""
    assert expected == repeats(pair_spec(workload, Client, Client), each_s)
    assert 3 == repeats(pair_spec(workload, Client, Client, bursts=3), each_s)


def test_same_inferences_on_both_sides(workload: Workload, tmp_path: Path) -> None:
    """Bursts hold as many inferences on the fast side as on the slow one."""
    log = "open(r'%s', 'a').write(f\"{request['n']} \")\n"
    files = {role: tmp_path / f"{role}.log" for role in ("base", "head")}
    sides = [
        fake(tmp_path, role, log % files[role] + STEADY % duration)
        for role, duration in (("base", 20000), ("head", 80000))
    ]
    measure_pair(pair_spec(workload, *sides, bursts=3))
    last = {role: file.read_text().split()[-3:] for role, file in files.items()}
    assert ["100"] * 3 == last["base"] == last["head"]


@pytest.mark.parametrize("features", [("rotate", "rotate"), ("rotate", "")], ids=["both rotate", "one cannot"])
def test_bursts_of_both_sides_are_on_the_same_inputs(
    workload: Workload, tmp_path: Path, features: tuple[str, str]
) -> None:
    """They rotate from the same place on, or where one side cannot, neither does."""
    files = [tmp_path / f"{role}.log" for role in ("base", "head")]
    sides = []
    for file, feature in zip(files, features, strict=True):
        log = (
            f"open(r'{file}', 'a').write(f\"{{request.get('rotate', 1) if cmd == 'open' else request.get('at')}} \")\n"
        )
        hello = workers.HELLO.replace("'runtime': runtime}", f"'runtime': runtime, 'features': ['{feature}']}}")
        hello = hello.replace("    if cmd == 'open'", f"    {log}    if cmd == 'open'")
        file.with_suffix("").mkdir()
        sides.append(workers.worker(file.with_suffix(""), STEADY % 20000, hello=hello))
    measure_pair(pair_spec(dataclasses.replace(workload, rotate=8), *sides, bursts=3))
    seen = [file.read_text().split() for file in files]
    assert seen[0][-3:] == seen[1][-3:]
    if all(features):
        assert ["8", "8"] == [one[0] for one in seen]
        step = int(seen[0][-2])
        assert step > 1
        assert [0, step, 2 * step] == list(map(int, seen[0][-3:]))
    else:
        assert [("1", "None")] * 2 == [(one[0], one[-1]) for one in seen]


@pytest.mark.parametrize("role", ["base", "head"])
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (STEADY % 0, "0 ns"),
        (STEADY % "float('nan')", "durations in whole nanoseconds"),
        (STEADY % -5, "durations in whole nanoseconds"),
        ("send({'ok': True, 'durations_ns': []})", "durations in whole nanoseconds"),
        ("print('out of luck', file=sys.stderr); os._exit(3)", "exit code 3"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
    ],
    ids=["zero", "nan", "negative", "none", "crash", "killed"],
)
def test_broken_side_is_named(workload: Workload, tmp_path: Path, role: str, body: str, said: str) -> None:
    """Times that cannot be, and a crash, are an error that names the side; no worker is left."""
    sides = {"base": fake(tmp_path, "b", STEADY % 100000), "head": fake(tmp_path, "h", STEADY % 100000)}
    sides[role] = fake(tmp_path, "broken", body)
    alive: list[Client] = []

    def kept(start: Callable[[], Client]) -> Callable[[], Client]:
        def call() -> Client:
            alive.append(start())
            return alive[-1]

        return call

    with pytest.raises(WorkerError, match=f"^{role}: .*{said}"):
        measure_pair(pair_spec(workload, kept(sides["base"]), kept(sides["head"])))
    assert 2 == len(alive)
    assert all(client._process.poll() is not None for client in alive)


def test_refusal_keeps_its_kind(workload: Workload, tmp_path: Path) -> None:
    """What a runtime cannot do stays a refusal, with the side in its text."""
    refusing = fake(tmp_path, "r", "send({'ok': False, 'kind': 'not_implemented', 'message': 'no kernel'})")
    with pytest.raises(WorkerRefusal, match=r"^head: no kernel$") as caught:
        measure_pair(pair_spec(workload, Client, refusing))
    assert "not_implemented" == caught.value.kind


def test_worker_that_does_not_start(workload: Workload, tmp_path: Path) -> None:
    """A side whose interpreter is missing is named, and the other side's worker is ended."""
    with pytest.raises(WorkerError, match=r"^base: the worker could not be started"):
        measure_pair(pair_spec(workload, lambda: Client([str(tmp_path / "nothing")]), Client))


def test_session_time_is_checked(workload: Workload, tmp_path: Path) -> None:
    """A creation time of zero is refused like any other."""
    script = workers.HELLO.replace("'session_ns': 1000", "'session_ns': 0")
    (tmp_path / "zero").mkdir()
    zero = workers.worker(tmp_path / "zero", STEADY % 100000, hello=script)
    with pytest.raises(WorkerError, match="creating the session took 0 ns"):
        measure_pair(pair_spec(workload, zero, zero))


@linux
@pytest.mark.parametrize("hogs", [0, 2])
def test_spinning_side_comes_to_rest(workload: Workload, hogs: int) -> None:
    """With two threads, ONNX Runtime's pool goes on spinning after an inference; it is waited for until it stops.

    Beside busy loops on the same cores the pool gets little of them, spins for longer, and is waited for all the same.
    """
    model = Path(coordinator.BUSY_MODEL)
    feed = workload.model.with_name("square.npy")
    np.save(feed, np.ones((256, 256), np.float32))
    target = Target(name="cpu", provider="CPUExecutionProvider", intra_threads=2, batch=256)
    spinning = dataclasses.replace(workload, model=model, target=target, feeds={"x": feed}, dims={})
    held = frozenset(sorted(os.sched_getaffinity(0))[:2])
    with Client() as worker, busy_loops(held, each=hogs):
        assert cores.pin(worker.pid, held)
        worker.ask("open", 60, **spinning.request())
        for _ in range(3):
            worker.ask("burst", 60, n=20)
            assert idle.wait_until_idle(worker.pid)
            before = idle.threads(worker.pid)
            time.sleep(0.1)
            after = idle.threads(worker.pid)
            assert before is not None
            assert after is not None
            assert idle.demand_ns(before, after) <= idle.MOST_DEMAND_NS


@linux
def test_side_that_never_rests(workload: Workload, tmp_path: Path) -> None:
    """A worker that keeps a processor busy beside the other side is an error with a remedy, not a number."""
    busy = fake(
        tmp_path,
        "busy",
        "import threading\n"
        "threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()\n" + STEADY % 100000,
    )
    spinning = dataclasses.replace(workload, target=dataclasses.replace(workload.target, intra_threads=2))
    with pytest.raises(WorkerError, match=r"^head: the worker goes on using the processor.*allow_spinning"):
        measure_pair(pair_spec(spinning, Client, busy, most_spin_s=0.1))


def topology(root: Path, siblings: list[str]) -> Path:
    """A `sys` whose n-th processor has these siblings."""
    for cpu, text in enumerate(siblings):
        file = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        file.parent.mkdir(parents=True)
        file.write_text(text, encoding="ascii")
    return root


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not pin")
def test_cores_are_whole(tmp_path: Path) -> None:
    """A pair gets whole physical cores, any of them, and leaves one for the coordinator."""
    usable = frozenset(range(6))
    root = topology(tmp_path, ["0,3", "1,4", "2,5", "0,3", "1,4", "2,5"])
    assert {frozenset({0, 3}), frozenset({1, 4}), frozenset({2, 5})} == {
        cores.choose_cores(1, rng=random.Random(seed), root=root, usable=usable) for seed in range(30)
    }
    two = cores.choose_cores(2, rng=random.Random(0), root=root, usable=usable)
    assert two is not None
    assert {0, 1, 2} & two == {core - 3 for core in two if core > 2}
    assert 4 == len(two)
    assert cores.choose_cores(3, rng=random.Random(0), root=root, usable=usable) is None
    assert cores.choose_cores(0, rng=random.Random(0), root=root, usable=usable) is None


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="nothing to choose from here"
)
def test_sides_share_cores(workload: Workload) -> None:
    """With a core to spare, both workers are held to the same one, another in other pairs, and the pair says so."""
    mine = os.sched_getaffinity(0)
    chosen: set[frozenset[int]] = set()
    for seed in range(4):
        alive: list[Client] = []
        held: set[frozenset[int]] = set()

        def start(alive: list[Client] = alive) -> Client:
            alive.append(Client())
            return alive[-1]

        def look(alive: list[Client] = alive, held: set[frozenset[int]] = held) -> None:
            held.update(frozenset(os.sched_getaffinity(client.pid)) for client in alive)

        spec = pair_spec(workload, start, start, bursts=1)
        assert measure_pair(spec, rng=random.Random(seed), on_burst=look).pinned
        assert 2 == len(alive)
        assert 1 == len(held)
        chosen |= held
        if len(chosen) > 1:
            break
    assert all(cores < mine for cores in chosen)
    assert len(chosen) > 1


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not pin")
def test_no_core_to_spare(workload: Workload) -> None:
    """Where both sides need every core, nothing is pinned, and the pair says so."""
    every = dataclasses.replace(workload.target, intra_threads=len(os.sched_getaffinity(0)))
    spec = pair_spec(dataclasses.replace(workload, target=every), Client, Client, bursts=1)
    assert not measure_pair(spec).pinned


def test_ctrl_c_while_starting(workload: Workload) -> None:
    """Ctrl-C while one side is still starting leaves neither worker behind."""
    alive: list[Client] = []

    stopped = threading.Event()

    def interrupted() -> Client:
        stopped.set()
        raise KeyboardInterrupt

    def slow() -> Client:
        stopped.wait()
        alive.append(Client())
        return alive[-1]

    with pytest.raises(KeyboardInterrupt):
        measure_pair(pair_spec(workload, interrupted, slow))
    assert 1 == len(alive)
    assert alive[0]._process.poll() is not None
