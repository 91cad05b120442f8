"""A process that has imported asv, and forks one that runs it when asked: importing takes longer than most commands."""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import select
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PATIENCE_S = 300.0


def run(folder: Path, variables: Mapping[str, str], arguments: Sequence[str]) -> tuple[int, str]:
    """Run asv in a process of its own, with these variables of the environment: its exit code, and what it printed."""
    server = started()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.NamedTemporaryFile() as printed:
        job = {"folder": str(folder), "variables": dict(variables), "arguments": arguments, "printed": printed.name}
        server.stdin.write(json.dumps(job).encode() + b"\n")
        server.stdin.flush()
        if not select.select([server.stdout], [], [], PATIENCE_S)[0]:
            started.cache_clear()
            end(server)
            raise AssertionError(f"asv {' '.join(arguments)} does not end:\n{printed.read().decode()}")
        return int(server.stdout.readline()), printed.read().decode()


@functools.cache
def started() -> subprocess.Popen[bytes]:
    """The server; it ends with this process."""
    command = [sys.executable, "-c", "from tests.asv_server import serve; serve()"]
    top = Path(__file__).parent.parent
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=top)
    atexit.register(end, server)
    return server


def end(server: subprocess.Popen[bytes]) -> None:
    """End the server; it has nothing to lose."""
    server.kill()
    with server:
        pass


def serve() -> None:
    """Fork for every line of standard input, and answer with the exit code."""
    for name in (
        "main",
        "plugins",
        *(f"commands.{verb}" for verb in ("run", "publish", "compare", "check", "machine")),
    ):
        importlib.import_module(f"asv.{name}")
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            os._exit(ended(json.loads(line)))
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n")
        sys.stdout.flush()


def ended(job: Mapping[str, Any]) -> int:
    """Be asv, and return its exit code."""
    from asv.main import main

    os.environ.clear()
    os.environ.update(job["variables"])
    os.chdir(job["folder"])
    tempfile.tempdir = None
    for name, streams in ((os.devnull, (0,)), (job["printed"], (1, 2))):
        with Path(name).open("r+b") as file:
            for stream in streams:
                os.dup2(file.fileno(), stream)
    sys.argv = ["asv", *job["arguments"]]
    code: object = 1
    try:
        main()
    except SystemExit as end:
        code = end.code
    except Exception:  # noqa: BLE001  # as an interpreter does
        traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else int(code is not None)
