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
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from harness import sealed
from harness.errors import UsageError
from harness.provenance import git_environment
from harness.store import files
from harness.suggest import suggest

KIND = "worktrees"
META = "meta.json"
UNUSED_S = 7 * 24 * 3600.0
GIT_DEADLINE_S = 600.0
"""A checkout with large files takes minutes."""

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


def top_of(folder: Path) -> Path | None:
    """The top folder of the git checkout around `folder`; None outside git, or without git."""
    done = git(folder, "rev-parse", "--show-toplevel")
    return Path(done.stdout.strip()) if done.returncode == 0 and done.stdout.strip() else None


def why_none(folder: Path) -> str:
    """Git's words for why a folder is in no checkout: there is none, or it belongs to another user."""
    done = git(folder, "rev-parse", "--show-toplevel")
    return " ".join(done.stderr.split()).removeprefix("fatal: ") or f"exit code {done.returncode}"


def find(top: Path, asked: str) -> Revision | None:
    """The commit that a revision names; a branch that only `origin` has is taken from there. None where none is."""
    if not asked or asked.startswith("-") or any(letter.isspace() for letter in asked):
        return None
    for name in (asked, f"refs/remotes/origin/{asked}"):
        done = git(top, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        if done.returncode == 0:
            full = git(top, "rev-parse", "--symbolic-full-name", name).stdout.strip()
            remote = name != asked
            return Revision(
                commit=done.stdout.strip(),
                branch=full.startswith(("refs/heads/", "refs/remotes/")) and asked != "HEAD",
                note=f"{asked} is origin/{asked}: there is no such local branch" if remote else "",
            )
    return None


def revision(top: Path, asked: str) -> Revision:
    """The commit that a revision names.

    Raises:
        UsageError: there is none; the text says what is near and what to fetch.
    """
    if (found := find(top, asked)) is not None:
        return found
    names = git(top, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags", "refs/remotes")
    known = [name for name in names.stdout.split() if name not in ("origin", "origin/HEAD")]
    if shallow(top):
        way = (
            "This is a shallow clone, which lacks most commits: run `git fetch --unshallow --tags` first "
            "(`fetch-depth: 0` for actions/checkout, `GIT_DEPTH: 0` on GitLab)"
        )
    else:
        way = f"If it is on the remote, run `git fetch origin {asked}` first"
    raise UsageError(f"{asked!r} is not a commit, branch or tag of {top}; {suggest(asked, known)}. {way}.")


def merge_base(top: Path, base: str, head: str, asked: str) -> str:
    """The commit at which `head` left the branch that was asked for.

    Raises:
        UsageError: they have none in common, or the clone is too shallow to know.
    """
    done = git(top, "merge-base", base, head)
    if done.returncode == 0:
        return done.stdout.split()[0]
    if shallow(top):
        raise UsageError(
            f"Where this tree left {asked} is not known, because this is a shallow clone: run `git fetch --unshallow` "
            f"(`fetch-depth: 0` for actions/checkout, `GIT_DEPTH: 0` on GitLab), or name a commit instead of a branch, "
            f"such as --base {base[:SHORT]}."
        )
    raise UsageError(
        f"{asked} and {head[:SHORT]} have no commit in common. To compare with the tip of {asked} all the same, name "
        f"its commit: --base {base[:SHORT]}."
    )


def shallow(top: Path) -> bool:
    """Whether the clone lacks older commits."""
    return git(top, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"


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
    common = git(top, "rev-parse", "--path-format=absolute", "--git-common-dir").stdout.strip()
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
        git(top, "worktree", "prune")
        done = git(top, "worktree", "add", "--force", "--detach", str(place / "tree"), commit)
        if done.returncode:
            _discard(place)
            raise UsageError(f"git cannot check out {commit[:SHORT]} of {top}: {' '.join(done.stderr.split())}")
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
                git(top, "worktree", "prune")
            gone.append(place)
    return tuple(gone)


def git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git on the checkout around `folder`, and on no other, whatever a hook or a CI job has exported.

    Raises:
        UsageError: there is no git.
    """
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=GIT_DEADLINE_S,
            env=git_environment(),
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no end after {GIT_DEADLINE_S:.0f} s")
    except OSError as error:
        raise UsageError(f"Comparing commits needs git, which does not run here: {error.strerror or error}") from error


def _intact(place: Path, commit: str) -> bool:
    """Whether a worktree was made to the end and still holds its commit, unchanged."""
    if not (place / META).is_file():
        return False
    tree = place / "tree"
    head = git(tree, "rev-parse", "--verify", "--quiet", "HEAD")
    top = git(tree, "rev-parse", "--show-toplevel").stdout.strip()
    if head.returncode or head.stdout.strip() != commit or not top or Path(top).resolve() != tree.resolve():
        return False
    status = git(tree, "status", "--porcelain", "--untracked-files=no")
    return status.returncode == 0 and not status.stdout.strip()


def _top(meta: Path) -> Path | None:
    known = sealed.opened(meta, f"{KIND}/{meta.parent.name}").content
    top = Path(str(known["top"])) if known and "top" in known else None
    return top if top is not None and top.is_dir() else None


def _discard(place: Path) -> None:
    if place.exists():
        shutil.rmtree(place)
