"""Every runtime and every execution provider that harness knows, and which of them can run here: for `harness list`.

Nothing is installed for that. What a target of the zoo has tried already is not tried again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from harness import runtime_spec
from harness.errors import UsageError, WorkerError
from harness.measure import coordinator
from harness.providers import PLUGINS, SHORT, short_name
from harness.records import Target
from harness.runtimes.client import Client
from harness.runtimes.clients import client_factory

RUNTIMES: Final[Mapping[str, str]] = {
    runtime_spec.OWN: "the onnxruntime beside harness; other releases, flavours and wheels by their names",
    runtime_spec.TORCH: "the network as its framework has it, eager",
    runtime_spec.TORCH_COMPILE: "the network, compiled by inductor",
    runtime_spec.OPENVINO: "the .onnx file, read by OpenVINO",
    runtime_spec.IREE: "the .onnx file, compiled through MLIR",
    runtime_spec.LITERT: "the .tflite file that onnx2tf makes of it",
    runtime_spec.LITERT_TORCH: "the .tflite file that litert-torch makes of the network",
    runtime_spec.TVM: "the .onnx file, compiled through Relax, untuned",
    runtime_spec.GENAI: "a decoder in ONNX Runtime GenAI: time to the first token, and decoding",
    "node": "onnxruntime-node",
    "browser": "onnxruntime-web, in a page of Chromium",
    "cpp": "onnxruntime from C++",
    "java": "onnxruntime from Java",
    "ssh": "onnxruntime in the Python of another machine",
    "android": "onnxruntime on a phone, over adb",
}
"""Runtime -> what it runs."""

FROM: Final[Mapping[str, str]] = {
    "cuda": "runtime: onnxruntime-gpu, and an NVIDIA GPU",
    "tensorrt": "runtime: onnxruntime-gpu, TensorRT, and an NVIDIA GPU",
    "openvino": "runtime: onnxruntime-openvino, or the plugin onnxruntime-ep-openvino",
    "coreml": "onnxruntime on macOS; elsewhere its row has what the usability checker says",
    "directml": "runtime: onnxruntime-directml, on Windows",
    "migraphx": "runtime: onnxruntime-migraphx, and an AMD GPU",
    "rocm": "onnxruntime-rocm of before 1.23, and an AMD GPU",
    "qnn": "the plugin onnxruntime-qnn, and a Qualcomm NPU",
    "xnnpack": "runtime: android, or a build of your own",
    "nnapi": "runtime: android; elsewhere its row has what the usability checker says",
    "cann": "runtime: onnxruntime-cann, and a Huawei NPU",
    "vitisai": "runtime: onnxruntime-vitisai, and an AMD NPU",
    "webgpu": "the plugin onnxruntime-ep-webgpu and a GPU, or runtime: browser",
}
"""Short name of a provider -> what brings it, for where the onnxruntime beside harness does not."""

OWN_BUILD: Final = "a build of your own: its wheel, or the path of its interpreter"
COMPILERS: Final = ("c++", "g++", "clang++")
MOST_SAID: Final = 400


def runtimes(
    targets: Mapping[str, Target],
    why_not: Mapping[str, str],
    cache: Path,
    problem: Callable[[str, Path], str] | None = None,
) -> dict[str, str]:
    """Runtime -> why it cannot run here, empty where it can.

    Args:
        targets: those of the zoo.
        why_not: target -> why it cannot run here, empty where it can.
        cache: root of the cache.
        problem: tries a runtime; `runtime_problem` where none is given.
    """
    found = {}
    for name in RUNTIMES:
        own = [one for one, target in targets.items() if _named(target) == name]
        good = any(not why_not[one] for one in own)
        found[name] = "" if good else (problem or runtime_problem)(name, cache)
    return found


def _named(target: Target) -> str:
    """Which of `RUNTIMES` a target has; a release or a build of onnxruntime is the same as none of them."""
    language = runtime_spec.language(target.runtime)
    return language[0] if language else runtime_spec.other(target.runtime) or target.runtime


def runtime_problem(name: str, cache: Path) -> str:
    """Why no worker of a runtime starts here, on one line; empty where one does."""
    provider = "cpu" if runtime_spec.other(name) else SHORT["cpu"]
    try:
        start = client_factory(Target(name=name, provider=provider, runtime=name), cache, install=False)
        if runtime_spec.runs_network(name):
            # Importing torch takes seconds, and that it is installed was looked at.
            return (
                "" if name != runtime_spec.TORCH_COMPILE or compiler() else f"no C++ compiler: {' or '.join(COMPILERS)}"
            )
        with start():
            return ""
    except (WorkerError, UsageError) as error:
        return " ".join(str(error).split())[:MOST_SAID]


def compiler() -> str | None:
    """A C++ compiler, without which inductor compiles nothing for a CPU."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def providers(
    targets: Mapping[str, Target],
    why_not: Mapping[str, str],
    cache: Path,
    problem: Callable[[str, Path], str] | None = None,
) -> dict[str, tuple[str, str]]:
    """Provider by its short name, or the plugin that alone brings it -> its full name, and why it cannot run here.

    Args:
        targets: those of the zoo.
        why_not: target -> why it cannot run here, empty where it can.
        cache: root of the cache.
        problem: tries a provider; `provider_problem` where none is given.
    """
    with Client() as client:
        built_in = client.runtime.providers
    names = {**SHORT, **{short_name(name): name for name in built_in}}
    found = {}
    for short, full in names.items():
        own = [one for one, target in targets.items() if target.provider == full]
        if any(not why_not[one] for one in own):
            found[short] = (full, "")
            continue
        tried = [why_not[one] for one in own if runtime_spec.is_own(targets[one].runtime) and not targets[one].plugin]
        if full in built_in:
            found[short] = (full, tried[0] if tried else (problem or provider_problem)(full, cache))
        else:
            brings = FROM.get(short, OWN_BUILD)
            found[short] = (full, f"not in the onnxruntime beside harness; what brings it: {brings}")
    for plugin, full in PLUGINS.items():
        if full not in names.values():
            own = [one for one, target in targets.items() if target.plugin == plugin]
            good = any(not why_not[one] for one in own)
            found[plugin] = (
                full,
                "" if good else next(iter(why_not[one] for one in own), f"a plugin: {_target(plugin)}"),
            )
    return found


def _target(plugin: str) -> str:
    """How a target names a plugin."""
    return f"provider: {{plugin: {plugin}}} in a target tries it"


def provider_problem(full: str, cache: Path) -> str:
    """Why a provider of the onnxruntime beside harness runs no node, on one line; empty where it does."""
    target = Target(name=short_name(full), provider=full)
    try:
        coordinator.floor(target, client=client_factory(target, cache, install=False))
    except (WorkerError, UsageError) as error:
        return " ".join(str(error).split())[:MOST_SAID]
    return ""
