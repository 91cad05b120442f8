"""The child that reads a graph, so that the parent imports neither onnx nor onnxruntime: one job, one answer."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

from harness import jobs, reasons, scratch


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """What a job asks for: the `nodes` of a model, or what this `host` can do."""
    if job["what"] == "host":
        from harness.predict.measuring import measured

        return {"host": measured(job["threads"], job["budget_s"])}
    from harness.predict.shapes import NoShape, nodes

    with scratch.folder("shapes") as work:
        try:
            found = nodes(
                Path(job["model"]),
                work,
                optimization=job["optimization"],
                sizes=job["sizes"],
                batch=job["batch"],
            )
        except NoShape as error:
            return {"problem": str(error)}
    return {"nodes": found}


def main() -> None:
    """Answer one job; whatever a library raises is the answer."""
    channel = jobs.private_channel()
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=jobs.leave_with_parent, daemon=True).start()
    try:
        said = answer(job)
    except Exception as error:  # noqa: BLE001 # whatever a file makes them raise is the answer
        said = {"problem": reasons.reason_of(error)}
    jobs.send(channel, **said)


if __name__ == "__main__":
    main()
