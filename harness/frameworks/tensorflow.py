"""TensorFlow functions and SavedModels, exported by tf2onnx.

The zoo's `id` is an importable `module:callable` that returns a tf.function, a tf.Module that can be called, or a plain
function of tensors, with `options` as its keyword arguments; or, with a SavedModel's folder at `weights.path`, the name
of a signature such as `serving_default`. Inputs come in the zoo's order, those of a signature by their names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import importable, reasons
from harness.errors import BuildError
from harness.frameworks import base, tensorflow_family
from harness.frameworks.exported import tidied
from harness.records import Json, Weights
from harness.suggest import suggest

if TYPE_CHECKING:
    from harness.frameworks.base import Array
    from harness.records import ModelSpec

DEFAULT_OPSET = 18
"""The newest that tf2onnx 1.17 writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorFlowFunction(base.Loaded):
    """A function of tensors, in the zoo's order of inputs, to a flat list of tensors.

    Attributes:
        holder: what keeps its variables alive.
    """

    function: Callable[..., list[Any]]
    holder: Any

    def run(self, feed: Mapping[str, Array]) -> list[Array]:
        """The outputs."""
        return _answers(self.function, [feed[spec.name] for spec in self.model.inputs])

    def export(self, options: Mapping[str, Json], folder: Path) -> None:
        """Write the function with tf2onnx.

        Raises:
            BuildError: it failed.
        """
        import onnx
        import tensorflow as tf
        import tf2onnx

        opset = int(options.get("opset") or DEFAULT_OPSET)
        signature = [
            tf.TensorSpec(
                [None if isinstance(axis, str) else axis for axis in spec.shape], tf.dtypes.as_dtype(spec.dtype)
            )
            for spec in self.model.inputs
        ]
        try:
            traced = tf.function(self.function, input_signature=signature)
            content, _ = tf2onnx.convert.from_function(traced, input_signature=signature, opset=opset)
        except Exception as error:
            raise BuildError(
                f"export: tf2onnx failed at opset {opset}: {reasons.reason_of(error, tool=True)}."
            ) from error
        onnx.save(tidied(content, self.model, self.outputs), folder / "model.onnx")


def load(model: ModelSpec) -> TensorFlowFunction:
    """Call the callable, or load the SavedModel.

    Raises:
        MissingExtra: TensorFlow or tf2onnx is not installed.
        BuildError: the callable fails or returns nothing that can be called; the SavedModel cannot be loaded or has no
            such signature; or the inputs are not the zoo's.
    """
    try:
        tf = tensorflow_family.set_up()
    except ImportError as error:
        raise FRAMEWORK.missing(error) from error
    tf.random.set_seed(model.weights.seed)
    if model.weights.path:
        function, holder, digest = _from_folder(tf, model, Path(model.weights.path))
    else:
        function, holder, digest = _from_callable(model)
    answers = tensorflow_family.first_answers(lambda arrays: _answers(function, arrays), model)
    named = ((str(place), answer) for place, answer in enumerate(answers))
    return TensorFlowFunction(
        # What a function closes over is not seen: its answers are what it is known by.
        weights=Weights(kind=model.weights.kind, digest=digest or tensorflow_family.digest_of(named)),
        origin=f"tensorflow {tf.__version__}",
        outputs=tensorflow_family.output_names(len(answers), model),
        model=model,
        function=function,
        holder=holder,
    )


def _answers(function: Callable[..., list[Any]], arrays: Sequence[Array]) -> list[Array]:
    import tensorflow as tf

    return [one.numpy() for one in function(*[tf.constant(array) for array in arrays])]


def _from_callable(model: ModelSpec) -> tuple[Callable[..., list[Any]], Any, str]:
    import tensorflow as tf

    try:
        built = importable.target(model.id, "tensorflow")(**model.options)
    except BuildError:
        raise
    except Exception as error:
        raise BuildError(f"tensorflow: calling {model.id} failed: {type(error).__name__}: {error}.") from error
    if not callable(built):
        raise BuildError(
            f"tensorflow: {model.id} returned {type(built).__name__}; it must return a function of tensors."
        )
    variables = getattr(built, "variables", None) or ()
    held = [(f"{place} {one.name}", one.numpy()) for place, one in enumerate(variables)]
    digest = tensorflow_family.digest_of(held) if held else ""
    return (lambda *tensors: tf.nest.flatten(built(*tensors))), built, digest


def _from_folder(tf: Any, model: ModelSpec, path: Path) -> tuple[Callable[..., list[Any]], Any, str]:
    tensorflow_family.require_folder_or_file(path, "the folder of a SavedModel")
    if not (path / "saved_model.pb").is_file():
        raise BuildError(f"weights: {path} is not a SavedModel: it holds no saved_model.pb.")
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:
        raise BuildError(f"weights: {path} cannot be loaded: {str(error).strip().splitlines()[0]}.") from error
    signatures = dict(loaded.signatures)
    if model.id not in signatures:
        raise BuildError(f"tensorflow: {path} has no signature `{model.id}`; {suggest(model.id, list(signatures))}.")
    signature = signatures[model.id]
    takes = set(signature.structured_input_signature[1])
    names = [spec.name for spec in model.inputs]
    if takes != set(names):
        raise BuildError(
            f"tensorflow: the signature `{model.id}` of {path} takes {', '.join(sorted(takes))}; the zoo gives it "
            f"{', '.join(names)}."
        )
    digest = hashlib.sha256()
    for file in sorted(one for one in path.rglob("*") if one.is_file()):
        digest.update(f"{file.relative_to(path)}\n".encode())
        digest.update(file.read_bytes())
    flat = tf.nest.flatten
    function = lambda *tensors: flat(signature(**dict(zip(names, tensors, strict=True))))  # noqa: E731
    return function, loaded, digest.hexdigest()


FRAMEWORK = base.Framework(
    name="tensorflow",
    doc="TensorFlow functions and SavedModels",
    id_doc="an importable `module:callable` that returns one; or a signature of the SavedModel at `weights.path`",
    options_doc="its keyword arguments",
    load=load,
    packages={"tensorflow-cpu": "tensorflow", "tf2onnx": "tf2onnx"},
    export_packages=("tf2onnx", "onnx"),
    extra="keras",
    weights=("seeded", "trained", "pretrained"),
    runs_user_code=True,
    id_pattern=rf"[A-Za-z_][\w.-]*|{importable.PATTERN}",
    id_expected="module:attribute, or the name of a signature such as serving_default",
    build_s=60.0,
    environment=tensorflow_family.QUIET,
    licence="TensorFlow and tf2onnx are Apache-2.0.",
    apart=True,
    requirements=tensorflow_family.REQUIREMENTS,
)
