"""Where a report goes: the files that were asked for, the job's summary, and the copy that `--accept` reads.

Nothing here prints; what belongs on standard output is returned.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness import git, provenance
from harness.errors import HarnessError, StoreError, UsageError
from harness.gate import accepted_changes
from harness.gate.model import FAIL_ON, Report, exit_code
from harness.gate.outputs import as_csv, as_json, junit, markdown
from harness.store import files
from harness.suggest import suggest

STDOUT = "-"
JSON_FILE = "--json-file"

FOLDER = "gates"
"""Below the results folder: every gate as JSON, with every pair's numbers."""

SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOutputs:
    """What was asked for on the command line; `check` it before measuring, `write` to it afterwards.

    Attributes:
        fail_on: a key of `harness.gate.model.FAIL_ON`.
    """

    markdown: str | None = None
    junit: Path | None = None
    json: str | None = None
    format: str = "table"
    annotations: bool = False
    fail_on: str = "inconclusive"

    @property
    def quiet_stdout(self) -> bool:
        """Whether standard output is one output's alone, so that everything else goes to standard error."""
        return self.format != "table" or STDOUT in (self.markdown, self.json)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that is written."""
        return tuple(path for _, path in _files(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What came of writing a report.

    Attributes:
        stdout: the text that standard output was asked to carry; else empty.
        errors: of the outputs that could not be written.
    """

    stdout: str
    errors: tuple[HarnessError, ...]


def check(outputs: ReportOutputs, *, accepted: Path | None = None) -> None:
    """Find out before minutes of measuring whether the files can be written, and the accepted changes read.

    Raises:
        UsageError: if two outputs want standard output, a file's folder does not exist, or the file of accepted
            changes is malformed.
    """
    wanted = [f"{name} -" for name, to in (("--markdown", outputs.markdown), (JSON_FILE, outputs.json)) if to == STDOUT]
    wanted += [f"--format {outputs.format}"] if outputs.format != "table" else []
    if len(wanted) > 1:
        raise UsageError(f"{' '.join(wanted)}: only one of them can have standard output; give the other a file")
    for option, path in _files(outputs):
        if path.is_dir():
            raise UsageError(f"{option} {path}: is a folder; give a file")
        if not path.parent.is_dir():
            raise UsageError(f"{option} {path}: there is no folder {path.parent}; make it first")
    if accepted is not None:
        accepted_changes.read(accepted)


def failing(fail_on: str | None, *, allow_inconclusive: bool = False) -> str:
    """What fails the gate: a key of `harness.gate.model.FAIL_ON`.

    Raises:
        UsageError: if there is no such policy, or two options ask for different ones.
    """
    if fail_on is not None and fail_on not in FAIL_ON:
        raise UsageError(f"--fail-on {fail_on}: {suggest(fail_on, FAIL_ON)}")
    if allow_inconclusive and fail_on not in (None, "regression"):
        raise UsageError(f"--allow-inconclusive is --fail-on regression, and --fail-on {fail_on} was given: omit one")
    return fail_on or ("regression" if allow_inconclusive else "inconclusive")


def forgiven(report: Report, fail_on: str) -> Report:
    """The report with a note where its exit code is 0 only because nothing more was to fail."""
    code = exit_code(report)
    if code == exit_code(report, fail_on=fail_on):
        return report
    note = f"exit code 0 instead of {code}, since --fail-on {fail_on} was given"
    return dataclasses.replace(report, notes=(note, *report.notes))


def with_accepted(report: Report, path: Path | None) -> Report:
    """The report with what the file of accepted changes says; the file may be missing.

    Raises:
        UsageError: if it is malformed.
    """
    if path is None:
        return report
    entries = accepted_changes.read(path)
    contains = accepted_changes.contains_in(path.parent)
    return accepted_changes.apply(report, entries, contains=contains, today=accepted_changes.today())


