"""`harness gate`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import gate_outputs, options
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.gate.nouns import Settings

EXIT_INCONCLUSIVE = 3

UNITS = {"s": 1, "m": 60, "h": 3600}

Slowdown = Annotated[
    str | None,
    typer.Option("--max-slowdown", metavar="3%", help="Allow this much.", show_default="any confirmed slow-down fails"),
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
    max_slowdown: Slowdown = None,
    time_limit: TimeLimit = None,
    pairs: Pairs = None,
    detect: Annotated[
        str | None,
        typer.Option("--detect", metavar="5%", help="A pass must have been able to see this much beyond the margin."),
    ] = None,
    remeasure_same: Annotated[
        bool, typer.Option("--remeasure-same", help="Also measure what is the same on both sides.")
    ] = False,
    zoo: options.Zoo = options.ZOO,
    results: options.Results = options.RESULTS,
    cache: options.CacheDir = None,
    markdown: gate_outputs.Markdown = None,
    junit: gate_outputs.Junit = None,
    as_json: gate_outputs.Json = None,
    annotations: gate_outputs.Annotations = False,
    allow_inconclusive: gate_outputs.AllowInconclusive = False,
    accept: gate_outputs.Accept = None,
    reason: gate_outputs.Reason = None,
    metric: gate_outputs.Metric = None,
    until: gate_outputs.Until = None,
    from_: gate_outputs.From = None,
) -> None:
    """Say whether head got slower or worse than base, and how sure that is.

    Exit codes: 0 pass, 1 regression, 2 usage, 3 inconclusive or nothing measured, 4 a case failed.

    Example: harness gate --base main --models resnet50 --max-slowdown 3%
    """
    outputs = gate_outputs.Outputs(
        markdown=markdown,
        junit=junit,
        json=as_json,
        annotations=annotations,
        allow_inconclusive=allow_inconclusive,
    )
    from harness.gate import accepted_file

    accepted = accepted_file.beside(zoo)
    root = options.cache_root(cache)
    if accept is not None and not history:
        report = gate_outputs.stored_report(from_, root, zoo)
        gate_outputs.accept(accept, reason=reason, zoo=zoo, report=report, metric=metric, until=until)
        return
    gate_outputs.check(outputs, accepted=accepted)
    settings = decided(max_slowdown, time_limit, pairs, detect, remeasure_same)
    if history:
        if base or head or base_runtime or head_runtime:
            raise UsageError("--history judges stored results against their own past: leave --base and --head away")
        from harness.gate import history as past

        report = past.judge(results, repo=zoo.absolute().parent, settings=settings)
        if accept is not None:
            gate_outputs.accept(accept, reason=reason, zoo=zoo, report=report, metric=metric, until=until)
            return
        raise typer.Exit(gate_outputs.deliver(report, outputs, accepted=accepted))
    from harness.plan import Selection

    selection = Selection(
        models=options.names(models),
        variants=options.names(variants),
        targets=options.names(targets),
        threads=options.counts(threads, "--threads", least=0),
        batch=options.counts(batch, "--batch", least=1),
    )
    from harness.cli.gate_console import GateConsole
    from harness.gate.gate import Request, keep
    from harness.gate.gate import gate as run_gate

    request = Request(
        zoo=zoo,
        results=results,
        cache=root,
        base=base,
        head=head,
        base_runtime=base_runtime,
        head_runtime=head_runtime,
        selection=selection,
        settings=settings,
    )
    with GateConsole(quiet_stdout=outputs.quiet_stdout) as console:
        try:
            report = run_gate(request, console)
        except KeyboardInterrupt:
            console.say("interrupted before anything was measured: there is no verdict")
            raise typer.Exit(EXIT_INCONCLUSIVE) from None
    try:
        code = gate_outputs.deliver(report, outputs, accepted=accepted, last=gate_outputs.last_report(root, zoo))
    finally:
        keep(report, results)  # after the verdict is out, so that a full disk costs the numbers alone
    raise typer.Exit(code)


def decided(
    max_slowdown: str | None, time_limit: str | None, pairs: str | None, detect: str | None, remeasure_same: bool
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
        max_slowdown=margin(max_slowdown),
        screen_pairs=screen,
        confirm_pairs=confirm,
        time_limit_s=None if time_limit is None else seconds(time_limit, "--time-limit"),
        detect=effect,
        remeasure_same=remeasure_same,
    )


def margin(text: str | None) -> float:
    """A share such as 3%; 0 is one as well."""
    if text is None or text in ("0", "0%", "0.0"):
        return 0.0
    return options.ratio(text, "--max-slowdown") or 0.0


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
