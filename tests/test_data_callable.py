"""harness.data.callable: whatever a function of the user's own yields, checked and split."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.data import base
from harness.data import callable as source
from harness.errors import BuildError, UsageError
from harness.init import assume, bare
from harness.records import InputSpec

if TYPE_CHECKING:
    from harness.records import Json

FEEDS = """
import random
import numpy as np

def rows(count=6):
    for place in range(count):
        yield {"x": np.full(3, place, np.float32)}, place

def whole():
    while True:
        yield {"x": [[random.random(), 1, 2]]}, None, {"y": np.zeros(1)}

def by_split(split):
    yield from ({"x": np.full((1, 3), len(split) + place, np.float32)} for place in range(2))

def structures():
    while True:
        yield {"s": [np.zeros(2, np.float32)], "o": None, "m": {"a": 1.0}}

def strange():
    yield {"x": np.zeros((1, 3), np.float32), "mask": 1}

def number():
    yield 3

def broken():
    raise KeyError("nothing here")

def ragged():
    yield {"x": [[1, 2], [3]]}

def single():
    yield {"x": np.zeros((1, 3), np.float32)}
"""
X = InputSpec(name="x", dtype="float32", shape=("batch", 3))


@pytest.fixture
def feeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of functions in the working folder, imported afresh."""
    (tmp_path / "own_feeds.py").write_text(FEEDS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    sys.modules.pop("own_feeds", None)
    return tmp_path


def asked(function: str, *inputs: InputSpec, counts: tuple[int, int] = (2, 2), **arguments: Json) -> base.DataRequest:
    """What a model asks of a function of the module."""
    return base.DataRequest(
        source="callable",
        counts={"calibration": counts[0], "evaluation": counts[1]},
        model_source="onnx",
        task=None,
        inputs=inputs or (X,),
        options={"function": f"own_feeds:{function}", **({"arguments": arguments} if arguments else {})},
    )


def first(request: base.DataRequest, split: base.Split) -> list[Any]:
    """The first value of `x` in every feed of a split."""
    return [float(one.feed["x"].flat[0]) for one in base.stream(request, split)]


@pytest.mark.usefixtures("feeds")
def test_the_first_feeds_calibrate_and_the_next_evaluate() -> None:
    """A row gets its batch axis, its label stays with it, and no feed is in both splits."""
    request = asked("rows")
    assert [0, 1] == first(request, "calibration")
    assert [2, 3] == first(request, "evaluation")
    examples = list(base.stream(request, "evaluation"))
    assert [((1, 3), 2), ((1, 3), 3)] == [(one.feed["x"].shape, one.label) for one in examples]
    with pytest.raises(BuildError, match="has 1 evaluation examples and 2 were asked for"):
        first(asked("rows", count=3), "evaluation")


@pytest.mark.usefixtures("feeds")
def test_a_fixed_batch_takes_as_many_rows() -> None:
    """Two calibration rows fill one feed, and evaluation begins behind it."""
    request = asked("rows", InputSpec(name="x", dtype="float32", shape=(2, 3)))
    assert [[2, 3]] == [one.feed["x"][:, 0].tolist() for one in base.stream(request, "evaluation")]


@pytest.mark.usefixtures("feeds")
def test_a_function_may_ask_for_the_split() -> None:
    """Each split is then taken from its start."""
    assert [11, 12] == first(asked("by_split"), "calibration")
    assert [10, 11] == first(asked("by_split"), "evaluation")


@pytest.mark.usefixtures("feeds")
def test_whole_feeds_are_the_same_every_time() -> None:
    """Plain lists become arrays of the input's type; random numbers are seeded; expected outputs are kept."""
    request = asked("whole")
    assert first(request, "evaluation") == first(request, "evaluation")
    (one, _) = base.stream(request, "evaluation")
    assert ("float32", (1, 3), ["y"]) == (one.feed["x"].dtype.name, one.feed["x"].shape, list(one.expected))


@pytest.mark.usefixtures("feeds")
def test_sequences_maps_and_optionals_are_fed_as_they_are() -> None:
    """Only tensors are looked at."""
    inputs = tuple(
        InputSpec(name=name, dtype=dtype, shape=())
        for name, dtype in (
            ("s", "seq(tensor(float))"),
            ("o", "optional(tensor(float))"),
            ("m", "map(string,tensor(float))"),
        )
    )
    one = next(iter(base.stream(asked("structures", *inputs), "evaluation")))
    assert (list, None, {"a": 1.0}) == (type(one.feed["s"]), one.feed["o"], one.feed["m"])


@pytest.mark.usefixtures("feeds")
@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("number", "yielded int; it must yield a mapping"),
        ("strange", "yielded `mask`, which is not an input of the model: x"),
        ("broken", "`own_feeds:broken` failed: KeyError: 'nothing here'"),
        ("ragged", "input `x` is not a float32 array: ValueError"),
        ("row", "own_feeds has no callable `row`; did you mean `rows`"),
    ],
)
def test_a_wrong_function_is_named(function: str, reason: str) -> None:
    """The function and the input are named; no error of Python's reaches a person as it is."""
    with pytest.raises(BuildError) as error:
        list(base.stream(asked(function), "calibration"))
    assert reason in str(error.value)


def test_the_code_is_in_the_digest(feeds: Path) -> None:
    """So are the arguments, and where evaluation begins; found without importing anything."""
    before = base.request_digest(asked("rows"), "evaluation")
    assert "own_feeds" not in sys.modules
    assert before != base.request_digest(asked("rows", count=7), "evaluation")
    assert before != base.request_digest(asked("rows", counts=(3, 2)), "evaluation")
    (feeds / "own_feeds.py").write_text(f"{FEEDS}\nMORE = 1\n", encoding="utf-8")
    assert before != base.request_digest(asked("rows"), "evaluation")


@pytest.mark.usefixtures("feeds")
def test_files_without_a_zoo_take_what_a_function_yields() -> None:
    """All of a finite one, half of it to calibrate; the usual number of one without end."""
    entry = bare.data_entry("own_feeds:rows")
    assert {"source": "callable", "function": "own_feeds:rows"} == entry
    assert {**entry, "calibration": 3, "evaluation": 3} == assume.with_counts(entry)
    assert {"calibration": 16, "evaluation": 16} == source.available("own_feeds:whole", assume.EXAMPLES)
    assert {"calibration": 2, "evaluation": 2} == source.available("own_feeds:by_split", assume.EXAMPLES)
    for function in ("single", "broken", "nowhere"):
        with pytest.raises(UsageError, match=f"--data own_feeds:{function}: "):
            assume.with_counts({"source": "callable", "function": f"own_feeds:{function}"})
