"""What a text on the command line stands for: a commit, the working tree, an interpreter, a zoo, a case, a file."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness import git, provenance
from harness.errors import UsageError
from harness.gate.sides import worktrees
from harness.gate.sides.dependencies import Declared, declared
from harness.gate.sides.matching import FILE
from harness.init import assume, bare
from harness.paths import typed
from harness.records import case_id
from harness.runtimes import resolve as runtimes

if TYPE_CHECKING:
    from harness.init.bare import Refinements

WORKING_TREE = "working tree"
ZOO_ENDINGS = (".yaml", ".yml")

MEANING = {"file": "model file", "zoo": "zoo file", "case": "case of the zoo"}
FORMS = ("commit", *MEANING)
"""What may stand before a text with a colon, and leaves it one reading: no branch has a colon in its name."""


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
    top = git.top_of(zoo.parent)
    commit = git.commit_of(top, "HEAD") if top else ""
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
    python: str | None = None,
) -> SideSpec:
    """What a text stands for.

    A text is a revision where git resolves it: what a change adds to the tree never takes a revision's place. It is
    something else only by a form that cannot be a branch (`FORMS`), or where git does not know it.

    Args:
        role: `base` or `head`.
        asked: the text; None is the working tree.
        here: the working tree.
        cache: root of the cache.
        against: the head, where this is the base.
        refine: what is said of it, where it is a file.
        python: the interpreter that builds and measures it, where it is the working tree on another one.

    Raises:
        UsageError: it is none of what a side can be, or more than one thing.
    """
    tree = dataclasses.replace(here, role=role, asked=asked or WORKING_TREE)
    if python is not None:
        return _of_interpreter(tree, asked, python)
    if asked is None:
        return dataclasses.replace(tree, notes=(_uncommitted(tree),) if tree.changed else ())
    form, text = _form_of(asked, here)
    if form == "commit":
        return _of_revision(dataclasses.replace(tree, asked=text), text, here, cache, against)
    if form == "zoo":
        path = typed(text)
        if not path.is_file():
            raise UsageError(f"--{role} {asked}: there is no such zoo file")
        return dataclasses.replace(tree, kind="zoo", zoo=path.absolute())
    if form == "case":
        return dataclasses.replace(tree, kind="case", case=text, asked=text)
    return _of_file(tree, asked, refine or bare.Refinements(), cache)


def _form_of(asked: str, here: SideSpec) -> tuple[str, str]:
    """Which of `FORMS` a text has or can only have, and the text without it.

    Raises:
        UsageError: it can be read in two ways.
    """
    form, colon, rest = asked.partition(":")
    if colon and form in FORMS:
        return form, rest
    others = [form for form in ("file", "zoo", "case") if _can_be(form, asked, here.zoo)]
    commit = worktrees.find(here.tree, asked) if here.tree is not None else None
    if commit is not None and others:
        ways = " or ".join(f"the {MEANING[form]}, written {form}:{asked}" for form in others)
        raise UsageError(
            f"{asked} can be git's revision {commit.commit[: worktrees.SHORT]}, written {worktrees.COMMIT}{asked}, or "
            f"{ways}: say which"
        )
    if commit is not None:
        return "commit", asked
    if others:
        return others[0], asked
    # Neither is there: by its ending it is meant as a file.
    return "file" if bare.is_file(asked) else "zoo" if asked.endswith(ZOO_ENDINGS) else "commit", asked


def _can_be(form: str, asked: str, zoo: Path) -> bool:
    """Whether a text can be read as a file that is there, or as a case of the zoo."""
    if form == "case":
        return is_case(asked, zoo)
    fits = bare.is_file(asked) if form == "file" else asked.endswith(ZOO_ENDINGS)
    return fits and is_there(typed(asked))


def is_there(path: Path) -> bool:
    """Whether a file exists; a name that no file can have does not."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _of_revision(tree: SideSpec, asked: str, here: SideSpec, cache: Path, against: SideSpec | None) -> SideSpec:
    """A commit by a revision, which may be a branch as it was where the head left it.

    Raises:
        UsageError: git knows no such revision; the text says what else could be meant.
    """
    if here.tree is None:
        why = git.why_none(here.zoo.parent)
        raise UsageError(
            f"--{tree.role} {asked}: {_meant(tree.role, asked)}no such zoo file or case, and {here.zoo.parent} is not "
            f"in a git checkout, so that it is not a commit either (git says: {why})"
        )
    found = worktrees.find(here.tree, asked)
    if found is None:
        if hint := _meant(tree.role, asked):
            raise UsageError(f"--{tree.role} {asked}: {hint}git knows no such revision")
        found = worktrees.revision(here.tree, asked)  # says what is near, and what to fetch
    if found.branch and against is not None and against.kind != "commit" and against.commit is not None:
        found = _where_it_left(found, asked, here.tree, against.commit)
    notes = (found.note, _shadowed(tree.role, asked))
    return _at_commit(tree, found.commit, here.tree, cache, tuple(note for note in notes if note))


def _meant(role: str, asked: str) -> str:
    """The option that takes what somebody may have meant by a text that git does not know; empty where none does."""
    if runtimes.is_spec(asked):
        return f"a runtime is given with --{role}-runtime {asked}; "
    path = typed(asked)
    if is_there(path) and os.access(path, os.X_OK):
        return f"an interpreter is given with --{role}-python {asked}; "
    return ""


def _of_interpreter(tree: SideSpec, asked: str | None, python: str) -> SideSpec:
    """The working tree, built and measured with another interpreter.

    Raises:
        UsageError: it is not there, or another side is named beside it.
    """
    option = f"--{tree.role}-python {python}"
    if asked is not None:
        raise UsageError(f"{option} is the working tree on another interpreter: omit --{tree.role} {asked}")
    found = python if os.path.dirname(python) else shutil.which(python)  # noqa: PTH120  (a bare name is looked up)
    path = typed(found or python).absolute()
    if not (is_there(path) and os.access(path, os.X_OK)):
        raise UsageError(f"{option}: there is no such interpreter")
    return dataclasses.replace(tree, kind="interpreter", asked=str(path))


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
    other = "a runtime" if runtimes.is_spec(asked) else "a file" if is_there(Path(asked)) else ""
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
        later = git.adding(top, below.as_posix())
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
