"""A .npz file of the user's own: one array per input by its name, examples on axis 0, and optional `labels`.

Options: `path` (required) and `labels` (the name of the label array, `labels` by default). The first examples
calibrate, the last ones evaluate. Arrays are read without unpickling.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data import base
from harness.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np


def examples(request: base.DataRequest, split: base.Split) -> Iterator[base.Row]:
    """Yield the file's examples: from its start to calibrate, up to its end to evaluate."""
    import numpy as np

    path = _path(request)
    label_name = str(base.option(request, "labels", "labels", "path"))
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise BuildError(f"data: {path} cannot be read as .npz: {error}. Write it with numpy.savez.") from error
    labels: np.ndarray[Any, Any] | None = arrays.pop(label_name, None)
    rows = _rows(arrays, labels, request, path)
    wanted = request.counts["calibration"] + request.counts["evaluation"]
    if rows < wanted:
        raise BuildError(
            f"data: {path} holds {rows} examples and {wanted} are asked for (calibration and evaluation share none). "
            f"Lower `calibration` or `evaluation`, or bring more examples."
        )
    start = 0 if split == "calibration" else rows - request.counts["evaluation"]
    for row in range(start, start + request.counts[split]):
        feed = {spec.name: arrays[spec.name][row] for spec in request.inputs}
        yield base.Row(feed=feed, label=None if labels is None else labels[row])


def digest(request: base.DataRequest) -> str:
    """The file's content, and how many examples each split takes of it."""
    return f"{base.file_digest(_path(request))} {dict(request.counts)}"


def _path(request: base.DataRequest) -> Path:
    given = base.option(request, "path", None, "labels")
    if not given:
        raise BuildError("data: `npz` needs the option `path`, a file that numpy.savez wrote.")
    return Path(str(given))


def _rows(
    arrays: dict[str, np.ndarray[Any, Any]], labels: np.ndarray[Any, Any] | None, request: base.DataRequest, path: Path
) -> int:
    """How many examples the file holds; every array must have as many."""
    missing = [spec.name for spec in request.inputs if spec.name not in arrays]
    if missing:
        raise BuildError(f"data: {path} has no array `{missing[0]}`; it has {', '.join(sorted(arrays))}.")
    used = [arrays[spec.name] for spec in request.inputs] + ([] if labels is None else [labels])
    counts = {array.shape[0] if array.ndim else 0 for array in used}
    if len(counts) != 1:
        raise BuildError(f"data: the arrays of {path} hold different numbers of examples: {sorted(counts)}.")
    return counts.pop()
