"""A Parquet file of the user's own: a column for each input, one example a line, and optional labels.

A line of an input with axes is a list of its numbers, nested or flat. The first lines calibrate, the last ones
evaluate; only those are read, and a few at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.data import base, chosen, npz
from harness.data.base import Split
from harness.errors import BuildError

LABELS = next(one for one in npz.OPTIONS if one.name == "labels")
PATH = next(one for one in npz.OPTIONS if one.name == "path")
OPTIONS = (PATH, LABELS)
PACKAGES: dict[str, str] = {}

TOGETHER = 64
"""Lines that are read at a time."""


def examples(request: base.DataRequest, split: Split) -> Iterator[base.Row]:
    """Yield the file's lines: from its start to calibrate, up to its end to evaluate."""
    import numpy as np

    path, label_name = _path(request), str(base.option(request, "labels"))
    file = _opened(path)
    try:
        count = file.metadata.num_rows
        wanted = request.counts["calibration"] + request.counts["evaluation"]
        if count < wanted:
            raise BuildError(
                f"data: {path} holds {count} examples and {wanted} are asked for (calibration and evaluation share "
                f"none). Lower `calibration` or `evaluation`, or bring more examples."
            )
        has = list(file.schema_arrow.names)
        if missing := [spec.name for spec in request.inputs if spec.name not in has]:
            raise BuildError(f"data: {path} has no column `{missing[0]}`; it has {', '.join(has)}.")
        start = 0 if split == "calibration" else count - request.counts["evaluation"]
        columns = [*(spec.name for spec in request.inputs), *([label_name] if label_name in has else [])]
        for line in _sound(_lines(file, start, request.counts[split], columns), path):
            feed = {}
            for spec in request.inputs:
                shape = base.row_shape(spec, request)
                value = _value(line[spec.name], spec.dtype, f"{path}: column `{spec.name}`")
                if value.size != int(np.prod(shape, dtype=np.int64)):
                    raise BuildError(
                        f"data: {path}: column `{spec.name}` has {value.size} numbers in a line, and the input takes "
                        f"{list(shape)}."
                    )
                feed[spec.name] = value.reshape(shape)
            yield base.Row(feed=feed, label=line.get(label_name))
    finally:
        file.close()


def digest(request: base.DataRequest) -> str:
    """The file's content, and how many examples each split takes of it."""
    return f"{chosen.content_of(_path(request))} {dict(request.counts)}"


def _opened(path: Path) -> Any:
    """The file.

    Raises:
        BuildError: it cannot be read.
    """
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except Exception as error:  # pyarrow has a class of its own for every damage
        raise BuildError(f"data: {path} cannot be read as Parquet: {str(error).rstrip('.')}.") from error


def _sound(lines: Iterator[dict[str, Any]], path: Path) -> Iterator[dict[str, Any]]:
    """The same lines.

    Raises:
        BuildError: a page of the file is damaged.
    """
    try:
        yield from lines
    except GeneratorExit:
        raise
    except Exception as error:  # pyarrow has a class of its own for every damage
        raise BuildError(f"data: {path} cannot be read as Parquet: {str(error).rstrip('.')}.") from error


def _lines(file: Any, start: int, count: int, columns: list[str]) -> Iterator[dict[str, Any]]:
    """Some lines, of the row groups alone that hold them."""
    groups: list[int] = []
    before = skipped = 0
    for place in range(file.metadata.num_row_groups):
        size = file.metadata.row_group(place).num_rows
        if before + size > start and before < start + count:
            if not groups:
                skipped = start - before
            groups.append(place)
        before += size
    for batch in file.iter_batches(batch_size=TOGETHER, row_groups=groups, columns=columns):
        for line in batch.to_pylist():
            if skipped:
                skipped -= 1
            elif count:
                count -= 1
                yield line


def _value(value: Any, dtype: str, where: str) -> Any:
    import numpy as np

    try:
        return np.asarray(value, dtype=base.dtype_of(dtype))
    except (TypeError, ValueError) as error:
        raise BuildError(f"data: {where} is not {dtype} in every line: {error}.") from error


def _path(request: base.DataRequest) -> Path:
    return Path(base.required(request, "path", "a Parquet file"))
