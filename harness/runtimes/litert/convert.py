"""An .onnx file -> a .tflite file that takes the same inputs and gives the same outputs, by onnx2tf.

Run as a script by the interpreter that holds onnx2tf and onnx, in a process of its own: TensorFlow, which older
releases of onnx2tf need, stays out of the process that is measured. One line on stdout says what was made, or why not.

onnx2tf lays images out with their channels last, outputs too. Inputs are kept as the .onnx file has them, and an output
of three axes or more leaves as a row, whose order of elements is ONNX's: what is transposed for that is part of the
.tflite file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
if TYPE_CHECKING:
    from harness.runtimes.litert.network import Network
else:
    import importlib.util

    _spec = importlib.util.spec_from_file_location("network", os.path.join(HERE, "network.py"))
    _network = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(_network)
    Network = _network.Network

FLAT_FROM = 3
"""Axes from which on onnx2tf may reorder an output."""

MOST_SAID = 300
MOST_NOISE = 0.01
"""Of an output's energy about its mean: what rounding may change."""

OTHERWISE = "onnx2tf makes a file that computes something else"
"""How the reason begins where a conversion was made and is wrong."""

ERROR = re.compile(r"(?:\x1b\[[0-9;]*m)*(?:[A-Za-z]*Error\b|ERROR\b|Dimensions )")
"""A line of onnx2tf, or of what it is made of, that says why."""


def with_shapes(path: str, shapes: dict[str, list[int]]) -> Any:
    """The model with inputs of these shapes; those that are not named stay open."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    for one in graph.input:
        if one.name not in shapes:
            continue
        del one.type.tensor_type.shape.dim[:]
        for size in shapes[one.name]:
            one.type.tensor_type.shape.dim.add().dim_value = size
    if shapes:
        for one in graph.output:
            one.type.tensor_type.ClearField("shape")
        del graph.value_info[:]
        graph.CopyFrom(onnx.shape_inference.infer_shapes(model, data_prop=True).graph)
    return model


def outputs_of(model: Any) -> list[list[Any]]:
    """Name, type and shape of each output.

    Raises:
        ValueError: a shape does not follow from those of the inputs.
    """
    import onnx

    found = []
    for one in model.graph.output:
        tensor = one.type.tensor_type
        if not tensor.HasField("shape") or any(not axis.HasField("dim_value") for axis in tensor.shape.dim):
            raise ValueError(f"the shape of output {one.name!r} does not follow from those of the inputs")
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
        found.append([one.name, dtype, [axis.dim_value for axis in tensor.shape.dim]])
    return found


def flatten(model: Any, outputs: list[list[Any]]) -> Any:
    """The model, with its outputs as rows where onnx2tf may reorder their axes."""
    import onnx

    graph = model.graph
    for one, (name, _, shape) in zip(graph.output, outputs):
        if len(shape) < FLAT_FROM:
            continue
        inside, kind = f"{name}_in_its_shape", one.type.tensor_type.elem_type
        for node in graph.node:
            for names in (node.input, node.output):
                for place, other in enumerate(names):
                    if other == name:
                        names[place] = inside
        graph.initializer.append(onnx.helper.make_tensor(f"{inside}_row", onnx.TensorProto.INT64, [1], [-1]))
        graph.node.append(onnx.helper.make_node("Reshape", [inside, f"{inside}_row"], [name]))
        one.CopyFrom(onnx.helper.make_tensor_value_info(name, kind, [None]))
    return model


def convert(model: Any, inputs: list[str], folder: str) -> str:
    """The .tflite file of a prepared model, in a folder.

    Raises:
        ValueError: onnx2tf cannot, with the reason that it gives.
    """
    import onnx

    source, made = os.path.join(folder, "model.onnx"), os.path.join(folder, "made")
    shutil.rmtree(made, ignore_errors=True)
    onnx.save(model, source)
    program = os.path.join(os.path.dirname(sys.executable), "onnx2tf")
    keep = ["-kat", *inputs] if inputs else []
    done = subprocess.run(
        [program, "-i", source, "-o", made, "-n", "-coion", *keep],
        check=False, capture_output=True, text=True, errors="replace", cwd=folder,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"},
    )  # fmt: skip
    result = os.path.join(made, "model_float32.tflite")
    if done.returncode or not os.path.isfile(result):
        lines = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
        said = [line for line in lines if ERROR.match(line)] or lines[-1:] or [f"exit code {done.returncode}"]
        raise ValueError(f"onnx2tf cannot take this file: {said[-1][:MOST_SAID]}")
    return result


def described(path: str) -> dict[str, Any]:
    """What `open` says of the inputs: name, type and shape, with text for open axes."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    weights = {one.name for one in graph.initializer}
    found = []
    for one in graph.input:
        if one.name in weights:
            continue
        tensor = one.type.tensor_type
        shape = [axis.dim_value if axis.HasField("dim_value") else axis.dim_param or "?" for axis in tensor.shape.dim]
        found.append([one.name, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name, shape])
    return {"inputs": found}


