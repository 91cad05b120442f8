"""The quantize step: onnxruntime's own quantizers, with defaults that are right on the CPU provider.

- `dynamic`: weights ahead, activations while running. For a network with Conv the weights are unsigned, because the
  CPU's ConvInteger takes no other; what that costs the numbers show.
- `static`: QuantizeLinear and DequantizeLinear around everything, ranges from the calibration examples.
- `weights`: the constant side of MatMul in blocks of 4 or 8 bits (MatMulNBits). The arithmetic stays float, unless
  `accuracy_level: 4` lets the kernel quantize the activations as well.
"""

from __future__ import annotations

import fnmatch
import re
import traceback
from typing import TYPE_CHECKING, Any

from harness import graphs, reasons
from harness.build import precision, ranges, repair
from harness.build.calibration import CalibrationReader
from harness.build.gemm import taken_apart
from harness.build.steps.base import Done, StepKind, Work
from harness.errors import BuildError, Skip
from harness.flavours import FLAVOURS
from harness.options import Option

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import onnx

    from harness.records import Json, ModelSpec

ENCODER_OPERATORS = ("MatMul", "Gemm")
"""What static quantization takes of an encoder: Softmax, LayerNorm and the residual sums lose too much in 8 bits."""

STATIC_OPERATORS = ("Conv", "ConvTranspose", "MatMul", "Gemm", "Gather")
"""Operators whose weights static quantization takes."""

OLDEST_OPSET = 11
"""What the quantizers write is right from here on."""

FLOAT = 1
"""onnx.TensorProto.FLOAT: the type of tensors that shape inference knows nothing of, as after contributed operators."""

SMALLEST_BLOCK = 16
"""MatMulNBits takes powers of two from here on."""


MOST_NAMED = 3
"""Nodes that a note names."""


def quantize(source: Path, model: ModelSpec, options: Mapping[str, Json], folder: Path) -> tuple[str, ...]:
    """Write the quantized `folder`/model.onnx and give notes on what was chosen.

    Raises:
        Skip: there is nothing in the network that the method could quantize.
        BuildError: a quantizer failed, or an exclusion matches nothing.
    """
    import logging

    import numpy as np

    content, repaired = repair.prepare(graphs.load(source))
    method = str(options["method"])
    _refuse(content, method)
    exclude = excluded(content, options)
    content, options, adapted = _adapt(content, method, options)
    named, target = folder / "named.onnx", folder / "model.onnx"
    ends, had = repair.interface(content), precision.narrow_elements(content)
    repair.hide_passed(content)
    graphs.save(content, named)
    logging.getLogger().setLevel(logging.ERROR)  # the quantizers recommend steps that the recipe has already taken
    try:
        run = {"dynamic": _dynamic, "static": _static, "weights": _weights}[method]
        with np.errstate(all="ignore"):  # what comes of ranges without an end is looked at afterwards
            notes = run(named, content, model, options=options, exclude=exclude, target=target)
            if method == "static" and (endless := _endless(content, target)):
                exclude = sorted({*exclude, *endless})
                notes = run(named, content, model, options=options, exclude=exclude, target=target)
                notes = (*notes, f"{_listed(endless)} kept in float32: no 8-bit range holds values that are infinite")
    except BuildError:
        raise
    except Exception as error:
        traceback.print_exc()
        if "not finite" in str(error) and options.get("calibration", "minmax") != "minmax":
            raise BuildError(
                f"quantize: some activations are infinite, and `calibration: {options['calibration']}` takes finite "
                "ones alone: use `calibration: minmax`."
            ) from error
        raise BuildError(
            f"quantize: onnxruntime's {method} quantizer failed: {reasons.reason_of(error, tool=True)}"
        ) from error
    finally:
        for leftover in folder.glob("named.onnx*"):
            leftover.unlink()
    return tuple(f"quantize: {note}" for note in (*repaired, *adapted, *notes, *_tidy(target, ends, had)))


def _refuse(model: onnx.ModelProto, method: str) -> None:
    """Decline what is not a float32 network.

    Raises:
        Skip: the file is quantized already, or its weights are of another floating-point type.
    """
    if method in INTEGER and precision.quantized(model):
        raise Skip(f"quantize: the network is quantized already ({_quantizers(model)}); it is measured as it is.")
    held = precision.weights(model)
    if held not in ("", "float32"):
        raise Skip(f"quantize: the weights are {held}, and onnxruntime's quantizers take float32.")


def _quantizers(model: onnx.ModelProto) -> str:
    counts = graphs.operators(model)
    kinds = (*precision.QUANTIZING, *precision.INTEGER)
    found = [f"{count} {name}" for name, count in counts.items() if name.rpartition(":")[2] in kinds]
    return ", ".join(found[:3])


