"""harness.gate.sides: from a command line to two sides that are built."""

from __future__ import annotations

import compileall
import dataclasses
import importlib.util
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.flow.plan import Selection
from harness.gate.model import Contender, Side
from harness.gate.sides import build, code
from harness.gate.sides import resolve as sides
from harness.gate.sides.dependencies import declared, unmet
from harness.records import Artifact, Refusal, Status
from harness.runtimes import resolve as runtimes
from tests import builders
from tests.conftest import lend
from tests.installers import fake_uv
from tests.repos import commit, git, repository

ZOO = """
version: 1
defaults: {variants: [fp32], targets: [cpu]}
variants:
  fp32: {precision: float32, optimization: disabled, steps: [export]}
  plain: {precision: float32, steps: [export]}
targets:
  cpu: {provider: cpu}
models:
  tiny: {source: onnx, id: tiny.onnx}
"""


@pytest.fixture
def repo(tmp_path: Path, copied: Path) -> Path:
    """One commit with a zoo of one tiny model; the copy of harness is in the cache."""
    lend(copied, tmp_path / "cache")
    builders.tiny_conv(tmp_path / "repo" / "tiny.onnx")
    return repository(tmp_path / "repo", {"model_zoo.yaml": ZOO, "README.md": "one"})


def resolve(
    repo: Path,
    base: str | None,
    head: str | None = None,
    base_runtime: str | None = None,
    head_runtime: str | None = None,
    runtime: Callable[..., runtimes.Runtime] = runtimes.resolve,
) -> tuple[Side, Side]:
    """The sides of the repository's zoo."""
    return sides.resolve(
        base=base,
        head=head,
        base_runtime=base_runtime,
        head_runtime=head_runtime,
        zoo=repo / "model_zoo.yaml",
        cache=repo.parent / "cache",
        runtime=runtime,
    )


def built(side: Side, *models: str) -> tuple[Contender, ...]:
    """What is built of a side."""
    cache = side.zoo.parents[3] if side.kind == "commit" else side.zoo.parents[1] / "cache"
    return build.contenders(side, Selection(models=models), cache)[0]


# --- what a text stands for ----------------------------------------------------------------------


def test_working_tree_against_a_commit(repo: Path) -> None:
    """The base is read from the commit, the head from the tree as it is now, and a dirty tree says so.

    A model that comes as a file is built by nobody's code, and stays in the shared cache, built once for both.
    """
    first = git(repo, "rev-parse", "HEAD")
    (repo / "model_zoo.yaml").write_text(ZOO.replace("  tiny:", "  second:"), encoding="utf-8")
    (repo / "nets.py").write_text("depth = 3\n", encoding="utf-8")
    base, head = resolve(repo, "main")
    assert ("commit", first, False) == (base.kind, base.commit, base.dirty)
    assert ("tree", first, True) == (head.kind, head.commit, head.dirty)
    assert ("head: the working tree with its uncommitted changes (model_zoo.yaml and 1 more)",) == head.notes
    assert base.cache != head.cache
    (one,), (other,) = built(base), built(head)
    assert ("tiny/fp32/cpu-t1-b1", "second/fp32/cpu-t1-b1") == (one.case.id, other.case.id)
    assert repo.parent / "cache" == one.cache == other.cache
    assert isinstance(other.built, Artifact)
    assert one.built == dataclasses.replace(other.built, model="tiny")


