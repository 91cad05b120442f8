"""How far a quantized file's tensors are from their float32 selves, and which layer brings how much. In the child.

What is compared are the tensors of two files on the same examples, neither of them optimized: onnxruntime's own tools
for debugging quantization (`onnxruntime.quantization.qdq_loss_debug`) find them and bring them together. Two errors are
told apart: what quantizing a tensor does to it then and there, and how far it is from the float32 network's by then.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness import values
from harness.explain.names import quantized
from harness.explain.wiring import Wiring, attribute

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import onnx

    from harness.records import ValueEntry

    Array = np.ndarray[Any, Any]

HELD_BYTES = 256 * 1024 * 1024
"""Of activations at a time, of each of the two files."""


INTEGER = (
    "QLinearConv", "ConvInteger", "QLinearMatMul", "MatMulInteger", "MatMulNBits", "QGemm", "DynamicQuantizeMatMul",
    "QLinearAdd", "QLinearMul", "QLinearSigmoid", "QLinearGlobalAveragePool", "QLinearAveragePool", "QLinearConcat",
)  # fmt: skip
"""Operators that are quantized without QuantizeLinear and DequantizeLinear around them."""

PASSING = (
    "Reshape", "Transpose", "MaxPool", "Flatten", "Split", "Concat", "Squeeze", "Unsqueeze", "Slice", "Identity",
    "Resize", "Pad", "Expand", "DepthToSpace", "SpaceToDepth", "Dropout",
)  # fmt: skip
"""Operators that hand on what was quantized before them, and bring nothing of their own."""

TAKEN_IN = ("Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSigmoid", "Tanh", "BatchNormalization")
"""What stands between a layer and the tensor that is quantized for it."""

WORST = 1.0
"""The share of a channel's signal that its noise counts as at most: a channel that is lost is lost."""


