"""What a text on the command line stands for: a commit, the working tree, an interpreter, a runtime, a zoo, a case."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness import provenance
from harness.errors import UsageError
from harness.gate.sides import worktrees
from harness.gate.sides.dependencies import Declared, declared
from harness.gate.sides.matching import FILE
from harness.init import assume, bare
from harness.records import case_id
from harness.runtimes import resolve as runtimes

if TYPE_CHECKING:
    from harness.init.bare import Refinements

WORKING_TREE = "working tree"


@dataclass(frozen=True, slots=True, kw_only=True)
class SideSpec:
    """Where a side's files lie and what they say, before it has an interpreter.

    The attributes are those of `Side`; `depends` is what its tree says it depends on, `changed` the paths that differ
    from its commit.
    """

    role: str
    asked: str
    kind: str
    zoo: Path
    tree: Path | None
    commit: str | None = None
    changed: tuple[str, ...] = ()
    case: str = ""
    depends: Declared = field(default_factory=Declared)
    notes: tuple[str, ...] = ()


def working_tree(zoo: Path, own: Sequence[Path] = ()) -> SideSpec:
    """The checkout around a zoo file as it is now: what every side is unless it says otherwise.

    Args:
        zoo: absolute path of the zoo file.
        own: what the command itself writes, which does not count as a change of the tree.
    """
    top = worktrees.top_of(zoo.parent)
    commit = worktrees.git(top, "rev-parse", "--verify", "--quiet", "HEAD").stdout.strip() if top else ""
    return SideSpec(
        role="",
        asked=WORKING_TREE,
        kind="tree",
        zoo=zoo,
        tree=top,
        commit=commit or None,
        changed=provenance.changed(top, provenance.inside(top, own)) if top else (),
        depends=declared(top or zoo.parent),
    )


def read_spec(
    role: str,
    asked: str | None,
    here: SideSpec,
    cache: Path,
    against: SideSpec | None = None,
    refine: Refinements | None = None,
) -> SideSpec:
    """What a text stands for.

    Args:
        role: `base` or `head`.
        asked: the text; None is the working tree.
        here: the working tree.
        cache: root of the cache.
        against: the head, where this is the base.
        refine: what is said of it, where it is a file.

    Raises:
        UsageError: it is none of what a side can be.
    """
    zoo, top = here.zoo, here.tree
    tree = dataclasses.replace(here, role=role, asked=asked or WORKING_TREE)
    if asked is None:
        return dataclasses.replace(tree, notes=(_uncommitted(tree),) if tree.changed else ())
    # What git knows comes first: a file that a change adds under a branch's name is neither run nor read in its place.
    found = worktrees.find(top, asked) if top is not None else None
    if found is not None and top is not None:
        if found.branch and against is not None and against.kind != "commit" and against.commit is not None:
            found = _where_it_left(found, asked, top, against.commit)
        notes = (found.note, _shadowed(role, asked))
        return _at_commit(tree, found.commit, top, cache, tuple(note for note in notes if note))
    if bare.is_file(asked):
        return _of_file(tree, asked, refine or bare.Refinements(), cache)
    path = Path(asked).expanduser()
    if asked.endswith((".yaml", ".yml")):
        if not path.is_file():
            raise UsageError(f"--{role} {asked}: there is no such zoo file")
        return dataclasses.replace(tree, kind="zoo", zoo=path.absolute())
    executes = "runtime" if runtimes.is_spec(asked) else "interpreter" if os.access(path, os.X_OK) else ""
    if executes == "runtime" or (executes and path.is_file()):
        return dataclasses.replace(tree, kind=executes)
    if is_case(asked, zoo):
        return dataclasses.replace(tree, kind="case", case=asked)
    if top is None:
        raise UsageError(
            f"--{role} {asked}: no such zoo file, interpreter, runtime or case, and {zoo.parent} is not in a "
            f"git checkout, so that it is not a commit either (git says: {worktrees.why_none(zoo.parent)})"
        )
    worktrees.revision(top, asked)  # says what is near, and what to fetch
    raise UsageError(f"--{role} {asked}: is not a commit of {top}")


def _of_file(tree: SideSpec, asked: str, refine: Refinements, cache: Path) -> SideSpec:
    """A model file: the zoo that is assumed for it, as it stands unless other variants are asked for; no tree."""
    found = bare.assumed([asked], refine, cache=cache, variants=[assume.AS_IS])
    return dataclasses.replace(
        tree,
        kind=FILE,
        zoo=found.path,
        tree=None,
        commit=None,
        changed=(),
        depends=Declared(),
        notes=tuple(note if note.startswith("assumed") else f"{tree.role}: {note}" for note in found.notes),
    )


def _shadowed(role: str, asked: str) -> str:
    """What to say where a revision's name could have been read as something else, too; empty where it could not."""
    other = "a runtime" if runtimes.is_spec(asked) else "a file" if Path(asked).is_file() else ""
    return f"{role}: {asked} is git's revision here, though there is {other} of that name" if other else ""


def is_case(text: str, zoo: Path) -> bool:
    """Whether a text names a case of the zoo: its model, variant and target, such as `resnet50/fp32/cpu-t1`."""
    named = case_id.parts(text)
    if not all(named):
        return False
    from harness import zoo as zoos

    try:
        known = zoos.load(zoo)
    except (UsageError, OSError):
        return False
    return named.model in known.models and named.variant in known.variants


def _uncommitted(tree: SideSpec) -> str:
    more = f" and {len(tree.changed) - 1} more" if len(tree.changed) > 1 else ""
    return f"{tree.role}: the working tree with its uncommitted changes ({tree.changed[0]}{more})"


def _at_commit(tree: SideSpec, commit: str, top: Path, cache: Path, notes: tuple[str, ...]) -> SideSpec:
    """The place of a commit: its worktree, the zoo file in it, and what it depends on."""
    zoo = tree.zoo
    try:
        below = zoo.resolve().relative_to(top.resolve())
    except ValueError:
        raise UsageError(
            f"{zoo} lies outside the git checkout {top}, so that a commit has no version of it; move it into it"
        ) from None
    folder = worktrees.checked_out(top, commit, cache)
    if not (folder / below).is_file():
        later = worktrees.git(
            top, "log", "--diff-filter=A", "--format=%h", "HEAD", "--", below.as_posix()
        ).stdout.split()
        way = f"It appears in {later[-1]}: name that commit or a later one" if later else "No commit has it: commit it"
        raise UsageError(f"--{tree.role} {tree.asked} ({commit[: worktrees.SHORT]}) has no {below}. {way}.")
    return dataclasses.replace(
        tree,
        kind="commit",
        zoo=folder / below,
        tree=folder,
        commit=commit,
        changed=(),
        depends=declared(folder),
        notes=notes,
    )


def _where_it_left(found: worktrees.Revision, asked: str, top: Path, head: str) -> worktrees.Revision:
    """Against the working tree, a branch counts as it was where this tree left it.

    What came to the branch since then is not a change of this tree. Tags, hashes, and two revisions side by side are
    taken as they are named.
    """
    commit = worktrees.merge_base(top, found.commit, head, asked)
    if commit == found.commit:
        return found
    short = worktrees.SHORT
    note = f"base: {commit[:short]}, where this tree left {asked} (now {found.commit[:short]})"
    return dataclasses.replace(found, commit=commit, note=f"{found.note}; {note}" if found.note else note)