def made(path: str, shapes: dict[str, list[int]], kept: str, feeds: str) -> dict[str, Any]:
    """The .tflite file for inputs of these shapes, from `kept` where it lies there, and its outputs.

    onnx2tf takes some files with fixed shapes only, and some only with the axes open that are open in them. It can also
    make a file that computes something else: what is made is kept only where onnxruntime gives the same answer.

    Args:
        path: of the .onnx file.
        shapes: of its inputs, in its order.
        kept: the folder of .tflite files.
        feeds: a file of NumPy's with the inputs, in the same order, that answers are compared on.

    Raises:
        ValueError: neither way makes such a file, with the reason of the first.
    """
    fixed = with_shapes(path, shapes)
    outputs = outputs_of(fixed)
    digest = hashlib.sha256(flatten(fixed, outputs).SerializeToString(deterministic=True)).hexdigest()
    target = os.path.join(kept, f"{digest}.tflite")
    start = time.perf_counter()
    if os.path.isfile(target):
        return {"path": target, "outputs": outputs, "took_s": None}
    problems = []
    with np.load(feeds) as arrays, tempfile.TemporaryDirectory() as folder:
        given = {name: arrays[f"arr_{place}"] for place, name in enumerate(shapes)}
        for model in (fixed, flatten(with_shapes(path, {}), outputs)):
            try:
                found = convert(model, list(shapes), folder)
                compare(found, path, given, outputs)
            except ValueError as error:
                problems.append(str(error))
                continue
            os.makedirs(kept, exist_ok=True)
            shutil.copyfile(found, f"{target}.{os.getpid()}")
            os.replace(f"{target}.{os.getpid()}", target)
            return {"path": target, "outputs": outputs, "took_s": time.perf_counter() - start}
    raise ValueError(max(problems, key=lambda one: one.startswith(OTHERWISE)))


def compare(made: str, path: str, given: dict[str, Any], outputs: list[list[Any]]) -> None:
    """Whether the .tflite file answers as onnxruntime does on the .onnx file.

    Raises:
        ValueError: it does not.
    """
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    expected = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(
        [name for name, _, _ in outputs], given
    )
    network = Network(Interpreter(model_path=made), list(given), list(given.values()), outputs)
    for (name, _, _), found, right in zip(outputs, network.shaped(list(given.values())), expected):
        noise = np.sum((found.astype(np.float64) - right) ** 2)
        signal = np.sum((right - np.mean(right, dtype=np.float64)) ** 2)
        if not noise <= MOST_NOISE * signal and not np.array_equal(found, right):
            raise ValueError(f"{OTHERWISE}: output {name!r} is not what onnxruntime gives")


def main() -> None:
    """Read a request from stdin as JSON: `path`, and for a conversion `shapes`, `kept`, `feeds`; write the answer."""
    asked = json.loads(sys.stdin.read())
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints goes to stderr
    try:
        if "shapes" in asked:
            answer = made(asked["path"], asked["shapes"], asked["kept"], asked["feeds"])
        else:
            answer = described(asked["path"])
    except Exception as error:  # noqa: BLE001  (whatever onnx raises of a file is the answer)
        answer = {"error": f"{error}" or type(error).__name__, "broken": type(error).__name__ == "DecodeError"}
    answers.write(json.dumps(answer))
    answers.flush()


if __name__ == "__main__":
    main()
