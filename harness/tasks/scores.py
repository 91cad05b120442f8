"""Which output of a classifier names the class, and how: a row of scores, one number of a binary one, or the class.

The zoo says it (`outputs: {scores: NAME}`), or it is plain: exactly one output that fits. It is never guessed among
several that fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.suggest import suggest
from harness.tasks.base import Evaluated

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

ROLE = "scores"
"""The zoo's key for the output."""

ROW, LOGIT, PROBABILITY, CLASS = "row", "logit", "probability", "class"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoresOutput:
    """An output, and how a class is read from it.

    Attributes:
        name: the output's.
        kind: `row` (the class is the place of the largest), `logit` and `probability` (one number per example, the
            class is 1 above 0 or 0.5), or `class` (the class itself).
        note: what was assumed; empty where there was nothing to assume.
    """

    name: str
    kind: str
    note: str = ""

    def classes(self, values: Sequence[Any]) -> list[Any]:
        """The class of each example; None, which equals none of the labels, where scores are not numbers.

        Raises:
            ValueError: an example has no single row or number.
        """
        import numpy as np

        found: list[Any] = []
        for value in values:
            held = _row(value)
            if held is None or (self.kind != ROW and held.size != 1):
                shape = getattr(value, "shape", "of a structure")
                raise ValueError(f"output `{self.name}` has shape {shape}: no row of scores for each example")
            if _is_float(held) and np.isnan(held).any():
                found.append(None)
            elif self.kind == ROW:
                found.append(int(held.argmax()))
            elif self.kind == CLASS:
                found.append(held.reshape(-1)[0].item())
            else:
                threshold = 0.0 if self.kind == LOGIT else 0.5
                found.append(int(np.asarray(held, dtype=np.float64).reshape(-1)[0] >= threshold))
        return found


def find(given: Evaluated) -> ScoresOutput | None:
    """The output that names the class; None where nothing is asked of it: without labels and not plain.

    Raises:
        ValueError: there are labels, and no output or more than one fits them.
    """
    labels = None if given.labels is None else [_label(one) for one in given.labels]
    named = given.roles.get(ROLE)
    if named is not None:
        if named not in given.reference:
            raise ValueError(f"the model has no output `{named}`; {suggest(named, list(given.reference))}")
        return _read(given, named, labels, said=True)
    rows = [name for name in given.reference if _length(given, name) > 1]
    rows = [name for name in rows if _holds_floats(given, name)] or rows
    single = [name for name in given.reference if _length(given, name) == 1 and _holds_floats(given, name)]
    if labels is not None and rows:
        rows = _fitting(given, rows, labels)
    binary = bool(single) and (labels is None or set(labels) <= {0, 1})
    if len(rows) == 1 and not (binary and _length(given, rows[0]) != 2):  # noqa: PLR2004  (two scores, two classes)
        return _read(given, rows[0], labels, said=False)
    if len(single) == 1 and not rows and binary:
        return _read(given, single[0], labels, said=False)
    whole = [name for name in given.reference if not rows and not single and _is_class(given, name)]
    if len(whole) == 1:
        return _read(given, whole[0], labels, said=False)
    if labels is None:
        return None
    raise ValueError(_ask(given, [*rows, *(single if binary else [])] or whole, labels))


