"""The child that reads graphs and compares tensors, so that neither the parent's memory nor its imports grow by it.

Run as `python -m harness.explain.child`: a job on each line of stdin, an answer on each line of stdout, all JSON. What
libraries print goes to stderr. When stdin ends, the parent is gone, and the child goes too.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from harness import jobs, reasons, scratch
from harness.records import ValueEntry


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """What a job asks for: `nodes` of files, `places` of fusions, or `losses`."""
    if job["what"] == "nodes":
        from harness.explain.wiring import listed

        return {name: listed(Path(path)) for name, path in job["files"].items()}
    if job["what"] == "places":
        import onnx

        from harness.explain.fusions import places

        both = [onnx.load(job[name], load_external_data=False) for name in ("exported", "ran")]
        with contextlib.suppress(Exception):  # shapes help with reasons, and nothing else needs them
            both[0] = onnx.shape_inference.infer_shapes(both[0])
        return {"places": places(*both, optimization=job["optimization"], provider=job["provider"])}
    from harness.explain.losses import losses

    with scratch.folder("losses") as work:
        return losses(
            Path(job["plain"]),
            Path(job["narrow"]),
            feeds=[ValueEntry.from_json(one) for one in job["feeds"]],
            folder=Path(job["folder"]),
            examples=job["examples"],
            dims=job["dims"],
            work=work,
        )


def main() -> int:
    """Answer jobs until the parent closes stdin; what goes wrong with one is its answer."""
    channel = jobs.private_channel()
    for line in sys.stdin:
        try:
            found = answer(json.loads(line))
        except Exception as error:  # noqa: BLE001 # whatever a library raises is the answer
            import traceback

            traceback.print_exc()
            found = {"problem": reasons.reason_of(error)}
        jobs.send(channel, **found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
