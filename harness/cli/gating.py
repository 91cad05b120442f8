"""`harness gate`."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli import gate_outputs, gate_settings, options
from harness.errors import UsageError

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
    threads: gate_settings.Threads = None,
    batch: gate_settings.Batch = None,
    since: gate_settings.Since = None,
    max_slowdown: gate_settings.Slowdown = None,
    max_startup: gate_settings.Startup = None,
    max_memory: gate_settings.Memory = None,
    max_size: gate_settings.Size = None,
    max_accuracy_drop: gate_settings.AccuracyDrop = None,
    max_fidelity_drop: gate_settings.FidelityDrop = None,
    time_limit: gate_settings.TimeLimit = None,
    pairs: gate_settings.Pairs = None,
    detect: gate_settings.Detect = None,
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
    beside = {"--reason": reason, "--metric": metric, "--until": until, "--from": from_}
    if accept is None and (stray := [name for name, value in beside.items() if value is not None]):
        raise UsageError(f"{stray[0]} goes with --accept CASE")
    if accept is not None and not history:
        report = gate_outputs.stored_report(from_, root, zoo)
        gate_outputs.accept(accept, reason=reason, zoo=zoo, report=report, metric=metric, until=until)
        return
    gate_outputs.check(outputs, accepted=accepted)
    settings = gate_settings.decided(
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
    from harness.plan import Selection

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
        from harness.gate import history as past

        chosen = gate_settings.case_globs(selection)
        report = past.judge(results, repo=zoo.absolute().parent, cases=chosen, since=since, settings=settings)
        if accept is not None:
            gate_outputs.accept(accept, reason=reason, zoo=zoo, report=report, metric=metric, until=until)
            return
        raise typer.Exit(gate_outputs.deliver(report, outputs, accepted=accepted))
    if since is not None:
        raise UsageError(f"--since {since} goes with --history; what to compare with is --base")
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
        outputs=outputs.files,
    )
    with GateConsole(quiet_stdout=outputs.quiet_stdout) as console:
        try:
            report = run_gate(request, console)
        except KeyboardInterrupt:
            console.say("interrupted before anything was measured: there is no verdict")
            raise typer.Exit(EXIT_INCONCLUSIVE) from None
    last = gate_outputs.last_report(root, zoo)
    raise typer.Exit(
        gate_outputs.deliver(report, outputs, accepted=accepted, last=last, keep=lambda: keep(report, results))
    )
