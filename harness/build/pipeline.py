"""Building from the parent's side: what is missing is built in child processes.

Nothing here imports a framework. Small files share a child, a framework's model has its own. A child that dies takes
one variant with it, and the rest is tried in a new one.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import harness
from harness import frameworks, jobs, processes, reasons, scratch
from harness.build import ranges as calibrated
from harness.build.lookup import lookup
from harness.errors import BuildError, StoreError, UsageError
from harness.frameworks import hub, surroundings
from harness.records import Built, FrameworkEnv, Refusal, Status, wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.build.cache import Cache
    from harness.records import ModelSpec, Recipe

    _Asked = tuple[ModelSpec, list[Recipe]]
    _Start = Callable[[Sequence[_Asked]], contextlib.AbstractContextManager[jobs.RunningChild]]

__all__ = ["BuildEvent", "build", "lookup"]

COMMAND = (sys.executable, "-P", "-m", "harness.build.child")
"""`-P` keeps the working folder from shadowing what the child imports."""

Surround = Callable[["ModelSpec", Path, Callable[[str], None]], None]
"""Has the environment of a model's framework ready in a cache, and says what takes time."""


def surrounded(model: ModelSpec, root: Path, _: Callable[[str], None]) -> None:
    """Make nothing, but say what is missing.

    Raises:
        UsageError: the framework's environment is not there.
    """
    surroundings.require(model, root)


TOGETHER, TOGETHER_BYTES = 25, 64 * 1024 * 1024
"""So many files at most are built in one child, and so many bytes of them."""


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
    surround: Surround = surrounded,
    ranges: Path | None = None,
    command: Sequence[str] = COMMAND,
) -> Mapping[tuple[str, str], Built]:
    """Make sure that every variant asked for is in the cache, or say why it cannot be.

    Args:
        cache: where artifacts live.
        requests: models with the variants wanted of each.
        on_event: hears of everything as it happens, in this thread.
        surround: has the environment of a framework ready; given the model, the cache's folder and whom to tell.
        ranges: a folder in which calibrated ranges are kept for the next call; children keep their own where none is
            given.
        command: starts a child that builds.

    Returns:
        (model name, variant) -> artifact or refusal, for everything asked for.

    Raises:
        StoreError: the cache cannot be written.
        OutOfTime: the end that `processes.ending_at` set came first; what was built by then is in the cache.
    """
    results: dict[tuple[str, str], Built] = {}
    scratch.sweep_up()
    cache.tidy()
    hub.ask_all([url for model, _ in requests if (url := _hub_of(model)) is not None])
    requests = list(_with_surroundings(cache, requests, results, surround, on_event))
    for group in _groups(requests):
        missing: list[_Asked] = []
        for model, recipes in group:
            lacking: list[Recipe] = []
            for recipe in recipes:
                found = lookup(cache, model, recipe, probe=True, deep=True)
                for said in cache.remade():
                    on_event(BuildEvent(model=model.name, variant=recipe.name, step="", state="damaged", detail=said))
                if found is None:
                    lacking.append(recipe)
                else:
                    results[model.name, recipe.name] = found
                    detail = found.reason if isinstance(found, Refusal) else ""
                    on_event(BuildEvent(model=model.name, variant=recipe.name, step="", state="cached", detail=detail))
            if lacking:
                missing.append((model, lacking))
        if missing:
            names = {model.name for model, _ in missing}
            wanted = [one for one in group if one[0].name in names]
            start = functools.partial(_child, cache, ranges=ranges, command=command)
            results |= _build_missing(cache, wanted, missing, on_event, start)
    return results


def _with_surroundings(
    cache: Cache,
    requests: Sequence[tuple[ModelSpec, Sequence[Recipe]]],
    results: dict[tuple[str, str], Built],
    surround: Surround,
    on_event: Callable[[BuildEvent], None],
) -> Iterator[tuple[ModelSpec, Sequence[Recipe]]]:
    """The requests whose framework can run; every variant of the others is refused, with the one reason there is."""
    failed: dict[tuple[str, FrameworkEnv], Refusal] = {}
    for model, recipes in requests:
        which = (model.source, model.framework_env)
        if surroundings.is_apart(model) and which not in failed:
            _surround(cache, model, recipes, surround, failed, on_event)
        if (end := failed.get(which)) is None:
            yield model, recipes
            continue
        for recipe in recipes:
            results[model.name, recipe.name] = end
            on_event(_ending(model.name, recipe.name, end))


