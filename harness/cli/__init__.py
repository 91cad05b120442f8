"""The command line. Only this package prints or exits; every verb imports what it needs when it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

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
    runtimes,
    selftest,
    sweep,
)

VERBS: dict[str, Callable[..., None]] = {
    "sweep": sweep.sweep,
    "list": results.list_,
    "build": artifacts.build,
    "inspect": artifacts.inspect,
    "results": results.results,
    "history": history.history,
    "import": imports.import_,
    "gate": gate.gate,
    "selftest": selftest.selftest,
    "bisect": bisect.bisect,
    "report": report.report,
    "serve": report.serve,
    "plot": report.plot,
    "doctor": doctor.doctor,
    "cache": artifacts.cache,
    "runtimes": runtimes.runtimes,
    "init": init.init,
}
OF_PAIRS = ("report", "serve", "plot")
"""Verbs with `--compare`."""


def program(verbs: Iterable[str] = VERBS) -> typer.Typer:
    """The command line with these verbs: typer reads the options of all that it is given, whichever is called."""
    made = typer.Typer(
        name="harness",
        help="Benchmark ONNX Runtime builds of a model zoo: latency, accuracy cost, size and memory of every variant.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # rich help costs more to import than all the rest of `harness --help`
        epilog="Exit codes: 0 done, 2 bad usage or zoo, 4 a case failed, 70 internal error, 130 interrupted.",
    )
    made.callback()(lambda: None)  # without one, typer takes a program of one verb for that verb
    for verb in verbs:
        made.command(verb, cls=report.Command if verb in OF_PAIRS else None)(VERBS[verb])
    return made


app = program()


def main() -> None:
    """Run the command line; whatever is raised becomes a message and an exit code."""
    ending.run(program([verb for verb in sys.argv[1:2] if verb in VERBS] or VERBS))
