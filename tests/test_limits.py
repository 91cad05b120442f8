"""harness.runtimes.limits: what a target's worker may take, and what becomes of one that takes more."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import units, zoo
from harness.cli.tune import default_case
from harness.errors import UsageError, WorkerRefusal
from harness.flow.execute import verdict
from harness.flow.plan import Selection, plan
from harness.gate.sides.matching import match
from harness.measure.coordinator import Workload
from harness.measure.pairs import GroupSpec, pin
from harness.predict.host import HostSpec
from harness.predict.predict import PredictRequest, measured, predict
from harness.records import CaseId, Status, Target, wire
from harness.runtimes import limits
from harness.runtimes.client import Client
from harness.runtimes.clients import client_factory
from harness.store.rows import to_row
from harness.store.shapes import shaped
from harness.tune import settings, write
from tests import outcomes, workers
from tests.conftest import Project
from tests.test_gate_matching import contender
from tests.test_tune import found_by

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processors and memory of Linux")

HALF = {"memory_bytes": 256_000_000}
V1, V2 = "5:cpu:/x\n4:memory:/jobs/a\n0::/x\n", "0::/jobs/a\n"


def system(root: Path, cgroup: str, groups: dict[str, str]) -> Path:
    """A root folder with the control groups of this process: folder -> what it hands on."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup, encoding="ascii")
    for name, handed in groups.items():
        folder = root / "sys/fs/cgroup" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.procs").touch()
        (folder / "cgroup.subtree_control").write_text(handed, encoding="ascii")
    return root


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Control groups of version 2 below a folder, whose files are made as the kernel makes them; the parent group."""
    root = system(tmp_path / "root", V2, {"jobs/a": "memory"})
    real = limits.group

    def group(where: limits.Controller, limit: int) -> Path:
        made = real(where, limit)
        (made / "cgroup.procs").touch()
        (made / "memory.events").write_text("oom 0\noom_kill 0\n", encoding="ascii")
        return made

    monkeypatch.setattr(limits, "ROOT", root)
    monkeypatch.setattr(limits, "group", group)
    monkeypatch.setattr(Path, "rmdir", shutil.rmtree)  # the kernel's files go with their group
    return root / "sys/fs/cgroup/jobs/a"


def test_a_worker_starts_on_its_processors(tmp_path: Path) -> None:
    """Its threads see one processor from the start, and the coordinator keeps its own."""
    before = os.sched_getaffinity(0)
    workers.worker(tmp_path, "send({'ok': True, 'found': sorted(os.sched_getaffinity(0))})")
    with Client([sys.executable, str(tmp_path / "fake_worker.py")], within={"cpus": 1}) as client:
        client.ask("open", 60)
        found = client.ask("where", 60)["found"]
    assert [min(before)] == found
    assert before == os.sched_getaffinity(0)


@pytest.mark.skipif(len(limits.processors({"cpus": 2})) < 2, reason="needs a second processor")
def test_a_worker_that_leaves_its_processors_is_refused(tmp_path: Path) -> None:
    """A runtime that pins threads by itself can widen its affinity: a number would not be one within the limit."""
    free = sorted(os.sched_getaffinity(0))
    hello = workers.HELLO.replace("import json", f"import os; os.sched_setaffinity(0, {free}); import json")
    workers.worker(tmp_path, "pass", hello=hello)
    with (
        pytest.raises(WorkerRefusal, match=r"outside of the target's 1 processors") as caught,
        Client([sys.executable, str(tmp_path / "fake_worker.py")], within={"cpus": 1}) as client,
    ):
        client.ask("open", 60)
    assert Status.UNSUPPORTED == verdict(caught.value)


def test_a_worker_out_of_memory_says_what_it_was_allowed(tmp_path: Path, kernel: Path) -> None:
    """It joined a group with the limit, the kernel's kill is an outcome with its reason, and the group is gone."""
    body = (
        f"import glob; (group,) = glob.glob({str(kernel / 'harness-*')!r})\n"
        "if cmd == 'look':\n"
        "    read = lambda name: open(group + '/' + name).read()\n"
        "    send({'ok': True, 'limit': read('memory.max'), 'joined': read('cgroup.procs')}); continue\n"
        "open(group + '/memory.events', 'w').write('oom 1\\noom_kill 1\\n')\n"
        f"os.kill(os.getpid(), {int(signal.SIGKILL)})"
    )
    workers.worker(tmp_path, body)
    with (
        pytest.raises(WorkerRefusal) as caught,
        Client([sys.executable, str(tmp_path / "fake_worker.py")], within=HALF) as client,
    ):
        reply = client.ask("look", 60)
        client.ask("burst", 60, n=1)
    assert ("256000000", "0") == (reply["limit"], reply["joined"])
    assert "out of memory: the target allows 256 MB (during `burst`)" == str(caught.value)
    assert Status.FAILED == verdict(caught.value)
    assert [] == list(kernel.glob("harness-*"))


