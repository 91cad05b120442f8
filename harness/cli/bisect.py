"""`harness bisect`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.cli.gate import EXIT_INCONCLUSIVE, Detect, Pairs, Slowdown, TimeLimit, decided
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.cli.gate_console import GateConsole
    from harness.gate.bisect.bisection import Bisected, BisectStep
    from harness.stats.paired import Interval


def bisect(
    case: Annotated[str, typer.Argument(metavar="CASE", help="Such as resnet50/fp32/cpu-t1.")],
    good: Annotated[str, typer.Option("--good", metavar="REV|VERSION", help="A commit or release that is fast.")],
    bad: Annotated[str, typer.Option("--bad", metavar="REV|VERSION", help="A commit or release that is slow.")],
    versions: Annotated[
        str | None,
        typer.Option("--versions", metavar="A,B", help="Releases to go over.", show_default="all that pip finds"),
    ] = None,
    max_slowdown: Slowdown = None,
    pairs: Pairs = None,
    detect: Detect = None,
    time_limit: TimeLimit = None,
    zoo: options.Zoo = options.ZOO,
    cache: options.CachePlace = None,
) -> None:
    """Find the commit, or the onnxruntime release, that made a case slower.

    Exit codes: 0 found, 2 usage, 3 bad is not slower than good, the change was not confirmed where it was found, or the
    time limit was over.

    Example: harness bisect resnet50/fp32/cpu-t1 --good 1.22.1 --bad 1.24.4
    """
    from harness import processes
    from harness.cli.gate_console import GateConsole
    from harness.gate.bisect import bisection, ends
    from harness.gate.fleet.builds import SideBuilds

    root, depot = options.cache_and_depot(cache)
    settings = decided(max_slowdown=max_slowdown, pairs=pairs, detect=detect)
    end = None if time_limit is None else time.monotonic() + options.duration(time_limit, "--time-limit")
    with GateConsole() as console:
        builds = SideBuilds(depot=depot, say=console.say)
        points = ends.points(good, bad, zoo, options.names(versions))
        count = len(points) - 2
        place = bisection.BisectCase(zoo=zoo, cache=root, case=case, build=builds)
        console.say(f"{count} point{'' if count == 1 else 's'} between {points[0].label} and {points[-1].label}")
        try:
            with processes.ending_at(end):
                found = bisection.bisect(
                    points, bisection.preparer(place, settings, console), lambda step: show_step(console, step)
                )
        except processes.OutOfTime:
            console.say("the time limit was over before the two ends were compared: nothing is known")
            raise typer.Exit(EXIT_INCONCLUSIVE) from None
        except bisection.Unusable as error:
            raise UsageError(f"one of the ends cannot be compared: {error}") from error
        if not show_result(console, case, found, (points[0].label, points[-1].label)):
            raise typer.Exit(EXIT_INCONCLUSIVE)


def show_step(console: GateConsole, step: BisectStep) -> None:
    """One step."""
    measured = f" ({ratio(step.interval)} to the good end)" if step.interval is not None else ""
    why = f": {step.reason}" if step.reason else ""
    console.say(f"{step.said}: {step.point.label}{measured}{why}")


def show_result(console: GateConsole, case: str, found: Bisected, ends: tuple[str, str]) -> bool:
    """The end of it; whether the change was found and confirmed."""
    from rich.markup import escape

    def line(text: str) -> None:
        console.out.print(escape(text), soft_wrap=True)

    good, bad = ends
    if found.before is None or found.after is None:
        line(f"{case}: {bad} is not shown to be slower than {good}: {found.ends.sentence}")
        return False
    if found.out_of_time:
        line(f"{case}: the time limit was over; what is known:")
        line(f"{found.before.label} is still fine, {found.after.label} is slow")
        return False
    if found.between:
        names = "; ".join(point.label for point in found.between)
        line(f"{case}: the change came with one of: {names}; {found.after.label}")
        line(f"Those before the last could not be judged. {found.before.label} is still fine.")
    else:
        line(f"{case}: the change came with {found.after.label}")
    if found.change is None or not found.confirmed:
        why = found.change.sentence if found.change is not None else "the two could not be measured again"
        line(f"Fresh pairs did not confirm it against {found.before.label}: {why}")
        return False
    line(f"Against {found.before.label}: {found.change.sentence}")
    return True


def ratio(interval: Interval) -> str:
    """A ratio with its interval."""
    return f"{interval.ratio:.3f}, 95% interval {interval.low:.3f} to {interval.high:.3f}"