def _adapt(
    model: onnx.ModelProto, method: str, options: Mapping[str, Json]
) -> tuple[onnx.ModelProto, Mapping[str, Json], tuple[str, ...]]:
    """The model at an opset that the quantizers' output is right in, or options that fit the one it has; and notes.

    Below opset 11 onnxruntime's quantizers write 11 into the file and leave the nodes what they were.

    Raises:
        Skip: the opset is too old, and the model cannot be brought to a newer one.
    """
    before = graphs.opset(model)
    if method not in INTEGER or before >= repair.OPSET_WITH_CHANNELS:
        return model, options, ()
    model, note = repair.raise_opset(model, repair.OPSET_WITH_CHANNELS)
    if note:
        return model, options, (note,)
    if before < OLDEST_OPSET:
        raise Skip(
            f"quantize: the network is of opset {before}, which onnx cannot convert to a newer one, and the quantizers "
            f"begin at opset {OLDEST_OPSET}."
        )
    if not options["per_channel"]:
        return model, options, ()
    why = f"one scale per tensor: scales per channel need opset {repair.OPSET_WITH_CHANNELS}, this is opset {before}"
    return model, {**options, "per_channel": False}, (f"{why} and onnx cannot convert it",)


def _endless(model: onnx.ModelProto, quantized: Path) -> list[str]:
    """The names of the nodes that read or write values whose 8-bit scale is infinite or no number."""
    import numpy as np
    from onnx import numpy_helper

    scales = {one.name: one for one in graphs.load(quantized).graph.initializer if one.name.endswith("_scale")}
    endless = {
        name.removesuffix("_scale")
        for name, one in scales.items()
        if one.data_type == FLOAT and not np.isfinite(numpy_helper.to_array(one)).all()
    }
    return [one.name for one in model.graph.node if not endless.isdisjoint([*one.input, *one.output])]


def _listed(names: Sequence[str]) -> str:
    """The first of them, and how many follow."""
    more = f" and {len(names) - MOST_NAMED} more nodes" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _tidy(path: Path, ends: onnx.GraphProto, had: int) -> tuple[str, ...]:
    """Put right what the quantizers leave behind, and look whether they did anything.

    Args:
        path: what they wrote.
        ends: the inputs and outputs that it must have.
        had: how many weights were narrow before.

    Raises:
        Skip: nothing became an integer.
    """
    after = graphs.load(path)
    if precision.narrow_elements(after) <= had and not precision.quantized(after):
        raise Skip("quantize: nothing became 8-bit: the quantizer left every node as it was.")
    notes = list(repair.keep_interface(ends, after.graph))
    if repair.sort(after):
        notes.append("nodes were put into topological order")
    graphs.name_nodes_uniquely(after)
    graphs.save(after, path)
    return tuple(notes)


def excluded(model: onnx.ModelProto, options: Mapping[str, Json]) -> list[str]:
    """The names of the nodes that stay in float: those named, those that match a glob, and the preset's.

    Raises:
        BuildError: a name or a glob matches no node, or the preset finds no head.
    """
    names = [node.name for node in model.graph.node]
    chosen: set[str] = set()
    for pattern in options["exclude"]:
        exact = [str(pattern)] if pattern in names else []  # a name may look like a glob of others
        matched = exact or [name for name in names if fnmatch.fnmatchcase(name, str(pattern))]
        if not matched:
            raise BuildError(
                f"quantize: `exclude: {pattern}` matches no node. Names look like {', '.join(names[:3])}; "
                f"see `harness inspect`."
            )
        chosen.update(matched)
    if options["exclude_preset"] == "yolo-head":
        chosen.update(_yolo_head(names))
    return sorted(chosen)


def _yolo_head(names: Sequence[str]) -> list[str]:
    """Every node of the last numbered module of an ultralytics network: the detection head.

    It puts box coordinates of hundreds beside class scores of 0..1 in one tensor; 8 bits over that leave no score.
    """
    numbered = {name: int(found.group(1)) for name in names if (found := re.match(r"/?model\.(\d+)/", name))}
    if not numbered:
        raise BuildError(
            "quantize: `exclude_preset: yolo-head` finds no node called /model.N/...; export with the torchscript "
            "exporter, or name the head's nodes with `exclude`."
        )
    last = max(numbered.values())
    return [name for name, number in numbered.items() if number == last]


def _types(options: Mapping[str, Json], name: str, default: str) -> Any:
    from onnxruntime.quantization import QuantType

    return {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}[str(options[name] or default)]


def _quantizable(model: onnx.ModelProto, exclude: Sequence[str], kinds: Sequence[str]) -> list[str]:
    """The names of the nodes of these operators that hold float32 weights: a table where they look something up."""
    import onnx

    left_out = set(exclude)
    held = {one.name for one in model.graph.initializer if one.data_type == onnx.TensorProto.FLOAT}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in kinds
        and node.name not in left_out
        and any(name in held for name in (node.input[:1] if node.op_type == "Gather" else node.input[1:]))
    ]


