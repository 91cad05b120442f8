"""Small git repositories for tests of what compares commits."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path


def git(folder: Path, *arguments: str) -> str:
    """Run git there, as a committer that needs no configuration; its output."""
    who = ("-c", "user.name=tests", "-c", "user.email=tests@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(top: Path, files: Mapping[str, str]) -> str:
    """Write files, commit everything, and give the commit's hash."""
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text, encoding="utf-8")
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--allow-empty", "--message", "change")
    return git(top, "rev-parse", "HEAD")


def repository(top: Path, files: Mapping[str, str]) -> Path:
    """A new repository with one commit of these files on the branch main."""
    top.mkdir(parents=True, exist_ok=True)
    git(top, "init", "--quiet", "--initial-branch", "main")
    commit(top, files)
    return top