@pytest.mark.skipif(isinstance(limits.controller(Path("/")), str), reason="needs the right to make a control group")
def test_a_kernel_ends_a_worker_at_its_limit(tmp_path: Path) -> None:
    """In a group of this very kernel: 32 MB fit into 64 MB and 256 MB do not; no group is left."""
    where = limits.controller(Path("/"))
    assert isinstance(where, limits.Controller)
    workers.worker(tmp_path, "held = b'x' * (request['n'] * 2**20); send({'ok': True, 'held': len(held)})")
    with (
        pytest.raises(WorkerRefusal) as caught,
        Client([sys.executable, str(tmp_path / "fake_worker.py")], within={"memory_bytes": 64_000_000}) as client,
    ):
        assert 32 * 2**20 == client.ask("burst", 60, n=32)["held"]
        client.ask("burst", 60, n=256)
    assert "out of memory: the target allows 64.0 MB (during `burst`)" == str(caught.value)
    assert [] == list(where.parent.glob(f"{limits.PREFIX}{os.getpid()}-*"))


def test_a_worker_that_ends_by_itself_was_not_out_of_memory(tmp_path: Path, kernel: Path) -> None:
    """The group counts no kill: the reason stays the one that there is."""
    workers.worker(tmp_path, "sys.exit(3)")
    with (
        pytest.raises(Exception, match=r"died during `burst` \(exit code 3\)"),
        Client([sys.executable, str(tmp_path / "fake_worker.py")], within=HALF) as client,
    ):
        client.ask("burst", 60, n=1)
    assert [] == list(kernel.glob("harness-*"))


@pytest.mark.parametrize(
    ("cgroup", "groups", "parent", "limit"),
    [
        (V1, {"memory/jobs/a": ""}, "memory/jobs/a", "memory.limit_in_bytes"),
        (V1, {"memory": ""}, "memory", "memory.limit_in_bytes"),  # a container sees its own group as the root
        (V2, {"jobs/a": "cpu memory"}, "jobs/a", "memory.max"),
        (V2, {"jobs": "memory pids", "jobs/a": ""}, "jobs", "memory.max"),
    ],
)
def test_where_a_group_can_be_made(
    tmp_path: Path, cgroup: str, groups: dict[str, str], parent: str, limit: str
) -> None:
    """Below the group of this process, or in version 2 beside it where that one hands memory on."""
    root = system(tmp_path, cgroup, groups)
    found = limits.controller(root)
    assert isinstance(found, limits.Controller)
    assert (root / "sys/fs/cgroup" / parent, limit) == (found.parent, found.limit)
    assert "" == limits.problem(HALF, root)


@pytest.mark.parametrize(
    ("cgroup", "groups", "says"),
    [
        ("", {}, "no control group of memory is set up"),
        (V2, {"jobs/a": "cpu", "jobs": ""}, "jobs/a hands no limit of memory to groups below it"),
        (V1, {}, "cannot be written"),
    ],
)
def test_where_no_group_can_be_made(tmp_path: Path, cgroup: str, groups: dict[str, str], says: str) -> None:
    """The reason is said, and that a limit of the address space would not be the same."""
    why = limits.problem(HALF, system(tmp_path, cgroup, groups))
    assert says in why
    assert "a limit of the address space is not an equivalent" in why
    assert "this system has no control groups" in limits.problem(HALF, tmp_path / "elsewhere")


