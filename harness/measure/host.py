"""The host that a run is measured on: its fingerprint, and its noise at the moment.

Everything is read from the operating system's own files; where one is missing the field is None, never guessed.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import processes
from harness.records import HostInfo, Json

STABLE = ("cpu", "isa", "cores_logical", "cores_physical", "memory_gib", "gpus", "system", "machine", "cpu_limit")
"""Fields of `facts` that make the fingerprint: what changes a number for good. Kernel and driver versions are kept
beside it, but a security update must not end every series. `cores_usable` is one of them where a process is held to
fewer cores than the host has (see `fingerprint`)."""

ISA_THAT_MATTERS = re.compile(
    r"^(sse4_[12]|avx.*|fma|f16c|amx.*|vnni.*|asimd.*|sve.*|i8mm|bf16|fphp|neon)$",
)


DEVICE_TEXTS = ("cpuinfo", "meminfo", "cores", "governor", "os")


def facts(root: Path = Path("/")) -> dict[str, Json]:
    """What this host is.

    Args:
        root: where `proc` and `sys` are looked for; a test may give another.
    """
    cpuinfo = read(root / "proc/cpuinfo")
    memory = first_int(read(root / "proc/meminfo"), r"MemTotal:\s+(\d+) kB")
    return {
        "cpu": first(cpuinfo, r"(?:model name|Hardware|Processor)\s*:\s*(.+)") or platform.processor() or None,
        "isa": isa(cpuinfo),
        "cores_logical": os.cpu_count(),
        "cores_physical": physical_cores(cpuinfo),
        "cores_usable": usable_cores(),
        "memory_gib": round(memory / 2**20) if memory else None,
        "gpus": gpus(),
        "system": platform.system(),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "os": first(read(root / "etc/os-release"), r'PRETTY_NAME="?([^"\n]+)'),
        "hypervisor": bool(re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.MULTILINE)),
        "governor": first(read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"), r"(\S+)"),
        "cpu_limit": cpu_limit(root),
        "memory_limit": first_int(read(root / "sys/fs/cgroup/memory.max"), r"(\d+)"),
        "name": platform.node(),
    }


def elsewhere(said: Mapping[str, Any]) -> HostInfo:
    """The device that a worker runs on, from what was read there.

    Args:
        said: what `harness.runtimes.device.facts.PARTS` printed there; what it does not have is absent.
    """
    texts = {name: str(said.get(name) or "") for name in (*DEVICE_TEXTS, "uname", "model")}
    kernel = [*texts["uname"].split("\n"), "", "", "", ""]
    memory, model = first_int(texts["meminfo"], r"MemTotal:\s+(\d+) kB"), texts["model"].strip()
    found: dict[str, Json] = {
        "cpu": first(texts["cpuinfo"], r"(?:model name|Hardware|Processor)\s*:\s*(.+)") or model or None,
        "isa": isa(texts["cpuinfo"]),
        "cores_logical": first_int(texts["cores"], r"(\d+)"),
        "cores_physical": physical_cores(texts["cpuinfo"]),
        "memory_gib": round(memory / 2**20) if memory else None,
        "gpus": [],
        "system": kernel[0] or None,
        "machine": kernel[1] or None,
        "kernel": kernel[2] or None,
        "os": first(texts["os"], r'PRETTY_NAME="?([^"\n]+)'),
        "governor": first(texts["governor"], r"(\S+)"),
        "model": model or None,
        "name": kernel[3] or None,
    }
    return HostInfo(fingerprint=fingerprint(found), facts=found)


def fingerprint(host: Mapping[str, Json]) -> str:
    """Twelve hex digits over the fields that decide whether two numbers may stand in one series.

    Whoever is held to some of the cores (taskset, a cpuset) is another host than whoever may use all of them: how many
    there are counts, not which. With all of them the digits are those of the versions that did not count them.
    """
    stable = {key: host.get(key) for key in STABLE}
    if host.get("cores_usable") not in (None, host.get("cores_logical")):
        stable["cores_usable"] = host["cores_usable"]
    return hashlib.sha256(json.dumps(stable, sort_keys=True).encode()).hexdigest()[:12]


@functools.cache
def here() -> HostInfo:
    """This host, looked at once per process."""
    found = facts()
    return HostInfo(fingerprint=fingerprint(found), facts=found)


def read(path: Path) -> str:
    """A file's text, or an empty string where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def first(text: str, pattern: str) -> str | None:
    """The pattern's first group, stripped, or None."""
    match = re.search(pattern, text, re.MULTILINE)
    return match[1].strip() if match else None


