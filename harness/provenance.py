"""Where a run's numbers come from: the commit, the versions on the path, and a name for the run."""

from __future__ import annotations

import datetime as dt
import platform
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import harness
from harness import git, installed

NO_ANSWER = "git status gave no answer"
"""Stands for the paths that changed where they could not be asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """The git checkout that a folder belongs to.

    Attributes:
        top: its root folder; None outside git, or without git.
        commit: full hash of HEAD; None before the first commit.
        commit_time: of that commit, in milliseconds since the epoch.
        changed: paths that differ from HEAD or are untracked, results left out.
        apart: why what is measured has nothing to do with a checkout; empty where it may have.
    """

    top: Path | None = None
    commit: str | None = None
    commit_time: int | None = None
    changed: tuple[str, ...] = ()
    apart: str = ""

    @property
    def why_not_clean(self) -> str:
        """Why no number may be booked on the commit; empty where it may."""
        if self.apart:
            return self.apart
        if self.top is None:
            return "not inside a git checkout"
        if self.commit is None:
            return "the git checkout has no commit yet"
        if self.changed:
            more = f" and {len(self.changed) - 1} more" if len(self.changed) > 1 else ""
            return f"the working tree differs from the commit ({self.changed[0]}{more})"
        return ""


def checkout(folder: Path, ignore: Path) -> Checkout:
    """Describe the checkout around `folder`.

    Args:
        folder: any folder inside it.
        ignore: the results folder, which a sweep itself changes.
    """
    root = git.top_of(folder)
    if root is None:
        why = git.refused(folder)
        return Checkout(apart=f"git does not read this checkout: {why}" if why else "")
    commit = git.commit_of(root, "HEAD")
    if not commit:
        return Checkout(top=root)
    seconds = git.author_time(root, commit)
    return Checkout(
        top=root,
        commit=commit,
        commit_time=seconds * 1000 if seconds is not None else None,
        changed=changed(root, inside(root, [ignore])),
    )


def changed(root: Path, own: Iterable[str] = ()) -> tuple[str, ...]:
    """Paths that differ from HEAD or are untracked, below the top folder of a checkout.

    Args:
        root: the top folder.
        own: what the command itself writes, as `inside` names it: no change of what is measured.
    """
    found = git.changed_files(root, own)
    return (NO_ANSWER,) if found is None else found  # what nobody looked at is not called clean


def inside(root: Path, paths: Iterable[Path]) -> tuple[str, ...]:
    """The names, relative to `root`, of those paths that lie below it; the root itself does not."""
    top = root.resolve()
    found = (path.resolve() for path in paths)
    return tuple(path.relative_to(top).as_posix() for path in found if path != top and path.is_relative_to(top))


def versions(distributions: Iterable[str]) -> dict[str, str]:
    """Versions of Python, of harness, and of those of the distributions that are installed."""
    own = {"python": platform.python_version(), "harness": harness.__version__}
    return own | installed.versions(distributions)


def run_id() -> str:
    """A name that sorts by time and needs no coordination: UTC to the second, and six random hex digits."""
    return f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