def write(report: Report, outputs: ReportOutputs, *, summary: str | None = None) -> Written:
    """Write the report into every file that was asked for; one that fails keeps no other from being written.

    Args:
        report: as it is shown.
        outputs: where to.
        summary: the job's summary, which is appended to.
    """
    texts: list[tuple[str | Path | None, Callable[[], str]]] = [
        (outputs.markdown, lambda: markdown.render(report)),
        (outputs.junit, lambda: junit.render(report)),
        (outputs.json, lambda: as_json.render(report, fail_on=outputs.fail_on)),
        (STDOUT if outputs.format == "markdown" else None, lambda: markdown.render(report)),
        (STDOUT if outputs.format == "csv" else None, lambda: as_csv.render(report)),
        (
            STDOUT if outputs.format == "json" else None,
            lambda: as_json.render(report, fail_on=outputs.fail_on),
        ),
    ]
    stdout = "".join(text() for target, text in texts if target == STDOUT)
    steps = [partial(_write, Path(to), text()) for to, text in texts if to is not None and to != STDOUT]
    if summary:
        steps.append(partial(append, Path(summary), markdown.render(report)))
    errors = [error for step in steps if (error := attempt(step)) is not None]
    return Written(stdout=stdout, errors=tuple(errors))


def attempt(step: Callable[[], object]) -> HarnessError | None:
    """Do something that may find a disk full; its error, if there is one."""
    try:
        step()
    except StoreError as error:
        return error
    return None


def keep(report: Report, results: Path) -> Path:
    """Write the whole report under the results folder, in a file of its own; what the person sees must not wait for it.

    Raises:
        StoreError: if it cannot be written.
    """
    target = results / FOLDER / f"{provenance.run_id()}.json"
    files.write(target, as_json.render(report).encode())
    return target


def last_report(cache: Path, zoo: Path) -> Path:
    """Where the last gate of this zoo is kept, so that `--accept` needs no file."""
    top = str(git.top_of(zoo.parent) or zoo.parent.resolve())
    return cache / "gate" / f"last-{hashlib.sha256(top.encode()).hexdigest()[:16]}.json"


def keep_last(report: Report, path: Path) -> str:
    """Keep a report for `--accept`; where that cannot be, why, and the gate's verdict is not the worse for it."""
    text = as_json.render(report)
    try:
        with files.Lock.wait(path.with_suffix(".lock")):
            files.write(path, text.encode("utf-8", errors="replace"))
    except StoreError as error:
        return f"--accept will need --from: {error}"
    return ""


def stored_report(given: Path | None, cache: Path, zoo: Path) -> Report:
    """The report to accept from: the file that was given, else the last gate's.

    Raises:
        UsageError: if there was no gate yet.
        StoreError: if the file cannot be read.
    """
    path = given or last_report(cache, zoo)
    if given is None and not path.exists():
        raise UsageError("--accept: no gate has run here yet; run it first, or give its report with --from FILE")
    return as_json.load(path)


def _files(outputs: ReportOutputs) -> list[tuple[str, Path]]:
    given: list[tuple[str, str | Path | None]] = [
        ("--markdown", outputs.markdown),
        ("--junit", outputs.junit),
        (JSON_FILE, outputs.json),
    ]
    return [(option, Path(value)) for option, value in given if value is not None and value != STDOUT]


def _write(path: Path, text: str) -> None:
    data = text.encode("utf-8", errors="replace")
    if path.exists() and not path.is_file():
        # A pipe or /dev/stderr: it is written to, never replaced.
        with files.guarded("write", path):
            path.write_bytes(data)
    else:
        files.write(path, data)


def append(path: Path, text: str) -> None:
    """Add to the job's summary; other steps have written there before."""
    try:
        with path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(text + "\n")
    except OSError as error:
        raise StoreError(f"Cannot write ${SUMMARY_VARIABLE} ({path}): {error.strerror}.") from error
