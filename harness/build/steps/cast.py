"""The cast step: a float32 graph to float16 or bfloat16, float32 at its borders by default.

float16 is onnxruntime's own converter. It has none for bfloat16: see `harness.build.bfloat16`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import graphs
from harness.build.steps.base import Done, StepKind, Work
from harness.errors import BuildError, Skip
from harness.flavours import FLAVOURS
from harness.options import Option

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import onnx

    from harness.records import Json


def cast(source: Path, options: Mapping[str, Json], folder: Path) -> None:
    """Write the converted `folder`/model.onnx.

    Raises:
        Skip: the graph holds no float32 weights, so there is nothing to convert.
        BuildError: the converter failed.
    """
    import onnx

    from harness.build.bfloat16 import to_bfloat16

    model = graphs.load(source)
    if not any(one.data_type == onnx.TensorProto.FLOAT for one in model.graph.initializer):
        raise Skip(f"cast: the network holds no float32 weights, so {options['to']} changes nothing.")
    # Converters of nodes copy names, and two nodes of one name do not load (seen with yolov8n).
    graphs.name_nodes_uniquely(model)
    block = tuple(str(one) for one in options["block"])
    convert = _to_float16 if options["to"] == "float16" else to_bfloat16
    try:
        converted = convert(model, keep_io=bool(options["keep_io"]), block=block)
    except Exception as error:
        raise BuildError(f"cast: converting to {options['to']} failed: {type(error).__name__}: {error}") from error
    graphs.name_nodes_uniquely(converted)
    graphs.save(converted, folder / "model.onnx")


def _to_float16(model: onnx.ModelProto, *, keep_io: bool, block: tuple[str, ...]) -> onnx.ModelProto:
    from onnxruntime.transformers import float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    converted = float16.convert_float_to_float16(
        model, keep_io_types=keep_io, op_block_list=[*float16.DEFAULT_OP_BLOCK_LIST, *block]
    )
    sorted_again = OnnxModel(converted)
    sorted_again.topological_sort()  # the converter appends its Casts, and onnx.checker refuses that order
    result: onnx.ModelProto = sorted_again.model
    return result


def _run(work: Work, options: Mapping[str, Json]) -> Done:
    cast(work.source, options, work.folder)
    return Done()


STEP = StepKind(
    name="cast",
    doc="Conversion to a narrower float",
    options=(
        Option(
            name="to",
            type=str,
            required=True,
            default="float16",
            choices=("float16", "bfloat16"),
            doc="the type to compute in",
        ),
        Option(name="keep_io", type=bool, default=True, doc="keep the model's inputs and outputs in float32"),
        Option(name="block", type=list, default=[], doc="operators that stay in float32"),
    ),
    run=_run,
    packages={"onnx": "onnx", **dict.fromkeys(FLAVOURS, "onnxruntime")},
    precision=lambda options: str(options["to"]),
)
