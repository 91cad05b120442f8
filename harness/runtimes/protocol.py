"""The worker protocol: one JSON object per line, over the worker's stdin and stdout.

Requests carry `cmd` and its arguments; every request gets exactly one reply, either `{"ok": true, ...}` or
`{"ok": false, "kind": ..., "message": ...}`. The first line is the worker's own `hello`.

(hello)
    Reply: `protocol`, `pid`, `runtime` {name, version, build, language, providers}, `features`, a list of what the
    worker knows beyond what every one must: `rotate`, `reference`, `graph`, `load`, `sessions`, `transfer`; and where
    it has to, `lacks`, what it cannot do (`profile`, `load`) or say (`placement`; `memory` where the model runs in
    other processes) -> why, in words for a person.
`open` artifact {path}, feeds {input: entry}, batch, batch_axes {input: axis}, threads {intra, inter}, options, profile
    Prepares the artifact and its inputs. `options` is the runtime's own part; of onnxruntime: provider,
    provider_options, optimization, config, dims, and for a provider from a plugin `plugin`, a distribution or the path
    of a library, and `device`; for a framework's own runtime `network` {model, weights}, which it loads instead of the
    artifact. Reply: `session_ns`, `session_cpu_ns` where it
    is known, `inputs` and `outputs` as [name, type, shape],
    `runtime` {providers granted, placement {provider: nodes}}, `examples`, how many batches inferences rotate through.
    `before`, where it is there, is an entry with the tokens that a decoder has read before each example: the keys and
    values among its feeds are those of these tokens; for a worker whose runtime keeps them itself.
    With `rotate` N (feature `rotate`) so many batches are bound beforehand, as far as there are examples: inference
    i runs on batch i modulo N. Without it every inference runs on the first batch. With `graph` PATH (feature `graph`)
    the graph that the session really runs, after all optimizations, is written there; not used where anything is timed.
    With `sessions` N (feature `sessions`) the artifact is opened so many times, batch i belongs to session i modulo N,
    and `session_ns` is of all of them; with `shared` they have one pool of threads and one arena together.
`burst` n, at
    Times n inferences, the first of them on batch `at` modulo N; without `at` on the one after the last. Reply:
    `durations_ns`, n integers; `preempted`, involuntary context switches meanwhile.
`load` n, streams, rate, seed, bound_ns, most_late, most_wait_ns
    (feature `load`; `open` was given `streams`, how many requests are served at a time, where that is not one) Serves n
    requests over what is open. With `rate` they arrive as a Poisson process of so many per second, drawn from `seed` as
    `harness.runtimes.load` draws it, and wait for a free stream; without it every stream's next one arrives when its
    last one is answered. A latency counts from the arrival. The load ends early when more than `most_late` were above
    `bound_ns`, or when one waited longer than `most_wait_ns`. Reply: `durations_ns`, the latencies in order of arrival;
    `elapsed_ns`; `ended`, empty, `late` or `queue`; `waiting`, how many had arrived and were not begun; `preempted` as
    of `burst`.
`reference` models [{path, shape, n}]
    (feature `reference`) Times n inferences of each of these files, whose one input `x` is floats of this shape, on one
    thread of the CPU; what `open` prepared stays open. Reply: `durations_ns`, a list for each file.
`transfer` n
    (feature `transfer`) Times n copies of a batch's inputs to the device and of its outputs back, on batches that have
    run, one after the other. Reply: `durations_ns`, n integers, or none where both lie in the host's memory.
`outputs` feeds {input: entry}, examples, folder
    Runs every example once, at batch 1 (`before` as of `open`), and writes value files into `folder`. Reply:
    `outputs`, their entries.
`profile`
    Ends the profile that `open` started. Reply: `nodes`, rows of [node, operator, provider, input types, count,
    microseconds] over the last inference; or `file`, the profile as onnxruntime wrote it, which harness reads and
    removes.
`close`
    No reply; the worker exits.

An entry says where the examples of one input or output are (see `harness.records.values`):

    {"stacked": "0.npy"}                     one file, whose axis 0 counts examples; the rest is an example's shape
    {"files": ["0-0.npy", "0-1.npy"]}        one file per example, where shapes differ
    {"concatenated": "0.npy"}                one file, in which example i is file[i:i+1]: axis 0 is the batch axis
    {"data": [{"dtype": "<f4", "shape": [1, 3], "base64": "..."}]}    in the message, where no disk is shared

Entries of outputs have their `name`. `type` names the ONNX element type where NumPy has none (`bfloat16`, kept as
uint16). Text is kept as NumPy's unicode; nothing is pickled. With `concatenated` feeds `outputs` takes a `batch` as
well, for models with a fixed batch, and outputs are written in the same way.

A batch of N is N examples one behind another along each input's axis of `batch_axes`, examples taken round and round
where fewer are stored; inputs without an axis there are fed the first example. Without any axis only batch 1 is
possible.

A worker times and decides nothing; any program that speaks this is a worker. Standard library only, and any Python
from 3.8: the interpreter that is measured need not be the one that harness runs in.
"""

from __future__ import annotations

import json
from typing import IO, Any

PROTOCOL = 2
"""Version of the protocol.

History:
    1: flat `open`; feeds are files with rows; `outputs` has a batch; `profile` sums by operator (`kernels`).
    2: `open` in parts, entries, rows per node.

A worker of protocol 1 is still served, see `harness.runtimes.protocol1`.
"""

REFUSALS = ("not_implemented", "provider", "batch", "input", "model", "memory", "runtime")
"""The kinds of `{"ok": false}`: no kernel; provider missing or not granted; another
batch than the file allows; feeds do not fit; the model file is
broken; memory ran out; anything else that the runtime raised."""


class Refused(Exception):
    """A worker cannot serve the request; `kind` is one of `REFUSALS`."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


def send(stream: IO[bytes], message: dict[str, Any]) -> None:
    """Write one message and flush.

    Raises:
        BrokenPipeError: if the other side is gone.
    """
    stream.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
    stream.flush()


def receive(stream: IO[bytes], most: int = -1) -> dict[str, Any] | None:
    """Read one message; None at the end of the stream.

    Args:
        stream: of lines.
        most: bytes of a line; any number where it is below zero.

    Raises:
        ValueError: if the line is not a JSON object, or longer than `most`.
    """
    line = stream.readline(most)
    if not line:
        return None
    if most > 0 and len(line) >= most and not line.endswith(b"\n"):
        raise ValueError(f"a line of more than {most:,} bytes: {line[:80]!r}")
    try:
        message = json.loads(line)
    except RecursionError as error:
        raise ValueError(f"nested too deep: {line[:80]!r}") from error
    if not isinstance(message, dict):
        raise ValueError(f"not a JSON object: {line[:80]!r}")  # noqa: TRY004  (one error type for a bad line)
    return message
