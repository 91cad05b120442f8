"""The measured process of `runtime: openvino`: OpenVINO compiles and runs the .onnx file itself.

Run as a script, from its path, by whichever interpreter holds openvino and NumPy.
"""

from __future__ import annotations

import os
import re
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.runtimes import protocol, serving
else:
    import importlib.util

    HERE = os.path.dirname(os.path.abspath(__file__))
    sys.path.pop(0)  # this folder and the one above hold folders that are called like packages
    _spec = importlib.util.spec_from_file_location("serving", os.path.join(os.path.dirname(HERE), "serving.py"))
    sys.modules["serving"] = serving = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(serving)
    protocol = serving.protocol

PRECISION = "INFERENCE_PRECISION_HINT"
NO_PLACEMENT = "OpenVINO compiles the whole graph for one device"

TYPES = {
    "f32": "float", "f64": "double", "f16": "float16", "bf16": "bfloat16", "boolean": "bool", "string": "string",
    **{f"{short}{bits}": f"{long}{bits}" for short, long in (("i", "int"), ("u", "uint")) for bits in (8, 16, 32, 64)},
}  # fmt: skip
"""OpenVINO's name of an element type -> ONNX's."""

OPERATORS = {
    "Convolution": "Conv", "GroupConvolution": "Conv", "Deconvolution": "ConvTranspose", "FullyConnected": "Gemm",
    "MatMul": "MatMul", "LSTMSeq": "LSTM", "LSTMCell": "LSTM", "GRUSeq": "GRU",
    "ScaledDotProductAttention": "Attention",
}  # fmt: skip
"""OpenVINO's kernels that do arithmetic -> ONNX's operators, by which shares of arithmetic are summed."""

QUANTIZED = "QuantizedLegacy"
"""What OpenVINO adds to the name of a kernel that computes with integers."""

IN_KERNEL = re.compile(r"_(f32|f16|bf16|i8|u8|f64)$", re.IGNORECASE)


