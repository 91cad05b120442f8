"""harness.cli.gate, gate_console, gate_selftest and gate_bisect: options, and what a person sees meanwhile."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import typer

from harness.cli import bisect, gate, options
from harness.cli import selftest as gate_selftest
from harness.cli.gate_console import GateConsole
from harness.errors import StoreError, UsageError
from harness.flow.plan import Selection
from harness.gate.bisect.bisection import Bisected, BisectPoint, BisectStep
from harness.gate.model import Finding, GateSettings, Verdict
from harness.gate.selftest import recording
from harness.gate.selftest.recording import RecordedSeries
from harness.stats import rule
from harness.stats.paired import Interval
from tests import pairs, reports

SLOWER = Finding(metric="latency", verdict=Verdict.REGRESSION, sentence="30.0% slower", ratio=1.3)
ALIKE = Finding(metric="latency", verdict=Verdict.PASS, sentence="not slower: +0.1%", ratio=1.0)
ONE, TWO, THREE = (BisectPoint(asked=name, label=f"commit {name}") for name in ("one", "two", "three"))


def test_defaults_are_the_rule() -> None:
    """Without options a gate decides by the numbers of `stats.rule`."""
    assert GateSettings() == gate.decided()
    assert (rule.SCREEN_PAIRS, rule.CONFIRM_PAIRS) == (GateSettings().screen_pairs, GateSettings().confirm_pairs)


@pytest.mark.parametrize(
    ("text", "expected"), [("90", 90), ("90s", 90), ("10m", 600), ("1h", 3600), ("1.5m", 90), (" 2 m", 120)]
)
def test_durations(text: str, expected: float) -> None:
    """Seconds, minutes and hours."""
    assert expected == options.duration(text, "--time-limit")


@pytest.mark.parametrize("text", ["", "0", "0s", "-1", "m", "1e3", "nan"])
def test_durations_that_are_none(text: str) -> None:
    """Anything else is refused, with an example."""
    with pytest.raises(UsageError, match="such as 90s, 10m or 1h"):
        options.duration(text, "--time-limit")


@pytest.mark.parametrize(("text", "expected"), [("8,20", (8, 20)), ("20", (8, 20)), ("40", (16, 40)), ("6", (8, 6))])
def test_numbers_of_pairs(text: str, expected: tuple[int, int]) -> None:
    """Both numbers, or one that screening keeps its proportion to."""
    assert expected == gate.numbers_of_pairs(text)


@pytest.mark.parametrize(("text", "expected"), [(None, 0.0), ("0", 0.0), ("0%", 0.0), ("3%", 0.03), ("0.1", 0.1)])
def test_margin(text: str | None, expected: float) -> None:
    """A share; zero is one as well."""
    assert expected == options.margin(text, "--max-slowdown", 0.0)


def test_margins_of_everything() -> None:
    """Every margin of the settings has an option; 0 is a margin, and one of start-up may be above 100%."""
    found = gate.decided(
        max_startup="150%",
        max_memory="0.1",
        max_energy="20%",
        max_size="0",
        max_accuracy_drop="0.5%",
        max_fidelity_drop="6dB",
    )
    limits = found.max_startup, found.max_memory, found.max_size, found.max_accuracy_drop, found.max_fidelity_drop
    assert (1.5, 0.1, 0.0, 0.005, 6.0) == limits
    assert 0.2 == found.max_energy


@pytest.mark.parametrize(
    "option", ["slowdown", "startup", "memory", "energy", "size", "accuracy_drop", "fidelity_drop"]
)
@pytest.mark.parametrize("text", ["-1", "much", "nan", "inf", ""])
def test_margins_that_are_none(option: str, text: str) -> None:
    """What is not a margin is refused under the name of its option."""
    with pytest.raises(UsageError, match=f"--max-{option.replace('_', '-')} {text}: expected"):
        gate.decided(**{f"max_{option}": text})  # type: ignore[arg-type]


CASES = (
    "m/fp32/cpu-t1-b1", "m/fp32/cpu-t2-i4-b8", "m/fp32/cpu-nospin-t1-b1", "n/int8/cuda-t12-b1",
    "n/int8/cuda-t4-b4-multi2",
)  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ({"models": ("m",)}, CASES[:3]),
        ({"models": ("*",), "variants": ("int8*",)}, CASES[3:]),
        ({"targets": ("cpu",)}, CASES[:2]),
        ({"targets": ("cpu*",)}, CASES[:3]),
        ({"threads": (1,)}, (CASES[0], CASES[2])),
        ({"threads": (2, 12)}, (CASES[1], CASES[3])),
        ({"batch": (8,)}, (CASES[1],)),
        ({"batch": (4,)}, CASES[4:]),
        ({"scenarios": ("multi2",)}, CASES[4:]),
        ({"scenarios": ("",), "models": ("n",), "batch": (1, 4)}, (CASES[3],)),
        ({"models": ("m", "n"), "threads": (1,), "batch": (8,)}, ()),
    ],
)
def test_selection_of_stored_cases(asked: Any, chosen: tuple[str, ...]) -> None:
    """The options that choose cases of a zoo choose stored ones, by the parts of their names."""
    globs = gate.case_globs(Selection(**asked))
    assert chosen == tuple(case for case in CASES if any(fnmatchcase(case, glob) for glob in globs))


def test_history_is_narrowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--history takes the selection and --since; without --history, --since is refused."""
    from harness.gate.history import judge as history

    asked: dict[str, Any] = {}

    def judge(results: Path, **more: Any) -> Any:
        asked.update(more, results=results)
        return reports.report(base=None, head=None)

    monkeypatch.setattr(history, "judge", judge)
    zoo = tmp_path / "z.yaml"
    with pytest.raises(typer.Exit):
        gate.gate(history=True, models="digits*", threads="2", batch="1", since="v1", zoo=zoo, results=tmp_path)
    threads = ("t2-b1", "t2-b1-*", "t2-i[0-9]*-b1", "t2-i[0-9]*-b1-*")
    assert tuple(f"digits*/*/*-{one}" for one in threads) == asked["cases"]
    assert ("v1", tmp_path) == (asked["since"], asked["results"])
    with pytest.raises(typer.Exit):
        gate.gate(history=True, zoo=zoo, results=tmp_path)
    assert () == asked["cases"]
    with pytest.raises(UsageError, match="--since v1 goes with --history"):
        gate.gate(base="main", since="v1", zoo=zoo, results=tmp_path)


