"""Damaged and hostile files for every reader: no traceback, no hang, no control, and only documented exit codes.

By hand, with any budget: `python -m tests.faults.fuzz --seconds 600 --seed 1 --only parquet,asv`. What fails is printed
with its seed; `--seed N --tries 1` repeats it, and `--keep DIR` leaves the file there.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.gate.outputs import as_json
from harness.store import samples
from harness.store.columns import COLUMNS, JSON
from tests import builders, histories, outcomes, report_stores, reports
from tests.faults import command, mutations, readers

ZOO = """
version: 1
defaults:
  variants: [fp32, int8]
  targets: [cpu]
  threads: [1]
  batch: [1]
  processes: 2
  time_per_case: 100ms
variants:
  fp32: {precision: float32, optimization: disabled, steps: [export]}
  int8: {precision: int8, steps: [export, quantize: {method: static, calibration: minmax}]}
targets:
  cpu: {provider: cpu}
models:
  tiny:
    source: onnx
    id: tiny.onnx
    budget: {fidelity_db: 5}
"""
COMMIT = "1" * 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A kind of file that others write.

    Attributes:
        make: writes a project that is whole into an empty folder.
        damage: changes one of its files.
        verbs: commands that read it.
        reads: reads it without a command, and says what is wrong with how; None where verbs do.
    """

    make: Callable[[Path], None]
    damage: Callable[[Path, random.Random], None]
    verbs: Sequence[Sequence[str]]
    reads: Callable[[Path], str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A broken promise, and the seed that shows it again."""

    door: str
    seed: int
    arguments: Sequence[str]
    problem: str


def _zoo(folder: Path) -> None:
    (folder / "model_zoo.yaml").write_text(ZOO, encoding="utf-8")
    builders.tiny_conv(folder / "tiny.onnx")


def _damaged_zoo(folder: Path, chance: random.Random) -> None:
    (folder / "model_zoo.yaml").write_bytes(mutations.damaged_text(ZOO, chance))


def _asv(folder: Path) -> None:
    results = folder / "results"
    for place in (1, 2, 3):
        case = outcomes.case()
        sweep = histories.sweep_of(f"{place}" * 40, place)
        histories.store(results, sweep, outcomes.measured(case), parquet=False)
    histories.asv_file(results, "9" * 40, [0.5], benchmark="other.track_it")
    shutil.copytree(results, folder / "other")


def _damaged_asv(folder: Path, chance: random.Random) -> None:
    path = chance.choice(sorted((folder / "results").rglob("*.json")))
    path.write_bytes(mutations.damaged_json(path.read_bytes(), chance))
    shutil.rmtree(folder / "other")
    shutil.copytree(folder / "results", folder / "incoming")


def _gate(folder: Path) -> None:
    _zoo(folder)
    (folder / "gate.json").write_text(as_json.render(reports.mixed()), encoding="utf-8")


def _damaged_gate(folder: Path, chance: random.Random) -> None:
    path = folder / "gate.json"
    path.write_bytes(mutations.damaged_json(path.read_bytes(), chance))


def _parquet(folder: Path) -> None:
    report_stores.history(folder / "results", days=2)


def _damaged_parquet(folder: Path, chance: random.Random) -> None:
    path = chance.choice(sorted((folder / "results" / "samples").glob("*.parquet")))
    path.write_bytes(
        damaged_rows(path, chance) if chance.random() < 0.8 else mutations.damaged_bytes(path.read_bytes(), chance)
    )
    shutil.copytree(folder / "results", folder / "incoming")


def damaged_rows(path: Path, chance: random.Random) -> bytes:
    """A whole Parquet file in which values, or whole columns' types, are others."""
    rows = copy.deepcopy(samples.read(path))  # rows share what was parsed once, in this process as well
    if chance.random() < 0.3:
        return _another_type(path, chance)
    for _ in range(chance.choice((1, 1, 3))):
        row = chance.choice(rows)
        name = chance.choice(list(COLUMNS))
        row[name] = _value(row[name], COLUMNS[name], chance)
    try:
        return samples.encode(rows)
    except (ValueError, TypeError, AttributeError, KeyError):  # what this format cannot hold does not come as a file
        return _another_type(path, chance)


def _value(value: Any, kind: Any, chance: random.Random) -> Any:
    if kind is JSON:
        made = mutations.edited({"": value}, chance)
        return made if chance.random() < 0.8 and _finite(made) else chance.choice((None, "text", 5, [], {}))
    if isinstance(kind, Mapping) and isinstance(value, dict) and chance.random() < 0.9:
        inner = chance.choice(list(kind))
        return value | {inner: _value(value.get(inner), kind[inner], chance)}
    plain: dict[Any, Sequence[Any]] = {
        str: [text for text in mutations.HOSTILE if text != "\ud800"],
        int: (None, 0, -1, 2**62, -(2**62)),
        float: (None, 0.0, -1.0, 1e308, -1e308, 1e-320),
        bool: (None, True, False),
    }
    if isinstance(kind, list):
        return chance.choice((None, [], list(value or []) * 2, [_value(None, kind[0], chance)]))
    return chance.choice(plain[kind]) if not isinstance(kind, Mapping) else None


def _finite(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def _another_type(path: Path, chance: random.Random) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    place = chance.randrange(table.num_columns)
    field = table.schema.field(place)
    made = chance.choice(
        (
            pa.array([1.5] * table.num_rows),
            pa.array(["a"] * table.num_rows),
            pa.array([b"\xff"] * table.num_rows),
            pa.array([[1]] * table.num_rows),
            pa.array([{"a": 1}] * table.num_rows),
            pa.nulls(table.num_rows),
            pa.array([0] * table.num_rows, pa.timestamp("us")),
            pa.array(["[" * 3000 + "]" * 3000] * table.num_rows),
            pa.array(["{"] * table.num_rows),
            pa.array(["5"] * table.num_rows),
        )
    )
    table = table.set_column(place, field.name, made).replace_schema_metadata(table.schema.metadata)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _npz(folder: Path) -> None:
    import numpy as np

    builders.tiny_conv(folder / "tiny.onnx")
    np.savez(folder / "data.npz", input=np.zeros((40, 3, 16, 16), dtype=np.float32))


def _damaged_npz(folder: Path, chance: random.Random) -> None:
    path = folder / "data.npz"
    path.write_bytes(mutations.damaged_bytes(path.read_bytes(), chance))


def _onnx(folder: Path) -> None:
    _zoo(folder)


def _damaged_onnx(folder: Path, chance: random.Random) -> None:
    import onnx

    path = folder / "tiny.onnx"
    if chance.random() < 0.6:
        path.write_bytes(mutations.damaged_bytes(path.read_bytes(), chance))
        return
    model = onnx.load(path)
    texts = [text for text in mutations.HOSTILE if text != "\ud800"]
    node = chance.choice(model.graph.node)
    node.name, node.op_type = chance.choice(texts), chance.choice((node.op_type, chance.choice(texts)))
    node.domain = chance.choice(("", chance.choice(texts)))
    model.producer_name = model.doc_string = chance.choice(texts)
    model.graph.input[0].name = chance.choice(texts)
    path.write_bytes(model.SerializeToString())


def _tools(folder: Path) -> None:
    (folder / "pytest.json").write_text(json.dumps(PYTEST_BENCHMARK), encoding="utf-8")
    (folder / "benchmark.json").write_text(json.dumps(OPTIMUM), encoding="utf-8")


def _damaged_tools(folder: Path, chance: random.Random) -> None:
    path = folder / chance.choice(("pytest.json", "benchmark.json"))
    path.write_bytes(mutations.damaged_json(path.read_bytes(), chance))


def _small(folder: Path) -> None:
    _asv(folder)
    _zoo(folder)
    (folder / "gate_accepted.yaml").write_text(ACCEPTED, encoding="utf-8")
    (folder / "asv.conf.json").write_text('{"version": 1, "show_commit_url": "https://a/"}', encoding="utf-8")
    looks = {"version": 1, "looks": [{"newest": "a", "day": 20000.0, "level": 0.01}]}
    (folder / "results" / "looks.json").write_text(json.dumps(looks), encoding="utf-8")


def _damaged_small(folder: Path, chance: random.Random) -> None:
    if chance.random() < 0.5:
        path = folder / "gate_accepted.yaml"
        path.write_bytes(mutations.damaged_text(ACCEPTED, chance))
    else:
        path = chance.choice((folder / "asv.conf.json", folder / "results" / "looks.json"))
        path.write_bytes(mutations.damaged_json(path.read_bytes(), chance))


ACCEPTED = """
- case: digits_cnn/fp32/cpu-t1-b1
  metric: latency
  reason: it is worth it
  who: A Person
  when: 2026-01-31
  finding: 4.8% slower
  ratio: 1.048
"""
PYTEST_BENCHMARK: Mapping[str, Any] = {
    "machine_info": {"node": "host", "machine": "x86_64", "python_version": "3.11.2", "cpu": {"brand_raw": "A"}},
    "commit_info": {"id": COMMIT, "time": "2026-01-31T10:00:00+00:00", "dirty": False, "project": "a"},
    "benchmarks": [
        {
            "group": None, "name": "test_a[1]", "fullname": "tests/test_a.py::test_a[1]", "param": "1",
            "params": {"n": 1}, "extra_info": {}, "options": {},
            "stats": {"min": 1.0, "max": 2.0, "mean": 1.5, "median": 1.5, "rounds": 3, "data": [1.0, 1.5, 2.0]},
        }
    ],
    "datetime": "2026-01-31T10:00:00+00:00",
    "version": "5.1.0",
}  # fmt: skip
OPTIMUM: Mapping[str, Any] = {
    "config": {
        "name": "a",
        "backend": {"name": "onnxruntime", "version": "1.23.0", "model": "m", "device": "cpu"},
        "scenario": {"name": "inference", "input_shapes": {"batch_size": 1}},
        "environment": {
            "cpu": "A",
            "cpu_count": 2,
            "cpu_ram_mb": 1000.0,
            "machine": "x86_64",
            "python_version": "3.11.2",
        },
    },
    "report": {
        "forward": {
            "latency": {"unit": "s", "values": [0.1, 0.2], "mean": 0.15},
            "memory": {"unit": "MB", "max_ram": 5.0},
        }
    },
}

DOORS: Mapping[str, Door] = {
    "zoo": Door(make=_zoo, damage=_damaged_zoo, verbs=(("list",), ("sweep", "--dry-run"))),
    "asv": Door(
        make=_asv,
        damage=_damaged_asv,
        verbs=(
            ("history",), ("history", "--format", "csv"), ("gate", "--history"), ("results",),
            ("import", "incoming", "--results", "new"), ("report", "--out", "site"),
        ),
    ),
    "gate": Door(
        make=_gate,
        damage=_damaged_gate,
        verbs=(("gate", "--accept", "resnet50/int8-static/cpu-t2-b1", "--reason", "x", "--from", "gate.json"),),
    ),
    "parquet": Door(
        make=_parquet,
        damage=_damaged_parquet,
        verbs=(
            ("results",), ("results", "--all", "--format", "csv"), ("results", "--format", "json"), ("history",),
            ("history", "--format", "csv"), ("gate", "--history"), ("import", "incoming", "--results", "new"),
            ("report", "--out", "site"),
        ),
    ),
    "npz": Door(make=_npz, damage=_damaged_npz, verbs=(("sweep", "tiny.onnx", "--data", "data.npz", "--dry-run"),)),
    "onnx": Door(make=_onnx, damage=_damaged_onnx, verbs=(("inspect", "tiny.onnx", "--nodes"),)),
    "tools": Door(
        make=_tools, damage=_damaged_tools, verbs=(("import", "pytest.json", "benchmark.json", "--commit", "HEAD"),
                                                    ("import", "pytest.json", "benchmark.json"))
    ),
    "small": Door(
        make=_small, damage=_damaged_small, verbs=(("gate", "--history"), ("history",), ("report", "--out", "site"))
    ),
    **{
        name: Door(make=made, damage=damaged, verbs=(), reads=reads)
        for name, (made, damaged, reads) in readers.doors().items()
    },
}  # fmt: skip

TELL = 200
"""Files after which a line says how many there were: a run of hours may be stopped."""

SLOW = ("report",)
"""Verbs that take a second: one try in ten has them."""


def attempt(door: str, seed: int, *, verbs: int = 1, keep: Path | None = None) -> list[Finding]:
    """Damage one file and read it with some verbs."""
    chance = random.Random(f"{door} {seed}")
    of = DOORS[door]
    found = []
    with tempfile.TemporaryDirectory(prefix="harness-fuzz-") as name:
        folder = Path(name)
        of.make(folder)
        of.damage(folder, chance)
        if keep is not None:
            shutil.copytree(folder, keep / f"{door}-{seed}", dirs_exist_ok=True)
        if of.reads is not None:
            try:
                with command.deadline(command.LONGEST_S):
                    problem = of.reads(folder)
            except command.Hang as error:
                problem = str(error)
            if problem:
                found.append(Finding(door=door, seed=seed, arguments=("data", door), problem=problem))
        usable = [verb for verb in of.verbs if verb[0] not in SLOW or chance.random() < 0.1]
        for arguments in chance.sample(usable, min(verbs, len(usable))):
            try:
                problem = command.run(folder, *arguments).problem()
            except command.Hang as error:
                problem = str(error)
            if problem:
                found.append(Finding(door=door, seed=seed, arguments=arguments, problem=problem))
    return found


def tries(doors: Sequence[str], seed: int, number: int | None, seconds: float | None) -> Iterator[tuple[str, int]]:
    """Doors and seeds in turn, until either budget is spent."""
    end = None if seconds is None else time.monotonic() + seconds
    place = 0
    while (number is None or place < number) and (end is None or time.monotonic() < end):
        yield doors[place % len(doors)], seed + place // len(doors)
        place += 1


def main() -> int:
    """The command line; the exit status is 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--tries", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default=",".join(DOORS), help="doors, separated by commas")
    parser.add_argument("--keep", type=Path, help="leave every damaged project there")
    given = parser.parse_args()
    doors = given.only.split(",")
    number = given.tries if given.tries is not None or given.seconds is not None else 100
    broken, done = 0, 0
    for door, seed in tries(doors, given.seed, number, given.seconds):
        for found in attempt(door, seed, verbs=3, keep=given.keep):
            broken += 1
            sys.stdout.write(f"--only {door} --seed {seed} --tries 1: {' '.join(found.arguments)}: {found.problem}\n")
            sys.stdout.flush()
        done += 1
        if not done % TELL:
            sys.stdout.write(f"{done} damaged files so far: {broken} promises broken\n")
            sys.stdout.flush()
    sys.stdout.write(
        f"{done} damaged files of {len(doors)} kinds from seed {given.seed} on: {broken} promises broken\n"
    )
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
