"""A worker's profile: rows that it made itself, or the file that onnxruntime wrote, which is read here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import foreign
from harness.errors import WorkerError
from harness.runtimes.client import Client
from harness.runtimes.onnxruntime import profiled

PREFIX = "harness-profile-"
"""What the names of profiles begin with: no other file is removed, whatever a worker answers."""


def take(worker: Client, deadline_s: float) -> Mapping[str, Any]:
    """`nodes`, what each node took in the runs since the profile began, and `runs`, over how many.

    Raises:
        WorkerRefusal: the worker cannot.
        WorkerError: it died, or what it answered is not a profile.
    """
    reply = worker.ask("profile", deadline_s)
    try:
        if "file" in reply:
            return _read(Path(reply["file"]))
        return {"nodes": reply["nodes"], "runs": reply.get("runs", 1)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise WorkerError(f"the worker's reply to `profile` cannot be read: {error!r:.200}") from error


def _read(path: Path) -> Mapping[str, Any]:
    if not path.name.startswith(PREFIX):
        raise ValueError(f"{path} is not the profile of a worker")
    try:
        events: Sequence[Mapping[str, Any]] = foreign.parsed(foreign.content(path))
    finally:
        path.unlink(missing_ok=True)
    nodes, runs = profiled.nodes([dict(event) for event in events])
    return {"nodes": nodes, "runs": runs}
