"""The plugin's options, and the parsers of their values. Imports pytest and the standard library only."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

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
        ("--threads", {"type": counts, "metavar": "1,2,0", "help": "Intra-op threads; 0 pins one per physical core."}),
        ("--batch", {"type": counts, "metavar": "1,8", "help": "Batch sizes."}),
        ("--time-per-case", {"type": positive, "metavar": "S", "help": "Seconds of inference per case."}),
        ("--processes", {"type": at_least_one, "metavar": "N", "help": "Fresh processes per case."}),
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


def counts(text: str) -> tuple[int, ...]:
    """Comma-separated whole numbers; which of them are valid is for the plan to say."""
    found = names(text)
    if not all(part.isdecimal() for part in found):
        raise argparse.ArgumentTypeError(f"{text!r}: expected whole numbers separated by commas, such as 1,2")
    return tuple(int(part) for part in found)


def positive(text: str) -> float:
    """A number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number above 0")
    return value


def at_least_one(text: str) -> int:
    """A whole number of at least one."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1")
    return int(text)
