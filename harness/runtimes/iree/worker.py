"""The measured process of `runtime: iree`: the .onnx file through MLIR into a module for this CPU, and that run.

Run as a script, from its path, by whichever interpreter holds iree-base-compiler[onnx], iree-base-runtime and NumPy.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
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

OPSET = 17
"""IREE imports from this opset on; older files are converted to it."""

COMPILE = (
    "--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu",
    "--iree-llvmcpu-target-cpu=host",
)  # fmt: skip
MOST_SAID = 300

LACKS = {
    "profile": "IREE's Python runtime has no profile of kernels: in which types it computed is not known",
    "placement": "IREE compiles the whole graph for one device",
    "load": "IREE's Python runtime runs a function one call at a time",
}


class IreeWorker:
    """One compiled module at a time, and the commands on it."""

    def __init__(self, runtime: Any) -> None:
        self.runtime = runtime
        self.function: Any = None
        self.device: Any = None
        self.specs: list[Any] = []
        self.names: list[str] = []
        self.fed: list[Any] = []
        self.next = 0

    def open(self, request: dict[str, Any]) -> dict[str, Any]:
        """Import, compile and load the file; `session_ns` is all three."""
        serving.refuse_provider_options("iree", request)
        start = time.perf_counter_ns()
        with tempfile.TemporaryDirectory() as folder:
            self.specs, self.names = serving.described(request["artifact"]["path"])
            config = self.configured(request["threads"]["intra"])
            module = self.runtime.VmModule.copy_buffer(
                config.vm_instance, compiled(request["artifact"]["path"], folder)
            )
        loaded = self.runtime.load_vm_module(module, config)
        entry = next(name for name in module.function_names if "$" not in name and not name.startswith("__"))
        self.function, self.device = loaded[entry], config.device
        session_ns = time.perf_counter_ns() - start
        batches, distinct = serving.batches(request, self.specs)
        self.fed = [[self.runtime.asdevicearray(self.device, array) for array in one] for one in batches]
        self.next = 0
        return {
            "session_ns": session_ns,
            "inputs": [spec.row() for spec in self.specs],
            "outputs": [[name, "", []] for name in self.names],
            "runtime": {"providers": ["cpu"], "placement": {}},
            "notes": ["its session time is importing, compiling for this CPU and loading"],
            "examples": distinct,
        }

    def configured(self, threads: int) -> Any:
        """IREE's driver: in the calling thread for one, else with as many workers; 0 leaves their number to it."""
        if threads == 1:
            return self.runtime.Config("local-sync")
        if threads:
            self.runtime.flags.parse_flags(f"--task_topology_group_count={threads}")
        return self.runtime.Config("local-task")

    def run(self, arrays: list[Any]) -> list[Any]:
        """One inference, to its end: its results are on the host."""
        found = self.function(*arrays)
        several = found if isinstance(found, (tuple, list)) else (found,)
        return [one.to_host() for one in several]

    def burst(self, request: dict[str, Any]) -> dict[str, Any]:
        """Time n inferences one by one, on one batch after the other."""
        n, first = request["n"], request.get("at", self.next)
        found: dict[str, Any] = serving.timed(n, first, self.fed, self.run)
        self.next = first + n
        return found

    def outputs(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run every example once and write the outputs into `folder`."""
        written: dict[str, Any] = serving.write_outputs(request, self.specs, self.names, self.run)
        return written


def compiled(path: str, folder: str) -> bytes:
    """The module that IREE makes of a file.

    Raises:
        Refused: it cannot import or compile it.
    """
    import onnx

    made, module = os.path.join(folder, "model.mlir"), os.path.join(folder, "model.vmfb")
    domains = onnx.load(path, load_external_data=False).opset_import
    older = min((one.version for one in domains if one.domain in ("", "ai.onnx")), default=OPSET) < OPSET
    tool("iree-import-onnx", path, "-o", made, *(["--opset-version", str(OPSET)] if older else []))
    tool("iree-compile", made, *COMPILE, "-o", module)
    with open(module, "rb") as file:
        return file.read()


def tool(name: str, *arguments: str) -> None:
    """Run one of IREE's programs, which lie beside this interpreter.

    Raises:
        Refused: it failed, with the first error that it named.
    """
    program = os.path.join(os.path.dirname(sys.executable), name)
    done = subprocess.run([program, *arguments], check=False, capture_output=True, text=True, errors="replace")
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error:" in line.lower()] or done.stderr.splitlines()[-1:]
        why = lines[0].strip()[:MOST_SAID] if lines else f"exit code {done.returncode}"
        raise protocol.Refused("not_implemented", f"{name} cannot take this file: {why}")


def refusal(error: BaseException) -> dict[str, Any]:
    """The reply for an exception."""
    text = str(error) or type(error).__name__
    if isinstance(error, protocol.Refused):
        kind = error.kind
    else:
        memory = isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text
        kind = "memory" if memory else "not_implemented" if "UNIMPLEMENTED" in text else "runtime"
    return {"ok": False, "kind": kind, "message": text[: 10 * MOST_SAID]}


def main() -> None:
    """Serve requests until `close` or the end of the input."""
    channels = serving.private_channels()
    from importlib import metadata

    import iree.runtime

    runtime = {
        "name": "iree",
        "version": metadata.version("iree-base-runtime"),
        "build": f"compiler {metadata.version('iree-base-compiler')}, llvm-cpu",
        "language": "python",
        "providers": ["cpu"],
    }
    worker = IreeWorker(iree.runtime)
    commands: dict[str, serving.Command] = {"open": worker.open, "burst": worker.burst, "outputs": worker.outputs}
    serving.serve(channels, runtime, commands, refusal, LACKS)


if __name__ == "__main__":
    main()
