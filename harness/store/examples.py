"""Results per example, as Parquet beside the runs: `examples/<key>.parquet`, which rows name as `evaluation`.

A file has a line for each metric and example (or pair of examples), and what was asked and answered in those that
changed the most; beside the schema it has what a gate decides on. It never changes: the key is a digest of everything
that it depends on.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import foreign
from harness.errors import StoreError
from harness.records import Evaluation, Json, PairedScores, PartFidelity
from harness.store import files
from harness.store.arrow_memory import plain_memory

FOLDER = "examples"
KEY = re.compile(r"[0-9a-f]{64}")

JUDGED = "harness.judged"
"""In a file's metadata: what a gate decides on, in JSON."""

_SAID = ("truth", "reference_answer", "answer")
"""Columns that hold JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleResult:
    """One metric on one example, or on a pair of them.

    Attributes:
        examples: their numbers among the evaluation examples, from 0.
        metric, unit, direction: as in `records.MetricValue`.
        value, reference: the artifact's, and the fp32 reference's own.
        drop: how much worse than the reference, positive whatever the direction.
        truth, reference_answer, answer: what is true and what both said, where it is kept.
        pictures: PNG, where the examples are pictures and it is kept.
        shrunk: every how many pixels of an input one is in its picture.
    """

    examples: tuple[int, ...]
    metric: str
    unit: str
    direction: str
    value: float
    reference: float
    drop: float
    truth: Json = None
    reference_answer: Json = None
    answer: Json = None
    pictures: tuple[bytes, ...] = ()
    shrunk: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedScores:
    """What a gate decides on, of one evaluation.

    Attributes:
        paired: the task's metric, example by example.
        parts: fidelity of each output, as in `records.Evaluation`.
        kernels, placement: likewise.
    """

    paired: PairedScores
    parts: tuple[PartFidelity, ...]
    kernels: Mapping[str, int]
    placement: Mapping[str, float]


def write(results: Path, evaluation: Evaluation | None) -> None:
    """Keep the results of an evaluation, unless they are there.

    Raises:
        StoreError: where they cannot be written.
    """
    if evaluation is None or not evaluation.key or (place := _place(results, evaluation.key)).is_file():
        return
    plain_memory()
    import pyarrow as pa
    import pyarrow.json
    import pyarrow.parquet as pq

    said = {one.examples: one for one in evaluation.answers}
    lines = []
    for scores in evaluation.each:
        sign = 1.0 if scores.direction == "higher" else -1.0
        for examples, value, reference in zip(scores.examples, scores.values, scores.reference, strict=True):
            answer = said.get(examples) if scores is evaluation.each[0] else None
            lines.append(
                {
                    "examples": list(examples),
                    "metric": scores.metric,
                    "unit": scores.unit,
                    "direction": scores.direction,
                    "value": value,
                    "reference": reference,
                    "drop": sign * (reference - value),
                    "truth": None if answer is None else json.dumps(answer.truth),
                    "reference_answer": None if answer is None else json.dumps(answer.reference),
                    "answer": None if answer is None else json.dumps(answer.answer),
                    "pictures": list(answer.pictures) if answer is not None else [],
                    "shrunk": 1 if answer is None else answer.shrunk,
                }
            )
    schema = pa.schema(
        [
            ("examples", pa.list_(pa.int64())),
            *((name, pa.string()) for name in ("metric", "unit", "direction")),
            *((name, pa.float64()) for name in ("value", "reference", "drop")),
            *((name, pa.string()) for name in _SAID),
            ("pictures", pa.list_(pa.string())),
            ("shrunk", pa.int64()),
        ]
    )
    held = io.BytesIO()
    # By way of JSON, as in `store.samples`: given Python's lists, pyarrow imports pandas.
    text = "\n".join(json.dumps(line, allow_nan=False) for line in lines).encode()
    table = pa.json.read_json(
        pa.BufferReader(text),
        read_options=pa.json.ReadOptions(use_threads=False, block_size=len(text) + 1),
        parse_options=pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
    )
    if evaluation.paired is not None:
        judged = {name: getattr(evaluation, name) for name in ("kernels", "placement")}
        judged |= {
            "paired": dataclasses.asdict(evaluation.paired),
            "parts": list(map(dataclasses.asdict, evaluation.parts)),
        }
        with contextlib.suppress(ValueError):  # numbers that JSON does not have: the gate runs such an artifact again
            table = table.replace_schema_metadata({JUDGED: json.dumps(judged, allow_nan=False)})
    pq.write_table(table, held, compression="zstd")
    with files.Lock.wait(files.lock_of(results)):
        files.write(place, held.getvalue())


def states(results: Path, keys: Iterable[str | None]) -> list[str]:
    """Of these keys those under which something is kept, each as a text that changes when it does."""
    found = []
    for key in sorted({key for key in keys if key} if (results / FOLDER).is_dir() else ()):
        try:
            stat = _place(results, key).stat()
        except (OSError, StoreError):
            continue
        found.append(f"{key} {stat.st_size} {stat.st_mtime_ns}")
    return found


def read(results: Path, key: str) -> tuple[ExampleResult, ...]:
    """Everything that is kept under a key, in the order of metrics and examples.

    Raises:
        StoreError: nothing is, or the file is damaged.
    """
    place = _place(results, key)
    if not place.is_file():
        raise StoreError(
            f"{place} is missing: the results per example were not copied along with the rows. Sweep the case again."
        )
    plain_memory()
    import pyarrow.parquet as pq

    try:
        lines: list[dict[str, Any]] = pq.read_table(io.BytesIO(place.read_bytes())).to_pylist()
        return tuple(
            ExampleResult(
                **{
                    **line,
                    "examples": tuple(line["examples"]),
                    "pictures": tuple(base64.b64decode(one, validate=True) for one in line["pictures"] or ()),
                    **{name: None if line[name] is None else json.loads(line[name]) for name in _SAID},
                }
            )
            for line in lines
        )
    except Exception as error:  # pyarrow has a class of its own for every damage
        raise StoreError(f"{place} is damaged: {error}. Delete it and sweep the case again.") from error


def judged(results: Path, key: str) -> JudgedScores | None:
    """What a gate decides on, of an evaluation; None where it is not kept, or was not by the version that wrote it."""
    place = _place(results, key)
    if not place.is_file():
        return None
    plain_memory()
    import pyarrow.parquet as pq

    try:
        text = (pq.read_schema(io.BytesIO(place.read_bytes())).metadata or {}).get(JUDGED.encode())
        known = None if text is None else foreign.mapping(text)
        if known is None:
            return None
        paired = known["paired"]
        found = JudgedScores(
            paired=PairedScores(**{**paired, "values": tuple(map(float, paired["values"]))}),
            parts=tuple(PartFidelity(**one) for one in known["parts"]),
            kernels=dict(known["kernels"]),
            placement=dict(known["placement"]),
        )
        for one in (found.paired, *found.parts):
            foreign.checked(one)
    except Exception:  # noqa: BLE001  # pyarrow has a class of its own for every damage; what is damaged is run again
        return None
    return found


def beside(file: Path, rows: Iterable[Mapping[str, Any]], results: Path) -> dict[Path, Path]:
    """What else belongs to a run that is taken over from another folder: where it goes -> where it lies.

    Args:
        file: the run's, in `samples/` of the other folder.
        rows: what it holds.
        results: the folder that takes it over.
    """
    keys = {key for row in rows if (key := row.get("evaluation")) and KEY.fullmatch(key)}
    theirs = next((one for one in file.parents if one.name == "samples"), file.parent).parent
    there = {_place(results, key): _place(theirs, key) for key in sorted(keys)}
    return {target: source for target, source in there.items() if source.is_file() and not target.exists()}


def _place(results: Path, key: str) -> Path:
    """Where the results of a key lie.

    Raises:
        StoreError: what a row names as its key is none.
    """
    if not KEY.fullmatch(key):
        raise StoreError(f"a row names {key[:80]!r} as its results per example, which is not a digest: it is damaged.")
    return results / FOLDER / f"{key}.parquet"
