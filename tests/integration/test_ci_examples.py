"""action.yml and docs/ci: parsed, their structure checked, and their commands run on a small repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.gate.outputs.markdown import MARKER
from harness.measure import coordinator, usual_bursts
from tests import builders
from tests.conftest import lend
from tests.test_provenance import git

ROOT = Path(__file__).resolve().parent.parent.parent
ZOO = """
version: 1
defaults: {variants: [small], targets: [cpu], threads: [1], batch: [1], processes: 2, time_per_case: 0.1, ci_width: 5%}
variants:
  small: {precision: float16, steps: [export, cast: {to: float16}]}
targets:
  cpu: {provider: cpu}
models:
  tiny: {source: onnx, id: tiny.onnx}
"""
CASE = "tiny/small/cpu-t1-b1"
EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the commands are bash's")


def document(path: str) -> dict[Any, Any]:
    """A YAML file of the repository."""
    loaded = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


@dataclass(slots=True)
class Runner:
    """As much of a CI machine as the examples use: a clone, and `harness`, `python` and `gh` on the path."""

    folder: Path
    clone: Path
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def bash(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script as GitHub does: it stops at the first error."""
        ours = {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "RUNNER_TEMP": str(self.folder / "temp"),
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_REPOSITORY": "owner/small",
            "GITHUB_BASE_REF": "main",
            "GITHUB_JOB": "gate",
            "GITHUB_EVENT_PATH": str(self.folder / "event.json"),
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "GITHUB_ENV": str(self.folder / "env"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md"),
        }
        outside = {name: value for name, value in os.environ.items() if not name.startswith("HARNESS_")}
        ours[coordinator.FLOOR_BUDGET] = os.environ[coordinator.FLOOR_BUDGET]
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.clone,
            env={**outside, **ours, **self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def action(self, **inputs: str) -> tuple[int, str]:
        """Run the action's own commands; what only GitHub can do is left out. Returns its exit code and its output."""
        action = document("action.yml")
        given = {name: str(known.get("default", "")) for name, known in action["inputs"].items()}
        assert set(inputs) <= set(given)
        given |= {"install": "true", **inputs}
        said, code = "", 0
        for step in action["runs"]["steps"]:
            if "uses" in step:
                continue
            assert "bash" == step["shell"]
            environment = {name: self.value(text, given) for name, text in step.get("env", {}).items()}
            (self.folder / "output").write_text("", encoding="utf-8")
            done = self.bash(step["run"], **environment)
            said += done.stdout + done.stderr
            lines = (self.folder / "output").read_text(encoding="utf-8").splitlines()
            self.outputs[step.get("id", "")] = dict(line.split("=", 1) for line in lines)
            assert step["name"] == "Verdict" or 0 == done.returncode, done.stderr
            code = done.returncode
        return code, said

    def value(self, text: str, inputs: dict[str, str]) -> str:
        """A value with GitHub's expressions filled in; one that is not known fails the test."""

        def known(found: re.Match[str]) -> str:
            parts = found[1].split(".")
            if parts[0] == "inputs":
                return inputs[parts[1]]
            if parts[0] == "steps":
                assert "outputs" == parts[2]
                return self.outputs[parts[1]].get(parts[3], "")
            return {
                "runner.os": "Linux",
                "runner.arch": "X64",
                "github.token": "a-token",
                "github.event.pull_request.number": "7",
                "hashFiles(inputs.zoo)": "zoo",
                "hashFiles('**/pyproject.toml', '**/requirements*.txt', '**/*.lock')": "locks",
            }[found[1]]

        return EXPRESSION.sub(known, text)

    def commit(self, message: str) -> None:
        """Commit everything on the pull request's branch."""
        git(self.clone, "add", ".")
        git(self.clone, "commit", "-m", message)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, copied: Path) -> Path:
    """A remote with one commit on main, its clone, the programs, and a cache with a copy of harness.

    The cache stays from test to test, as it does between the jobs of a CI.
    """
    folder = tmp_path_factory.mktemp("machine")
    lend(copied, folder / ".cache" / "onnx-harness")
    remote = folder / "remote"
    remote.mkdir()
    builders.tiny_conv(remote / "tiny.onnx")
    (remote / "model_zoo.yaml").write_text(ZOO, encoding="utf-8")
    (remote / "pyproject.toml").write_text('[project]\nname = "small"\nversion = "1"\n', encoding="utf-8")
    git(remote, "init")
    git(remote, "add", ".")
    git(remote, "commit", "-m", "Start")
    subprocess.run(["git", "clone", "-q", str(remote), str(folder / "clone")], check=True)
    (folder / "bin").mkdir()
    scripts = {
        "python": f'exec {sys.executable} "$@"',
        "harness": f'exec {sys.executable} -c "from harness.cli import main; main()" "$@"',
        "gh": f'printf "%s\\n" "$*" >> {folder}/gh.log; case "$*" in *--jq*) cat {folder}/comments;; esac',
    }
    for name, script in scripts.items():
        path = folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
    return folder


@pytest.fixture
def runner(machine: Path) -> Runner:
    """The clone as a checkout leaves it, on a branch of its own, and nothing of an earlier job but the cache."""
    clone = machine / "clone"
    git(clone, "checkout", "--force", "-B", "change", "origin/main")
    git(clone, "clean", "-ffdx")
    for name in ("temp", "harness-results", "harness-cache"):
        shutil.rmtree(machine / name, ignore_errors=True)
    for name in ("gh.log", "summary.md", "output", "env"):
        (machine / name).unlink(missing_ok=True)
    (machine / "temp").mkdir()
    (machine / "comments").write_text("", encoding="utf-8")
    return Runner(folder=machine, clone=clone)


def test_the_action_is_whole() -> None:
    """Composite, every input that steps use is declared, every run has a shell, every declared input is used."""
    action = document("action.yml")
    assert "composite" == action["runs"]["using"]
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    assert set(action["inputs"]) == set(re.findall(r"inputs\.([\w-]+)", text))
    steps = action["runs"]["steps"]
    assert all("bash" == step["shell"] for step in steps if "run" in step)
    used = {step["uses"].split("@")[0] for step in steps if "uses" in step}
    assert {
        "actions/setup-python", "actions/cache/restore", "actions/cache/save", "actions/upload-artifact"
    } == used  # fmt: skip
    ids = {step["id"] for step in steps if "id" in step}
    assert set(re.findall(r"steps\.(\w+)\.", text)) <= ids
    # No expression inside a script: a branch's name must not become a command.
    assert not [step["name"] for step in steps if EXPRESSION.search(step.get("run", ""))]


def test_the_action_caches_what_the_gate_fills() -> None:
    """One folder and one key, the nearest older one to begin with, and nothing kept of a gate that never began."""
    steps = {step["name"]: step for step in document("action.yml")["runs"]["steps"]}
    assert 'HARNESS_CACHE=$folder" >> "$GITHUB_ENV"' in steps["Name the cache"]["run"]
    restore, save = steps["Restore artifacts and environments"], steps["Keep artifacts and environments"]
    for key in ("path", "key"):
        assert restore["with"][key] == save["with"][key]
    named = set(re.findall(r'echo "(\w+)=', steps["Name the cache"]["run"]))
    asked = re.findall(r"steps\.cache\.outputs\.(\w+)", str(restore["with"]))
    assert {"folder", "key", "zoo", "locks", "host"} == set(asked) <= named
    assert "exit-code != '2'" in save["if"]
    assert "cache-hit != 'true'" in save["if"]


def test_the_examples_name_one_copy_of_harness() -> None:
    """OWNER is the one thing to fill in, and every file says what it is."""
    for name in ("github.yml", "github-nightly.yml", "gitlab.yml"):
        text = (ROOT / "docs/ci" / name).read_text(encoding="utf-8")
        assert "hosts your copy of harness" in " ".join(text.replace("#", "").split())
        assert 1 == text.count("OWNER/onnx-harness@v0.1.0")
        assert "without a tag" in text or name == "github-nightly.yml"


@pytest.mark.parametrize("path", ["docs/ci/github.yml", "docs/ci/github-nightly.yml"])
def test_workflows_have_the_whole_history_and_few_rights(path: str) -> None:
    """fetch-depth 0, read-only contents, a time limit, and inputs that the action has."""
    workflow = document(path)
    assert "read" == workflow["permissions"]["contents"]
    assert True in workflow  # YAML 1.1 reads the key `on` so
    inputs = document("action.yml")["inputs"]
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] > 0
        checkout, *rest = job["steps"]
        assert checkout["uses"].startswith("actions/checkout@")
        assert 0 == checkout["with"]["fetch-depth"]
        for step in rest:
            if step.get("uses", "").startswith("OWNER/onnx-harness"):
                assert set(step["with"]) <= set(inputs)


