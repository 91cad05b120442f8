"""harness.measure.host: read from files that a test can write."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.measure import host

CPUINFO = """processor	: 0
model name	: Example 9000
physical id	: 0
core id		: 0
flags		: fpu hypervisor avx2 fma sse4_2 avx512_vnni rdpid

processor	: 1
model name	: Example 9000
physical id	: 0
core id		: 0
"""


def fake(root: Path, **files: str) -> Path:
    """A root folder with these files, `__` in a name standing for `/`."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def test_facts_come_from_the_kernels_files(tmp_path: Path) -> None:
    """Processor, instruction sets, cores, memory and container limits."""
    root = fake(tmp_path, proc__cpuinfo=CPUINFO, proc__meminfo="MemTotal:  8388608 kB\n")
    fake(root / "sys/fs/cgroup", **{"cpu.max": "150000 100000\n", "memory.max": "1000000\n"})
    facts = host.facts(root)
    assert "Example 9000" == facts["cpu"]
    assert ["avx2", "avx512_vnni", "fma", "sse4_2"] == facts["isa"]
    assert (1, 8, 1.5, 1_000_000) == tuple(
        facts[k] for k in ("cores_physical", "memory_gib", "cpu_limit", "memory_limit")
    )
    assert facts["hypervisor"]


def test_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    """No /proc, no /sys: nothing is guessed."""
    facts = host.facts(tmp_path)
    assert [None, None, None] == [facts[k] for k in ("memory_gib", "governor", "cpu_limit")]
    assert [] == facts["isa"]


def test_fingerprint_follows_hardware_and_not_the_kernels_patch_level() -> None:
    """A security update keeps every series; another processor starts new ones."""
    facts = host.facts()
    assert host.fingerprint(facts) == host.fingerprint(facts | {"kernel": "999", "name": "other"})
    assert host.fingerprint(facts) != host.fingerprint(facts | {"cpu": "another"})


def test_hosts_of_different_usable_cores_are_different_classes() -> None:
    """A worker held to one of two cores is not pooled with one that has both; which one of them does not matter.

    With all cores the fingerprint is that of rows which earlier versions stored.
    """
    whole = {"cpu": "Example 9000", "isa": ["avx2"], "cores_logical": 2, "cores_physical": 2, "machine": "x86_64"}
    assert "5a7c8afb7a1b" == host.fingerprint(whole)
    found = [host.fingerprint(whole | {"cores_usable": count}) for count in (1, 2, None)]
    assert found[0] != found[1]
    assert ["5a7c8afb7a1b"] * 2 == found[1:]


@pytest.mark.parametrize(
    ("own", "quotas", "expected"),
    [
        ("0::/", {"cpu.max": "150000 100000"}, 1.5),
        ("0::/lab.slice/bench.scope", {"lab.slice/cpu.max": "100000 100000", "cpu.max": "max 100000"}, 1.0),
        ("0::/a/b", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "200000 100000"}, 2.0),
        ("0::/../../a", {"cpu.max": "50000 100000", "../a/cpu.max": "1 1"}, 0.5),
        (
            "4:cpu,cpuacct:/docker",
            {"cpu/docker/cpu.cfs_quota_us": "75000", "cpu/docker/cpu.cfs_period_us": "50000"},
            1.5,
        ),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("3:cpuset:/x\n4:cpuacct:/x", {"cpu/x/cpu.cfs_quota_us": "1", "cpu/x/cpu.cfs_period_us": "1"}, None),
    ],
)
def test_a_quota_is_that_of_the_processs_own_control_groups(
    tmp_path: Path, own: str, quotas: dict[str, str], expected: float | None
) -> None:
    """The lowest of a group and those above it, in both versions of control groups."""
    (tmp_path / "root/proc/self").mkdir(parents=True)
    (tmp_path / "root/proc/self/cgroup").write_text(f"{own}\n")
    for name, text in quotas.items():
        path = tmp_path / "root/sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    assert expected == host.cpu_limit(tmp_path / "root")


def test_noise_is_the_difference_of_two_readings(tmp_path: Path) -> None:
    """Of 100 ticks 20 were stolen and 30 idle."""
    before = host.ticks(fake(tmp_path / "a", proc__stat="cpu  100 0 0 100 0 0 0 0 0 0\n"))
    after = host.ticks(fake(tmp_path / "b", proc__stat="cpu  150 0 0 120 10 0 0 20 0 0\n"))
    found = host.noise(before, after)
    assert (0.2, 0.7) == (found["steal"], found["busy"])


def test_noise_without_proc_is_unknown(tmp_path: Path) -> None:
    """Nothing to read, nothing claimed."""
    empty = host.ticks(tmp_path)
    assert (None, None) == (host.noise(empty, empty)["steal"], host.noise(empty, empty)["busy"])
