"""The measured process: opens an artifact in ONNX Runtime, times it, and decides nothing.

Run as a script, from its path, by whichever interpreter holds the runtime to measure. It imports the standard
library, numpy and onnxruntime, and of harness only `protocol`, `ort_values` and the files beside it, which need no more
than that. What is imported here is waited for by every process of every case.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from harness import ort_values
    from harness.runtimes import load, protocol
    from harness.runtimes.onnxruntime import (
        captured,
        chain,
        devices,
        examples,
        plugins,
        profiled,
        several,
        small_models,
        transfers,
        versions,
    )  # fmt: skip
else:
    # By their paths: neither this folder nor those above may be searched for modules, since one of them holds a folder
    # called `onnxruntime`.
    sys.path.pop(0)

    def _beside(name: str, up: int) -> Any:
        """A file that stands alone, in a folder above this one's."""
        folder = os.path.abspath(__file__)
        for _ in range(up + 1):
            folder = os.path.dirname(folder)
        spec = importlib.util.spec_from_file_location(name, os.path.join(folder, name + ".py"))
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    protocol = _beside("protocol", 1)
    load = _beside("load", 1)
    ort_values = _beside("ort_values", 2)
    captured = _beside("captured", 0)
    chain = _beside("chain", 0)
    devices = _beside("devices", 0)
    examples = _beside("examples", 0)
    profiled = _beside("profiled", 0)
    plugins = _beside("plugins", 0)
    several = _beside("several", 0)
    small_models = _beside("small_models", 0)
    transfers = _beside("transfers", 0)
    versions = _beside("versions", 0)


def private_channels() -> tuple[Any, Any]:
    """What was stdin and stdout; from now on whatever a library prints, between two messages say, goes to stderr."""
    channels = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return channels


CHANNELS = private_channels() if __name__ == "__main__" else None
"""Taken before the runtime is imported: some print while they are."""

import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

LEVELS = {"disabled": "DISABLE_ALL", "basic": "ENABLE_BASIC", "extended": "ENABLE_EXTENDED", "all": "ENABLE_ALL"}
ERRORS = {
    "NotImplemented": "not_implemented",
    "InvalidArgument": "input",
    "InvalidGraph": "model",
    "InvalidProtobuf": "model",
    "NoSuchFile": "model",
    "NoModel": "model",
    "MemoryError": "memory",
}


FEATURES = ["rotate", "reference", "graph", "load", "sessions", "transfer"]
"""What this worker knows beyond what every one must, see `protocol`."""