KEYS: dict[str, set[object]] = {
    "workflow": {"name", True, "permissions", "concurrency", "jobs"},
    "job": {"runs-on", "timeout-minutes", "env", "steps", "if", "defaults"},
    "step": {"uses", "with", "run", "name", "if", "env", "id", "shell", "working-directory"},
    "action": {"name", "description", "author", "branding", "inputs", "outputs", "runs"},
}
"""What the documentation of GitHub's workflow and metadata syntax has of each, as far as it is used here."""


def workflows() -> list[Path]:
    """Every workflow of the documentation."""
    return sorted((ROOT / "docs/ci").glob("github*.yml"))


def test_workflows_have_keys_that_github_knows() -> None:
    """A key that is misspelt would be refused on the first push, or worse, ignored."""
    action = document("action.yml")
    assert KEYS["action"] == set(action)
    assert all({"description", "default"} == set(one) for one in action["inputs"].values())
    assert all({"description", "value"} == set(one) for one in action["outputs"].values())
    steps = list(action["runs"]["steps"])
    for path in workflows():
        workflow = document(str(path))
        assert set(workflow) <= KEYS["workflow"]
        for job in workflow["jobs"].values():
            assert set(job) <= KEYS["job"]
            steps += job["steps"]
    for step in steps:
        assert set(step) <= KEYS["step"]
        assert ("uses" in step) != ("run" in step)


