"""Rows as Parquet, and back."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.errors import NewerSchema, StoreError
from harness.records import Status
from harness.store import samples
from harness.store.columns import SCHEMA_KEY
from harness.store.rows import public, to_row
from tests.outcomes import case, measured, process, refused, run


def newer(path: Path) -> Path:
    """Give a stored file the schema version of a later harness."""
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.replace_schema_metadata({SCHEMA_KEY: "99"}), path)
    return path


def foreign(path: Path) -> Path:
    """Write a Parquet file that harness did not make."""
    pq.write_table(pa.table({"a": [1]}), path)
    return path


def test_round_trip(tmp_path: Path) -> None:
    """Every value and every sample comes back as it went."""
    rows = [to_row(run(), measured()), to_row(run(), refused(case(variant="int8"), Status.UNSUPPORTED))]
    path = tmp_path / "a.parquet"
    path.write_bytes(samples.encode(rows))
    assert rows == samples.read(path)


def test_without_samples(tmp_path: Path) -> None:
    """The light reading gives public rows."""
    row = to_row(run(), measured())
    path = tmp_path / "a.parquet"
    path.write_bytes(samples.encode([row]))
    assert [public(row)] == samples.read(path, samples=False)


def test_newer_schema(tmp_path: Path) -> None:
    """A file of a later harness is refused with its version and ours."""
    path = tmp_path / "a.parquet"
    path.write_bytes(samples.encode([to_row(run(), measured())]))
    with pytest.raises(NewerSchema, match=r"a\.parquet has schema version 99; this harness reads versions up to 1"):
        samples.read(newer(path))


def test_foreign_file(tmp_path: Path) -> None:
    """Somebody else's Parquet file is named, not guessed at."""
    with pytest.raises(StoreError, match=r"b\.parquet was not written by harness"):
        samples.read(foreign(tmp_path / "b.parquet"))


def test_cut_file(tmp_path: Path) -> None:
    """Half a file is an error that names it and the way on."""
    whole = samples.encode([to_row(run(), measured())])
    path = tmp_path / "c.parquet"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match=r"c\.parquet is damaged .*restore it"):
        samples.read(path)


def test_flipped_bits(tmp_path: Path) -> None:
    """A changed byte among the samples is noticed, never read as another number."""
    draw = random.Random(0)
    one = replace(process(1_000_000), samples_ns=tuple(draw.randrange(10**6) for _ in range(2000)))
    row = to_row(run(), replace(measured(), processes=(one,)))
    content = samples.encode([row])
    path = tmp_path / "d.parquet"
    noticed = 0
    for at in range(8, len(content), len(content) // 40):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x04]) + content[at + 1 :])
        try:
            assert [row] == samples.read(path)
        except StoreError:
            noticed += 1
    assert noticed > 10


def test_light_imports() -> None:
    """Importing the store brings in none of the heavy packages, so the coordinator stays small."""
    code = (
        "import sys, harness.store.asv.results, harness.store.journal, harness.store.query;"
        "print([m for m in ('torch', 'onnx', 'pyarrow', 'duckdb', 'pandas', 'asv', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to tell the peak memory")
def test_appending_needs_only_pyarrow() -> None:
    """Storing a case and resuming bring in neither DuckDB nor pandas, and stay far under 200 MB."""
    code = (
        "import sys, tempfile; from pathlib import Path; from tests.outcomes import measured, process, run;"
        "from harness.store.journal import Journal; from dataclasses import replace;"
        "o = replace(measured(), processes=tuple(process(10**6, 2001) for _ in range(5)));"
        "j = Journal.open(Path(tempfile.mkdtemp()), run(), resume=True); j.append(o); j.close();"
        "j = Journal.open(j._results, run(), resume=True); assert j.rows; j.close();"
        "print([m for m in ('torch', 'onnx', 'duckdb', 'pandas', 'asv') if m in sys.modules],"
        " Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    modules, _, kibibytes = done.stdout.partition("] ")
    assert "[" == modules
    assert int(kibibytes) < 130 * 1024


def test_no_rows(tmp_path: Path) -> None:
    """A run without cases is a file without rows."""
    path = tmp_path / "a.parquet"
    path.write_bytes(samples.encode([]))
    assert [] == samples.read(path)
