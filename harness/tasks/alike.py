"""Whether two programs that run one file compute the same: another language against Python, value by value.

How far two may be apart depends on the file. What rounds coarsely, as int8 does, differs between kernels by as much as
it differs from the reference; what does not, hardly at all. So the bound is taken from the file's own error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

LEAST: Final = 1e-3
"""The relative error (root of the mean square) up to which two programs are alike, whatever the file's own is."""

SHARE: Final = 0.01
"""The share of whole numbers, booleans or texts that may differ, as of ties that rounding decides."""

FACTOR: Final = 2.0
"""How many times the file's own error two programs may be apart."""

Outputs = Mapping[str, Sequence[Any]]


def difference(reference: Outputs, own: Outputs, other: Outputs, random: Collection[str] = ()) -> str:
    """The first difference that is more than rounding, for a person; empty where there is none.

    Args:
        reference: output -> its arrays, one per example, of the model before anything was done to it.
        own: of the file, in Python.
        other: of the file, in the other language.
        random: outputs that differ from run to run.
    """
    for name in own:
        if name in random:
            continue
        if name not in other:
            return f"output `{name}` is missing"
        if why := _of_output(name, reference.get(name, own[name]), own[name], other[name]):
            return why
    return ""


def _of_output(name: str, reference: Sequence[Any], own: Sequence[Any], other: Sequence[Any]) -> str:
    for place, (mine, theirs) in enumerate(_pairs(own, other)):
        if mine.dtype.kind != theirs.dtype.kind or mine.ndim != theirs.ndim:
            return f"`{name}` of example {place} is {_kind(theirs)}, in Python {_kind(mine)}"
    apart, allowed = _apart(own, other), _apart(reference, own)
    if apart > max(FACTOR * allowed, LEAST if _floats(own) else SHARE):
        return _first(name, own, other, max(FACTOR * allowed, LEAST))
    return ""


def _apart(wanted: Sequence[Any], found: Sequence[Any]) -> float:
    """The relative error of floating-point numbers, the share of other values that differ; 1 for another shape."""
    error = power = 0.0
    for mine, theirs in _pairs(wanted, found):
        if mine.shape != theirs.shape:
            error, power = error + max(mine.size, 1), power + max(mine.size, 1)
        elif mine.dtype.kind == "f":
            a, b = mine.astype(np.float64), theirs.astype(np.float64)
            finite = np.isfinite(a) & np.isfinite(b)
            odd = ~finite & ~((a == b) | (np.isnan(a) & np.isnan(b)))
            if odd.any():
                return np.inf
            error += float(np.square(a - b, where=finite, out=np.zeros_like(a)).sum())
            power += float(np.square(a, where=finite, out=np.zeros_like(a)).sum())
        else:
            error, power = error + float((mine != theirs).sum()), power + mine.size
    if not error:
        return 0.0
    share = error / power if power else np.inf
    return float(np.sqrt(share)) if _floats(wanted) else float(share)


def _first(name: str, own: Sequence[Any], other: Sequence[Any], allowed: float) -> str:
    for place, (mine, theirs) in enumerate(_pairs(own, other)):
        if mine.shape != theirs.shape:
            return f"`{name}` of example {place} is {_kind(theirs)}, in Python {_kind(mine)}"
        if mine.dtype.kind == "f":
            a, b = mine.astype(np.float64), theirs.astype(np.float64)
            with np.errstate(invalid="ignore"):
                scale = float(np.sqrt(np.mean(np.square(a[np.isfinite(a)])))) if np.isfinite(a).any() else 0.0
                wrong = ~(np.abs(a - b) <= allowed * scale) & ~((a == b) | (np.isnan(a) & np.isnan(b)))
        else:
            wrong = mine != theirs
        if np.any(wrong):
            at = tuple(int(one) for one in np.argwhere(wrong)[0])
            where = f"[{', '.join(map(str, at))}]" if at else ""
            return f"`{name}`{where} of example {place} is {theirs[at]!s}, in Python {mine[at]!s}"
    return f"`{name}` is farther from Python's than rounding explains"


def _pairs(one: Sequence[Any], other: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(map(np.asarray, one), map(np.asarray, other), strict=True)


def _floats(some: Sequence[Any]) -> bool:
    return len(some) > 0 and np.asarray(some[0]).dtype.kind == "f"


def _kind(array: Any) -> str:
    return f"{array.dtype}[{', '.join(map(str, array.shape))}]"