def test_actions_are_pinned_and_leave_no_token() -> None:
    """Full versions, since a moving tag is another program tomorrow; no checkout leaves credentials behind."""
    for path in [ROOT / "action.yml", ROOT / "harness/init/templates/harness.yml.txt", *workflows()]:
        text = path.read_text(encoding="utf-8")
        used = re.findall(r"uses: (actions/\S+)", text)
        assert used
        assert [] == [one for one in used if not re.fullmatch(r"[\w/-]+@v\d+\.\d+\.\d+", one)]
        assert text.count("actions/checkout@") == text.count("persist-credentials: false")


def test_examples_have_one_policy() -> None:
    """What fails a job is the same in every example, and asked for by the same name."""
    (gate,) = document("docs/ci/github.yml")["jobs"].values()
    (judge,) = [step for step in gate["steps"] if step["uses"].startswith("OWNER/")]
    assert "regression" == judge["with"]["fail-on"]
    for name in ("gitlab.yml", "github-nightly.yml"):
        assert "--fail-on regression" in (ROOT / "docs/ci" / name).read_text(encoding="utf-8")


def test_comments_of_forks_are_one_for_each_artifact(runner: Runner) -> None:
    """The second workflow posts what the first one's jobs left, each under a marker of its own; links are not read."""
    ((job,),) = [document("docs/ci/github-comment.yml")["jobs"].values()]
    (script,) = [step["run"] for step in job["steps"] if "run" in step]
    for name in ("harness-gate-a", "harness-gate-b --> <b>"):
        folder = runner.clone / "reports" / name
        folder.mkdir(parents=True)
        (folder / "gate.md").write_text(f"{MARKER}\n### of {name}\n", encoding="utf-8")
    (runner.clone / "reports/c").mkdir()
    (runner.clone / "reports/c/gate.md").symlink_to("/etc/passwd")
    (runner.folder / "comments").write_text("7\n", encoding="utf-8")
    done = runner.bash(script, HEAD="h", OWNER="o", BRANCH="b")
    assert 0 == done.returncode, done.stderr
    log = (runner.folder / "gh.log").read_text(encoding="utf-8")
    assert 2 == log.count("--method PATCH repos/owner/small/issues/comments/7")
    last = (runner.clone / "comment.md").read_text(encoding="utf-8")
    assert last.startswith("<!-- harness gate of a fork: harness-gate-b-b -->\n### of harness-gate-b")
    assert MARKER not in last


