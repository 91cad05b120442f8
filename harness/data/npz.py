"""A .npz file of the user's own: one array per input by its name, examples on axis 0, and optional `labels`.

Or a folder with an .npz file per example: whole feeds, each with arrays by the inputs' names, which may have any
shapes. A sequence is `NAME/0`, `NAME/1` and so on; arrays called like outputs are what is expected of the model. The
first examples (of a folder: by the files' names) calibrate, the last ones evaluate. Arrays are read without unpickling.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data import base
from harness.errors import BuildError
from harness.free_memory import available
from harness.options import Option
from harness.special_files import require_plain
from harness.units import size

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np


OPTIONS = (
    Option(
        name="path",
        type=str,
        required=True,
        path=True,
        doc="the file, or a folder with one per example, from the zoo file's folder",
    ),
    Option(name="labels", type=str, default="labels", doc="the name of the array that holds the labels"),
)
PACKAGES: dict[str, str] = {}


def examples(request: base.DataRequest, split: base.Split) -> Iterator[base.Row | base.Example]:
    """Yield the file's examples: from its start to calibrate, up to its end to evaluate."""
    path = _path(request)
    label_name = str(base.option(request, "labels"))
    if path.is_dir():
        yield from (_whole(file, label_name, request) for file in _chosen(path, request, split))
        return
    arrays = read(path)
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
    path = _path(request)
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    return f"{' '.join(map(base.file_digest, files))} {dict(request.counts)}"


def read(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Every array of a file.

    Raises:
        BuildError: it cannot be read.
    """
    import numpy as np

    try:
        require_plain(path)
        require_room(path)
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # numpy, zipfile and zlib have a class of their own for every damage
        raise BuildError(f"data: {path} cannot be read as .npz: {error}. Write it with numpy.savez.") from error


def require_room(path: Path, free: int | None = None) -> None:
    """Refuse an archive whose arrays are larger than the memory, before any of them is unpacked.

    An archive of a few kilobytes may hold any number of zeros.

    Args:
        path: the file.
        free: bytes of memory; what the system says where it is not given.

    Raises:
        ValueError: they are.
        OSError: the file cannot be read.
        zipfile.BadZipFile: it is not an archive.
    """
    with zipfile.ZipFile(path) as archive:
        held = sum(entry.file_size for entry in archive.infolist())  # zipfile unpacks no more than is declared
    known = available() if free is None else free
    if known is not None and held > known:
        raise ValueError(f"its arrays take {size(held)} and {size(known)} of memory are free")


def _chosen(folder: Path, request: base.DataRequest, split: base.Split) -> list[Path]:
    """The files of a split.

    Raises:
        BuildError: there are fewer than are asked for.
    """
    files = sorted(folder.glob("*.npz"))
    # Rows are asked for; a file is a whole feed.
    wanted = {name: -(-count // request.rows) for name, count in request.counts.items()}
    if len(files) < sum(wanted.values()):
        raise BuildError(
            f"data: {folder} holds {len(files)} .npz files and {sum(wanted.values())} are asked for (calibration and "
            f"evaluation share none). Lower `calibration` or `evaluation`, or bring more examples."
        )
    return files[: wanted[split]] if split == "calibration" else files[len(files) - wanted[split] :]


def _whole(file: Path, label: str, request: base.DataRequest) -> base.Example:
    """One example: a whole feed, and what is expected."""
    arrays = read(file)
    found = arrays.pop(label, None)
    feed: dict[str, Any] = {}
    for spec in request.inputs:
        if spec.is_tensor or spec.name in arrays:
            if spec.name in arrays:
                feed[spec.name] = arrays.pop(spec.name)
            continue
        parts: list[Any] = []
        while (name := f"{spec.name}/{len(parts)}") in arrays:
            parts.append(arrays.pop(name))
        feed[spec.name] = parts
    return base.Example(feed=feed, label=found, expected=arrays)


def _path(request: base.DataRequest) -> Path:
    return Path(base.required(request, "path", "a file that numpy.savez wrote"))


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
