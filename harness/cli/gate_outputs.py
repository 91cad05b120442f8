"""What `harness gate` does with a report: the options of its outputs, and handing the report over to all of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.errors import HarnessError, StoreError, UsageError
from harness.provenance import git

if TYPE_CHECKING:
    from harness.gate.nouns import Report

STDOUT = "-"

Markdown = Annotated[
    str | None, typer.Option("--markdown", metavar="FILE|-", help="Write a pull-request comment; - is standard output.")
]
Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML, one test per case.")]
Json = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE|-", help="Write everything as JSON, every pair's numbers included."),
]
Annotations = Annotated[bool, typer.Option("--annotations", help="Print GitHub annotations of what got worse.")]
AllowInconclusive = Annotated[
    bool, typer.Option("--allow-inconclusive", help="Exit with 0 where nobody can tell, instead of 3.")
]
Accept = Annotated[
    str | None,
    typer.Option("--accept", metavar="CASE", help="Accept the last gate's regression of a case; measures nothing."),
]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why it is accepted.")]
Metric = Annotated[
    str | None, typer.Option("--metric", metavar="NAME", help="Accept this metric only, such as latency.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="DAY", help="Accept until this day, such as 2026-12-31.")]
From = Annotated[
    Path | None,
    typer.Option("--from", metavar="FILE", help="The report (--json) to accept from.", show_default="the last gate's"),
]

SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What was asked for on the command line; `check` it before measuring, `deliver` to it afterwards."""

    markdown: str | None = None
    junit: Path | None = None
    json: str | None = None
    annotations: bool = False
    allow_inconclusive: bool = False

    @property
    def quiet_stdout(self) -> bool:
        """Whether standard output is one output's alone, so that everything else goes to standard error."""
        return STDOUT in (self.markdown, self.json)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that is written."""
        return tuple(path for _, path in _files(self))


def check(outputs: Outputs, *, accepted: Path | None = None) -> None:
    """Find out before minutes of measuring whether the files can be written, and the accepted changes read.

    Raises:
        UsageError: if two outputs want standard output, a file's folder does not exist, or the file of accepted
            changes is malformed.
    """
    from harness.gate import accepted_file

    if outputs.markdown == outputs.json == STDOUT:
        raise UsageError("--markdown - --json -: only one of them can have standard output; give the other a file")
    for option, path in _files(outputs):
        if path.is_dir():
            raise UsageError(f"{option} {path}: is a folder; give a file")
        if not path.parent.is_dir():
            raise UsageError(f"{option} {path}: there is no folder {path.parent}; make it first")
    if accepted is not None:
        accepted_file.read(accepted)


def deliver(
    report: Report,
    outputs: Outputs,
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
        accepted: the file of accepted changes (`harness.gate.accepted_file.beside`); it may be missing.
        last: where to keep the report for `--accept` (`last_report`).
        keep: stores the numbers; called last, so that a full disk costs them alone and not the verdict.

    Returns:
        The exit code.

    Raises:
        UsageError: if the file of accepted changes is malformed; everything else has been written.
        StoreError: if a file cannot be written; every other one has been.
    """
    from harness.cli.console import Console
    from harness.gate.nouns import exit_code
    from harness.gate.outputs import annotations, as_json, console, junit, markdown

    errors: list[HarnessError] = []
    judged = report
    try:
        judged = _with_accepted(report, accepted)
    except UsageError as error:
        errors.append(error)
    code = exit_code(judged, allow_inconclusive=outputs.allow_inconclusive)
    console.show(judged, Console(quiet_stdout=outputs.quiet_stdout).out)
    texts: list[tuple[str | Path | None, Callable[[], str]]] = [
        (outputs.markdown, lambda: markdown.render(judged)),
        (outputs.junit, lambda: junit.render(judged)),
        (outputs.json, lambda: as_json.render(judged, allow_inconclusive=outputs.allow_inconclusive)),
    ]
    for target, text in texts:
        if target is not None:
            _write(target, text(), errors)
    summary = os.environ.get(SUMMARY_VARIABLE)
    if summary:
        _append(Path(summary), markdown.render(judged), errors)
    if last is not None:
        _keep(last, as_json.render(report))
    if outputs.annotations:
        (sys.stderr if outputs.quiet_stdout else sys.stdout).write(annotations.render(judged))
    _attempt(keep, errors)
    if errors:
        for each in errors[:-1]:
            sys.stderr.write(f"harness: {each}\n")
        raise errors[-1]
    return code


