"""The command line. Only this package prints or exits; every verb imports what it needs when it runs."""

from __future__ import annotations

import sys

import typer

from harness.cli import (
    artifacts,
    bisect,
    doctor,
    encoding,
    gate,
    history,
    imports,
    init,
    report,
    results,
    selftest,
    sweep,
)
from harness.errors import HarnessError, ZooError

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
"""As shells have it for a program that Ctrl-C ended."""

app = typer.Typer(
    name="harness",
    help="Benchmark ONNX Runtime builds of a model zoo: latency, accuracy cost, size and memory of every variant.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich help costs more to import than all the rest of `harness --help`
    epilog="Exit codes: 0 done, 2 bad usage or zoo, 4 a case failed, 130 interrupted.",
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
    """Run the command line; errors that were raised on purpose become a message and an exit code."""
    encoding.spell_out(sys.stdout, sys.stderr)
    try:
        app()
    except ZooError as error:
        mistakes = "1 mistake" if len(error.problems) == 1 else f"{len(error.problems)} mistakes"
        sys.stderr.write(f"harness: the zoo has {mistakes}\n" + "".join(f"  {p}\n" for p in error.problems))
        sys.exit(EXIT_USAGE)
    except HarnessError as error:
        sys.stderr.write(f"harness: {error}\n")
        sys.exit(EXIT_USAGE)
    except KeyboardInterrupt:
        sys.stderr.write("harness: interrupted\n")
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of a pipe (head, less) left: nothing is wrong, and there is nobody to tell.
        sys.stderr.close()
        sys.exit(0)
