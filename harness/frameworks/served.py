"""A framework at work in its own interpreter: loads one model, runs it on feeds and exports it, as it is asked.

Run by its path under any Python that has the framework and NumPy. Of harness it needs what stands on nothing but
NumPy; nothing else that is installed beside harness can be imported here. Requests are JSON lines on stdin, answers
JSON lines on what was stdout; every print goes to stderr. Arrays lie in files. When stdin ends, so does this process.
"""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import sys
import threading
from typing import Any

LEAST_PYTHON = (3, 11)


def main() -> None:
    """Answer until the input ends."""
    if sys.version_info < LEAST_PYTHON:
        sys.exit("harness needs Python 3.11 or newer, and this is Python %d.%d" % sys.version_info[:2])  # noqa: UP031
    _make_importable("harness", os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
    from harness import jobs
    from harness.frameworks.serving import FrameworkServer

    channel = jobs.private_channel()
    requests: queue.Queue[Any] = queue.Queue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    server = FrameworkServer()
    while True:
        jobs.send(channel, **server.answer(requests.get()))


def _make_importable(name: str, folder: str) -> None:
    """Let one package be imported from its folder, without all that lies beside it."""
    where = os.path.join(folder, "__init__.py")  # noqa: PTH118
    spec = importlib.util.spec_from_file_location(name, where, submodule_search_locations=[folder])
    if spec is None or spec.loader is None:
        sys.exit(f"{where} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def _read(requests: queue.Queue[Any]) -> None:
    """Queue what the parent asks; its end is the end, whatever is being done."""
    for line in sys.stdin:
        requests.put(json.loads(line))
    os._exit(1)


if __name__ == "__main__":
    main()