def accept(
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
    from harness.gate import accepted, accepted_file

    if not reason or not reason.strip():
        raise UsageError(f'--accept {case}: say why with --reason "...": whoever reads the file later will ask')
    path = accepted_file.beside(zoo)
    new = accepted.entries(
        report,
        case,
        metric=metric,
        reason=" ".join(reason.split()),
        who=accepted_file.author(zoo.parent),
        when=accepted_file.today(),
        until=until,
    )
    # Read back as the next gate will: a day that is none must not get into the file.
    accepted_file.parse(accepted_file.render(new), path)
    accepted_file.add(path, new)
    for entry in new:
        sys.stdout.write(f"accepted {entry.case}, {entry.metric}: {entry.finding}\n")
    sys.stdout.write(f"written to {path}; commit it with the change\n")
    return path


def last_report(cache: Path, zoo: Path) -> Path:
    """Where the last gate of this zoo is kept, so that `--accept` needs no file."""
    import hashlib

    top = git(zoo.parent, "rev-parse", "--show-toplevel") or str(zoo.parent.resolve())
    return cache / "gate" / f"last-{hashlib.sha256(top.encode()).hexdigest()[:16]}.json"


def stored_report(given: Path | None, cache: Path, zoo: Path) -> Report:
    """The report to accept from: the file that was given, else the last gate's.

    Raises:
        UsageError: if there was no gate yet.
        StoreError: if the file cannot be read.
    """
    from harness.gate.outputs import as_json

    path = given or last_report(cache, zoo)
    if given is None and not path.exists():
        raise UsageError("--accept: no gate has run here yet; run it first, or give its report with --from FILE")
    return as_json.load(path)


def _with_accepted(report: Report, path: Path | None) -> Report:
    from harness.gate import accepted, accepted_file

    if path is None:
        return report
    entries = accepted_file.read(path)
    contains = accepted_file.contains_in(path.parent)
    return accepted.apply(report, entries, contains=contains, today=accepted_file.today())


def _files(outputs: Outputs) -> list[tuple[str, Path]]:
    given: list[tuple[str, str | Path | None]] = [
        ("--markdown", outputs.markdown),
        ("--junit", outputs.junit),
        ("--json", outputs.json),
    ]
    return [(option, Path(value)) for option, value in given if value is not None and value != STDOUT]


def _attempt(keep: Callable[[], object], errors: list[HarnessError]) -> None:
    try:
        keep()
    except StoreError as error:
        errors.append(error)


def _write(target: str | Path, text: str, errors: list[HarnessError]) -> None:
    from harness.store import files

    if target == STDOUT:
        sys.stdout.write(text)
        return
    path, data = Path(target), text.encode("utf-8", errors="replace")
    try:
        if path.exists() and not path.is_file():
            # A pipe or /dev/stderr: it is written to, never replaced.
            with files.guarded("write", path):
                path.write_bytes(data)
        else:
            files.write(path, data)
    except StoreError as error:
        errors.append(error)


def _keep(path: Path, text: str) -> None:
    """Keep the report for `--accept`; where that cannot be, the gate's verdict is not the worse for it."""
    from harness.store import files

    try:
        with files.Lock.wait(path.with_suffix(".lock")):
            files.write(path, text.encode("utf-8", errors="replace"))
    except StoreError as error:
        sys.stderr.write(f"harness: --accept will need --from: {error}\n")


def _append(path: Path, text: str, errors: list[HarnessError]) -> None:
    """Add to the job's summary; other steps have written there before."""
    try:
        with path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(text + "\n")
    except OSError as error:
        errors.append(StoreError(f"Cannot write ${SUMMARY_VARIABLE} ({path}): {error.strerror}."))
