"""The measured process: opens an artifact in ONNX Runtime, times it, and decides nothing.

Run as a script, from its path, by whichever interpreter holds the runtime to measure. It imports the standard
library, numpy and onnxruntime, and of harness only `protocol`.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from harness.runtimes import protocol
else:
    # By its path: neither this folder nor the one above may be searched for modules, since the one above holds a folder
    # called `onnxruntime`.
    sys.path.pop(0)
    _spec = importlib.util.spec_from_file_location(
        "protocol", os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "protocol.py")
    )
    protocol = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(protocol)

import numpy as np
import onnxruntime as ort

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

LEVELS = {"disabled": "DISABLE_ALL", "basic": "ENABLE_BASIC", "extended": "ENABLE_EXTENDED", "all": "ENABLE_ALL"}
DEVICES = {"CUDAExecutionProvider": "cuda", "TensorrtExecutionProvider": "cuda", "DmlExecutionProvider": "dml"}
DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    **{f"tensor({kind}{bits})": f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
}
ERRORS = {
    "NotImplemented": "not_implemented",
    "InvalidArgument": "input",
    "InvalidGraph": "model",
    "InvalidProtobuf": "model",
    "NoSuchFile": "model",
    "NoModel": "model",
    "MemoryError": "memory",
}


class Refused(Exception):
    """The request cannot be served; `kind` is one of `protocol.REFUSALS`."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class Worker:
    """One session at a time, and the commands on it."""

    def __init__(self) -> None:
        self.session: Any = None
        self.binding: Any = None
        self.bound: list[Any] = []
        self.prebound = False
        self.profiling = False

    def open(self, request: dict[str, Any]) -> dict[str, Any]:
        """Create the session as asked and bind its inputs; `session_ns` is the constructor alone."""
        provider = request["provider"]
        available = ort.get_available_providers()
        if provider not in available:
            raise Refused("provider", f"this onnxruntime build has no {provider}; it has {', '.join(available)}")
        options = session_options(request)
        self.profiling = bool(request.get("profile"))
        providers: list[Any] = [(provider, request.get("provider_options") or {})]
        if provider != "CPUExecutionProvider" and options_get(request, "session.disable_cpu_ep_fallback") != "1":
            providers.append("CPUExecutionProvider")
        start = time.perf_counter_ns()
        self.session = ort.InferenceSession(request["model"], options, providers=providers)
        session_ns = time.perf_counter_ns() - start
        granted = self.session.get_providers()
        if provider not in granted:
            raise Refused("provider", f"{provider} could not be loaded and onnxruntime fell back to {granted}")
        whole = {"axes": request.get("batch_axes") or {}, "rows": request.get("rows", 1)}
        self.bind(request["feeds"], request["batch"], DEVICES.get(provider, "cpu"), **whole)
        return {
            "session_ns": session_ns,
            "providers": granted,
            "placement": placement(self.session),
            "inputs": [[i.name, i.type, i.shape] for i in self.session.get_inputs()],
            "outputs": [[o.name, o.type, o.shape] for o in self.session.get_outputs()],
        }

    def bind(self, feeds: dict[str, Any], batch: int, device: str, *, axes: Any = (), rows: int = 1) -> None:
        """Put the first `batch` examples where the provider reads them; outputs follow after the first run."""
        self.binding = self.session.io_binding()
        # On the CPU a value is backed by its array, and only newer versions of onnxruntime keep what they have bound:
        # without this the session would read memory that is freed and used again.
        self.bound = []
        for spec in self.session.get_inputs():
            axis = dict(axes).get(spec.name)
            whole = isinstance(feeds.get(spec.name), dict)
            fixed = spec.shape[axis or 0] if spec.shape else None
            if whole and axis is None:
                refused = not axes and batch != rows
            else:
                refused = isinstance(fixed, int) and fixed != batch
            if refused:
                raise Refused("batch", f"input {spec.name!r} has a fixed batch of {fixed}, not {batch}")
            array = batched(feeds, spec, axis, batch) if whole else examples(feeds, spec, np.arange(batch))
            self.bound.append(ort.OrtValue.ortvalue_from_numpy(array, device, 0))
            self.binding.bind_ortvalue_input(spec.name, self.bound[-1])
        for spec in self.session.get_outputs():
            self.binding.bind_output(spec.name, device)
        self.prebound = False

    def burst(self, request: dict[str, Any]) -> dict[str, Any]:
        """Time n runs one by one."""
        n = request["n"]
        run, binding, clock = self.session.run_with_iobinding, self.binding, time.perf_counter_ns
        durations = [0] * n
        before = preemptions()
        for i in range(n):
            start = clock()
            run(binding)
            durations[i] = clock() - start
        after = preemptions()
        if not self.prebound:
            self.prebind()
        return {"durations_ns": durations, "preempted": None if before is None else after - before}

    def prebind(self) -> None:
        """Write later outputs into the memory that the first run allocated, where outputs are tensors."""
        for spec, value in zip(self.session.get_outputs(), self.binding.get_outputs()):
            if value.is_tensor() and spec.type in DTYPES:
                self.binding.bind_ortvalue_output(spec.name, value)
        self.prebound = True

    def outputs(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run every example once and write the outputs into `folder`: a file per example, or examples on axis 0."""
        total, batch = request["examples"], request["batch"]
        specs = self.session.get_inputs()
        if any(isinstance(feed, dict) for feed in request["feeds"].values()):
            return self.answers(request)
        files: list[Any] = []
        for first in range(0, total, batch):
            rows = np.arange(first, first + batch) % total
            keep = min(batch, total - first)
            values = self.session.run(None, {s.name: examples(request["feeds"], s, rows) for s in specs})
            for index, value in enumerate(values):
                array = np.asarray(value)
                if array.ndim == 0 or array.shape[0] != batch:
                    array = np.broadcast_to(array[None], (batch, *array.shape))
                if first == 0:
                    path = os.path.join(request["folder"], f"{index}.npy")
                    shape = (total, *array.shape[1:])
                    files.append(np.lib.format.open_memmap(path, "w+", dtype=array.dtype, shape=shape))
                files[index][first : first + keep] = array[:keep]
        for file in files:
            file.flush()
        return {"shapes": [list(file.shape) for file in files]}

    def answers(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run every whole feed once and write each output into a file of its own."""
        names = [spec.name for spec in self.session.get_outputs()]
        entries: list[dict[str, Any]] = [{"name": name, "files": []} for name in names]
        for row in range(request["examples"]):
            feed = {spec.name: example(request["feeds"], spec, row) for spec in self.session.get_inputs()}
            for place, value in enumerate(self.session.run(None, feed)):
                array = np.asarray(value)
                if array.dtype == object and all(isinstance(one, str) for one in array.flat):
                    array = array.astype(np.str_)
                if array.dtype == object:
                    raise Refused("input", f"output {names[place]!r} is no tensor of numbers, booleans or text")
                file = f"{place}-{row}.npy"
                np.save(os.path.join(request["folder"], file), array, allow_pickle=False)
                entries[place]["files"].append(file)
        return {"outputs": entries}

    def profile(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002  (every command takes a request)
        """Kernels of the last run that was profiled, summed by operator, provider and input types."""
        path = self.session.end_profiling()
        try:
            with open(path, encoding="utf-8") as file:
                events = json.load(file)
        finally:
            os.unlink(path)
        last = {e["name"]: e for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")}
        rows: dict[tuple[str, str, str], list[int]] = {}
        for event in last.values():
            args = event["args"]
            types = ",".join(next(iter(t), "") for t in args.get("input_type_shape", []))
            row = rows.setdefault((args["op_name"], args.get("provider", ""), types), [0, 0])
            row[0] += 1
            row[1] += event["dur"]
        return {"kernels": [[*key, *value] for key, value in sorted(rows.items())]}


def session_options(request: dict[str, Any]) -> Any:
    """ONNX Runtime session options as the request asks."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, "ORT_" + LEVELS[request["optimization"]])
    options.intra_op_num_threads = request["intra_threads"]
    options.inter_op_num_threads = request["inter_threads"]
    config = dict(request.get("config") or {})
    if config.pop("session.execution_mode", "0") == "1":
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    for key, value in config.items():
        options.add_session_config_entry(key, value)
    if hasattr(ort, "OrtEpAssignedNode"):  # onnxruntime from 1.24: which provider took which node
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    for axis, size in (request.get("dims") or {}).items():
        options.add_free_dimension_override_by_name(axis, size)
    if request.get("profile"):
        options.enable_profiling = True
        options.profile_file_prefix = os.path.join(tempfile.gettempdir(), f"harness-profile-{os.getpid()}")
    return options


def options_get(request: dict[str, Any], key: str) -> str:
    """A session config entry of the request, or an empty string."""
    return str((request.get("config") or {}).get(key, ""))


def batched(feeds: dict[str, Any], spec: Any, axis: Any, batch: int) -> Any:
    """The first `batch` whole feeds of one input as one; the first alone where it has no batch axis."""
    if axis is None:
        return example(feeds, spec, 0)
    return np.ascontiguousarray(np.concatenate([example(feeds, spec, row) for row in range(batch)], axis=axis))


def example(feeds: dict[str, Any], spec: Any, row: int) -> Any:
    """One whole feed of one input in the model's own element type, taken round and round as in `examples`."""
    feed = fed(feeds, spec)
    if "files" in feed:
        return np.load(feed["files"][row % len(feed["files"])]).astype(DTYPES[spec.type], order="C")
    path = feed.get("stacked") or feed["concatenated"]
    stored = np.load(path, mmap_mode="r")
    place = row % len(stored)
    return np.array(stored[place] if "stacked" in feed else stored[place : place + 1], dtype=DTYPES[spec.type])


def fed(feeds: dict[str, Any], spec: Any) -> Any:
    """The feed of one input."""
    if spec.name not in feeds:
        raise Refused("input", f"no feed for input {spec.name!r}; feeds: {', '.join(sorted(feeds)) or 'none'}")
    if spec.type not in DTYPES:
        raise Refused("input", f"input {spec.name!r} has type {spec.type}, which cannot be fed from NumPy arrays")
    return feeds[spec.name]


def examples(feeds: dict[str, Any], spec: Any, rows: Any) -> Any:
    """The examples at `rows` of one input, contiguous and in the model's own element type.

    Examples are taken round and round where fewer are stored than the batch asks for.
    """
    feed = fed(feeds, spec)
    stored = np.load(feed, mmap_mode="r")
    chosen = stored[rows % len(stored)] if spec.shape else stored[0]
    return np.ascontiguousarray(chosen, dtype=DTYPES[spec.type])


def placement(session: Any) -> dict[str, int]:
    """Provider -> number of graph nodes assigned to it; empty where this onnxruntime cannot tell."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return {}
    nodes: dict[str, int] = {}
    for subgraph in session.get_provider_graph_assignment_info():
        nodes[subgraph.ep_name] = nodes.get(subgraph.ep_name, 0) + len(subgraph.get_nodes())
    return nodes


def preemptions() -> Any:
    """Involuntary context switches of this process so far; None where the system does not count them."""
    return None if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def refusal(error: BaseException) -> dict[str, Any]:
    """The reply for an exception."""
    name = type(error).__name__
    text = str(error) or name
    kind = error.kind if isinstance(error, Refused) else ERRORS.get(name, "runtime")
    if "bad_alloc" in text or "Failed to allocate memory" in text:
        kind = "memory"
    return {"ok": False, "kind": kind, "message": text}


def main() -> int:
    """Serve requests until `close` or the end of the input."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not end up between two messages
    runtime = {
        "name": "onnxruntime",
        "version": ort.__version__,
        "build": ort.get_build_info(),
        "providers": ort.get_available_providers(),
    }
    protocol.send(replies, {"ok": True, "protocol": protocol.PROTOCOL, "pid": os.getpid(), "runtime": runtime})
    worker = Worker()
    commands: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        "open": worker.open,
        "burst": worker.burst,
        "outputs": worker.outputs,
        "profile": worker.profile,
    }
    gc.collect()
    gc.disable()  # a collection inside a timed run would be charged to the model
    while True:
        request = protocol.receive(requests)
        if request is None or request["cmd"] == "close":
            break
        try:
            reply = dict(commands[request["cmd"]](request), ok=True)
        except Exception as error:  # noqa: BLE001  (whatever the runtime raises is the answer to the request)
            reply = refusal(error)
        protocol.send(replies, reply)
    # Tearing down a session takes as long as it likes and nobody measures it: leave at once.
    os._exit(0)


if __name__ == "__main__":
    main()
