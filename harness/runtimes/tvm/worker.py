"""The measured process of `runtime: tvm`: the .onnx file through Relax into functions for this CPU, and their run.

Run as a script, from its path, by whichever interpreter holds apache-tvm, onnx and NumPy.
"""

from __future__ import annotations

import os
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

MOST_SAID = 300

LACKS = {
    "profile": "TVM's virtual machine has no profile of kernels: in which types it computed is not known",
    "placement": "TVM compiles the whole graph for one device",
    "memory": "TVM compiles in the process that runs: what its compiler leaves is not told apart from the model",
    "load": "TVM's virtual machine runs a function one call at a time",
}


class TvmWorker:
    """One imported file at a time, compiled for each set of shapes that it is run with."""

    def __init__(self, tvm: Any) -> None:
        self.tvm, self.relax = tvm, tvm.relax
        self.device = tvm.cpu()
        self.target = {"kind": "llvm", "mcpu": tvm.target.codegen.llvm_get_system_cpu()}
        self.model: Any = None
        self.specs: list[Any] = []
        self.names: list[str] = []
        self.functions: dict[tuple[Any, ...], Any] = {}
        self.fed: list[Any] = []
        self.next = 0

    def open(self, request: dict[str, Any]) -> dict[str, Any]:
        """Import and compile the file for the shapes of its batches; `session_ns` is all of that."""
        import onnx

        serving.refuse_provider_options("tvm", request)
        if threads := request["threads"]["intra"]:
            # Read when its pool starts, at the first function that has one.
            os.environ["TVM_NUM_THREADS"] = str(threads)
        start = time.perf_counter_ns()
        self.model, self.functions = onnx.load(request["artifact"]["path"]), {}
        self.specs, self.names = serving.described(request["artifact"]["path"])
        read_ns = time.perf_counter_ns() - start
        batches, distinct = serving.batches(request, self.specs)
        start = time.perf_counter_ns()
        for arrays in batches:
            self.function(arrays)
        compile_ns = time.perf_counter_ns() - start
        self.fed = [self.ready(arrays) for arrays in batches]
        self.next = 0
        return {
            "session_ns": read_ns + compile_ns,
            "inputs": [spec.row() for spec in self.specs],
            "outputs": [[name, "", []] for name in self.names],
            "runtime": {"providers": ["cpu"], "placement": {}},
            "notes": [
                "its session time is importing and compiling for this CPU and these shapes",
                "TVM's default schedules: nothing was tuned, which is what its speed comes from",
            ],
            "examples": distinct,
        }

    def function(self, arrays: list[Any]) -> Any:
        """The compiled graph for inputs of these shapes."""
        shapes = tuple(array.shape for array in arrays)
        if shapes not in self.functions:
            from tvm.relax.frontend.onnx import from_onnx

            given = {spec.name: list(shape) for spec, shape in zip(self.specs, shapes)}
            types = {spec.name: array.dtype.name for spec, array in zip(self.specs, arrays)}
            module = from_onnx(self.model, shape_dict=given, dtype_dict=types, keep_params_in_input=False)
            made = self.tvm.compile(module, target=self.tvm.target.Target(self.target))
            self.functions[shapes] = self.relax.VirtualMachine(made, self.device)["main"]
        return self.functions[shapes]

    def ready(self, arrays: list[Any]) -> Any:
        """A function, and the arrays that it is called with, where the device reads them."""
        return self.function(arrays), [self.tvm.runtime.tensor(array, self.device) for array in arrays]

    def burst(self, request: dict[str, Any]) -> dict[str, Any]:
        """Time n inferences one by one, on one batch after the other."""
        n, first = request["n"], request.get("at", self.next)
        found: dict[str, Any] = serving.timed(n, first, self.fed, called)
        self.next = first + n
        return found

    def outputs(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run every example once and write the outputs into `folder`."""
        written: dict[str, Any] = serving.write_outputs(
            request, self.specs, self.names, lambda arrays: called(self.ready(arrays))
        )
        return written


def called(one: Any) -> list[Any]:
    """One inference, to its end: its results are on the host."""
    function, arrays = one
    found = function(*arrays)
    several = [found] if hasattr(found, "numpy") else list(found)
    return [value.numpy() for value in several]


def refusal(error: BaseException) -> dict[str, Any]:
    """The reply for an exception; what the importer or a lowering cannot do has many types there."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[-1].strip()}" if lines else type(error).__name__
    if isinstance(error, protocol.Refused):
        kind, text = error.kind, str(error)
    elif isinstance(error, MemoryError) or "bad_alloc" in text:
        kind = "memory"
    elif type(error).__name__ == "DecodeError":
        kind = "model"
    elif isinstance(error, (NotImplementedError, AttributeError, KeyError, TypeError, ValueError)):
        kind, text = "not_implemented", f"TVM cannot take this file: {text}"
    else:
        kind = "not_implemented" if "not supported" in text or "InternalError" in text else "runtime"
    return {"ok": False, "kind": kind, "message": text[: 10 * MOST_SAID]}


def main() -> None:
    """Serve requests until `close` or the end of the input."""
    channels = serving.private_channels()
    import tvm
    import tvm.relax

    runtime = {
        "name": "tvm",
        "version": tvm.__version__,
        "build": "llvm, default schedules",
        "language": "python",
        "providers": ["cpu"],
    }
    worker = TvmWorker(tvm)
    commands: dict[str, serving.Command] = {"open": worker.open, "burst": worker.burst, "outputs": worker.outputs}
    serving.serve(channels, runtime, commands, refusal, LACKS)


if __name__ == "__main__":
    main()
