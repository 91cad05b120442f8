"""What a large store costs every verb that reads it: processor seconds and peak memory, as a table.

python benchmarks/store_scale.py --rows 50000 --shape wide      50,000 cases in one run
python benchmarks/store_scale.py --rows 50000 --shape long      one run for each of 50 commits, 1,000 cases each
python benchmarks/store_scale.py --rows 1000000 --shape fleet   2,000 cases, 25 hosts, a run of each host and commit
python benchmarks/store_scale.py --rows 10000000 --shape fleet --compacted   as `harness results compact` leaves it
python benchmarks/store_scale.py --rows 500000 --verbs results,history

The store is made up (no model runs), the files are real: one row was measured once, and every other one is made of it
by Arrow, with names, times and medians of its own, so that half a million rows take a minute. Seconds are those of the
processor, of the verb and the processes that it starts, and not of the clock: they say the same on a busy machine.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from harness.records import Run
from harness.store import samples
from harness.store.rows import to_row
from harness.store.stored_files import COMPACT
from tests import outcomes

GOALS = {"results": 5, "history": 10, "report": 60}
"""Processor seconds for 50,000 rows."""

MOST_MB = 1000

CASES = 1_000
"""Cases of each run of a long store."""

START = dt.datetime(2025, 6, 15, tzinfo=dt.UTC)
VARIANTS = 10

FLEET_CASES, FLEET_HOSTS = 2_000, 25
"""Cases and hosts of a fleet's store; its rows are these times the commits."""

VERBS = {
    "results": ["results"],
    "results csv": ["results", "--format", "csv"],
    "results json": ["results", "--format", "json"],
    "history": ["history"],
    "history model": ["history", "model0/v0"],
    "report": ["report", "--out", "site"],
    "import": ["import", "results", "--results", "copy"],
}


def run_of(place: int, hosts: int = 1) -> Run:
    """A run of each day and host."""
    day, host = divmod(place, hosts)
    committed = START + dt.timedelta(days=day)
    started = committed + dt.timedelta(minutes=host)
    own = {"fingerprint": f"{host:012x}"} if hosts > 1 else {}
    return outcomes.run(
        id=f"{started:%Y%m%dT%H%M%SZ}-{place:06x}",
        started_at=started.isoformat(),
        commit=f"{day:040x}",
        commit_time=int(committed.timestamp() * 1000),
        **own,
    )


def texts(values: Sequence[str]) -> Any:
    """Text as Arrow has it."""
    return pa.array(values, pa.string())


def table(run: Run, count: int, per_model: int) -> Any:
    """So many cases of a run: one measured row again and again, with names and a median of its own for each."""
    one = samples.as_table([to_row(run, outcomes.measured())])
    found = pa.concat_tables([one]).take(pa.array(np.zeros(count, dtype=np.int64)))
    names, draw = range(count), np.random.default_rng(0)
    model = [f"model{place // per_model}" for place in names]
    variant = [f"v{place % per_model % VARIANTS}" for place in names]
    batch = [place % per_model // VARIANTS + 1 for place in names]
    target = [f"cpu-t1-b{size}" for size in batch]
    case = ["/".join(parts) for parts in zip(model, variant, target, strict=True)]
    medians = 10 ** draw.uniform(-5, -2, count)
    latency = found.column("latency").combine_chunks()
    fields = {field.name: latency.field(field.name) for field in latency.type}
    for name, factor in (("median_s", 1.0), ("ci95_low_s", 0.99), ("ci95_high_s", 1.01)):
        fields[name] = pa.array(medians * factor)
    own = {
        "case": texts(case),
        "model": texts(model),
        "variant": texts(variant),
        "target": texts(target),
        "batch": pa.array(batch, pa.int64()),
        "baseline": texts(["v0"] * count),
        "latency": pa.StructArray.from_arrays(list(fields.values()), fields=list(latency.type)),
    }
    for name, values in own.items():
        found = found.set_column(found.schema.get_field_index(name), found.schema.field(name), values)
    return found


def store(results: Path, rows: int, shape: str, per_model: int, *, compacted: bool = False) -> None:
    """Write a store of so many rows: in one run, or in as many runs of `CASES` cases as it takes.

    Compacted, the runs of a month and host are one file, as `harness results compact` would have made of them.
    """
    (results / "samples").mkdir(parents=True)
    each = min(rows, {"wide": rows, "long": CASES, "fleet": FLEET_CASES}[shape])
    files: dict[Path, list[Run]] = {}
    for place in range(max(1, rows // each)):
        run = run_of(place, FLEET_HOSTS if shape == "fleet" else 1)
        folder = f"month={run.started_at[:7]}/class={run.fingerprint}"
        name = f"{folder}/{COMPACT}{run.fingerprint}" if compacted else run.id
        files.setdefault(results / "samples" / f"{name}.parquet", []).append(run)
    for path, runs in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file, samples.writer(file) as out:
            for run in runs:
                out.write_table(table(run, each, per_model), row_group_size=2_000)


def cost(arguments: Sequence[str], folder: Path) -> tuple[float, float, float]:
    """Processor seconds and peak MB of a verb and the processes that it starts, and the MB that it prints."""
    command = [sys.executable, "-c", "from harness.cli import main; main()", *arguments]
    with (folder / "printed").open("wb") as printed:
        process = subprocess.Popen(command, cwd=folder, stdout=printed)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, (folder / "printed").stat().st_size / 1e6


def lines(folder: Path, verbs: Sequence[str]) -> Iterator[str]:
    """One line per verb."""
    for name in verbs:
        seconds, memory, printed = cost(VERBS[name], folder)
        goal = f"{GOALS[name]} s" if name in GOALS else ""
        yield f"| {name} | {seconds:.1f} s | {goal} | {memory:,.0f} MB | {printed:.1f} MB |"


def main() -> None:
    """Make the store, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--shape", choices=("wide", "long", "fleet"), default="wide")
    parser.add_argument("--compacted", action="store_true", help="a file for each month and host instead of each run")
    parser.add_argument("--per-model", type=int, default=100, help="cases of each model")
    parser.add_argument("--verbs", default=",".join(VERBS), help="of these, separated by commas")
    parser.add_argument("--keep", type=Path, help="a new folder to work in and leave behind")
    options = parser.parse_args()
    folder = (options.keep or Path(tempfile.mkdtemp(prefix="store-scale-"))).absolute()
    try:
        if not (folder / "results").exists():
            store(folder / "results", options.rows, options.shape, options.per_model, compacted=options.compacted)
        print(f"{options.rows:,} rows, {options.shape}; goals are for 50,000 rows, each under {MOST_MB} MB")
        print("| verb | processor | goal | peak memory | printed |")
        print("| --- | --- | --- | --- | --- |")
        for line in lines(folder, options.verbs.split(",")):
            print(line, flush=True)
    finally:
        if options.keep is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