def test_a_change_of_the_readme_passes(runner: Runner) -> None:
    """The artifacts are the same: nothing is measured, the job passes, and the pull request gets a comment."""
    (runner.clone / "README.md").write_text("Hello\n", encoding="utf-8")
    runner.commit("Say hello")
    code, said = runner.action()
    assert 0 == code, said
    summary = (runner.folder / "summary.md").read_text(encoding="utf-8")
    assert summary.startswith(MARKER)
    assert "Pass" in summary
    log = (runner.folder / "gh.log").read_text(encoding="utf-8")
    assert "--method POST repos/owner/small/issues/7/comments -F body=@" in log
    report = Path(runner.outputs["gate"]["report"])
    assert "pass" == runner.outputs["gate"]["verdict"]
    headline = "Pass: the one case that was judged did not get worse; 1 the same on both sides"
    assert runner.outputs["gate"]["headline"].startswith(headline)
    comment = (report / "comment.md").read_text(encoding="utf-8")
    assert comment.startswith("<!-- harness gate: gate/harness-gate -->\n### ")
    assert MARKER not in comment
    written = json.loads((report / "gate.json").read_text(encoding="utf-8"))
    assert (0, "pass", []) == (written["exit_code"], written["verdict"], written["cases"][0]["pairs"])
    assert "harness-Linux-X64-py" in runner.outputs["cache"]["key"]
    assert list((runner.folder / ".cache/onnx-harness/artifacts").iterdir())


def test_a_regression_fails_until_it_is_accepted(runner: Runner) -> None:
    """An artifact twice the size fails the job; accepted and committed it passes, and the comment is updated."""
    zoo = runner.clone / "model_zoo.yaml"
    text = zoo.read_text(encoding="utf-8")
    zoo.write_text(
        text.replace("precision: float16, steps: [export, cast: {to: float16}]", "precision: float32, steps: [export]"),
        encoding="utf-8",
    )
    runner.commit("Take float32")
    runner.environment[usual_bursts.VARIABLE] = "7x2ms"
    quick = {"time-limit": "0.1s", "fail-on": "regression"}
    code, said = runner.action(**quick)
    assert 1 == code, said
    assert "regression" == runner.outputs["gate"]["verdict"]
    assert "::error title=tiny/small/cpu-t1-b1::" in said
    report = Path(runner.outputs["gate"]["report"]) / "gate.json"
    (case,) = json.loads(report.read_text(encoding="utf-8"))["cases"]
    assert ["size"] == [found["metric"] for found in case["findings"] if found["verdict"] == "regression"]
    accept = f'harness gate --accept {CASE} --metric size --reason "float16 lost accuracy" --from {report}'
    done = runner.bash(accept)
    assert 0 == done.returncode, done.stderr
    runner.commit("Accept it")
    (runner.folder / "comments").write_text("42\n", encoding="utf-8")
    code, said = runner.action(**quick, name="a matrix' --> job")
    assert 0 == code, said
    assert "float16 lost accuracy" in said
    report = Path(runner.outputs["gate"]["report"])
    assert (report / "comment.md").read_text("utf-8").startswith("<!-- harness gate: gate/a_matrix__-__job -->\n")
    log = (runner.folder / "gh.log").read_text(encoding="utf-8")
    assert "--method PATCH repos/owner/small/issues/comments/42" in log