def _dynamic(
    source: Path,
    content: onnx.ModelProto,
    model: ModelSpec,  # noqa: ARG001 # one signature for the three methods
    *,
    options: Mapping[str, Json],
    exclude: list[str],
    target: Path,
) -> tuple[str, ...]:
    from onnxruntime.quantization import quantize_dynamic

    kinds = [str(kind) for kind in options["op_types"] or ("Conv", "MatMul", "Gemm", "Attention", "LSTM", "Gather")]
    if not _quantizable(content, exclude, kinds):
        raise Skip(f"quantize: the network has none of {', '.join(kinds)} with constant weights.")
    convolutional = "Conv" in kinds and bool(_quantizable(content, exclude, ["Conv"]))
    chosen = str(options["weight_type"] or ("uint8" if convolutional else "int8"))
    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=kinds,
        per_channel=bool(options["per_channel"]),
        reduce_range=_reduce_range(options, chosen),
        weight_type=_types(options, "weight_type", chosen),
        nodes_to_exclude=exclude,
        extra_options={
            "WeightSymmetric": bool(options["symmetric_weights"]),
            "MatMulConstBOnly": True,
            "DefaultTensorType": FLOAT,
        },
    )
    return (
        ("convolutions run as ConvInteger, scaled anew on every run: dynamic quantization is for MatMul models",)
        if convolutional
        else ()
    )


def _static(
    source: Path,
    content: onnx.ModelProto,
    model: ModelSpec,
    *,
    options: Mapping[str, Json],
    exclude: list[str],
    target: Path,
) -> tuple[str, ...]:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, quantize_static

    default = ENCODER_OPERATORS if model.task == "encoder" else None
    kinds = [str(kind) for kind in options["op_types"] or default or ()] or None
    if not _quantizable(content, exclude, kinds or STATIC_OPERATORS):
        raise Skip(f"quantize: the network has none of {', '.join(kinds or STATIC_OPERATORS)} with constant weights.")
    reader = CalibrationReader(
        model, options["samples"], target.parent / "calibration", {one.name for one in content.graph.input}, source
    )
    method = {
        "minmax": CalibrationMethod.MinMax,
        "entropy": CalibrationMethod.Entropy,
        "percentile": CalibrationMethod.Percentile,
    }[str(options["calibration"])]
    weight_type = str(options["weight_type"] or "int8")
    try:
        quantize_static(
            source,
            target,
            reader,
            quant_format=QuantFormat.QOperator if options["format"] == "qoperator" else QuantFormat.QDQ,
            op_types_to_quantize=kinds,
            per_channel=bool(options["per_channel"]),
            reduce_range=_reduce_range(options, weight_type),
            # Unsigned activations and signed weights (U8S8) are what the x86 kernels are written for; S8S8 ran at a
            # quarter of fp32's speed on AVX2.
            activation_type=_types(options, "activation_type", "uint8"),
            weight_type=_types(options, "weight_type", "int8"),
            nodes_to_exclude=exclude,
            calibrate_method=method,
            **ranges.kept(source, model, options, kinds),
            extra_options={
                "ActivationSymmetric": bool(options["symmetric_activations"]),
                "WeightSymmetric": bool(options["symmetric_weights"]),
                # One example at a time: entropy and percentile would hold every activation of the whole set otherwise.
                "CalibStridedMinMax": 1,
                "CalibPercentile": float(options["percentile"]),
                "DefaultTensorType": FLOAT,
                # It takes a Relu out whose clipping the zero point does, and does not see bodies that read the Relu.
                "QDQKeepRemovableActivations": any(True for _ in repair.captured(content.graph)),
            },
        )
    finally:
        reader.remove()
    return tuple(reader.notes)


def _reduce_range(options: Mapping[str, Json], weight_type: str) -> bool:
    """Whether weights get 7 bits, where the zoo does not say.

    On x86 without VNNI the U8S8 kernels add two products in 16 bits and saturate: resnet50 on AVX2 came to a centred
    SQNR of 12 dB with 8-bit weights and to 18 dB with 7 bits, at the same speed. With VNNI the missing bit costs up to
    6 dB of the weights' precision: such hosts may set `reduce_range: false`. Unsigned weights do not saturate and
    came to 24 dB, but were slower.
    """
    given = options["reduce_range"]
    return bool(given) if given is not None else weight_type == "int8"