def _surround(
    cache: Cache,
    model: ModelSpec,
    recipes: Sequence[Recipe],
    surround: Surround,
    failed: dict[tuple[str, FrameworkEnv], Refusal],
    on_event: Callable[[BuildEvent], None],
) -> None:
    """Have one environment ready, or note why there is none."""
    started: list[float] = []

    def tell(state: str, seconds: float, detail: str) -> None:
        for recipe in recipes[:1]:
            on_event(
                BuildEvent(
                    model=model.name,
                    variant=recipe.name,
                    step="environment",
                    state=state,
                    seconds=seconds,
                    detail=detail,
                )
            )

    def say(what: str) -> None:
        started.append(time.monotonic())
        tell("started", 0.0, what)

    try:
        surround(model, cache.environments, say)
    except (UsageError, BuildError) as error:
        reason = reasons.essence(str(error))
        failed[model.source, model.framework_env] = Refusal(status=Status.FAILED, reason=reason)
    else:
        if started:
            tell("done", time.monotonic() - started[0], "")


def _groups(requests: Sequence[tuple[ModelSpec, Sequence[Recipe]]]) -> Iterator[list[tuple[ModelSpec, list[Recipe]]]]:
    """The models that one child builds one after the other: small files share one, anything else has its own.

    Starting a child costs more than building a small file; a model of a framework is worth one of its own, so that what
    it holds is freed with it.
    """
    group: list[tuple[ModelSpec, list[Recipe]]] = []
    together = 0
    for model, recipes in requests:
        size = _bytes_of(model)
        if group and (size is None or together + size > TOGETHER_BYTES or len(group) == TOGETHER):
            yield group
            group, together = [], 0
        group.append((model, list(recipes)))
        together += TOGETHER_BYTES if size is None else size
    if group:
        yield group


def _bytes_of(model: ModelSpec) -> int | None:
    """The size of the file that a model is, which may be missing; None where a framework makes the model."""
    if not frameworks.get(model.source).file:
        return None
    try:
        return Path(model.id).stat().st_size
    except OSError:
        return 0


def _build_missing(
    cache: Cache,
    wanted: Sequence[_Asked],
    missing: list[_Asked],
    on_event: Callable[[BuildEvent], None],
    start: _Start,
) -> dict[tuple[str, str], Built]:
    """Children until every missing variant has come to its end, then what the cache says of all of them.

    All variants are looked up again, because a build may have found other weights than were there before; what
    no longer fits is built in a second round.
    """
    results: dict[tuple[str, str], Built] = {}
    for _ in range(2):
        refused = _run_children(missing, on_event, start)
        missing = []
        for model, recipes in wanted:
            lacking: list[Recipe] = []
            for recipe in recipes:
                found = refused.get((model.name, recipe.name)) or lookup(cache, model, recipe, probe=True)
                if found is None:
                    lacking.append(recipe)
                    found = Refusal(
                        status=Status.FAILED,
                        reason=f"{model.name}/{recipe.name} was built and is not in the cache {cache.root} any more. "
                        f"Is something else clearing it? Run the same command again.",
                    )
                results[model.name, recipe.name] = found
            if lacking:
                missing.append((model, lacking))
        if not missing:
            break
    return results


def _run_children(
    asked: Sequence[_Asked], on_event: Callable[[BuildEvent], None], start: _Start
) -> dict[tuple[str, str], Refusal]:
    """Children until all that was asked for has come to its end; a death costs the variant at work, and no other.

    A variant that dies behind other models is tried once more in a child without them: what they left there may have
    been the cause.
    """
    refused: dict[tuple[str, str], Refusal] = {}
    waiting = [list(asked)]
    while waiting:
        pending = waiting.pop(0)
        ended, dead = _run_child(pending, on_event, start)
        refused |= {name: end for name, end in ended.items() if end is not None}
        left = [(model, [one for one in recipes if (model.name, one.name) not in ended]) for model, recipes in pending]
        if dead is not None:
            name, variant = dead.place
            if name == pending[0][0].name:
                refused[dead.place] = dead.end
                on_event(_ending(name, variant, dead.end))
                left[0] = (left[0][0], [one for one in left[0][1] if one.name != variant])
            else:
                waiting.append([one for one in left if one[0].name == name])
                left = [one for one in left if one[0].name != name]
        if left := [one for one in left if one[1]]:
            waiting.append(left)
    return refused


