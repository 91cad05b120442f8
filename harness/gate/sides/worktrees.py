"""Commits as folders: a git worktree per commit, in the cache, made once and only read afterwards.

::

    worktrees/<digest>/tree/       the worktree, detached at its commit
    worktrees/<digest>/meta.json   written last, modification time: last used
    worktrees/.<digest>.lock       held while one gate makes it and others wait

Two gates may read one worktree at the same time. What no gate used for a week is removed when another is made.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from harness import git, sealed
from harness.errors import UsageError
from harness.store import files
from harness.suggest import suggest

KIND = "worktrees"
META = "meta.json"
UNUSED_S = 7 * 24 * 3600.0
COMMIT = "commit:"
"""Written before a revision, leaves it no other reading."""

SHORT = 10
"""Characters of a commit's hash in sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A commit, and how what was asked for led to it.

    Attributes:
        commit: full hash.
        branch: whether a branch was named, which moves; tags and hashes do not.
        note: what was done to find it, where it was not taken literally; else empty.
    """

    commit: str
    branch: bool
    note: str = ""


def find(top: Path, asked: str) -> Revision | None:
    """The commit that a revision names; a branch that only `origin` has is taken from there. None where none is.

    Raises:
        UsageError: it names several, such as a tag and a branch of one name.
    """
    for name in (asked, f"refs/remotes/origin/{asked}"):
        commit = git.one_commit(top, name, asked=asked, form=COMMIT)
        if not commit:
            continue
        full = git.full_name(top, name)
        return Revision(
            commit=commit,
            branch=full.startswith(("refs/heads/", "refs/remotes/")) and asked != "HEAD",
            note=f"{asked} is origin/{asked}: there is no such local branch" if name != asked else "",
        )
    return None


def revision(top: Path, asked: str) -> Revision:
    """The commit that a revision names, with or without `commit:` before it.

    Raises:
        UsageError: there is none; the text says what is near and what to fetch, or that nothing is committed.
    """
    if (found := find(top, asked)) is not None:
        return found
    names = git.refs(top, "refs/heads", "refs/tags", "refs/remotes", short=True)
    if not names and not git.commit_of(top, "HEAD"):
        raise UsageError(f"{top} has no commit yet: commit what is there, then there is something to compare with")
    known = [name for name in names if name not in ("origin", "origin/HEAD")]
    if git.is_shallow(top):
        way = (
            "This is a shallow clone, which lacks most commits: run `git fetch --unshallow --tags` first "
            "(`fetch-depth: 0` for actions/checkout, `GIT_DEPTH: 0` on GitLab)"
        )
    else:
        remote = next(iter(git.remotes(top)), "")
        way = f"If it is on the remote, run `git fetch {remote} {asked}` first" if remote else ""
    said = f"{asked!r} is not a commit, branch or tag of {top}; {suggest(asked, known)}"
    raise UsageError(f"{said}. {way}." if way else said)


def merge_base(top: Path, base: str, head: str, asked: str) -> str:
    """The commit at which `head` left the branch that was asked for.

    Raises:
        UsageError: they have none in common, or the clone is too shallow to know.
    """
    if found := git.merge_base(top, base, head):
        return found
    if git.is_shallow(top):
        raise UsageError(
            f"Where this tree left {asked} is not known, because this is a shallow clone: run `git fetch --unshallow` "
            f"(`fetch-depth: 0` for actions/checkout, `GIT_DEPTH: 0` on GitLab), or name a commit instead of a branch, "
            f"such as --base {base[:SHORT]}."
        )
    raise UsageError(
        f"{asked} and {head[:SHORT]} have no commit in common. To compare with the tip of {asked} all the same, name "
        f"its commit: --base {base[:SHORT]}."
    )


def checked_out(top: Path, commit: str, root: Path) -> Path:
    """A folder that holds a commit's files, made now where the cache does not have it.

    Args:
        top: the checkout that has the commit.
        commit: full hash.
        root: the cache's folder.

    Raises:
        UsageError: git cannot check it out.
        StoreError: the cache cannot be written.
    """
    common = git.common_dir(top)
    key = hashlib.sha256(f"{common}\n{commit}".encode()).hexdigest()[:32]
    folder = root.absolute() / KIND
    place = folder / key
    with files.Lock.wait(folder / f".{key}.lock"):
        if _intact(place, commit):
            os.utime(place / META)
            return place / "tree"
        with files.guarded("make", place):
            _discard(place)
            place.mkdir(parents=True)
        git.prune_worktrees(top)
        done = git.add_worktree(top, place / "tree", commit)
        if not done.ok:
            _discard(place)
            raise UsageError(f"git cannot check out {commit[:SHORT]} of {top}: {done.error}")
        content = {"made_by": f"{commit[:SHORT]} of {top}", "created": time.time(), "commit": commit, "top": str(top)}
        files.write(place / META, sealed.seal(f"{KIND}/{key}", content))
    prune(root, older_than_s=UNUSED_S)
    return place / "tree"


def prune(root: Path, *, older_than_s: float) -> tuple[Path, ...]:
    """Remove worktrees that were not used for so long, but none that is just being made; says which."""
    gone = []
    folder = root.absolute() / KIND
    for place in folder.iterdir() if folder.is_dir() else ():
        if place.name.startswith(".") or not place.is_dir():
            continue
        lock = files.Lock.attempt(folder / f".{place.name}.lock")
        if lock is None:
            continue
        with lock:
            meta = place / META
            used = (meta if meta.exists() else place).stat().st_mtime
            if time.time() - used < older_than_s:
                continue
            top = _top(meta)
            _discard(place)
            if top is not None:
                git.prune_worktrees(top)
            gone.append(place)
    return tuple(gone)


def _intact(place: Path, commit: str) -> bool:
    """Whether a worktree was made to the end and still holds its commit, unchanged."""
    if not (place / META).is_file():
        return False
    tree = place / "tree"
    top = git.top_of(tree)
    if top is None or top.resolve() != tree.resolve() or git.commit_of(tree, "HEAD") != commit:
        return False
    return git.tracked_unchanged(tree)


def _top(meta: Path) -> Path | None:
    known = sealed.opened(meta, f"{KIND}/{meta.parent.name}").content
    top = Path(str(known["top"])) if known and "top" in known else None
    return top if top is not None and top.is_dir() else None


def _discard(place: Path) -> None:
    if place.exists():
        shutil.rmtree(place)
