"""A side is what git resolves: nothing that a change adds to its tree is run or read in a revision's place."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.gate.bisect import ends
from harness.gate.sides.spec import SideSpec, read_spec, working_tree
from harness.store import commits as store_commits
from harness.store.imports import base as imports
from tests.repos import commit, git, repository

ZOO = """
version: 1
variants: {fp32: {precision: float32, optimization: disabled, steps: [export]}}
targets: {cpu: {provider: cpu}}
models: {net: {source: onnx, id: net.onnx}}
"""
NAMES = [
    "current", "stable", "1.22.0", "onnxruntime==1.22.0", "old.onnx", "resnet50/fp32/cpu-t1-b1", "zoo.yaml", "python3",
    "0123456", "net.onnx.whl",
]  # fmt: skip


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose branches are called like everything else that a side can be, at a commit before its main."""
    top = repository(tmp_path_factory.mktemp("sides") / "r", {"model_zoo.yaml": ZOO})
    git(top, "branch", "main-1")
    for name in (*NAMES, "origin/main"):
        git(top, "branch", name)
    git(top, "update-ref", "refs/heads/-x", "HEAD")
    git(top, "tag", "v1")
    commit(top, {"b": "2"})
    git(top, "tag", "both")
    git(top, "branch", "both", "v1")
    return top


@pytest.fixture
def top(origin: Path, tmp_path: Path) -> Path:
    """A clone of it that a test may change."""
    return cloned(origin, tmp_path)


@pytest.fixture(scope="module")
def shared(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One clone for all tests that only ask."""
    return cloned(origin, tmp_path_factory.mktemp("shared"))


def cloned(origin: Path, folder: Path) -> Path:
    """A clone with the branches, and without a remote's."""
    place = folder / "clone"
    git(folder, "clone", "--quiet", "--mirror", str(origin), str(place / ".git"))
    git(place, "config", "core.bare", "false")
    git(place, "remote", "remove", "origin")
    git(place, "reset", "--quiet", "--hard", "main")
    return place


def read(top: Path, asked: str | None, python: str | None = None) -> SideSpec:
    """What a text stands for there, as the base."""
    here = working_tree(top / "model_zoo.yaml")
    return read_spec("base", asked, here, top.parent / "cache", python=python)


@pytest.mark.parametrize("name", [*NAMES, "-x", "origin/main", "main~1", "HEAD^", "v1", ":/change"])
def test_whatever_git_resolves_is_a_revision(shared: Path, name: str) -> None:
    """A branch may be called like a runtime, a file, a zoo, a case, an option or a hash."""
    side = read(shared, name)
    assert ("commit", git(shared, "rev-parse", "--verify", "--end-of-options", name)) == (side.kind, side.commit)
    assert name == side.asked
    assert side.commit == read(shared, f"commit:{name}").commit


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("old.onnx", ["the model file, written file:old.onnx"]),
        ("zoo.yaml", ["the zoo file, written zoo:zoo.yaml"]),
    ],
)
def test_a_file_of_a_branchs_name_is_an_ambiguity(
    top: Path, monkeypatch: pytest.MonkeyPatch, name: str, others: list[str]
) -> None:
    """The error names both readings and how each is written, and each can be written so."""
    (top / name).write_text(ZOO, encoding="utf-8")
    monkeypatch.chdir(top)
    with pytest.raises(UsageError) as caught:
        read(top, name)
    short = git(top, "rev-parse", name)[:10]
    assert f"{name} can be git's revision {short}, written commit:{name}, or {others[0]}: say which" == str(
        caught.value
    )
    assert "commit" == read(top, f"commit:{name}").kind
    assert (
        name.rpartition(".")[2].replace("onnx", "file").replace("yaml", "zoo")
        == read(top, f"{'file' if name.endswith('onnx') else 'zoo'}:{name}").kind
    )


def test_a_case_of_a_branchs_name_is_an_ambiguity(top: Path) -> None:
    """A change that adds a model to its zoo can stop the gate and not steer it."""
    git(top, "branch", "net/fp32/cpu-t1", "v1")
    with pytest.raises(UsageError, match=r"written commit:net/.*or the case of the zoo, written case:net"):
        read(top, "net/fp32/cpu-t1")
    assert "case" == read(top, "case:net/fp32/cpu-t1").kind
    assert "case" == read(top, "net/fp32/cpu-t2").kind


@pytest.mark.parametrize("name", ["both", "both~0", "both^{commit}"])
def test_a_tag_and_a_branch_of_one_name_are_an_ambiguity(top: Path, name: str) -> None:
    """Git would take the tag and say nothing."""
    suffix = name.removeprefix("both")
    with pytest.raises(UsageError) as caught:
        read(top, name)
    tag, branch = f"refs/tags/both{suffix}", f"refs/heads/both{suffix}"
    assert f"{name} names 2 refs here; write commit:{tag} or commit:{branch}" == str(caught.value)
    assert {git(top, "rev-parse", "main"), git(top, "rev-parse", "v1")} == {
        read(top, f"commit:{tag}").commit,
        read(top, branch).commit,
    }


def test_a_local_branch_never_hides_the_remotes(top: Path) -> None:
    """A pull request from a branch called `origin/main` is checked out under that name; its full name is only one."""
    git(top, "update-ref", "refs/remotes/origin/main", "main")
    with pytest.raises(UsageError, match="commit:refs/heads/origin/main or commit:refs/remotes/origin/main"):
        read(top, "origin/main")
    assert git(top, "rev-parse", "main") == read(top, "commit:refs/remotes/origin/main").commit


