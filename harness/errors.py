"""Every error that harness raises on purpose.

::

    HarnessError
    ├── UsageError            the command line or the configuration is wrong       -> exit code 2
    │   ├── ZooError          model_zoo.yaml is wrong; holds every problem found
    │   └── CaseIdError       a text names no case; a ValueError, too
    ├── BuildError            a step of a recipe failed                            -> outcome `failed`
    │   ├── Skip              the step makes no sense for this model               -> outcome `skipped`
    │   ├── Unsupported       nothing on this host can do it                       -> outcome `unsupported`
    │   └── MissingExtra      an optional package is not installed                 -> outcome `failed`
    ├── WorkerError           a worker died, hung or answered nonsense             -> outcome `failed`
    │   └── WorkerRefusal     the worker is well but the runtime refused           -> its own status
    ├── TaskError             a metric of the user's own failed; a ValueError, too -> outcome `failed`
    └── StoreError            results or cache cannot be read or written           -> exit code 2
        └── NewerSchema       written by a newer harness

An error that belongs to one case becomes that case's outcome where it is caught (`harness.flow.sweep`);
only `harness.cli` turns an error into an exit code. Messages say what is wrong, where, what would be
valid and how to go on.
"""

from __future__ import annotations

from collections.abc import Sequence


class HarnessError(Exception):
    """Base of every error raised on purpose; its text is written for the person who reads it."""


class UsageError(HarnessError):
    """The command line or a configuration file asks for something that cannot be."""


class ZooError(UsageError):
    """model_zoo.yaml is wrong.

    Attributes:
        problems: one line per mistake, each with file, line, key, what was found and what is valid.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class CaseIdError(UsageError, ValueError):
    """A text is not the name of a case."""


class BuildError(HarnessError):
    """A step of a recipe failed; its text names the step and what broke."""


class Skip(BuildError):
    """The step makes no sense for this model, such as int4 MatMul weights for a network without MatMul."""


class Unsupported(BuildError):
    """Nothing on this host can build or run it."""


class MissingExtra(BuildError):
    """A source or a step needs a package that is not installed; the text says which extra brings it.

    A failure: the host could do it, and a table without the case would look like one that never had it.
    """


class WorkerError(HarnessError):
    """A worker died, hung past its deadline or answered something that is not the protocol."""


class WorkerRefusal(WorkerError):
    """The worker is alive and says no: the runtime raised.

    Attributes:
        kind: the protocol's error kind: `not_implemented`, `provider`, `input`, `model`, `memory` or `runtime`.
    """

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class TaskError(HarnessError, ValueError):
    """A metric of the user's own could not say anything of an example, or ended or held up its process."""


class StoreError(HarnessError):
    """Stored results or the cache cannot be read or written."""


class NewerSchema(StoreError):
    """The file was written by a newer harness than this one."""