def test_console_tells_what_happens(capsys: pytest.CaptureFixture[str]) -> None:
    """What there is to do, each phase, and a case that broke; brackets in names are not markup."""
    with GateConsole() as console:
        matches = [pairs.match("a[1]"), pairs.match("b", same="one file"), pairs.match("c", differs=("x",))]
        console.matched(matches, ["a[1]"], GateSettings())
        console.phase("screen", ["a[1]"], 8)
        console.tick()
        console.paired("a[1]", pairs.pair())
        console.tick()
        console.broke("a[1]", "head: the worker died [core dumped]")
    out = " ".join(capsys.readouterr().out.split())
    assert "1 of 3 cases to measure, 1 the same on both sides, 1 that cannot be compared" in out
    assert "screening: 1 case, 8 pairs each" in out
    assert "failed a[1]: head: the worker died [core dumped]" in out


def test_a_gate_says_how_far_it_is_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A line now and then, at the pace of the pairs so far, and never a pair beyond the last one."""
    now = 0.0
    with GateConsole(clock=lambda: now) as console:
        console.matched([pairs.match("a")], ["a"], GateSettings(screen_pairs=2, confirm_pairs=4))
        said = " ".join(capsys.readouterr().out.split())
        assert "and up to about 15 s where everything has to be measured again" in said
        for name, count in (("screen", 2), ("widen", 4), ("confirm", 4)):
            console.phase(name, ["a"], count)
            for _ in range(count + 1):
                now += 40.0
                console.tick()
                console.paired("a", pairs.pair())
    out = " ".join(capsys.readouterr().out.split())
    assert "screening: pair 1 of 2 screening: pair 2 of 2, about 0 s left" not in out
    assert "screening: pair 2 of 2, nearly done of screening" in out
    assert "pair 1 of up to 4, up to about 2 min left of screening; confirming follows" in out
    assert "confirming on fresh pairs: pair 4 of up to 4" in out
    assert "pair 5 of" not in out


def test_console_promises_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """After Ctrl-C nothing is said of going on from there, as a sweep would."""
    with pytest.raises(KeyboardInterrupt), GateConsole():
        raise KeyboardInterrupt
    assert "" == capsys.readouterr().out


def printed(capsys: pytest.CaptureFixture[str], found: Bisected) -> tuple[bool, str]:
    """What is said at the end of a bisection, and whether it found something."""
    with GateConsole() as console:
        done = bisect.show_result(console, "m/fp32/cpu-t1", found, ("good", "bad"))
    return done, capsys.readouterr().out


def test_bisection_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Found and confirmed, found and not confirmed, a range that remains, and ends that do not differ."""
    done, out = printed(capsys, Bisected(ends=SLOWER, before=ONE, after=TWO, change=SLOWER))
    assert done
    assert "m/fp32/cpu-t1: the change came with commit two\nAgainst commit one: 30.0% slower\n" == out
    done, out = printed(capsys, Bisected(ends=SLOWER, before=ONE, after=TWO, change=ALIKE))
    assert not done
    assert "did not confirm it against commit one: not slower" in out
    done, out = printed(capsys, Bisected(ends=SLOWER, before=ONE, after=THREE, between=(TWO,), change=SLOWER))
    assert done
    assert "one of: commit two; commit three" in out
    done, out = printed(capsys, Bisected(ends=ALIKE))
    assert not done
    assert "bad is not shown to be slower than good: not slower" in out


