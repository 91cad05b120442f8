"""A target -> what starts its worker: small, and fit to be sent to another process."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from harness.flavours import FLAVOURS
from harness.installed import version_of
from harness.records import Target
from harness.runtime_spec import is_own, language
from harness.runtimes import languages
from harness.runtimes.client import Client, default_command
from harness.runtimes.environments import Say, silent
from harness.runtimes.resolve import resolve


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStarter:
    """Starts a worker when it is called.

    Attributes:
        command: the interpreter and the worker's script.
        package: the distribution that its runtime came from, such as `onnxruntime-gpu`.
        digest: tells builds of one version apart; empty for the runtime beside harness.
    """

    command: tuple[str, ...]
    package: str = ""
    digest: str = ""

    def __call__(self) -> Client:
        """A live worker.

        Raises:
            WorkerError: as `Client`.
        """
        return Client(self.command, package=self.package, digest=self.digest)


def client_factory(target: Target, cache: Path, *, install: bool = True, say: Say = silent) -> WorkerStarter:
    """What starts the worker of a target, in the interpreter that has its runtime.

    Args:
        target: its `runtime` decides.
        cache: root of the cache, where runtimes are installed that are not there yet.
        install: whether to install them.
        say: called before something is installed, which takes from seconds to minutes.

    Raises:
        UsageError: the runtime cannot be had here.
        StoreError: the cache cannot be written.
    """
    if language(target.runtime):
        program = languages.find(target.runtime, cache, install=install, say=say)
        return WorkerStarter(command=program.command, package=program.package, digest=program.digest)
    if is_own(target.runtime):
        return WorkerStarter(command=default_command(), package=own_package())
    runtime = resolve(target.runtime, cache, install=install, say=say)
    return WorkerStarter(command=runtime.worker, package=runtime.package, digest=runtime.digest)


@functools.cache
def own_package() -> str:
    """The distribution of the onnxruntime beside harness; empty where none is known.

    Where the module's distribution stands beside a flavour's, the longer name says which flavour it is.
    """
    return max((name for name in FLAVOURS if version_of(name)), key=len, default="")
