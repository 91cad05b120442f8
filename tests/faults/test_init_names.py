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
from harness.flow import plan
from harness.init import InitRequest, init
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


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_branch_of_any_name_is_measured(tmp_path: Path, branch: str) -> None:
    """Workflow, asv and zoo are read as they were meant; each file's name is a model's."""
    from asv.config import Config

    folder = tmp_path / "a: {b} #c"
    folder.mkdir()
    for command in (("init", "--quiet"), ("symbolic-ref", "HEAD", f"refs/heads/{branch}")):
        subprocess.run(["git", "-C", str(folder), *command], check=True, capture_output=True)
    name = FILES[BRANCHES.index(branch)]
    builders.one_node(folder / f"{name}.onnx")
    init(InitRequest(folder=folder, models=(f"{name}.onnx",)))
    workflow: Any = yaml.safe_load((folder / ".github" / "workflows" / "harness.yml").read_text(encoding="utf-8"))
    assert [pattern(branch)] == workflow[True]["push"]["branches"]  # YAML takes `on` for true
    assert [branch] == Config.load(str(folder / "asv.conf.json")).branches
    found = zoo.load(folder / "model_zoo.yaml")
    assert [f"{name}.onnx"] == [Path(model.id).name for model in found.models.values()]
    assert plan.plan(found, plan.Selection()).cases


@pytest.mark.parametrize("name", FILES[len(BRANCHES) :])
def test_a_model_file_of_any_name_is_planned(tmp_path: Path, name: str) -> None:
    """It gets a name that the zoo takes."""
    subprocess.run(["git", "-C", str(tmp_path), "init", "--quiet"], check=True, capture_output=True)
    builders.one_node(tmp_path / f"{name}.onnx")
    init(InitRequest(folder=tmp_path, models=(f"{name}.onnx",)))
    assert plan.plan(zoo.load(tmp_path / "model_zoo.yaml"), plan.Selection()).cases
