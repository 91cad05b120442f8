"""How far a case has come: its processes so far, those that crashed, and whether it goes on.

A case is judged anew after each of its processes, from all that is known by then. Between two of them nothing of it
need be in memory: a stored row says the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from harness.records import Case, Crash, Evaluation, HostInfo, Json, ProcessSamples, RuntimeInfo, Status
from harness.store.rows import runtime_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOutcome:
    """What became of one process of a case; it can be pickled.

    Attributes:
        process: which one, from 0.
        samples: what it timed; None where there is nothing.
        evaluation: of the artifact; the same for every process.
        ends: where the case itself is at an end, such as `unsupported`, with its reason.
        reason: why there are no samples. Without `ends` this process crashed, and the next may not.
        examples: through how many batches of inputs its inferences rotated.
        notes: what the worker has to say of how it runs the model.
        noise: the host meanwhile, see `harness.measure.host.noise`.
        remade: what of the cache was damaged and made again on the way, a sentence each.
    """

    case: Case
    process: int
    started_at: str
    samples: ProcessSamples | None = None
    evaluation: Evaluation | None = None
    placement: Mapping[str, float] = field(default_factory=dict)
    runtime: RuntimeInfo | None = None
    host: HostInfo | None = None
    examples: int = 1
    notes: tuple[str, ...] = ()
    noise: Mapping[str, Json] = field(default_factory=dict)
    ends: Status | None = None
    reason: str = ""
    remade: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """All that is known of a case after some of its processes.

    Attributes:
        started_at: when its first process started.
        evaluation: None where it is not known, or comes from a stored row and lies in the cache.
        noise: means over the processes.
        ends: see `ProcessOutcome`.
        stopped: why no further process is run although some are planned and nothing is wrong; else empty.
    """

    started_at: str = ""
    processes: tuple[ProcessSamples, ...] = ()
    crashes: tuple[Crash, ...] = ()
    evaluation: Evaluation | None = None
    placement: Mapping[str, float] = field(default_factory=dict)
    runtime: RuntimeInfo | None = None
    host: HostInfo | None = None
    examples: int = 1
    notes: tuple[str, ...] = ()
    noise: Mapping[str, Json] = field(default_factory=dict)
    ends: Status | None = None
    reason: str = ""
    stopped: str = ""

    @property
    def done(self) -> int:
        """Processes that ran, crashed ones included."""
        return len(self.processes) + len(self.crashes)

    def lost(self, planned: int) -> bool:
        """Whether half of the planned processes or more have crashed: then the rest makes no number."""
        return 2 * len(self.crashes) >= planned

    def over(self, planned: int) -> bool:
        """Whether nothing is left to run."""
        return self.ends is not None or bool(self.stopped) or self.lost(planned) or self.done >= planned

    def judged_anew(self, found: ProcessOutcome, planned: int, *, stopped: bool) -> Self:
        """With one more process, and without why it stopped; a case that had still stops where some are planned.

        Args:
            found: the process.
            planned: processes of the case.
            stopped: whether the case was over before this process came to its end.
        """
        free = dataclasses.replace(self.plus(found), stopped="")
        return free if free.over(planned) or not stopped else dataclasses.replace(free, stopped=self.stopped)

    def plus(self, found: ProcessOutcome) -> Self:
        """With one more process."""
        crashes = list(self.crashes)
        if found.samples is None and found.ends is None:
            crashes.append(Crash(process=found.process + 1, started_at=found.started_at, reason=found.reason))
        return dataclasses.replace(
            self,
            started_at=self.started_at or found.started_at,
            processes=(*self.processes, *filter(None, [found.samples])),
            crashes=tuple(crashes),
            evaluation=found.evaluation or self.evaluation,
            placement=found.placement or self.placement,
            runtime=found.runtime if found.samples else self.runtime or found.runtime,
            host=found.host or self.host,
            examples=found.examples if found.samples else self.examples,
            notes=tuple(dict.fromkeys((*self.notes, *found.notes))),
            noise=mean(self.noise, self.done, found.noise),
            ends=found.ends,
            reason=found.reason if found.ends else "",
        )

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Self:
        """As far as a stored row with its samples tells."""
        return cls(
            started_at=row["started_at"],
            processes=tuple(process_of(one) for one in row["processes"] or ()),
            crashes=tuple(Crash(**one) for one in row["crashes"] or ()),
            placement=row["placement"] or {},
            runtime=runtime_of(row) if row["measured_by"] else None,
            host=HostInfo(fingerprint=row["fingerprint"], facts=row["host"] or {}),
            examples=(row["timed_inputs"] or {}).get("examples") or 1,
            noise={name: value for name, value in (row["noise"] or {}).items() if name != "spread"},
            stopped=row["stopped"] or "",
        )


def process_of(stored: Mapping[str, Any]) -> ProcessSamples:
    """The inverse of what a row keeps of a process."""
    found: dict[str, Any] = {name: stored[name] for name in ProcessSamples.__dataclass_fields__}
    return ProcessSamples(**found)


def done(row: Mapping[str, Any]) -> int:
    """How many processes a stored row without its samples rests on, crashed ones included."""
    return ((row["latency"] or {}).get("processes") or 0) + len(row["crashes"] or ())


def mean(before: Mapping[str, Json], n: int, now: Mapping[str, Json]) -> dict[str, Json]:
    """Means over n processes and one more; what is not a number on both sides is the later one's."""
    found = dict(before) | dict(now)
    for name in before.keys() & now.keys():
        if isinstance(before[name], float) and isinstance(now[name], float):
            found[name] = (n * before[name] + now[name]) / (n + 1)
    return found