class OpenVinoWorker:
    """One compiled model at a time, and the commands on it."""

    def __init__(self, ov: Any) -> None:
        self.ov, self.core = ov, ov.Core()
        self.device = "CPU"
        self.compiled: Any = None
        self.requests: list[Any] = []
        self.specs: list[Any] = []
        self.names: list[str] = []
        self.runs = self.next = 0

    def open(self, request: dict[str, Any]) -> dict[str, Any]:
        """Read and compile the file; `session_ns` is both. One inference request for each batch."""
        options = request.get("options") or {}
        self.device = options.get("provider", "cpu").upper()
        if self.device not in (names := [name.partition(".")[0] for name in self.core.available_devices]):
            raise protocol.Refused(
                "provider", f"OpenVINO finds no device {self.device} here; it has {', '.join(names)}"
            )
        start = time.perf_counter_ns()
        model = self.core.read_model(request["artifact"]["path"])
        read_ns = time.perf_counter_ns() - start
        self.specs = [spec_of(one) for one in model.inputs]
        self.names = [one.any_name for one in model.outputs]
        fed, distinct = serving.batches(request, self.specs)
        if alike(request, fed):
            model.reshape({spec.name: list(array.shape) for spec, array in zip(self.specs, fed[0])})
        config = settings(request, options)
        start = time.perf_counter_ns()
        self.compiled = self.core.compile_model(model, self.device, config)
        compile_ns = time.perf_counter_ns() - start
        self.requests = [self.bound(batch) for batch in fed]
        self.runs = self.next = 0
        return {
            "session_ns": read_ns + compile_ns,
            "inputs": [spec.row() for spec in self.specs],
            "outputs": [spec_of(one).row() for one in model.outputs],
            "runtime": {"providers": [self.device.lower()], "placement": {}},
            "notes": [f"OpenVINO computes floats in {self.precision()} here ({PRECISION})"],
            "examples": distinct,
        }

    def precision(self) -> str:
        """The type that it says floats are computed in."""
        try:
            name = str(self.compiled.get_property(PRECISION).get_type_name())
        except (RuntimeError, AttributeError):
            return "a type that it does not tell"
        return {"f32": "float32"}.get(name, TYPES.get(name, name))

    def bound(self, arrays: list[Any]) -> Any:
        """An inference request with a batch of its own."""
        made = self.compiled.create_infer_request()
        for index, array in enumerate(arrays):
            made.set_input_tensor(index, self.ov.Tensor(array))  # a copy of its own
        return made

    def burst(self, request: dict[str, Any]) -> dict[str, Any]:
        """Time n inferences one by one, on one batch after the other."""
        n, first = request["n"], request.get("at", self.next)
        found: dict[str, Any] = serving.timed(n, first, self.requests, infer)
        self.next = first + n
        return found

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Serve requests that arrive on their own."""
        found: dict[str, Any] = serving.loaded(request, self.requests, infer)
        return found

    def outputs(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run every example once and write the outputs into `folder`."""
        made = self.compiled.create_infer_request()

        def run(arrays: list[Any]) -> list[Any]:
            for index, array in enumerate(arrays):
                made.set_input_tensor(index, self.ov.Tensor(array.copy()))
            made.infer()
            return [made.get_output_tensor(index).data.copy() for index in range(len(self.names))]

        written: dict[str, Any] = serving.write_outputs(request, self.specs, self.names, run)
        return written

    def profile(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002  (every command takes a request)
        """What each kernel took in the last inference; types are those in the kernels' names."""
        last = self.requests[(self.next - 1) % len(self.requests)]
        rows = [row_of(one, self.device.lower()) for one in last.get_profiling_info() if one.status.name == "EXECUTED"]
        return {"nodes": rows, "runs": 1}


def infer(made: Any) -> None:
    """One inference."""
    made.infer()


def row_of(info: Any, device: str) -> list[Any]:
    """A row of the profile: node, operator, provider, input types, count, microseconds.

    A kernel whose name does not end in a type keeps out of the shares of arithmetic, under a name of its own.
    """
    kernel = IN_KERNEL.search(info.exec_type)
    operator = info.node_type.replace(QUANTIZED, "")
    operator = OPERATORS.get(operator, operator) if kernel else f"{operator} of unknown type"
    kind = TYPES[kernel[1].lower()] if kernel else ""
    return [info.node_name, operator, device, kind, 1, round(info.real_time.total_seconds() * 1e6)]


def settings(request: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """What the model is compiled with: for latency, a stream for each request at a time, each with its threads.

    OpenVINO's number of threads is of all streams together. Requests beyond its streams would wait for one another.
    """
    found: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    streams = request.get("streams") or 1
    if options.get("provider", "cpu") == "cpu":
        found["NUM_STREAMS"] = str(streams)
        if request["threads"]["intra"]:
            found["INFERENCE_NUM_THREADS"] = request["threads"]["intra"] * streams
    if request.get("profile"):
        found["PERF_COUNT"] = True
    return {**found, **(options.get("provider_options") or {})}


def alike(request: dict[str, Any], fed: list[list[Any]]) -> bool:
    """Whether all examples have one shape, so that the graph can be given it; else open axes stay open."""
    varied = any((entry.get("files") or entry.get("data")) for entry in request["feeds"].values())
    return not varied and all([a.shape for a in one] == [b.shape for b in fed[0]] for one in fed)


def spec_of(port: Any) -> Any:
    """An input or output in the words of ONNX."""
    kind = port.element_type.get_type_name()
    shape = [axis.get_length() if axis.is_static else "?" for axis in port.partial_shape]
    return serving.Spec(port.any_name, f"tensor({TYPES.get(kind, kind)})", shape)


def refusal(error: BaseException) -> dict[str, Any]:
    """The reply for an exception; OpenVINO's are of one type, and begin with where in its source they stood."""
    lines = [line.strip() for line in str(error).splitlines()]
    text = " ".join(line for line in lines if line and not line.startswith("Exception from")) or type(error).__name__
    if isinstance(error, protocol.Refused):
        kind = error.kind
    elif re.search(r"Unsupported property|Wrong value .* for property|Cannot load library", text):
        kind = "provider"
    elif re.search(r"not supported|unsupported|OpConversionFailure|No translator", text, re.IGNORECASE):
        kind = "not_implemented"
    elif "bad_alloc" in text or isinstance(error, MemoryError):
        kind = "memory"
    elif re.search(r"Unable to read the model|Could not open the file|parsing", text, re.IGNORECASE):
        kind = "model"
    else:
        kind = "runtime"
    return {"ok": False, "kind": kind, "message": text}


def main() -> None:
    """Serve requests until `close` or the end of the input."""
    channels = serving.private_channels()
    import openvino as ov

    worker = OpenVinoWorker(ov)
    version, _, build = ov.__version__.partition("-")
    runtime = {
        "name": "openvino",
        "version": version,
        "build": build,
        "language": "python",
        "providers": [name.lower() for name in worker.core.available_devices],
    }
    commands: dict[str, serving.Command] = {
        "open": worker.open, "burst": worker.burst, "load": worker.load, "outputs": worker.outputs,
        "profile": worker.profile,
    }  # fmt: skip
    serving.serve(channels, runtime, commands, refusal, {"placement": NO_PLACEMENT})


if __name__ == "__main__":
    main()
