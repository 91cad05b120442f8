"""What workers of other runtimes share: requests in, replies out, and batches of examples as arrays.

Loaded by its path, by whichever interpreter holds the runtime; of harness it needs only files that stand alone. A
module that it loads is known by its bare name, as it is to the worker of ONNX Runtime.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from harness.runtimes import load, protocol
    from harness.runtimes.onnxruntime import examples
else:

    def _load(name: str, *parts: str) -> Any:
        """A file that stands alone, by its place from this folder; once in a process."""
        if name not in sys.modules:
            path = os.path.join(os.path.dirname(os.path.abspath(__file__)), *parts, name + ".py")
            spec = importlib.util.spec_from_file_location(name, path)
            sys.modules[name] = module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        return sys.modules[name]

    protocol = _load("protocol")
    load = _load("load")
    _load("ort_values", "..")
    examples = _load("examples", "onnxruntime")

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

Command = Callable[[dict[str, Any]], dict[str, Any]]

FEATURES = ("rotate", "load")
"""What these workers know beyond what every one must, see `protocol`."""


class Spec:
    """An input or output in the words of ONNX: `tensor(float)`, and a shape with text for open axes."""

    def __init__(self, name: str, kind: str, shape: Any) -> None:
        self.name, self.type, self.shape = name, kind, list(shape)

    def row(self) -> list[Any]:
        """As the protocol says it."""
        return [self.name, self.type, self.shape]


def refuse_provider_options(name: str, request: dict[str, Any]) -> None:
    """For a runtime that has none of ONNX Runtime's.

    Args:
        name: the runtime's.
        request: to open a file.

    Raises:
        Refused: there are some.
    """
    if unknown := (request.get("options") or {}).get("provider_options"):
        raise protocol.Refused("provider", f"{name} takes no provider options, found {', '.join(sorted(unknown))}")


def batches(request: dict[str, Any], specs: list[Spec]) -> tuple[list[list[Any]], int]:
    """The batches that inferences rotate through, each an array for every input, in memory of its own.

    There are as many as requests at a time; second is how many hold examples of their own.

    Raises:
        Refused: the feeds do not fit, or the batch is not possible.
    """
    batch, axes = request["batch"], request.get("batch_axes") or {}
    given = [examples.Examples(request["feeds"], spec) for spec in specs]
    if batch != 1 and not axes and not any(one.rows for one in given):
        why = f"no input declares a batch axis, so that only batch 1 is possible, not {batch}"
        raise protocol.Refused("batch", why)
    for one in given:
        axis = 0 if one.rows else axes.get(one.spec.name)
        fixed = one.spec.shape[axis] if axis is not None and axis < len(one.spec.shape) else None
        if isinstance(fixed, int) and fixed not in (batch, -1):
            raise protocol.Refused("batch", f"input {one.spec.name!r} has a fixed batch of {fixed}, not {batch}")
    stored = max([one.count() for one in given], default=1)
    found = []
    distinct = min(request.get("rotate") or 1, stored)
    for number in range(max(distinct, request.get("streams") or 1)):
        places = examples.places(number, batch, stored)
        chosen = [one.batch(places, 0 if one.rows else axes.get(one.spec.name)) for one in given]
        found.append([np.array(array) for array in chosen])
    return found, distinct


def write_outputs(
    request: dict[str, Any], inputs: list[Spec], names: list[str], run: Callable[[list[Any]], list[Any]]
) -> dict[str, Any]:
    """Run every example once and write what comes out: the reply to `outputs`.

    Args:
        request: the protocol's.
        inputs: those of the model, in the order that `run` takes them.
        names: those of the outputs, in the order that `run` gives them.
        run: one inference, of arrays.
    """
    given = [examples.Examples(request["feeds"], spec) for spec in inputs]
    if any(one.rows for one in given):
        raise protocol.Refused("input", "this worker runs examples one by one, and a feed has its batch on axis 0")
    written: list[Any] = []
    for place in range(request["examples"]):
        values = run([one.batch([place], None) for one in given])
        if not written:
            specs = [Spec(name, kind_of(value.dtype), value.shape) for name, value in zip(names, values)]
            written = [examples.OutputFiles(request, index, spec) for index, spec in enumerate(specs)]
        for output, value in zip(written, values):
            output.put(place, value)
    return {"outputs": [output.entry() for output in written]}


def described(path: str) -> tuple[list[Spec], list[str]]:
    """The inputs of an .onnx file, and the names of its outputs."""
    import onnx  # of the interpreter that holds the runtime

    graph = onnx.load(path, load_external_data=False).graph
    weights = {one.name for one in graph.initializer}
    specs = []
    for one in graph.input:
        if one.name in weights:
            continue
        tensor = one.type.tensor_type
        shape = [axis.dim_value if axis.HasField("dim_value") else axis.dim_param or "?" for axis in tensor.shape.dim]
        specs.append(Spec(one.name, kind_of(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)), shape))
    return specs, [one.name for one in graph.output]


def kind_of(dtype: Any) -> str:
    """ONNX's name of a tensor type, by NumPy's."""
    name = np.dtype(dtype).name
    return f"tensor({ {'float32': 'float', 'float64': 'double'}.get(name, name) })".replace("( ", "(").replace(
        " )", ")"
    )


def timed(n: int, first: int, fed: list[Any], run: Callable[[Any], Any]) -> dict[str, Any]:
    """Time n inferences one by one, on one batch after the other: the reply to `burst`."""
    durations, count, clock = [0] * n, len(fed), time.perf_counter_ns
    before = preemptions()
    for i in range(n):
        batch = fed[(first + i) % count]
        start = clock()
        run(batch)
        durations[i] = clock() - start
    after = preemptions()
    return {"durations_ns": durations, "preempted": None if before is None else after - before}


def loaded(request: dict[str, Any], fed: list[Any], run: Callable[[Any], Any]) -> dict[str, Any]:
    """Serve requests that arrive on their own, every stream from batches of its own: the reply to `load`.

    Raises:
        Refused: fewer batches are open than requests are to be served at a time.
    """
    streams = request.get("streams") or 1
    own = [fed[one::streams] for one in range(streams)]
    if not all(own):
        why = f"{streams} requests at a time need as many batches, and {len(fed)} are open"
        raise protocol.Refused("input", why)

    def serve(stream: int, number: int) -> None:
        mine = own[stream]
        run(mine[(number // streams) % len(mine)])

    before = preemptions()
    reply = load.asked(request, serve)
    return {**reply, "preempted": None if before is None else preemptions() - before}


def preemptions() -> Any:
    """Involuntary context switches of this process so far; None where the system does not count them."""
    return None if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def private_channels() -> tuple[Any, Any]:
    """What was stdin and stdout; from now on whatever a library prints goes to stderr."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return requests, replies


