"""How much a verb says: `-q` leaves out everything but the answer and what went wrong, `-v` adds to it."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from contextvars import ContextVar
from enum import IntEnum
from typing import Annotated, Any, Final

import typer

from harness.errors import UsageError


class Loudness(IntEnum):
    """What is said."""

    QUIET = -1
    USUAL = 0
    VERBOSE = 1


_CHOSEN: ContextVar[Loudness] = ContextVar("loudness", default=Loudness.USUAL)


def loudness() -> Loudness:
    """What was asked for."""
    return _CHOSEN.get()


def start() -> None:
    """Forget what was asked of a verb that ran before in this process."""
    _CHOSEN.set(Loudness.USUAL)


def choose(*, quiet: bool, verbose: bool) -> None:
    """Take what an option says; what neither names stays as it is.

    Raises:
        UsageError: if both were asked for.
    """
    wanted = {Loudness.QUIET} if quiet else set()
    wanted |= {Loudness.VERBOSE} if verbose else set()
    wanted |= {loudness()} - {Loudness.USUAL}
    if len(wanted) > 1:
        raise UsageError("-q and -v: choose one of them")
    if wanted:
        _CHOSEN.set(wanted.pop())


QUIET_HELP: Final = "Print the answer, files and problems, and nothing on the way."
VERBOSE_HELP: Final = "Say more on the way: versions, folders, where defaults come from, every process."

CONTEXT: Final = "context_of_all"
SOURCES: Final = {"COMMANDLINE": "command line", "ENVIRONMENT": "environment", "DEFAULT_MAP": "pyproject.toml"}

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help=QUIET_HELP)]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help=VERBOSE_HELP)]


def heard(verb: Callable[..., None]) -> Callable[..., None]:
    """A verb that takes `-q` and `-v` behind its name as well as before it."""
    own = inspect.signature(verb, eval_str=True)
    # typer hands the context to one parameter: the verb's own where it has one.
    place = next((one.name for one in own.parameters.values() if one.annotation is typer.Context), CONTEXT)

    @functools.wraps(verb)
    def run(*args: Any, quiet: bool, verbose: bool, **options: Any) -> None:
        choose(quiet=quiet, verbose=verbose)
        context = options[place] if place != CONTEXT else options.pop(place)
        if loudness() is Loudness.VERBOSE:
            introduce(context)
        verb(*args, **options)

    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for name, annotation in (("quiet", Quiet), ("verbose", Verbose))
    ]
    if place == CONTEXT:
        more.append(inspect.Parameter(CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context))
    parameters = [*own.parameters.values(), *more]
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # what typer reads
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def introduce(context: typer.Context) -> None:
    """Say which harness runs, and every option that has not its own default, with where it comes from."""
    import platform

    import harness
    from harness.cli import ending

    ending.say(f"{harness.__version__}, Python {platform.python_version()} ({sys.executable})")
    for name, value in context.params.items():
        source = getattr(context.get_parameter_source(name), "name", "")
        if source in SOURCES and name not in ("quiet", "verbose"):
            ending.say(f"{name.rstrip('_').replace('_', '-')} = {value} ({SOURCES[source]})")
