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

from harness import graphs, reasons
from harness.build import patterns, repair
from harness.build.steps.base import Done, StepKind, Work
from harness.errors import BuildError
from harness.flavours import FLAVOURS
from harness.options import Option

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import onnx

    from harness.records import Json, ModelSpec


def fuse(source: Path, model: ModelSpec, options: Mapping[str, Json], facts: Mapping[str, Json], folder: Path) -> Done:
    """Write the fused `folder`/model.onnx and say what was fused, and what had to be repaired.

    Returns:
        `before` and `after` (nodes by operator), `patterns` (name -> how many were fused), `found` (name -> how
        many there were) and `tools`, in the order in which they ran, as the fusion; and notes.

    Raises:
        BuildError: an optimizer failed.
    """
    original = graphs.load(source)
    counted = graphs.operators(original)
    before, repaired = repair.prepare(original)
    notes = list(repaired)
    level = str(options["level"])
    path = folder / "model.onnx"
    cleaner = str(options.get("cleaner") or "")
    encoder = not cleaner and level != "basic" and ("model_type" in facts or model.task == "encoder")
    if encoder:
        # onnxslim rearranges attention so that onnxruntime's fusion of it no longer matches.
        current, tool = _transformer(before, facts), "onnxruntime.transformers"
    else:
        current, tool, said = _clean(before, folder) if not cleaner else (*_cleaned_by(cleaner, before, folder), ())
        notes += said
    tools: list[Json] = [tool]
    ends = repair.interface(before)
    notes += repair.keep_interface(ends, current.graph)
    repair.sort(current)
    graphs.name_nodes_uniquely(current)
    if level != "basic":
        plain = folder / "plain.onnx"
        graphs.save(current, plain)
        _optimize(plain, path, level)
        for leftover in folder.glob("plain.onnx*"):
            leftover.unlink()
        if repair.loads(graphs.load(path)):
            tools.append(f"onnxruntime {level}")
        else:
            graphs.save(current, path)
            notes.append(f"what onnxruntime saves at level {level} does not load again: the basic level was kept")
    else:
        graphs.save(current, path)
    after = graphs.load(path)
    if repair.keep_interface(ends, after.graph):
        graphs.save(after, path)
    fusion: dict[str, Json] = {
        "before": dict(counted),
        "after": dict(graphs.operators(after)),
        "patterns": dict(patterns.fused(before, after)),
        "found": dict(patterns.found(before)),
        "tools": tools,
    }
    return Done(fusion=fusion, notes=tuple(f"fuse: {note}" for note in notes))


def _clean(model: onnx.ModelProto, folder: Path) -> tuple[onnx.ModelProto, str, tuple[str, ...]]:
    """The model after onnxslim, the tool's name and notes.

    Where onnxslim is not installed, breaks, or writes what onnxruntime does not load, it is the model after
    onnxruntime's own basic level.
    """
    try:
        import onnxslim
    except ImportError:
        return _basic(model, folder), "onnxruntime basic", ()
    copy = graphs.copied(model)  # it works in place, and the graph before is still to be counted
    try:
        slimmed = onnxslim.slim(copy)
        if slimmed is not None:
            repair.keep_interface(repair.interface(model), slimmed.graph)
            if repair.loads(slimmed):
                return slimmed, "onnxslim", ()
        why = "wrote a file that onnxruntime does not load"
    except Exception as error:  # noqa: BLE001 # it raises whatever its passes come across
        why = f"failed: {reasons.reason_of(error, tool=True)}"
    return (
        _basic(model, folder),
        "onnxruntime basic",
        (f"onnxruntime's basic level took onnxslim's place, which {why}",),
    )


def _cleaned_by(cleaner: str, model: onnx.ModelProto, folder: Path) -> tuple[onnx.ModelProto, str]:
    """The model after the one tool that was asked for, and its name.

    Raises:
        ImportError: it is not installed.
        BuildError: it broke, or wrote what onnxruntime does not load; no other takes its place.
    """
    if cleaner == "onnxruntime":
        return _basic(model, folder), "onnxruntime basic"
    try:
        if cleaner == "onnxslim":
            import onnxslim

            found = onnxslim.slim(graphs.copied(model))
        else:
            import onnxoptimizer

            passes = onnxoptimizer.get_fuse_and_elimination_passes()
            found = onnxoptimizer.optimize(graphs.copied(model), passes, fixed_point=True)
    except ImportError:
        raise
    except Exception as error:
        raise BuildError(f"fuse: {cleaner} failed: {reasons.reason_of(error, tool=True)}") from error
    if found is not None:
        repair.keep_interface(repair.interface(model), found.graph)
    if found is None or not repair.loads(found):
        raise BuildError(f"fuse: {cleaner} wrote a file that onnxruntime does not load")
    return found, cleaner


def _basic(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """The model after onnxruntime's basic level."""
    plain, target = folder / "plain.onnx", folder / "basic.onnx"
    graphs.save(model, plain)
    try:
        _optimize(plain, target, "basic")
        return graphs.load(target)
    finally:
        for leftover in (*folder.glob("plain.onnx*"), *folder.glob("basic.onnx*"), folder / graphs.DATA_FILE):
            leftover.unlink(missing_ok=True)


def _transformer(model: onnx.ModelProto, facts: Mapping[str, Json]) -> Any:
    """The model after onnxruntime's transformer optimizer; heads and width are found in the graph where unknown."""
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    kind = str(facts.get("model_type", "bert"))
    kind = kind if kind in optimizer.MODEL_TYPES else "bert"
    settings = FusionOptions(kind)
    # It would turn the inputs into int32 behind Casts, so that the artifact no longer takes what the zoo says.
    settings.enable_embed_layer_norm = False
    copy = graphs.copied(model)  # it works in place, and the graph before is still to be counted
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
        raise BuildError(f"fuse: the transformer optimizer failed: {reasons.reason_of(error, tool=True)}") from error
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
    return fuse(work.source, work.model, options, work.facts, work.folder)


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
        Option(
            name="cleaner",
            type=str,
            choices=("onnxslim", "onnxoptimizer", "onnxruntime"),
            quiet=True,
            doc="what tidies and fuses first; else onnxslim, and of encoders ONNX Runtime's own tool",
        ),
    ),
    run=_run,
    chosen_packages=lambda options: ("onnxoptimizer",) if options.get("cleaner") == "onnxoptimizer" else (),
    packages={"onnxslim": "onnxslim", "onnx": "onnx", **dict.fromkeys(FLAVOURS, "onnxruntime")},
    # Above `extended` onnxruntime lays weights out for the CPU that it runs on.
    hardware=lambda options: bool(options["level"] == "all"),
)
