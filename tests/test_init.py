"""harness.init: files for somebody else's repository, and nothing of theirs changed."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from onnx import helper

from harness import zoo
from harness.errors import StoreError, UsageError, ZooError
from harness.init import IGNORED, InitRequest, init, models, requirement, settings
from harness.records import InputSpec
from tests import builders

ROOT = Path(__file__).parent.parent
TORCH = ("net:build",)
IMAGE = ("image=float32[batch,3,8,8]",)


def git(folder: Path, *arguments: str) -> None:
    """Run git."""
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty git repository on the branch trunk, without a commit."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    git(folder, "init", "--quiet", "-b", "trunk")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file outside .git."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def configuration(folder: Path) -> dict[str, Any]:
    """The asv.conf.json that was written."""
    content: dict[str, Any] = json.loads((folder / "asv.conf.json").read_text(encoding="utf-8"))
    return content


def test_an_empty_repository_gets_an_example(repository: Path) -> None:
    """Every file that is needed, and a zoo that reads."""
    written = init(InitRequest(folder=repository))
    made = {
        "asv.conf.json", "benchmarks/__init__.py", "benchmarks/sweep.py", ".github/workflows/harness.yml",
        "model_zoo.yaml", "tiny_model.py",
    }  # fmt: skip
    assert made == set(written.made)
    assert () == written.kept
    assert made | {".gitignore"} == set(contents(repository))
    loaded = zoo.load(repository / "model_zoo.yaml")
    assert ("torch", "tiny_model:build") == (loaded.models["tiny"].source, loaded.models["tiny"].id)
    assert written.commands[0].startswith("git add asv.conf.json")
    assert "asv publish" in written.commands


def test_nothing_is_ever_overwritten(repository: Path) -> None:
    """Files that are there stay, byte by byte, whatever is in them; a second time nothing is left to do."""
    (repository / "benchmarks").mkdir()
    (repository / "benchmarks/sweep.py").write_text("theirs", encoding="utf-8")
    (repository / "tiny_model.py").write_text("theirs too", encoding="utf-8")
    written = init(InitRequest(folder=repository))
    assert {"benchmarks/sweep.py", "tiny_model.py"} == set(written.kept)
    assert b"theirs" == contents(repository)["benchmarks/sweep.py"]
    before = contents(repository)
    again = init(InitRequest(folder=repository, models=("other.onnx",)))
    assert () == again.made
    assert () == again.ignored
    assert {"model_zoo.yaml", "asv.conf.json"} <= set(again.kept)
    assert "git add" not in " ".join(again.commands)
    assert any("other.onnx" in note for note in again.notes)
    assert before == contents(repository)


def test_gitignore_is_added_to_once(repository: Path) -> None:
    """Their lines stay, a last line without an end is not joined to ours, and what they have is not repeated."""
    (repository / ".gitignore").write_text("*.log\nhtml", encoding="utf-8")
    written = init(InitRequest(folder=repository))
    assert tuple(line for line in IGNORED if line != "/html/") == written.ignored
    lines = (repository / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert ["*.log", "html", *written.ignored] == lines


def test_an_onnx_file_is_found_with_its_inputs(repository: Path) -> None:
    """The zoo says what the file takes; other files are listed for the person to choose from."""
    builders.tiny_conv(repository / "nets/my net.onnx")
    builders.one_node(repository / "nets/second.onnx")
    written = init(InitRequest(folder=repository))
    loaded = zoo.load(repository / "model_zoo.yaml")
    assert ["my_net"] == list(loaded.models)
    model = loaded.models["my_net"]
    assert (InputSpec(name="x", dtype="float32", shape=("batch", 1, 8, 8)),) == model.inputs
    assert "# second: {source: onnx" in (repository / "model_zoo.yaml").read_text(encoding="utf-8")
    assert "'nets/my net.onnx'" in written.commands[0]
    assert "torch" not in configuration(repository)["install_command"][0]
    assert "tiny_model.py" not in written.made


def test_open_axes_get_names_and_sizes(repository: Path) -> None:
    """The first is the batch, whatever the file calls it; the others get a size, and a note says it is a guess."""
    node = helper.make_node("Relu", ["x"], ["y"], "relu")
    ends = [builders.value("x", ["N", "seq len", 4, "time"])], [builders.value("y", ["N", "seq len", 4, "time"])]
    builders.save(repository / "open.onnx", [node], *ends)
    written = init(InitRequest(folder=repository))
    model = zoo.load(repository / "model_zoo.yaml").models["open"]
    assert ("batch", "axis1", 4, "time") == model.inputs[0].shape
    assert {"axis1": models.GUESS, "time": models.GUESS} == dict(model.dims)
    assert any("dims" in note for note in written.notes)


def test_models_that_are_named(repository: Path) -> None:
    """A torch callable and a file side by side, each with what it needs, committed together."""
    (repository / "net.py").write_text("def build(): ...", encoding="utf-8")
    builders.tiny_conv(repository / "tiny.onnx")
    written = init(InitRequest(folder=repository, models=(*TORCH, str(repository / "tiny.onnx")), inputs=IMAGE))
    loaded = zoo.load(repository / "model_zoo.yaml")
    assert ["net", "tiny"] == list(loaded.models)
    assert "trained" == loaded.models["net"].weights.kind
    assert "'torch" in configuration(repository)["install_command"][0]
    added = shlex.split(written.commands[0])
    assert {"net.py", "tiny.onnx"} <= set(added)


@pytest.mark.parametrize(
    ("named", "inputs", "said"),
    [
        (("nowhere.onnx",), (), "no file"),
        (("broken.onnx",), (), "truncated"),
        (("../outside.onnx",), (), "outside the checkout"),
        (("absent:build",), IMAGE, "no module absent"),
        (("net:build",), (), "--input"),
        (("net",), IMAGE, "module:callable"),
        (("tiny.onnx",), IMAGE, "--input is for a torch model"),
        (("net:build",), ("image=float32[batch,0]",), "name=dtype"),
        (("net:build",), ("image:float32",), "name=dtype"),
        (("tiny.onnx", "sub/tiny.onnx"), (), "two models"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    repository: Path, named: tuple[str, ...], inputs: tuple[str, ...], said: str
) -> None:
    """With what is wrong and how to go on."""
    (repository / "net.py").write_text("def build(): ...", encoding="utf-8")
    builders.tiny_conv(repository / "tiny.onnx")
    builders.tiny_conv(repository / "sub/tiny.onnx")
    builders.tiny_conv(repository.parent / "outside.onnx")
    builders.truncated(repository / "broken.onnx")
    before = contents(repository)
    with pytest.raises(UsageError, match=said):
        init(InitRequest(folder=repository, models=named, inputs=inputs))
    assert before == contents(repository)


def test_a_folder_outside_git_and_one_that_is_missing(tmp_path: Path) -> None:
    """Asv measures commits: the message says what to do first."""
    with pytest.raises(UsageError, match="git init"):
        init(InitRequest(folder=tmp_path))
    with pytest.raises(UsageError, match="is not a folder"):
        init(InitRequest(folder=tmp_path / "absent"))


def test_files_of_theirs_that_are_broken(repository: Path) -> None:
    """A zoo with mistakes, an unreadable asv.conf.json or pyproject.toml: said, and nothing is written."""
    zoo_file, conf, toml = (repository / name for name in ("model_zoo.yaml", "asv.conf.json", "pyproject.toml"))
    for path, text, error in (
        (zoo_file, "version: 1\nmodells: {}\n", ZooError),
        (conf, "{", UsageError),
        (toml, "[[", UsageError),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(error):
            init(InitRequest(folder=repository))
        assert {path.name} == set(contents(repository))
        path.unlink()


def test_a_file_in_the_way_of_a_folder(repository: Path) -> None:
    """What the operating system refuses is an error of harness, with the path."""
    (repository / "benchmarks").write_text("a file", encoding="utf-8")
    with pytest.raises(StoreError, match="benchmarks"):
        init(InitRequest(folder=repository))
    assert b"a file" == contents(repository)["benchmarks"]


def test_an_asv_configuration_of_theirs_is_kept(repository: Path) -> None:
    """Its comments are understood, the suite goes into its folder, and what it lacks is said."""
    (repository / "asv.conf.json").write_text(
        '{"benchmark_dir": "asv_bench", // ours\n "version": 1}', encoding="utf-8"
    )
    written = init(InitRequest(folder=repository))
    assert "asv_bench/sweep.py" in written.made
    assert any(settings.PLUGIN in note for note in written.notes)


def test_a_package_is_installed_from_each_commit(repository: Path) -> None:
    """A pyproject.toml with a project is built as a wheel; one that only configures tools is not."""
    toml = repository / "pyproject.toml"
    toml.write_text("[tool.ruff]\nline-length = 100\n", encoding="utf-8")
    assert [] == settings.configuration(repository, ["h"])["build_command"]
    toml.write_text('[project]\nname = "theirs"\nversion = "1"\n', encoding="utf-8")
    conf = settings.configuration(repository, ["h"])
    assert "{build_dir}" in conf["build_command"][0]
    assert "{wheel_file} h" in conf["install_command"][0]


def test_the_configuration_fits_the_repository(repository: Path) -> None:
    """Its branch, its page on GitHub, and its root where the files go into a subfolder."""
    git(repository, "remote", "add", "origin", "git@github.com:some-one/their.net.git")
    sub = repository / "bench"
    sub.mkdir()
    written = init(InitRequest(folder=sub))
    conf = configuration(sub)
    assert ["trunk"] == conf["branches"]
    assert ".." == conf["repo"]
    assert "https://github.com/some-one/their.net/commit/" == conf["show_commit_url"]
    assert "../.github/workflows/harness.yml" in written.made
    workflow = yaml.safe_load((repository / ".github/workflows/harness.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["benchmark"]
    assert "bench" == job["defaults"]["run"]["working-directory"]
    assert "bench/results\nbench/html\n" == job["steps"][-1]["with"]["path"]


def gate_steps(folder: Path) -> list[dict[str, Any]]:
    """The steps of the gate's workflow after the checkout, which leaves no token and has the whole history."""
    workflow = yaml.safe_load((folder / ".github/workflows/gate.yml").read_text(encoding="utf-8"))
    assert ["trunk"] == workflow[True]["push"]["branches"]
    checkout, *rest = list[dict[str, Any]](workflow["jobs"]["gate"]["steps"])
    assert (0, False) == (checkout["with"]["fetch-depth"], checkout["with"]["persist-credentials"])
    assert ("pull-requests" in workflow["permissions"]) == ("with" in rest[0] and "fail-on" in rest[0]["with"])
    return rest


