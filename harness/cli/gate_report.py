"""What a gate does with its report: it is printed, written where it was asked for, and its regressions are accepted."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli import ending
from harness.cli.loudness import Loudness
from harness.errors import HarnessError, UsageError
from harness.shown import terminal

if TYPE_CHECKING:
    from harness.gate.model import Report
    from harness.gate.outputs.delivery import ReportOutputs


def deliver(
    report: Report,
    outputs: ReportOutputs,
    *,
    accepted: Path | None = None,
    last: Path | None = None,
    keep: Callable[[], object] = lambda: None,
) -> int:
    """Print and write the report everywhere it was asked for.

    One output that fails keeps no other from being written.

    Args:
        report: as it was judged.
        outputs: where to.
        accepted: the file of accepted changes (`harness.gate.accepted_changes.beside`); it may be missing.
        last: where to keep the report for `--accept` (`delivery.last_report`).
        keep: stores the numbers; called last, so that a full disk costs them alone and not the verdict.

    Returns:
        The exit code.

    Raises:
        UsageError: if the file of accepted changes is malformed; everything else has been written.
        StoreError: if a file cannot be written; every other one has been.
    """
    from harness.cli.console import Console
    from harness.gate.model import exit_code
    from harness.gate.outputs import annotations, console, delivery

    errors: list[HarnessError] = []
    shown = report
    try:
        shown = delivery.with_accepted(report, accepted)
    except UsageError as error:
        errors.append(error)
    shown = delivery.forgiven(shown, outputs.fail_on)
    screen = Console(quiet_stdout=outputs.quiet_stdout)
    console.show(shown, screen.out, every=screen.loudness is Loudness.VERBOSE)
    written = delivery.write(shown, outputs, summary=os.environ.get(delivery.SUMMARY_VARIABLE))
    sys.stdout.write(written.stdout)
    errors += written.errors
    if last is not None and (why := delivery.keep_last(report, last)):
        ending.say(why)
    if outputs.annotations:
        (sys.stderr if outputs.quiet_stdout else sys.stdout).write(
            annotations.render(shown, warn_only=outputs.fail_on == "never")
        )
    if (failure := delivery.attempt(keep)) is not None:
        errors.append(failure)
    if errors:
        for each in errors[:-1]:
            ending.say(str(each))
        raise errors[-1]
    return exit_code(shown, fail_on=outputs.fail_on)


def write_accepted(
    case: str,
    *,
    reason: str | None,
    zoo: Path,
    report: Report,
    metric: str | None = None,
    until: str | None = None,
) -> Path:
    """Write down that a regression is accepted, and say so.

    Args:
        case: its name, as the report has it.
        reason: why; without one nothing is accepted.
        zoo: the file of accepted changes stands beside it.
        report: the gate, or the history, that found the regression.
        metric: only this one's.
        until: the last day on which the entry applies.

    Returns:
        The file.

    Raises:
        UsageError: if there is nothing to accept, no reason, or the file is malformed.
        StoreError: if the file cannot be written.
    """
    from harness.gate import accepted_changes

    if not reason or not reason.strip():
        raise UsageError(f'--accept {case}: say why with --reason "...": whoever reads the file later will ask')
    path = accepted_changes.beside(zoo)
    new = accepted_changes.entries(
        report,
        case,
        metric=metric,
        reason=" ".join(reason.split()),
        who=accepted_changes.author(zoo.parent),
        when=accepted_changes.today(),
        until=until,
    )
    # Read back as the next gate will: a day that is not one must not get into the file.
    accepted_changes.parse(accepted_changes.render(new), path)
    accepted_changes.add(path, new)
    for entry in new:
        sys.stdout.write(terminal(f"accepted {entry.case}, {entry.metric}: {entry.finding}") + "\n")
    sys.stdout.write(terminal(f"written to {path}; commit it with the change") + "\n")
    return path