def test_what_this_machine_does_not_have_is_not_a_limit(tmp_path: Path) -> None:
    """More processors than there are, and more memory, would be written beside numbers that they did not limit."""
    here = len(os.sched_getaffinity(0))
    assert f"allows {here + 1} processors, and harness itself may use {here}" in limits.problem({"cpus": here + 1})
    root = system(tmp_path, V1, {"memory": ""})
    (root / "proc/meminfo").write_text("MemTotal: 100000 kB\n", encoding="ascii")
    assert "allows 256 MB of memory, and there are 102 MB here" == limits.problem(HALF, root).removeprefix(
        "the target "
    )


def test_a_frequency_is_looked_at_and_never_changed(tmp_path: Path) -> None:
    """Within the driver's steps it holds; above it, or where nobody says, the case is unsupported."""
    asked = {"cpus": 1, "frequency_hz": 1_500_000_000}
    assert "there is no " in limits.problem(asked, tmp_path)
    (cpu,) = limits.processors(asked)
    path = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_max_freq"
    path.parent.mkdir(parents=True)
    path.write_text("1497600\n", encoding="ascii")
    assert "" == limits.problem(asked, tmp_path)
    path.write_text("2400000\n", encoding="ascii")
    assert "may run at 2400MHz, and the target says 1500MHz" in limits.problem(asked, tmp_path)
    assert "2400000\n" == path.read_text(encoding="ascii")


def test_a_target_that_cannot_be_limited_is_unsupported(tmp_path: Path) -> None:
    """Before anything is started or installed."""
    target = Target(name="much", provider="CPUExecutionProvider", limits={"cpus": 4096})
    with pytest.raises(WorkerRefusal, match="allows 4096 processors") as caught:
        client_factory(target, tmp_path)
    assert Status.UNSUPPORTED == verdict(caught.value)
    start = client_factory(dataclasses.replace(target, limits={"cpus": 1}), tmp_path)
    assert {"cpus": 1} == start.within


def with_targets(project: Project, *lines: str) -> Path:
    """The project's zoo with more targets."""
    path = project.root / "model_zoo.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("targets:\n", "targets:\n" + "".join(f"  {one}\n" for one in lines)), encoding="utf-8")
    return path


def test_limits_are_part_of_a_cases_name(project: Project) -> None:
    """So no number within one limit stands in the series of another; the target is found by either name."""
    path = with_targets(
        project, "small: {provider: cpu, threads: [0, 1], limits: {cpus: 1, memory: 256MB, frequency: 1.5GHz}}"
    )
    the_zoo = zoo.load(path)
    planned = plan(the_zoo, Selection(targets=("small",)))
    assert {"small.cpus1.mem256MB.max1500MHz-t1-b1"} == {case.target.label for case in planned.cases}
    assert "outside of its limit of processors" in " ".join(planned.pruned)
    named = planned.cases[0].target.name
    assert planned.cases == plan(the_zoo, Selection(targets=(named,))).cases
    asked = {"cpus": 1, "memory_bytes": 256_000_000, "frequency_hz": 1_500_000_000}
    assert asked == planned.cases[0].target.limits
    assert planned.cases[0].target == wire.case_from_json(wire.case_to_json(planned.cases[0])).target


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("{provider: cpu, limits: {cpus: 0}}", "cpus"),
        ("{provider: cpu, limits: {memory: lots}}", "expected a size"),
        ("{provider: cpu, limits: {frequency: 1500}}", "expected a frequency such as 1500MHz"),
        ("{provider: cpu, limits: {cores: 1}}", "cores"),
        ("{provider: cpu, runtime: ssh, host: board, limits: {cpus: 1}}", "hold on this machine alone"),
        (
            "{provider: cpu, limits: {cpus: 1}, session_config: {session.intra_op_thread_affinities: '1'}}",
            "conflicts with `limits",
        ),
    ],
)
def test_limits_that_mean_nothing_are_mistakes(project: Project, target: str, says: str) -> None:
    """Each at its place in the zoo."""
    with pytest.raises(UsageError, match=r"targets\.small") as caught:
        zoo.load(with_targets(project, f"small: {target}"))
    assert says in str(caught.value)


