"""harness.build.inside, `harness inspect` of two files, and the totals of `harness cache`."""

from __future__ import annotations

import json
import re
import time

from harness.build.inside import difference
from harness.build.inventory import Entry
from harness.cli import artifacts
from tests.conftest import Project


def test_two_builds_of_a_model(built_project: Project) -> None:
    """A quantized build against its float one: precision, share, operators and sizes, and nothing that is the same."""
    built_project.run("build", "tiny")
    fp32, int8 = "tiny/fp32", "tiny/int8-static"
    found = json.loads(built_project.run("inspect", fp32, int8, "--format", "json"))
    assert ["float32", "int8"] == found["precision"]
    assert 0 == found["quantized_share"][0] < found["quantized_share"][1] <= 1
    assert found["operators.DequantizeLinear"][0] is None
    assert "file" not in found
    text = built_project.run("inspect", fp32, int8)
    lines = {line.split()[0]: line.split()[1:] for line in text.splitlines()[1:]}
    assert ["float32", "int8"] == lines["precision"]
    assert "-" == lines["operators.DequantizeLinear"][0]
    assert 1 == len({len(line) for line in text.splitlines()}), "columns end where their heads end"
    assert "the two do not differ" in built_project.run("inspect", fp32, fp32)
    alone = built_project.run("inspect", int8)
    assert "\nquantized_share  " in alone
    assert not [line for line in alone.splitlines() if not line or line.endswith((":", " "))], "no fact is empty"
    assert "float[batch," in alone
    assert re.search(r"^bytes +\d\.\d+ kB$", alone, re.MULTILINE), alone


def test_differences_are_of_leaves() -> None:
    """Dicts are taken apart; what one side lacks is None; inputs are compared by name."""
    before = {"file": "a", "opsets": {"ai.onnx": 17}, "inputs": [{"name": "x", "type": "float", "shape": [1]}]}
    after = {"file": "b", "opsets": {"ai.onnx": 17, "m": 1}, "inputs": [{"name": "x", "type": "float", "shape": [2]}]}
    assert {"opsets.m": [None, 1], "inputs.x": ["float[1]", "float[2]"]} == difference(before, after)


def test_totals_say_what_can_go() -> None:
    """For each kind, and nothing is advised where all of it is in use."""
    now = time.time()
    fresh = Entry(kind="artifacts", digest="a", bytes=2_000_000, made_by="", created=now, last_used=now)
    old = Entry(kind="sources", digest="b", bytes=1_000, made_by="", created=0.0, last_used=0.0)
    assert ["artifacts: 1 entry, 2.00 MB"] == artifacts.totals([fresh])
    assert [
        "artifacts: 1 entry, 2.00 MB",
        "sources: 1 entry, 1.00 kB, 1.00 kB in 1 unused for 30 days",
        "what is unused for 30 days can go with: harness cache --prune 30d; it is made again where needed",
    ] == artifacts.totals([fresh, old])
