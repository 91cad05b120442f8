"""Cases and artifacts of a side: its own interpreter and its own code plan and build them, in a process of their own.

Run as `python -m harness.gate.contender_build` with the side's folders on PYTHONPATH. The job comes as one line of JSON
on stdin; events and the answer go out as lines of JSON. Where the side's own harness does not have this module yet,
the one that runs is put before it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from harness import jobs
from harness.build.cache import Cache
from harness.build.pipeline import BuildEvent
from harness.errors import HarnessError, StoreError, UsageError
from harness.flow.plan import Selection
from harness.gate import case_wire
from harness.gate.model import Contender, Side
from harness.gate.sides import code, worktrees
from harness.records import Refusal, Status
from harness.runtime_spec import is_own
from harness.runtimes.clients import client_factory

MODULE = "harness.gate.contender_build"
WIRE = 1
"""Version of the answer. 1: the first."""


LABEL = re.compile(r"(?P<name>.+?)-t(?P<threads>\d+)(?:-i\d+)?(?:-b(?P<batch>\d+))?")
"""A target's label, its batch omitted where it is 1."""

OnEvent = Callable[[BuildEvent], None]


def contenders(
    side: Side, selection: Selection, cache: Path, *, on_event: OnEvent = lambda _: None
) -> tuple[tuple[Contender, ...], tuple[str, ...]]:
    """Plan and build a side.

    Args:
        side: as `harness.gate.sides.resolve.resolve` gives it; where it is a case, that case alone is built.
        selection: which cases of its zoo.
        cache: the shared cache; artifacts that the side's code takes part in go into the side's own.
        on_event: told of every build step.

    Returns:
        The contenders in the order of the plan, and notes on how they came about. What does not build is the
        contender's `Refusal`.

    Raises:
        UsageError: the side's zoo cannot be read or has nothing of the selection, or its code does not run.
        StoreError: the cache cannot be written.
    """
    own = side.cache or cache
    if own != cache.absolute():
        code.note(own, _name(side))
    job = {
        "wire": WIRE,
        "zoo": str(side.zoo),
        "caches": {"shared": str(cache.absolute()), "own": str(own)},
        "whole": own != cache.absolute() and _all_apart(side),
        "selection": dataclasses.asdict(_selection(side, selection)),
        "case": side.case,
    }
    notes: tuple[str, ...] = ()
    paths = side.path
    answer, died = _ask(side, paths, job, on_event)
    if answer is None and code.is_harness(side.tree) and not _has_module(side):
        paths = (str(code.copy_of_harness(cache)), *side.path)
        note = (
            f"{side.role}: {side.asked} has no gate yet, so that this harness ({_own_version()}) builds its zoo; "
            f"changes of harness itself since then are not compared"
        )
        notes = (note,)
        answer, died = _ask(side, paths, job, on_event)
    if answer is None:
        raise UsageError(
            f"{_name(side)}: its zoo could not be built with {side.python}: {died}. If its dependencies changed, "
            f"install them for it, or leave this side's code out of it: compare runtimes, zoo files or cases instead."
        )
    if "error" in answer:
        if answer["kind"] == "store":
            raise StoreError(str(answer["error"]))
        raise UsageError(f"{_name(side)}: {answer['error']}")
    found = tuple(_contender(side, one, cache) for one in answer["cases"])
    return found, (*notes, *(str(note) for note in answer["notes"]))


def main() -> int:
    """Answer one job; 0 also where the answer is an error that was raised on purpose."""
    channel = jobs.private_channel()
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=jobs.leave_with_parent, daemon=True).start()
    try:
        answer = run(job, channel)
    except StoreError as error:
        answer = {"error": str(error), "kind": "store"}
    except HarnessError as error:
        answer = {"error": str(error), "kind": "usage"}
    jobs.send(channel, answer=answer)
    return 0


