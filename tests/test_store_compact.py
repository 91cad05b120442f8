"""Samples as blocks of integers."""

from __future__ import annotations

from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from harness.records import Status
from harness.store import compact, samples
from harness.store.rows import to_row
from tests.outcomes import case, measured, process, refused, run


def test_a_block_is_not_copied() -> None:
    """What is a block already is taken as it is, and anything else becomes one."""
    block = array("q", [1, 2])
    assert block is compact.nanoseconds(block)
    assert array("q", [3, 2**62]) == compact.nanoseconds((3, 2**62))
    with pytest.raises(OverflowError):
        compact.nanoseconds([2**63])


def test_rows_with_and_without_processes(tmp_path: Path) -> None:
    """Rows without processes, with empty lists and with many keep theirs, in a file with several batches."""
    rows = []
    for place in range(2 * samples.HEAVY_BATCH + 3):
        of = case(variant=f"v{place:03}")
        if place % 3 == 0:
            rows.append(to_row(run(), refused(of, Status.UNSUPPORTED)))
            continue
        own = tuple(replace(process(1_000 + place, n), warmup_ns=()) for n in range(1, 2 * (place % 3), 2))
        rows.append(to_row(run(), replace(measured(of), processes=own)))
    rows[1]["processes"] = None
    path = tmp_path / "a.parquet"
    path.write_bytes(samples.encode(rows))
    assert sorted(rows, key=lambda row: (row["started_at"], row["case"])) == samples.read(path)
