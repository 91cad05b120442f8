"""harness.frameworks.sklearn: fitted on labelled rows, exported, and equal to what scikit-learn answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import frameworks
from harness.data import base as data
from harness.errors import BuildError
from harness.records import DataSpec, InputSpec, ModelSpec, WeightsSpec

pytest.importorskip("skl2onnx", reason="skl2onnx is not installed: pip install 'onnx-harness[sklearn]'")


def model_of(target: str, table: str = "iris", columns: int = 4, path: str | None = None, **options: Any) -> ModelSpec:
    """An estimator on a table."""
    return ModelSpec(
        name="m",
        source="sklearn",
        id=target,
        task=None,
        weights=WeightsSpec(kind="pretrained" if path else "trained", path=path),
        inputs=(InputSpec(name="rows", dtype="float32", shape=("batch", columns)),),
        dims={},
        data=DataSpec(
            name="t", source="tables", calibration=90, evaluation=40, options={"table": table} if table else {}
        ),
        options=options,
    )


def equal(model: ModelSpec, folder: Path) -> Any:
    """The loaded model, whose file answers as the estimator does."""
    import onnxruntime

    loaded = frameworks.get("sklearn").load(model)
    folder.mkdir(exist_ok=True)
    loaded.export({"opset": None}, folder)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    assert list(loaded.outputs) == [one.name for one in session.get_outputs()]
    assert ["batch", model.inputs[0].shape[1]] == session.get_inputs()[0].shape
    rows = np.concatenate([one.feed["rows"] for one in data.stream(data.DataRequest.of(model), "evaluation")])
    for ours, theirs in zip(loaded.run({"rows": rows}), session.run(None, {"rows": rows}), strict=True):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-4)
    return loaded


@pytest.mark.parametrize(
    ("target", "table", "columns", "outputs"),
    [
        ("sklearn.linear_model:LogisticRegression", "iris", 4, ("label", "probabilities")),
        ("sklearn.svm:LinearSVC", "iris", 4, ("label",)),
        ("sklearn.tree:DecisionTreeRegressor", "diabetes", 10, ("prediction",)),
        ("lightgbm:LGBMClassifier", "iris", 4, ("label", "probabilities")),
        ("xgboost:XGBRegressor", "diabetes", 10, ("prediction",)),
    ],
)
def test_estimators_export_what_they_answer(
    target: str, table: str, columns: int, outputs: tuple[str, ...], tmp_path: Path
) -> None:
    """Fitted on the calibration rows; classifiers give probabilities where they have them."""
    package = target.partition(":")[0].partition(".")[0]
    pytest.importorskip(package)
    options: dict[str, Any] = {"lightgbm": {"verbose": -1, "n_estimators": 3}, "xgboost": {"n_estimators": 3}}.get(
        package, {}
    )
    assert outputs == equal(model_of(target, table, columns, **options), tmp_path).outputs


def test_one_seed_is_one_model() -> None:
    """What nobody has set comes of the seed of the weights, inside pipelines too."""
    load = frameworks.get("sklearn").load
    model = model_of("sklearn.tree:ExtraTreeClassifier")
    same, other = load(model).weights.digest, load(replace(model, weights=WeightsSpec(kind="trained", seed=1)))
    assert same == load(model).weights.digest
    assert same != other.weights.digest


def test_a_model_from_a_local_file(tmp_path: Path) -> None:
    """XGBoost's own format, which holds no code; a pickle is not opened."""
    xgboost = pytest.importorskip("xgboost")
    model = model_of("xgboost:XGBClassifier", n_estimators=2)
    fitted = frameworks.get("sklearn").load(model)
    path = tmp_path / "m.json"
    fitted.estimator.save_model(path)  # type: ignore[attr-defined]
    loaded = equal(model_of("xgboost:XGBClassifier", path=str(path)), tmp_path / "out")
    assert "pretrained" == loaded.weights.kind
    assert isinstance(loaded.estimator, xgboost.XGBClassifier)
    (tmp_path / "m.pkl").write_bytes(b"\x80\x04.")
    for name, words in (("m.pkl", "a pickle may run any code"), ("none.json", "is not a file")):
        with pytest.raises(BuildError, match=words):
            frameworks.get("sklearn").load(model_of("xgboost:XGBClassifier", path=str(tmp_path / name)))
    (tmp_path / "bad.json").write_text("{}", encoding="utf-8")
    with pytest.raises(BuildError, match="cannot be read"):
        frameworks.get("sklearn").load(model_of("xgboost:XGBClassifier", path=str(tmp_path / "bad.json")))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (model_of("sklearn.svm:Nothing"), "has no callable `Nothing`"),
        (model_of("sklearn.svm:SVC", kernels="rbf"), "calling sklearn.svm:SVC failed: TypeError"),
        (model_of("collections:Counter"), "returned Counter; it must return an estimator"),
        (model_of("sklearn.neighbors:LocalOutlierFactor"), "must return an estimator that predicts"),
        (replace(model_of("sklearn.svm:SVC"), inputs=()), "takes one input of shape"),
        (
            replace(model_of("sklearn.svm:SVC"), data=DataSpec(name="r", source="random")),
            "is not fitted, and the data `r` has no labels",
        ),
    ],
)
def test_mistakes_are_said(model: ModelSpec, words: str) -> None:
    """What is wrong, and what would do."""
    with pytest.raises(BuildError, match=words):
        frameworks.get("sklearn").load(model)
