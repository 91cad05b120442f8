"""The measured process of `runtime: torch`, `torch-compile` and `litert-torch`: the network itself, without ONNX.

Run as a script by the interpreter that harness runs in, since the network comes from harness's own frameworks, as it
did for the export: `options` of `open` have `network` {model, weights}, the model of the zoo as JSON and the digest of
the weights that the artifact was exported with. Without it, one Relu is run: what a call costs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.runtimes import protocol, serving
    from harness.runtimes.torch import litert
else:
    import importlib.util

    # This folder is called `torch`: it may not be searched for modules. The package that it belongs to is, whatever
    # folder this was started in.
    HERE = os.path.dirname(os.path.abspath(__file__))
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
    _spec = importlib.util.spec_from_file_location("serving", os.path.join(os.path.dirname(HERE), "serving.py"))
    sys.modules["serving"] = serving = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(serving)
    protocol = serving.protocol
    _spec = importlib.util.spec_from_file_location("litert", os.path.join(HERE, "litert.py"))
    litert = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(litert)

NO_PROFILE = "torch is not profiled: which kernels it ran, and in which types, is not known"
NO_PLACEMENT = "torch has no execution providers: everything runs on the target's device"


class TorchWorker:
    """One network at a time, and the commands on it."""

    converts = False
    """Whether LiteRT runs it, and arrays are fed as they are."""

    def __init__(self, torch: Any, compiles: bool) -> None:
        self.torch, self.compiles = torch, compiles
        self.threads_at_start = torch.get_num_threads()
        self.device = "cpu"
        self.networks: dict[str, Any] = {}
        self.compiled: dict[str, Any] = {}
        self.module: Any = None
        self.specs: list[Any] = []
        self.names: list[str] = []
        self.fed: list[Any] = []
        self.next = 0

    def open(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load the network, put it and its inputs on the device, and run it once.

        `session_ns` is what comes after loading: moving the network, compiling it, and the first inference.
        """
        torch, options = self.torch, request.get("options") or {}
        self.device = options.get("provider", "cpu")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise protocol.Refused("provider", "this torch finds no CUDA device")
        serving.refuse_provider_options("torch", request)
        key = json.dumps(options.get("network"), sort_keys=True)
        if key not in self.networks:
            network = options.get("network")
            self.networks[key] = loaded(network) if network else one_relu(torch)
        module, self.specs, self.names = self.networks[key]
        self.set_threads(request["threads"])
        batches, distinct = serving.batches(request, self.specs)
        self.fed = [[self.tensor(array) for array in batch] for batch in batches]
        self.next = 0
        module = self.untimed(key, module)
        start = time.perf_counter_ns()
        module = module if self.converts else module.to(self.device)
        if self.compiles:
            module = self.compiled.setdefault(key, torch.compile(module, backend="inductor", dynamic=False))
        self.module = module
        self.run(self.fed[0])
        self.fed = self.as_timed()
        return {
            "session_ns": time.perf_counter_ns() - start,
            "inputs": [spec.row() for spec in self.specs],
            "outputs": [[name, "", []] for name in self.names],
            "runtime": {"providers": [self.device], "placement": {}},
            "notes": self.notes(request.get("streams") or 1),
            "examples": distinct,
        }

    def as_timed(self) -> list[Any]:
        """The batches that are timed."""
        return self.fed

    def untimed(self, key: str, module: Any) -> Any:  # noqa: ARG002  (another worker's need it)
        """What comes before the session's time."""
        return module

    def notes(self, streams: int) -> list[str]:
        """How it runs, where that is not what its target says."""
        torch = self.torch
        found = []
        if self.compiles:
            found.append("its session time is compiling by inductor and one inference; inductor's own cache was in use")
        if self.device == "cuda" and torch.backends.cudnn.allow_tf32:
            found.append("torch lets cuDNN compute convolutions of float32 in TF32, its default")
        if streams > 1:
            found.append("each request at a time has as many threads as the target says: torch shares none")
        return found

    def set_threads(self, threads: dict[str, int]) -> None:
        """As many as ONNX Runtime would be given; 0 leaves torch what it takes by itself."""
        self.torch.set_num_threads(threads["intra"] or self.threads_at_start)

    def tensor(self, array: Any) -> Any:
        """An array as a tensor on the device.

        Raises:
            Refused: torch has no such type.
        """
        try:
            return self.torch.from_numpy(array).to(self.device)
        except TypeError as error:
            raise protocol.Refused("input", f"torch has no tensor of {array.dtype}") from error

    def run(self, tensors: Any) -> Any:
        """One inference, to its end also on a device."""
        with self.torch.inference_mode():
            found = self.module(*tensors)
        if self.device == "cuda":
            self.torch.cuda.synchronize()
        return found

    def burst(self, request: dict[str, Any]) -> dict[str, Any]:
        """Time n inferences one by one, on one batch after the other."""
        n, first = request["n"], request.get("at", self.next)
        with self.torch.inference_mode():
            run = (lambda tensors: self.module(*tensors)) if self.device == "cpu" else self.run
            found: dict[str, Any] = serving.timed(n, first, self.fed, run)
        self.next = first + n
        return found

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Serve requests that arrive on their own; every thread enters torch's inference mode for itself."""
        found: dict[str, Any] = serving.loaded(request, self.fed, self.run)
        return found

    def outputs(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run every example once and write the outputs into `folder`."""
        from harness.frameworks import torch_family

        def run(arrays: list[Any]) -> list[Any]:
            import numpy as np

            found = self.run([self.tensor(np.array(array)) for array in arrays])
            return found if self.converts else [one.detach().cpu().numpy() for one in torch_family.flatten(found)]

        written: dict[str, Any] = serving.write_outputs(request, self.specs, self.names, run)
        return written


class LiteRtTorchWorker(TorchWorker):
    """Networks that litert-torch converts and LiteRT runs."""

    converts = True
    network: Any = None

    def as_timed(self) -> list[Any]:
        """In the types that LiteRT takes."""
        return [self.network.fitting(arrays) for arrays in self.fed]

    def untimed(self, key: str, module: Any) -> Any:
        """Convert the network for the batches that are timed, in no figure."""
        threads = self.torch.get_num_threads()
        name = f"{threads} {key}"
        if name not in self.compiled:
            self.compiled[name] = litert.TfliteNetwork(self.torch, module, threads)
        network = self.compiled[name]
        for arrays in self.fed:
            network.convert(arrays)
        self.network = network
        return network

    def run(self, tensors: Any) -> Any:
        """One inference, of inputs in the types that LiteRT takes; what is timed has them already."""
        return self.network(*self.network.fitting(tensors))

    def tensor(self, array: Any) -> Any:
        """As it is."""
        return array

    def notes(self, streams: int) -> list[str]:  # noqa: ARG002  (the other worker's need it)
        """What is in no figure, and what is in each."""
        took = sum(one.took_s for one in self.compiled.values())
        return [f"litert-torch converted the network in {took:.0f} s, which is in no figure", litert.NOTE]


def loaded(network: dict[str, Any]) -> Any:
    """The module of a zoo's model, its inputs and the names of its outputs.

    Raises:
        Refused: the model does not come as a torch network, cannot be loaded, or has other weights than the artifact.
    """
    from harness import frameworks
    from harness.errors import HarnessError
    from harness.frameworks import torch_family
    from harness.records import wire

    model = wire.model_from_json(network["model"])
    weights = network["weights"]
    if weights["kind"] == "seeded":  # the artifact has them, whether they were asked for or a hub was out of reach
        model = dataclasses.replace(model, weights=dataclasses.replace(model.weights, kind="seeded", path=None))
    framework = frameworks.get(model.source)
    os.environ.update(framework.environment)
    if framework.prepare is not None:
        framework.prepare()
    try:
        found = framework.load(model)
    except HarnessError as error:
        raise protocol.Refused("model", str(error)) from error
    if not isinstance(found, torch_family.TorchModel):
        why = f"the source `{model.source}` brings no torch network: only ONNX runtimes and those that read ONNX run it"
        raise protocol.Refused("not_implemented", why)
    if found.weights.digest != weights["digest"]:
        why = f"{model.name} came with other weights than its artifact has: torch would time another network"
        raise protocol.Refused("model", why)
    specs = [serving.Spec(one.name, serving.kind_of(one.dtype), one.shape) for one in found.model.inputs]
    return found.module, specs, list(found.outputs)


def one_relu(torch: Any) -> Any:
    """What a call costs: as the one-node model that other runtimes are tried with."""
    return torch.nn.ReLU(), [serving.Spec("x", "tensor(float)", [1])], ["y"]


def refusal(error: BaseException) -> dict[str, Any]:
    """The reply for an exception."""
    text = str(error) or type(error).__name__
    if isinstance(error, protocol.Refused):
        kind = error.kind
    elif isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        kind = "memory"
    elif isinstance(error, NotImplementedError):
        kind = "not_implemented"
    else:
        kind = "runtime"
    return {"ok": False, "kind": kind, "message": text}


def main(compiles: bool, converts: bool) -> None:
    """Serve requests until `close` or the end of the input."""
    channels = serving.private_channels()
    import torch

    runtime = {
        "name": "litert-torch" if converts else "torch-compile" if compiles else "torch",
        "version": torch.__version__,
        "build": torch.__config__.show().splitlines()[1].strip() if torch.__config__.show() else "",
        "language": "python",
        "providers": ["cpu", *(["cuda"] if torch.cuda.is_available() else [])],
    }
    lacks = {"profile": NO_PROFILE, "placement": NO_PLACEMENT}
    worker = TorchWorker(torch, compiles)
    if converts:
        from importlib import metadata

        runtime["version"] = metadata.version("ai-edge-litert")
        runtime["build"] = f"litert-torch {metadata.version('litert-torch')}, torch {torch.__version__}, XNNPACK"
        runtime["providers"] = ["cpu"]
        lacks, worker = litert.LACKS, LiteRtTorchWorker(torch, False)
    commands: dict[str, serving.Command] = {
        "open": worker.open, "burst": worker.burst, "load": worker.load, "outputs": worker.outputs,
    }  # fmt: skip
    serving.serve(channels, runtime, commands, refusal, lacks)


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("--cache", help="where weights lie that were trained on this machine")
    asked.add_argument("--compile", action="store_true", help="run what inductor makes of the network")
    asked.add_argument("--litert", action="store_true", help="run what litert-torch makes of the network")
    found = asked.parse_args()
    if found.cache:
        os.environ["HARNESS_CACHE"] = found.cache
    main(compiles=found.compile, converts=found.litert)
