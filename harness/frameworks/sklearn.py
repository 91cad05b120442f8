"""Estimators of scikit-learn, LightGBM and XGBoost, alone or in a pipeline, such as `sklearn.svm:SVC`.

The zoo's `id` is an importable `module:callable` that returns an estimator, a class for instance, and `options` are its
keyword arguments. One that is not fitted is fitted on the calibration examples and their labels, which share none with
those of the evaluation; every `random_state` that nobody has set is `weights.seed`. With a `weights.path` the model is
taken that XGBoost (.json, .ubj) or skops (.skops) has saved, none of which runs code; a pickle would.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import importable, reasons
from harness.data import base as data
from harness.errors import BuildError
from harness.frameworks import base
from harness.frameworks.exported import tidied
from harness.records import Json, Weights
from harness.special_files import special

if TYPE_CHECKING:
    from harness.frameworks.base import Array
    from harness.records import ModelSpec

BOOSTERS = ("lightgbm", "xgboost", "xgboost-cpu")
"""Distributions that bring estimators of their own; a model needs them only where it is one of theirs."""

ML_OPSET = 3
"""The newest of the operators for classical models that all converters write."""

LABEL, PROBABILITIES, PREDICTION = "label", "probabilities", "prediction"


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedEstimator(base.Loaded):
    """A fitted estimator that takes one matrix, an example on each row."""

    estimator: Any

    def run(self, feed: Mapping[str, Array]) -> list[Array]:
        """Classes and their probabilities, or predictions [rows, targets], as scikit-learn itself gives them."""
        import numpy as np

        (rows,) = feed.values()
        if self.outputs == (PREDICTION,):
            found = np.asarray(self.estimator.predict(rows))
            return [found.reshape(len(rows), -1).astype(np.float32)]
        probabilities = np.asarray(self.estimator.predict_proba(rows)) if PROBABILITIES in self.outputs else None
        classes = np.asarray(self.estimator.predict(rows))
        label = classes if classes.dtype.kind == "U" else classes.astype(np.int64)
        return [label] if probabilities is None else [label, probabilities.astype(np.float32)]

    def export(self, options: Mapping[str, Json], folder: Path) -> None:
        """Write the estimator with skl2onnx, and onnxmltools' converters for the boosters.

        Raises:
            BuildError: it has no converter for the estimator, or failed.
        """
        import onnx

        onnx.save(_converted(self.estimator, self.model, self.outputs, options.get("opset")), folder / "model.onnx")


def load(model: ModelSpec) -> FittedEstimator:
    """Make the estimator, and fit it where it is not.

    Raises:
        MissingExtra: scikit-learn or skl2onnx is not installed, or LightGBM or XGBoost where the estimator is theirs.
        BuildError: the callable cannot be imported or fails, returns no estimator, or cannot be fitted or converted.
    """
    try:
        import skl2onnx  # noqa: F401  (what the first conversion needs; better missed now)
        import sklearn
        from sklearn.base import is_classifier
    except ImportError as error:
        raise FRAMEWORK.missing(error) from error
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 2:  # noqa: PLR2004 # rows and columns
        raise BuildError(
            f"{model.name}: an estimator takes one input of shape [batch, columns]; the zoo gives it "
            f"{', '.join(f'{one.name} {list(one.shape)}' for one in model.inputs)}."
        )
    estimator = _from_file(Path(model.weights.path)) if model.weights.path else _fitted(model)
    outputs: tuple[str, ...] = (PREDICTION,)
    if is_classifier(estimator):
        outputs = (LABEL, PROBABILITIES) if hasattr(estimator, "predict_proba") else (LABEL,)
    content = _converted(estimator, model, outputs, None)
    return FittedEstimator(
        weights=Weights(
            kind=model.weights.kind, digest=hashlib.sha256(content.SerializeToString(deterministic=True)).hexdigest()
        ),
        origin=f"scikit-learn {sklearn.__version__}",
        outputs=outputs,
        model=model,
        estimator=estimator,
    )


def _fitted(model: ModelSpec) -> Any:
    """What the callable returns, fitted on the calibration examples unless it is already."""
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        estimator = importable.target(model.id, "sklearn")(**model.options)
    except ImportError as error:
        raise FRAMEWORK.missing(error) from error
    except BuildError as error:
        if (package := model.id.partition(".")[0].partition(":")[0]) in BOOSTERS and "cannot be imported" in str(error):
            raise BuildError(f"sklearn: {model.id} needs {package}: {FRAMEWORK.how_to_install()}.") from error
        raise
    except Exception as error:
        raise BuildError(f"sklearn: calling {model.id} failed: {type(error).__name__}: {error}.") from error
    if not hasattr(estimator, "predict") or not hasattr(estimator, "get_params"):
        raise BuildError(
            f"sklearn: {model.id} returned {type(estimator).__name__}; it must return an estimator that predicts."
        )
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        pass
    else:
        return estimator
    unset = [name for name, value in estimator.get_params().items() if _seeds(name) and value is None]
    estimator.set_params(**dict.fromkeys(unset, model.weights.seed))
    rows, labels = _examples(model)
    try:
        return estimator.fit(rows, labels)
    except Exception as error:
        raise BuildError(
            f"sklearn: {model.id} cannot be fitted on the calibration examples of {model.data.name}: "
            f"{type(error).__name__}: {error}."
        ) from error


def _seeds(parameter: str) -> bool:
    return parameter.rpartition("__")[2] == "random_state"


def _examples(model: ModelSpec) -> tuple[Any, Any]:
    """The calibration examples [rows, columns] and their labels.

    Raises:
        BuildError: the data has no labels.
    """
    import numpy as np

    held = list(data.apart(data.DataRequest.of(model), []))
    if any(one.label is None for one in held):
        raise BuildError(
            f"{model.name}: {model.id} is not fitted, and the data `{model.data.name}` has no labels to fit it on. Use "
            f"data with labels, such as the source `tables`, or a callable that returns a fitted estimator."
        )
    rows = np.concatenate([one.feed[model.inputs[0].name] for one in held])
    return rows, np.concatenate([np.atleast_1d(np.asarray(one.label)) for one in held])


def _from_file(path: Path) -> Any:
    """A fitted model from a local file, without executing anything that the file says.

    Raises:
        BuildError: there is no such file, or it is of a kind that is not read.
        MissingExtra: the package that reads it is not installed.
    """
    if what := special(path):
        raise BuildError(f"weights: {path} is {what}; give a plain file")
    if not path.is_file():
        raise BuildError(f"weights: {path} is not a file. Give `path` what XGBoost or skops has saved.")
    readers: dict[str, Callable[[Path], Any]] = {
        ".json": _xgboost, ".ubj": _xgboost, ".skops": _skops
    }  # fmt: skip
    if (reader := readers.get(path.suffix)) is None:
        raise BuildError(
            f"weights: {path} is not read: a pickle may run any code. Save it as .skops or XGBoost's .json, "
            f"or name a `module:callable` of your own that loads it."
        )
    try:
        return reader(path)
    except ImportError as error:
        raise FRAMEWORK.missing(error) from error
    except BuildError:
        raise
    except Exception as error:
        raise BuildError(f"weights: {path} cannot be read: {reasons.reason_of(error, tool=True)}.") from error


def _xgboost(path: Path) -> Any:
    import json

    import xgboost

    booster = xgboost.Booster(model_file=str(path))
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    estimator = xgboost.XGBRegressor() if objective.startswith("reg") else xgboost.XGBClassifier()
    estimator.load_model(path)
    return estimator


def _skops(path: Path) -> Any:
    from skops import io

    if unknown := io.get_untrusted_types(file=path):
        raise BuildError(f"weights: {path} holds types that are not known to be harmless: {', '.join(unknown)}.")
    return io.load(path, trusted=[])


def _converted(estimator: Any, model: ModelSpec, outputs: tuple[str, ...], opset: Json) -> Any:
    """The estimator as an ONNX model whose outputs have these names.

    Args:
        estimator: fitted.
        model: the zoo entry, for its input.
        outputs: what the estimator itself gives; decision values that skl2onnx adds to it are left out.
        opset: the newest that is allowed; None for the newest that skl2onnx was tested with. It writes older ones where
            they will do.

    Raises:
        BuildError: there is no converter for the estimator, or it failed.
    """
    import numpy as np
    import skl2onnx
    from skl2onnx.common.data_types import guess_data_type

    _register_boosters()
    (spec,) = model.inputs
    rows, columns = spec.shape
    if not isinstance(columns, int):
        raise BuildError(f"{model.name}: an estimator takes a fixed number of columns; `{columns}` is none.")
    kind = guess_data_type(np.zeros((1, columns), dtype=spec.dtype))[0][1]
    kind.shape = [rows if isinstance(rows, int) else None, columns]
    target = int(opset or skl2onnx.get_latest_tested_opset_version())
    try:
        content = skl2onnx.convert_sklearn(
            estimator,
            name="estimator",  # else it is a random one
            initial_types=[(spec.name, kind)],
            options={id(estimator): {"zipmap": False}} if PROBABILITIES in outputs else None,
            target_opset={"": target, "ai.onnx.ml": ML_OPSET},
        )
    except Exception as error:
        raise BuildError(
            f"export: skl2onnx {skl2onnx.__version__} cannot convert {type(estimator).__name__} at opset {target}: "
            f"{reasons.reason_of(error, tool=True)}."
        ) from error
    return tidied(content, model, outputs)


def _register_boosters() -> None:
    """Let skl2onnx convert LightGBM's and XGBoost's estimators too, also inside a pipeline."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common import shape_calculator

    shapes = {
        "Classifier": shape_calculator.calculate_linear_classifier_output_shapes,
        "Regressor": shape_calculator.calculate_linear_regressor_output_shapes,
    }
    options: dict[str, Any] = {
        "Classifier": {"nocl": [True, False], "zipmap": [True, False, "columns"]},
        "Regressor": {"split": None},
    }
    for module, kind, alias, brings in (
        ("lightgbm", "LGBM", "LightGbmLGBM", "LightGbm"),
        ("xgboost", "XGB", "XGBoostXGB", "XGBoost"),
    ):
        if module not in sys.modules:
            continue  # no estimator of it can be here
        brought = importlib.import_module(f"onnxmltools.convert.{module}.operator_converters.{brings}")
        for role, shape in shapes.items():
            update_registered_converter(
                getattr(sys.modules[module], f"{kind}{role}"),
                f"{alias}{role}",
                shape,
                getattr(brought, f"convert_{module}"),
                overwrite=True,
                options=options[role],
            )


FRAMEWORK = base.Framework(
    name="sklearn",
    doc="estimators of scikit-learn, LightGBM and XGBoost",
    id_doc="an importable `module:callable` that returns one, such as `sklearn.ensemble:RandomForestClassifier`",
    options_doc="its keyword arguments",
    load=load,
    packages={"scikit-learn": "sklearn", "skl2onnx": "skl2onnx"},
    optional_packages=BOOSTERS,
    export_packages=("skl2onnx", "onnxmltools", "onnx"),
    extra="sklearn",
    weights=("trained", "pretrained"),
    fits=True,
    runs_user_code=True,
    id_pattern=importable.PATTERN,
    id_expected="module:attribute, such as sklearn.svm:SVC",
    licence="scikit-learn is BSD-3-Clause, LightGBM MIT, XGBoost Apache-2.0.",
)
