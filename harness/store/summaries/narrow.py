"""The columns that summaries keep of every row, and which of them a question reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from harness.metrics import METRICS
from harness.store.columns import COLUMNS, JSON

_READ: Final = (
    "case", "model", "variant", "target", "runtime", "measured_by.name", "measured_by.version", "measured_by.package",
    "status", "latency.median_s", "latency.ci95_low_s", "latency.ci95_high_s", "latency.processes", "pace.median_s",
    "timed_inputs.mode", "timed_inputs.examples", "artifact.digest", "artifact.bytes", "weights.kind", "weights.digest",
    "fidelity.centred_sqnr_db", "fidelity.max_abs", "fidelity.worst", "accuracy.value", "accuracy.drop", "started_at",
    "run", "run_started_at", "commit", "dirty", "commit_time", "fingerprint", "versions",
    *(column for metric in METRICS for column in metric.reads),
)  # fmt: skip

NAME: Final = "name"
"""One more column: the file that holds the row, as a path below `samples`."""

REFERENCE: Final = "reference_ns"
"""One more column: what the reference workload took in the row's processes, the median, in nanoseconds."""

REFERENCE_SQL: Final = (
    "list_median(list_concat([p.reference_before_ns for p in processes], [p.reference_after_ns for p in processes]))"
)
"""DuckDB's expression for it over the stored columns."""


def _fields() -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for path in _READ:
        column, _, field = path.partition(".")
        found.setdefault(column, {}).update({field: None} if field else {})
    return {name: tuple(found[name]) for name in COLUMNS if name in found}


FIELDS: Final[Mapping[str, tuple[str, ...]]] = _fields()
"""Column -> the fields that are kept of it; none of one that has none."""

_WORD: Final = re.compile(r"""'[^']*'|"?([A-Za-z_]\w*)"?(?:\."?([A-Za-z_]\w*)"?)?""")


def selected() -> str:
    """What is selected of stored rows (`harness.store.absent.STORED`), all but `NAME`: one column for each path."""
    return ", ".join(taken(path) for path in paths())


def taken(path: str) -> str:
    """One kept column, of stored rows."""
    column, _, field = path.partition(".")
    if path == REFERENCE:
        return f"{REFERENCE_SQL} AS {REFERENCE}"
    return f'"{column}"."{field}" AS "{path}"' if field else f'"{column}"'


def packed(paths: Iterable[str]) -> str:
    """Kept columns as stored rows have them: those of a struct as a struct with these fields."""
    held: dict[str, list[str]] = {}
    for path in paths:
        column, _, field = path.partition(".")
        held.setdefault(column, []).extend([field] if field else [])
    found = []
    for name, fields in held.items():
        inner = ", ".join(f'"{field}" := "{name}.{field}"' for field in fields)
        found.append(f'struct_pack({inner}) AS "{name}"' if inner else f'"{name}"')
    return ", ".join(found)


def read_by(expressions: Iterable[str]) -> tuple[str, ...] | None:
    """The paths of kept columns that expressions read, `latency.median_s`; None where they read what is not kept.

    Args:
        expressions: DuckDB's, over the stored columns.
    """
    found: dict[str, None] = {}
    for expression in expressions:
        if expression == REFERENCE_SQL:
            found[REFERENCE] = None
            continue
        for match in _WORD.finditer(expression):
            column, field = match[1], match[2]
            if column is None or column not in COLUMNS:
                continue  # a function, a word of SQL, a text, the name of the file
            if column not in FIELDS or (FIELDS[column] and field not in FIELDS[column]):
                return None
            found[f"{column}.{field}" if FIELDS[column] else column] = None
    return tuple(found)


def expression(stored: str) -> str:
    """A question's expression as it is asked of kept columns."""
    return REFERENCE if stored == REFERENCE_SQL else stored


KINDS: Final[Mapping[str, Any]] = {name: COLUMNS[name] for name in FIELDS}
"""What they are, for whoever has to know whether that changed."""


def _texts() -> frozenset[str]:
    found = set()
    for name, fields in FIELDS.items():
        kind = COLUMNS[name]
        if isinstance(kind, Mapping):
            found |= {f"{name}.{field}" for field in fields if kind[field] is str}
        elif kind is str or kind is JSON:
            found.add(name)
    return frozenset(found)


TEXTS: Final = _texts()
"""The paths of those that are text."""


def paths() -> tuple[str, ...]:
    """The paths of all kept columns."""
    found = [f"{name}.{field}" if field else name for name, fields in FIELDS.items() for field in fields or ("",)]
    return (*found, REFERENCE)
