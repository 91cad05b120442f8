"""harness.gate.sides.worktrees: commits become folders, and what cannot be found says why."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.gate.sides import worktrees
from harness.git import top_of, why_none
from tests.repos import commit, git, repository


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """Two commits on main, the second one with another text, and a tag at the first."""
    top = repository(tmp_path / "repo", {"text.txt": "one"})
    git(top, "tag", "v1")
    commit(top, {"text.txt": "two"})
    return top


def test_a_commit_becomes_a_folder(repo: Path, tmp_path: Path) -> None:
    """The folder holds the commit's files, whatever the working tree says."""
    (repo / "text.txt").write_text("dirty", encoding="utf-8")
    found = worktrees.revision(repo, "v1")
    folder = worktrees.checked_out(repo, found.commit, tmp_path / "cache")
    assert "one" == (folder / "text.txt").read_text(encoding="utf-8")
    assert "dirty" == (repo / "text.txt").read_text(encoding="utf-8")


def test_a_worktree_is_made_once(repo: Path, tmp_path: Path) -> None:
    """The second gate finds what the first one made, and leaves what it holds alone."""
    head = worktrees.revision(repo, "main").commit
    first = worktrees.checked_out(repo, head, tmp_path / "cache")
    (first / "untracked.pyc").write_text("", encoding="utf-8")
    assert first == worktrees.checked_out(repo, head, tmp_path / "cache")
    assert (first / "untracked.pyc").exists()


def test_two_gates_at_once_share_a_worktree(repo: Path, tmp_path: Path) -> None:
    """Of two that begin together one makes it and the other waits."""
    head = worktrees.revision(repo, "main").commit
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(worktrees.checked_out(repo, head, tmp_path / "cache")))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 3 == len(found)
    assert 1 == len(set(found))
    assert "two" == (found[0] / "text.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("damage", ["edited", "moved on", "unfinished", "gone"])
def test_a_worktree_that_is_not_what_it_was_is_made_again(repo: Path, tmp_path: Path, damage: str) -> None:
    """Nobody measures a base that somebody has edited, or that was left half checked out."""
    first, second = (worktrees.revision(repo, name).commit for name in ("v1", "main"))
    folder = worktrees.checked_out(repo, second, tmp_path / "cache")
    if damage == "edited":
        (folder / "text.txt").write_text("edited", encoding="utf-8")
    elif damage == "moved on":
        git(folder, "checkout", "--quiet", first)
    elif damage == "unfinished":
        (folder.parent / "meta.json").unlink()
        (folder / "text.txt").unlink()
    else:
        subprocess.run(["rm", "-rf", str(folder)], check=True)
    again = worktrees.checked_out(repo, second, tmp_path / "cache")
    assert "two" == (again / "text.txt").read_text(encoding="utf-8")


def test_an_unknown_revision_names_what_is_near(repo: Path) -> None:
    """A slip in a branch's name is answered with the branch, and with how to fetch others where they may be."""
    with pytest.raises(UsageError) as caught:
        worktrees.revision(repo, "mian")
    assert "did you mean 'main'?" in str(caught.value)
    assert "git fetch" not in str(caught.value)
    git(repo, "remote", "add", "upstream", "https://example.org/it.git")
    with pytest.raises(UsageError, match="git fetch upstream mian"):
        worktrees.revision(repo, "mian")


def test_a_repository_without_a_commit_says_so(tmp_path: Path) -> None:
    """Whatever is asked for, `HEAD` too."""
    git(tmp_path, "init", "--quiet")
    with pytest.raises(UsageError, match="has no commit yet"):
        worktrees.revision(tmp_path, "HEAD")


@pytest.mark.parametrize("text", ["--all", "main v1", ""])
def test_what_cannot_be_a_revision_is_none(repo: Path, text: str) -> None:
    """Nothing that is given as a revision becomes an option of git."""
    assert worktrees.find(repo, text) is None


def test_a_branch_that_only_the_remote_has_is_found(repo: Path, tmp_path: Path) -> None:
    """A pull request's checkout has origin/main and no main."""
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(repo), str(clone))
    git(clone, "checkout", "--quiet", "-b", "work")
    git(clone, "branch", "--quiet", "-D", "main")
    found = worktrees.revision(clone, "main")
    assert found.branch
    assert "main is origin/main" in found.note
    assert worktrees.revision(repo, "main").commit == found.commit


def test_branches_move_and_tags_do_not(repo: Path) -> None:
    """Only branches have a place where a tree left them."""
    assert worktrees.revision(repo, "main").branch
    assert not worktrees.revision(repo, "v1").branch
    assert not worktrees.revision(repo, "HEAD").branch
    assert not worktrees.revision(repo, worktrees.revision(repo, "v1").commit[:8]).branch


def test_a_shallow_clone_says_how_to_deepen_it(repo: Path, tmp_path: Path) -> None:
    """CI systems clone one commit: everything before it is unknown there."""
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{repo}", str(clone))
    with pytest.raises(UsageError, match=r"shallow clone.*git fetch --unshallow.*fetch-depth: 0"):
        worktrees.revision(clone, "v1")


def test_a_shallow_clone_does_not_know_where_a_branch_was_left(repo: Path, tmp_path: Path) -> None:
    """Both tips are there and their common past is not."""
    git(repo, "checkout", "--quiet", "-b", "work", "v1")
    commit(repo, {"work.txt": "work"})
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth", "1", "--no-single-branch", f"file://{repo}", str(clone))
    main, work = (worktrees.revision(clone, name).commit for name in ("main", "work"))
    with pytest.raises(UsageError, match=r"shallow clone: run `git fetch --unshallow`"):
        worktrees.merge_base(clone, main, work, "main")


def test_histories_without_a_common_commit_are_refused(repo: Path) -> None:
    """The way out is the branch's own commit."""
    git(repo, "checkout", "--quiet", "--orphan", "other")
    commit(repo, {"text.txt": "other"})
    main, other = (worktrees.revision(repo, name).commit for name in ("main", "other"))
    with pytest.raises(UsageError, match=f"no commit in common.*--base {main[:10]}"):
        worktrees.merge_base(repo, main, other, "main")


def test_unused_worktrees_are_removed(repo: Path, tmp_path: Path) -> None:
    """Git forgets them as well, so that `git worktree list` does not grow for ever."""
    cache = tmp_path / "cache"
    folder = worktrees.checked_out(repo, worktrees.revision(repo, "v1").commit, cache)
    assert () == worktrees.prune(cache, older_than_s=3600)
    os.utime(folder.parent / "meta.json", (0, 0))
    assert (folder.parent,) == worktrees.prune(cache, older_than_s=3600)
    assert not folder.exists()
    assert 1 == len(git(repo, "worktree", "list").splitlines())


def test_a_hook_of_another_repository_changes_nothing(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside a git hook GIT_DIR names the repository of the hook."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert repo.resolve() == top_of(repo)


def test_without_git_the_message_says_so(repo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Comparing commits is the one thing that needs git."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert top_of(repo) is None
    assert "git does not run here" in why_none(repo)
