"""A .tflite file in LiteRT, by the names that the .onnx file has. Stands alone: the worker and `convert.py` load it."""

from __future__ import annotations

from typing import Any


class Network:
    """An interpreter, whose inputs and outputs are found by the names that the .onnx file has.

    Attributes:
        inputs, outputs: the tensors' numbers, in the .onnx file's order.
        shapes: of the outputs in the .onnx file.
    """

    def __init__(self, interpreter: Any, inputs: list[str], arrays: list[Any], outputs: list[Any]) -> None:
        self.interpreter = interpreter
        given, results = named_tensors(interpreter)
        self.inputs = [tensor(given, one) for one in inputs]
        self.outputs = [tensor(results, one) for one, _, _ in outputs]
        self.shapes = [shape for _, _, shape in outputs]
        for place, array in zip(self.inputs, arrays):
            interpreter.resize_tensor_input(place, list(array.shape))
        interpreter.allocate_tensors()

    def run(self, arrays: list[Any]) -> list[Any]:
        """One inference; outputs of three axes or more are rows."""
        for place, array in zip(self.inputs, arrays):
            self.interpreter.set_tensor(place, array)
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(place) for place in self.outputs]

    def shaped(self, arrays: list[Any]) -> list[Any]:
        """One inference, with outputs in their shapes."""
        return [value.reshape(shape) for value, shape in zip(self.run(arrays), self.shapes)]


def named_tensors(interpreter: Any) -> tuple[dict[str, int], dict[str, int]]:
    """Name -> number, of the inputs and the outputs; none of the interpreter is kept, so that it can resize."""
    runner = interpreter.get_signature_runner(next(iter(interpreter.get_signature_list())))
    given, results = runner.get_input_details(), runner.get_output_details()
    return {k: int(v["index"]) for k, v in given.items()}, {k: int(v["index"]) for k, v in results.items()}


def tensor(numbers: dict[str, int], name: str) -> int:
    """The number of an input or output.

    Raises:
        ValueError: the converted file has none of this name.
    """
    if name not in numbers:
        raise ValueError(f"onnx2tf left no tensor {name!r} in the file; it has {', '.join(numbers)}")
    return numbers[name]