@pytest.mark.parametrize("name", ["main", "current"])
def test_a_branch_comes_before_a_file_or_runtime_of_its_name(
    repo: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """An executable that a change adds under the base's name is neither run nor taken for an interpreter."""
    first = git(repo, "rev-parse", "HEAD")
    if name != "main":
        git(repo, "branch", name)
    script = repo / name
    script.write_text(f"#!/bin/sh\ntouch {repo}/executed\n", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.chdir(repo)
    base, _ = resolve(repo, name)
    assert ("commit", first) == (base.kind, base.commit)
    assert not (repo / "executed").exists()
    assert any(f"{name} is git's revision here, though there is" in note for note in base.notes)


def test_what_the_command_writes_is_no_change_of_the_tree(repo: Path) -> None:
    """Results, cache and reports inside the tree make it neither dirty nor its code another one; a module does both."""
    own = [repo / "bench/results", repo / "gate.json"]
    (own[0] / "gates").mkdir(parents=True)
    (own[0] / "gates/a.json").write_text("{}", encoding="utf-8")
    own[1].write_text("{}", encoding="utf-8")

    def found() -> tuple[Side, Side]:
        return sides.resolve(base="main", zoo=repo / "model_zoo.yaml", cache=repo / ".cache", own=own)

    for base, head in (found(), found()):  # the second time the cache holds worktrees
        assert (False, ()) == (head.dirty, head.notes)
        assert base.cache == head.cache
    (repo / "nets.py").write_text("depth = 3\n", encoding="utf-8")
    (repo / "README.md").write_text("two", encoding="utf-8")
    base, head = found()
    assert ("head: the working tree with its uncommitted changes (README.md and 1 more)",) == head.notes
    assert base.cache != head.cache


def test_a_branch_counts_where_the_tree_left_it(repo: Path) -> None:
    """What came to main in the meantime is not a change of this branch."""
    left = git(repo, "rev-parse", "HEAD")
    git(repo, "checkout", "--quiet", "-b", "work")
    commit(repo, {"work.txt": ""})
    git(repo, "checkout", "--quiet", "main")
    tip = commit(repo, {"main.txt": ""})
    git(repo, "checkout", "--quiet", "work")
    base, _ = resolve(repo, "main")
    assert left == base.commit
    assert (f"base: {left[:10]}, where this tree left main (now {tip[:10]})",) == base.notes
    assert tip == resolve(repo, tip)[0].commit
    assert (tip, git(repo, "rev-parse", "work")) == tuple(one.commit for one in resolve(repo, "main", "work"))


def test_two_runtimes_share_the_build(repo: Path) -> None:
    """The same artifacts on two interpreters: neither side is a commit of its own."""
    base, head = resolve(repo, None, base_runtime="current", head_runtime=sys.executable)
    assert {("tree", sys.executable)} == {(one.kind, one.python) for one in (base, head)}
    assert base.cache == head.cache
    assert base.runtime["version"] == head.runtime["version"]


def test_a_zoo_file_is_a_side(repo: Path) -> None:
    """Two zoo files of one tree: the code is the same, so that the artifacts are shared."""
    (repo / "other.yaml").write_text(ZOO, encoding="utf-8")
    base, head = resolve(repo, str(repo / "other.yaml"))
    assert ("zoo", repo / "other.yaml") == (base.kind, base.zoo)
    assert base.cache == head.cache


def test_cases_are_sides(repo: Path) -> None:
    """A case names its model, variant, target and threads; a batch of 1 may be omitted."""
    base, head = resolve(repo, "tiny/fp32/cpu-t1", "tiny/plain/cpu-t2-b1")
    assert ["tiny/fp32/cpu-t1-b1"] == [one.case.id for one in built(base)]
    assert ["tiny/plain/cpu-t2-b1"] == [one.case.id for one in built(head)]


@pytest.mark.parametrize(
    ("base", "head", "words"),
    [
        (None, None, "There is nothing to compare with: give --base"),
        ("nowhere", None, "'nowhere' is not a commit, branch or tag"),
        ("gone.yaml", None, "--base gone.yaml: there is no such zoo file"),
        ("tiny/fp32/cpu-t1", None, "a case can only be set against a case"),
    ],
)
def test_what_is_no_side_says_what_would_be(repo: Path, base: str | None, head: str | None, words: str) -> None:
    """Every mistake names the way out."""
    with pytest.raises(UsageError) as caught:
        resolve(repo, base, head)
    assert words in str(caught.value)


def test_a_runtime_on_a_runtime_is_refused(repo: Path) -> None:
    """Which of the two should measure is nobody's guess."""
    with pytest.raises(UsageError, match="measures itself: omit --head-runtime"):
        sides.resolve(
            base=None,
            head_python=sys.executable,
            head_runtime="current",
            zoo=repo / "model_zoo.yaml",
            cache=repo.parent / "cache",
        )


def test_a_case_with_a_wrong_target_lists_those_there_are(repo: Path) -> None:
    """The target of a case is its label, with its threads."""
    base, _ = resolve(repo, "tiny/fp32/cpu", "tiny/fp32/cpu-t1")
    with pytest.raises(UsageError, match="is not a case; a case is model/variant/target with its threads and batch"):
        built(base)


def test_outside_git_a_commit_cannot_be(repo: Path, tmp_path: Path) -> None:
    """A folder without git can still compare runtimes and zoo files."""
    zoo = tmp_path / "plain" / "model_zoo.yaml"
    zoo.parent.mkdir()
    zoo.write_text(ZOO, encoding="utf-8")
    with pytest.raises(UsageError, match=r"is not in a git checkout.*git says: not a git repository"):
        sides.resolve(base="main", zoo=zoo, cache=tmp_path / "cache")


# --- bases that cannot be read or built ------------------------------------------------------------


def test_a_base_without_a_zoo_names_the_commit_that_has_one(repo: Path) -> None:
    """Older commits may be from before the zoo."""
    git(repo, "checkout", "--quiet", "--orphan", "before")
    git(repo, "rm", "--quiet", "-r", "--force", ".")
    commit(repo, {"README.md": "nothing yet"})
    git(repo, "tag", "empty")
    with_zoo = commit(repo, {"model_zoo.yaml": ZOO})
    with pytest.raises(UsageError) as caught:
        resolve(repo, "empty")
    assert "has no model_zoo.yaml" in str(caught.value)
    assert f"It appears in {with_zoo[:7]}" in str(caught.value)


def test_a_base_of_another_zoo_schema_names_side_and_commit(repo: Path) -> None:
    """A zoo that this harness cannot read is neither a regression nor a pass."""
    later = commit(repo, {"model_zoo.yaml": ZOO.replace("version: 1", "version: 2")})
    (repo / "model_zoo.yaml").write_text(ZOO, encoding="utf-8")
    base, _ = resolve(repo, "HEAD")
    with pytest.raises(UsageError, match=rf"base HEAD \({later[:10]}\): .*version"):
        built(base)


def test_a_model_that_does_not_build_is_its_cases_refusal(repo: Path) -> None:
    """The other cases of that side go on."""
    more = "  broken: {source: onnx, id: broken.onnx}\n"
    commit(repo, {"model_zoo.yaml": ZOO + more, "broken.onnx": "no model"})
    base, _ = resolve(repo, "main")
    found = {one.case.model.name: one.built for one in built(base)}
    assert isinstance(found["tiny"], Artifact)
    assert isinstance(found["broken"], Refusal)
    assert Status.FAILED is found["broken"].status


def test_a_selection_that_the_base_does_not_have_is_said_of_the_base(repo: Path) -> None:
    """The names are those of that side's zoo."""
    base, _ = resolve(repo, "main")
    with pytest.raises(UsageError, match=r"base main .*no model matches 'nope'; available: tiny"):
        built(base, "nope")


def test_code_that_does_not_run_is_reported_with_its_last_stderr_lines(repo: Path) -> None:
    """A tree can hold a module that breaks the side's process: no hang, and the reason is there."""
    commit(repo, {"yaml.py": "raise RuntimeError('broken on purpose')"})
    base, _ = resolve(repo, "main")
    with pytest.raises(UsageError, match=r"base main .*could not be built with .*broken on purpose"):
        built(base)


# --- code and packages -----------------------------------------------------------------------------


def test_only_code_that_differs_parts_the_caches(repo: Path) -> None:
    """A README changes no artifact; a module may change every one that is built by a project's own code."""
    (repo / "README.md").write_text("two", encoding="utf-8")
    base, head = resolve(repo, "main")
    assert repo.parent / "cache" == base.cache == head.cache
    (repo / "nets.py").write_text("depth = 3\n", encoding="utf-8")
    base, head = resolve(repo, "main")
    assert base.cache != head.cache
    assert {"sides"} == {one.cache.parent.name for one in (base, head) if one.cache}


def test_helpers_of_a_model_are_the_sides_own(repo: Path) -> None:
    """The network's file stays and a module that it imports changes: each side has its own weights all the same."""
    if importlib.util.find_spec("torch") is None:  # the sides' processes import it
        pytest.skip("torch is not installed")
    net = "import torch, helper\n\ndef build():\n    return torch.nn.Linear(4, helper.SIZE)\n"
    model = (
        "  net: {source: torch, id: nets:build, weights: seeded, data: random,\n"
        "        inputs: {x: {dtype: float32, shape: [batch, 4]}}}\n"
    )
    commit(repo, {"nets.py": net, "helper.py": "SIZE = 2\n", "model_zoo.yaml": ZOO + model})
    (repo / "helper.py").write_text("SIZE = 3\n", encoding="utf-8")
    base, head = (built(side, "net")[0] for side in resolve(repo, "main"))
    assert isinstance(base.built, Artifact), base.built
    assert isinstance(head.built, Artifact), head.built
    assert base.cache != head.cache
    assert base.built.weights.digest != head.built.weights.digest


def test_other_runtimes_in_the_requirements_measure_the_sides(repo: Path) -> None:
    """A pull request that bumps onnxruntime is measured on both releases, whatever is installed here."""
    commit(repo, {"requirements.txt": "onnxruntime==1.22.1\n"})
    (repo / "requirements.txt").write_text("onnxruntime==1.23.0  # bumped\n", encoding="utf-8")
    asked: list[str] = []
    real = runtimes.resolve

    def runtime(spec: str, root: Path, **_: object) -> runtimes.Runtime:
        asked.append(spec)
        return dataclasses.replace(real("current", root), spec=spec)

    base, head = resolve(repo, "main", runtime=runtime)
    assert ["onnxruntime==1.22.1", "onnxruntime==1.23.0"] == asked
    assert sys.executable == base.python == head.python
    assert "base: measured on" in base.notes[0]


def test_a_pin_that_is_not_at_hand_measures_both_sides(repo: Path) -> None:
    """Other code on the release that the project ships with, not on the one that happens to be installed here."""
    commit(repo, {"requirements.txt": "onnxruntime==1.22.1\n"})
    asked: list[str] = []
    real = runtimes.resolve

    def runtime(spec: str, root: Path, **_: object) -> runtimes.Runtime:
        asked.append(spec)
        return dataclasses.replace(real("current", root), spec=spec)

    base, head = resolve(repo, "main", runtime=runtime)
    assert ["onnxruntime==1.22.1"] == asked
    assert base.worker == head.worker


def test_ranges_that_the_runtime_at_hand_meets_install_nothing(repo: Path) -> None:
    """Raising a lower bound below what is installed changes nothing."""
    found = resolve(repo, "main")[0].runtime
    commit(repo, {"requirements.txt": f"{found['package']}>=1.1\n"})
    (repo / "requirements.txt").write_text(f"{found['package']}>=1.2\n", encoding="utf-8")
    base, head = resolve(repo, "main")
    assert base.worker == head.worker


def test_other_packages_give_a_side_its_own_environment(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit whose packages are not at hand is built with its own; the side that they are at hand for is not."""
    commit(repo, {"requirements.txt": "onnx==1.0.0\n"})
    (repo / "requirements.txt").write_text("onnx>=1.18\n", encoding="utf-8")
    uv = fake_uv(tmp_path / "uv", monkeypatch, {"onnx": "1.0.0"})
    base, head = resolve(repo, "main")
    assert (uv.python, sys.executable) == (base.python, head.python)
    (asked,) = uv.asked
    assert "onnx==1.0.0" == asked[0]
    assert "onnx" not in asked
    assert "1.0.0" == base.versions["onnx"]
    assert base.cache != head.cache
    assert "requirements.txt asks for onnx==1.0.0" in base.notes[0]


def test_lock_files_that_differ_are_pointed_out(repo: Path) -> None:
    """Nothing is installed from them, so that silence would hide a change."""
    commit(repo, {"uv.lock": "one"})
    (repo / "uv.lock").write_text("two", encoding="utf-8")
    _, head = resolve(repo, "main")
    assert "uv.lock differs between the sides" in head.notes[-1]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", '[tool.poetry.dependencies]\nonnxruntime = "^{}"\n'),
        ("pyproject.toml", '[project.optional-dependencies]\ngpu = ["onnxruntime-gpu=={}"]\n'),
        ("requirements/ci.txt", "onnxruntime == {}  # as in production\n"),
        ("environment.yml", "dependencies:\n  - onnxruntime={}\n"),
        ("Dockerfile", "RUN pip install 'onnxruntime>={}'\n"),
    ],
)
def test_a_bump_in_a_file_that_nobody_reads_is_pointed_out(repo: Path, name: str, text: str) -> None:
    """Both sides run on what is installed here, so that a pass would say nothing of the bump."""
    commit(repo, {name: text.format("1.22.1")})
    (repo / name).write_text(text.format("1.23.0"), encoding="utf-8")
    _, head = resolve(repo, "main")
    assert f"{name} names onnxruntime" in head.notes[-1]
    assert "1.22.1" in head.notes[-1]
    assert "1.23.0" in head.notes[-1]
    assert "--base-runtime" in head.notes[-1]
    commit(repo, {"README.md": "two"})
    assert not [note for note in resolve(repo, "HEAD")[1].notes if "is not read" in note]


def test_requirements_are_read_from_either_file(tmp_path: Path) -> None:
    """The project's own table wins, markers and harness itself are left out, and files include others."""
    assert () == declared(tmp_path).requirements
    (tmp_path / "more.txt").write_text("# a comment\nNumPy >= 2  # here\n", encoding="utf-8")
    (tmp_path / "requirements.txt").write_text("-r more.txt\nonnx==1.18\nonnxruntime-gpu==1.2\n", encoding="utf-8")
    found = declared(tmp_path)
    assert (("numpy>=2", "onnx==1.18"), "onnxruntime-gpu==1.2") == (found.requirements, found.runtime)
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["onnx-harness", "timm>=1", "pywin32; sys_platform == \'nowhere\'"]\n'
        '[project.optional-dependencies]\nzoo = ["torch==2.13"]\ndev = ["pytest"]\n',
        encoding="utf-8",
    )
    assert (("timm>=1", "torch==2.13"), "") == (declared(tmp_path).requirements, declared(tmp_path).runtime)


def test_options_and_archives_of_requirements(tmp_path: Path) -> None:
    """Options go to pip with whole paths, archives are compared as they stand, and the project itself is left out."""
    text = "-e .\n./local\n--index-url https://example.com/simple\n-c pins.txt\ngit+https://example.com/x\n"
    (tmp_path / "requirements.txt").write_text(text, encoding="utf-8")
    (tmp_path / "pins.txt").write_text("numpy==2.1\n", encoding="utf-8")
    found = declared(tmp_path)
    assert ("git+https://example.com/x",) == found.requirements
    options = ("--index-url", "https://example.com/simple", "-c", str(tmp_path / "pins.txt"))
    assert (*options, "git+https://example.com/x") == found.arguments


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("requirements.txt", "onnx ==== 1\n", "'onnx ==== 1' is not a requirement"),
        ("requirements.txt", "onnxruntime\nonnxruntime-gpu\n", "which overwrite each other"),
        ("requirements.txt", "-r gone.txt\n", "gone.txt cannot be read"),
        ("pyproject.toml", "[project\n", "pyproject.toml cannot be read"),
    ],
)
def test_requirements_that_cannot_be_read_name_the_file(tmp_path: Path, name: str, text: str, words: str) -> None:
    """A base with broken requirements is not compared as if it had none."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        declared(tmp_path)
    assert words in str(caught.value)


def test_what_is_unmet() -> None:
    """Missing, too old, and what cannot be looked into."""
    installed = {"numpy": "2.1", "Scikit_Learn": "1.5"}
    asked = ["numpy>=2", "numpy<2", "scikit-learn", "torch", "git+https://example.com/x", "numpy @ file:///x"]
    assert ("numpy<2", "torch", "git+https://example.com/x", "numpy @ file:///x") == unmet(asked, installed)


def test_the_copy_of_harness_holds_nothing_else(tmp_path: Path) -> None:
    """What lies beside an installed harness must not come before a side's own packages."""
    found = code.copy_of_harness(tmp_path)
    assert {"harness", "meta.json"} == {path.name for path in found.iterdir()}
    assert found == code.copy_of_harness(tmp_path)
    assert not list(found.rglob("*-pytest-*"))


