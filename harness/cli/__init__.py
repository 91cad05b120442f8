"""The command line. Only this package prints or exits; every verb imports what it needs when it runs."""

from __future__ import annotations

import typer

from harness.cli import (
    artifacts,
    bisect,
    doctor,
    ending,
    gate,
    history,
    imports,
    init,
    report,
    results,
    selftest,
    sweep,
)

app = typer.Typer(
    name="harness",
    help="Benchmark ONNX Runtime builds of a model zoo: latency, accuracy cost, size and memory of every variant.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich help costs more to import than all the rest of `harness --help`
    epilog="Exit codes: 0 done, 2 bad usage or zoo, 4 a case failed, 70 internal error, 130 interrupted.",
)
app.command("sweep")(sweep.sweep)
app.command("list")(results.list_)
app.command("build")(artifacts.build)
app.command("inspect")(artifacts.inspect)
app.command("results")(results.results)
app.command("history")(history.history)
app.command("import")(imports.import_)
app.command("gate")(gate.gate)
app.command("selftest")(selftest.selftest)
app.command("bisect")(bisect.bisect)
app.command("report", cls=report.Command)(report.report)
app.command("serve", cls=report.Command)(report.serve)
app.command("plot", cls=report.Command)(report.plot)
app.command("doctor")(doctor.doctor)
app.command("cache")(artifacts.cache)
app.command("init")(init.init)


def main() -> None:
    """Run the command line; whatever is raised becomes a message and an exit code."""
    ending.run(app)
