"""What a person sees of tuning: candidates as they are tried, and what was found in the end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from harness import confirmation
from harness.cli import ending, formats, options
from harness.cli.loudness import Loudness, loudness
from harness.cli.terminal import Terminal
from harness.layout import TextColumn, TextTable, print_grid
from harness.shown import markup
from harness.units import NONE, count, seconds, size

if TYPE_CHECKING:
    from rich.live import Live

    from harness.build.pipeline import BuildEvent
    from harness.tune.model import TimedBuild, TriedBuild, Tuned
    from harness.tune.write import WrittenZoo

FRONT = 6
"""Candidates that the live view shows."""


class TuneConsole:
    """A `harness.tune.request.TuneWatcher` that prints; on a terminal the fastest so far stand below, drawn anew."""

    def __init__(self, *, quiet_stdout: bool = False) -> None:
        """With `quiet_stdout` everything goes to standard error."""
        self._out = Terminal(stderr=quiet_stdout, highlight=False, soft_wrap=True)
        self._quiet = loudness() is Loudness.QUIET
        self._live: Live | None = None
        self._close: dict[str, str] = {}
        self._times: dict[str, tuple[float, str]] = {}

    def __enter__(self) -> Self:
        if self._out.interactive and not self._quiet:
            from rich.live import Live

            # No refresh thread: redrawing beside a worker that times would be noise of our own making.
            self._live = Live("", console=self._out, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        if kind is KeyboardInterrupt:
            self._out.print(
                "Stopped: what was built, evaluated and timed is kept; the same command goes on from there."
            )

    def assumed(self, notes: Sequence[str]) -> None:
        """What is taken for granted of files that have no zoo."""
        for note in notes:
            self._mention(note)

    def saying(self, text: str) -> None:
        """Something that takes a while."""
        self._mention(text)

    def building(self, event: BuildEvent) -> None:
        """A build step started or ended; steps are too many to print."""

    def tried(self, found: TriedBuild) -> None:
        """A build was evaluated."""
        self._close[found.candidate.build] = quality(found)
        self._mention(f"{found.candidate.case.recipe.name} ({found.candidate.why}): {quality(found)}: {verdict(found)}")

    def timing(self, text: str, candidates: int) -> None:
        """A race begins."""
        self._mention(f"timing {text}: {count(candidates, 'candidate')}")

    def timed(self, row: Any) -> None:
        """One more process was timed."""
        if not row.get("latency"):
            return
        name = f"{row['variant']} on {row['target']}"
        self._times[name] = (row["latency"]["median_s"] / (row.get("batch") or 1), row["variant"])
        if self._live is not None:
            self._live.update(self._front(), refresh=True)

    def _front(self) -> str:
        """The fastest so far that no other is both faster and closer than, as lines."""
        ordered = sorted(self._times.items(), key=lambda item: item[1][0])[:FRONT]
        return "\n".join(
            f"{seconds(median):>10}  {markup(name)}  {markup(self._close.get(variant, ''))}"
            for name, (median, variant) in ordered
        )

    def _mention(self, text: str) -> None:
        if not self._quiet:
            self._out.print(text, markup=False)


def deliver(found: Tuned, written: WrittenZoo | None, figure: Path | None, format_: str, *, asked: bool) -> None:
    """Print what was found in a format; `asked` is whether it was to be written."""
    if format_ == options.TABLE:
        show(found, written, figure, asked=asked)
        return
    formats.emit(
        format_, value=as_json(found, written), records=records(found), grids=tables(found), empty="no candidate"
    )
    if found.best is None:
        ending.say(none_keeps(found))


def show(found: Tuned, written: WrittenZoo | None, figure: Path | None, *, asked: bool) -> None:
    """Print what was found.

    Args:
        found: that.
        written: what was written into the zoo; None where nothing was.
        figure: the figure's file.
        asked: whether it was to be written.
    """
    console = Terminal(highlight=False, soft_wrap=True)
    for grid in tables(found):
        if grid.rows:
            console.print()
            print_grid(console, grid)
    console.print()
    for line in sentences(found):
        console.print(line, markup=False)
    if asked and written is None:
        console.print("nothing was written: no candidate is known to be faster than the default", markup=False)
    if written is not None:
        console.print(f"written into {written.path}: variant {written.variant}, target {written.target}", markup=False)
        console.print(f"measure it with: {written.command}", markup=False)
    if figure is not None:
        console.print(f"figure: {figure}", markup=False)


def sentences(found: Tuned) -> list[str]:
    """What is recommended, how sure that is, and what was left out."""
    lines = [none_keeps(found)] if found.best is None else _best(found)
    if passed := _passed_over(found):
        lines.append(passed)
    if found.spared:
        lines.append(f"not tried: {'; '.join(dict.fromkeys(found.spared))}")
    if found.out_of_time:
        named = ", ".join(dict.fromkeys(found.out_of_time))
        lines.append(f"left out, since the time was over: {named}")
    return lines


def _passed_over(found: Tuned) -> str:
    """That a limit of fidelity did not count, since accuracy decided; empty where it did, or there is none."""
    budget = found.default.case.model.budget
    by_accuracy = (budget.accuracy_drop, budget.accuracy_share) != (None, None)
    by_fidelity = (budget.fidelity_db, budget.fidelity_equal) != (None, None)
    if by_accuracy and by_fidelity and any(one.drop is not None for one in found.tried):
        return "the budget's fidelity did not count: the data has labels, and accuracy decides"
    return ""


def none_keeps(found: Tuned) -> str:
    """Why nothing is recommended."""
    others = [one for one in found.timed if one.candidate.name != found.default.name]
    costly = [one for one in others if one.excess or one.unjudged]
    if costly:
        said = "; ".join(f"{one.candidate.name}: {one.excess or one.unjudged}" for one in costly[:3])
        return f"no candidate keeps the budget: of {count(len(costly), 'build')} that were timed, {said}"
    if found.nearest is None:
        return f"no candidate keeps the budget: none of {count(len(found.tried) - 1, 'build')} could be made or run"
    near = found.nearest
    said = (
        f"no candidate keeps the budget. The best of {count(len(found.tried) - 1, 'build')} is "
        f"{near.candidate.case.recipe.name} ({near.candidate.why}): {quality(near)}: {verdict(near)}"
    )
    return f"{said}; layers to blame: {', '.join(found.blame)}" if found.blame else said


def _best(found: Tuned) -> list[str]:
    best, choice = found.best, found.choice
    assert best is not None  # noqa: S101 # the caller looked
    lines = [f"fastest inside the budget: {best.name} ({best.why})"]
    if choice is None:
        return lines
    if found.is_behind:
        lines = [f"nothing is faster than {found.default.name}, the default; the best of the rest is {best.name}"]
    elif choice.ratio is not None:
        interval = "" if choice.low is None or choice.high is None else f" [{choice.low:.2f}, {choice.high:.2f}]"
        lines.append(f"{choice.ratio:.2f} times as fast as {choice.baseline}{interval} in {choice.blocks} live groups")
    if choice.state == confirmation.UNCONFIRMED:
        lines.append(f"not confirmed: {choice.reason}")
    if choice.tied:
        lines.append(f"not known to be faster than {', '.join(choice.tied)}")
    if choice.slower and not found.is_behind:
        lines.append(f"confirmed to be faster than {', '.join(choice.slower)}")
    return lines


def tables(found: Tuned) -> list[TextTable]:
    """Builds with what they cost, and candidates with how long they take."""
    return [_builds(found), _timed(found)]


def _builds(found: Tuned) -> TextTable:
    rows = [
        (one.candidate.case.recipe.name, one.candidate.why, *_numbers(one), size(one.bytes or None), verdict(one))
        for one in found.tried
    ]
    columns = (
        TextColumn(name="build", least=16),
        TextColumn(name="what it is", rank=2),
        TextColumn(name=next((one.metric for one in found.tried if one.metric), "accuracy"), right=True, rank=1),
        TextColumn(name="drop", right=True, rank=1),
        TextColumn(name="fidelity", right=True, rank=1),
        TextColumn(name="size", right=True, rank=2),
        TextColumn(name="budget", words=True, least=20),
    )
    return TextTable(columns=columns, rows=rows, title="builds that were evaluated").without_empty()


def _timed(found: Tuned) -> TextTable:
    base = next((one.example_s for one in found.timed if one.candidate.name == found.default.name), None)
    batches = {one.candidate.case.target.batch for one in found.timed}
    best = found.best.name if found.best and not found.is_behind else ""
    rows = [
        (
            f"{'* ' if one.candidate.name == best else ''}{one.candidate.name}",
            one.candidate.why,
            _median(one),
            NONE if not base or not one.example_s else f"{base / one.example_s:.2f}x",
            str(one.processes),
            one.reason or one.excess or one.unjudged or "inside",
        )
        for one in found.timed
    ]
    columns = (
        TextColumn(name="candidate", least=20),
        TextColumn(name="what it is", rank=2),
        TextColumn(name="per example" if len(batches) > 1 else "median", right=True),
        TextColumn(name="speed-up", right=True),
        TextColumn(name="processes", right=True, rank=2),
        TextColumn(name="budget", words=True, least=10, rank=1),
    )
    return TextTable(columns=columns, rows=rows, title="candidates that were timed; * is recommended")


def as_json(found: Tuned, written: WrittenZoo | None) -> dict[str, Any]:
    """Everything, for programs."""
    choice = (
        None
        if found.choice is None
        else {name: getattr(found.choice, name) for name in found.choice.__dataclass_fields__}
    )
    return {
        "default": found.default.case.id,
        "best": found.best.case.id if found.best else None,
        "runner_up": found.runner_up.case.id if found.runner_up else None,
        "choice": choice,
        "front": [one.candidate.name for one in found.front()],
        "tried": [_tried_json(one) for one in found.tried],
        "timed": records(found),
        "nearest": found.nearest.candidate.case.recipe.name if found.nearest else None,
        "blame": list(found.blame),
        "out_of_time": list(dict.fromkeys(found.out_of_time)),
        "spared": list(dict.fromkeys(found.spared)),
        "seconds": found.seconds,
        "written": None if written is None else {"variant": written.variant, "target": written.target},
    }


def records(found: Tuned) -> list[Mapping[str, Any]]:
    """The timed candidates, one mapping each."""
    return [
        {
            "variant": one.candidate.case.recipe.name,
            "target": one.candidate.case.target.label,
            "why": one.candidate.why,
            "median_s": one.median_s,
            "example_s": one.example_s,
            "batch": one.candidate.case.target.batch,
            "ci95_low_s": one.low_s,
            "ci95_high_s": one.high_s,
            "processes": one.processes,
            "session_config": dict(one.candidate.case.target.session_config),
            "optimization": one.candidate.case.recipe.optimization,
            "excess": one.excess,
            "unjudged": one.unjudged,
            "reason": one.reason,
        }
        for one in found.timed
    ]


def _tried_json(one: TriedBuild) -> dict[str, Any]:
    return {
        "variant": one.candidate.case.recipe.name,
        "why": one.candidate.why,
        "closeness_db": _finite(one.closeness_db),
        "metric": one.metric or None,
        "value": one.value,
        "drop": one.drop,
        "excess": one.excess,
        "reason": one.reason,
        "bytes": one.bytes,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _median(one: TimedBuild) -> str:
    return seconds(one.median_s if one.candidate.case.target.batch == 1 else one.example_s)


def _numbers(one: TriedBuild) -> tuple[str, str, str]:
    return (
        NONE if one.value is None else f"{one.value:.2%}",
        NONE if one.drop is None else f"{one.drop:.2%}",
        _decibels(one.closeness_db),
    )


def quality(one: TriedBuild) -> str:
    """How good a build is, in words."""
    if one.reason:
        return "no build"
    parts = [f"{one.metric} {one.value:.2%}"] if one.value is not None else []
    return ", ".join([*parts, f"fidelity {_decibels(one.closeness_db)}"])


def _decibels(value: float | None) -> str:
    if value is None:
        return NONE
    return "exact" if math.isinf(value) else f"{value:.1f} dB"


def verdict(one: TriedBuild) -> str:
    """Whether a build keeps the budget, in words."""
    if one.reason:
        return one.reason
    return {None: "its budget cannot be judged", "": "inside"}.get(one.excess, one.excess or "")
