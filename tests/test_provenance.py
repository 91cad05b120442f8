"""harness.provenance: commits are only claimed where they are true."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness import provenance
from harness.build import packages


def git(folder: Path, *arguments: str) -> None:
    """Run git with an identity of its own."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A checkout with one commit."""
    git(tmp_path, "init")
    (tmp_path / "model_zoo.yaml").write_text("version: 1\n", encoding="utf-8")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "Start")
    return tmp_path


def test_a_clean_checkout_has_its_commit(repository: Path) -> None:
    """Forty digits and a time in milliseconds."""
    found = provenance.checkout(repository, ignore=repository / "results")
    assert found.commit is not None
    assert 40 == len(found.commit)
    assert found.commit_time is not None
    assert 0 == found.commit_time % 1000
    assert "" == found.why_not_clean


@pytest.mark.parametrize("name", ["model_zoo.yaml", "new file.py", "ünï.py"])
def test_any_other_change_makes_it_dirty_and_is_named(repository: Path, name: str) -> None:
    """Changed, untracked, with a space, with an umlaut."""
    (repository / name).write_text("changed", encoding="utf-8")
    found = provenance.checkout(repository, ignore=repository / "results")
    assert (name,) == found.changed
    assert name in found.why_not_clean


def test_results_themselves_do_not_make_it_dirty(repository: Path) -> None:
    """A sweep writes them, and the next one must still count as clean."""
    (repository / "results/samples").mkdir(parents=True)
    (repository / "results/samples/run.parquet").write_bytes(b"PAR1")
    assert () == provenance.checkout(repository, ignore=repository / "results").changed


def test_what_the_command_writes_is_left_out_by_its_exact_path(repository: Path) -> None:
    """Files and folders, also below folders that nobody has added, and with brackets in their names; nothing beside."""
    own = [repository / "out/deep/[a]", repository / "out/gate.json", repository, repository.parent / "elsewhere"]
    own[0].mkdir(parents=True)
    (own[0] / "x.parquet").write_bytes(b"PAR1")
    own[1].write_text("{}", encoding="utf-8")
    names = provenance.inside(repository, own)
    assert ("out/deep/[a]", "out/gate.json") == names
    assert () == provenance.changed(repository, names)
    (repository / "out/model.py").write_text("", encoding="utf-8")
    assert ("out/",) == provenance.changed(repository, names)


def test_a_renamed_file_is_two_changes(repository: Path) -> None:
    """Both names whole."""
    git(repository, "mv", "model_zoo.yaml", "zoo.yaml")
    assert ("model_zoo.yaml", "zoo.yaml") == provenance.changed(repository)


def test_a_status_that_fails_is_not_called_clean(repository: Path) -> None:
    """A damaged index: nobody knows what changed."""
    (repository / ".git/index").write_bytes(b"broken")
    assert "git status gave no answer" in provenance.checkout(repository, ignore=repository / "r").why_not_clean


def test_a_hook_of_another_repository_changes_nothing(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git's hooks export where their own repository is."""
    other = tmp_path_factory.mktemp("other")
    git(other, "init")
    expected = provenance.checkout(repository, ignore=repository / "r")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert expected == provenance.checkout(repository, ignore=repository / "r")


def test_outside_git_and_before_the_first_commit(tmp_path: Path) -> None:
    """Both are said, neither fails."""
    assert "not inside a git checkout" == provenance.checkout(tmp_path, ignore=tmp_path / "r").why_not_clean
    git(tmp_path, "init")
    assert "has no commit yet" in provenance.checkout(tmp_path, ignore=tmp_path / "r").why_not_clean


def test_run_ids_differ_and_sort_by_time() -> None:
    """Two in the same second are two."""
    first, second = provenance.run_id(), provenance.run_id()
    assert first != second
    assert first[:15] <= second[:15]


def test_versions_name_what_a_number_depends_on() -> None:
    """The runtime, under the name of the distribution that is installed."""
    found = provenance.versions(packages.distributions())
    assert {"python", "harness", "numpy"} <= set(found)
    assert any(name.startswith("onnxruntime") for name in found)
