"""Keras 3 models: those of `keras.applications` by name, such as `MobileNetV2`, or what a `module:callable` returns.

The zoo's `options` are keyword arguments. Applications are asked for logits (`classifier_activation: null`) of the
zoo's input size; images have their channels last. Weights come from Keras's hub, or from `weights.path`: a .keras file,
which is the whole model, or a .weights.h5 file of the named one. Keras exports itself (`model.export`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import importable, reasons
from harness.errors import BuildError
from harness.frameworks import base, hub, tensorflow_family
from harness.frameworks.batches import JITTER, SHIFT, batches
from harness.frameworks.exported import tidied
from harness.records import Json, Weights
from harness.suggest import similar

if TYPE_CHECKING:
    from harness.frameworks.base import Array
    from harness.records import ModelSpec

HUB = "https://storage.googleapis.com/"


@dataclass(frozen=True, slots=True, kw_only=True)
class KerasModel(base.Loaded):
    """A Keras model that takes the inputs in the zoo's order."""

    network: Any

    def run(self, feed: Mapping[str, Array]) -> list[Array]:
        """The outputs in inference mode."""
        return _answers(self.network, [feed[spec.name] for spec in self.model.inputs])

    def export(self, options: Mapping[str, Json], folder: Path) -> None:
        """Write the model with Keras's own exporter.

        Raises:
            BuildError: it failed.
        """
        import keras
        import onnx

        opset, path = options.get("opset"), folder / "model.onnx"
        more = {"opset_version": int(opset)} if opset else {}
        try:
            self.network.export(str(path), format="onnx", verbose=False, **more)
        except Exception as error:
            asked = f" at opset {opset}" if opset else ""
            raise BuildError(
                f"export: Keras {keras.__version__} failed{asked}: {reasons.reason_of(error, tool=True)}."
            ) from error
        onnx.save(tidied(onnx.load(path), self.model, self.outputs), path)


def load(model: ModelSpec) -> KerasModel:
    """Build the model and give it its weights.

    Raises:
        MissingExtra: Keras or TensorFlow is not installed.
        BuildError: there is no such model, it does not take the zoo's inputs, or required weights cannot be had.
    """
    try:
        tensorflow_family.set_up()
        import keras
    except ImportError as error:
        raise FRAMEWORK.missing(error) from error
    keras.utils.set_random_seed(model.weights.seed)
    network, kind, reason = _chosen(model)
    if not isinstance(network, keras.Model):
        raise BuildError(f"keras: {model.id} returned {type(network).__name__}; it must return a keras.Model.")
    answers = tensorflow_family.first_answers(lambda arrays: _answers(network, arrays), model)
    if kind == "seeded":
        _settle(network, model)
    return KerasModel(
        weights=Weights(
            kind=kind,
            digest=tensorflow_family.digest_of(
                (f"{place} {one.path}", one.numpy()) for place, one in enumerate(network.weights)
            ),
            reason=reason,
        ),
        origin=f"keras {keras.__version__} on {keras.backend.backend()}",
        outputs=tensorflow_family.output_names(len(answers), model),
        model=model,
        network=network,
    )


def _answers(network: Any, arrays: Sequence[Array]) -> list[Array]:
    import keras
    import numpy as np

    given = list(arrays) if len(arrays) > 1 else arrays[0]
    found = keras.tree.flatten(network(given, training=False))
    return [np.asarray(keras.ops.convert_to_numpy(one)) for one in found]


def _chosen(model: ModelSpec) -> tuple[Any, str, str]:
    """The network, what its weights are, and why not what was asked for.

    Raises:
        BuildError: the weights are required and cannot be had.
    """
    wanted, path = model.weights, model.weights.path
    if path is not None:
        return _from_file(model, Path(path)), "pretrained", ""
    if wanted.kind != "pretrained":
        return _built(model), wanted.kind, ""
    why = f"{model.id} has no hub; name a file with `weights: {{path: ...}}`"
    if ":" not in model.id:
        why = hub.unreachable(HUB)
        if not why:
            try:
                return _built(model, weights="imagenet"), "pretrained", ""
            except BuildError as error:
                why = str(error).rstrip(".")
    if wanted.require:
        raise BuildError(f"{model.name}: the weights of {model.id} are required and cannot be had: {why}.")
    return _built(model), "seeded", f"pretrained weights of {model.id} cannot be had here: {why}"


