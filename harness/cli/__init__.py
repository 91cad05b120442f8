"""The command line. Only this package prints or exits; every verb imports what it needs when it runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import typer

import harness
from harness.cli import (
    artifacts,
    bisect,
    compare,
    configuration,
    doctor,
    ending,
    examples,
    explain,
    export,
    fleet,
    gate,
    history,
    imports,
    init,
    loudness,
    predict,
    report,
    results,
    runtimes,
    selftest,
    sweep,
    tune,
    view,
)

VERBS: dict[str, Callable[..., None]] = {
    "sweep": sweep.sweep,
    "list": results.list_,
    "build": artifacts.build,
    "inspect": artifacts.inspect,
    "results": results.results,
    "examples": examples.examples,
    "history": history.history,
    "compare": compare.compare,
    "import": imports.import_,
    "gate": gate.gate,
    "selftest": selftest.selftest,
    "bisect": bisect.bisect,
    "view": view.view,
    "tune": tune.tune,
    "report": report.report,
    "serve": report.serve,
    "plot": report.plot,
    "explain": explain.explain,
    "predict": predict.predict,
    "export": export.export,
    "doctor": doctor.doctor,
    "cache": artifacts.cache,
    "runtimes": runtimes.runtimes,
    "fleet": fleet.fleet,
    "init": init.init,
}
CLASSES = {"gate": gate.GateCommand}
"""Verbs that read their words in a way of their own."""

OF_PAIRS = ("report", "serve", "plot")
"""Verbs with `--compare`."""


def program(verbs: Iterable[str] = VERBS, defaults: Mapping[str, Any] | None = None) -> typer.Typer:
    """The command line with these verbs: typer reads the options of all that it is given, whichever is called.

    Args:
        verbs: their names.
        defaults: verb -> parameter -> value, see `harness.cli.configuration`.
    """
    made = typer.Typer(
        name="harness",
        help="Benchmark ONNX Runtime builds of a model zoo: latency, accuracy cost, size and memory of every variant.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "default_map": defaults or {}},
        rich_markup_mode=None,  # rich help costs more to import than all the rest of `harness --help`
        epilog="Exit codes: 0 done, 2 bad usage or zoo, 4 a case failed, 70 internal error, 130 interrupted.",
    )
    made.callback()(_before_the_verb)  # without one, typer takes a program of one verb for that verb
    for verb in verbs:
        made.command(verb, cls=report.Command if verb in OF_PAIRS else CLASSES.get(verb))(loudness.heard(VERBS[verb]))
    return made


def _version(asked: bool) -> None:
    """Print it where it was asked for, before a verb is missed."""
    if asked:
        ending.out(f"harness {harness.__version__}")
        raise typer.Exit


def _before_the_verb(
    version: Annotated[  # noqa: ARG001  (its callback has answered)
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
    quiet: loudness.Quiet = False,
    verbose: loudness.Verbose = False,
) -> None:
    loudness.choose(quiet=quiet, verbose=verbose)


app = program()


def main() -> None:
    """Run the command line; whatever is raised becomes a message and an exit code."""
    loudness.start()
    ending.run(_run)


def _run() -> None:
    """Run the verb that is named, with the defaults of the project."""
    verb = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    completing = any(name.endswith("_COMPLETE") for name in os.environ)
    known = {} if completing else configuration.defaults(VERBS, verb)
    program([verb] if verb in VERBS and sys.argv[1] == verb else VERBS, known)(prog_name="harness")
