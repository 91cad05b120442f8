"""`[tool.harness]` of pyproject.toml, and shell completion."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from harness.cli import VERBS, configuration, options
from harness.errors import UsageError
from tests.conftest import Project, here


def write(folder: Path, text: str) -> Path:
    """A pyproject.toml."""
    path = folder / "pyproject.toml"
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, verb: str = "sweep") -> dict[str, object]:
    """What it says of a verb."""
    return configuration.defaults(VERBS, verb, folder).get(verb, {})


def test_every_verb_is_documented() -> None:
    """docs/cli.md says of each what it does and where more stands."""
    text = (Path(__file__).resolve().parent.parent / "docs" / "cli.md").read_text(encoding="utf-8")
    table = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    assert {*VERBS} == {*re.findall(r"`(\w+)`", "".join(table))}


def test_every_option_can_be_set() -> None:
    """The names are those that are typed: each stands in the verb's help."""
    for name, verb in VERBS.items():
        found = [*configuration.options(verb)]
        parameters = inspect.signature(verb).parameters
        assert {one.parameter for one in found} <= parameters.keys()
        code, text, _ = here(Path.cwd(), {"COLUMNS": "200"}, name, "--help")
        assert 0 == code
        assert [] == [one.name for one in found if not re.search(rf"--{re.escape(one.name)}\b", text)]
    assert {"json", "input", "confirm", "time-per-case"} <= {one.name for one in configuration.options(VERBS["sweep"])}
    assert "prune" not in {one.name for one in configuration.options(VERBS["cache"])}


def test_values(tmp_path: Path) -> None:
    """Lists, numbers, switches and paths as the command line would give them; the verb's table over that of all."""
    write(
        tmp_path,
        """
        [tool.harness]
        zoo = "bench/zoo.yaml"
        models = ["a", "b"]
        port = 1
        [tool.harness.sweep]
        models = "c"
        threads = [1, 2]
        confirm = false
        time_per_case = 2
        processes = 3
        input = "x=int64[1]"
        """,
    )
    (tmp_path / "sub").mkdir()
    found = read(tmp_path / "sub")
    zoo = str(tmp_path / "bench" / "zoo.yaml")
    assert {
        "zoo": zoo, "models": "c", "threads": "1,2", "confirm": False, "time_per_case": "2", "processes": 3,
        "inputs": ["x=int64[1]"],
    } == found  # fmt: skip
    assert "a,b" == read(tmp_path, "results")["models"]
    assert {"port": 1} == {name: value for name, value in read(tmp_path, "serve").items() if name == "port"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.harness]\nzo = 'x'", "[tool.harness] zo: no such option or verb; did you mean 'zoo'"),
        ("[tool.harness.swep]", "[tool.harness.swep]: no such verb; did you mean 'sweep'"),
        ("[tool.harness.sweep]\nconfrim = true", "sweep has no such option; did you mean 'confirm'"),
        ("[tool.harness.sweep]\nconfirm = 'yes'", "confirm: expected true or false, found 'yes'"),
        ("[tool.harness.sweep]\nprocesses = 1.5", "processes: expected a whole number, found 1.5"),
        ("[tool.harness.sweep]\nprocesses = 0", "processes: expected a number from 1 to"),
        ("[tool.harness.sweep]\nresults = 3", "results: expected a text, found 3"),
        ("[tool.harness.sweep]\ninput = [1]", "input: expected a text or a list of texts"),
        ("[tool]\nharness = 3", "tool.harness is not a table"),
        ("[tool.harness]\nzoo = ", "cannot be read"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, said: str) -> None:
    """With the file, the place, and what would do."""
    path = write(tmp_path, text)
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        read(tmp_path)
    assert str(path) in str(caught.value)


def test_what_is_no_concern_of_ours(tmp_path: Path) -> None:
    """Other tools' tables, a broken file that does not speak of harness, and one outside the repository."""
    write(tmp_path, "[tool.ruff]\nline-length = 3")
    assert {} == read(tmp_path)
    write(tmp_path, "broken onnx-harness")
    assert {} == read(tmp_path)
    write(tmp_path, "[tool.harness]\nzoo = 'x'")
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    assert {} == read(tmp_path / "repo")


def test_precedence(project: Project) -> None:
    """Command line, environment, pyproject.toml, default; `-v` says which it was."""
    write(project.root, "[tool.harness]\nresults = 'mine'\nzoo = 'no.yaml'\n[tool.harness.sweep]\ndry-run = true")
    assert "no results under mine" in project.run("results")
    assert "no results under yours" in project.run("results", "--results", "yours")
    environment = project.environment() | {"HARNESS_RESULTS": "theirs"}
    assert "no results under theirs" in here(project.root, environment, "results")[1]
    said = project.error("-v", "results", "--results", "yours", code=0)
    assert "results = yours (command line)" in said
    assert "no.yaml: no such file" in project.error("sweep")
    assert "tiny/fp32/cpu-t1-b1" in project.run("sweep", "--zoo", "model_zoo.yaml")
    assert "dry-run = True (pyproject.toml)" in project.error("sweep", "-v", "--zoo", "model_zoo.yaml", code=0)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, project: Project) -> None:
    """Verbs, options, and the names of models, also behind a comma; nothing where there is no zoo."""

    def completed(*words: str) -> str:
        line = " ".join(("harness", *words))
        variables = {
            "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words))},
            "zsh": {"_TYPER_COMPLETE_ARGS": line},
            "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
        }[shell]
        environment = project.environment() | variables | {"_HARNESS_COMPLETE": f"complete_{shell}"}
        return here(project.root, environment)[1]

    assert "compare" in completed("comp")
    assert "--confirm" in completed("sweep", "--conf")
    assert "tiny" in completed("sweep", "--models", "ti")
    (project.root / "model_zoo.yaml").unlink()
    assert "tiny" not in completed("sweep", "--models", "ti")


def test_models_behind_a_comma(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands before stays."""
    monkeypatch.chdir(project.root)
    context = type("Context", (), {"params": {}})()
    assert ["a,tiny"] == options.known_models(context, "a,t")


@pytest.mark.parametrize(
    "text",
    [
        '[tool.harness.sweep]\nthreads = "2"\n',
        '[ tool . "harness" . sweep ]\nthreads = "2"\n',
        '[tool]\nharness.sweep.threads = "2"\n',
        'tool.harness.sweep.threads = "2"\n',
        'tool = {harness = {sweep = {threads = "2"}}}\n',
    ],
)
def test_every_way_to_write_the_table_is_read(tmp_path: Path, text: str) -> None:
    """A file is only parsed where it may have one; a mention of the package is not enough."""
    (tmp_path / "pyproject.toml").write_text(f"# harness\n{text}", encoding="utf-8")
    assert {"sweep": {"threads": "2"}} == configuration.table_of(tmp_path / "pyproject.toml")
    assert configuration.MAY_HOLD.search(b'[project]\ndependencies = ["onnx-harness"]\n[tool.ruff]\n') is None


def test_what_a_project_sets_is_told_with_its_file(tmp_path: Path) -> None:
    """For every verb and for one; without a file, or a table in it, nothing is."""
    assert (None, {}) == configuration.stated(tmp_path)
    write(tmp_path, "[tool.other]\nx = 1")
    (tmp_path / ".git").mkdir()
    assert (None, {}) == configuration.stated(tmp_path)
    write(tmp_path, "[tool.harness]\nresults = 'mine'\n[tool.harness.sweep]\nthreads = [1, 2]")
    expected = {"results": "mine", "sweep.threads": [1, 2]}
    assert (tmp_path / "pyproject.toml", expected) == configuration.stated(tmp_path)
