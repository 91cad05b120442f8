"""Proof before admission: an artifact that does not load, or computes nonsense, never enters the cache as a variant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness import ort_values, reasons, values
from harness.build import precision
from harness.errors import BuildError

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records import Recipe, Reference

EXAMPLES = 4
"""How many evaluation examples are run: all of them count in the fidelity, which is measured later."""

RELATIVE = 1e-3
"""For float32 variants |got - expected| must be within RELATIVE * (|expected| + min(1, rms of the expected output)),
or within the floor of `FLOOR`."""

FLOOR = 4.0
"""So many eps of the output's type, times max(1, rms of the expected output), are the noise of the arithmetic itself.

Sigmoids, tanh and softmax are computed at the scale of 1: close to zero their last bit is 6e-8 whatever the value, and
a file differs from itself by that much between two optimization levels.
"""

LEVELS = {"disabled": "DISABLE_ALL", "basic": "ENABLE_BASIC", "extended": "ENABLE_EXTENDED", "all": "ENABLE_ALL"}


def prove(
    path: Path, recipe: Recipe, reference: Reference, folder: Path, *, untouched: bool = False
) -> tuple[str, ...]:
    """Load the file on the CPU provider as it will be measured, run it, and compare.

    onnxruntime is the judge whether a file runs; what onnx.checker says of it is passed on where it does not.

    Args:
        path: the artifact.
        recipe: the variant, for its precision and its optimization level.
        reference: what the outputs must look like.
        folder: the reference's own folder, from which its entries lead to feeds and outputs.
        untouched: it is the user's own file, so that a difference is noted and never refused.

    Returns:
        Notes that belong to the artifact, such as what could not be proven on this host.

    Raises:
        BuildError: what is broken, and which step broke it.
    """
    import onnxruntime

    step = recipe.steps[-1].kind
    session = _session(path, recipe.optimization, step)
    if isinstance(session, str):
        return (session,)
    _same_names(session, reference, step)
    feeds = {one.name: values.Stored(folder, one, reference.examples) for one in reference.feeds}
    expected = {one.name: values.Stored(folder, one, reference.examples) for one in reference.answers}
    kinds = {one.name: one.type for one in reference.feeds}
    notes: dict[str, None] = {}
    order = {one.name: place for place, one in enumerate(session.get_outputs())}
    lossless = recipe.precision == "float32" and _in_floats(path)
    for places in _batches(reference):
        try:
            feed = {
                one.name: _fitting(
                    _together([feeds[one.name][place] for place in places], reference.batch_axes.get(one.name)),
                    one,
                    kinds[one.name],
                )
                for one in session.get_inputs()
            }
            outputs = ort_values.run(onnxruntime, session, feed)
        except Exception as error:
            if _not_implemented(error):
                return (_unproven(error),)
            raise BuildError(
                f"{step}: the file loads and cannot run a batch of {len(places) * reference.rows}: {error}"
            ) from error
        # Values are compared as the reference computed them, each example alone: other batches take other kernels.
        exact = lossless and len(places) == 1
        for name in reference.outputs:
            kind = session.get_outputs()[order[name]].type
            got = values.flat(_as_typed(outputs[order[name]], kind))
            wanted = _batched(got, [values.flat(expected[name][place]) for place in places])
            if wanted is None or name in reference.random:
                continue
            if recipe.precision != "float32" and _depends(expected[name], got, wanted):
                continue  # as many rows as the data give: how many agree is a matter of fidelity
            try:
                _compare(name, got, wanted, step, exact=exact)
            except BuildError as error:
                if not untouched:
                    raise
                text = str(error).removeprefix(f"{step}: ")
                notes[f"with optimization `{recipe.optimization}`, not without: {text}"] = None
    return tuple(notes)


def _fitting(value: Any, spec: Any, kind: str) -> Any:
    """A value of the reference as a session's input takes it."""
    raw = values.plain(value, spec.name)[0] if ort_values.is_tensor(spec.type) else value
    return ort_values.fitting(raw, spec.type, kind, spec.name)


def _as_typed(value: Any, kind: str) -> Any:
    """A raw output with the type that it stands for."""
    name = ort_values.type_of(kind)
    return value if name == ort_values.NESTED else values.typed(value, name)


def _in_floats(path: Path) -> bool:
    """Whether a file computes in float32 or wider, so that two levels of optimization give the same.

    Kernels for integers and for float16 round in other places than the graph says.
    """
    import onnx

    return precision.of(onnx.load(path, load_external_data=False)) in ("float32", "float64")


def check(path: Path, step: str) -> None:
    """Make sure that a file is a model that others can build on.

    onnx.checker is quick, and stricter than what runs: it refuses LayerNormalization below opset 17, nodes out of order
    and newer operators. Where it says no, onnxruntime decides.

    Raises:
        BuildError: onnxruntime does not load the file.
    """
    import onnx

    try:
        onnx.checker.check_model(str(path))
    except Exception:  # noqa: BLE001 # whatever it finds, it is no more than a reason to look closer
        _session(path, "disabled", step)


