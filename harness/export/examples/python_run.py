"""Opens the model beside it as it was measured, feeds the samples, and checks what comes out.

    python run.py                  # exit code 0: as expected, 1: not, 2: it does not run here
    python run.py --times 100      # and the median of so many runs

Needs onnxruntime and NumPy, any Python from 3.8; `ort_values.py` beside it is Apache-2.0, from onnx-harness. Take what
you need: `opened` is how the session is made, `fed` is what one call takes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

if TYPE_CHECKING:
    from harness import ort_values
else:
    import ort_values

HERE = os.path.dirname(os.path.abspath(__file__))
LEVELS = {"disabled": "DISABLE_ALL", "basic": "ENABLE_BASIC", "extended": "ENABLE_EXTENDED", "all": "ENABLE_ALL"}


def opened(asked: dict[str, Any]) -> Any:
    """The session, with the settings that it was measured with."""
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, "ORT_" + LEVELS[asked["optimization"]])
    options.intra_op_num_threads = asked["intra_threads"]
    options.inter_op_num_threads = asked["inter_threads"]
    config = dict(asked["config"])
    if config.pop("session.execution_mode", "0") == "1":
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    for key, value in config.items():
        options.add_session_config_entry(key, value)
    for axis, size in asked["dims"].items():
        options.add_free_dimension_override_by_name(axis, size)
    providers: list[Any] = [(asked["provider"], asked["provider_options"])]
    if "tensorrt" in asked["provider"].lower() and "CUDAExecutionProvider" in ort.get_available_providers():
        device = {key: value for key, value in asked["provider_options"].items() if key == "device_id"}
        providers.append(("CUDAExecutionProvider", device))  # takes what TensorRT leaves, before the CPU does
    if asked["provider"] != "CPUExecutionProvider" and config.get("session.disable_cpu_ep_fallback") != "1":
        providers.append("CPUExecutionProvider")
    return ort.InferenceSession(os.path.join(HERE, asked["model"]), options, providers=providers)


def value(entry: dict[str, Any], place: int) -> Any:
    """A stored value: an array, or a structure of them."""
    if entry.get("type") == ort_values.NESTED:
        with np.load(os.path.join(HERE, entry["files"][place])) as held:
            return ort_values.unpack(held)
    if "files" in entry:
        return np.load(os.path.join(HERE, entry["files"][place]))
    return np.load(os.path.join(HERE, entry["stacked"]))[place]


def fed(asked: dict[str, Any], session: Any, place: int) -> dict[str, Any]:
    """One sample: input name -> value."""
    kinds = {spec.name: spec.type for spec in session.get_inputs()}
    return {
        entry["name"]: ort_values.fitting(
            value(entry, place), kinds[entry["name"]], entry.get("type", ""), entry["name"]
        )
        for entry in asked["inputs"]
    }


def differs(found: Any, expected: Any, tolerance: float) -> str:
    """What is wrong with an output; empty where nothing is. Numbers may lie apart by a share of the largest one."""
    if isinstance(expected, (dict, list)) or expected is None:
        return differs_inside(found, expected, tolerance)
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        return f"shape {found.shape}, expected {expected.shape}"
    if expected.dtype.kind not in "fc":
        wrong = int((found != expected).sum())
        return f"{wrong} of {expected.size} values differ" if wrong else ""
    finite = np.isfinite(expected)
    if not np.array_equal(np.isfinite(found), finite) or not np.array_equal(
        found[~finite], expected[~finite], equal_nan=True
    ):
        return "infinite or not a number at other places"
    wide = found[finite].astype(complex) - expected[finite].astype(complex)
    apart, largest = np.abs(wide).max(initial=0.0), np.abs(expected[finite].astype(complex)).max(initial=0.0)
    return "" if apart <= tolerance * largest else f"differs by {apart:.3g}, where the largest value is {largest:.3g}"


def differs_inside(found: Any, expected: Any, tolerance: float) -> str:
    """The same for a sequence, a map or nothing at all."""
    if type(found) is not type(expected) or (expected is not None and len(found) != len(expected)):
        return "another structure"
    if expected is None:
        return ""
    pairs = (
        zip(found, expected) if isinstance(expected, list) else ((found.get(key), one) for key, one in expected.items())
    )
    return next((wrong for one, other in pairs if (wrong := differs(one, other, tolerance))), "")


def main() -> int:
    """Run every sample and say what came of it."""
    parser = argparse.ArgumentParser(description="Run the exported model on its samples.")
    parser.add_argument("--times", type=int, default=0, help="time so many runs of the first sample")
    arguments = parser.parse_args()
    with open(os.path.join(HERE, "session.json"), encoding="utf-8") as file:
        asked = json.load(file)
    measured = asked["measured_by"].get("version")
    if measured and measured != ort.__version__:
        print(f"measured with onnxruntime {measured}, this is {ort.__version__}: times and outputs may differ")
    if asked["provider"] not in ort.get_available_providers():
        print(f"this onnxruntime has no {asked['provider']}; it has {', '.join(ort.get_available_providers())}")
        return 2
    session = opened(asked)
    if asked["provider"] not in session.get_providers():
        print(f"{asked['provider']} could not be loaded; onnxruntime fell back to {session.get_providers()}")
        return 2
    wrong = 0
    for place in range(asked["samples"]):
        found = ort_values.run(ort, session, fed(asked, session, place))
        for spec, one in zip(session.get_outputs(), found):
            shape = getattr(one, "shape", type(one).__name__)
            entry = next((known for known in asked["outputs"] if known["name"] == spec.name), None)
            if entry is None or spec.name in asked["random"]:
                print(f"sample {place}: {spec.name} {shape}, nothing to compare with")
                continue
            why = differs(one, value(entry, place), asked["tolerance"])
            wrong += bool(why)
            print(f"sample {place}: {spec.name} {shape}: {why or 'as expected'}")
    if arguments.times > 0:
        feed, durations = fed(asked, session, 0), []
        for _ in range(arguments.times):
            start = time.perf_counter()
            ort_values.run(ort, session, feed)
            durations.append(time.perf_counter() - start)
        print(f"median of {arguments.times} runs: {statistics.median(durations) * 1e3:.3f} ms, copies included")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
