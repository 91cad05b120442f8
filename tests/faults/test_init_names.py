"""What `init` writes means what it says, whatever branches, folders and model files are called."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import zoo
from harness.errors import UsageError
from harness.flow import plan
from harness.init import InitRequest, init, texts, workflows
from harness.init import settings as settings_of
from harness.init.workflows import pattern, scalar
from tests import builders

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)
BRANCHES = ("a'b$(x)-#{}&\"é!%", "true", "1.0", "#x", "x`id`;rm", "null", "@FOLDER@", "a+b", "!x")
FILES = ("null", "1.5", "a b", "ü", "-x", "yes", "a,b", "a'b\"c", "con", "[x]", "#", "a:b", "~", "0x10", "e\u202ef")


@settings(max_examples=100)
@given(NAMES | st.sampled_from(BRANCHES))
def test_any_text_is_itself_in_yaml(text: str) -> None:
    """In a list, and after a key."""
    assert [text] == yaml.safe_load(f"[{scalar(text, '[{}]')}]")
    assert {"a": text} == yaml.safe_load(f"a: {scalar(text, 'a: {}')}")


@pytest.mark.parametrize(("branch", "expected"), [("main", "main"), ("a+b", r"a\+b"), ("!x", r"\!x"), ("x!", "x!")])
def test_a_branch_is_itself_in_a_filter(branch: str, expected: str) -> None:
    """Of the characters that mean something there, git allows two."""
    assert expected == pattern(branch)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in a folder whose name means something in YAML; not yet on any branch."""
    folder = tmp_path_factory.mktemp("names") / "a: {b} #c"
    folder.mkdir()
    subprocess.run(["git", "-C", str(folder), "init", "--quiet"], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_branch_of_any_name_is_measured(checkout: Path, branch: str) -> None:
    """Workflow and asv's configuration are read as they were meant."""
    from asv.config import Config

    command = ["git", "-C", str(checkout), "symbolic-ref", "HEAD", f"refs/heads/{branch}"]
    subprocess.run(command, check=True, capture_output=True)
    conf = settings_of.configuration(checkout, ["onnx-harness"])
    wanted = texts(checkout, checkout, conf, ["onnx-harness"], (workflows.SWEEP,))
    workflow: Any = yaml.safe_load(wanted[workflows.FILES[workflows.SWEEP]])
    assert [pattern(branch)] == workflow[True]["push"]["branches"]  # YAML takes `on` for true
    (checkout / "asv.conf.json").write_text(wanted["asv.conf.json"], encoding="utf-8")
    assert [branch] == Config.load(str(checkout / "asv.conf.json")).branches
    (checkout / "asv.conf.json").unlink()


@pytest.mark.parametrize("names", [FILES[:5], FILES[5:11], FILES[11:]], ids=["words", "signs", "others"])
def test_model_files_of_any_name_are_planned(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Each gets a name that the zoo takes, and is found below it."""
    subprocess.run(["git", "-C", str(tmp_path), "init", "--quiet"], check=True, capture_output=True)
    for name in names:
        builders.one_node(tmp_path / f"{name}.onnx")
    init(InitRequest(folder=tmp_path, models=tuple(f"{name}.onnx" for name in names)))
    found = zoo.load(tmp_path / "model_zoo.yaml")
    assert sorted(f"{name}.onnx" for name in names) == sorted(Path(model.id).name for model in found.models.values())
    planned = plan.plan(found, plan.Selection()).cases
    assert set(found.models) == {case.model.name for case in planned}


@pytest.mark.parametrize("inside", ["a\nb", "a\u2028b", "${{ secrets.A }}", "a\x1bb"])
def test_a_folder_that_a_workflow_cannot_name_is_refused(inside: str) -> None:
    """A line break ends a list of paths, and the runner puts the value of an expression in its place, quoted or not."""
    with pytest.raises(UsageError, match="a workflow cannot name the folder"):
        workflows.words(branch="main", inside=inside, packages=["."], requirement="onnx-harness", zoo="zoo.yaml")
