"""Processor cores for two processes that take turns: the same ones for both."""

from __future__ import annotations

import os
import random
from pathlib import Path


def choose_cores(
    threads: int, *, rng: random.Random, root: Path = Path("/"), usable: frozenset[int] | None = None
) -> frozenset[int] | None:
    """Logical cores for both sides of a pair: a physical core per thread, others for every pair.

    Cores are not alike at any one moment: another tenant on the sibling of one of them takes tens of percent from
    whoever runs there. Sides on cores of their own would carry that into their ratio for as long as the pair lasts; on
    the same cores, one after the other, it falls on both. Which cores is random, so that no pair depends on another's.

    Args:
        threads: threads that each side computes with; 0 stands for ONNX Runtime's own choice, which pins by itself.
        rng: chooses the cores.
        root: where `sys` is looked for.
        usable: the logical cores to choose from; those that this process may use where none are given.

    Returns:
        None where not even one physical core would be left for the coordinator, or the system cannot pin.
    """
    if threads < 1 or not hasattr(os, "sched_setaffinity"):
        return None
    usable = usable or frozenset(os.sched_getaffinity(0))
    physical = sorted({siblings(cpu, root) & usable for cpu in usable}, key=min)
    if len(physical) <= threads:
        return None
    return frozenset().union(*rng.sample(physical, threads))


def siblings(cpu: int, root: Path) -> frozenset[int]:
    """The logical cores of the physical core that holds this one."""
    path = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
    found = {cpu}
    try:
        for part in path.read_text(encoding="ascii").strip().split(","):
            low, _, high = part.partition("-")
            found |= set(range(int(low), int(high or low) + 1))
    except (OSError, ValueError):
        return frozenset({cpu})
    return frozenset(found)


def pin(pid: int, cores: frozenset[int]) -> bool:
    """Hold a process to these cores, before it makes its threads; False where the system refuses."""
    try:
        os.sched_setaffinity(pid, cores)
    except OSError:
        return False
    return True