def _read(given: Evaluated, name: str, labels: Sequence[Any] | None, *, said: bool) -> ScoresOutput:
    """How the class is read from an output.

    Raises:
        ValueError: it is none that a class can be read from.
    """
    if _is_class(given, name):
        return ScoresOutput(name=name, kind=CLASS, note="" if said else f"classes are those of output `{name}`")
    length = _length(given, name)
    if length == 0:
        raise ValueError(f"output `{name}` has shape {_shape(given, name)}: no row of scores for each example")
    if labels is not None and not all(isinstance(label, int) for label in labels):
        raise ValueError(
            f"output `{name}` holds scores by class number, and a label is {next(iter(labels))!r}: give class numbers "
            f"as labels, or name an output that is the class itself: `outputs: {{{ROLE}: NAME}}`"
        )
    if length > 1:
        if labels is not None and max(labels) >= length:
            raise ValueError(
                f"output `{name}` has {length} scores for each example, and a label is {max(labels)}: expected "
                f"classes 0 to {length - 1}"
            )
        note = "" if said or len(given.reference) == 1 else f"scores are those of output `{name}`"
        return ScoresOutput(name=name, kind=ROW, note=note)
    if labels is not None and not set(labels) <= {0, 1}:
        raise ValueError(
            f"output `{name}` has one score for each example, which tells two classes apart; the labels go up to "
            f"{max(labels)}. Name another output: `outputs: {{{ROLE}: NAME}}`"
        )
    inside = all(0 <= float(value) <= 1 for one in given.reference[name] for value in [_number(one)])
    kind, what = (PROBABILITY, "probability, class 1 from 0.5") if inside else (LOGIT, "logit, class 1 from 0")
    return ScoresOutput(name=name, kind=kind, note=f"binary: output `{name}` is taken for a {what}")


def _fitting(given: Evaluated, names: Sequence[str], labels: Sequence[Any]) -> list[str]:
    """Rows that are long enough for the labels; of several the one that has just as many, if there is one."""
    if not all(isinstance(label, int) for label in labels):
        return []
    enough = [name for name in names if _length(given, name) > max(labels)]
    exact = [name for name in enough if _length(given, name) == max(labels) + 1]
    return exact if len(exact) == 1 else enough


def _ask(given: Evaluated, fitting: Sequence[str], labels: Sequence[Any]) -> str:
    shapes = ", ".join(f"`{name}` {_shape(given, name)}" for name in fitting or given.reference)
    what = "more than one output could be the scores" if fitting else "no output is a row of scores for these labels"
    top = f" (labels up to {max(labels)})" if all(isinstance(one, int) for one in labels) else ""
    return f"{what}{top}: {shapes}. Name it in the zoo: `outputs: {{{ROLE}: NAME}}`"


def _label(label: Any) -> Any:
    import numpy as np

    held = np.asarray(label).reshape(-1)
    if isinstance(label, dict) or len(held) != 1:
        raise ValueError("a label is not a single class; expected one whole number for each example")
    value = held[0].item()
    return int(value) if isinstance(value, (bool, float)) and float(value).is_integer() else value


def _row(value: Any) -> Array | None:
    """One row of values: [classes], [1, classes] or a single number; None for anything else."""
    if not hasattr(value, "dtype"):
        return None
    shape = value.shape
    held: Array = value.reshape(-1)
    return held if held.size and (len(shape) <= 1 or held.size == shape[-1] or held.size == 1) else None


def _length(given: Evaluated, name: str) -> int:
    """How many numbers each example has in a row; 0 where an output is not a row of numbers."""
    row = _first(given, name)
    return 0 if row is None or not (_is_float(row) or row.dtype.kind in "iu") else int(row.size)


def _holds_floats(given: Evaluated, name: str) -> bool:
    row = _first(given, name)
    return row is not None and _is_float(row)


def _first(given: Evaluated, name: str) -> Array | None:
    values = given.reference[name]
    return _row(values[0]) if len(values) else None


def _is_class(given: Evaluated, name: str) -> bool:
    """Whether an output is one whole number or word for each example."""
    row = _first(given, name)
    return row is not None and row.size == 1 and not _is_float(row)


def _is_float(array: Array) -> bool:
    return array.dtype.kind == "f" or (array.dtype.kind == "V" and "float" in array.dtype.name)


def _number(value: Any) -> float:
    import numpy as np

    return float(np.asarray(value, dtype=np.float64).reshape(-1)[0])


def _shape(given: Evaluated, name: str) -> str:
    values = given.reference[name]
    shape = getattr(values[0], "shape", None) if len(values) else None
    return "a structure" if shape is None else str(list(shape))
