"""What the ends of a bisection stand for: two commits, or two releases of onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness import git
from harness.errors import UsageError
from harness.gate.bisect.bisection import BisectPoint, commits, is_release, releases
from harness.gate.sides import worktrees

RELEASE = "release:"
"""Written before a version or a requirement, leaves it no other reading."""


def points(good: str, bad: str, zoo: Path, versions: Sequence[str] = ()) -> tuple[BisectPoint, ...]:
    """The points from good to bad, both included.

    Args:
        good: a revision, or a release: what git resolves is a revision.
        bad: likewise.
        zoo: a file in the checkout.
        versions: the releases to go over; empty asks the package index.

    Raises:
        UsageError: one is a commit and the other a release, one can be both, or nothing lies between them.
    """
    top = git.top_of(zoo.absolute().parent)
    (first, ours), (last, theirs) = read_end("--good", good, top), read_end("--bad", bad, top)
    if ours != theirs:
        raise UsageError(f"--good {good} --bad {bad}: one is a release and the other is not; give two of one kind")
    if ours:
        return releases(first, last, versions)
    if versions:
        raise UsageError("--versions goes with releases; --good and --bad name commits")
    return commits(first, last, zoo)


def read_end(option: str, text: str, top: Path | None) -> tuple[str, bool]:
    """An end without what says how to read it, and whether it is a release.

    Raises:
        UsageError: it can be a release and git's revision.
    """
    if text.startswith(worktrees.COMMIT):
        return text.removeprefix(worktrees.COMMIT), False
    if text.startswith(RELEASE):
        return text.removeprefix(RELEASE), True
    if not is_release(text):
        return text, False
    found = worktrees.find(top, text) if top is not None else None
    if found is not None:
        raise UsageError(
            f"{option} {text} can be git's revision {found.commit[: worktrees.SHORT]}, written {worktrees.COMMIT}"
            f"{text}, or a release of onnxruntime, written {RELEASE}{text}: say which"
        )
    return text, True
