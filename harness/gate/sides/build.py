"""Cases and artifacts of a side: its own interpreter and its own code plan and build them, in a process of their own.

`contenders` asks; `answer` is what the asked process does, entered through `harness.gate.contender_build`, whose
docstring says what of it other commits rely on. Where the side's own harness has no gate yet, the one that runs is put
before it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import jobs
from harness.build.cache import Cache
from harness.build.pipeline import BuildEvent
from harness.errors import CaseIdError, StoreError, UsageError
from harness.flow.plan import Selection
from harness.gate.model import Contender, Side
from harness.gate.sides import code, worktrees
from harness.processes import Limits, step_deadline_s
from harness.records import Case, CaseId, Refusal, Status, wire
from harness.runtime_spec import is_own
from harness.runtimes import limits as limited
from harness.runtimes.clients import client_factory

MODULE = "harness.gate.contender_build"
EVENT = ("model", "variant", "step", "state", "seconds", "detail")
"""What an event says across versions."""

MARGIN_S = 300.0
"""How much longer than one of its own children a side's process may say nothing."""

OnEvent = Callable[[BuildEvent], None]


def contenders(
    side: Side,
    selection: Selection,
    cache: Path,
    *,
    on_event: OnEvent = lambda _: None,
) -> tuple[tuple[Contender, ...], tuple[str, ...]]:
    """Plan and build a side.

    Args:
        side: as `harness.gate.sides.resolve.resolve` gives it; where it is a case, that case alone is built.
        selection: which cases of its zoo.
        cache: the shared cache; artifacts that the side's code takes part in go into the side's own.
        on_event: hears of every build step.

    Returns:
        The contenders in the order of the plan, and notes on how they came about. What does not build is the
        contender's `Refusal`.

    Raises:
        UsageError: the side's zoo cannot be read or has nothing of the selection, or its code does not run.
        StoreError: the cache cannot be written.
        OutOfTime: the time limit is over.
    """
    limits = Limits(silence_s=step_deadline_s() + MARGIN_S)
    own = side.cache or cache
    if own != cache.absolute():
        code.note(own, _name(side))
    job = {
        "wire": wire.WIRE,
        "zoo": str(side.zoo),
        "caches": {"shared": str(cache.absolute()), "own": str(own)},
        "whole": own != cache.absolute() and _all_apart(side),
        "selection": selection_to_json(_selection(side, selection)),
        "case": side.case,
    }
    notes: tuple[str, ...] = ()
    paths = side.path
    reply, died = _ask(side, paths, job, on_event, limits)
    if reply is None and code.is_harness(side.tree) and not _has_module(side):
        paths = (str(code.copy_of_harness(cache)), *side.path)
        note = (
            f"{side.role}: {side.asked} has no gate yet, so that this harness ({_own_version()}) builds its zoo; "
            f"changes of harness itself since then are not compared"
        )
        notes = (note,)
        reply, died = _ask(side, paths, job, on_event, limits)
    if reply is None:
        raise UsageError(
            f"{_name(side)}: its zoo could not be built with {side.python}: {died}. If its dependencies changed, "
            f"install them for it, or leave this side's code out of it: compare runtimes, zoo files or cases instead."
        )
    if "error" in reply:
        if reply["kind"] == "store":
            raise StoreError(str(reply["error"]))
        raise UsageError(f"{_name(side)}: {reply['error']}")
    found = tuple(_contender(side, one, cache) for one in reply["cases"])
    return found, (*notes, *(str(note) for note in reply["notes"]))


def answer(job: Mapping[str, Any], on_event: OnEvent) -> dict[str, Any]:
    """Plan the selection of a zoo and build it.

    Args:
        job: what a gate asks for; this one's or another commit's.
        on_event: hears of every build step.

    Returns:
        The answer, in the version that the gate reads.

    Raises:
        UsageError: the zoo or the selection is wrong.
        StoreError: the cache cannot be written.
    """
    from harness import frameworks
    from harness import zoo as zoos
    from harness.build import pipeline
    from harness.flow import plan as planning
    from harness.flow.plan import by_model
    from harness.runtimes import framework_environments

    version = min(job.get("wire", 1), wire.WIRE)
    the_zoo = zoos.load(Path(job["zoo"]))
    plan = planning.plan(the_zoo, selection_from_json(job["selection"]))
    cases = [case for case in plan.cases if not job["case"] or is_named(job["case"], case.id)]
    if job["case"] and not cases:
        near = ", ".join(case.id for case in plan.cases)
        raise UsageError(f"{job['case']} is not a case of {the_zoo.path}; available: {near}")
    # The code of the tree has a part only in what it is asked for by name, unless it is harness or another environment.
    groups: dict[str, list[Any]] = {}
    for case in cases:
        which = "own" if job["whole"] or frameworks.get(case.model.source).runs_user_code else "shared"
        groups.setdefault(job["caches"][which], []).append(case)
    answers = {}
    for root, group in groups.items():
        cache = Cache(Path(root), Path(job["caches"]["shared"]))
        built = pipeline.build(cache, by_model(group), on_event=on_event, surround=framework_environments.ensure)
        for case in group:
            answers[case.id] = {
                "case": wire.case_to_json(case, version),
                "built": wire.built_to_json(built[case.model.name, case.recipe.name], version),
                "cache": root,
            }
    return {"wire": version, "cases": [answers[case.id] for case in cases], "notes": list(plan.pruned)}