@dataclass(frozen=True, slots=True, kw_only=True)
class _Death:
    """What a child died of: the model and variant that it was at, and what is said of that."""

    place: tuple[str, str]
    end: Refusal


def _run_child(
    asked: Sequence[_Asked], on_event: Callable[[BuildEvent], None], start: _Start
) -> tuple[dict[tuple[str, str], Refusal | None], _Death | None]:
    """One child over these variants.

    Returns:
        (model, variant) -> its refusal, or None where it was built; a variant that the child never came to is absent.
        And what it died of before it came to its end, if it did.

    Raises:
        StoreError: the cache cannot be written.
    """
    ended: dict[tuple[str, str], Refusal | None] = {}
    every = [(model.name, recipe.name) for model, recipes in asked for recipe in recipes]
    current, step = every[0], "start"
    with start(asked) as builder:
        for event in builder.messages():
            if (kind := event.get("event")) is None:
                continue
            if kind == "store":
                raise StoreError(str(event["reason"]))
            if kind == "begin":
                current, step = (str(event["model"]), str(event["variant"])), "start"
                continue
            if kind == "step":
                step = str(event["step"])
                on_event(
                    BuildEvent(
                        model=current[0],
                        variant=current[1],
                        step=step,
                        state=str(event["state"]),
                        seconds=float(event["seconds"]),
                        detail=str(event["detail"]),
                    )
                )
                continue
            end = Refusal(status=Status(event["status"]), reason=str(event["reason"])) if kind == "refused" else None
            ended[current] = end
            on_event(_ending(*current, end))
        code = builder.wait()
    left = [one for one in every if one not in ended]
    if code == 0:
        return ended | dict.fromkeys(left), None
    if not left:
        return ended, None
    place = left[0] if current in ended else current
    return ended, _Death(place=place, end=Refusal(status=Status.FAILED, reason=_obituary(*place, step, code, builder)))


def _hub_of(model: ModelSpec) -> str | None:
    """Where the model's weights would come from; None where no hub is asked."""
    asks = model.weights.kind == "pretrained" and not model.weights.path
    return frameworks.get(model.source).hub_url() if asks else None


def _ending(model: str, variant: str, end: Refusal | None) -> BuildEvent:
    state, detail = ("done", "") if end is None else ("refused", end.reason)
    return BuildEvent(model=model, variant=variant, step="", state=state, detail=detail)


@contextlib.contextmanager
def _child(
    cache: Cache, asked: Sequence[_Asked], *, ranges: Path | None, command: Sequence[str]
) -> Iterator[jobs.RunningChild]:
    """A running child with its job; afterwards the child is gone, and so is what it left unfinished."""
    urls = {url for model, _ in asked if (url := _hub_of(model))}
    job = {
        "cache": str(cache.root),
        "environments": str(cache.environments),
        "models": [
            {"model": wire.model_to_json(model), "recipes": [wire.recipe_to_json(recipe) for recipe in recipes]}
            for model, recipes in asked
        ],
        "unreachable": {url: hub.unreachable(url) for url in urls},
    }
    package = str(Path(harness.__file__).resolve().parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    # Frameworks keep what they train where the cache is, which may be another one than this process's own.
    own = {"PYTHONPATH": os.pathsep.join(paths), "HARNESS_CACHE": str(cache.environments)}
    if ranges is not None:
        own[calibrated.FOLDER] = str(ranges)
    with jobs.child(command, job, environment={**os.environ, **own}) as builder:
        try:
            yield builder
        finally:
            builder.watch.stop()
            processes.end(builder.process)  # what it left may only be swept up once it writes no more
            cache.sweep_up(builder.process.pid)


def _obituary(model: str, variant: str, step: str, code: int, builder: jobs.RunningChild) -> str:
    """What is known of a child's death."""
    if builder.watch.why:
        how = builder.watch.why
    elif code == -signal.SIGKILL:
        how = (
            "was killed (SIGKILL), as the kernel does when memory runs out. Free memory, lower `calibration`, or build "
            "this model alone"
        )
    elif code < 0:
        how = f"died of {signal.Signals(-code).name}"
    else:
        how = f"ended with exit code {code}"
    words = "".join(builder.stderr).strip()
    return f"{model}/{variant}: the build process {how} during the step `{step}`." + (
        f" Its last stderr lines:\n{words}" if words else ""
    )