@dataclass(slots=True)
class Noise:
    """Signal and noise of one tensor, summed over examples, by channel where the tensor has any."""

    signal: Any = 0.0
    noise: Any = 0.0
    compared: int = 0

    def add(self, wanted: Array, found: Array, axis: int | None, shape: Sequence[int] | None) -> None:
        """Add one example; both arrays as they come, flat or not."""
        import numpy as np

        wanted, found = np.asarray(wanted, np.float64), np.asarray(found, np.float64)
        if wanted.size != found.size or not wanted.size:
            return
        if shape is not None and math.prod(shape) == wanted.size:
            wanted = wanted.reshape(shape)
        wanted, found = np.nan_to_num(wanted), np.nan_to_num(found.reshape(wanted.shape))
        rest = None
        if axis is not None and -wanted.ndim <= axis < wanted.ndim and wanted.ndim > 1:
            rest = tuple(one for one in range(wanted.ndim) if one != axis % wanted.ndim)
        self.signal = self.signal + np.sum(wanted**2, axis=rest)
        self.noise = self.noise + np.sum((wanted - found) ** 2, axis=rest)
        self.compared += 1

    @property
    def decibels(self) -> float | None:
        """Signal to noise of the whole tensor, in decibels; None where it is exact, or nothing was compared."""
        import numpy as np

        signal, noise = float(np.sum(self.signal)), float(np.sum(self.noise))
        return 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else None

    @property
    def share(self) -> float:
        """Noise to signal, the mean over channels, in each of which it counts as `WORST` at most.

        The whole tensor's ratio hides a channel that is lost behind one whose values are large: that one made the
        scale as coarse as it is.
        """
        import numpy as np

        signal, noise = np.atleast_1d(self.signal), np.atleast_1d(self.noise)
        alive = signal > 0
        if not alive.any():
            return 0.0
        return float(np.mean(np.minimum(noise[alive] / signal[alive], WORST)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _TwoFiles:
    """Two files, and what is compared of them."""

    plain: Wiring
    narrow: Wiring
    plain_path: Path
    narrow_path: Path
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)


def losses(
    plain: Path,
    narrow: Path,
    *,
    feeds: Sequence[ValueEntry],
    folder: Path,
    examples: int,
    dims: dict[str, int],
    work: Path,
) -> dict[str, Any]:
    """The errors of tensors and layers of a quantized file.

    Args:
        plain: the float32 file that it was quantized from.
        narrow: the quantized file.
        feeds: the inputs.
        folder: what their paths start from.
        examples: how many of them to compare on.
        dims: dynamic axis -> size.
        work: an empty folder for what is written meanwhile.

    Returns:
        `examples`; `tensors`, each with `tensor`, `kind` (weight or activation), `here_db` (what quantizing it does to
        it), `so_far_db` (how far it is from float32's) and `share` (noise to signal by channel); `layers`, the worst
        first, each with `layer`, `operator`, `weights`, `inputs`, `output` (names of tensors) and `score`.
    """
    import onnx

    pair = _TwoFiles(
        plain=Wiring(onnx.load(plain)),
        narrow=Wiring(onnx.load(narrow)),
        plain_path=plain,
        narrow_path=narrow,
        shapes=_shapes(plain, dims),
    )
    weights = _weight_noise(pair)
    here, so_far, compared = _activation_noise(pair, feeds, folder, examples, work)
    tensors = [_tensor(name, "weight", noise, None) for name, noise in weights.items()]
    tensors += [
        _tensor(name, "activation", here.get(name), so_far.get(name)) for name in dict.fromkeys([*here, *so_far])
    ]
    touched = [one for one in tensors if one["here_db"] is not None or one["so_far_db"] is not None]
    return {
        "examples": compared,
        "tensors": sorted(touched, key=lambda one: (-one["share"], one["so_far_db"] or 0.0)),
        "layers": sorted(_layers(pair, weights, here, so_far), key=lambda one: -one["score"]),
    }


def _tensor(name: str, kind: str, here: Noise | None, so_far: Noise | None) -> dict[str, Any]:
    return {
        "tensor": name,
        "kind": kind,
        "here_db": here.decibels if here else None,
        "so_far_db": so_far.decibels if so_far else None,
        "share": here.share if here else 0.0,
    }


def _layers(
    pair: _TwoFiles, weights: dict[str, Noise], here: dict[str, Noise], so_far: dict[str, Noise]
) -> Iterator[dict[str, Any]]:
    """The layers that are quantized, with what each of them brings.

    The score is noise to signal of what was quantized for the layer: its weights, what it reads, what it makes. Where
    nothing was quantized at a place of its own (dynamic and weight-only quantization), it is by how much the error
    grows from what it reads to what it makes.
    """
    names = {node.name for node in pair.narrow.nodes if node.op_type in INTEGER}
    for node in pair.plain.nodes:
        held = [name for name in node.input if name in weights]
        read = [name for name in node.input if name in here]
        made = _made(pair, node, here)
        if node.op_type in PASSING or (not held and not _is_quantized(pair, node, names)):
            continue
        local = [weights[name].share for name in held] + [here[name].share for name in read]
        score = sum(local) + (here[made].share if made in here else 0.0)
        if not read and made in so_far:
            grown = so_far[made].share - max((so_far[name].share for name in node.input if name in so_far), default=0.0)
            score = max(grown, 0.0) + sum(weights[name].share for name in held)
        yield {
            "layer": node.name,
            "operator": node.op_type,
            "weights": held,
            "inputs": read,
            "output": made,
            "weight_db": min((v for name in held if (v := weights[name].decibels) is not None), default=None),
            "input_db": min((v for name in read if (v := here[name].decibels) is not None), default=None),
            "output_db": so_far[made].decibels if made in so_far else None,
            "score": score,
        }


def _made(pair: _TwoFiles, node: onnx.NodeProto, here: dict[str, Noise]) -> str:
    """The tensor that is quantized for what a node makes, past an activation that was taken in."""
    name = node.output[0]
    for _ in range(2):
        readers = pair.plain.readers.get(name, [])
        if name in here or len(readers) != 1 or readers[0].op_type not in TAKEN_IN:
            break
        name = str(readers[0].output[0])
    return name if name in here else str(node.output[0])


def _is_quantized(pair: _TwoFiles, node: onnx.NodeProto, integer: set[str]) -> bool:
    """Whether a node of the float file computes on quantized values in the other."""
    if integer.intersection(quantized(node.name)):
        return True
    other = next((one for one in pair.narrow.nodes if one.name == node.name and one.op_type == node.op_type), None)
    if other is None:
        return False
    makers = [pair.narrow.maker.get(name) for name in other.input]
    return any(one is not None and one.op_type == "DequantizeLinear" for one in makers)


def _weight_noise(pair: _TwoFiles) -> dict[str, Noise]:
    """Float and quantized weights, by the float file's names."""
    import logging

    from onnxruntime.quantization import qdq_loss_debug as debug

    logging.getLogger().setLevel(logging.CRITICAL)  # it logs an error for every bias
    try:
        matched = debug.create_weight_matching(str(pair.plain_path), str(pair.narrow_path))
    except Exception:  # noqa: BLE001 # it raises whatever its assumptions of the file run into
        matched = {}
    found: dict[str, Noise] = {}
    for name, both in {**_unpacked(pair), **matched}.items():
        reader = next(iter(pair.plain.readers.get(name, [])), None)
        if reader is None or both["float"].ndim < 2:  # noqa: PLR2004 # a bias says nothing
            continue
        found[name] = Noise()
        found[name].add(both["float"], both["dequantized"], _weight_axis(reader, both["float"].ndim), None)
    return found


def _unpacked(pair: _TwoFiles) -> dict[str, dict[str, Array]]:
    """Weights of operators on integers, which have no DequantizeLinear: value, scale and zero point by their names."""
    import numpy as np
    from onnx import numpy_helper

    found = {}
    for name, held in pair.plain.weights.items():
        parts = [pair.narrow.weights.get(f"{name}{end}") for end in ("_quantized", "_scale", "_zero_point")]
        if any(one is None for one in parts):
            continue
        value, scale, zero = (numpy_helper.to_array(one).astype(np.float64) for one in parts if one is not None)
        plain = numpy_helper.to_array(held)
        if value.shape != plain.shape:
            continue
        if scale.size > 1:
            axis = next((place for place, size in enumerate(plain.shape) if size == scale.size), None)
            if axis is None:
                continue
            wide = [1] * plain.ndim
            wide[axis] = scale.size
            scale, zero = scale.reshape(wide), zero.reshape(wide)
        found[name] = {"float": plain, "dequantized": (value - zero) * scale}
    return found


def _weight_axis(reader: onnx.NodeProto, ndim: int) -> int:
    """Where the output channels of a layer's weights are."""
    if reader.op_type == "Conv":
        return 0
    if reader.op_type == "ConvTranspose":
        return 1
    if reader.op_type == "Gemm" and attribute(reader, "transB"):
        return 0
    return ndim - 1


def _activation_noise(
    pair: _TwoFiles, feeds: Sequence[ValueEntry], folder: Path, examples: int, work: Path
) -> tuple[dict[str, Noise], dict[str, Noise], int]:
    """Tensor -> what quantizing it does to it; tensor -> how far it is from float32's; over how many examples."""
    from onnxruntime.quantization import qdq_loss_debug as debug

    both = [work / "plain.onnx", work / "narrow.onnx"]
    for source, target in zip((pair.plain_path, pair.narrow_path), both, strict=True):
        debug.modify_model_output_intermediate_tensors(source, target)
    inputs = [_inputs(pair.plain), _inputs(pair.narrow)]
    stored = {one.name: values.Stored(folder, one, examples) for one in feeds}
    here: dict[str, Noise] = {}
    so_far: dict[str, Noise] = {}
    done, step = 0, 1
    while done < examples:
        chosen = range(done, min(done + step, examples))
        plain, narrow = (
            debug.collect_activations(
                str(path), [{name: held[place] for name, held in stored.items() if name in wanted} for place in chosen]
            )
            for path, wanted in zip(both, inputs, strict=True)
        )
        matched = debug.create_activation_matching(narrow, plain)
        for name, match in matched.items():
            before = [_clipped(pair, name, one) for one in match["pre_qdq"]]
            _add(here, pair, name, before, match["post_qdq"])
            if "float" in match:
                _add(so_far, pair, name, match["float"], match["post_qdq"])
        for name in plain.keys() & narrow.keys() - matched.keys():
            _add(so_far, pair, name, plain[name], narrow[name])
        done += len(chosen)
        held_bytes = sum(one.nbytes for each in (plain, narrow) for group in each.values() for one in group)
        step = max(1, int(2 * HELD_BYTES / max(held_bytes / len(chosen), 1)))
    return here, so_far, done


def _clipped(pair: _TwoFiles, name: str, values: Array) -> Array:
    """What stands before a QuantizeLinear, with the Relu or Clip that its clipping has taken the place of."""
    import numpy as np
    from onnx import numpy_helper

    maker, other = pair.plain.maker.get(name), pair.narrow.maker.get(name)
    if maker is None or maker.op_type not in ("Relu", "Clip") or (other and other.op_type == maker.op_type):
        return values
    if maker.op_type == "Relu":
        return np.maximum(values, 0)
    limits = [pair.plain.weights.get(one) for one in [*maker.input[1:], "", ""][:2]]
    low, high = (None if one is None else float(numpy_helper.to_array(one)) for one in limits)
    return np.clip(values, low, high) if low is not None or high is not None else values


def _add(found: dict[str, Noise], pair: _TwoFiles, name: str, wanted: Sequence[Array], got: Sequence[Array]) -> None:
    shape = pair.shapes.get(name)
    axis = None if shape is None or len(shape) < 2 else 1 if len(shape) > 3 else len(shape) - 1  # noqa: PLR2004
    noise = found.setdefault(name, Noise())
    for one, other in zip(wanted, got, strict=False):
        noise.add(one, other, axis, shape)


def _inputs(wiring: Wiring) -> set[str]:
    return {one.name for one in wiring.model.graph.input} - set(wiring.weights)


def _shapes(path: Path, dims: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """The sizes of tensors for one example, of those that can be known without running anything."""
    from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

    try:
        graph = load_model_with_shape_infer(path).graph
    except Exception:  # noqa: BLE001 # without shapes a tensor is weighed as a whole
        return {}
    found = {}
    for value in (*graph.value_info, *graph.input, *graph.output):
        sizes = [
            one.dim_value if one.HasField("dim_value") else dims.get(one.dim_param, 1 if one.dim_param else 0)
            for one in value.type.tensor_type.shape.dim
        ]
        if sizes and all(sizes):
            found[value.name] = tuple(sizes)
    return found
