"""The export step: a framework's model to an .onnx file with real names and dynamic axes, by the framework itself."""

from __future__ import annotations

from collections.abc import Mapping

from harness.build.steps.base import Done, StepKind, Work
from harness.errors import BuildError
from harness.options import Option
from harness.records import Json


def export(work: Work, options: Mapping[str, Json]) -> Done:
    """Write `model.onnx` from the model in memory.

    Raises:
        BuildError: the exporter failed.
    """
    if work.loaded is None:
        raise BuildError("there is no model in memory; `export` is the first step only.")
    work.loaded.export(options, work.folder)
    return Done()


STEP = StepKind(
    name="export",
    doc="How the framework's model becomes ONNX; an .onnx source is taken as it is",
    options=(
        Option(
            name="exporter",
            type=str,
            default="torchscript",
            choices=("torchscript", "dynamo"),
            doc="which of torch's exporters",
        ),
        Option(name="opset", type=int, at_least=7, at_most=30, doc="the ONNX opset to export to"),
    ),
    run=export,
)
