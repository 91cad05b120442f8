"""Numbers that nobody can mean, for every option of every verb that takes one."""

from __future__ import annotations

import argparse
import math
import re
import typing
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.models import OptionInfo

from harness import bounds
from harness.bounds import Bound
from harness.cli import app
from tests.conftest import Project

NEEDED = {
    "bisect": ("tiny/fp32/cpu-t1-b1", "--good", "1.22.1", "--bad", "1.23.0"),
    "tune": ("tiny",),
    "plot": ("accuracy", "--out", "x.svg"),
}
"""What a verb cannot be called without."""

HOSTILE = (
    "nan", "inf", "-inf", "-1", "1e400", "1e18", "9" * 5000, "", " ", "0x10", "one", "1;2", "1e-400x",
)  # fmt: skip
ODD = ("1_0", "\u0663")
"""What Python reads as whole numbers; refused wherever a text is read by harness itself."""

NUMERIC = re.compile(r"\d|^[NS]$|AGE")
"""In the placeholder of an option that takes a number, or several."""

TOO_LARGE = {
    "--threads": "4097",
    "--batch": "65537",
    "--processes": "1001",
    "--time-per-case": "86401",
    "--pairs": "1001",
}


def numeric() -> Iterator[tuple[str, str, bool]]:
    """Every verb with its options that take a number, as its function declares them, and whether typer reads it."""
    for verb in app.registered_commands:
        assert verb.callback is not None
        for name, annotated in typing.get_type_hints(verb.callback, include_extras=True).items():
            kinds = [one for one in typing.get_args(annotated) if isinstance(one, OptionInfo)]
            if not kinds:
                continue
            types = {typing.get_args(annotated)[0], *typing.get_args(typing.get_args(annotated)[0])}
            typed = bool(types & {int, float})
            if (verb.name, name) == ("gate", "budget"):  # read once there are files to compare
                continue
            if typed or NUMERIC.search(kinds[0].metavar or ""):
                yield str(verb.name), (kinds[0].param_decls or (f"--{name.replace('_', '-')}",))[0], typed


def test_the_options_are_found() -> None:
    """Those that everybody knows are among them."""
    found = {(verb, option) for verb, option, _ in numeric()}
    assert {("sweep", "--threads"), ("sweep", "--processes"), ("gate", "--time-limit"), ("plot", "--scale")} <= found
    assert {("serve", "--port"), ("cache", "--prune"), ("selftest", "--cases"), ("bisect", "--pairs")} <= found


@pytest.mark.parametrize(("verb", "option", "typed"), sorted(numeric()))
def test_hostile_numbers_are_refused_before_anything_is_done(
    project: Project, verb: str, option: str, typed: bool
) -> None:
    """Exit code 2, a sentence that names the option, and nothing written."""
    before = sorted(project.root.rglob("*"))
    needed = NEEDED.get(verb, ())
    if (verb, option) == ("sweep", "--budget"):
        needed = ("tiny.onnx", *needed)
    # Every third one, of which the ranges' own tests below have any number: all come up among the options.
    chosen = HOSTILE[sum(map(ord, verb + option)) % 3 :: 3]
    for value in (*chosen, *(() if typed else ODD), *filter(None, [TOO_LARGE.get(option)])):
        code, out, err = project.here(verb, *needed, f"{option}={value}")
        assert (2, "") == (code, out), (value[:20], err)
        assert option in err
        assert "Traceback" not in err
        assert len(err) < 1500
        assert before == sorted(project.root.rglob("*"))


@pytest.mark.parametrize(("option", "value"), [("--threads", "1000000"), ("--batch", "1000000000")])
@pytest.mark.parametrize("verb", ["sweep", "gate"])
def test_the_valid_range_is_said(project: Project, verb: str, option: str, value: str) -> None:
    """So that nobody has to guess; the same as in the zoo."""
    error = project.error(verb, option, value)
    assert f"{option} {value}: expected whole numbers from" in error
    zoo = project.root / "model_zoo.yaml"
    zoo.write_text(zoo.read_text(encoding="utf-8").replace(f"{option[2:]}: [1]", f"{option[2:]}: [{value}]"), "utf-8")
    (most,) = re.findall(r"from \d+ to (\d+)", error)
    assert most in project.error("sweep", "--dry-run")


RANGES = st.sampled_from([bounds.THREADS, bounds.BATCH, bounds.PROCESSES, bounds.TIME_PER_CASE, bounds.PAIRS])


@settings(max_examples=30)
@given(RANGES, st.one_of(st.text(max_size=50), st.floats().map(str), st.integers().map(str)))
def test_what_is_read_lies_in_the_range(bound: Bound, text: str) -> None:
    """Any text is a number of the range or none; whole numbers stay whole."""
    found = bound.parse(text)
    assert math.isnan(found) or (found in bound and isinstance(found, int if bound.whole else float))


@settings(max_examples=30)
@given(RANGES, st.floats(allow_nan=False))
def test_a_number_of_the_range_is_read_as_it_is_written(bound: Bound, value: float) -> None:
    """Whole ones without a point."""
    number = int(value) if bound.whole and math.isfinite(value) else value
    if number in bound and len(str(number)) <= bounds.LONGEST:
        assert number == bound.parse(str(number))
    else:
        assert math.isnan(bound.parse(str(number)))


@pytest.mark.parametrize("name", ["HARNESS_PROCESSES", "HARNESS_TIME_PER_CASE"])
@pytest.mark.parametrize("value", ["nan", "1e400", "-1", "0", "1e9", "9" * 5000, "x"])
def test_the_environment_has_the_same_bounds(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Under asv, where there is no command line."""
    from harness.asv import exchange, measuring
    from harness.errors import UsageError

    monkeypatch.setenv(name, value)
    bound = bounds.PROCESSES if name == exchange.PROCESSES else bounds.TIME_PER_CASE
    assert name in (exchange.PROCESSES, exchange.TIME_PER_CASE)
    with pytest.raises(UsageError, match=rf"{name}=.*: expected a"):
        measuring.number(name, bound)


def test_pytest_has_the_same_bounds() -> None:
    """Its options are read by the same ranges."""
    from harness.pytest_plugin import options

    for value in (*HOSTILE, *ODD, "1001", "0"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected a whole number from 1 to 1000"):
            options.number(bounds.PROCESSES)(value)
    for value in (*HOSTILE, *ODD, "1,65537", "0"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected whole numbers from 1 to 65536"):
            options.counts(bounds.BATCH)(value)
    assert (1, 8) == options.counts(bounds.BATCH)("1, 8")