def _session(path: Path, optimization: str, step: str) -> Any:
    """A session on the CPU provider, or the note to leave when this host has no kernel for it."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{LEVELS[optimization]}")
    settings.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        if _not_implemented(error):
            return _unproven(error)
        raise BuildError(f"{step}: wrote a file that onnxruntime does not load: {str(error).strip()}") from error


def _not_implemented(error: Exception) -> bool:
    return type(error).__name__ == "NotImplemented" or "NOT_IMPLEMENTED" in str(error)


def _unproven(error: Exception) -> str:
    text = str(error).rpartition("NOT_IMPLEMENTED : ")[2].strip().splitlines()[0]
    return f"not proven here: the CPU provider has no kernel for it ({text})"


def _same_names(session: Any, reference: Reference, step: str) -> None:
    inputs, outputs = ({one.name for one in side} for side in (session.get_inputs(), session.get_outputs()))
    # An exporter may drop an input that nothing reads; it must not invent one.
    for kind, extra in (("input", inputs - set(reference.inputs)), ("output", set(reference.outputs) - outputs)):
        if extra:
            what = "has" if kind == "input" else "lacks"
            raise BuildError(
                f"{step}: the file {what} the {kind} `{min(extra)}`, which the reference does not agree with."
            )


def _batches(reference: Reference) -> list[tuple[int, ...]]:
    """The first examples: two together where there is a batch axis, and then each as it is.

    An input without a batch axis is the same for the whole batch: then the two are the first example twice.
    """
    if not reference.batch_axes:
        return [(place,) for place in range(min(-(-EXAMPLES // reference.rows), reference.examples))]
    limit = min(EXAMPLES, reference.examples)
    if limit == 1:
        return [(0,)]
    pair = (0, 1) if set(reference.batch_axes) == set(reference.inputs) else (0, 0)
    return [pair, *((place,) for place in range(limit))]


def _together(examples: list[np.ndarray[Any, Any]], axis: int | None) -> np.ndarray[Any, Any]:
    """One feed of several examples; an input without a batch axis is the first example's."""
    return examples[0] if axis is None or len(examples) == 1 else np.concatenate(examples, axis=axis)


def _batched(got: np.ndarray[Any, Any], expected: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any] | None:
    """What an output of several examples must be; None where those of each alone do not say.

    Examples are joined along the axis that makes the shape that was got, else along the first.
    """
    first = expected[0]
    if len(expected) == 1:
        return first
    if not first.ndim or len({one.shape for one in expected}) > 1:
        return None
    if got.shape == first.shape and all(np.array_equal(one, first) for one in expected):
        return first  # the same whatever the batch, as anchors are
    fits = [
        axis
        for axis in range(first.ndim)
        if got.shape == (*first.shape[:axis], first.shape[axis] * len(expected), *first.shape[axis + 1 :])
    ]
    return np.concatenate(expected, axis=fits[0] if fits else 0)


def _depends(expected: values.Stored, got: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> bool:
    """Whether an output's size along one axis depends on the data, so that another one is not a fault of the file."""
    if got.ndim != wanted.ndim or got.shape == wanted.shape:
        return False
    shapes = {values.flat(one).shape for one in expected}
    differing = {axis for axis in range(got.ndim) if len({shape[axis] for shape in shapes}) > 1}
    changed = {axis for axis in range(got.ndim) if got.shape[axis] != wanted.shape[axis]}
    return bool(differing) and changed <= differing


def _compare(name: str, got: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any], step: str, *, exact: bool) -> None:
    """Shapes, finiteness and, for float32, values.

    Raises:
        BuildError: one of them is wrong.
    """
    if got.shape != wanted.shape:
        raise BuildError(
            f"{step}: the output `{name}` has the shape {list(got.shape)} instead of {list(wanted.shape)}."
        )
    if got.dtype.kind != "f":
        if exact and not np.array_equal(got, wanted):
            raise BuildError(
                f"{step}: the output `{name}` differs from the framework's in {int((got != wanted).sum())} places."
            )
        return
    finite = np.isfinite(wanted)
    broken = int((~np.isfinite(got) & finite).sum())
    if broken:
        raise BuildError(
            f"{step}: {broken} of {got.size} values of the output `{name}` are infinite or no number, where the "
            f"framework's are finite."
        )
    if not finite.all() and not np.isfinite(wanted).any():
        raise BuildError(f"{step}: the framework's own output `{name}` is nowhere finite: {reasons.NONSENSE}.")
    if exact:
        one, two = got[finite].astype(np.float64), wanted[finite].astype(np.float64)
        scale = float(np.sqrt(np.mean(two**2))) if two.size else 0.0
        floor = FLOOR * float(np.finfo(got.dtype).eps) * max(1.0, scale)
        excess = np.abs(one - two) - np.maximum(RELATIVE * (np.abs(two) + min(1.0, scale)), floor)
        if excess.size and excess.max() > 0:
            place = int(excess.argmax())
            raise BuildError(
                f"{step}: the output `{name}` differs from the framework's: {one[place]:.6g} instead of "
                f"{two[place]:.6g}; {int((excess > 0).sum())} of {excess.size} values are outside the tolerance "
                f"of {RELATIVE:g}."
            )