class Worker:
    """One session at a time, and the commands on it."""

    def __init__(self) -> None:
        self.session: Any = None
        self.sessions: list[Any] = []
        self.bindings: list[Any] = []
        self.bound: list[Any] = []
        self.feeds: list[dict[str, Any]] = []
        self.prebound: set[int] = set()
        self.loose: dict[str, tuple[str, int]] = {}
        self.devices: dict[str, tuple[str, int]] = {}
        self.provider = ""
        self.skip: Any = None  # options of a run that captures nothing, where others do
        self.notes: list[str] = []
        self.next = 0
        self.distinct = 1
        self.references: dict[str, Any] = {}
        self.transfers = transfers.Transfers()

    def open(self, request: dict[str, Any]) -> dict[str, Any]:
        """Create the session as asked and bind its inputs; `session_ns` is the constructor alone."""
        asked = request.get("options") or {}
        provider = asked["provider"]
        options, settings = session_options(request), asked.get("provider_options") or {}
        captures = captured.asked(provider, settings)
        if captures:
            captured.refuse_requests_at_a_time(request)
            settings = captured.without(provider, settings) if request.get("profile") else settings
        self.skip = captured.skipping(ort) if captures and not request.get("profile") else None
        self.session, self.sessions, self.bindings = None, [], []
        if request.get("shared"):
            several.share(ort, options, request["threads"])
        if asked.get("plugin"):
            offered = plugins.devices(ort, asked["plugin"], provider, asked["device"])
            options.add_provider_for_devices(offered, settings)
            providers: Any = None
        else:
            available = ort.get_available_providers()
            if provider not in available:
                raise protocol.Refused(
                    "provider", f"this onnxruntime build has no {provider}; it has {', '.join(available)}"
                )
            cpu = options_get(asked, "session.disable_cpu_ep_fallback") != "1"
            providers = chain.of(provider, settings, available, cpu=cpu)
        start, busy = time.perf_counter_ns(), time.process_time_ns()
        for _ in range(request.get("sessions") or 1):
            self.sessions.append(ort.InferenceSession(request["artifact"]["path"], options, providers=providers))
        self.session = self.sessions[0]
        session_ns, session_cpu_ns = time.perf_counter_ns() - start, time.process_time_ns() - busy
        granted = self.session.get_providers()
        if provider not in granted:
            raise protocol.Refused("provider", f"{provider} could not be loaded and onnxruntime fell back to {granted}")
        self.provider = provider
        self.bind(request, *devices.place(provider, settings))
        self.notes += captured.notes(self.feeds) if self.skip else []
        self.notes += plugins.notes(asked) + several.notes(len(self.sessions), bool(request.get("shared")))
        return {
            "session_ns": session_ns,
            "session_cpu_ns": session_cpu_ns,
            "inputs": [[i.name, i.type, i.shape] for i in self.session.get_inputs()],
            "outputs": [[o.name, o.type, o.shape] for o in self.session.get_outputs()],
            "runtime": {"providers": granted, "placement": placement(self.session)},
            "notes": self.notes,
            "examples": self.distinct,
        }

    def bind(self, request: dict[str, Any], device: str, which: int = 0) -> None:
        """Put batches where the provider reads them, as many as `rotate` asks; outputs follow after their first run.

        `which` is the number of the device.
        """
        batch, axes = request["batch"], request.get("batch_axes") or {}
        self.bindings, self.feeds, self.bound, self.prebound, self.next = [], [], [], set(), 0
        self.loose, self.devices, self.notes = {}, {}, []
        self.transfers = transfers.Transfers(device)
        inputs = []
        for spec in self.session.get_inputs():
            given = examples.Examples(request["feeds"], spec)
            axis = 0 if given.rows else axes.get(spec.name)
            if batch != 1 and not axes and not given.rows:
                why = f"no input declares a batch axis, so that only batch 1 is possible, not {batch}"
                if spec.shape and isinstance(spec.shape[0], int):
                    why = f"input {spec.name!r} has a fixed batch of {spec.shape[0]}, not {batch}"
                raise protocol.Refused("batch", why)
            fixed = spec.shape[axis] if axis is not None and axis < len(spec.shape) else None
            if isinstance(fixed, int) and fixed not in (batch, -1):
                raise protocol.Refused("batch", f"input {spec.name!r} has a fixed batch of {fixed}, not {batch}")
            inputs.append((spec, given, axis))
        stored = max([given.count() for _, given, _ in inputs], default=1)
        # As many as there are requests at a time: none writes its outputs where another one does.
        self.distinct = 1 if self.skip else min(request.get("rotate") or 1, stored)
        most = max(self.distinct, request.get("streams") or 1)
        rotated = [examples.places(number, batch, stored) for number in range(most)]
        unbound = [one for one in self.session.get_inputs() if not ort_values.bindable(one.type)]
        if unbound:
            self.feeds = [{spec.name: given.batch(chosen, axis) for spec, given, axis in inputs} for chosen in rotated]
            what = f"input {unbound[0].name!r} is {unbound[0].type}"
            self.notes.append(f"timed without IOBinding, the copies of inputs and outputs included: {what}")
            return
        for number, chosen in enumerate(rotated):
            binding = self.of_batch(number).io_binding()
            for spec, given, axis in inputs:
                # On the CPU a value is backed by its array, and only newer versions of onnxruntime keep what they have
                # bound: without this the session would read memory that is freed and used again.
                array = given.batch(chosen, axis)
                self.bound.append(ort_values.bound(ort, array, spec.type, device, which))
                self.transfers.keep(number, self.bound[-1], array, spec.type)
                binding.bind_ortvalue_input(spec.name, self.bound[-1])
            for spec in self.session.get_outputs():
                self.devices[spec.name] = (device, which) if ort_values.is_tensor(spec.type) else ("cpu", 0)
                binding.bind_output(spec.name, *self.devices[spec.name])
            self.bindings.append(binding)

    def of_batch(self, number: int) -> Any:
        """The session that a batch belongs to."""
        return self.sessions[number % len(self.sessions)]

    def runs(self, how: str) -> list[Any]:
        """How each session runs; on a binding, to its end."""
        found = [getattr(session, how) for session in self.sessions]
        return found if how == "run" else [devices.to_its_end(one, self.provider) for one in found]

    def burst(self, request: dict[str, Any]) -> dict[str, Any]:
        """Time n runs one by one, on one batch after the other."""
        n, first = request["n"], request.get("at", self.next)
        durations = [0] * n
        before = preemptions()
        if self.feeds:
            self.runs_unbound(durations, first)
        elif self.loose or len(self.prebound) < len(self.bindings):
            self.runs_rebound(durations, first)
        else:
            self.runs_bound(durations, first)
        after = preemptions()
        self.next = first + n
        return {"durations_ns": durations, "preempted": None if before is None else after - before}

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Serve requests that arrive on their own; every stream has batches of its own."""
        streams, sessions = request.get("streams") or 1, len(self.sessions)
        if streams % sessions:
            raise protocol.Refused(
                "input", f"{streams} requests at a time are not shared out evenly by {sessions} sessions"
            )
        fed: list[Any] = self.feeds or self.bindings
        own = [fed[one::streams] for one in range(streams)]
        if not all(own):
            raise protocol.Refused(
                "input", f"{streams} requests at a time need as many batches, and {len(fed)} are bound"
            )
        if self.feeds:
            runs = self.runs("run")

            def serve(stream: int, number: int) -> None:
                batches = own[stream]
                runs[stream % sessions](None, batches[(number // streams) % len(batches)])

        else:
            bound = self.runs("run_with_iobinding")
            if self.skip and not self.prebound:
                self.burst({"n": 1})
            for number in set(range(len(self.bindings))) - self.prebound:
                bound[number % sessions](self.bindings[number])
                self.prebind(number)
            loose = list(self.loose.items())

            def serve(stream: int, number: int) -> None:
                bindings = own[stream]
                binding = bindings[(number // streams) % len(bindings)]
                for name, place in loose:
                    binding.bind_output(name, *place)
                bound[stream % sessions](binding)

        before = preemptions()
        reply = load.asked(request, serve)
        return {**reply, "preempted": None if before is None else preemptions() - before}

    def runs_bound(self, durations: list[int], first: int) -> None:
        """Time as many runs as there are places, on what is bound, inputs and outputs alike."""
        runs, bindings, clock = self.runs("run_with_iobinding"), self.bindings, time.perf_counter_ns
        count, sessions = len(bindings), len(runs)
        for i in range(len(durations)):
            number = (first + i) % count
            run, binding = runs[number % sessions], bindings[number]
            start = clock()
            run(binding)
            durations[i] = clock() - start

    def runs_rebound(self, durations: list[int], first: int) -> None:
        """As `runs_bound` where a batch runs for the first time, or an output is bound anew before every run."""
        runs, bindings, clock = self.runs("run_with_iobinding"), self.bindings, time.perf_counter_ns
        for i in range(len(durations)):
            number = (first + i) % len(bindings)
            run, binding = runs[number % len(runs)], bindings[number]
            for name, place in self.loose.items():
                binding.bind_output(name, *place)
            start = clock()
            if self.skip and number not in self.prebound:  # outputs get their memory before anything is captured
                run(binding, self.skip)
                self.prebind(number)
            run(binding)
            durations[i] = clock() - start
            if number not in self.prebound:
                self.prebind(number)

    def runs_unbound(self, durations: list[int], first: int) -> None:
        """Time as many runs as there are places, on inputs that cannot be bound."""
        runs, feeds, clock = self.runs("run"), self.feeds, time.perf_counter_ns
        count, sessions = len(feeds), len(runs)
        for i in range(len(durations)):
            number = (first + i) % count
            run, feed = runs[number % sessions], feeds[number]
            start = clock()
            run(None, feed)
            durations[i] = clock() - start

    def prebind(self, number: int) -> None:
        """Write a batch's later outputs into the memory that its first run allocated, where outputs are tensors.

        An output that has another shape than the graph declares is allocated anew by every run: onnxruntime warns of
        it and goes on, and refuses such memory.
        """
        binding = self.bindings[number]
        for spec, value in zip(self.session.get_outputs(), binding.get_outputs()):
            fixed = spec.type in ort_values.NUMBERS or not self.skip
            if not ort_values.is_tensor(spec.type) or not declared(spec, value) or not fixed:
                self.loose[spec.name] = self.devices.get(spec.name, ("cpu", 0))
            elif spec.type in ort_values.NUMBERS:
                binding.bind_ortvalue_output(spec.name, value)
        self.prebound.add(number)
        if self.skip and self.loose:
            raise protocol.Refused(
                "not_implemented",
                f"a captured graph writes its outputs into one memory, and {min(self.loose)!r} is allocated anew",
            )

    def transfer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Time n copies of inputs to the device and of outputs back; none where both lie in the host's memory."""
        there = [self.devices.get(spec.name, ("cpu", 0))[0] != "cpu" for spec in self.session.get_outputs()]
        return {"durations_ns": self.transfers.timed(request["n"], self.bindings, self.prebound, there)}

    def reference(self, request: dict[str, Any]) -> dict[str, Any]:
        """Time small models on one thread of the CPU, beside what is open."""
        found = []
        clock = time.perf_counter_ns
        for asked in request["models"]:
            if asked["path"] not in self.references:
                self.references[asked["path"]] = small_models.ready(ort, asked["path"], asked["shape"])
            run, binding, _ = self.references[asked["path"]]
            durations = [0] * asked["n"]
            for i in range(asked["n"]):
                start = clock()
                run(binding)
                durations[i] = clock() - start
            found.append(durations)
        return {"durations_ns": found}

    def outputs(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run every example once and write the outputs into `folder`."""
        given = [examples.Examples(request["feeds"], spec) for spec in self.session.get_inputs()]
        if any(one.rows for one in given):
            return self.output_rows(request, given)
        written = [examples.OutputFiles(request, index, spec) for index, spec in enumerate(self.session.get_outputs())]
        for place in range(request["examples"]):
            feed = {one.spec.name: one.batch([place], None) for one in given}
            for output, value in zip(written, self.answers(feed)):
                output.put(place, value)
        return {"outputs": [output.entry() for output in written]}

    def answers(self, feed: dict[str, Any]) -> list[Any]:
        """The outputs of one feed, raw, by what is timed."""
        if not self.skip:
            found: list[Any] = ort_values.run(ort, self.session, feed)
            return found
        if not self.prebound:
            self.burst({"n": 1})
        names = [one.name for one in self.session.get_inputs()]
        replies: list[Any] = captured.replayed(self.session, self.bindings[0], dict(zip(names, self.bound)), feed)
        return replies

    def output_rows(self, request: dict[str, Any], given: list[Any]) -> dict[str, Any]:
        """As `outputs` where axis 0 of a feed's file is the batch axis: so it is in the files of the outputs."""
        total, batch = request["examples"], request.get("batch", 1)
        files: list[Any] = []
        for first in range(0, total, batch):
            places = [place % total for place in range(first, first + batch)]
            keep = min(batch, total - first)
            values = self.answers({one.spec.name: one.batch(places, 0) for one in given})
            for index, value in enumerate(values):
                alike = value.ndim > 0 and value.shape[0] == batch
                array = value if alike else np.broadcast_to(value[None], (batch, *value.shape))
                if first == 0:
                    path = os.path.join(request["folder"], f"{index}.npy")
                    shape = (total, *array.shape[1:])
                    files.append(np.lib.format.open_memmap(path, "w+", dtype=array.dtype, shape=shape))
                files[index][first : first + keep] = array[:keep]
        for file in files:
            file.flush()
        names = [spec.name for spec in self.session.get_outputs()]
        return {"outputs": [{"name": n, "concatenated": f"{i}.npy"} for i, n in enumerate(names)]}

    def profile(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002  (every command takes a request)
        """What each node took, over all runs that were profiled; the first is warm-up where there are more."""
        path = self.session.end_profiling()
        try:
            with open(path, encoding="utf-8") as file:
                events = json.load(file)
        finally:
            os.unlink(path)
        rows, runs = profiled.nodes(events)
        return {"nodes": rows, "runs": runs}


def declared(spec: Any, value: Any) -> bool:
    """Whether an output has the shape that the graph declares for it."""
    shape = value.shape()
    sizes = zip(spec.shape, shape)
    return len(spec.shape) == len(shape) and all(not isinstance(a, int) or a in (-1, b) for a, b in sizes)


def session_options(request: dict[str, Any]) -> Any:
    """ONNX Runtime session options as the request asks."""
    asked, threads = request.get("options") or {}, request["threads"]
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, "ORT_" + LEVELS[asked["optimization"]])
    options.intra_op_num_threads = threads["intra"]
    options.inter_op_num_threads = threads["inter"]
    config = dict(asked.get("config") or {})
    if config.pop("session.execution_mode", "0") == "1":
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    options.enable_cpu_mem_arena = config.pop("session.enable_cpu_mem_arena", "1") == "1"
    options.enable_mem_pattern = config.pop("session.enable_mem_pattern", "1") == "1"
    for key, value in config.items():
        options.add_session_config_entry(key, value)
    if hasattr(ort, "OrtEpAssignedNode"):  # onnxruntime from 1.24: which provider took which node
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    for axis, size in (asked.get("dims") or {}).items():
        options.add_free_dimension_override_by_name(axis, size)
    if request.get("graph"):
        options.optimized_model_filepath = request["graph"]
    if request.get("profile"):
        import tempfile

        options.enable_profiling = True
        options.profile_file_prefix = os.path.join(tempfile.gettempdir(), f"harness-profile-{os.getpid()}")
    return options


def options_get(asked: dict[str, Any], key: str) -> str:
    """A session config entry of the request's options, or an empty string."""
    return str((asked.get("config") or {}).get(key, ""))


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
    kind = error.kind if isinstance(error, protocol.Refused) else ERRORS.get(name, "runtime")
    if isinstance(error, ort_values.Unfit):
        kind = "input"
    if newer := versions.needed(text):
        kind, text = "not_implemented", f"{text} ({newer})"
    if "CUDA driver version is insufficient" in text:
        kind = "provider"
    if "bad_alloc" in text or "Failed to allocate memory" in text or "out of memory" in text:
        kind = "memory"
    return {"ok": False, "kind": kind, "message": text}


def main() -> int:
    """Serve requests until `close` or the end of the input."""
    requests, replies = CHANNELS or private_channels()
    runtime = {
        "name": "onnxruntime",
        "version": ort.__version__,
        "build": ort.get_build_info(),
        "language": "python",
        "providers": ort.get_available_providers(),
    }
    hello = {"ok": True, "protocol": protocol.PROTOCOL, "pid": os.getpid(), "runtime": runtime, "features": FEATURES}
    protocol.send(replies, hello)
    worker = Worker()
    commands: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        "open": worker.open,
        "burst": worker.burst,
        "load": worker.load,
        "reference": worker.reference,
        "transfer": worker.transfer,
        "outputs": worker.outputs,
        "profile": worker.profile,
    }
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
