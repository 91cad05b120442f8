"""What git and asv's configuration say of commits: their subjects, the hash behind a name, and where they are shown."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from harness import foreign
from harness.errors import UsageError


def git(repo: Path | None, *arguments: str, stdin: str | None = None) -> str | None:
    """What git prints, or None where it fails, is missing or there is no repository."""
    if repo is None:
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(repo), *arguments], input=stdin, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def subjects(commits: Sequence[str], repo: Path | None) -> dict[str, str]:
    """First lines of commit messages, for those that the repository has."""
    if not commits:
        return {}
    known = git(repo, "cat-file", "--batch-check=%(objectname) %(objecttype)", stdin="\n".join(commits) + "\n") or ""
    there = [line.split()[0] for line in known.splitlines() if line.endswith(" commit")]
    if not there:
        return {}
    text = git(repo, "log", "--no-walk=unsorted", "--stdin", "--format=%H%x00%s", stdin="\n".join(there) + "\n") or ""
    return dict(line.split("\0", 1) for line in text.splitlines() if "\0" in line)


def configuration(folder: Path) -> tuple[str, str]:
    """The link to a commit and the folder of asv's own pages, from `asv.conf.json`; empty where it does not say.

    Raises:
        UsageError: if the file is not a JSON object.
    """
    path = folder / "asv.conf.json"
    try:
        text = foreign.content(path).decode("utf-8-sig", errors="replace")
    except OSError:
        return "", ""
    except ValueError as error:
        raise UsageError(f"{path}: {error}; fix it, or run from another folder") from error
    try:
        found = foreign.mapping("\n".join(line for line in text.splitlines() if not line.strip().startswith("//")))
        url, html = found.get("show_commit_url", ""), found.get("html_dir", "html")
    except (ValueError, AttributeError) as error:
        raise UsageError(f"{path}: not a JSON object ({error}); fix it, or run from another folder") from error
    return (url if str(url).startswith(("http://", "https://")) else ""), str(html)
