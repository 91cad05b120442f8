"""Factors of a host's roofline, from rows that were measured on it, and how wrong they are on models left out."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

TOWARDS: Final = 0.1
"""How much a factor that is not the common one counts, against the relative error of one row."""

SMALLEST_ERROR: Final = 0.05
"""Rows are weighted by the inverse of their error, so that a strange one does not decide; below this all alike."""

TURNS, STEPS = 10, 60
NEAR: Final = 1e-4
"""Factors that move by less than this share of the common one are found."""

LEAST_MODELS: Final = 2
"""With one model alone nothing can be left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredCase:
    """A measured row, and what the roofline says of it.

    Attributes:
        case, model: of the row.
        seconds: the median that was measured.
        digest: of the artifact.
        parts: label -> seconds of the roofline.
    """

    case: str
    model: str
    digest: str
    seconds: float
    parts: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """How wrong predictions are of models that were left out of the calibration, one model after another.

    Attributes:
        errors: case -> predicted over measured, minus 1.
        models: how many.
    """

    errors: Mapping[str, float]
    models: int

    @property
    def median(self) -> float | None:
        """The median of the errors' sizes; None where there are none."""
        return statistics.median(map(abs, self.errors.values())) if self.errors else None

    @property
    def worst_tenth(self) -> float | None:
        """What nine of ten errors are within; None where there are none."""
        sizes = sorted(map(abs, self.errors.values()))
        return sizes[min(int(0.9 * len(sizes)), len(sizes) - 1)] if sizes else None


def factors(rows: Sequence[MeasuredCase]) -> dict[str, float]:
    """Label -> by how much longer its work takes than the roofline says; every label of the rows, and `*` for others.

    The sum of relative errors is made small (by least squares, weighted again and again), where each factor is drawn
    towards the one that suits all rows together: a label of one row alone must not explain it.
    """
    if not rows:
        return {}
    labels = sorted({label for row in rows for label in row.parts})
    shares = np.array([[row.parts.get(label, 0.0) / row.seconds for label in labels] for row in rows])
    common = float(np.exp(np.median(np.log(1 / np.maximum(shares.sum(axis=1), 1e-12)))))
    found = np.full(len(labels), common)
    for _ in range(TURNS):
        errors = np.abs(shares @ found - 1)
        found = _solved(shares, 1 / np.maximum(errors, SMALLEST_ERROR), common, found)
    return {"*": common, **{label: float(value) for label, value in zip(labels, found, strict=True)}}


def _solved(shares: NDArray[Any], weights: NDArray[Any], common: float, start: NDArray[Any]) -> NDArray[Any]:
    """Weighted least squares of `shares @ x = 1` with x >= 0, drawn towards `common`: one coordinate after another."""
    x = start.copy()
    pull = TOWARDS * float(weights.mean()) / common**2
    weighted = shares.T * weights
    products = weighted @ shares + pull * np.eye(len(x))
    wanted = weighted.sum(axis=1) + pull * common
    for _ in range(STEPS):
        moved = 0.0
        for place in range(len(x)):
            new = max(x[place] + (wanted[place] - products[place] @ x) / products[place, place], 0.0)
            moved = max(moved, abs(new - x[place]))
            x[place] = new
        if moved < NEAR * common:
            break
    return x


def applied(parts: Mapping[str, float], found: Mapping[str, float]) -> float:
    """The seconds of a case with its parts' factors."""
    return sum(value * found.get(label, found.get("*", 1.0)) for label, value in parts.items())


def held_out(rows: Sequence[MeasuredCase]) -> HeldOut:
    """The errors where each model in turn is left out, with all of its rows."""
    models = sorted({row.model for row in rows})
    if len(models) < LEAST_MODELS:
        return HeldOut(errors={}, models=0)
    errors: dict[str, float] = {}
    for model in models:
        known = factors([row for row in rows if row.model != model])
        errors |= {row.case: applied(row.parts, known) / row.seconds - 1 for row in rows if row.model == model}
    return HeldOut(errors=errors, models=len(models))
