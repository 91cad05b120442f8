"""The order of commits, from git: one call for a whole history."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import UsageError
from harness.provenance import git
from harness.suggest import similar

ALL = ("--exclude=refs/stash", "--all")


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
        UsageError: if git does not know the revision.
    """
    listed = git(repo, "rev-list", "--topo-order", "--reverse", *ALL) if repo is not None else None
    positions = {commit: place for place, commit in enumerate((listed or "").split())}
    if since is None:
        return Commits(positions=positions)
    if repo is None or listed is None:
        raise UsageError(f"--since {since}: not inside a git checkout, so there is no order of commits")
    commit = git(repo, "rev-parse", "--verify", "--quiet", f"{since}^{{commit}}")
    if not commit:
        names = (git(repo, "for-each-ref", "--format=%(refname:short)") or "").split()
        raise UsageError(
            f"--since {since}: git knows no such commit{similar(since, names)}; give a branch, a tag or a hash, such "
            "as HEAD~10"
        )
    # `REV^@` stands for all parents of REV, also where it has none.
    later = git(repo, "rev-list", *ALL, commit, "--not", f"{commit}^@") or ""
    seconds = git(repo, "show", "-s", "--format=%at", commit) or "0"
    return Commits(positions=positions, since=frozenset(later.split()), since_time=int(seconds) * 1000)
