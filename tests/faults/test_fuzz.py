"""A few damaged files for every reader; `python -m tests.faults.fuzz` has any number of them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from harness.errors import StoreError
from harness.store import query, samples
from tests import outcomes, report_stores
from tests.faults import command, fuzz, mutations

SEEDS = 2


@pytest.mark.parametrize("door", fuzz.DOORS)
def test_damaged_files_stop_nobody(door: str) -> None:
    """No traceback, no hang, no control in what is printed, and an exit code that is documented."""
    found = [one for seed in range(SEEDS) for one in fuzz.attempt(door, seed)]
    assert [] == found


# What the fuzzers found, once each.
@pytest.mark.parametrize(
    ("door", "seed"), [("parquet", 115), ("parquet", 122), ("asv", 116), ("asv", 132), ("asv", 300285), ("gate", 50014)]
)
def test_what_was_found_stays_fixed(door: str, seed: int) -> None:
    """A status that nobody knows, parameters that are lists, benchmarks that are texts, a name that is a list."""
    assert [] == fuzz.attempt(door, seed)


@pytest.mark.parametrize("deep", ["[" * 99 + "]" * 99, '{"a": 1, "b": ' * 65 + "{}" + ', "c": 2}' * 65])
def test_what_is_nested_too_deep_is_named(tmp_path: Path, deep: str) -> None:
    """DuckDB takes it for JSON; it costs the rows of its own file, and many brackets side by side cost none."""
    cases = (outcomes.case(), outcomes.case(variant="int8"))
    paths = [
        report_stores.write(tmp_path, report_stores.run(day), [report_stores.measured(case, 1.0)])
        for day, case in enumerate(cases)
    ]
    for path, text in zip(paths, (deep, json.dumps([{"[": []}] * 99)), strict=True):
        table = parquet.read_table(path)
        place = table.schema.get_field_index("placement")
        parquet.write_table(table.set_column(place, "placement", pa.array([text])), path)
    said = "placement of a row is not JSON: it is nested more than 64 levels deep"
    found = query.query(tmp_path)
    assert [0.001] == [row["latency"]["median_s"] for row in found.rows]
    assert [True] == [said in str(problem) and paths[0].name in str(problem) for problem in found.problems]
    with pytest.raises(StoreError, match=said):
        samples.read(paths[0])


def test_a_seed_damages_the_same_way_twice() -> None:
    """What is printed with its seed can be repeated."""
    data = b'{"a": [1, {"b": "c"}], "d": {"e": null}}'
    first, second = (mutations.damaged_json(data, random.Random(7)) for _ in range(2))
    assert first == second != data


@pytest.mark.parametrize(
    ("code", "out", "err", "said"),
    [
        (70, "", "harness: internal error", "internal error"),
        (1, "", "", "exit code 1"),
        (5, "", "", "exit code 5"),
        (2, "", "", "without a word"),
        (0, "Traceback (most recent call last)", "", "a traceback"),
        (0, "a\n ::error::b", "", "control in standard output"),
        (0, "", "\x1b[31m", "control in standard error"),
        (0, "fine\n\tas it is", "", ""),
    ],
)
def test_broken_promises_are_seen(code: int, out: str, err: str, said: str) -> None:
    """The judge of the fuzzers is not blind."""
    problem = command.Answer(arguments=("results",), code=code, out=out, err=err).problem()
    assert bool(said) == bool(problem)
    assert said in problem
