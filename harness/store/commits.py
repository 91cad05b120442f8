"""The order of commits, from git: one call for a whole history."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness import git
from harness.errors import UsageError
from harness.suggest import similar


@dataclass(frozen=True, slots=True, kw_only=True)
class Commits:
    """Every commit of a clone.

    Attributes:
        positions: full hash -> place in topological order, parents before children, oldest 0. Empty outside git.
        since: those at or after the revision that was asked for; None takes all.
        since_time: the time of that revision, in milliseconds since the epoch.
    """

    positions: dict[str, int] = field(default_factory=dict)
    since: frozenset[str] | None = None
    since_time: int = 0

    def wants(self, commit: str | None, time: float) -> bool:
        """Whether a point belongs to the part of history that was asked for.

        A commit that this clone does not have is judged by its time (milliseconds since the epoch).
        """
        if self.since is None:
            return True
        return commit in self.since if commit in self.positions else time >= self.since_time


def commits(repo: Path | None, since: str | None = None) -> Commits:
    """The commits of the clone around `repo`, of all its branches and tags.

    Args:
        repo: any folder inside it; None, or a folder outside git, knows no commit.
        since: a revision; it and every commit that is not older (not reachable from its parents) are wanted.

    Raises:
        UsageError: if git does not know the revision, or knows several of that name.
    """
    listed = git.every_commit(repo) if repo is not None else None
    positions = {commit: place for place, commit in enumerate(listed or ())}
    if since is None:
        return Commits(positions=positions)
    if repo is None or listed is None:
        raise UsageError(f"--since {since}: not inside a git checkout, so there is no order of commits")
    commit = git.one_commit(repo, since)
    if not commit:
        names = git.refs(repo, short=True)
        raise UsageError(
            f"--since {since}: git knows no such commit{similar(since, names)}; give a branch, a tag or a hash, such "
            "as HEAD~10"
        )
    later, seconds = git.not_older(repo, commit), git.author_time(repo, commit) or 0
    return Commits(positions=positions, since=frozenset(later), since_time=seconds * 1000)
