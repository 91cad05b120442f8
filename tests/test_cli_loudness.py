"""What every verb takes before and behind its name, and what reaches a terminal."""

from __future__ import annotations

import io
import itertools
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.build.pipeline import BuildEvent
from harness.cli import loudness, remaining
from harness.cli.console import Console
from harness.cli.loudness import Loudness
from harness.cli.remaining import Remaining
from harness.cli.terminal import Terminal
from harness.errors import UsageError
from tests.conftest import Project


def test_version_and_help(project: Project) -> None:
    """`--version` and `-h`, of the program and of a verb; nothing at all is a question for help."""
    assert f"harness {harness.__version__}\n" == project.run("--version")
    assert "Commands:" in project.run("-h")
    assert project.run("compare", "-h") == project.run("compare", "--help")
    assert "-q, --quiet" in project.run("compare", "-h")


def test_the_module_is_the_program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m harness` is `harness`."""
    monkeypatch.setattr(sys, "argv", ["harness", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(Path(harness.__file__).with_name("__main__.py")), run_name="__main__")
    assert 0 == ended.value.code
    assert f"harness {harness.__version__}\n" == capsys.readouterr().out


def test_quiet_and_verbose_stand_on_both_sides(project: Project) -> None:
    """Before the verb, behind it, and never both."""
    asked = "results"
    assert project.run(asked) == project.run("-q", asked) == project.run(asked, "-q")
    assert "choose one of them" in project.error("-q", asked, "-v")
    assert "choose one of them" in project.error(asked, "--quiet", "--verbose")


def test_quiet_keeps_the_answer(built_project: Project) -> None:
    """A dry run's cases are its answer; what it would build is said on the way."""
    asked = ("sweep", "--dry-run", "--models", "tiny")
    usual, quiet = built_project.run(*asked), built_project.run(*asked, "-q")
    assert "3 cases of 1 model" in usual
    assert quiet.splitlines() == [line for line in usual.splitlines() if line.startswith("tiny/")]
    assert 3 == len(quiet.splitlines())


@pytest.mark.parametrize(
    ("variables", "colour"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_colours(variables: dict[str, str], colour: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR and FORCE_COLOR decide on colours; a pipe stays a pipe, on which no line is drawn anew."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stream = io.StringIO()
    console = Terminal(file=stream)
    console.print("[red]text[/red]")
    assert colour == ("\x1b[31m" in stream.getvalue())
    assert not console.interactive


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """TERM=dumb: nothing is coloured or drawn anew."""
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    console = Terminal(file=stream)
    console.print("[red]text[/red]")
    assert "text\n" == stream.getvalue()
    assert not console.interactive
    monkeypatch.setenv("TERM", "xterm")
    assert Terminal(file=stream).interactive


def test_loudness_is_that_of_one_run() -> None:
    """What one run in a process asked for is not that of the next."""
    loudness.choose(quiet=True, verbose=False)
    assert Loudness.QUIET is loudness.loudness()
    with pytest.raises(UsageError, match="choose one"):
        loudness.choose(quiet=False, verbose=True)
    loudness.start()
    assert Loudness.USUAL is loudness.loudness()


def sweeping(clock: Callable[[], float] = time.monotonic, **changes: Any) -> Console:
    """A console of a sweep of two cases on two targets, two processes each, with a rival for every one of them."""
    console = Console(clock=clock)
    console.rounds, console.begun_at = 2, clock()
    known = {name: changes.pop(name) for name in ("elapsed", "ran") if name in changes}
    console.left = Remaining(
        processes=4,
        process_s=1.0,
        confirm_s={2: 10.0},
        groups={f"m/{v}/{t}": ("m", t) for v in "ab" for t in "xy"},
        **known,
    )
    for name, value in changes.items():
        setattr(console, name, value)
    return console


def test_the_time_left_tells_what_is_certain_from_what_may_follow() -> None:
    """Processes at their own pace, and confirming at that pace, too; no process is counted beyond the last."""
    now = itertools.repeat(0.0).__next__
    assert "process 1/4" in sweeping(now).progress()
    assert "estimating the time left" in sweeping(now).progress()
    slow = sweeping(now, elapsed=[2.0, 2.0], ran=2)
    assert 40.0 == slow.left.confirming()
    assert "process 3/4" in slow.progress()
    assert "(4 to 44 s left)" in slow.progress()
    last = sweeping(now, elapsed=[1.0] * 4, ran=4)
    assert "process 4/4" in last.progress()
    assert "(up to 20 s left)" in last.progress()


def test_what_gets_no_number_is_not_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    """A case that cannot run takes no further process, takes no time, and leaves its rival nothing to confirm."""
    console = sweeping()
    console.finished({"case": "m/a/x", "status": "unsupported", "latency": None, "reason": "no CUDA"})
    assert [] == console.left.elapsed
    assert (0, 2, 10.0) == (console.left.ran, console.left.processes, console.left.confirming())
    assert "no CUDA" in capsys.readouterr().out


def test_few_rivals_take_less_to_confirm() -> None:
    """Once every case has a number, those that cannot be the fastest count no more; the baseline does."""
    left = Remaining(confirm_s={2: 10.0, 4: 100.0}, groups={f"m/{name}/x": ("m", "x") for name in "abcd"})
    for name, median in zip("abc", (1.0, 2.0, 3.0), strict=True):
        latency = {"median_s": median, "ci95_low_s": 0.9 * median, "ci95_high_s": 1.1 * median}
        left.known({"case": f"m/{name}/x", "latency": latency})
    left.known({"case": "m/d/x", "latency": None})
    assert 100.0 == left.confirming()
    left.without("m/d/x")
    assert 10.0 == left.confirming()


def test_building_goes_at_the_pace_of_what_is_built() -> None:
    """What the plan states, until something is built; then in proportion, less what the one in progress has taken."""
    left = Remaining(to_build={("m", "a"): 10.0, ("m", "b"): 10.0, ("n", "a"): 40.0})
    assert 60.0 == left.building()
    left.built("m", "a", 5.0)
    assert 25.0 == left.building()
    assert 22.0 == left.building(running=3.0)
    left.built("m", "not planned", 0.0)
    assert 25.0 == left.building()


@pytest.mark.parametrize(
    ("least", "most", "text"),
    [
        (40, None, "about 40 s left"),
        (0.2, None, "nearly done"),
        (180, 480, "3 to 8 min left"),
        (40, 480, "40 s to 8 min left"),
        (180, 181, "about 3 min left"),
        (0.2, 50, "up to 50 s left"),
    ],
)
def test_a_time_left_may_be_a_range(least: float, most: float | None, text: str) -> None:
    """From what is certain to what may follow, with one unit where one does."""
    assert text == remaining.time_left(least, most)


@pytest.mark.parametrize(("width", "begins"), [(70, "process 3/4 "), (100, "round 2 of 2, process 3/4 ")])
def test_the_live_line_is_one_line(width: int, begins: str) -> None:
    """The round is left out where there is no room for it, before the case or the time left are."""
    console = sweeping(elapsed=[60.0], ran=2, number=2, current="digits_cnn/int8-dynamic/cpu-t2-b1")
    console.out.width = width
    line = console.progress()
    assert line.startswith(begins)
    assert "digits_cnn/int8-dynamic/cpu-t2-b1  (2 to 22 min left)" in line
    assert len(line) <= width


def test_choices_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """While choices are confirmed the line says which, and what the others may take."""
    now = 100.0
    console = sweeping(lambda: now, elapsed=[1.0] * 4, ran=4)
    console.confirming(1, 2, "confirming a")
    assert "confirming a  (up to 20 s left)" == console.progress()
    now = 104.0
    assert "confirming a  (up to 16 s left)" == console.progress()
    now = 107.0
    console.confirming(2, 2, "confirming b")  # the first took 7 s of its 10
    now = 109.0
    assert "confirming b  (about 5 s left)" == console.progress()
    now = 500.0
    console.tick()
    out = capsys.readouterr().out
    assert "confirming a (1 of 2)" in out
    assert "confirming b  (nearly done)" in out


def test_quiet_says_nothing_on_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    """No line of progress; verbose has one for every process."""
    row = {"case": "m/v/t", "status": "measured", "latency": {"processes": 2, "median_s": 0.1}, "reason": ""}
    said = {}
    for which in Loudness:
        console = sweeping(loudness=which)
        console.preparing("something")
        console.sharpened(row)
        said[which] = capsys.readouterr().out
    assert "" == said[Loudness.QUIET]
    assert "something\n" == said[Loudness.USUAL]
    assert "2 of 2" in said[Loudness.VERBOSE]


def test_one_reason_of_many_builds_is_written_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A broken file fails all its variants for one reason."""
    console = Console()
    for variant in ("as-is", "fp32-fused", "int8"):
        console.building(BuildEvent(model="m", variant=variant, step="", state="refused", detail="it is broken"))
    assert ["no m/as-is: it is broken", "no m/fp32-fused: as above", "no m/int8: as above"] == (
        capsys.readouterr().out.splitlines()
    )
