"""`harness gate`: its options, how it decides, and where its report goes."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.errors import HarnessError, StoreError, UsageError
from harness.provenance import git
from harness.records import case_id

if TYPE_CHECKING:
    from harness.flow.plan import Selection
    from harness.gate.model import GateSettings, Report


EXIT_INCONCLUSIVE = 3


def gate(
    base: Annotated[
        str | None,
        typer.Option("--base", metavar="SIDE", help="What to compare with: commit, interpreter, runtime, zoo or case."),
    ] = None,
    head: Annotated[
        str | None, typer.Option("--head", metavar="SIDE", help="What to judge.", show_default="the working tree")
    ] = None,
    base_runtime: Annotated[
        str | None, typer.Option("--base-runtime", metavar="SPEC", help="Such as onnxruntime==1.22.1.")
    ] = None,
    head_runtime: Annotated[
        str | None, typer.Option("--head-runtime", metavar="SPEC", help="Such as onnxruntime==1.23.0.")
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Judge the stored results against their own past; measures nothing.")
    ] = False,
    models: options.Models = None,
    variants: options.Variants = None,
    targets: options.Targets = None,
    threads: Threads = None,
    batch: Batch = None,
    since: Since = None,
    max_slowdown: Slowdown = None,
    max_startup: Startup = None,
    max_memory: Memory = None,
    max_size: Size = None,
    max_accuracy_drop: AccuracyDrop = None,
    max_fidelity_drop: FidelityDrop = None,
    time_limit: TimeLimit = None,
    pairs: Pairs = None,
    detect: Detect = None,
    remeasure_same: Annotated[
        bool, typer.Option("--remeasure-same", help="Also measure what is the same on both sides.")
    ] = False,
    zoo: options.Zoo = options.ZOO,
    results: options.Results = options.RESULTS,
    cache: options.CacheDir = None,
    markdown: Markdown = None,
    junit: Junit = None,
    as_json: Json = None,
    annotations: Annotations = False,
    allow_inconclusive: AllowInconclusive = False,
    accept: Accept = None,
    reason: Reason = None,
    metric: Metric = None,
    until: Until = None,
    from_: From = None,
) -> None:
    """Say whether head got slower or worse than base, and how sure that is.

    Exit codes: 0 pass, 1 regression, 2 usage, 3 inconclusive or nothing measured, 4 a case failed.

    Example: harness gate --base main --models resnet50 --max-slowdown 3%
    """
    outputs = ReportOutputs(
        markdown=markdown,
        junit=junit,
        json=as_json,
        annotations=annotations,
        allow_inconclusive=allow_inconclusive,
    )

    from harness.gate import accepted_changes

    accepted = accepted_changes.beside(zoo)
    root = options.cache_root(cache)
    beside = {"--reason": reason, "--metric": metric, "--until": until, "--from": from_}
    if accept is None and (stray := [name for name, value in beside.items() if value is not None]):
        raise UsageError(f"{stray[0]} goes with --accept CASE")
    if accept is not None and not history:
        report = stored_report(from_, root, zoo)
        write_accepted(accept, reason=reason, zoo=zoo, report=report, metric=metric, until=until)
        return
    check(outputs, accepted=accepted)
    settings = decided(
        max_slowdown=max_slowdown,
        max_startup=max_startup,
        max_memory=max_memory,
        max_size=max_size,
        max_accuracy_drop=max_accuracy_drop,
        max_fidelity_drop=max_fidelity_drop,
        time_limit=time_limit,
        pairs=pairs,
        detect=detect,
        remeasure_same=remeasure_same,
    )
    from harness.flow.plan import Selection

    selection = Selection(
        models=options.names(models),
        variants=options.names(variants),
        targets=options.names(targets),
        threads=options.counts(threads, "--threads", least=0),
        batch=options.counts(batch, "--batch", least=1),
    )
    if history:
        if base or head or base_runtime or head_runtime:
            raise UsageError("--history judges stored results against their own past: leave --base and --head away")
        from harness.gate.history import judge as past

        chosen = case_globs(selection)
        report = past.judge(results, repo=zoo.absolute().parent, cases=chosen, since=since, settings=settings)
        if accept is not None:
            write_accepted(accept, reason=reason, zoo=zoo, report=report, metric=metric, until=until)
            return
        raise typer.Exit(deliver(report, outputs, accepted=accepted))
    if since is not None:
        raise UsageError(f"--since {since} goes with --history; what to compare with is --base")
    from harness.cli.gate_console import GateConsole
    from harness.gate.gate import GateRequest, keep
    from harness.gate.gate import gate as run_gate

    request = GateRequest(
        zoo=zoo,
        results=results,
        cache=root,
        base=base,
        head=head,
        base_runtime=base_runtime,
        head_runtime=head_runtime,
        selection=selection,
        settings=settings,
        outputs=outputs.files,
    )
    with GateConsole(quiet_stdout=outputs.quiet_stdout) as console:
        try:
            report = run_gate(request, console)
        except KeyboardInterrupt:
            console.say("interrupted before anything was measured: there is no verdict")
            raise typer.Exit(EXIT_INCONCLUSIVE) from None
    last = last_report(root, zoo)
    raise typer.Exit(deliver(report, outputs, accepted=accepted, last=last, keep=lambda: keep(report, results)))


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
) -> GateSettings:
    """How a gate decides, from the command line.

    Raises:
        UsageError: if a value makes no sense.
    """
    from harness.gate.model import GateSettings
    from harness.stats import rule

    given = GateSettings()
    screen, confirm = numbers_of_pairs(pairs) if pairs is not None else (given.screen_pairs, given.confirm_pairs)
    effect = given.detect if detect is None else options.ratio(detect, "--detect") or given.detect
    if effect <= rule.MIN_EFFECT:
        raise UsageError(f"--detect {detect}: changes up to {rule.MIN_EFFECT:.0%} are never flagged; ask for more")
    return GateSettings(
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
    counts = [str(n) for n in selection.threads] if selection.threads else ["[0-9]*"]
    batches = [str(n) for n in selection.batch] if selection.batch else ["[0-9]*"]
    chosen = product(selection.models or ("*",), selection.variants or ("*",), selection.targets or ("*",))
    # Inter-op threads stand between the two where they are not one: `cpu-t2-i4-b1`.
    inters: tuple[int | str, ...] = (1, "[0-9]*")
    return tuple(
        case_id.case_name(model, variant, case_id.target_label(target, case_id.threads(n, inter), batch))
        for (model, variant, target), n, inter, batch in product(chosen, counts, inters, batches)
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
    bool, typer.Option("--allow-inconclusive", help="Exit with 0 where the answer is inconclusive, instead of 3.")
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
class ReportOutputs:
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


def check(outputs: ReportOutputs, *, accepted: Path | None = None) -> None:
    """Find out before minutes of measuring whether the files can be written, and the accepted changes read.

    Raises:
        UsageError: if two outputs want standard output, a file's folder does not exist, or the file of accepted
            changes is malformed.
    """
    from harness.gate import accepted_changes

    if outputs.markdown == outputs.json == STDOUT:
        raise UsageError("--markdown - --json -: only one of them can have standard output; give the other a file")
    for option, path in _files(outputs):
        if path.is_dir():
            raise UsageError(f"{option} {path}: is a folder; give a file")
        if not path.parent.is_dir():
            raise UsageError(f"{option} {path}: there is no folder {path.parent}; make it first")
    if accepted is not None:
        accepted_changes.read(accepted)


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
        last: where to keep the report for `--accept` (`last_report`).
        keep: stores the numbers; called last, so that a full disk costs them alone and not the verdict.

    Returns:
        The exit code.

    Raises:
        UsageError: if the file of accepted changes is malformed; everything else has been written.
        StoreError: if a file cannot be written; every other one has been.
    """
    from harness.cli.console import Console
    from harness.gate.model import exit_code
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
    # Read back as the next gate will: a day that is none must not get into the file.
    accepted_changes.parse(accepted_changes.render(new), path)
    accepted_changes.add(path, new)
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

    from harness.gate import accepted_changes

    if path is None:
        return report
    entries = accepted_changes.read(path)
    contains = accepted_changes.contains_in(path.parent)
    return accepted_changes.apply(report, entries, contains=contains, today=accepted_changes.today())


def _files(outputs: ReportOutputs) -> list[tuple[str, Path]]:
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
