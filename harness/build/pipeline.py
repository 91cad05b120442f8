"""Building from the parent's side: what is missing is built in one child process per model.

Nothing here imports a framework. A child that dies takes one variant with it, and the rest is tried in a new one.
"""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import harness
from harness import frameworks, jobs, scratch
from harness.build.lookup import lookup
from harness.errors import StoreError
from harness.frameworks import hub
from harness.records import Built, Refusal, Status, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from harness.build.cache import Cache
    from harness.records import ModelSpec, Recipe

__all__ = ["BuildEvent", "build", "lookup"]

COMMAND = (sys.executable, "-P", "-m", "harness.build.child")
"""`-P` keeps the working folder from shadowing what the child imports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildEvent:
    """Something happened to a variant.

    Attributes:
        step: `load`, `reference`, a step's kind, `proof`, or empty for the variant as a whole.
        state: `started` or `done` for a step; `cached`, `done` or `refused` for a variant; `damaged` where something
            that the cache had of it is not what it was and is made again, as `detail` says.
        detail: a few words, such as the kind of the weights or the reason of a refusal.
    """

    model: str
    variant: str
    step: str
    state: str
    seconds: float = 0.0
    detail: str = ""


def build(
    cache: Cache,
    requests: Sequence[tuple[ModelSpec, Sequence[Recipe]]],
    *,
    on_event: Callable[[BuildEvent], None],
) -> Mapping[tuple[str, str], Built]:
    """Make sure that every variant asked for is in the cache, or say why it cannot be.

    Args:
        cache: where artifacts live.
        requests: models with the variants wanted of each.
        on_event: hears of everything as it happens, in this thread.

    Returns:
        (model name, variant) -> artifact or refusal, for everything asked for.

    Raises:
        StoreError: the cache cannot be written.
    """
    results: dict[tuple[str, str], Built] = {}
    scratch.sweep_up()
    cache.tidy()
    hub.ask_all([url for model, _ in requests if (url := _hub_of(model)) is not None])
    for model, recipes in requests:
        missing: list[Recipe] = []
        for recipe in recipes:
            found = lookup(cache, model, recipe, probe=True, deep=True)
            for said in cache.remade():
                on_event(BuildEvent(model=model.name, variant=recipe.name, step="", state="damaged", detail=said))
            if found is None:
                missing.append(recipe)
            else:
                results[model.name, recipe.name] = found
                detail = found.reason if isinstance(found, Refusal) else ""
                on_event(BuildEvent(model=model.name, variant=recipe.name, step="", state="cached", detail=detail))
        if missing:
            results |= _build_model(cache, model, recipes, missing, on_event)
    return results


def _build_model(
    cache: Cache,
    model: ModelSpec,
    recipes: Sequence[Recipe],
    missing: list[Recipe],
    on_event: Callable[[BuildEvent], None],
) -> dict[tuple[str, str], Built]:
    """Children until every missing variant has come to its end, then what the cache says of all of them.

    All variants are looked up again, because a build may have found other weights than were there before; what
    no longer fits is built in a second round.
    """
    results: dict[tuple[str, str], Built] = {}
    for _ in range(2):
        refused: dict[str, Refusal] = {}
        pending = missing
        while pending:
            ended = _run_child(cache, model, pending, on_event)
            refused |= {name: end for name, end in ended.items() if end is not None}
            pending = [recipe for recipe in pending if recipe.name not in ended]
        missing = []
        for recipe in recipes:
            found = refused.get(recipe.name) or lookup(cache, model, recipe, probe=True)
            if found is None:
                missing.append(recipe)
                found = Refusal(
                    status=Status.FAILED,
                    reason=f"{model.name}/{recipe.name} was built and is not in the cache {cache.root} any more. Is "
                    f"something else clearing it? Run the same command again.",
                )
            results[model.name, recipe.name] = found
        if not missing:
            break
    return results


def _run_child(
    cache: Cache, model: ModelSpec, recipes: list[Recipe], on_event: Callable[[BuildEvent], None]
) -> dict[str, Refusal | None]:
    """One child over these variants.

    Returns:
        variant -> its refusal, or None where it was built; a variant that the child never came to is absent.

    Raises:
        StoreError: the cache cannot be written.
    """
    ended: dict[str, Refusal | None] = {}
    current, step = recipes[0].name, "start"
    with _child(cache, model, recipes) as (process, stderr):
        for event in jobs.messages(process):
            if (kind := event.get("event")) is None:
                continue
            if kind == "store":
                raise StoreError(str(event["reason"]))
            if kind == "begin":
                current, step = str(event["variant"]), "start"
                continue
            if kind == "step":
                step = str(event["step"])
                on_event(
                    BuildEvent(
                        model=model.name,
                        variant=current,
                        step=step,
                        state=str(event["state"]),
                        seconds=float(event["seconds"]),
                        detail=str(event["detail"]),
                    )
                )
                continue
            end = Refusal(status=Status(event["status"]), reason=str(event["reason"])) if kind == "refused" else None
            ended[current] = end
            on_event(_ending(model, current, end))
        code = process.wait()
    if code != 0 and any(recipe.name not in ended for recipe in recipes):
        if current in ended:
            current = next(recipe.name for recipe in recipes if recipe.name not in ended)
        ended[current] = Refusal(status=Status.FAILED, reason=_obituary(model, current, step, code, stderr))
        on_event(_ending(model, current, ended[current]))
    elif code == 0:
        for recipe in recipes:
            ended.setdefault(recipe.name, None)
    return ended


def _hub_of(model: ModelSpec) -> str | None:
    """Where the model's weights would come from; None where no hub is asked."""
    asks = model.weights.kind == "pretrained" and not model.weights.path
    return frameworks.get(model.source).hub_url() if asks else None


def _ending(model: ModelSpec, variant: str, end: Refusal | None) -> BuildEvent:
    state, detail = ("done", "") if end is None else ("refused", end.reason)
    return BuildEvent(model=model.name, variant=variant, step="", state=state, detail=detail)


@contextlib.contextmanager
def _child(
    cache: Cache, model: ModelSpec, recipes: list[Recipe]
) -> Iterator[tuple[subprocess.Popen[str], collections.deque[str]]]:
    """A running child with its job; afterwards the child is gone, and so is what it left unfinished."""
    url = _hub_of(model)
    job = {
        "cache": str(cache.root),
        "model": wire.model_to_json(model),
        "recipes": [wire.recipe_to_json(recipe) for recipe in recipes],
        "unreachable": {url: hub.unreachable(url)} if url else {},
    }
    package = str(Path(harness.__file__).resolve().parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with jobs.child(COMMAND, job, environment=environment) as (process, stderr):
        try:
            yield process, stderr
        finally:
            process.kill()  # what it left may only be swept up once it writes no more
            process.wait()
            cache.sweep_up(process.pid)


def _obituary(model: ModelSpec, variant: str, step: str, code: int, stderr: collections.deque[str]) -> str:
    """What is known of a child's death."""
    if code == -signal.SIGKILL:
        how = (
            "was killed (SIGKILL), as the kernel does when memory runs out. Free memory, lower `calibration`, or build "
            "this model alone"
        )
    elif code < 0:
        how = f"died of {signal.Signals(-code).name}"
    else:
        how = f"ended with exit code {code}"
    words = "".join(stderr).strip()
    return f"{model.name}/{variant}: the build process {how} during the step `{step}`." + (
        f" Its last stderr lines:\n{words}" if words else ""
    )
