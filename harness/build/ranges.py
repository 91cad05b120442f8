"""Ranges of activations that were calibrated before: builds that differ in other things share them.

Variations of one recipe, such as with one more layer in float, are built one after the other: in one child, or in
several that are given the same folder. What is calibrated depends on none of that, and takes most of the time.
onnxruntime reads its own file back to the same bytes.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import inspect
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from harness import scratch
from harness.build.keys import digest_of
from harness.data import base as data

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.records import Json, ModelSpec


FOLDER = "HARNESS_RANGES"
"""The variable of the environment that names a folder which children share; without it each has its own."""


@functools.cache
def folder() -> Path:
    """Where ranges are kept: a folder that children share where one is named, else one of this process alone."""
    if shared := os.environ.get(FOLDER):
        return Path(shared)
    held = contextlib.ExitStack()
    atexit.register(held.close)
    return held.enter_context(scratch.folder("ranges"))


def kept(
    source: Path, model: ModelSpec, options: Mapping[str, Json], kinds: Sequence[str] | None
) -> dict[str, Path | None]:
    """What `quantize_static` is given to read ranges from, or to write them to; nothing where it takes no such thing.

    Args:
        source: the file that is quantized.
        model: its calibration data counts.
        options: of the step.
        kinds: operators whose tensors are calibrated; None for all.
    """
    from onnxruntime.quantization import quantize_static

    apart = next(source.parent.glob("*.data"), None)  # weights of gigabytes, which are not read for a digest
    if apart or "calibration_cache_path" not in inspect.signature(quantize_static).parameters:
        return {}
    with source.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    key = digest_of(
        {
            "file": content,
            "data": data.request_digest(data.DataRequest.of(model), "calibration"),
            "options": [options[name] for name in ("calibration", "samples", "percentile")],
            "kinds": sorted(kinds) if kinds else None,
        }
    )
    path = folder() / f"{key}.json"
    if path.exists() and not _whole(path):
        path.unlink()
    return {"calibration_cache_path": path}


def _whole(path: Path) -> bool:
    """Whether a file was written to its end: a child that shared it may have been ended meanwhile."""
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True
