"""What git says is data: subjects, names and paths of any kind come through whole, and nothing of a checkout is run."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import harness
from harness import git as reads
from harness import provenance
from harness.gate.bisect.bisection import commits
from harness.gate.sides.code import digest
from tests.repos import commit, git, repository

SUBJECTS = [
    "one\u2028main.onnx two",
    "form\x0cfeed",
    "\x1b[31mred\x1b[0m",
    "next\x85line\x1cseparator",
    "-x --output=y",
    "e\u0301\u202etxt.exe",
    "",
]
NAMES = ["-rf", "a\nb.onnx", "\x1b[2J.onnx", "\u2028.onnx", 'qu"ote.onnx', "sp ace.onnx", "ü.onnx", ":(glob)x.onnx"]
HOSTILE = {
    "color.ui": "always",
    "core.pager": "touch ran; cat",
    "core.quotePath": "true",
    "diff.external": "touch ran",
    "format.pretty": "raw",
    "i18n.logOutputEncoding": "UTF-16",
    "log.decorate": "full",
    "log.follow": "true",
    "log.showSignature": "true",
    "status.branch": "true",
    "status.relativePaths": "false",
    "status.short": "true",
    "core.fsmonitor": "touch ran; false",
    "column.ui": "always",
}


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a commit of every subject, a file of every name, and every setting that could matter."""
    place = repository(tmp_path_factory.mktemp("git") / "r", {"model_zoo.yaml": "version: 1\n"})
    git(place, "tag", "first")
    for text in SUBJECTS:
        git(place, "commit", "--quiet", "--allow-empty", "--allow-empty-message", "--cleanup=verbatim", "-m", text)
    for name in NAMES:
        (place / name).write_bytes(b"")
    for name, value in HOSTILE.items():
        git(place, "config", name, value)
    hooks = place / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("post-checkout", "post-index-change", "reference-transaction"):
        (hooks / hook).write_text(f"#!/bin/sh\ntouch {place}/ran\n", encoding="utf-8")
        (hooks / hook).chmod(0o755)
    return place


def test_subjects_are_text(top: Path) -> None:
    """One commit is one point, whatever is in its subject; its hash is never read from there."""
    listed = reads.first_parents(top, "HEAD")
    assert 1 + len(SUBJECTS) == len(listed)
    hashes = git(top, "rev-list", "--reverse", "HEAD").split()
    assert hashes == [one.commit for one in listed]
    known = reads.subjects(top, [*hashes, "f" * 40, "HEAD", "--all"])
    assert dict(zip(hashes, [one.subject for one in listed], strict=True)) == known
    assert "one\u2028main.onnx two" == listed[1].subject
    points = commits("first", "HEAD", top / "model_zoo.yaml")
    assert [f"commit:{one}" for one in hashes] == [point.asked for point in points]
    assert all(len(point.label.splitlines()) == 1 for point in points)


def test_paths_are_names_of_files(top: Path) -> None:
    """Newlines, quotes and leading dashes are part of them; each opens its file."""
    assert set(NAMES) == set(reads.changed_files(top) or ())
    assert {name for name in NAMES if name.endswith(".onnx")} == set(reads.listed_files(top, "*.onnx"))
    assert all((top / name).is_file() for name in reads.listed_files(top))
    own = provenance.inside(top, [top / name for name in NAMES])
    assert () == reads.changed_files(top, own)


def test_nothing_of_the_checkout_is_run(top: Path, tmp_path: Path) -> None:
    """Neither its hooks nor the programs that its settings name; nor do settings change what is read."""
    head = git(top, "rev-parse", "HEAD")
    assert (head, True, False) == (reads.commit_of(top, "HEAD"), reads.is_commit(top, head), reads.is_shallow(top))
    assert reads.add_worktree(top, tmp_path / "-tree", head).ok
    assert reads.tracked_unchanged(tmp_path / "-tree")
    reads.prune_worktrees(top)
    assert "refs/heads/main" == reads.full_name(top, "main")
    assert ("main", "first") == reads.refs(top, short=True)
    assert reads.author_time(top, head)
    assert b"version: 1\n" == reads.file_at(top, head, "model_zoo.yaml")
    assert digest(top, top / "model_zoo.yaml")
    assert not (top / "ran").exists()
    assert not (tmp_path / "-tree/ran").exists()
    git(top, "status")  # which, run by hand, does run what the checkout names
    (top / "ran").unlink()


def test_another_repository_is_never_meant(top: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever a hook has exported, and whatever would change how paths are matched."""
    for name in reads.OF_ANOTHER:
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "touch ran")
    assert top.resolve() == reads.top_of(top)
    assert len(NAMES) == len(reads.changed_files(top) or ())


def test_a_checkout_of_another_user_is_said_to_be_one(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers are booked on no commit then, and the reason is git's own."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    found = provenance.checkout(top, ignore=top / "results")
    assert found.top is None
    assert re.match("git does not read this checkout: detected dubious ownership", found.why_not_clean)


def test_without_git(top: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is known, nothing fails, and the reason is there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (None, (), "", None) == (
        reads.top_of(top), reads.first_parents(top, "HEAD"), reads.commit_of(top, "HEAD"), reads.every_commit(top)
    )  # fmt: skip
    assert "git does not run here" in reads.why_none(top)
    assert "not inside a git checkout" == provenance.checkout(top, ignore=top).why_not_clean


def test_a_shallow_clone_says_so(top: Path, tmp_path: Path) -> None:
    """What it lacks is not taken to be absent."""
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{top}", "shallow")
    shallow = tmp_path / "shallow"
    assert reads.is_shallow(shallow)
    assert 1 == len(reads.first_parents(shallow, "HEAD"))
    assert not reads.is_commit(shallow, git(top, "rev-parse", "first"))
    assert commit(shallow, {"-": ""}) == reads.commit_of(shallow, "HEAD")


def test_one_module_runs_git() -> None:
    """No other file of the package has a command of git's, but for one that a page shows to people."""
    root = Path(harness.__file__).parent
    command = re.compile(r"""[\[(]\s*["']git["']\s*,(?! "checkout")""")
    assert ["git.py"] == [
        path.relative_to(root).as_posix()
        for path in sorted(root.rglob("*.py"))
        if command.search(path.read_text(encoding="utf-8"))
    ]