def test_a_gate_in_ci_is_the_action_where_harness_has_one(repository: Path) -> None:
    """Harness of a repository on GitHub brings its Action, at the same commit; only the gate is written."""
    written = init(
        InitRequest(
            folder=repository, ci=("gate",), harness="onnx-harness @ git+https://github.com/some-one/h.git@0a1b2c3"
        )
    )
    assert ".github/workflows/gate.yml" in written.made
    assert ".github/workflows/harness.yml" not in written.made
    assert any("for the first weeks let it only warn" in note for note in written.notes)
    (judge,) = gate_steps(repository)
    assert "some-one/h@0a1b2c3" == judge["uses"]
    assert ("model_zoo.yaml", "regression") == (judge["with"]["zoo"], judge["with"]["fail-on"])
    assert "onnx-harness @ git+https://github.com/some-one/h.git@0a1b2c3" in judge["with"]["install"]


def test_a_gate_in_ci_runs_harness_from_elsewhere(repository: Path) -> None:
    """From an index there is no Action: the same gate as commands, in a subfolder, too; both workflows, or none."""
    sub = repository / "a bench"
    sub.mkdir()
    written = init(InitRequest(folder=sub, ci=("gate", "sweep"), harness="onnx-harness==1.0"))
    assert {"../.github/workflows/gate.yml", "../.github/workflows/harness.yml"} <= set(written.made)
    steps = gate_steps(repository)
    assert "cd 'a bench' && python -m pip install" in next(step["run"] for step in steps if "run" in step)
    (gate,) = [step for step in steps if step.get("name") == "Gate"]
    assert ("a bench/model_zoo.yaml", "regression") == (gate["env"]["ZOO"], gate["env"]["FAIL_ON"])
    assert not re.search("@[A-Z]+@", (repository / ".github/workflows/gate.yml").read_text(encoding="utf-8"))
    other = repository / "other"
    other.mkdir()
    assert not [name for name in init(InitRequest(folder=other, ci=("none",))).made if ".github" in name]


