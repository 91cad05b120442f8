"""How a command ends: the exit codes of all verbs, and what is said where it did not go well."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

from harness import internal, shown
from harness.cli import encoding, pipes
from harness.errors import ZooError

EXIT_CODES = {
    0: "done; a gate: pass",
    1: "gate: regression; tune: no candidate keeps the budget; nothing else ends with 1",
    2: "bad usage or zoo, or something outside harness is in the way: a disk, a permission, a damaged file",
    3: "gate, bisect, selftest: inconclusive, or nothing was measured",
    4: "a case failed; import: some source could not be read",
    70: "internal error: a mistake of harness's own; the message names a file with the traceback",
    130: "interrupted (Ctrl-C); the same command goes on from there",
}
"""Every code that `harness` ends with; docs/reliability.md holds this table, and tests hold every verb to it."""

EXIT_USAGE = 2
EXIT_INTERNAL = 70
"""EX_SOFTWARE of sysexits.h: no verb's answer, so that no gate's verdict is mistaken for it."""

EXIT_INTERRUPTED = 130
"""As shells have it for a program that Ctrl-C ended."""


def run(app: Callable[[], object]) -> None:
    """Run the command line; whatever is raised becomes a message and an exit code.

    Raises:
        SystemExit: always.
    """
    sys.stdout, sys.stderr = pipes.lasting(sys.stdout), pipes.lasting(sys.stderr)
    encoding.spell_out(sys.stdout, sys.stderr)
    try:
        code = _code_of(app)
        sys.stdout.flush()
    except (OSError, ValueError) as error:  # standard output is full, or was closed on the way
        code = _told(error)
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    sys.exit(code)


def _code_of(app: Callable[[], object]) -> int:
    try:
        app()
    except SystemExit as end:
        cause = end.__context__.__cause__ if end.__context__ is not None else None
        if isinstance(cause, EOFError):
            # click takes the end of any file for the end of its input, and ends with 1: a gate's "regression".
            return _told(cause)
        return end.code if isinstance(end.code, int) else 0 if end.code is None else EXIT_USAGE
    except KeyboardInterrupt:
        say("interrupted")
        return EXIT_INTERRUPTED
    except BaseException as error:  # noqa: BLE001  (the one place that answers for all of them)
        return _told(error)
    return 0


def _told(error: BaseException) -> int:
    """Say what happened, in a sentence; the exit code that goes with it."""
    if isinstance(error, ZooError):
        mistakes = "1 mistake" if len(error.problems) == 1 else f"{len(error.problems)} mistakes"
        say("\n".join([f"the zoo has {mistakes}", *(f"  {problem}" for problem in error.problems)]))
        return EXIT_USAGE
    if (known := internal.expected(error)) is not None:
        say(known)
        return EXIT_USAGE
    say(internal.message(error, doing=sys.argv))
    return EXIT_INTERNAL


def out(line: str) -> None:
    """A line on standard output."""
    print(shown.terminal(line))


def say(message: str) -> None:
    """A message on standard error; where that cannot be written either, there is nobody to tell."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"harness: {shown.lines(message)}\n")
