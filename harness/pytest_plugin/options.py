"""The plugin's options, and the parsers of their values. Imports pytest, bounds, units and the standard library."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness import bounds, units
from harness.bounds import Bound

if TYPE_CHECKING:
    from harness.flow.preview import SweepRequest


def declare(parser: pytest.Parser) -> None:
    """Declare everything that goes with `--zoo`.

    Raises:
        pytest.UsageError: somebody else has an option of the same name.
    """
    group = parser.getgroup("harness")
    listed: dict[str, Any] = {"type": names, "default": (), "metavar": "A,B"}
    options: tuple[tuple[str, dict[str, Any]], ...] = (
        ("--models", {**listed, "help": "Models, by name or glob."}),
        ("--variants", {**listed, "help": "Variants, by name or glob."}),
        ("--targets", {**listed, "help": "Targets, by name or glob."}),
        (
            "--threads",
            {
                "type": counts(bounds.THREADS),
                "metavar": "1,2,0",
                "help": "Intra-op threads; 0 pins one per physical core.",
            },
        ),
        ("--batch", {"type": counts(bounds.BATCH), "metavar": "1,8", "help": "Batch sizes."}),
        (
            "--time-per-case",
            {"type": duration, "metavar": "15s", "help": "Inference per case: 500ms, 15s, 2m; seconds as such."},
        ),
        ("--processes", {"type": number(bounds.PROCESSES), "metavar": "N", "help": "Fresh processes per case."}),
        ("--harness-cache", {"type": Path, "metavar": "DIR", "help": "Where artifacts are cached."}),
    )
    for name, settings in options:
        dest = "harness_" + name.removeprefix("--").removeprefix("harness-").replace("-", "_")
        try:
            group.addoption(name, dest=dest, **settings)
        except (ValueError, argparse.ArgumentError) as error:  # pytest's check, or that of argparse
            raise pytest.UsageError(
                f"--zoo brings an option {name}, and a conftest or another plugin has one as well ({error}). "
                f"Rename that one, or run the zoo from a folder without that conftest."
            ) from error


def request(config: pytest.Config, zoo: Path) -> SweepRequest:
    """What the command line asks of one zoo."""
    from harness.build.cache import default_root
    from harness.flow.plan import Selection
    from harness.flow.preview import SweepRequest

    given = config.option
    return SweepRequest(
        zoo=zoo,
        results=zoo.parent / "results",
        cache=given.harness_cache or default_root(),
        selection=Selection(
            models=given.harness_models,
            variants=given.harness_variants,
            targets=given.harness_targets,
            threads=given.harness_threads,
            batch=given.harness_batch,
        ),
        time_per_case=given.harness_time_per_case,
        processes=given.harness_processes,
    )


def names(text: str) -> tuple[str, ...]:
    """Comma-separated names or globs."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} holds no name; give names or globs, such as 'resnet*,minilm'")
    return found


def counts(bound: Bound) -> Callable[[str], tuple[int, ...]]:
    """A parser of comma-separated whole numbers of a range."""

    def parse(text: str) -> tuple[int, ...]:
        found = [bound.parse(part) for part in text.split(",")]
        if any(math.isnan(one) for one in found):
            raise argparse.ArgumentTypeError(f"{text[: bounds.LONGEST]!r}: expected {bound.plural}")
        return tuple(map(int, found))

    return parse


def duration(text: str) -> float:
    """Seconds of inference, from such as `15s` or `2m`."""
    value = units.parse_duration(text)
    if value not in bounds.TIME_PER_CASE:
        raise argparse.ArgumentTypeError(
            f"{text[: bounds.LONGEST]!r}: expected a duration above 0 and up to {bounds.TIME_PER_CASE.most // 3600}h"
        )
    return value


def number(bound: Bound) -> Callable[[str], float]:
    """A parser of a number of a range."""

    def parse(text: str) -> float:
        value = bound.parse(text)
        if math.isnan(value):
            raise argparse.ArgumentTypeError(f"{text[: bounds.LONGEST]!r}: expected {bound}")
        return value

    return parse