def _weights(
    source: Path,
    content: onnx.ModelProto,  # noqa: ARG001 # one signature for the three methods
    model: ModelSpec,  # noqa: ARG001 # as above
    *,
    options: Mapping[str, Json],
    exclude: list[str],
    target: Path,
) -> tuple[str, ...]:
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    network = graphs.load(source)
    apart = taken_apart(network, exclude) if options["gemm"] else 0
    if not _quantizable(network, exclude, ["MatMul"]):
        raise Skip("quantize: weight-only quantization takes MatMul with constant weights, and this network has none.")
    block = int(options["block_size"])
    if block < SMALLEST_BLOCK or block & (block - 1):
        raise BuildError(f"quantize: block_size is {block}; it must be a power of two from {SMALLEST_BLOCK} on.")
    quantizer = MatMulNBitsQuantizer(
        network,  # it works in place
        bits=int(options["bits"]),
        block_size=block,
        is_symmetric=bool(options["symmetric_weights"]),
        accuracy_level=int(options["accuracy_level"]),
        nodes_to_exclude=exclude,
    )
    quantizer.process()
    graphs.save(quantizer.model.model, target)
    return (f"{apart} Gemm taken apart into MatMul and Add, whose weights can be made smaller",) if apart else ()


def _run(work: Work, options: Mapping[str, Json]) -> Done:
    from harness.frameworks.onnx import with_inputs

    return Done(notes=quantize(work.source, with_inputs(work.model, work.source), options, work.folder))


def _precision(options: Mapping[str, Json]) -> str:
    return f"int{options.get('bits', BITS) if options['method'] == 'weights' else 8}"


BITS = 4
"""Of weights alone, where nothing is said."""

METHODS = ("dynamic", "static", "weights")
INTEGER = ("dynamic", "static")
STATIC = ("static",)
WEIGHTS = ("weights",)
INTEGER_TYPES = ("int8", "uint8")

STEP = StepKind(
    name="quantize",
    doc="Conversion to integers",
    options=(
        Option(
            name="method",
            type=str,
            required=True,
            default="dynamic",
            choices=METHODS,
            doc="what is quantized, and when its ranges are known",
        ),
        Option(
            name="calibration",
            type=str,
            default="minmax",
            choices=("minmax", "entropy", "percentile"),
            only=STATIC,
            doc="how ranges are taken from the calibration examples",
        ),
        Option(
            name="percentile",
            type=float,
            default=99.99,
            more_than=50,
            at_most=100,
            only=STATIC,
            beside=("calibration", "percentile"),
            doc="for `calibration: percentile`",
        ),
        Option(name="per_channel", type=bool, default=True, only=INTEGER, doc="one weight scale per output channel"),
        Option(
            name="symmetric_activations", type=bool, default=False, only=STATIC, doc="zero points of activations fixed"
        ),
        Option(name="symmetric_weights", type=bool, default=True, doc="zero points of weights fixed"),
        Option(name="weight_type", type=str, choices=INTEGER_TYPES, only=INTEGER, doc="the type of the weights"),
        Option(name="activation_type", type=str, choices=INTEGER_TYPES, only=STATIC, doc="the type of the activations"),
        Option(
            name="reduce_range",
            type=bool,
            only=INTEGER,
            doc="weights of 7 bits, for processors whose 8-bit products overflow",
        ),
        Option(
            name="format",
            type=str,
            default="qdq",
            choices=("qdq", "qoperator"),
            only=STATIC,
            doc="how it is written: QuantizeLinear and DequantizeLinear around operators, or operators on integers",
        ),
        Option(name="exclude", type=list, default=[], doc="node names or globs to leave in float"),
        Option(
            name="exclude_preset",
            type=str,
            choices=("yolo-head",),
            doc="a named set of nodes to leave in float, here the detection head",
        ),
        Option(
            name="op_types", type=list, only=INTEGER, doc="operators to quantize, instead of the method's own choice"
        ),
        Option(name="bits", type=int, default=BITS, choices=(4, 8), only=WEIGHTS, doc="bits per weight"),
        Option(name="gemm", type=bool, default=True, only=WEIGHTS, doc="Gemm as well, taken apart into MatMul and Add"),
        Option(
            name="block_size",
            type=int,
            default=32,
            choices=(16, 32, 64, 128, 256),
            only=WEIGHTS,
            doc="weights that share one scale",
        ),
        Option(
            name="accuracy_level",
            type=int,
            default=0,
            choices=(0, 1, 2, 3, 4),
            only=WEIGHTS,
            doc="the least accuracy of the products: 0 the runtime's choice, 1 float32, 2 float16, 3 bfloat16, 4 int8",
        ),
        Option(
            name="samples",
            type=int,
            at_least=1,
            only=STATIC,
            doc="how many calibration examples to use, at most the data's",
        ),
    ),
    run=_run,
    selector="method",
    packages={"onnx": "onnx", **dict.fromkeys(FLAVOURS, "onnxruntime")},
    precision=_precision,
    calibrated=lambda options: bool(options["method"] == "static"),
)
