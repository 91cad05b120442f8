"""What a small device needs to know of a file: who would take it, what it needs in ORT format, and its memory."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import scratch
from harness.build import mobile
from harness.errors import HarnessError, UsageError
from harness.export import allocations, ort_format
from harness.predict import counted, devices
from harness.providers import short_name


def edge(path: Path, facts: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """What a small device needs to know.

    Args:
        path: the file.
        facts: as `harness.build.inspect.inspect` has them.
        sizes: of open axes; those that are not given are taken to be 1.

    Returns:
        `open_axes` (axis -> the size that was taken), `providers` (what each would take, in words), `ort_format`
        (`bytes`, `operators`: domain and opset -> operators, or `reason`), `memory` (`weights_bytes`,
        `tensors_bytes` with `tensors_at`, or `reason`): what the shapes say is alive at once; and `allocations`, what
        onnxruntime itself counted in one inference (`harness.export.allocations`).
    """
    open_axes = {
        axis: sizes.get(axis, 1) for one in facts["inputs"] for axis in one["shape"] or () if isinstance(axis, str)
    }
    return {
        "open_axes": open_axes,
        "providers": {short_name(name): str(mobile.usable(name, path, open_axes)) for name in mobile.CHECKED},
        "ort_format": _ort_format(path),
        "memory": _memory(path, open_axes),
        "allocations": allocations.allocations(path, open_axes),
    }


def _ort_format(path: Path) -> dict[str, Any]:
    with scratch.folder("edge") as folder:
        others = [one for one in path.parent.iterdir() if one.is_file() and one != path] if _has_data(path) else []
        for one in (path, *others):
            shutil.copyfile(one, folder / one.name)
        session = {
            "provider": ort_format.CPU,
            "optimization": "all",
            "model": path.name,
            "external": [one.name for one in others],
        }
        try:
            ort_format.convert(folder, session)
        except UsageError as error:
            return {"reason": str(error)}
        size = (folder / ort_format.MODEL).stat().st_size
        lines = (folder / ort_format.OPERATORS).read_text(encoding="utf-8").splitlines()
        return {"bytes": size, "operators": [line for line in lines if line and not line.startswith("#")]}


def _has_data(path: Path) -> bool:
    from harness.build.inspect import inspect

    return bool(inspect(path)["external_data"])


def _memory(path: Path, sizes: Mapping[str, int]) -> dict[str, Any]:
    try:
        costs = counted.counted(path, optimization="all", sizes=sizes, batch=1, axes={})
    except HarnessError as error:
        return {"reason": str(error)}
    live, where = devices.live_bytes(costs)
    return {"weights_bytes": int(sum(one.weights for one in costs)), "tensors_bytes": int(live), "tensors_at": where}
