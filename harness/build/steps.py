"""The steps of a recipe: what one is called, how it is run, and what it wrote. Imports frameworks as it goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.build import graphs, options
from harness.errors import BuildError, MissingExtra
from harness.records import Recipe, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.frameworks.base import Loaded
    from harness.records import Json, ModelSpec


def partial(recipe: Recipe, place: int) -> Recipe:
    """The recipe up to a step. The claimed precision is the end's; an export on its own is float32, not optimized."""
    steps = recipe.steps[: place + 1]
    if len(steps) == 1:
        return Recipe(name=recipe.name, steps=steps, precision="float32", optimization="disabled")
    return replace(recipe, steps=steps)


def told(step: Step) -> str:
    """A step with those of its options that are not the defaults."""
    defaults = options.DEFAULTS[step.kind]
    changed = [
        f"{name}={value}" for name, value in step.options.items() if value != defaults[name] or name in ("method", "to")
    ]
    return f"{step.kind}({', '.join(changed)})" if changed else step.kind


def run(
    step: Step,
    model: ModelSpec,
    loaded: Loaded | None,
    *,
    facts: Mapping[str, Json],
    source: Path | None,
    folder: Path,
) -> dict[str, Any]:
    """Run one step into `folder`; what it has to say comes back as `fusion` or `notes`."""
    try:
        if loaded is not None:
            from harness.build.export import export

            export(loaded, loaded.model, step.options, folder)
            return {}
        if source is None:
            raise BuildError(f"{step.kind}: there is nothing to start from; the first step must be `export`.")
        if step.kind == "fuse":
            from harness.build.fuse import fuse

            return {"fusion": fuse(source, model, step.options, facts, folder)}
        if step.kind == "cast":
            from harness.build.cast import cast

            cast(source, step.options, folder)
            return {}
        from harness.build.quantize import quantize
        from harness.frameworks.onnx import with_inputs

        return {"notes": quantize(source, with_inputs(model, source), step.options, folder)}
    except ImportError as error:
        raise MissingExtra(
            f"{step.kind}: needs {error.name}, which does not import here ({error}): pip install 'onnx-harness[zoo]'."
        ) from error


def measured(folder: Path) -> dict[str, Json]:
    """Bytes of all files, and nodes by operator."""
    import onnx

    operators = graphs.operators(onnx.load(folder / "model.onnx", load_external_data=False))
    return {
        "bytes": sum(path.stat().st_size for path in folder.iterdir()),
        "nodes": sum(operators.values()),
        "operators": dict(operators),
    }
