"""Onnxruntime's usability checker on one file: the child of `harness.build.mobile`."""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import jobs
from harness.build.mobile import NNAPI
from harness.build.mobile_operators import SOURCES, OperatorList


def check(provider: str, model: Path, sizes: Mapping[str, int]) -> dict[str, Any]:
    """What `mobile.usable` asks for, in this process; of CoreML's two forms the one that takes more.

    Raises:
        Exception: what onnx or the checker raises for a file that they cannot read.
    """
    import onnx
    from onnxruntime.tools.mobile_helpers import usability_checker as checker
    from onnxruntime.tools.onnx_model_utils import ModelProtoWithShapeInfo, make_dim_param_fixed, optimize_model

    with tempfile.TemporaryDirectory() as folder:
        fixed, plain = Path(folder) / "fixed.onnx", Path(folder) / "plain.onnx"
        graph = onnx.load(str(model))
        for axis, size in sizes.items():
            make_dim_param_fixed(graph.graph, axis, size)
        onnx.save(graph, str(fixed), save_as_external_data=graph.ByteSize() < 0, location="fixed.data")
        optimize_model(fixed, plain, use_external_initializers=True)
        shaped = ModelProtoWithShapeInfo(plain).model_with_shape_info
        if provider in SOURCES:
            found = {"": checker.check_partitioning(shaped.graph, OperatorList(provider, shaped), True)}
        elif provider == NNAPI:
            found = {"": checker.check_nnapi_partitions(shaped, True)}
        else:
            found = {
                form: checker.check_coreml_partitions(shaped, True, f"coreml_supported_{form.lower()}_ops.md")
                for form in ("MLProgram", "NeuralNetwork")
            }
    form, best = max(found.items(), key=lambda one: one[1].num_supported_nodes)
    return {
        "form": form,
        "nodes": best.num_nodes + best.num_nodes_in_subgraphs,
        "taken": best.num_supported_nodes,
        "partitions": best.num_partitions,
        "operators": sorted(best.unsupported_ops),
    }


def main() -> None:
    """Answer one job."""
    # `onnxruntime.tools` imports torch where it is installed, for exports that nobody asks for: most of the time.
    sys.modules["torch"] = None  # type: ignore[assignment]  # what says that there is none
    channel = jobs.private_channel()
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=jobs.leave_with_parent, daemon=True).start()
    try:
        said = check(job["provider"], Path(job["model"]), job["sizes"])
    except Exception as error:  # noqa: BLE001 # whatever a file makes it raise is the answer
        said = {"why_not": f"{type(error).__name__}: {error}"[:500]}
    jobs.send(channel, **said)


if __name__ == "__main__":
    main()
