"""How `harness gate` decides, from the command line: the options, and the parsers of their values."""

from __future__ import annotations

import math
import re
from itertools import product
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.gate.nouns import Settings
    from harness.plan import Selection

UNITS = {"s": 1, "m": 60, "h": 3600}

MOST = 10.0
"""The largest share that a margin of start-up, memory or size may be: eleven times as much."""

Slowdown = Annotated[
    str | None,
    typer.Option("--max-slowdown", metavar="3%", help="Allow this much.", show_default="any confirmed slow-down fails"),
]
Startup = Annotated[
    str | None,
    typer.Option("--max-startup", metavar="25%", help="Let first inference and session creation grow this much."),
]
Memory = Annotated[
    str | None, typer.Option("--max-memory", metavar="5%", help="Let the worker's peak memory grow this much.")
]
Size = Annotated[
    str | None, typer.Option("--max-size", metavar="1%", help="Let the artifact's bytes and nodes grow this much.")
]
AccuracyDrop = Annotated[
    str | None,
    typer.Option(
        "--max-accuracy-drop", metavar="1%", help="Let accuracy fall by this many points where the zoo has no budget."
    ),
]
FidelityDrop = Annotated[
    str | None,
    typer.Option(
        "--max-fidelity-drop", metavar="3dB", help="Let fidelity fall this far where there is neither budget nor label."
    ),
]
Detect = Annotated[
    str | None,
    typer.Option("--detect", metavar="5%", help="A pass must have been able to see this much beyond the margin."),
]
TimeLimit = Annotated[
    str | None, typer.Option("--time-limit", metavar="10m", help="Stop measuring after it: seconds, or 90s, 10m, 1h.")
]
Pairs = Annotated[
    str | None,
    typer.Option("--pairs", metavar="8,20", help="Pairs to screen each case with, and fresh ones to confirm with."),
]
Threads = Annotated[str | None, typer.Option(metavar="1,2,0", help="Intra-op threads; 0 pins one per physical core.")]
Batch = Annotated[str | None, typer.Option(metavar="1,8", help="Batch sizes.")]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="REV", help="With --history: only this commit and those that are not older."),
]


def decided(
    *,
    max_slowdown: str | None = None,
    max_startup: str | None = None,
    max_memory: str | None = None,
    max_size: str | None = None,
    max_accuracy_drop: str | None = None,
    max_fidelity_drop: str | None = None,
    time_limit: str | None = None,
    pairs: str | None = None,
    detect: str | None = None,
    remeasure_same: bool = False,
) -> Settings:
    """How a gate decides, from the command line.

    Raises:
        UsageError: if a value makes no sense.
    """
    from harness.gate.nouns import Settings
    from harness.stats import rule

    given = Settings()
    screen, confirm = numbers_of_pairs(pairs) if pairs is not None else (given.screen_pairs, given.confirm_pairs)
    effect = given.detect if detect is None else options.ratio(detect, "--detect") or given.detect
    if effect <= rule.MIN_EFFECT:
        raise UsageError(f"--detect {detect}: changes up to {rule.MIN_EFFECT:.0%} are never flagged; ask for more")
    return Settings(
        max_slowdown=margin(max_slowdown, "--max-slowdown", given.max_slowdown),
        max_startup=margin(max_startup, "--max-startup", given.max_startup, most=MOST),
        max_memory=margin(max_memory, "--max-memory", given.max_memory, most=MOST),
        max_size=margin(max_size, "--max-size", given.max_size, most=MOST),
        max_accuracy_drop=margin(max_accuracy_drop, "--max-accuracy-drop", given.max_accuracy_drop),
        max_fidelity_drop=decibels(max_fidelity_drop, "--max-fidelity-drop", given.max_fidelity_drop),
        screen_pairs=screen,
        confirm_pairs=confirm,
        time_limit_s=None if time_limit is None else seconds(time_limit, "--time-limit"),
        detect=effect,
        remeasure_same=remeasure_same,
    )


def margin(text: str | None, option: str, default: float, *, most: float = 1.0) -> float:
    """A share such as 3% or 0.03, or 0 for none; the default where the option was not given.

    Raises:
        UsageError: if it is none, or not from 0 to below `most`.
    """
    if text is None:
        return default
    value = number(text, "%")
    value = value / 100 if text.strip().endswith("%") else value
    if not 0 <= value < most:
        raise UsageError(f"{option} {text}: expected a share from 0 to below {most:.0%}, such as 3% or 0.03")
    return value


def decibels(text: str | None, option: str, default: float) -> float:
    """A number of decibels such as 3, 3dB or 0; the default where the option was not given.

    Raises:
        UsageError: if it is none, or below 0.
    """
    if text is None:
        return default
    value = number(text, "dB")
    if not 0 <= value < math.inf:
        raise UsageError(f"{option} {text}: expected decibels from 0 on, such as 3 or 3dB")
    return value


def number(text: str, unit: str) -> float:
    """A number with or without its unit; NaN where it is none."""
    try:
        return float(text.strip().removesuffix(unit))
    except ValueError:
        return math.nan


def case_globs(selection: Selection) -> tuple[str, ...]:
    """The case ids that a selection stands for, as globs; none where it chooses nothing.

    Stored results are chosen by the names that they were stored under, since the zoo may have changed.
    """
    if selection == type(selection)():
        return ()
    threads = [str(n) for n in selection.threads] if selection.threads else ["[0-9]*"]
    batches = [str(n) for n in selection.batch] if selection.batch else ["[0-9]*"]
    chosen = product(selection.models or ("*",), selection.variants or ("*",), selection.targets or ("*",))
    # Inter-op threads stand between the two where they are not one: `cpu-t2-i4-b1`.
    return tuple(
        f"{model}/{variant}/{target}-t{n}{inter}-b{batch}"
        for (model, variant, target), n, inter, batch in product(chosen, threads, ("", "-i[0-9]*"), batches)
    )


def seconds(text: str, option: str) -> float:
    """A duration such as 90, 90s, 10m or 1h.

    Raises:
        UsageError: if it is none, or not above zero.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    value = float(found[1]) * UNITS[found[2] or "s"] if found else 0.0
    if value <= 0:
        raise UsageError(f"{option} {text}: expected a duration above 0, such as 90s, 10m or 1h")
    return value


def numbers_of_pairs(text: str) -> tuple[int, int]:
    """Screening and confirming pairs, such as 8,20; a single number confirms, and screening keeps its proportion.

    Raises:
        UsageError: if there are too few for the rule to ever flag or confirm anything.
    """
    from harness.stats import ranks, rule

    found = options.counts(text, "--pairs", least=1) or ()
    if len(found) == 1:
        found = (max(rule.SCREEN_PAIRS, round(found[0] * rule.SCREEN_PAIRS / rule.CONFIRM_PAIRS)), found[0])
    if len(found) != 2:  # noqa: PLR2004  (to screen, and to confirm)
        raise UsageError(f"--pairs {text}: expected two numbers, such as {rule.SCREEN_PAIRS},{rule.CONFIRM_PAIRS}")
    for n, level, what in ((found[0], rule.SCREEN_P / 2, "screening"), (found[1], rule.FAMILY_ALPHA, "confirming")):
        if ranks.critical(n, level) is None:
            least = next(k for k in range(1, 100) if ranks.critical(k, level) is not None)
            raise UsageError(f"--pairs {text}: {n} {what} pairs can never be significant; give at least {least}")
    return found[0], found[1]