def test_steps_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """A step says what was found of its point, or why it was skipped."""
    with GateConsole() as console:
        bisect.show_step(
            console, BisectStep(point=ONE, said="slow", interval=Interval(ratio=1.3, low=1.2, high=1.4, n=8))
        )
        bisect.show_step(console, BisectStep(point=TWO, said="skipped", reason="does not build"))
    out = capsys.readouterr().out
    assert "slow: commit one (1.300, 95% interval 1.200 to 1.400 to the good end)\n" in out
    assert "skipped: commit two: does not build\n" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"good": "1.22.1", "bad": "main"}, "one is a release and the other is not"),
        ({"good": "a", "bad": "b", "versions": "1.2.3"}, "--versions goes with releases"),
    ],
)
def test_bisect_usage(options: Any, said: str) -> None:
    """Ends of two kinds, and releases for commits, are refused."""
    with pytest.raises(UsageError, match=said):
        bisect.bisect("m/fp32/cpu-t1", zoo=Path("z.yaml"), **options)


def test_a_full_disk_costs_the_numbers_and_not_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills while pairs are measured: the verdict is printed, and the error is printed as one."""

    def full(*_: object) -> None:
        raise StoreError("No space left on device")

    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    monkeypatch.setattr("harness.gate.gate.gate", lambda *_, **__: reports.mixed())
    monkeypatch.setattr("harness.gate.outputs.delivery.keep", full)
    with pytest.raises(StoreError, match="No space left"):
        gate.gate(base="main", zoo=tmp_path / "model_zoo.yaml", results=tmp_path, cache=str(tmp_path))
    out, err = capsys.readouterr()
    assert out.startswith("Regression: 1 of 6 cases got worse")
    assert "Cannot write $GITHUB_STEP_SUMMARY" in err  # the other error is said as well


def recorded(*truths: float) -> tuple[RecordedSeries, ...]:
    """A recording of these true ratios."""
    return tuple(recording.series("net", t, int(t > 1), pairs.many(28, t), {"fingerprint": "f"}) for t in truths)


def test_selftest_replays(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording is judged again without measuring, with the slow-down that it holds."""
    from harness.gate.selftest import selftest

    monkeypatch.setattr(selftest, "GATES", 2)
    monkeypatch.setattr(selftest.figures, "__kwdefaults__", {"gate_cases": 3, "gates": 2, "rng": None})
    recording.write(recorded(1.0, 1.1), tmp_path / "r.json")
    gate_selftest.selftest(replay=[tmp_path / "r.json"])
    out = capsys.readouterr().out
    assert "extra nodes for 10.0%" in out
    assert "false alarms: " in out
    assert "real slow-downs (+10" in out


def test_selftest_usage(tmp_path: Path) -> None:
    """More networks than there are, and a recording with two slow-downs to choose from, are refused."""
    with pytest.raises(UsageError, match="--cases 7: there are 6"):
        gate_selftest.selftest(cases=7)
    with pytest.raises(UsageError, match=r"the recording has 3\.0%, 10\.0%"):
        gate_selftest.slowed_by(recorded(1.0, 1.03, 1.1), 0.05)
    assert 0.03 == gate_selftest.slowed_by(recorded(1.0, 1.03, 1.1), 0.03)
