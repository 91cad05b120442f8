"""README.md and docs: what they say works."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.build import packages
from harness.cli import app
from tests.conftest import here

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """Every `harness` command in the README's code blocks, set-up and comments left out."""
    blocks = re.findall(r"^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    lines = [line.split("#")[0].split("&&")[-1].strip() for block in blocks for line in block.splitlines()]
    return list(dict.fromkeys(line for line in lines if line.startswith("harness ")))


def help_of(*arguments: str) -> str:
    """What `harness ... --help` prints, on one line; made in this process."""
    done = CliRunner().invoke(app, [*(one for one in arguments if one != "--help"), "--help"], prog_name="harness")
    assert 0 == done.exit_code, done.output
    return " ".join(done.output.split())


@pytest.mark.parametrize("command", commands())
def test_commands_of_the_readme_work(command: str, tmp_path: Path) -> None:
    """Each runs as it stands; sweeps show their plan instead of taking minutes, gates and the doctor are only parsed.

    The doctor imports every framework that the zoo names; test_doctor.py runs it on a small one.
    """
    arguments = shlex.split(command)[1:]
    if arguments[0] == "sweep" and "--dry-run" not in arguments:
        arguments.append("--dry-run")
    if arguments[0] == "results":
        arguments += ["--results", str(tmp_path)]
    if arguments[0] == "report":
        arguments += ["--out", str(tmp_path / "site")]
    if arguments[0] in ("gate", "doctor"):
        arguments.append("--help")
    if "--help" in arguments:
        assert f"Usage: harness {arguments[0]}" in help_of(*arguments)
        return
    code, out, err = here(ROOT, {}, *arguments)
    assert 0 == code, out + err


def test_the_first_thing_is_how_to_set_up() -> None:
    """Both lines, as people copy them."""
    first = re.findall(r"^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL)[0].splitlines()
    assert first[0].startswith(
        "python -m pip install -c constraints.txt -e '.[zoo]' && harness sweep --models yolov8n,resnet50"
    )
    assert first[1].startswith("python -m pip install -c constraints.txt -e '.[dev]' && pytest")


def test_the_command_that_runs_the_tests_is_one() -> None:
    """README and CONTRIBUTING have the same, and CI takes README's."""
    command = r"^python -m pip install -c constraints\.txt -e '\.\[dev\]' && (pytest .*?) *#"
    (ours,) = re.findall(command, README, re.MULTILINE)
    assert [ours] == re.findall(command, (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert "pytest" not in (ROOT / ".ci/run").read_text(encoding="utf-8").replace("&& pytest[^#]*", "")


@pytest.mark.parametrize(
    "page",
    sorted(p.relative_to(ROOT).as_posix() for p in [ROOT / "README.md", *ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]),
)
def test_links_lead_somewhere(page: str) -> None:
    """Relative links and pictures exist."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        if "://" not in link:
            assert ((ROOT / page).parent / link).exists(), link


def test_every_verb_has_help_with_an_example() -> None:
    """And an exit code of 0."""
    verbs = [command.name for command in app.registered_commands if command.name]
    assert len(verbs) > 10
    for verb in verbs:
        assert f"Example: harness {verb}" in help_of(verb)


def test_shell_completion_is_offered() -> None:
    """Through typer's own options."""
    assert "--install-completion" in help_of()


OPTIONAL = (*(name for name in packages.modules() if name != "onnx"), "scipy")


@pytest.mark.long
def test_the_core_serves_onnx_files_without_the_zoo_extra(tmp_path: Path) -> None:
    """No torch and no AGPL package: an .onnx file is fused, quantized and measured; what needs more fails with why."""
    from tests.builders import tiny_conv
    from tests.conftest import ZOO

    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(
        "import sys\n"
        f"BLOCKED = {OPTIONAL!r}\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in BLOCKED:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Block())\n",
        encoding="utf-8",
    )
    tiny_conv(tmp_path / "tiny.onnx")
    inputs = "{x: {dtype: float32, shape: [batch, 3, 32, 32]}}"
    torch_model = f"  other: {{source: torchvision, id: resnet18, inputs: {inputs}, data: r}}\n"
    data = "data: {r: {source: random}}\n"
    (tmp_path / "model_zoo.yaml").write_text(
        ZOO.replace("models:\n", f"{data}models:\n") + torch_model, encoding="utf-8"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "HARNESS_CACHE": str(tmp_path / "cache")}
    run = [sys.executable, "-c", "from harness.cli import main; main()", "sweep", "--no-confirm", "--processes", "1"]
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert 4 == done.returncode, done.stdout + done.stderr
    for variant in ("fp32", "fp32-fused", "int8-static"):
        assert f"tiny/{variant}/cpu-t1-b1  measured" in done.stdout
    (failed,) = (line for line in done.stdout.splitlines() if line.startswith("failed "))
    assert failed.startswith("failed other/fp32/cpu-t1-b1, other/fp32-fused/cpu-t1-b1, other/int8-static/cpu-t1-b1: ")
    assert "torchvision" in failed
    assert "onnx-harness[zoo]" in failed


HELP_IMPORTS = {
    *("bounds", "cli", "errors", "foreign", "internal", "metrics", "scratch", "shown", "special_files"),
    *("stats", "stats.rule", "suggest", "units"),
}
"""What of harness `--help` imports, beside the verbs."""

PLAN_IMPORTS = {
    *("build", "cli", "data", "flow", "frameworks", "measure", "records", "stats", "tasks", "zoo"),
    *(
        "bounds",
        "confirmation",
        "errors",
        "flavours",
        "foreign",
        "free_memory",
        "graphs",
        "importable",
        "installed",
        "internal",
        "interpreters",
    ),
    *(
        "layout",
        "metrics",
        "options",
        "packaged",
        "paths",
        "processes",
        "provider_options",
        "providers",
        "reasons",
        "registry",
        "runtime_spec",
        "scratch",
        "sealed",
    ),
    *("session_options", "shown", "source_files", "special_files", "suggest", "trained", "units", "values"),
}
"""The packages and modules of harness that a dry run imports from: nothing that measures, stores or reports."""

NOT_FOR_A_PLAN = {
    *("build.builder", "build.child", "build.narrow", "build.pipeline", "build.proof", "build.reference"),
    *("flow.execute", "flow.session", "flow.sweep", "frameworks.onnx_rules", "measure.coordinator", "records.measured"),
    *("cli.summary", "cli.tables", "tasks.base", "tasks.classification", "tasks.fidelity"),
}
HEAVY = {"asv", "duckdb", "numpy", "onnx", "onnxruntime", "pandas", "pyarrow", "rich.live", "rich.markdown", "torch"}


def test_help_and_plan_import_only_what_they_show() -> None:
    """Both answer at once because of what they do not import: neither the libraries nor the parts that measure."""
    code = (
        "import sys\n"
        "from harness.cli import app\n"
        "for arguments in (['--help'], ['sweep', '--help'], ['sweep', '--dry-run']):\n"
        "    try: app(arguments)\n"
        "    except SystemExit: pass\n"
        "    print('LOADED', *sys.modules)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    loaded = [set(line.split()[1:]) for line in out.splitlines() if line.startswith("LOADED ")]
    for_help, for_help_of_one, for_plan = loaded
    own = {name.removeprefix("harness.") for name in for_plan if name.startswith("harness.")}
    assert "flow.plan" in own
    assert set() == HEAVY & for_plan
    assert set() == {name for name in own if name.partition(".")[0] not in PLAN_IMPORTS}
    assert set() == NOT_FOR_A_PLAN & own
    for seen in (for_help, for_help_of_one):
        assert set() == {"rich", "yaml"} & seen
        own = {name.removeprefix("harness.") for name in seen if name.startswith("harness.")}
        assert HELP_IMPORTS == {name for name in own if not name.startswith("cli.")}
