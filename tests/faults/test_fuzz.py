"""A few damaged files for every reader; `python -m tests.faults.fuzz` has any number of them."""

from __future__ import annotations

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


def test_what_is_nested_too_deep_reads_as_nothing(tmp_path: Path) -> None:
    """DuckDB takes it for JSON; the other columns of its row stay."""
    path = report_stores.write(tmp_path, report_stores.run(), [report_stores.measured(outcomes.case(), 1.0)])
    table = parquet.read_table(path)
    deep = pa.array(["[" * 99 + "]" * 99])
    parquet.write_table(table.set_column(table.schema.get_field_index("placement"), "placement", deep), path)
    (row,) = query.rows(tmp_path)
    assert (None, 0.001) == (row["placement"], row["latency"]["median_s"])
    with pytest.raises(StoreError, match="placement of a row is not JSON: it is nested more than 64 levels deep"):
        samples.read(path)


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
