"""Limits that a target's worker runs within: how many processors, how much memory, and how fast they may be.

Processors are an affinity that the worker has before its first instruction, memory is a control group of its own that
it joins there (version 1 or 2, below or beside the one that harness runs in, removed afterwards). A limit of the
address space (RLIMIT_AS) is not an equivalent: it counts what is reserved and never used. The clock of the processors
is a setting of the machine: it is looked at and never changed.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness import processes, units
from harness.errors import WorkerRefusal

ROOT = Path("/")
"""Where `proc` and `sys` are looked for."""

OUT_OF_MEMORY: Final = "limit"
"""The kind of a refusal whose worker the kernel ended within its limit: another process would come to the same."""

REFUSED: Final = "not_implemented"
"""The kind of a refusal where a limit cannot be set."""

PREFIX: Final = "harness-"
CLOCK_TOLERANCE: Final = 0.05
"""By how much the highest frequency may differ from the limit: drivers take the nearest of their own steps."""

REMOVE_S: Final = 2.0
NO_EQUIVALENT: Final = "a limit of the address space is not an equivalent, since it counts memory that is never used"

_numbers = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """The control group that groups with a memory limit are made in, and what its files are called.

    Attributes:
        parent: the folder of the group.
        limit: the file that takes bytes.
        more: further files, written where they are there, with their text; `{}` stands for the bytes.
        events: the file that counts the processes that the kernel ended.
    """

    parent: Path
    limit: str
    more: tuple[tuple[str, str], ...]
    events: str


class Held:
    """The limits of one worker while it lives.

    Attributes:
        processors: those that it may use; empty for no such limit.
        group: the folder of its control group; None for no limit of memory.
    """

    def __init__(self, limits: Mapping[str, int]) -> None:
        """Make what has to be there before the worker starts.

        Raises:
            WorkerRefusal: they cannot be set here.
        """
        self.processors = processors(limits)
        self.group: Path | None = None
        self._bytes = limits.get("memory_bytes", 0)
        if why := problem(limits):
            raise WorkerRefusal(REFUSED, why)
        if self._bytes:
            self._controller = _made(controller(ROOT))
            try:
                self.group = group(self._controller, self._bytes)
            except OSError as error:
                raise WorkerRefusal(REFUSED, f"memory cannot be limited here: {error}; {NO_EQUIVALENT}") from error

    def enter(self) -> None:
        """Put this process inside: called in the worker's, after the fork and before the program."""
        if self.processors:
            os.sched_setaffinity(0, self.processors)
        if self.group is not None:
            joined = os.open(self.group / "cgroup.procs", os.O_WRONLY)
            os.write(joined, b"0")
            os.close(joined)

    def why_ended(self) -> str:
        """That the kernel ended a process of the worker at its limit of memory, in words; empty where it did not."""
        if self.group is None or not _killed(self.group / self._controller.events):
            return ""
        return f"out of memory: the target allows {units.size(self._bytes)}"

    def check(self, pid: int) -> None:
        """See that no thread of the worker has left its processors: an affinity can be widened by who has it.

        Raises:
            WorkerRefusal: one has.
        """
        if not self.processors:
            return
        for task in _tasks(pid):
            with contextlib.suppress(ProcessLookupError):
                if not os.sched_getaffinity(task) <= self.processors:
                    why = f"the runtime pins threads of its own outside of the target's {len(self.processors)}"
                    raise WorkerRefusal(REFUSED, f"{why} processors, so that the limit would not hold")

    def release(self) -> None:
        """Remove the group, whose processes have ended; safe to call again."""
        if self.group is None:
            return
        over = time.monotonic() + REMOVE_S
        while self.group.exists() and time.monotonic() < over:
            try:
                self.group.rmdir()
            except OSError:  # the kernel still counts a process that has just ended
                time.sleep(0.02)


def processors(limits: Mapping[str, int]) -> frozenset[int]:
    """The logical processors that a worker within these limits may use: the first of this process's own."""
    asked = limits.get("cpus", 0)
    if not asked or not hasattr(os, "sched_getaffinity"):
        return frozenset()
    return frozenset(sorted(os.sched_getaffinity(0))[:asked])


def problem(limits: Mapping[str, int], root: Path | None = None) -> str:
    """Why a worker cannot be held to these limits here; empty where it can."""
    root = root or ROOT
    return _no_processors(limits) or _no_memory(limits, root) or _no_frequency(limits, root)


def _no_processors(limits: Mapping[str, int]) -> str:
    asked = limits.get("cpus", 0)
    if asked and not hasattr(os, "sched_setaffinity"):
        return "processors cannot be limited here: this system holds no process to some of them"
    if asked and len(found := processors(limits)) < asked:
        return f"the target allows {asked} processors, and harness itself may use {len(found)} here"
    return ""


