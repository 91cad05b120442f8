"""The worker protocol: one JSON object per line, over the worker's stdin and stdout.

Requests carry `cmd` and its arguments; every request gets exactly one reply, either `{"ok": true, ...}` or
`{"ok": false, "kind": ..., "message": ...}`. The first line is the worker's own `hello`.

(hello)
    Reply: `protocol`, `pid`, `runtime` {name, version, build, providers}.
`open` model, provider, provider_options, intra_threads, inter_threads, optimization, config, dims, batch, feeds,
        profile
    Creates the session. Reply: `session_ns`, `providers` granted, `placement` {provider: nodes}, `inputs`, `outputs`.
`burst` n
    Times n inferences. Reply: `durations_ns`, n integers; `preempted`, involuntary context switches meanwhile.
`outputs` feeds, examples, batch, folder
    Runs every example once; writes `<index>.npy` per output into `folder`. Reply: their `shapes`.
`profile`
    Ends the profile that `open` started. Reply: `kernels`, rows of
    [operator, provider, input types, count, microseconds].
`close`
    No reply; the worker exits.

`feeds` maps an input's name to a .npy file whose first axis counts examples. A worker times and decides nothing;
any program that speaks this is a worker. Standard library only, and any Python from 3.8: the interpreter that is
measured need not be the one that harness runs in.
"""

from __future__ import annotations

import json
from typing import IO, Any

PROTOCOL = 1
"""Version of the protocol. 1: the first."""

REFUSALS = ("not_implemented", "provider", "batch", "input", "model", "memory", "runtime")
"""The kinds of `{"ok": false}`: no kernel; provider missing or not granted; another
batch than the file allows; feeds do not fit; the model file is
broken; memory ran out; anything else that the runtime raised."""


def send(stream: IO[bytes], message: dict[str, Any]) -> None:
    """Write one message and flush.

    Raises:
        BrokenPipeError: if the other side is gone.
    """
    stream.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
    stream.flush()


def receive(stream: IO[bytes]) -> dict[str, Any] | None:
    """Read one message; None at the end of the stream.

    Raises:
        ValueError: if the line is not a JSON object.
    """
    line = stream.readline()
    if not line:
        return None
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError(f"not a JSON object: {line[:80]!r}")  # noqa: TRY004  (one error type for a bad line)
    return message
