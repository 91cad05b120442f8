"""`harness gate`: its options, and how it decides."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from harness import bounds
from harness.cli import ending, gate_report, options
from harness.errors import UsageError
from harness.suggest import suggest

if TYPE_CHECKING:
    from harness.flow.plan import Selection
    from harness.gate.model import GateSettings


EXIT_INCONCLUSIVE = 3
JSON_FILE = "--json-file"


class GateCommand(TyperCommand):
    """`harness gate`, whose `--json` took a file once: it does so still, and says how that is written now."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read `--json FILE` as `--json-file FILE`; the verb has no arguments that a file could be."""
        return [*super().parse_args(ctx, renamed(args))]


def renamed(args: Sequence[str]) -> list[str]:
    """The words of the command line, with `--json FILE` as it is written now."""
    found = []
    for place, arg in enumerate(args):
        after = args[place + 1] if place + 1 < len(args) else ""
        with_file = arg == "--json" and (after == "-" or (after and not after.startswith("-")))
        if arg.startswith("--json=") or with_file:
            ending.say("--json FILE is --json-file FILE now; --json alone prints the report on standard output")
            found.append(JSON_FILE + arg.removeprefix("--json"))
        else:
            found.append(arg)
    return found


def gate(
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            metavar="SIDE",
            help="What to compare with: commit, zoo, case, .onnx.",
        ),
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
    base_python: Annotated[
        str | None, typer.Option("--base-python", metavar="PATH", help="This tree, on another interpreter.")
    ] = None,
    head_python: Annotated[
        str | None, typer.Option("--head-python", metavar="PATH", help="This tree, on another interpreter.")
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Judge the stored results against their own past; measures nothing.")
    ] = False,
    models: options.Models = None,
    variants: options.Variants = None,
    targets: options.Targets = None,
    threads: Threads = None,
    batch: Batch = None,
    scenarios: options.Scenarios = None,
    since: Since = None,
    max_slowdown: Slowdown = None,
    max_startup: Startup = None,
    max_memory: Memory = None,
    max_energy: Energy = None,
    max_size: Size = None,
    max_accuracy_drop: AccuracyDrop = None,
    max_fidelity_drop: FidelityDrop = None,
    time_limit: TimeLimit = None,
    pairs: Pairs = None,
    detect: Detect = None,
    metrics: Metrics = None,
    remeasure_same: Annotated[
        bool, typer.Option("--remeasure-same", help="Also measure what is the same on both sides.")
    ] = False,
    data: options.Data = None,
    inputs: options.Inputs = None,
    budget: options.BudgetText = None,
    zoo: options.Zoo = options.ZOO,
    results: options.Results = options.RESULTS,
    cache: options.CachePlace = None,
    scheduler: options.Scheduler = None,
    hosts: Hosts = None,
    tls_ca: options.TlsCa = None,
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    markdown: Markdown = None,
    junit: Junit = None,
    json_file: JsonFile = None,
    format_: options.Format = None,
    as_json: options.AsJson = False,
    annotations: Annotations = False,
    fail_on: FailOn = None,
    allow_inconclusive: AllowInconclusive = False,
    accept: Accept = None,
    reason: Reason = None,
    metric: Metric = None,
    until: Until = None,
    from_: From = None,
    budgets: Budgets = "base",
) -> None:
    """Say whether head got slower or worse than base, and how sure that is.

    Exit codes: 0 pass, 1 regression, 2 usage, 3 inconclusive or nothing measured, 4 a case failed.

    Example: harness gate --base main --models resnet50 --max-slowdown 3%
    """
    from harness.gate import accepted_changes
    from harness.gate.outputs import delivery

    outputs = delivery.ReportOutputs(
        markdown=markdown,
        junit=junit,
        json=json_file,
        format=options.chosen_format(format_, as_json=as_json),
        annotations=annotations,
        fail_on=delivery.failing(fail_on, allow_inconclusive=allow_inconclusive),
    )
    accepted = accepted_changes.beside(zoo)
    root, depot = options.cache_and_depot(cache)
    beside = {"--reason": reason, "--metric": metric, "--until": until, "--from": from_}
    if accept is None and (stray := [name for name, value in beside.items() if value is not None]):
        raise UsageError(f"{stray[0]} goes with --accept CASE")
    if accept is not None and not history:
        report = delivery.stored_report(from_, root, zoo)
        gate_report.write_accepted(accept, reason=reason, zoo=zoo, report=report, metric=metric, until=until)
        return
    delivery.check(outputs, accepted=accepted)
    settings = decided(
        max_slowdown=max_slowdown,
        max_startup=max_startup,
        max_memory=max_memory,
        max_energy=max_energy,
        max_size=max_size,
        max_accuracy_drop=max_accuracy_drop,
        max_fidelity_drop=max_fidelity_drop,
        time_limit=time_limit,
        pairs=pairs,
        detect=detect,
        metrics=metrics,
        remeasure_same=remeasure_same,
    )
    from harness.flow.plan import Selection

    selection = Selection(
        models=options.names(models),
        variants=options.names(variants),
        targets=options.names(targets),
        threads=options.counts(threads, "--threads", bounds.THREADS),
        batch=options.counts(batch, "--batch", bounds.BATCH),
        scenarios=options.scenarios(scenarios),
    )
    if history:
        if any((base, head, base_runtime, head_runtime, base_python, head_python)):
            raise UsageError("--history judges stored results against their own past: omit --base and --head")
        from harness.cli.wide import kept
        from harness.gate.history import judge as past

        chosen = case_globs(selection)
        with kept():
            report = past.judge(results, repo=zoo.absolute().parent, cases=chosen, since=since, settings=settings)
        if accept is not None:
            gate_report.write_accepted(accept, reason=reason, zoo=zoo, report=report, metric=metric, until=until)
            return
        raise typer.Exit(gate_report.deliver(report, outputs, accepted=accepted))
    if budgets not in ("base", "head"):
        raise UsageError(f"--budgets {budgets}: expected base or head, whose zoo says what may be lost")
    if since is not None:
        raise UsageError(f"--since {since} goes with --history; what to compare with is --base")
    from harness.cli.fleet import fleet_of_gate, gated_somewhere
    from harness.cli.gate_console import GateConsole
    from harness.gate.gate import GateRequest
    from harness.processes import OutOfTime

    request = GateRequest(
        zoo=zoo,
        results=results,
        cache=root,
        base=base,
        head=head,
        base_runtime=base_runtime,
        head_runtime=head_runtime,
        base_python=base_python,
        budgets_of_head=budgets == "head",
        head_python=head_python,
        selection=selection,
        settings=settings,
        refine=options.refinements({"--data": data, "--input": inputs, "--budget": budget}),
        outputs=outputs.files,
    )
    spec = fleet_of_gate(zoo, scheduler, (tls_ca, tls_cert, tls_key), hosts=hosts)
    with GateConsole(quiet_stdout=outputs.quiet_stdout) as console:
        try:
            report = gated_somewhere(request, console, spec, hosts=hosts, depot=depot)
        except KeyboardInterrupt:
            console.say("interrupted before anything was measured: there is no verdict")
            raise typer.Exit(EXIT_INCONCLUSIVE) from None
        except OutOfTime:
            console.say("the time limit was over before the sides were known: there is no verdict")
            raise typer.Exit(EXIT_INCONCLUSIVE if outputs.fail_on == "inconclusive" else 0) from None
    last = delivery.last_report(root, zoo)
    raise typer.Exit(
        gate_report.deliver(report, outputs, accepted=accepted, last=last, keep=lambda: delivery.keep(report, results))
    )


