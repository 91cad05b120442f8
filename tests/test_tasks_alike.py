"""harness.tasks.alike: what is rounding between two programs, and what is a difference."""

from __future__ import annotations

import numpy as np
import pytest

from harness.tasks import alike

RANDOM = np.random.default_rng(3)
EXACT = [RANDOM.normal(size=(1, 50)).astype(np.float32) for _ in range(4)]
WORDS = [np.array(["a", "b"])] * 4


def off(by: float) -> list[np.ndarray]:
    """Every value off by a share of the typical one."""
    noise = np.random.default_rng(9)
    return [one + (by * noise.normal(size=one.shape)).astype(np.float32) for one in EXACT]


def changed(value: float) -> list[np.ndarray]:
    """One value of the third example is another."""
    arrays = [one.copy() for one in EXACT]
    arrays[2][0, 7] = value
    return arrays


@pytest.mark.parametrize(("own", "by"), [(0.0, 1e-6), (0.0, 5e-4), (0.03, 0.03), (0.03, 0.05)])
def test_rounding_is_no_difference(own: float, by: float) -> None:
    """As coarse as the file's own error, and a thousandth where that has none."""
    python = off(own)
    other = [one + (by * RANDOM.normal(size=one.shape)).astype(np.float32) for one in python]
    assert "" == alike.difference({"y": EXACT}, {"y": python}, {"y": other})


def test_more_than_rounding_is_named_where_it_is_first() -> None:
    """The element, the example and both values; an infinity or a lost number however small its share."""
    for value in (40.0, np.inf, np.nan):
        found = alike.difference({"y": EXACT}, {"y": EXACT}, {"y": changed(value)})
        assert f"`y`[0, 7] of example 2 is {value}, in Python {EXACT[2][0, 7]!s}" == found
    assert "" == alike.difference({"y": EXACT}, {"y": changed(np.nan)}, {"y": changed(np.nan)})
    assert "" == alike.difference({"y": EXACT}, {"y": EXACT}, {"y": off(1.0)}, random=["y"])


def test_other_shapes_types_and_texts() -> None:
    """None of them is rounding."""
    reshaped = [one.reshape(50, 1) for one in EXACT]
    whole = [one.astype(np.int64) for one in EXACT]
    said = {"y": EXACT, "words": WORDS}
    assert "output `words` is missing" == alike.difference(said, said, {"y": EXACT})
    assert "is float32[50, 1], in Python float32[1, 50]" in alike.difference(said, said, {**said, "y": reshaped})
    assert "`y` of example 0 is int64[1, 50]" in alike.difference(said, said, {**said, "y": whole})
    other = alike.difference(said, said, {**said, "words": [*WORDS[:3], np.array(["a", "c"])]})
    assert "`words`[1] of example 3 is c, in Python b" == other
