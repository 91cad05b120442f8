"""The child that runs a model once for `harness.export.allocations`: one job, one answer."""

from __future__ import annotations

import csv
import json
import math
import re
import sys
import threading
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness import jobs, reasons, scratch

TENSOR = re.compile(r"tensor\((\w+)\)")
DTYPES = {"float": "float32", "double": "float64", "string": "str"}
HASH = re.compile(r"_\d+$")
"""What onnxruntime puts behind a node's name in its statistics."""

KERNEL = "_kernel_time"


def timeline(model: Path, sizes: Mapping[str, int]) -> list[dict[str, Any]]:
    """What each node allocated, in the order in which they ran.

    Raises:
        ValueError: an input takes no tensor that can be made up, or there are no statistics.
    """
    import onnxruntime as ort

    with scratch.folder("allocations") as folder:
        statistics = folder / "statistics.csv"
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_mem_pattern = False  # else buffers of nodes are parts of one that is allocated beforehand
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / "profile")
        options.add_session_config_entry("session.collect_node_memory_stats_to_file", str(statistics))
        for axis, size in sizes.items():
            options.add_free_dimension_override_by_name(axis, size)
        session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        if name := unshaped(model):
            raise ValueError(f"the input {name!r} has no shape, and what nodes allocate depends on it")
        session.run(None, {one.name: zeros(one, sizes) for one in session.get_inputs()})
        ran = executed(Path(session.end_profiling()))
        del session  # which writes the statistics
        if not statistics.exists():
            raise ValueError(f"onnxruntime {ort.__version__} writes no statistics of its allocations")
        return joined(ran, statistics.read_text(encoding="utf-8", errors="replace"))


def zeros(value: Any, sizes: Mapping[str, int]) -> Any:
    """A feed for an input.

    Raises:
        ValueError: it takes no tensor of numbers or text, or there is no tensor that large.
    """
    found = TENSOR.fullmatch(value.type)
    if found is None or found[1] in ("bfloat16", "float8e4m3fn", "float8e5m2"):
        raise ValueError(f"the input {value.name!r} is {value.type}, which is not made up here")
    shape = [axis if isinstance(axis, int) else sizes.get(axis, 1) for axis in value.shape or ()]
    dtype = np.dtype(DTYPES.get(found[1], found[1]))
    if math.prod(shape) * max(dtype.itemsize, 1) > sys.maxsize:
        raise ValueError(f"the input {value.name!r} of {shape} has more bytes than any machine addresses")
    return np.zeros(shape, dtype=dtype)


def unshaped(model: Path) -> str:
    """The first input whose shape the file does not say, which onnxruntime shows as a scalar; else empty."""
    import onnx

    graph = onnx.load(model, load_external_data=False).graph
    weights = {one.name for one in graph.initializer}
    of_tensors = (one for one in graph.input if one.name not in weights and one.type.HasField("tensor_type"))
    return next((one.name for one in of_tensors if not one.type.tensor_type.HasField("shape")), "")


def executed(profile: Path) -> list[tuple[str, str]]:
    """Name and operator of each node of a profile, in the order in which they ran."""
    events = json.loads(profile.read_text(encoding="utf-8"))
    kernels = [one for one in events if one.get("cat") == "Node" and one["name"].endswith(KERNEL)]
    kernels.sort(key=lambda one: one["ts"])
    return [(one["name"].removesuffix(KERNEL), one["args"].get("op_name", "")) for one in kernels]


def joined(ran: list[tuple[str, str]], statistics: str) -> list[dict[str, Any]]:
    """The nodes that allocated anything.

    Nodes of one name cannot be told apart by it: the first of them has what all of them allocated.

    Raises:
        ValueError: the statistics are not what they are known to be.
    """
    header, *rows = csv.reader(statistics.splitlines())
    try:
        places = [header.index(name) for name in ("#name", "total_dynamic_sizes", "total_temp_allocations")]
        held: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for row in rows:
            name, dynamic, temporarily = (row[place] for place in places)
            one = held[HASH.sub("", name)]
            one[:] = one[0] + int(dynamic), max(one[1], int(temporarily))
    except (ValueError, IndexError) as error:
        raise ValueError(f"onnxruntime's statistics of its allocations have another form: {header}") from error
    found = []
    for name, operator in [*dict(ran).items(), *((name, "") for name in held if name not in dict(ran))]:
        made, temporary = held.get(name, (0, 0))
        if made or temporary:
            found.append({"node": name, "operator": operator, "bytes": made, "temporary_bytes": temporary})
    return found


def main() -> None:
    """Answer one job; whatever a library raises is the answer."""
    channel = jobs.private_channel()
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=jobs.leave_with_parent, daemon=True).start()
    try:
        said: dict[str, Any] = {"timeline": timeline(Path(job["model"]), job["sizes"])}
    except Exception as error:  # noqa: BLE001 # whatever a file makes them raise is the answer
        said = {"problem": reasons.reason_of(error)}
    jobs.send(channel, **said)


if __name__ == "__main__":
    main()