MOST = 10.0
"""The largest share that a margin of start-up, memory or size may be: eleven times as much."""

Slowdown = Annotated[
    str | None,
    typer.Option(
        "--max-slowdown", metavar="3%", help="Allow this much; 0 fails any confirmed slow-down.", show_default="1%"
    ),
]
Startup = Annotated[
    str | None,
    typer.Option("--max-startup", metavar="25%", help="Let first inference and session creation grow this much."),
]
Memory = Annotated[
    str | None, typer.Option("--max-memory", metavar="5%", help="Let the model's memory grow this much.")
]
Energy = Annotated[
    str | None, typer.Option("--max-energy", metavar="5%", help="Let the energy of an inference grow this much.")
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
Metrics = Annotated[
    str | None,
    typer.Option(
        "--metrics",
        metavar="NAMES",
        help="Only these fail the gate or leave it open, such as latency,accuracy; the others are for information.",
        show_default="all can fail it",
    ),
]
TimeLimit = Annotated[
    str | None,
    typer.Option("--time-limit", metavar="10m", help="End after it, building included, such as 90s or 1h."),
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
    max_energy: str | None = None,
    max_size: str | None = None,
    max_accuracy_drop: str | None = None,
    max_fidelity_drop: str | None = None,
    time_limit: str | None = None,
    pairs: str | None = None,
    detect: str | None = None,
    metrics: str | None = None,
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
        max_slowdown=options.margin(max_slowdown, "--max-slowdown", given.max_slowdown),
        max_startup=options.margin(max_startup, "--max-startup", given.max_startup, most=MOST),
        max_memory=options.margin(max_memory, "--max-memory", given.max_memory, most=MOST),
        max_energy=options.margin(max_energy, "--max-energy", given.max_energy, most=MOST),
        max_size=options.margin(max_size, "--max-size", given.max_size, most=MOST),
        max_accuracy_drop=options.margin(max_accuracy_drop, "--max-accuracy-drop", given.max_accuracy_drop),
        max_fidelity_drop=options.decibels(max_fidelity_drop, "--max-fidelity-drop", given.max_fidelity_drop),
        screen_pairs=screen,
        confirm_pairs=confirm,
        time_limit_s=None if time_limit is None else options.duration(time_limit, "--time-limit"),
        detect=effect,
        metrics=named_metrics(metrics),
        remeasure_same=remeasure_same,
    )


def named_metrics(text: str | None) -> tuple[str, ...]:
    """Names of findings, such as latency,size; none where the option was not given.

    Raises:
        UsageError: if no gate finds anything of such a name.
    """
    from harness.gate.model import METRIC_NAMES

    found = options.names(text)
    for one in found:
        if one not in METRIC_NAMES:
            raise UsageError(f"--metrics {text}: there is no {one!r}; {suggest(one, METRIC_NAMES)}")
    return found


def case_globs(selection: Selection) -> tuple[str, ...]:
    """The case ids that a selection stands for, as globs; none where it chooses nothing.

    Stored results are chosen by the names that they were stored under, since the zoo may have changed.
    """
    if selection == type(selection)():
        return ()
    from harness.records import case_id

    counts = [str(n) for n in selection.threads] if selection.threads else ["[0-9]*"]
    batches = [str(n) for n in selection.batch] if selection.batch else ["[0-9]*"]
    # Whatever the scenario where none is asked for: `-b1`, and `-b1-multi4`.
    arrivals = selection.scenarios if selection.scenarios is not None else ("", "*")
    chosen = product(selection.models or ("*",), selection.variants or ("*",), selection.targets or ("*",))
    # Inter-op threads stand between the two where they are not one: `cpu-t2-i4-b1`.
    inters: tuple[int | str, ...] = (1, "[0-9]*")
    return tuple(
        case_id.case_name(
            model, variant, case_id.target_label(target, case_id.threads(n, inter), f"{batch}-{how}" if how else batch)
        )
        for (model, variant, target), n, inter, batch, how in product(chosen, counts, inters, batches, arrivals)
    )


def numbers_of_pairs(text: str) -> tuple[int, int]:
    """Screening and confirming pairs, such as 8,20; a single number confirms, and screening keeps its proportion.

    Raises:
        UsageError: if there are too few for the rule to ever flag or confirm anything.
    """
    from harness.stats import ranks, rule, sequential

    found = options.counts(text, "--pairs", bounds.PAIRS) or ()
    if len(found) == 1:
        found = (max(rule.SCREEN_PAIRS, round(found[0] * rule.SCREEN_PAIRS / rule.CONFIRM_PAIRS)), found[0])
    if len(found) != 2:  # noqa: PLR2004  (to screen, and to confirm)
        raise UsageError(f"--pairs {text}: expected two numbers, such as {rule.SCREEN_PAIRS},{rule.CONFIRM_PAIRS}")
    last = rule.FAMILY_ALPHA * sequential.looks(found[1])[-1].share
    for n, level, what in ((found[0], rule.SCREEN_P / 2, "screening"), (found[1], last, "confirming")):
        if ranks.critical(n, level) is None:
            least = next(k for k in range(1, 100) if ranks.critical(k, level) is not None)
            raise UsageError(f"--pairs {text}: {n} {what} pairs can never be significant; give at least {least}")
    return found[0], found[1]


Hosts = Annotated[
    str | None,
    typer.Option(
        "--hosts",
        metavar="any|each",
        help="Of a fleet. each: every class of hosts has its own verdicts; any: the class with the most hosts alone.",
        show_default="each",
    ),
]
Markdown = Annotated[
    str | None, typer.Option("--markdown", metavar="FILE|-", help="Write a pull-request comment; - is standard output.")
]
Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML, one test per case.")]
JsonFile = Annotated[
    str | None,
    typer.Option(JSON_FILE, metavar="FILE", help="Write everything as JSON, every pair's numbers included."),
]
Annotations = Annotated[bool, typer.Option("--annotations", help="Print GitHub annotations of what got worse.")]
FailOn = Annotated[
    str | None,
    typer.Option(
        "--fail-on",
        metavar="WHAT",
        help="inconclusive: all but a pass; regression: inconclusive ends with 0, too; never: only warn.",
        show_default="inconclusive",
    ),
]
AllowInconclusive = Annotated[bool, typer.Option("--allow-inconclusive", help="The same as --fail-on regression.")]
Budgets = Annotated[
    str, typer.Option("--budgets", metavar="base|head", help="Whose zoo says what accuracy may be lost, and more.")
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
    typer.Option(
        "--from", metavar="FILE", help="The report (--json-file) to accept from.", show_default="the last gate's"
    ),
]