def first_int(text: str, pattern: str) -> int | None:
    """As `first`, as a whole number."""
    found = first(text, pattern)
    return int(found) if found else None


def isa(cpuinfo: str) -> list[str]:
    """The instruction set extensions that kernels are chosen by, sorted."""
    flags = first(cpuinfo, r"^(?:flags|Features)\s*:\s*(.+)") or ""
    return sorted(flag for flag in set(flags.split()) if ISA_THAT_MATTERS.match(flag))


def physical_cores(cpuinfo: str) -> int | None:
    """Distinct (socket, core) pairs; None where the file does not say."""
    sockets = re.findall(r"^physical id\s*:\s*(\d+)", cpuinfo, re.MULTILINE)
    cores = re.findall(r"^core id\s*:\s*(\d+)", cpuinfo, re.MULTILINE)
    return len(set(zip(sockets, cores, strict=False))) or None


def usable_cores() -> int | None:
    """Cores that this process may be scheduled on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def cpu_limit(root: Path) -> float | None:
    """Cores' worth of time that this process may take, by the lowest quota of its control groups; None without one.

    Args:
        root: where `proc` and `sys` are looked for.
    """
    own = read(root / "proc/self/cgroup")
    groups = root / "sys/fs/cgroup"
    quotas = [
        re.match(r"(\d+) (\d+)", read(folder / "cpu.max"))
        for folder in _up_from(groups, first(own, r"^0::/(.*)$"))  # version 2; of a container its own is the topmost
    ]
    quotas += [
        re.match(r"(\d+) (\d+)", f"{read(folder / 'cpu.cfs_quota_us').strip()} {read(folder / 'cpu.cfs_period_us')}")
        for folder in _up_from(groups / "cpu", first(own, r"^\d+:(?:[^:\n]*,)?cpu(?:,[^:\n]*)?:/(.*)$"))  # version 1
    ]
    return min((int(found[1]) / int(found[2]) for found in quotas if found and int(found[2])), default=None)


def _up_from(top: Path, below: str | None) -> list[Path]:
    """A control group's folder and those above it; the topmost alone where the group lies outside of what is seen."""
    parts = [part for part in (below or "").split("/") if part]
    if ".." in parts:
        parts = []
    return [top.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]


def gpus() -> list[str]:
    """Names, memory and drivers of NVIDIA GPUs, as nvidia-smi gives them."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    done = processes.run_text(query, deadline_s=10)
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticks:
    """Processor time of the whole host since it started, in clock ticks; zeros where the OS does not tell."""

    total: int
    steal: int
    idle: int


def ticks(root: Path = Path("/")) -> Ticks:
    """Read the host's processor time."""
    fields = first(read(root / "proc/stat"), r"^cpu\s+(.+)")
    # user nice system idle iowait irq softirq steal; the guest columns after them are counted in user already.
    values = [int(f) for f in fields.split()[:8]] if fields else []
    values += [0] * (8 - len(values))
    return Ticks(total=sum(values), steal=values[7], idle=values[3] + values[4])


def noise(before: Ticks, after: Ticks) -> dict[str, Json]:
    """How disturbed the host was between two readings.

    Returns:
        `load1`, the load average of the last minute, and `steal` and `busy`, shares of all cores' time that the
        hypervisor gave to others and that anybody used; None where unknown.
    """
    total = after.total - before.total
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "load1": load,
        "steal": (after.steal - before.steal) / total if total > 0 else None,
        "busy": 1 - (after.idle - before.idle) / total if total > 0 else None,
    }