def _no_memory(limits: Mapping[str, int], root: Path) -> str:
    asked = limits.get("memory_bytes", 0)
    if not asked:
        return ""
    if asked > (here := processes.machine_bytes(root)):
        return f"the target allows {units.size(asked)} of memory, and there are {units.size(here)} here"
    found = controller(root)
    return f"memory cannot be limited here: {found}; {NO_EQUIVALENT}" if isinstance(found, str) else ""


def _no_frequency(limits: Mapping[str, int], root: Path) -> str:
    asked = limits.get("frequency_hz", 0)
    if not asked:
        return ""
    if not hasattr(os, "sched_getaffinity"):
        return "the frequency of processors cannot be read on this system"
    for cpu in sorted(processors(limits) or os.sched_getaffinity(0)):
        path = root / f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_max_freq"
        try:
            most = int(path.read_text(encoding="ascii")) * 1000
        except (OSError, ValueError):
            return f"the frequency of processors cannot be limited here: there is no {path}"
        if abs(most - asked) > CLOCK_TOLERANCE * asked:
            return (
                f"processor {cpu} may run at {units.exact(most, 'Hz')}, and the target says "
                f"{units.exact(asked, 'Hz')}: harness does not change the machine's clock, "
                f"`cpupower frequency-set --max {asked // 1000}kHz` does"
            )
    return ""


def controller(root: Path) -> Controller | str:
    """Where a group with a memory limit can be made, or why nowhere."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "this system has no control groups"
    own = {name: path.lstrip("/") for _, names, path in _parts(lines) for name in names.split(",")}
    base = root / "sys/fs/cgroup"
    if "memory" in own:
        return _version_1(base / "memory", own["memory"])
    return _version_2(base, own[""]) if "" in own else "no control group of memory is set up"


def group(where: Controller, limit: int) -> Path:
    """Make a group with a limit of memory, and remove those that ended processes left there.

    Raises:
        OSError: the kernel refuses.
    """
    _sweep(where.parent)
    made = where.parent / f"{PREFIX}{os.getpid()}-{next(_numbers)}"
    made.mkdir()
    try:
        (made / where.limit).write_text(str(limit), encoding="ascii")
        for name, text in where.more:  # absent in a kernel that counts no swap
            if (made / name).exists():
                (made / name).write_text(text.format(limit), encoding="ascii")
    except OSError:
        made.rmdir()
        raise
    return made


def _parts(lines: list[str]) -> list[tuple[str, str, str]]:
    found = (line.split(":", 2) for line in lines)
    return [(parts[0], parts[1], parts[2]) for parts in found if len(parts) == 3]  # noqa: PLR2004


def _version_1(base: Path, own: str) -> Controller | str:
    """The group of this process, or what a container sees in its place."""
    parent = base / own if (base / own).is_dir() else base
    if not _writable(parent):
        return f"{parent} cannot be written"
    more = (("memory.memsw.limit_in_bytes", "{}"),)
    return Controller(parent=parent, limit="memory.limit_in_bytes", more=more, events="memory.oom_control")


def _version_2(base: Path, own: str) -> Controller | str:
    """The group of this process, or the one around it: groups that have processes seldom hand memory on."""
    here = base / own if (base / own).is_dir() else base
    why = ""
    for parent in (here,) if here == base else (here, here.parent):
        if not _writable(parent):
            why = why or f"{parent} cannot be written"
        elif "memory" not in _read(parent / "cgroup.subtree_control").split():
            why = why or f"{parent} hands no limit of memory to groups below it"
        else:
            more = (("memory.swap.max", "0"), ("memory.oom.group", "1"))
            return Controller(parent=parent, limit="memory.max", more=more, events="memory.events")
    return why


def _writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _killed(path: Path) -> bool:
    found = re.search(r"^oom_kill (\d+)", _read(path), re.MULTILINE)
    return found is not None and int(found[1]) > 0


def _made(found: Controller | str) -> Controller:
    if isinstance(found, str):
        raise WorkerRefusal(REFUSED, f"memory cannot be limited here: {found}; {NO_EQUIVALENT}")
    return found


def _tasks(pid: int) -> list[int]:
    try:
        return [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []


def _sweep(parent: Path) -> None:
    """Remove groups whose harness was killed before it could; one with a process in it is not removed."""
    for left in parent.glob(f"{PREFIX}*-*"):
        owner = left.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists():
            with contextlib.suppress(OSError):
                left.rmdir()
