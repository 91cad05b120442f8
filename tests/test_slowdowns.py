"""tests.slowdowns: the models that real slow-downs are shown with are good models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests.slowdowns import SLOWDOWNS


@pytest.mark.parametrize("name", SLOWDOWNS)
def test_slowdown_models_run(name: str, tmp_path: Path) -> None:
    """Each runs on the onnxruntime at hand, and what it computes is finite and not all the same."""
    one = SLOWDOWNS[name]
    session = onnxruntime.InferenceSession(one.build(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": one.feed()})
    assert np.isfinite(found).all()
    assert found.std() > 0
    assert one.ratio > 1
