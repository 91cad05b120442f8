"""Points by column read like the tuple that they were made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.store.point_columns import PointColumns, RepeatedTexts
from harness.store.series import Point

ONE = Point(
    commit="a" * 40,
    commit_time=1_700_000_000_000,
    value=0.25,
    status="measured",
    low=0.2,
    high=0.3,
    confidence=0.95,
    n=5,
    dirty=False,
    started_at="2026-01-31T10:16:00+00:00",
    source="samples",
    run="run",
    position=3,
    reference_ns=1e6,
)
POINTS = (
    ONE,
    replace(ONE, commit=None, commit_time=None, position=None, dirty=True),
    replace(ONE, value=None, status="failed", low=None, high=None, confidence=None, reference_ns=None),
    replace(ONE, low=None, high=None, confidence=None, run=None, source="asv", started_at="", position=0),
)


def test_every_field_of_every_point_is_kept() -> None:
    """One after the other, by place, from the end, as a slice and as text."""
    columns = PointColumns.of(POINTS)
    assert POINTS == tuple(columns)
    assert POINTS == columns
    assert columns == PointColumns.of(list(POINTS))
    assert POINTS != columns.where([True, True, True, False])
    assert [POINTS[0], POINTS[-1]] == [columns[0], columns[-1]]
    assert POINTS[1:3] == columns[1:3]
    assert hash(POINTS) == hash(columns)
    assert repr(POINTS) == repr(columns)
    assert columns is PointColumns.of(columns)
    with pytest.raises(IndexError):
        columns[len(POINTS)]


def test_what_is_asked_of_all_points_at_once() -> None:
    """Values, failures, trees that differ and commits that are not in this clone, as the points themselves say it."""
    columns = PointColumns.of(POINTS)
    assert [0.25, 0.25, None, 0.25] == [None if np.isnan(value) else value for value in columns.values]
    assert 3 == columns.timed
    assert [False, True, False, False] == columns.dirty.tolist()
    assert [True, False, True, True] == columns.placed.tolist()
    assert [False, False, True, False] == np.isnan(columns.reference_ns).tolist()
    assert not columns.last_failed
    assert columns.where([False, False, True, False]).last_failed
    assert columns.where([False, False, True, False]).all_failed
    assert not columns.all_failed
    assert (0, "", 1_700_000_000_000.0) == columns.newest_first
    assert (-1, ONE.started_at) == columns.where([False, True, False, False]).newest_first[:2]
    assert columns.where([False, True, False, False]).placed_or_apart
    assert POINTS[1:] == columns.where([False, True, True, True])


def test_texts_that_are_absent_sort_as_the_empty_one() -> None:
    """A rank for each row, by what is made of its text."""
    texts = RepeatedTexts.of(["b", None, "a", "b"])
    assert ["b", None, "a", "b"] == [texts.at(row) for row in range(4)]
    assert [2, 0, 1, 2] == texts.ranks(texts.texts).tolist()
    assert [0, 0, 1, 0] == texts.ranks(["", "z"]).tolist()
