"""A torch network in LiteRT: the .tflite file that litert-torch makes of it, without ONNX."""

from __future__ import annotations

import os
import tempfile
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.runtimes import protocol
else:
    import protocol  # of the worker, by its bare name

LACKS = {
    "profile": "LiteRT's Python has no profile of kernels: in which types it computed is not known",
    "placement": "LiteRT's Python does not tell what its XNNPACK delegate took",
    "load": "an interpreter of LiteRT takes one call at a time",
}
NOTE = "an inference copies its inputs into LiteRT and its outputs out of it"


class TfliteNetwork:
    """A network as LiteRT runs it: an interpreter for each set of shapes, made when it is first needed."""

    def __init__(self, torch: Any, module: Any, threads: int) -> None:
        self.torch, self.module, self.threads = torch, module, threads
        self.files: dict[tuple[Any, ...], bytes] = {}
        self.interpreters: dict[tuple[Any, ...], Any] = {}
        self.took_s = 0.0

    def convert(self, arrays: list[Any]) -> bytes:
        """The .tflite file for inputs of these shapes.

        Raises:
            Refused: litert-torch cannot convert the network.
        """
        shapes = _shapes(arrays)
        if shapes not in self.files:
            import litert_torch

            start = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "model.tflite")
                try:
                    sample = tuple(self.torch.from_numpy(array) for array in arrays)
                    litert_torch.convert(self.module, sample).export(path)
                except Exception as error:
                    said = (str(error).strip() or type(error).__name__).splitlines()[0]
                    raise protocol.Refused("not_implemented", f"litert-torch cannot convert it: {said}") from error
                with open(path, "rb") as file:
                    self.files[shapes] = file.read()
            self.took_s += time.perf_counter() - start
        return self.files[shapes]

    def open(self, arrays: list[Any]) -> Any:
        """What runs inputs of these shapes: the interpreter, the numbers of its inputs and outputs, and input types."""
        shapes = _shapes(arrays)
        if shapes not in self.interpreters:
            from ai_edge_litert.interpreter import Interpreter

            made = Interpreter(model_content=self.convert(arrays), num_threads=self.threads or None)
            made.allocate_tensors()
            runner = made.get_signature_runner(next(iter(made.get_signature_list())))
            given, results = runner.get_input_details(), runner.get_output_details()
            inputs = [given[f"args_{place}"] for place in range(len(given))]
            outputs = [results[f"output_{place}"]["index"] for place in range(len(results))]
            kinds = [one["dtype"] for one in inputs]
            self.interpreters[shapes] = (made, [one["index"] for one in inputs], outputs, kinds)
        return self.interpreters[shapes]

    def fitting(self, arrays: list[Any]) -> list[Any]:
        """Inputs in the types that the .tflite file takes: it has 32 bits for integers of 64.

        Raises:
            Refused: a number does not fit.
        """
        found = [array.astype(kind) for array, kind in zip(arrays, self.open(arrays)[3])]
        for array, made in zip(arrays, found):
            if array.dtype != made.dtype and not (array == made).all():
                raise protocol.Refused(
                    "input", f"LiteRT takes {made.dtype}, and a number of {array.dtype} does not fit"
                )
        return found

    def __call__(self, *arrays: Any) -> list[Any]:
        """One inference, of fitting inputs."""
        interpreter, inputs, outputs, _ = self.open(list(arrays))
        for place, array in zip(inputs, arrays):
            interpreter.set_tensor(place, array)
        interpreter.invoke()
        return [interpreter.get_tensor(place) for place in outputs]


def _shapes(arrays: Any) -> tuple[Any, ...]:
    return tuple(array.shape for array in arrays)