def test_bytecode_of_the_copy_is_used(tmp_path: Path) -> None:
    """A side compiles nothing of harness again: what Python left beside the sources still fits those of the copy."""
    compileall.compile_file(code.__file__, quiet=2)
    copied = code.copy_of_harness(tmp_path) / "harness" / "gate" / "sides" / "code.py"
    bytecode = Path(importlib.util.cache_from_source(str(copied))).read_bytes()
    source = copied.stat()
    assert [0, int(source.st_mtime) & 0xFFFFFFFF, source.st_size] == list(struct.unpack("<III", bytecode[4:16]))


def test_harness_itself_is_built_by_its_own_code(tmp_path: Path) -> None:
    """Only the parts of it that build count as its code."""
    for name in ("build/pipeline.py", "cli/__init__.py"):
        path = tmp_path / "harness" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one", encoding="utf-8")
    assert code.is_harness(tmp_path)
    before = code.digest(tmp_path, tmp_path / "model_zoo.yaml")
    (tmp_path / "harness" / "cli" / "__init__.py").write_text("two", encoding="utf-8")
    assert before == code.digest(tmp_path, tmp_path / "model_zoo.yaml")
    (tmp_path / "harness" / "build" / "pipeline.py").write_text("two", encoding="utf-8")
    assert before != code.digest(tmp_path, tmp_path / "model_zoo.yaml")