def serve(
    channels: tuple[Any, Any],
    runtime: dict[str, Any],
    commands: dict[str, Command],
    refusal: Callable[[BaseException], dict[str, Any]],
    lacks: dict[str, str],
) -> None:
    """Introduce the worker and answer requests until `close` or the end of the input; then leave at once.

    Args:
        channels: as `private_channels` gave them.
        runtime: what the hello says of it.
        commands: what it can do.
        refusal: the reply for an exception.
        lacks: command -> why it has none.
    """
    requests, replies = channels
    hello = {"ok": True, "protocol": protocol.PROTOCOL, "pid": os.getpid(), "runtime": runtime}
    features = [one for one in FEATURES if one not in lacks]
    protocol.send(replies, {**hello, "features": features, "lacks": lacks})
    gc.disable()  # a collection inside a timed run would be charged to the model
    while True:
        request = protocol.receive(requests)
        if request is None or request["cmd"] == "close":
            break
        try:
            if request["cmd"] not in commands:
                why = lacks.get(request["cmd"], f"this worker does not know `{request['cmd']}`")
                raise protocol.Refused("not_implemented", why)
            reply = dict(commands[request["cmd"]](request), ok=True)
        except Exception as error:  # noqa: BLE001  (whatever the runtime raises is the answer to the request)
            reply = refusal(error)
        protocol.send(replies, reply)
    os._exit(0)
