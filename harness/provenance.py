"""Where a run's numbers come from: the commit, the versions on the path, and a name for the run."""

from __future__ import annotations

import datetime as dt
import platform
import secrets
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import harness

ON_THE_PATH = (
    "onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml", "onnx", "numpy", "torch",
    "onnxscript", "onnxslim", "torchvision", "timm", "transformers", "ultralytics", "scikit-learn",
)  # fmt: skip
"""Distributions whose version can change a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """The git checkout that a folder belongs to.

    Attributes:
        top: its root folder; None outside git, or without git.
        commit: full hash of HEAD; None before the first commit.
        commit_time: of that commit, in milliseconds since the epoch.
        changed: paths that differ from HEAD or are untracked, results left out.
    """

    top: Path | None = None
    commit: str | None = None
    commit_time: int | None = None
    changed: tuple[str, ...] = ()

    @property
    def why_not_clean(self) -> str:
        """Why no number may be booked on the commit; empty where it may."""
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
    top = git(folder, "rev-parse", "--show-toplevel")
    if not top:
        return Checkout()
    root = Path(top)
    commit = git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return Checkout(top=root)
    seconds = git(root, "show", "-s", "--format=%at", "HEAD")
    paths = ["."]
    if ignore.resolve().is_relative_to(root.resolve()) and ignore.resolve() != root.resolve():
        paths.append(f":(exclude){ignore.resolve().relative_to(root.resolve()).as_posix()}")
    status = git(root, "status", "--porcelain", "-z", "--", *paths) or ""
    changed = tuple(entry[3:] for entry in status.split("\0") if entry[:2].strip())
    return Checkout(top=root, commit=commit, commit_time=int(seconds) * 1000 if seconds else None, changed=changed)


def git(folder: Path, *arguments: str) -> str | None:
    """A git command's output without trailing white space; None where it fails or git is missing."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.rstrip() if done.returncode == 0 else None


def versions() -> dict[str, str]:
    """Versions of Python, harness and every installed distribution that can change a number."""
    found = {"python": platform.python_version(), "harness": harness.__version__}
    for name in ON_THE_PATH:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def run_id() -> str:
    """A name that sorts by time and needs no coordination: UTC to the second, and six random hex digits."""
    return f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
