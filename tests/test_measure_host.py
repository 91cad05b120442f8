"""harness.measure.host: read from files that a test can write."""

from __future__ import annotations

from pathlib import Path

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
