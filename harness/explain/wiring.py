"""A graph with its wiring: who makes a tensor, who reads it, and what is constant. Read in the child alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

MADE_BY_RUNTIME = ("_QuantizeLinear_Output", "_DequantizeLinear_Output")
"""What quantizers add to the name of a tensor."""


class Wiring:
    """The nodes of a graph, not of its bodies, by what they make and read."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Look a model over.

        Args:
            model: may be without its external data.
        """
        self.model = model
        self.nodes = list(model.graph.node)
        self.maker = {output: node for node in self.nodes for output in node.output if output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                if name:
                    self.readers.setdefault(name, []).append(node)
        self.outputs = {one.name for one in model.graph.output}
        self.weights = {one.name: one for one in model.graph.initializer}
        self._ranks = {
            value.name: len(value.type.tensor_type.shape.dim)
            for value in (*model.graph.value_info, *model.graph.input, *model.graph.output)
            if value.type.tensor_type.HasField("shape")
        } | {name: len(one.dims) for name, one in self.weights.items()}
        self.constants = {
            *self.weights,
            *(node.output[0] for node in self.nodes if node.op_type == "Constant"),
        }

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is the same in every run, as far as the graph says: also behind a DequantizeLinear."""
        if name in self.constants:
            return True
        maker = self.maker.get(name)
        return (
            maker is not None
            and maker.op_type in ("DequantizeLinear", "Identity", "Cast")
            and all(one in self.constants for one in maker.input)
        )

    def rank(self, name: str) -> int | None:
        """How many dimensions a tensor has; None where shapes do not tell."""
        return self._ranks.get(name)

    def elements(self, name: str) -> int | None:
        """How many elements a constant has; None where that is not known here."""
        held = self.weights.get(name)
        if held is None:
            return None
        count = 1
        for size in held.dims:
            count *= size
        return count


def attribute(node: onnx.NodeProto, name: str) -> Any:
    """The value of an attribute; None where it has none."""
    import onnx

    found = next((one for one in node.attribute if one.name == name), None)
    return None if found is None else onnx.helper.get_attribute_value(found)


def listed(path: Path) -> list[dict[str, Any]]:
    """The nodes of a file: name, operator, and the names of variable inputs, of constants and outputs."""
    import onnx

    wiring = Wiring(onnx.load(path, load_external_data=False))
    return [
        {
            "name": node.name,
            "operator": node.op_type,
            "inputs": [one for one in node.input if one and one not in wiring.constants],
            "constants": [one for one in node.input if one in wiring.constants],
            "outputs": [one for one in node.output if one],
        }
        for node in wiring.nodes
    ]
