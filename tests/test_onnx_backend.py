"""benchmarks/onnx_backend.py: a sample of onnx's own node tests, built and run in this process."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks import onnx_backend

OPERATORS, SAMPLE = 40, 48


@pytest.mark.long
def test_a_sample_is_measured_as_expected(tmp_path: Path) -> None:
    """Half of them on their own inputs, whose outputs are the expected ones, half on inputs that are drawn to fit."""
    drawn_by = random.Random(20)
    # The tests of pooling take longer to make than all others: onnx computes what they expect in Python.
    quick = [name for name in onnx_backend.operators() if not name.endswith("pool")]
    found = list(onnx_backend.tests(drawn_by.sample(quick, OPERATORS)))
    drawn_by.shuffle(found)
    runs = [test for test in found[: 2 * SAMPLE] if onnx_backend.by_hand(test)][:SAMPLE]
    results = []
    for drawn, part in ((False, runs[::2]), (True, runs[1::2])):
        root = tmp_path / str(drawn)
        root.mkdir()
        files = {test.name: onnx_backend.write(test, root / "models", drawn=drawn) for test in part}
        results += onnx_backend.built(files, root)
    assert SAMPLE == len(results)
    assert 2 > sum(bool(one.reason) for one in results), [one for one in results if one.reason]
    assert 2 > sum(bool(one.difference) for one in results), [one for one in results if one.difference]