def test_a_mistake_of_usage_fails_the_job(runner: Runner) -> None:
    """A base that does not exist is exit code 2, also of the job."""
    code, said = runner.action(base="nowhere")
    assert 2 == code
    assert "nowhere" in said
    assert "verdict" not in runner.outputs["gate"]
    code, said = runner.action(**{"fail-on": "mondays"})
    assert 2 == code
    assert "--fail-on mondays: available: inconclusive, regression, never" in said


def test_the_gitlab_example_runs(runner: Runner, copied: Path) -> None:
    """Its commands, as they stand but for the installation, leave the reports that it declares and a clean tree."""
    job = document("docs/ci/gitlab.yml")["harness-gate"]
    assert "0" == job["variables"]["GIT_DEPTH"]
    cached = job["variables"]["HARNESS_CACHE"].replace("$CI_PROJECT_DIR/", "")
    assert [f"{cached}/"] == job["cache"]["paths"]
    lend(copied, runner.clone / cached)
    (runner.clone / "README.md").write_text("Hello\n", encoding="utf-8")
    runner.commit("Say hello")
    lines = [line for line in (*job["before_script"], *job["script"]) if "pip install" not in line]
    assert len(lines) == len(job["before_script"]) + len(job["script"]) - 1
    base = subprocess.run(
        ["git", "-C", str(runner.clone), "rev-parse", "origin/main"], check=True, capture_output=True, text=True
    )
    done = runner.bash(
        "\n".join(lines),
        CI_MERGE_REQUEST_DIFF_BASE_SHA=base.stdout.strip(),
        CI_PROJECT_DIR=str(runner.clone),
        HARNESS_CACHE=job["variables"]["HARNESS_CACHE"].replace("$CI_PROJECT_DIR", str(runner.clone)),
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    assert (runner.clone / job["artifacts"]["reports"]["junit"]).exists()
    assert all((runner.clone / path).exists() for path in job["artifacts"]["paths"])
    status = subprocess.run(
        ["git", "-C", str(runner.clone), "status", "--porcelain"], check=True, capture_output=True, text=True
    )
    assert "" == status.stdout


def test_the_workflow_that_init_writes_runs(runner: Runner) -> None:
    """Its gate, as it stands: a pass, its reports, and the job's summary."""
    done = runner.bash("harness init --ci gate --harness onnx-harness==0.1.0")
    assert 0 == done.returncode, done.stderr
    runner.commit("Gate pull requests")
    (job,) = document(str(runner.clone / ".github/workflows/gate.yml"))["jobs"].values()
    (gate,) = [step for step in job["steps"] if step.get("name") == "Gate"]
    done = runner.bash(gate["run"], **{**gate["env"], "BASE": "refs/remotes/origin/main"})
    assert 0 == done.returncode, done.stdout + done.stderr
    assert {"gate.md", "gate.xml", "gate.json"} <= {path.name for path in (runner.folder / "temp/gate").iterdir()}
    assert "Pass" in (runner.folder / "summary.md").read_text(encoding="utf-8")


def test_the_nightly_example_runs(runner: Runner) -> None:
    """A sweep and its history: too few nights to judge, which fails nothing, and the summary says so."""
    (job,) = document("docs/ci/github-nightly.yml")["jobs"].values()
    folders = {
        name: text.replace("${{ github.workspace }}/..", str(runner.folder)) for name, text in job["env"].items()
    }
    commands = [step["run"] for step in job["steps"] if "run" in step and "pip install" not in step["run"]]
    assert 2 == len(commands)
    for command in commands:
        done = runner.bash(command, **folders)
        assert 0 == done.returncode, done.stdout + done.stderr
    assert (runner.folder / "harness-results/samples").is_dir()
    assert "not judged" in (runner.folder / "summary.md").read_text(encoding="utf-8")