def _built(model: ModelSpec, weights: str | None = None) -> Any:
    """The network as the application or the callable makes it.

    Raises:
        BuildError: there is none of that name, or it fails.
    """
    import keras

    if ":" in model.id:
        build, settings = importable.target(model.id, "keras"), dict(model.options)
    else:
        names = [name for name in dir(keras.applications) if name[0].isupper()]
        if model.id not in names:
            raise BuildError(f"keras: there is no application `{model.id}`{similar(model.id, names)}.")
        build = getattr(keras.applications, model.id)
        shape = model.inputs[0].shape[1:]
        sized = {"input_shape": tuple(shape)} if all(isinstance(axis, int) for axis in shape) else {}
        settings = {"classifier_activation": None, **sized, **model.options, "weights": weights}
    try:
        return build(**settings)
    except Exception as error:
        raise BuildError(f"keras: calling {model.id} failed: {type(error).__name__}: {error}.") from error


def _from_file(model: ModelSpec, path: Path) -> Any:
    """The model of a .keras file, or the named one with the weights of a file; no code of a file is run.

    Raises:
        BuildError: the file is missing, of another kind, or not this model's.
    """
    import keras

    tensorflow_family.require_folder_or_file(path, "a .keras file or a .weights.h5 file")
    try:
        if path.suffix == ".keras":
            return keras.saving.load_model(path, compile=False, safe_mode=True)
        if path.name.endswith(".weights.h5"):
            network = _built(model)
            network.load_weights(path)
            return network
    except BuildError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise BuildError(f"weights: {path} cannot be loaded: {lines[0]}.") from error
    raise BuildError(f"weights: {path} is neither a .keras nor a .weights.h5 file; save it with model.save(...).")


def _settle(network: Any, model: ModelSpec) -> None:
    """Give batch norms the statistics of the calibration examples, and a classifier what differs among them.

    As `harness.frameworks.settle` does for torch: what is fresh answers every input alike, and shows no difference
    between one precision and another. Only batch norms work as in training meanwhile.
    """
    import keras
    import numpy as np

    layers = list(network._flatten_layers(include_self=False))  # noqa: SLF001 # the only way into nested models
    norms = [one for one in layers if isinstance(one, keras.layers.BatchNormalization)]
    generator = np.random.default_rng(model.weights.seed)
    if norms:
        rates = [(one, one.rate) for one in layers if hasattr(one, "rate")]
        momenta = [norm.momentum for norm in norms]
        for one, _ in rates:
            one.rate = 0.0
        for norm in norms:
            if norm.beta is not None:
                norm.beta.assign(SHIFT + JITTER * generator.standard_normal(norm.beta.shape))
        for place, arrays in enumerate(batches(model)):
            for norm in norms:
                norm.momentum = place / (place + 1)  # a plain average: batch k counts 1 / k
            network(list(arrays) if len(arrays) > 1 else arrays[0], training=True)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for one, rate in rates:
            one.rate = rate
    dense = [one for one in layers if isinstance(one, keras.layers.Dense) and one.use_bias]
    if model.task == "classification" and dense and getattr(network, "inputs", None):
        _fit_classifier(network, dense[-1], model, generator)


def _fit_classifier(network: Any, last: Any, model: ModelSpec, generator: Any) -> None:
    """Make the last dense layer a random mix of the centred features of the calibration examples, with mean zero."""
    import keras
    import numpy as np

    before = keras.Model(network.inputs, last.input)
    seen = [_answers(before, arrays)[0] for arrays in batches(model)]
    features = np.concatenate(seen).reshape(-1, last.kernel.shape[0]) if seen else np.empty((0, 1))
    if not len(features):
        return
    mean = features.mean(axis=0)
    mix = generator.standard_normal((last.kernel.shape[1], len(features))) @ (features - mean)
    length = np.linalg.norm(mix, axis=1, keepdims=True)
    if not (length > 0).all():
        return  # the examples do not differ at all: there is nothing to read
    kernel = (mix / length).astype(np.float32)
    last.kernel.assign(kernel.T)
    last.bias.assign(-(kernel @ mean))


FRAMEWORK = base.Framework(
    name="keras",
    doc="Keras 3 models: applications, or your own",
    id_doc="an application such as `MobileNetV2`, or an importable `module:callable` that returns a model",
    options_doc="its keyword arguments",
    load=load,
    packages={"tensorflow-cpu": "tensorflow", "keras": "keras", "tf2onnx": "tf2onnx"},
    export_packages=("tf2onnx", "onnx"),
    extra="keras",
    weights=("pretrained", "seeded", "trained"),
    hub=HUB,
    runs_user_code=True,
    id_pattern=rf"[A-Za-z]\w*|{importable.PATTERN}",
    id_expected="an application such as MobileNetV2, or module:attribute",
    build_s=120.0,
    environment=tensorflow_family.QUIET,
    licence="Keras is Apache-2.0; so are the weights of keras.applications, except where their pages say otherwise.",
    apart=True,
    requirements=tensorflow_family.REQUIREMENTS,
)
