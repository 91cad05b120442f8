"""The fuse step: onnxslim, then onnxruntime's own optimizer saved offline, and a record of what they fused.

Levels:

- `basic`: onnxslim alone. A clean float32 graph to cast or quantize from, without one contributed operator, so that
  every provider and every later tool understands it.
- `extended` (the default): then onnxruntime's optimizer at its extended level; for transformers' encoders its
  transformer optimizer takes onnxslim's place. The file runs on any CPU. What is left out, the layout of weights
  for one instruction set (NCHWc), is done when a session loads it, so nothing is slower in steady state.
- `all`: that too, saved. Such a file is right only on CPUs like the one that wrote it, and its digest says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness import graphs
from harness.build import patterns
from harness.build.steps.base import Done, StepKind, Work
from harness.errors import BuildError
from harness.flavours import FLAVOURS
from harness.options import Option

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import onnx

    from harness.records import Json, ModelSpec


def fuse(
    source: Path, model: ModelSpec, options: Mapping[str, Json], facts: Mapping[str, Json], folder: Path
) -> dict[str, Json]:
    """Write the fused `folder`/model.onnx and say what was fused.

    Returns:
        `before` and `after` (nodes by operator), `patterns` (name -> how many were fused), `found` (name -> how
        many there were) and `tools`, in the order in which they ran.

    Raises:
        BuildError: an optimizer failed.
    """
    before = graphs.load(source)
    level = str(options["level"])
    path = folder / "model.onnx"
    encoder = level != "basic" and ("model_type" in facts or model.task == "encoder")
    # onnxslim rearranges attention so that onnxruntime's fusion of it no longer matches: an encoder goes without.
    current, tool = (_transformer(before, facts), "onnxruntime.transformers") if encoder else _clean(source, path)
    tools: list[Json] = [tool]
    graphs.name_nodes_uniquely(current)
    if level != "basic":
        plain = folder / "plain.onnx"
        graphs.save(current, plain)
        _optimize(plain, path, level)
        for leftover in folder.glob("plain.onnx*"):
            leftover.unlink()
        tools.append(f"onnxruntime {level}")
    else:
        graphs.save(current, path)
    after = graphs.load(path)
    return {
        "before": dict(graphs.operators(before)),
        "after": dict(graphs.operators(after)),
        "patterns": dict(patterns.fused(before, after)),
        "found": dict(patterns.found(before)),
        "tools": tools,
    }


def _clean(source: Path, scratch: Path) -> tuple[onnx.ModelProto, str]:
    """The model after onnxslim, or after onnxruntime's basic level where onnxslim is not installed."""
    import onnx

    try:
        import onnxslim
    except ImportError:
        _optimize(source, scratch, "basic")
        return graphs.load(scratch), "onnxruntime basic"
    try:
        slimmed = onnxslim.slim(graphs.load(source))
    except Exception as error:
        raise BuildError(f"fuse: onnxslim failed: {type(error).__name__}: {error}") from error
    if not isinstance(slimmed, onnx.ModelProto):
        raise BuildError("fuse: onnxslim gave no model back.")
    return slimmed, "onnxslim"


def _transformer(model: onnx.ModelProto, facts: Mapping[str, Json]) -> Any:
    """The model after onnxruntime's transformer optimizer; heads and width are found in the graph where unknown."""
    import onnx
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    kind = str(facts.get("model_type", "bert"))
    kind = kind if kind in optimizer.MODEL_TYPES else "bert"
    settings = FusionOptions(kind)
    # It would turn the inputs into int32 behind Casts, so that the artifact no longer takes what the zoo says.
    settings.enable_embed_layer_norm = False
    copy = onnx.ModelProto()
    copy.CopyFrom(model)  # it works in place, and the graph before is still to be counted
    try:
        optimized = optimizer.optimize_model(
            copy,
            model_type=kind,
            num_heads=int(facts.get("heads") or 0),
            hidden_size=int(facts.get("hidden") or 0),
            optimization_options=settings,
            opt_level=0,
        )
    except Exception as error:
        raise BuildError(f"fuse: the transformer optimizer failed: {type(error).__name__}: {error}") from error
    return optimized.model


def _optimize(source: Path, target: Path, level: str) -> None:
    """Save what onnxruntime makes of the model at an optimization level, for the CPU provider."""
    import onnxruntime

    levels = onnxruntime.GraphOptimizationLevel
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = {
        "basic": levels.ORT_ENABLE_BASIC,
        "extended": levels.ORT_ENABLE_EXTENDED,
        "all": levels.ORT_ENABLE_ALL,
    }[level]
    settings.optimized_model_filepath = str(target)
    settings.log_severity_level = 3  # it warns that `all` is for this CPU, which the digest knows
    if source.stat().st_size > graphs.LARGEST_SINGLE_FILE or source.with_name("plain.onnx.data").exists():
        settings.add_session_config_entry("session.optimized_model_external_initializers_file_name", graphs.DATA_FILE)
    try:
        onnxruntime.InferenceSession(source, settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise BuildError(f"fuse: onnxruntime's optimizer failed at level {level}: {error}") from error


def _run(work: Work, options: Mapping[str, Json]) -> Done:
    return Done(fusion=fuse(work.source, work.model, options, work.facts, work.folder))


STEP = StepKind(
    name="fuse",
    doc="Offline graph optimization",
    options=(
        Option(
            name="level",
            type=str,
            default="extended",
            choices=("basic", "extended", "all"),
            doc="how far ONNX Runtime optimizes",
        ),
    ),
    run=_run,
    packages={"onnxslim": "onnxslim", "onnx": "onnx", **dict.fromkeys(FLAVOURS, "onnxruntime")},
    # Above `extended` onnxruntime lays weights out for the CPU that it runs on.
    hardware=lambda options: bool(options["level"] == "all"),
)
