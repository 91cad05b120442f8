"""Labelled tables that scikit-learn ships: iris, wine, breast_cancer, digits and diabetes.

Rows are shuffled once, always alike; the first ones calibrate (and fit, where an estimator is not fitted), the last
ones evaluate. Columns are as they were measured. Labels are classes, of `diabetes` a number to predict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.data import base
from harness.errors import BuildError
from harness.options import Option

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    Array = np.ndarray[Any, Any]

TABLES = ("iris", "wine", "breast_cancer", "digits", "diabetes")
OPTIONS = (Option(name="table", type=str, default="iris", choices=TABLES, doc="which of them"),)
PACKAGES = {"scikit-learn": "sklearn", "numpy": "numpy"}

SHUFFLED_BY = 0


def rows(table: str) -> tuple[Array, Array]:
    """All rows, float64 [rows, columns], and their labels: int64 classes, or float64 numbers of `diabetes`.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    import numpy as np

    held = _held(table)
    features, labels = held.data, held.target
    order = np.random.default_rng(SHUFFLED_BY).permutation(len(features))
    return features[order], labels[order]


def class_names(request: base.DataRequest) -> dict[str, int]:
    """The classes of a table and their numbers; empty for `diabetes`.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    table = str(base.option(request, "table"))
    names = getattr(_held(table), "target_names", ())
    return {str(name): place for place, name in enumerate(names)}


def _held(table: str) -> Any:
    """A table as scikit-learn gives it.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ImportError as error:
        raise base.needs("scikit-learn", "The data source `tables`") from error
    return getattr(datasets, f"load_{table}")()


def examples(request: base.DataRequest, split: base.Split) -> Iterator[base.Row]:
    """Yield rows with their labels, from the start to calibrate, up to the end to evaluate.

    Raises:
        BuildError: the table has fewer rows than are asked for, or other columns than the model takes.
    """
    table = str(base.option(request, "table"))
    if table not in TABLES:
        raise BuildError(f"data: `tables` has no table {table!r}. Valid: {', '.join(TABLES)}.")
    features, labels = rows(table)
    wanted = sum(request.counts.values())
    if wanted > len(features):
        raise BuildError(
            f"data: {table} has {len(features)} rows and {wanted} are asked for (calibration and evaluation share "
            f"none). Lower `calibration` or `evaluation`."
        )
    (spec, *others) = request.inputs
    shape = base.row_shape(spec, request)
    if others or shape != features.shape[1:]:
        raise BuildError(
            f"data: a row of {table} fills one input of shape [batch, {features.shape[1]}]; this model has "
            f"{', '.join(f'{one.name} {list(one.shape)}' for one in request.inputs)}."
        )
    start = 0 if split == "calibration" else len(features) - request.counts["evaluation"]
    for place in range(start, start + request.counts[split]):
        yield base.Row(feed={spec.name: features[place].astype(spec.dtype)}, label=labels[place])


def digest(request: base.DataRequest) -> str:  # noqa: ARG001 # the signature that every source has
    """The tables are scikit-learn's, shuffled by NumPy's generator."""
    return base.versions(*PACKAGES)
