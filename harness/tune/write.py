"""What was found, written into the zoo as a new variant and target, with its comments and its order kept."""

from __future__ import annotations

import difflib
import hashlib
import io
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import units
from harness import zoo as zoos
from harness.errors import HarnessError, MissingExtra, StoreError, UsageError
from harness.flow.plan import Selection, plan
from harness.providers import short_name
from harness.records import Case, Recipe
from harness.session_options import EXECUTION_MODE
from harness.store import files
from harness.tune.model import TuneCandidate, Tuned
from harness.zoo import Zoo

OF_A_MODEL = ("exclude", "exclude_preset")
"""Options that are one model's alone: they name its nodes."""

WIDTH = 4096
"""Wider than any line: what a person wrote in one line stays in one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenZoo:
    """What was added to a zoo.

    Attributes:
        command: a sweep of exactly that.
    """

    path: Path
    variant: str
    target: str
    command: str


def require(path: Path) -> None:
    """Find out whether a zoo can be written, before time is spent on what would go there.

    Raises:
        MissingExtra: ruamel.yaml is not installed.
        UsageError: the file cannot be written.
    """
    try:
        import ruamel.yaml  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            "--write needs ruamel.yaml, which keeps the comments of the zoo: pip install 'onnx-harness[tune]'"
        ) from error
    import os

    if path.exists() and not os.access(path, os.W_OK):
        raise UsageError(f"--write: {path} cannot be written: make it writable")


def write(the_zoo: Zoo, found: Tuned) -> WrittenZoo:
    """Add the recommended build and its settings to the zoo that they were searched in.

    Raises:
        UsageError: the file is not what it was when the search began, or does not take what is added.
        StoreError: it cannot be written.
    """
    if found.best is None:
        raise UsageError("there is nothing to write: no candidate keeps the budget")
    path = the_zoo.path
    before = _unchanged(the_zoo)
    names = _names(the_zoo, found.best.case)
    content = _checked(before.decode(), the_zoo, found.best, names)
    if _unchanged(the_zoo) != before:
        raise UsageError(_meanwhile(path))
    files.write(path, content.encode())
    case = found.best.case
    command = [
        "harness", "sweep", "--models", case.model.name, "--variants", names[0], "--targets", names[1],
        "--threads", str(case.target.intra_threads), "--batch", str(case.target.batch),
    ]  # fmt: skip
    return WrittenZoo(path=path, variant=names[0], target=names[1], command=shlex.join(command))


def _checked(text: str, the_zoo: Zoo, best: TuneCandidate, names: tuple[str, str]) -> str:
    """The new text, as close to the old one as reads as what was found.

    Raises:
        UsageError: there is no such text.
    """
    problem: UsageError | None = None
    for everything in (False, True):  # what a model says of a kind of step is stronger than a variant's own options
        whole = _added(text, the_zoo, best, names, everything=everything)
        for content in (_spliced(text, *whole), whole[1]):
            try:
                _check(the_zoo.path, content, best.case, names)
            except UsageError as error:
                problem = problem or error
            else:
                return content
    raise problem or UsageError(f"{the_zoo.path} does not take what was found")


def _spliced(text: str, plain: str, added: str) -> str:
    """The old text with the lines that are new, so that no other line of it changes, however it is written.

    Args:
        text: as it is.
        plain: the same as it is written anew.
        added: written anew with what is new.
    """
    old, same, new = (one.splitlines(keepends=True) for one in (text, plain, added))
    if old and not old[-1].endswith("\n"):
        old[-1] += "\n"
    # Where a place in the text that is written anew was in the old one.
    places: dict[int, int] = {}
    for _, start, end, first, last in difflib.SequenceMatcher(None, old, same, autojunk=False).get_opcodes():
        for line in range(first, last + 1):
            places.setdefault(line, min(start + line - first, end))
        places[last] = end
    found: list[str] = []
    done = 0
    for kind, start, _, first, last in difflib.SequenceMatcher(None, same, new, autojunk=False).get_opcodes():
        if kind in ("insert", "replace"):
            place = places.get(start, len(old))
            sibling = next((n for n in range(start - 1, -1, -1) if _indent(same[n]) == _indent(new[first])), None)
            before = None if sibling is None else places.get(sibling)
            by = 0 if before is None or before >= len(old) else _indent(old[before]) - _indent(new[first])
            found += [*old[done:place], *(_shifted(line, by) for line in new[first:last])]
            done = place
    return "".join([*found, *old[done:]])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _shifted(line: str, by: int) -> str:
    """A line further in by some blanks, or further out."""
    return " " * by + line if by > 0 else line[min(-by, _indent(line)) :]


def _unchanged(the_zoo: Zoo) -> bytes:
    try:
        content = the_zoo.path.read_bytes()
    except OSError as error:
        raise StoreError(f"{the_zoo.path} cannot be read any more: {error.strerror or error}") from error
    if hashlib.sha256(content).hexdigest() != the_zoo.digest:
        raise UsageError(_meanwhile(the_zoo.path))
    return content


def _meanwhile(path: Path) -> str:
    return (
        f"{path} was changed while the search ran, and is left as it is. Run the same command again: what was built, "
        f"evaluated and measured is cached"
    )


def _names(the_zoo: Zoo, case: Case) -> tuple[str, str]:
    """Names of the new variant and target that nothing has yet; the target's own where it is the zoo's as it stands."""
    variant = _free(f"tuned-{case.model.name}", the_zoo.variants)
    known = next((name for name, one in the_zoo.targets.items() if _is(one, case)), None)
    return variant, known or _free(f"{case.target.name.partition('.')[0]}-tuned", the_zoo.targets)


def _is(spec: Any, case: Case) -> bool:
    target = case.target
    same = ("provider", "runtime", "plugin", "device")
    return (
        all(getattr(spec, name) == getattr(target, name) for name in same)
        and dict(spec.provider_options) == dict(target.provider_options)
        and dict(spec.session_config) == dict(target.session_config)
        and dict(spec.limits) == dict(target.limits)
        and target.inter_threads == 1
    )


def _free(name: str, taken: Mapping[str, object]) -> str:
    lower = {one.lower() for one in taken}
    found, number = name, 1
    while found.lower() in lower:
        number += 1
        found = f"{name}-{number}"
    return found


def _added(
    text: str, the_zoo: Zoo, best: TuneCandidate, names: tuple[str, str], *, everything: bool
) -> tuple[str, str]:
    """The text of the zoo written anew, without and with the new entries.

    Args:
        text: as it is.
        the_zoo: what it amounts to.
        best: what is added.
        names: of the new variant and target.
        everything: whether all options are said of the model alone, and not only what is.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    yaml = YAML(typ="rt")
    yaml.width, yaml.preserve_quotes = WIDTH, True
    yaml.indent(mapping=2, sequence=4, offset=2)
    try:
        whole = yaml.load(text)
        before, after = io.StringIO(), io.StringIO()
        yaml.dump(whole, before)
        case = best.case
        whole["variants"][names[0]] = _flow(_variant(case.recipe))
        # What is this model's alone, such as names of nodes, is said of this model alone.
        entry = whole["models"][case.model.name]
        own = {step.kind: dict(step.options) for step in case.recipe.steps}
        if not everything:
            own = {kind: {one: given[one] for one in OF_A_MODEL if given.get(one)} for kind, given in own.items()}
        if own := {kind: given for kind, given in own.items() if given}:
            entry.setdefault("variants", {})[names[0]] = _flow(own)
        if names[1] not in the_zoo.targets:
            whole["targets"][names[1]] = _flow(_target(case))
        yaml.dump(whole, after)
    except (YAMLError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{the_zoo.path} cannot be added to: {error}; add the variant by hand") from error
    return before.getvalue(), after.getvalue()


def _flow(value: Any) -> Any:
    """A mapping in one line, as the zoo writes entries."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if isinstance(value, Mapping):
        found = CommentedMap({key: _flow(one) for key, one in value.items()})
        found.fa.set_flow_style()
        return found
    if isinstance(value, (list, tuple)):
        items = CommentedSeq([_flow(one) for one in value])
        items.fa.set_flow_style()
        return items
    return value


def _variant(recipe: Recipe) -> dict[str, Any]:
    """A variant's entry, without what is one model's alone."""
    steps = []
    for step in recipe.steps:
        options = {name: value for name, value in step.options.items() if name not in OF_A_MODEL}
        steps.append({step.kind: options} if options else step.kind)
    more = {"optimization": recipe.optimization} if recipe.optimization != "all" else {}
    return {"precision": recipe.precision, **more, "steps": steps}


def _target(case: Case) -> dict[str, Any]:
    target = case.target
    config = {key: value for key, value in target.session_config.items() if key != EXECUTION_MODE}
    parallel = EXECUTION_MODE in target.session_config
    found: dict[str, Any] = {"provider": short_name(target.provider), "threads": [target.intra_threads]}
    if target.runtime != "onnxruntime":
        found["runtime"] = target.runtime
    if target.provider_options:
        found["provider_options"] = dict(target.provider_options)
    if config:
        found["session_config"] = config
    if parallel:
        found |= {"execution": "parallel", "inter_threads": [target.inter_threads]}
    if target.limits:
        written = {"cpus": ("cpus", ""), "memory_bytes": ("memory", "B"), "frequency_hz": ("frequency", "Hz")}
        found["limits"] = {
            written[key][0]: units.exact(value, written[key][1]) if written[key][1] else value
            for key, value in target.limits.items()
        }
    if target.plugin:
        found["provider"] = {"plugin": target.plugin, "name": target.provider, "device": target.device}
    return found


def _check(path: Path, content: str, wanted: Case, names: tuple[str, str]) -> None:
    """Read the new zoo as a sweep would, and see that it plans the very case that was found.

    Raises:
        UsageError: it does not.
    """
    beside = path.with_name(f".{path.name}.tuned")
    try:
        files.write(beside, content.encode())
        again = zoos.load(beside)
        selection = Selection(
            models=(wanted.model.name,),
            variants=(names[0],),
            targets=(names[1],),
            threads=(wanted.target.intra_threads,),
            batch=(wanted.target.batch,),
        )
        cases = plan(again, selection).cases
    except HarnessError as error:
        raise UsageError(f"{path} does not take what was found, and is left as it is: {error}") from error
    finally:
        beside.unlink(missing_ok=True)
    from harness.build.recipes import resolve_recipe

    same = [
        case
        for case in cases
        if resolve_recipe(case.recipe).steps == resolve_recipe(wanted.recipe).steps
        and case.recipe.optimization == wanted.recipe.optimization
        and dict(case.target.session_config) == dict(wanted.target.session_config)
        and case.target.inter_threads == wanted.target.inter_threads
    ]
    if not same:
        raise UsageError(
            f"{path} is left as it is: with what would be added, a sweep would not measure {wanted.id} as it was found"
        )
