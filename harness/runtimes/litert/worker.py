"""The measured process of `runtime: litert`: the .tflite file that onnx2tf makes of the .onnx file, in LiteRT.

Run as a script, from its path, by whichever interpreter holds ai-edge-litert, onnx2tf and NumPy.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from harness.runtimes import protocol, serving
    from harness.runtimes.litert.network import Network
else:
    import importlib.util

    HERE = os.path.dirname(os.path.abspath(__file__))
    sys.path.pop(0)  # this folder and the one above hold folders that are called like packages
    for _name, _folder in (("serving", os.path.dirname(HERE)), ("network", HERE)):
        _spec = importlib.util.spec_from_file_location(_name, os.path.join(_folder, _name + ".py"))
        sys.modules[_name] = _module = importlib.util.module_from_spec(_spec)
        _spec.loader.exec_module(_module)
    serving, Network = sys.modules["serving"], sys.modules["network"].Network
    protocol = serving.protocol

CONVERT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "convert.py")
KEPT = os.path.join(sys.prefix, "converted")
"""Where .tflite files lie: with what made them, so that they go when that does."""

LACKS = {
    "profile": "LiteRT's Python has no profile of kernels: in which types it computed is not known",
    "placement": "LiteRT's Python does not tell what its XNNPACK delegate took",
}


class LiteRtWorker:
    """One converted file at a time, and the commands on it."""

    def __init__(self, interpreter: Any) -> None:
        self.interpreter = interpreter
        self.path, self.threads = "", 1
        self.specs: list[Any] = []
        self.names: list[str] = []
        self.notes: list[str] = []
        self.converted: dict[tuple[Any, ...], tuple[str, list[Any]]] = {}
        self.fed: list[Any] = []
        self.next = 0

    def open(self, request: dict[str, Any]) -> dict[str, Any]:
        """Convert the file where that was not done yet, and open it; `session_ns` is opening alone."""
        serving.refuse_provider_options("litert", request)
        self.path, self.threads = request["artifact"]["path"], request["threads"]["intra"]
        self.converted, self.notes = {}, []
        described = asked({"path": self.path})["inputs"]
        self.specs = [serving.Spec(name, serving.kind_of(np.dtype(dtype)), shape) for name, dtype, shape in described]
        batches, distinct = serving.batches(request, self.specs)
        for arrays in batches:
            self.conversion(arrays)
        streams, session_ns = request.get("streams") or 1, 0
        opened: dict[tuple[Any, ...], Network] = {}
        self.fed = []
        for number, arrays in enumerate(batches):
            of = (shapes_of(arrays), number % streams)
            if of not in opened:
                start = time.perf_counter_ns()
                opened[of] = self.network(arrays)
                session_ns += time.perf_counter_ns() - start
            self.fed.append((opened[of], arrays))
        self.next = 0
        outputs = next(iter(self.converted.values()))[1]
        self.names = [name for name, _, _ in outputs]
        return {
            "session_ns": session_ns,
            "inputs": [spec.row() for spec in self.specs],
            "outputs": [[name, serving.kind_of(np.dtype(dtype)), shape] for name, dtype, shape in outputs],
            "runtime": {"providers": ["cpu"], "placement": {}},
            "notes": [*self.notes, "an inference copies its inputs into LiteRT and its outputs out of it"],
            "examples": distinct,
        }

    def conversion(self, arrays: list[Any]) -> tuple[str, list[Any]]:
        """The .tflite file for inputs of these shapes, and its outputs."""
        shapes = shapes_of(arrays)
        if shapes not in self.converted:
            named = {spec.name: list(shape) for spec, shape in zip(self.specs, shapes)}
            with tempfile.TemporaryDirectory() as folder:
                feeds = os.path.join(folder, "feeds.npz")
                np.savez(feeds, *arrays)
                answer = asked({"path": self.path, "shapes": named, "kept": KEPT, "feeds": feeds})
            if (took := answer["took_s"]) is not None:
                self.notes.append(f"onnx2tf converted the file in {took:.0f} s, which is in no figure")
            self.converted[shapes] = (answer["path"], answer["outputs"])
        return self.converted[shapes]

    def network(self, arrays: list[Any]) -> Network:
        """An interpreter of its own for inputs of these shapes."""
        path, outputs = self.conversion(arrays)
        made = self.interpreter(model_path=path, num_threads=self.threads or None)
        return Network(made, [spec.name for spec in self.specs], arrays, outputs)

    def burst(self, request: dict[str, Any]) -> dict[str, Any]:
        """Time n inferences one by one, on one batch after the other."""
        n, first = request["n"], request.get("at", self.next)
        found: dict[str, Any] = serving.timed(n, first, self.fed, called)
        self.next = first + n
        return found

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Serve requests that arrive on their own, each stream with an interpreter of its own."""
        found: dict[str, Any] = serving.loaded(request, self.fed, called)
        return found

    def outputs(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run every example once and write the outputs into `folder`."""
        opened: dict[tuple[Any, ...], Network] = {}

        def run(arrays: list[Any]) -> list[Any]:
            if (shapes := shapes_of(arrays)) not in opened:
                opened[shapes] = self.network(arrays)
            return opened[shapes].shaped(arrays)

        written: dict[str, Any] = serving.write_outputs(request, self.specs, self.names, run)
        return written


def called(one: Any) -> list[Any]:
    """One inference."""
    network, arrays = one
    found: list[Any] = network.run(arrays)
    return found


def shapes_of(arrays: list[Any]) -> tuple[Any, ...]:
    """The shape of each array."""
    return tuple(array.shape for array in arrays)


def asked(request: dict[str, Any]) -> dict[str, Any]:
    """What `convert.py` answers, in a process of its own.

    Raises:
        Refused: it cannot take the file.
    """
    done = subprocess.run(
        [sys.executable, CONVERT], check=False, capture_output=True, text=True, errors="replace",
        input=json.dumps(request),
    )  # fmt: skip
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:] or [f"exit code {done.returncode}"]
        raise protocol.Refused("not_implemented", f"the conversion ended without an answer: {last[0]}") from None
    if error := answer.get("error"):
        raise protocol.Refused("model" if answer.get("broken") else "not_implemented", error)
    return answer


def refusal(error: BaseException) -> dict[str, Any]:
    """The reply for an exception."""
    text = str(error) or type(error).__name__
    if isinstance(error, protocol.Refused):
        kind = error.kind
    else:
        kind = "memory" if isinstance(error, MemoryError) else "runtime"
    return {"ok": False, "kind": kind, "message": text}


def main() -> None:
    """Serve requests until `close` or the end of the input."""
    channels = serving.private_channels()
    from importlib import metadata

    from ai_edge_litert.interpreter import Interpreter

    runtime = {
        "name": "litert",
        "version": metadata.version("ai-edge-litert"),
        "build": f"onnx2tf {metadata.version('onnx2tf')}, XNNPACK",
        "language": "python",
        "providers": ["cpu"],
    }
    worker = LiteRtWorker(Interpreter)
    commands: dict[str, serving.Command] = {
        "open": worker.open, "burst": worker.burst, "load": worker.load, "outputs": worker.outputs,
    }  # fmt: skip
    serving.serve(channels, runtime, commands, refusal, LACKS)


if __name__ == "__main__":
    main()