def planned(side: Side, selection: Selection, cache: Path) -> list[Case]:
    """The cases of a side that this process's own code plans and builds into the shared cache as the side's would.

    Args:
        side: one of another interpreter, or whose tree is harness itself, has none.
        selection: which cases of its zoo.
        cache: the shared one.

    Raises:
        UsageError: the zoo or the selection is wrong.
    """
    from harness import frameworks
    from harness import zoo as zoos
    from harness.flow import plan as planning

    if _all_apart(side):
        return []
    cases = planning.plan(zoos.load(side.zoo), _selection(side, selection)).cases
    asked = [one for one in cases if not side.case or is_named(side.case, one.id)]
    shared = (side.cache or cache).absolute() == cache.absolute()  # one tree: its code makes the same for both sides
    return [one for one in asked if shared or not frameworks.get(one.model.source).runs_user_code]


def is_named(asked: str, case_id: str) -> bool:
    """Whether a text names a case: its id, or its id with a batch of 1 omitted."""
    try:
        return CaseId.parse(asked) == CaseId.parse(case_id)
    except CaseIdError:
        return False


def of_case(case: CaseId) -> Selection:
    """What is planned to get one case: its model, variant, target, threads and batch."""
    return Selection(
        models=(case.model,),
        variants=(case.variant,),
        targets=(case.target,),
        threads=(case.intra_threads,),
        batch=(case.batch,),
        scenarios=(case.scenario,) if case.scenario else None,
    )


def event_to_json(event: BuildEvent) -> dict[str, Any]:
    """An event as every version knows it."""
    return {key: getattr(event, key) for key in EVENT}


def event_from_json(content: Mapping[str, Any]) -> BuildEvent:
    """The inverse of `event_to_json`, also of what another version wrote."""
    return BuildEvent(**{key: content[key] for key in EVENT if key in content})


def _selection(side: Side, selection: Selection) -> Selection:
    """What is planned of a side: of a case, that case alone."""
    if not side.case:
        return selection
    try:
        return of_case(CaseId.parse(side.case))
    except CaseIdError as error:
        raise UsageError(f"--{side.role}: {error}") from error


def selection_to_json(selection: Selection) -> dict[str, Any]:
    """What is chosen; what is left to the zoo is not sent, so that a reader need not know of it."""
    default = Selection()
    return {key: value for key, value in dataclasses.asdict(selection).items() if value != getattr(default, key)}


def selection_from_json(content: Mapping[str, Any]) -> Selection:
    """The inverse of `selection_to_json`.

    Raises:
        UsageError: it chooses by something that this version does not know, and would build something else.
    """
    chosen = {key: tuple(value) for key, value in content.items() if value is not None and value != []}
    known = {one.name for one in dataclasses.fields(Selection)}
    if strange := sorted(chosen.keys() - known):
        raise UsageError(f"this side's harness does not know how to choose cases by {', '.join(strange)}")
    return Selection(**chosen)


def _all_apart(side: Side) -> bool:
    """Whether everything of this side has to be built apart from the other: harness, or the packages, differ."""
    return code.is_harness(side.tree) or side.python != sys.executable


def _has_module(side: Side) -> bool:
    return side.tree is not None and (side.tree / "harness" / "gate" / "contender_build.py").is_file()


def _own_version() -> str:
    import harness

    return harness.__version__


def _name(side: Side) -> str:
    commit = f" ({side.commit[: worktrees.SHORT]})" if side.commit and side.kind == "commit" else ""
    return f"{side.role} {side.asked}{commit}"


def _contender(side: Side, one: Mapping[str, Any], shared: Path) -> Contender:
    """A contender, on the runtime that its target names; a runtime that cannot be had is its refusal."""
    case, built = wire.case_from_json(one["case"]), wire.built_from_json(one["built"])
    own: tuple[str, ...] = ()
    if why := limited.problem(case.target.limits):
        built = Refusal(status=Status.UNSUPPORTED, reason=why)
    elif not is_own(case.target.runtime):
        try:
            own = client_factory(case.target, shared).command
        except UsageError as error:
            built = Refusal(status=Status.FAILED, reason=str(error))
    return Contender(side=side, case=case, built=built, cache=Path(one["cache"]), own_worker=own)


def _ask(
    side: Side, paths: Sequence[str], job: Mapping[str, Any], on_event: OnEvent, limits: Limits
) -> tuple[dict[str, Any] | None, str]:
    """Run the child; its answer, or None and why there is none.

    Raises:
        OutOfTime: the time limit is over.
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONHOME"}
    # Whatever was on PYTHONPATH may be the other side's.
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    command = (side.python, "-P", "-m", MODULE)
    found: dict[str, Any] | None = None
    with contextlib.ExitStack() as stack:
        try:
            builder = stack.enter_context(
                jobs.child(command, job, environment=environment, folder=side.zoo.parent, limits=limits)
            )
        except OSError as error:
            return None, f"{side.python}: {error.strerror or error}"
        for message in builder.messages():
            if "event" in message:
                on_event(event_from_json(message["event"]))
            elif "answer" in message:
                found = message["answer"]
        status = builder.wait()
    how = builder.watch.why or (f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit code {status}")
    said = " | ".join(line.strip() for line in builder.stderr if line.strip())
    return found, f"{how}; {said}" if said else how
