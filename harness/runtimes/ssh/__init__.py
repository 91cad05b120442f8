"""ONNX Runtime on any machine that ssh reaches: harness's own worker runs in the Python there."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

from harness import ort_values
from harness.errors import UsageError
from harness.runtimes import load, onnxruntime, protocol
from harness.runtimes.device.transport import Ssh
from harness.runtimes.environments import Say
from harness.runtimes.languages import WorkerProgram

FOLDER: Final = Path(onnxruntime.__file__).parent
FILES: Final = tuple(sorted(path.name for path in FOLDER.glob("[!_]*.py")))
PLACE: Final = re.compile(r"(?P<host>[^:]*)(?::(?P<python>/[A-Za-z0-9_./-]+))?")
"""`HOST`, or `HOST:/path/of/python`."""

LACKS: Final = {"memory": "the worker runs on another device, whose processes are not looked at from here"}


def find(version: str, folder: str, root: Path, *, install: bool, say: Say) -> WorkerProgram:  # noqa: ARG001  (every language's)
    """What starts the worker.

    Args:
        version: none: the device has what it has.
        folder: `HOST`, or `HOST:/path/of/python` with the interpreter that has onnxruntime there.
        root: the cache's folder; nothing is kept.
        install: nothing is installed on a device.
        say: hears nothing.

    Raises:
        UsageError: the host's name is none, or there is no ssh.
    """
    found = PLACE.fullmatch(folder)
    if version or not folder or found is None:
        raise UsageError(
            "runtime ssh: say which machine, `host: NAME` beside it, or ssh:NAME or ssh:NAME:/usr/bin/python3"
        )
    Ssh(found["host"])
    python = found["python"] or "python3"
    config = {
        "kind": "ssh",
        "name": found["host"],
        "carry": carried(),
        "start": f"{python} -B runtimes/onnxruntime/worker.py",
        "lacks": LACKS,
    }
    return WorkerProgram(command=relayed(config))


def carried() -> dict[str, str]:
    """The files of the worker in Python: where they lie below its folder on the device -> here."""
    own = {f"runtimes/onnxruntime/{name}": str(FOLDER / name) for name in FILES}
    shared = {f"runtimes/{name}.py": str(one.__file__) for name, one in (("load", load), ("protocol", protocol))}
    return {**own, **shared, "ort_values.py": ort_values.__file__}


def relayed(config: dict[str, Any]) -> tuple[str, ...]:
    """What starts a relay."""
    return (sys.executable, "-m", "harness.runtimes.device.relay", json.dumps(config))
