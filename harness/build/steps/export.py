"""The export step: a framework's model to an .onnx file with real names and dynamic axes, by the framework itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import graphs
from harness.build.steps.base import Done, StepKind, Work
from harness.errors import BuildError
from harness.options import Option
from harness.records import Json

BATCH_NORM, CONV_BN = "BatchNormalization", "Conv+BN"
"""The operator that folding takes away, and what `harness.build.patterns` calls it."""


def export(work: Work, options: Mapping[str, Json]) -> Done:
    """Write `model.onnx` from the model in memory.

    Raises:
        BuildError: the exporter failed.
    """
    if work.loaded is None:
        raise BuildError("there is no model in memory; `export` is the first step only.")
    if not options.get("fold"):
        work.loaded.export(options, work.folder)
        return Done()
    loaded, count = work.loaded.folded()
    loaded.export(options, work.folder)
    after = graphs.operators(onnx_file(work.folder))
    before = {**after, BATCH_NORM: after.get(BATCH_NORM, 0) + count}
    return Done(
        fusion={
            "before": before,
            "after": dict(after),
            "patterns": {CONV_BN: count},
            "found": {CONV_BN: count},
            "tools": ["torch.fx"],
        },
        notes=(f"export: torch.fx folded {count} batch norms into convolutions",),
    )


def onnx_file(folder: Path) -> Any:
    """The exported file without its external data."""
    import onnx

    return onnx.load(folder / "model.onnx", load_external_data=False)


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
        Option(
            name="fold",
            type=str,
            choices=("conv-bn",),
            quiet=True,
            doc="what torch.fx folds before the export, torch's models alone",
        ),
        Option(name="opset", type=int, at_least=7, at_most=30, doc="the ONNX opset to export to"),
    ),
    run=export,
)
