"""Zoo cases as pytest items: collected without building, measured by harness, judged by their budgets."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from harness import budget, internal
from harness.errors import HarnessError
from harness.flow.preview import Preview, SweepSettings
from harness.flow.session import Session
from harness.records import Case, Outcome, Status
from harness.store.rows import Row, public, to_row

SMOKE = SweepSettings(processes=1, time_per_case=0.05, ci_width=0.5)
"""Where timing is switched off: one process, just long enough to see that the case runs."""


class CaseFailed(AssertionError):
    """A case that failed, or that is outside its budget; its text is all that is shown."""


@dataclass(slots=True)
class WorkerClock:
    """A timer for pytest-benchmark that replays what a worker timed: each pair of readings is one sample apart."""

    seconds: Iterator[float] = field(default_factory=lambda: iter(()))
    pending: float | None = None
    __name__ = "harness worker"

    def load(self, seconds: Iterable[float]) -> None:
        """Replay these from now on."""
        self.seconds, self.pending = iter(seconds), None

    def __call__(self) -> float:
        """Zero at a round's start and the sample at its end, so that the difference is the sample, bit for bit."""
        if self.pending is None:
            self.pending = next(self.seconds)
            return 0.0
        end, self.pending = self.pending, None
        return end


def line_of(model: str, lines: list[str]) -> int:
    """Where a zoo's text names a model first, counted from 0; 0 where it is written in another way."""
    entry = re.compile(rf"\s+[\"']?{re.escape(model)}[\"']?\s*:")
    return next((place for place, line in enumerate(lines) if entry.match(line)), 0)


class ZooCollector(pytest.File):
    """A model zoo as pytest collects it."""

    ahead: Preview
    cache: Path
    timed: bool
    shared: Session | None = None

    @classmethod
    def of(cls, parent: pytest.Collector, path: Path, ahead: Preview, cache: Path, *, timed: bool) -> Self:
        """A collector of everything that is planned; with `timed` its items use pytest-benchmark's fixture."""
        made = cls.from_parent(parent, path=path)
        made.ahead, made.cache, made.timed = ahead, cache, timed
        return made

    def of_selected(self, selected: list[Case]) -> Session:
        """What the cases that are selected share; everything in it is done when it is first needed."""
        if self.shared is None:
            self.shared = Session(
                zoo=self.ahead.zoo,
                cases=selected,
                settings=self.ahead.settings,
                cache=self.cache,
                results=self.ahead.zoo.path.parent / "results",
            )
        return self.shared

    def collect(self) -> Iterator[CaseItem]:
        """One item per case, in the order of the plan. Nothing is built."""
        lines = self.path.read_text(encoding="utf-8").splitlines()
        for case in self.ahead.plan.cases:
            item = CaseItem.from_parent(self, name=case.id, callobj=with_benchmark if self.timed else alone)
            item.case, item.file, item.line = case, self, line_of(case.model.name, lines)
            if self.timed:
                # One table per model and target: what is worth comparing, its variants, stands together.
                group = f"{case.model.name} on {case.target.label}"
                item.add_marker(pytest.mark.benchmark(timer=item.clock, group=group))
            yield item


class CaseItem(pytest.Function):
    """One case as a test."""

    case: Case
    file: ZooCollector
    line: int

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.clock = WorkerClock()

    def check(self, benchmark: Any) -> None:
        """Measure, hand the samples to pytest-benchmark, hold the case to its budget.

        Args:
            benchmark: pytest-benchmark's fixture, or None where it is not loaded.

        Raises:
            CaseFailed: the case failed or is outside its budget.
            HarnessError: the cache cannot be written.
        """
        # Workers of pytest-xdist run side by side: what they time means nothing. pytest-benchmark knows that itself.
        timing = "PYTEST_XDIST_WORKER" not in os.environ if benchmark is None else benchmark.enabled
        selected = [i.case for i in self.session.items if isinstance(i, CaseItem) and i.file is self.file]
        shared = self.file.of_selected(selected)
        shared.build([other for other in selected if other.model.name == self.case.model.name])
        outcome = shared.measure(self.case, settings=None if timing else SMOKE)
        row = public(to_row(shared.run, outcome))
        if timing and row["notes"]:
            self.add_report_section("call", "harness", "\n".join(row["notes"]))
        if not outcome.status.has_numbers and outcome.status is not Status.FAILED:
            pytest.skip(f"{self.case.id} {outcome.status}: {outcome.reason}")

        if outcome.status is Status.FAILED:

            def give_up() -> None:
                raise CaseFailed(f"{self.case.id} failed: {outcome.reason}")

            # Inside the fixture, so that pytest-benchmark knows of the error and saves no numbers.
            self.clock.load([0.0])
            benchmark.pedantic(give_up) if benchmark is not None else give_up()
        if benchmark is not None:
            hand_over(outcome, row, benchmark, self.clock)
        broken = budget.exceeded(row if timing else row | {"latency": None})
        if broken:
            lines = "".join(f"\n  {line}" for line in broken)
            raise CaseFailed(f"{self.case.id} is outside the budget that {self.path.name} sets:{lines}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *args: Any, **settings: Any) -> Any:
        """The message alone for what is wrong with a case: a traceback would show harness's inside."""
        if isinstance(excinfo.value, CaseFailed | HarnessError):
            return str(excinfo.value)
        if isinstance(excinfo.value, Exception) and excinfo.traceback and _inside(excinfo.traceback[-1].path):
            return internal.expected(excinfo.value) or internal.message(excinfo.value, doing=sys.argv)
        return super().repr_failure(excinfo, *args, **settings)

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        """The model's place in the zoo, and the case's id."""
        return self.path, self.line, self.name


def _inside(path: Path | str) -> bool:
    """Whether an error was raised by harness or below it, and not by pytest's own machinery."""
    return "_pytest" not in Path(path).parts and "pluggy" not in Path(path).parts


def with_benchmark(request: pytest.FixtureRequest, benchmark: Any) -> None:
    """What an item runs where pytest-benchmark is loaded."""
    request.node.check(benchmark)


def alone(request: pytest.FixtureRequest) -> None:
    """What an item runs without pytest-benchmark."""
    request.node.check(None)


def hand_over(outcome: Outcome, row: Row, benchmark: Any, clock: WorkerClock) -> None:
    """Give the worker's samples to pytest-benchmark, with everything that is known of them as `extra_info`.

    Its own runner is used on a function that does nothing, read by a clock that replays the samples: the values come
    through exactly, in the order they were timed, and only its public interface is relied upon.

    Args:
        outcome: a case that has numbers.
        row: the same, as it is stored; kept whole in `extra_info`, with `samples_per_process`, because the samples of
            all processes stand behind one another.
        benchmark: pytest-benchmark's fixture, not used yet.
        clock: the timer that the fixture was made with.
    """
    samples = [ns / 1e9 for process in outcome.processes for ns in process.samples_ns]
    clock.load(samples)
    benchmark.extra_info.update(row, samples_per_process=[len(process.samples_ns) for process in outcome.processes])
    benchmark.pedantic(lambda: None, rounds=len(samples))
