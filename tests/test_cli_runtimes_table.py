"""Runtimes and providers side by side: placement, what stayed behind, the arithmetic used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.cli import runtimes_table
from harness.store.rows import Row, to_row
from tests import outcomes

OPENVINO = "OpenVINOExecutionProvider"
CPU = "CPUExecutionProvider"


def row(median_ns: int = 1_000_000, *, target: dict[str, Any] | None = None, **changes: Any) -> Row:
    """A measured row, with the fields of its target and of itself that are given changed."""
    measured = outcomes.measured(medians_ns=(median_ns,) * 3)
    of = replace(measured.case, target=replace(measured.case.target, **(target or {})))
    return to_row(outcomes.run(), replace(measured, case=of)) | changes


PARTLY: dict[str, Any] = {
    "placed": {OPENVINO: 61, CPU: 61},
    "time_share": {OPENVINO: 0.93, CPU: 0.07},
    "behind": {"Resize": 2, "NonMaxSuppression": 1},
    "computation": {"float": 0.8, "bfloat16": 0.2},
}


def test_a_provider_with_low_coverage_says_what_stayed_behind() -> None:
    """How many nodes, how much of the time, which operators."""
    found = row(target={"provider": OPENVINO, "plugin": "onnxruntime-ep-openvino", "device": "cpu"}, **PARTLY)
    assert "61 of 122 nodes on openvino, 93% of time" == runtimes_table.placement(found)
    assert "openvino (cpu, onnxruntime-ep-openvino)" == runtimes_table.provider(found)
    assert "float32 80%" == runtimes_table.computes_in(found)
    (said,) = runtimes_table.remarks(found)
    assert said.startswith("low coverage digits_cnn/fp32/cpu-t1-b1: 61 of 122 nodes on openvino, 93% of time; stayed")
    assert said.endswith("stayed behind: 2 Resize, 1 NonMaxSuppression")


@pytest.mark.parametrize(
    ("changes", "low"),
    [
        ({"placed": {CPU: 10}, "time_share": {CPU: 1.0}}, False),
        ({"placed": {CPU: 95, "A": 5}, "time_share": {CPU: 0.5, "A": 0.5}}, True),
        ({"placed": None, "time_share": None}, False),
    ],
)
def test_coverage_is_of_nodes_and_of_time(changes: dict[str, Any], low: bool) -> None:
    """Either of them may be little; a runtime that does not tell is not accused."""
    assert low == any("low coverage" in line for line in runtimes_table.remarks(row(**changes)))


def test_models_stand_apart_and_the_fastest_is_first() -> None:
    """What has no number is last, with its reason below the table."""
    slow, fast = row(3_000_000, target={"name": "a"}), row(1_000_000, target={"name": "b"})
    refused = to_row(outcomes.run(), outcomes.refused())
    ((title, group),) = runtimes_table.apart([slow, fast]).items()
    assert title.startswith("digits_cnn  (")
    assert [fast["case"], slow["case"]] == [one["case"] for one in group]
    assert [3.0, 1.0] == pytest.approx([runtimes_table.record(one, group)["times_slowest"] for one in group])
    assert refused["reason"] in runtimes_table.remarks(refused)[-1]
    table = runtimes_table.table(title, [*group, refused])
    assert len(table.columns) == len(table.rows[0])


def test_scenarios_are_not_divided_by_one_another() -> None:
    """That requests wait does not make a runtime slower."""
    group = [row(5_000_000, target={"scenario": "server5ms"}), row(1_000_000)]
    assert [1.0, 1.0] == [runtimes_table.record(one, group)["times_slowest"] for one in group]
