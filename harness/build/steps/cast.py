"""The cast step: a float32 graph to float16 or bfloat16, float32 at its borders by default.

How a graph is converted is `harness.build.narrow`'s to know.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from harness import graphs, reasons
from harness.build import precision, repair
from harness.build.steps.base import Done, StepKind, Work
from harness.errors import BuildError, Skip
from harness.flavours import FLAVOURS
from harness.options import Option

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import onnx

    from harness.records import Json


def cast(source: Path, options: Mapping[str, Json], folder: Path) -> tuple[str, ...]:
    """Write the converted `folder`/model.onnx and give notes on what was repaired.

    Raises:
        Skip: the graph holds no wide weights, so there is nothing to convert.
        BuildError: the conversion failed.
    """
    from harness.build.narrow import narrowed

    model, notes = repair.prepare(graphs.load(source))
    to, wide = str(options["to"]), _wide(model, str(options["to"]))
    block = {str(one) for one in options["block"]} | (_kept_from_float16() if to == "float16" else set())
    try:
        made = narrowed(model, to, wide=wide, keep_io=bool(options["keep_io"]), block=block)
    except BuildError:
        raise
    except Exception as error:
        traceback.print_exc()
        raise BuildError(f"cast: converting to {to} failed: {reasons.reason_of(error, tool=True)}") from error
    graphs.name_nodes_uniquely(made.model)
    graphs.save(made.model, folder / "model.onnx")
    return tuple(f"cast: {note}" for note in (*notes, *made.notes))


def _wide(model: onnx.ModelProto, to: str) -> str:
    """The type that is converted.

    Raises:
        Skip: there are no weights of a wider type.
    """
    own, held = precision.of(model), precision.weights(model)
    if own in ("int8", "int4") and held in ("", own):
        raise Skip(f"cast: the network is quantized already, and no weights are left that {to} could hold.")
    if own == "int8":
        raise Skip(f"cast: the network is quantized already: it computes in int8, not in float32, and {to} is wider.")
    if not held:
        raise Skip(f"cast: the network holds no float32 weights that {to} could hold.")
    if held not in ("float32", "float64"):
        raise Skip(f"cast: the network holds no float32 weights: they are {held} already.")
    return held


def _kept_from_float16() -> set[str]:
    """Operators that lose too much in float16, or have no kernels for it, as onnxruntime's own converter knows them."""
    from onnxruntime.transformers import float16

    return set(float16.DEFAULT_OP_BLOCK_LIST)


def _run(work: Work, options: Mapping[str, Json]) -> Done:
    return Done(notes=cast(work.source, options, work.folder))


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
