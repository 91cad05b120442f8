"""The costs of the nodes of artifacts, counted in a child once and then kept in the cache."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from harness import jobs
from harness.build.cache import Cache
from harness.errors import UsageError
from harness.installed import version_of
from harness.measure.host import here, usable_cores
from harness.predict.costs import NodeCost, costs
from harness.predict.host import HostSpec, parsed
from harness.processes import Limits, step_deadline_s
from harness.runtimes.clients import own_package

COMMAND: Final = (sys.executable, "-P", "-m", "harness.predict.child")
SILENCE_S: Final = 600.0
FORMAT: Final = 1
"""Of what is kept; another one when costs are counted differently."""


def ask(job: Mapping[str, Any]) -> dict[str, Any]:
    """What the child answers.

    Raises:
        UsageError: it cannot do the job; the text says why.
    """
    limits = Limits(silence_s=min(SILENCE_S, step_deadline_s()))
    with jobs.child(COMMAND, job, environment=os.environ, limits=limits) as child:
        said = next(iter(child.messages()), None)
        why = child.watch.why
    if said is None:
        raise UsageError(f"no prediction: the process that reads the graph {why or 'ended without an answer'}")
    if "problem" in said:
        raise UsageError(f"no prediction: {said['problem']}")
    return said


def counted(
    model: Path, *, optimization: str, sizes: Mapping[str, int], batch: int, axes: Mapping[str, int]
) -> tuple[NodeCost, ...]:
    """The costs of a file's nodes.

    Args:
        model: the file.
        optimization: of the session.
        sizes: of named axes.
        batch: examples of one inference.
        axes: input -> its batch axis.

    Raises:
        UsageError: the file, or its shapes, do not tell them.
    """
    said = ask(
        {
            "what": "nodes",
            "model": str(model),
            "optimization": optimization,
            "sizes": dict(sizes),
            "batch": {"size": batch, "axes": dict(axes)},
        }
    )
    return costs(said["nodes"], optimization)


def of_artifact(
    cache: Cache, digest: str, *, optimization: str, sizes: Mapping[str, int], batch: int, axes: Mapping[str, int]
) -> tuple[NodeCost, ...]:
    """The costs of an artifact's nodes, from the cache where they are known.

    Raises:
        UsageError: as `counted`.
        StoreError: the cache cannot be written.
    """
    asked = [FORMAT, digest, optimization, dict(sizes), batch, dict(axes), version_of(own_package())]
    key = hashlib.sha256(f"costs of nodes {json.dumps(asked, sort_keys=True)}".encode()).hexdigest()
    known = cache.evaluation(key)
    if known is not None and "costs" in known:
        return tuple(_cost(one) for one in known["costs"])
    found = counted(cache.artifact_path(digest), optimization=optimization, sizes=sizes, batch=batch, axes=axes)
    cache.put_evaluation(key, {"costs": [asdict(one) for one in found]})
    return found


def _cost(content: Mapping[str, Any]) -> NodeCost:
    pairs = {name: tuple((tensor, size) for tensor, size in content[name]) for name in ("inputs", "outputs")}
    return NodeCost(**{**content, **pairs})


def host_here(
    cache: Cache, *, again: bool, budget_s: float, question: Callable[[dict[str, Any]], dict[str, Any]] | None = None
) -> HostSpec:
    """What this host can do: from the cache where it was measured, else measured now.

    Args:
        cache: keeps it.
        again: measure it in any case.
        budget_s: about how long it takes.
        question: asks what measures; a child where none is given.

    Raises:
        UsageError: it cannot be measured.
        StoreError: the cache cannot be written.
    """
    info = here()
    runtime = f"{own_package()} {version_of(own_package())}"
    key = hashlib.sha256(f"host measured {FORMAT} {info.fingerprint} {runtime}".encode()).hexdigest()
    known = None if again else cache.evaluation(key)
    if known is not None and "host" in known:
        return parsed(known["host"], "here")
    cores = usable_cores() or 1
    said = (question or ask)({"what": "host", "threads": cores, "budget_s": budget_s})["host"]
    memory = info.facts.get("memory_gib")
    content = {
        "name": str(info.facts.get("cpu") or "this host"),
        "cores": cores,
        **said,
        **({"memory": memory * 2**30} if isinstance(memory, int) else {}),
        "fingerprint": info.fingerprint,
        "measured_by": runtime,
    }
    found = parsed(content, "here")
    cache.put_evaluation(key, {"host": found.to_json()})
    return found