def test_a_name_that_limits_would_give_is_taken(project: Project) -> None:
    """Two targets never share a case's name."""
    with pytest.raises(UsageError, match=r"another target's cases are called 'a\.cpus1'"):
        zoo.load(with_targets(project, "a: {provider: cpu, limits: {cpus: 1}}", "a.cpus1: {provider: cpu}"))


def test_limits_stand_in_the_row() -> None:
    """As numbers; a row without them has null, and anything else reads as absent."""
    run = outcomes.run()
    assert {"cpus": 1} == to_row(run, outcomes.refused(outcomes.case(limits={"cpus": 1})))["limits"]
    assert to_row(run, outcomes.refused())["limits"] is None
    assert shaped("limits", {"cpus": "many"}) is None


def test_tuning_stays_within_the_limits(project: Project) -> None:
    """No setting leaves them, and what is written of a target has them: by its name in a case as well."""
    pytest.importorskip("ruamel.yaml")
    small = "small: {provider: cpu, threads: [2], limits: {cpus: 2, memory: 2GB, frequency: 1.5GHz}}"
    the_zoo = zoo.load(with_targets(project, small))
    case, fixed = default_case(the_zoo, "tiny", "small.cpus2.mem2GB.max1500MHz-t2-b1")
    assert fixed
    assert 0 not in {one.target.intra_threads for one, _ in settings.one_by_one(case, (0, 1, 2))}
    written = write.write(the_zoo, found_by(case))
    again = zoo.load(the_zoo.path).targets[written.target]
    assert case.target.limits == again.limits


def test_a_worker_within_limits_is_not_the_host_that_is_predicted(project: Project, tmp_path: Path) -> None:
    """Neither is it predicted, nor does a row of it calibrate a host."""
    the_zoo = zoo.load(with_targets(project, "small: {provider: cpu, limits: {cpus: 1}}"))
    host = HostSpec(name="here", flops={"float32": 1e9}, bandwidth=1e9, fingerprint="f")
    row = {
        "fingerprint": "f", "latency": {"median_s": 1.0}, "provider": "CPUExecutionProvider", "limits": {"cpus": 1},
    }  # fmt: skip
    assert ([], ("1 rows: of a worker within limits",)) == measured(the_zoo, host, [row], tmp_path, print)
    request = PredictRequest(
        zoo=the_zoo, case=CaseId.parse("tiny/fp32/small.cpus1-t1-b1"), host=host, like=None, rows=[], cache=tmp_path,
        results=tmp_path,
    )  # fmt: skip
    with pytest.raises(UsageError, match="not a worker within limits"):
        predict(request, print)


def test_a_gate_sets_no_two_limits_against_each_other(tmp_path: Path) -> None:
    """Not even where a person names both cases."""
    base = contender("base", tmp_path, kind="case")
    head = contender("head", tmp_path, kind="case", of=outcomes.case(limits={"cpus": 1}))
    (found,) = match([base], [head])
    assert 'limits: base {}, head {"cpus": 1}' in " ".join(found.differs)


def test_a_pair_stays_on_the_processors_of_its_limit() -> None:
    """Members of a pair are held to cores of the gate's choice, which may be others and more."""
    pinned: list[int] = []

    def hold(pid: int, _: frozenset[int]) -> bool:
        pinned.append(pid)
        return True

    for wanted, given in (([], {"cpus": 1}), ([7], {})):
        target = Target(name="small", provider="CPUExecutionProvider", limits=given)
        work = Workload(model=Path("m"), target=target, feeds={}, optimization="all", dims={})
        spec = GroupSpec(workloads={"base": work}, clients={})
        sides: Any = {"base": SimpleNamespace(worker=SimpleNamespace(pid=7))}
        assert pin(spec, sides, random.Random(1), choose=lambda *_, **__: frozenset({0}), hold=hold)
        assert wanted == pinned


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [(256_000_000, "B", "256MB"), (2**28, "B", "268435456B"), (1_500_000_000, "Hz", "1500MHz"), (2, "", "2")],
)
def test_names_of_limits_are_exact(value: int, unit: str, expected: str) -> None:
    """No two sizes have one text."""
    assert expected == units.exact(value, unit)
