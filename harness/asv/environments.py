"""asv's environments: each is used by one run of asv at a time, and its name says what its numbers depend on."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from harness import processes
from harness.asv.answers import State
from harness.asv.commit import policy
from harness.asv.errors import with_asv_errors
from harness.asv.exchange import WEIGHTS
from harness.flavours import FLAVOURS, PLAIN
from harness.measure import host
from harness.store import files

ASK_DEADLINE_S = 120.0
"""For a few lines in another interpreter."""


def patch(state: State) -> None:
    """Replace how asv names environments, and lock those that it sets up."""
    from asv import environment
    from asv.commands.setup import Setup

    plain_name = environment.get_env_name
    plain_existing = environment.ExistingEnvironment.name.fget
    plain_setup = Setup.perform_setup.__func__

    def get_env_name(tool_name: str, python: str, requirements: Any, tagged_env_vars: Any, build: bool = False) -> str:
        name: str = plain_name(tool_name, python, requirements, tagged_env_vars, build)
        return name if build else f"{name}-host{fingerprint()}"

    def existing_name(self: Any) -> str:
        return f"{plain_existing(self)}-{runtimes(self._executable)}-{WEIGHTS}{policy()}"

    def perform_setup(cls: Any, environments: Any, parallel: int = -1) -> Any:
        # In one order for everybody, so that two runs never wait for each other. asv does not offer the path.
        for path in sorted({Path(env._path) for env in environments if env.can_install_project()}):  # noqa: SLF001  (asv has no function for it)
            if path not in state.locks:
                state.locks[path] = _lock(path.with_name(f"{path.name}.lock"))
        return plain_setup(cls, environments, parallel)

    environment.get_env_name = get_env_name
    environment.ExistingEnvironment.name = property(with_asv_errors(existing_name))
    Setup.perform_setup = classmethod(with_asv_errors(perform_setup))


def _lock(path: Path) -> files.Lock:
    from asv.console import log

    with files.guarded("lock", path):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = files.Lock.attempt(path)
    if lock is None:
        log.info(f"Waiting for another asv that uses the environment {path.stem}")
        lock = files.Lock.wait(path)
    return lock


@functools.cache
def fingerprint() -> str:
    """This host's."""
    return host.fingerprint(host.facts())


@functools.cache
def runtimes(executable: str) -> str:
    """The onnxruntime distributions of an interpreter with their versions, such as `onnxruntime-gpu1.31.1`."""
    code = (
        "import re; from importlib.metadata import distributions as d; "
        "normal = lambda name: re.sub('[-_.]+', '-', name or '').lower(); "
        f"print('-'.join(sorted({{f'{{i.name}}{{i.version}}' for i in d() if normal(i.name) in {FLAVOURS!r}}})))"
    )
    done = processes.run_text([executable, "-c", code], deadline_s=ASK_DEADLINE_S)
    return done.stdout.strip() or PLAIN
