"""Suggestions for unknown names."""

from __future__ import annotations

from harness.suggest import nearest, suggest


def test_near_name() -> None:
    """The nearest name is offered, letter case aside, and all are listed."""
    assert "did you mean 'resnet50'? available: yolov8n, resnet50" == suggest("RESNET5", ["yolov8n", "resnet50"])


def test_nothing_near() -> None:
    """Without a near name there is no question; without any name the list says so."""
    assert "available: yolov8n" == suggest("x", ["yolov8n"])
    assert "available: none" == suggest("x", [])
    assert None is nearest("x", ["yolov8n"])


def test_a_short_form_finds_what_it_is_short_for() -> None:
    """All its letters, in order, from the first; of several that it may stand for none is guessed."""
    assert "did you mean 'markdown'? available: table, csv, markdown" == suggest("md", ["table", "csv", "markdown"])
    assert "resnet50" == nearest("rn50", ["resnet50", "yolov8n"])
    assert None is nearest("rn", ["resnet50", "regnet_x"])
    assert None is nearest("m", ["markdown"])


def test_long_lists_are_cut() -> None:
    """A message does not list hundreds of names."""
    assert suggest("zzz", [f"m{index}" for index in range(100)]).endswith("m23 and 76 more")


def test_names_that_are_valid_and_not_listed() -> None:
    """Long forms are offered when near, without being listed."""
    expected = "did you mean 'CPUExecutionProvider'? available: cpu"
    assert expected == suggest("CpuExecutionProvidr", ["cpu"], also=["CPUExecutionProvider"])
