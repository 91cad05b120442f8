"""Workers that misbehave: small scripts that speak the protocol until they do not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from harness.runtimes import protocol
from harness.runtimes.client import Client

HELLO = (
    "import json, os, signal, sys, time\n"
    "def send(m): print(json.dumps(m), flush=True)\n"
    "runtime = {'name': 'fake', 'version': '1', 'build': '', 'providers': ['CPUExecutionProvider']}\n"
    f"send({{'ok': True, 'protocol': {protocol.PROTOCOL}, 'pid': os.getpid(), 'runtime': runtime}})\n"
    "for line in sys.stdin:\n"
    "    request = json.loads(line); cmd = request['cmd']\n"
    "    if cmd == 'close': break\n"
    "    granted = {'providers': ['CPUExecutionProvider'], 'placement': {'CPUExecutionProvider': 1}}\n"
    "    if cmd == 'open': send({'ok': True, 'session_ns': 1000, 'runtime': granted}); continue\n"
)


def worker(tmp_path: Path, body: str, *, hello: str = HELLO) -> Callable[[], Client]:
    """A client factory for a worker that answers the hello and `open`, and then does `body` (one indented block)."""
    script = tmp_path / "fake_worker.py"
    script.write_text(hello + "".join(f"    {line}\n" for line in body.splitlines()), encoding="utf-8")
    return lambda: Client([sys.executable, str(script)])