@pytest.mark.parametrize(
    ("ci", "said"), [(("gates",), "did you mean 'gate'"), (("none", "gate"), "none and others exclude each other")]
)
def test_workflows_that_do_not_exist_are_named(repository: Path, ci: tuple[str, ...], said: str) -> None:
    """Nothing is written then."""
    with pytest.raises(UsageError, match=said):
        init(InitRequest(folder=repository, ci=ci))
    assert [] == list(repository.glob("*.json"))


def test_the_workflow_types_what_a_person_would(repository: Path) -> None:
    """The same commands as are printed, valid YAML, and no placeholder left."""
    written = init(InitRequest(folder=repository, harness="onnx-harness @ git+https://example.org/h.git@abc"))
    text = (repository / ".github/workflows/harness.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    steps = [step["run"] for step in workflow["jobs"]["benchmark"]["steps"] if "run" in step]
    assert ["trunk"] == workflow[True]["push"]["branches"]  # YAML 1.1 reads `on` as true
    assert "'onnx-harness @ git+https://example.org/h.git@abc'" in steps[0]
    typed = [command.replace("HEAD", '"$GITHUB_SHA"') for command in written.commands if command.startswith("asv")]
    assert typed[:3] == steps[1:]
    assert not any("no other machine" in note for note in written.notes)


def test_the_suite_is_the_one_of_this_repository(repository: Path) -> None:
    """One text: what other repositories get is what is measured here."""
    init(InitRequest(folder=repository))
    assert (ROOT / "benchmarks/suite/sweep.py").read_bytes() == contents(repository)["benchmarks/sweep.py"]
    here = json.loads((ROOT / "asv.conf.json").read_text(encoding="utf-8"))
    there = configuration(repository)
    for key in ("plugins", "results_dir", "html_dir", "environment_type", "regressions_thresholds"):
        assert here[key] == there[key], key
    assert here["matrix"]["env_nobuild"] == there["matrix"]["env_nobuild"]


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ({"url": "file:///some/folder%20x", "dir_info": {"editable": True}}, "/some/folder x"),
        (
            {"url": "https://h.org/h.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "onnx-harness @ git+https://h.org/h.git@abc",
        ),
        ({"url": "https://h.org/h.whl", "archive_info": {}}, "onnx-harness @ https://h.org/h.whl"),
    ],
)
def test_where_harness_came_from(origin: dict[str, Any], expected: str) -> None:
    """A folder, a repository at a commit, a file: what pip recorded is what pip is asked for."""
    assert expected == requirement.from_direct_url(origin)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("onnx-harness==1.0", "onnx-harness[zoo]==1.0"),
        ("onnx-harness", "onnx-harness[zoo]"),
        ("onnx-harness @ git+https://h.org/h.git", "onnx-harness[zoo] @ git+https://h.org/h.git"),
        ("/a/folder", "/a/folder[zoo]"),
        ("onnx-harness[zoo]", "onnx-harness[zoo]"),
        ("git+https://h.org/h.git", "git+https://h.org/h.git"),
    ],
)
def test_an_extra_is_put_where_pip_wants_it(asked: str, expected: str) -> None:
    """After the name, or after a path."""
    assert expected == requirement.with_extra(asked, "zoo")


def test_a_zoo_of_theirs_says_what_is_needed(repository: Path) -> None:
    """Hub models need the extra; .onnx files need nothing more."""
    init(InitRequest(folder=repository))
    (repository / "asv.conf.json").unlink()
    init(InitRequest(folder=repository, harness="onnx-harness==1.0"))
    assert "'onnx-harness[zoo]==1.0'" in configuration(repository)["install_command"][0]


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asv installs from the environment's folder, where a relative path would mean another one."""
    (tmp_path / "checkout").mkdir()
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path / "checkout") == requirement.own("./checkout")
    assert "onnx-harness==9" == requirement.own("onnx-harness==9")


def test_links_are_not_followed(repository: Path) -> None:
    """A dangling link is a file of theirs: nothing is written through it."""
    (repository / "tiny_model.py").symlink_to(repository.parent / "elsewhere.yml")
    written = init(InitRequest(folder=repository))
    assert "tiny_model.py" in written.kept
    assert not (repository.parent / "elsewhere.yml").exists()