@pytest.mark.parametrize("way", ["abbreviated", "described", "pseudo", "remote"])
def test_a_branch_is_never_taken_for_what_git_also_knows(top: Path, way: str) -> None:
    """Whoever may push branches cannot name one like the hash, the description or the remote that a gate is given."""
    main, old = git(top, "rev-parse", "main"), git(top, "rev-parse", "v1")
    short = main[:9]
    name = {"abbreviated": short, "described": f"v1-1-g{short}", "pseudo": "FETCH_HEAD", "remote": "fork"}[way]
    if way == "pseudo":
        git(top, "update-ref", name, main)
    if way == "remote":
        git(top, "update-ref", "refs/remotes/fork/main", main)
        git(top, "symbolic-ref", "refs/remotes/fork/HEAD", "refs/remotes/fork/main")
    assert main == read(top, name).commit
    git(top, "update-ref", f"refs/heads/{name}", old)
    other = "refs/remotes/fork/HEAD" if way == "remote" else main
    with pytest.raises(UsageError) as caught:
        read(top, name)
    assert f"{name} names 2 refs here; write commit:refs/heads/{name} or commit:{other}" == str(caught.value)
    assert [old, main] == [read(top, f"commit:{one}").commit for one in (f"refs/heads/{name}", other)]


def test_numbers_and_histories_refuse_the_same_names(top: Path) -> None:
    """What is imported is booked on the one commit that was meant, and a history begins there."""
    for ask in (lambda: imports.book("both", top), lambda: store_commits.commits(top, since="both~0")):
        with pytest.raises(UsageError, match=r"names 2 refs here; write refs/tags/both.* or refs/heads/both"):
            ask()
    assert git(top, "rev-parse", "main") == imports.book("refs/tags/both", top).commit


@pytest.mark.parametrize("name", ["HEAD", "@"])
def test_head_is_what_is_checked_out(top: Path, name: str) -> None:
    """Also where somebody made a branch of that name with what git lets only its plumbing do."""
    git(top, "update-ref", f"refs/heads/{name}", "v1")
    assert git(top, "rev-parse", "main") == read(top, name).commit
    assert git(top, "rev-parse", "v1") == read(top, f"refs/heads/{name}").commit


@pytest.mark.parametrize("name", ["refs/heads/../tags/v1", "refs/heads/../../HEAD", "heads//main", "main/", "refs"])
def test_a_path_is_no_ref(shared: Path, name: str) -> None:
    """Git knows names, not paths."""
    with pytest.raises(UsageError, match="is not a commit, branch or tag"):
        read(shared, name)


def test_an_upstream_is_a_branch(top: Path) -> None:
    """`@{upstream}` names what a branch follows."""
    git(top, "update-ref", "refs/remotes/origin/work", "v1")
    git(top, "config", "remote.origin.url", "nowhere")
    git(top, "config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
    git(top, "branch", "--quiet", "--set-upstream-to", "origin/work")
    assert git(top, "rev-parse", "v1") == read(top, "@{upstream}").commit


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("onnxruntime==1.21.0", "a runtime is given with --base-runtime onnxruntime==1.21.0"),
        (sys.executable, "an interpreter is given with --base-python"),
        ("gone.onnx", "there is no file gone.onnx"),
        ("commit:gone.onnx", "'gone.onnx' is not a commit, branch or tag"),
        ("zoo:gone", "there is no such zoo file"),
        ("main..v1", "is not a commit"),
        ("^main", "is not a commit"),
        ("main\0", "is not a commit"),
        ("--output=x", "is not a commit"),
        ("x" * 5000, "is not a commit"),
    ],
)
def test_what_git_does_not_know_says_how_it_is_given(shared: Path, asked: str, words: str) -> None:
    """Runtimes and interpreters have options of their own: nothing in a tree can be taken for one."""
    with pytest.raises(UsageError) as caught:
        read(shared, asked)
    assert words in str(caught.value)


def test_an_interpreter_has_an_option(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare name is looked up on the PATH, as a shell would, and never in the tree."""
    monkeypatch.chdir(top)
    script = top / "some-python"
    script.write_text("#!/bin/sh\n", encoding="utf-8")
    script.chmod(0o755)
    assert ("interpreter", sys.executable) == (
        read(top, None, sys.executable).kind,
        read(top, None, sys.executable).asked,
    )
    assert str(script) == read(top, None, "./some-python").asked.replace("/./", "/")
    with pytest.raises(UsageError, match="--base-python some-python-: there is no such interpreter"):
        read(top, None, "some-python-")
    with pytest.raises(UsageError, match="omit --base main"):
        read(top, "main", sys.executable)


def test_ends_of_a_bisection(top: Path) -> None:
    """A version is a release unless git resolves it, and then it has to be said."""
    assert ("1.21.0", True) == ends.read_end("--good", "1.21.0", top)
    assert ("main", False) == ends.read_end("--good", "main", top)
    assert ("1.22.0", False) == ends.read_end("--good", "commit:1.22.0", top)
    assert ("1.22.0", True) == ends.read_end("--good", "release:1.22.0", top)
    with pytest.raises(UsageError, match=r"--bad 1.22.0 can be git's revision .*commit:1.22.0.*release:1.22.0: say"):
        ends.read_end("--bad", "1.22.0", top)
    with pytest.raises(UsageError, match="one is a release and the other is not"):
        ends.points("1.21.0", "main", top / "model_zoo.yaml")