def run(job: Mapping[str, Any], channel: TextIO) -> dict[str, Any]:
    """Plan the selection of a zoo and build it.

    Raises:
        UsageError: the zoo or the selection is wrong.
        StoreError: the cache cannot be written.
    """
    from harness import zoo as zoos
    from harness.build import pipeline
    from harness.flow import plan as planning
    from harness.flow.session import by_model

    def tell(event: BuildEvent) -> None:
        jobs.send(channel, event=dataclasses.asdict(event))

    the_zoo = zoos.load(Path(job["zoo"]))
    chosen: dict[str, Any] = {key: None if value is None else tuple(value) for key, value in job["selection"].items()}
    plan = planning.plan(the_zoo, Selection(**chosen))
    cases = [case for case in plan.cases if not job["case"] or is_named(job["case"], case.id)]
    if job["case"] and not cases:
        near = ", ".join(case.id for case in plan.cases)
        raise UsageError(f"{job['case']} is no case of {the_zoo.path}; available: {near}")
    # The code of the tree has a part only in what it is asked for by name, unless it is harness or another environment.
    groups: dict[str, list[Any]] = {}
    for case in cases:
        which = "own" if job["whole"] or case.model.source == "torch" else "shared"
        groups.setdefault(job["caches"][which], []).append(case)
    answers = {}
    for root, group in groups.items():
        built = pipeline.build(Cache(Path(root)), by_model(group), on_event=tell)
        for case in group:
            answers[case.id] = {
                "case": case_wire.case_to_json(case),
                "built": case_wire.built_to_json(built[case.model.name, case.recipe.name]),
                "cache": root,
            }
    return {"wire": WIRE, "cases": [answers[case.id] for case in cases], "notes": list(plan.pruned)}


def is_named(asked: str, case_id: str) -> bool:
    """Whether a text names a case: its id, or its id with a batch of 1 omitted."""
    return asked in (case_id, case_id.removesuffix("-b1"))


def _selection(side: Side, selection: Selection) -> Selection:
    """What is planned of a side: of a case, its own model, variant, target, threads and batch."""
    if not side.case:
        return selection
    model, variant, label = side.case.split("/")
    found = LABEL.fullmatch(label)
    if found is None:
        raise UsageError(
            f"--{side.role} {side.case}: {label!r} is no target; expected name, threads and batch, such as cpu-t1-b1"
        )
    return Selection(
        models=(model,),
        variants=(variant,),
        targets=(found["name"],),
        threads=(int(found["threads"]),),
        batch=(int(found["batch"] or 1),),
    )


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
    case, built = case_wire.case_from_json(one["case"]), case_wire.built_from_json(one["built"])
    own: tuple[str, ...] = ()
    if not is_own(case.target.runtime):
        try:
            own = client_factory(case.target, shared).command
        except UsageError as error:
            built = Refusal(status=Status.UNSUPPORTED, reason=str(error))
    return Contender(side=side, case=case, built=built, cache=Path(one["cache"]), own_worker=own)


def _ask(
    side: Side, paths: Sequence[str], job: Mapping[str, Any], on_event: OnEvent
) -> tuple[dict[str, Any] | None, str]:
    """Run the child; its answer, or None and why there is none."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONHOME"}
    # Whatever was on PYTHONPATH may be the other side's.
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    command = (side.python, "-P", "-m", MODULE)
    answer: dict[str, Any] | None = None
    with contextlib.ExitStack() as stack:
        try:
            process, stderr = stack.enter_context(
                jobs.child(command, job, environment=environment, folder=side.zoo.parent)
            )
        except OSError as error:
            return None, f"{side.python}: {error.strerror or error}"
        for message in jobs.messages(process):
            if "event" in message:
                on_event(BuildEvent(**message["event"]))
            elif "answer" in message:
                answer = message["answer"]
        status = process.wait()
    how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"
    words = " | ".join(line.strip() for line in stderr if line.strip())
    return answer, f"{how}; {words}" if words else how


if __name__ == "__main__":
    sys.exit(main())
