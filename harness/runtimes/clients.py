"""A target -> what starts its worker: small, and fit to be sent to another process."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness import runtime_spec
from harness.errors import UsageError, WorkerRefusal
from harness.flavours import FLAVOURS, PLAIN
from harness.installed import version_of
from harness.records import Target
from harness.runtime_spec import language
from harness.runtimes import languages, limits
from harness.runtimes.client import Client, default_command
from harness.runtimes.environments import Say, silent
from harness.runtimes.resolve import resolve, resolve_other

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStarter:
    """Starts a worker when it is called.

    Attributes:
        command: the interpreter and the worker's script.
        package: the distribution that its runtime came from, such as `onnxruntime-gpu`.
        digest: tells builds of one version apart; empty for the runtime beside harness.
        within: the target's limits.
    """

    command: tuple[str, ...]
    package: str = ""
    digest: str = ""
    within: Mapping[str, int] = field(default_factory=dict)

    def __call__(self) -> Client:
        """A live worker.

        Raises:
            WorkerError: as `Client`.
        """
        return Client(self.command, package=self.package, digest=self.digest, within=self.within)


def client_factory(target: Target, cache: Path, *, install: bool = True, say: Say = silent) -> WorkerStarter:
    """What starts the worker of a target, in the interpreter that has its runtime.

    Args:
        target: its `runtime` decides.
        cache: root of the cache, where runtimes are installed that are not there yet.
        install: whether to install them.
        say: called before something is installed, which takes from seconds to minutes.

    Raises:
        WorkerRefusal: a worker cannot be held to the target's limits here.
        UsageError: the runtime cannot be had here.
        StoreError: the cache cannot be written.
    """
    if why := limits.problem(target.limits):
        raise WorkerRefusal(limits.REFUSED, why)
    found = _unlimited(target, cache, install=install, say=say)
    return dataclasses.replace(found, within=dict(target.limits)) if target.limits else found


def _unlimited(target: Target, cache: Path, *, install: bool, say: Say) -> WorkerStarter:
    if language(target.runtime):
        program = languages.find(target.runtime, cache, install=install, say=say)
        return WorkerStarter(command=program.command, package=program.package, digest=program.digest)
    if runtime_spec.runs_network(target.runtime):
        return WorkerStarter(command=torch_command(cache, target.runtime))
    if name := runtime_spec.other(target.runtime):
        found = resolve_other(target.runtime, cache, install=install, say=say)
        return WorkerStarter(command=(found.python, str(FOLDER / name / "worker.py")), digest=found.digest)
    plugin = "" if runtime_spec.is_path(target.plugin) else target.plugin
    if runtime_spec.is_own(target.runtime) and (not plugin or version_of(plugin)):
        return WorkerStarter(command=default_command(), package=own_package())
    # A plugin's package is not put beside harness: the same release of onnxruntime is, with it, in the cache.
    spec = own_release() if runtime_spec.is_own(target.runtime) else target.runtime
    runtime = resolve(spec, cache, install=install, say=say, beside=(plugin,) if plugin else ())
    return WorkerStarter(command=runtime.worker, package=runtime.package, digest=runtime.digest)


HOW = {runtime_spec.TORCH_COMPILE: ("--compile",), runtime_spec.LITERT_TORCH: ("--litert",)}
"""Runtime -> the options of its worker; eager torch has none."""


def torch_command(cache: Path, runtime: str = runtime_spec.TORCH) -> tuple[str, ...]:
    """The worker that runs networks of torch, in this interpreter.

    Args:
        cache: where weights lie that were trained here.
        runtime: what of them it runs.

    Raises:
        UsageError: torch, or what it takes beside, is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise UsageError("torch is not installed beside harness: pip install 'onnx-harness[zoo]'")
    if runtime == runtime_spec.LITERT_TORCH and importlib.util.find_spec("litert_torch") is None:
        raise UsageError("litert-torch is not installed beside harness: pip install litert-torch")
    where = ("--cache", str(cache.absolute()))
    return (sys.executable, str(FOLDER / "torch" / "worker.py"), *where, *HOW.get(runtime, ()))


def own_release() -> str:
    """The onnxruntime beside harness as a requirement, in its plain flavour.

    Raises:
        UsageError: none is installed.
    """
    version = version_of(own_package())
    if not version:
        raise UsageError("no onnxruntime is installed beside harness: pip install onnxruntime")
    return f"{PLAIN}=={version}"


@functools.cache
def own_package() -> str:
    """The distribution of the onnxruntime beside harness; empty where none is known.

    Where the module's distribution stands beside a flavour's, the longer name says which flavour it is.
    """
    return max((name for name in FLAVOURS if version_of(name)), key=len, default="")
