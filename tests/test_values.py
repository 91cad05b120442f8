"""harness.values: whole arrays by name and example, on disk and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from ml_dtypes import bfloat16

from harness import values
from harness.records import ValueEntry, wire


def written(folder: Path, *arrays: Any) -> ValueEntry:
    """One name's arrays on disk."""
    writer = values.ValueWriter(folder, len(arrays))
    for array in arrays:
        writer.add({"x": array})
    (entry,) = writer.close()
    return entry


def read(folder: Path, entry: ValueEntry, count: int) -> list[Any]:
    """All of them."""
    return list(values.Stored(folder, entry, count))


def test_equal_shapes_are_stacked(tmp_path: Path) -> None:
    """One file whose axis 0 counts examples, scalars included."""
    assert ValueEntry(name="x", stacked="0.npy") == written(tmp_path / "a", np.ones((1, 2)), np.zeros((1, 2)))
    assert (2, 1, 2) == np.load(tmp_path / "a/0.npy").shape
    entry = written(tmp_path / "b", 3, 4)
    assert [3, 4] == read(tmp_path / "b", entry, 2)
    assert ((), np.int64) == (values.read(tmp_path / "b", entry, 1).shape, values.read(tmp_path / "b", entry, 1).dtype)


def test_other_shapes_have_files_of_their_own(tmp_path: Path) -> None:
    """From the first that differs on, those before as well; nothing else is left in the folder."""
    arrays = [np.full((2, 4), 1.0), np.full((2, 4), 2.0), np.zeros((0, 4)), np.full((2, 4), 3.0)]
    entry = written(tmp_path / "a", *arrays)
    assert ValueEntry(name="x", files=("0-0.npy", "0-1.npy", "0-2.npy", "0-3.npy")) == entry
    assert set(entry.files) == {file.name for file in (tmp_path / "a").iterdir()}
    for wanted, found in zip(arrays, read(tmp_path / "a", entry, 4), strict=True):
        np.testing.assert_array_equal(wanted, found)


def test_text_and_types_that_numpy_lacks(tmp_path: Path) -> None:
    """Text of any length is never pickled; bfloat16 lies there as uint16 and comes back as itself."""
    texts = [np.array(["a", "bcd"], dtype=object), np.array(["long text", ""], dtype=object)]
    entry = written(tmp_path / "text", *texts)
    assert [text.tolist() for text in texts] == [one.tolist() for one in read(tmp_path / "text", entry, 2)]
    halves = np.array([1.5, -2.0], dtype=bfloat16)
    entry = written(tmp_path / "half", halves)
    assert ("bfloat16", np.uint16) == (entry.type, np.load(tmp_path / "half/0.npy").dtype)
    found = values.read(tmp_path / "half", entry, 0)
    assert (bfloat16, [1.5, -2.0]) == (found.dtype, found.tolist())


def test_what_earlier_versions_wrote(tmp_path: Path) -> None:
    """Examples lay on axis 0 in place of the batch axis: each is a slice of length one."""
    np.save(tmp_path / "0.npy", np.arange(6).reshape(3, 2))
    assert [[[0, 1]], [[2, 3]], [[4, 5]]] == [
        one.tolist() for one in read(tmp_path, ValueEntry(name="x", concatenated="0.npy"), 3)
    ]


def test_what_cannot_be_stored_is_named(tmp_path: Path) -> None:
    """Lists of mappings, other names, another type, and examples that did not come."""
    writer = values.ValueWriter(tmp_path / "a", 3)
    with pytest.raises(ValueError, match="`x` is not an array of numbers, booleans or text but list"):
        writer.add({"x": [{1: 0.5}]})
    writer.add({"x": np.ones(2, bfloat16)})
    with pytest.raises(ValueError, match="an example has y, those before x"):
        writer.add({"y": np.ones(2)})
    with pytest.raises(ValueError, match="`x` holds float64 and bfloat16"):
        writer.add({"x": np.ones(2)})
    with pytest.raises(ValueError, match="`x` has 1 examples of 3"):
        writer.close()


def test_places_outside_are_refused(tmp_path: Path) -> None:
    """Negative places count from the end, and no example is made up."""
    held = values.Stored(tmp_path, written(tmp_path / "a", 1, 2), 2)
    held = values.Stored(tmp_path / "a", ValueEntry(name="x", stacked="0.npy"), 3)
    assert 2 == held[1]
    with pytest.raises(IndexError, match="of 2 that are stored"):
        held[2]
    with pytest.raises(IndexError, match="example 3 of 3"):
        held[3]
    assert [1, 2] == values.Stored(tmp_path / "a", ValueEntry(name="x", stacked="0.npy"), 2)[-2:]


ANY = st.lists(
    hnp.arrays(
        dtype=st.one_of(hnp.floating_dtypes(), hnp.integer_dtypes(), hnp.boolean_dtypes()),
        shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    ),
    min_size=1,
    max_size=4,
)


@given(ANY)
def test_every_array_comes_back(tmp_path_factory: pytest.TempPathFactory, arrays: list[np.ndarray[Any, Any]]) -> None:
    """Shape, type and every bit, whatever stands beside it; the entry survives JSON."""
    folder = tmp_path_factory.mktemp("values") / "a"
    entry = wire.entry_from_json(wire.entry_to_json(written(folder, *arrays)))
    for wanted, found in zip(arrays, read(folder, entry, len(arrays)), strict=True):
        assert (wanted.shape, wanted.dtype, wanted.tobytes()) == (found.shape, found.dtype, found.tobytes())
