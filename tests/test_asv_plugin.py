"""The plugin's own rules; tests/integration has it at work inside asv."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import asv_answers, asv_plugin, asv_suite
from harness.errors import StoreError
from harness.store.metrics import METRICS
from tests.test_provenance import git

FIRST, SECOND = METRICS[0].name, METRICS[1].name
ONE_ROUND = json.dumps({"number": 1})


@pytest.fixture
def state() -> Iterator[asv_answers.State]:
    """What an asv process knows."""
    state = asv_answers.State()
    yield state
    shutil.rmtree(state.folder)


class Processes:
    """Stands for asv's way to start a benchmark's process."""

    def __init__(self, state: asv_answers.State, leaves: dict[str, Any] | None = None, code: int = 0) -> None:
        self.state, self.leaves, self.code = state, leaves or {}, code
        self.started: list[str] = []

    def __call__(self, name: str, *_: Any) -> tuple[str, int]:
        """Start one."""
        self.started.append(name)
        for file, content in self.leaves.items():
            (self.state.folder / file).write_text(json.dumps(content), encoding="utf-8")
        return f"output of {name}", self.code


def ask(state: asv_answers.State, processes: Processes, name: str, params: str = ONE_ROUND) -> tuple[str, int, Any]:
    """Run a benchmark as asv does; what it printed, its exit code and its result."""
    file = state.folder / "result"
    file.write_text("null", encoding="utf-8")
    out, code = asv_answers.answered(state, "env", processes, name, params, "None", str(file), 60, ".")
    result = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()
    return out, code, result


def test_an_answer_is_handed_out_once(state: asv_answers.State) -> None:
    """The second metric needs no process; asked again, as in a second round, it is measured anew."""
    processes = Processes(state, {"3.json": {SECOND: {"value": 7.5, "out": "a note"}}})
    assert (f"output of {FIRST}-3", 0, None) == ask(state, processes, f"{FIRST}-3")
    assert ("a note", 0, 7.5) == ask(state, processes, f"{SECOND}-3")
    assert [f"{FIRST}-3"] == processes.started
    ask(state, processes, f"{SECOND}-3")
    assert [f"{FIRST}-3", f"{SECOND}-3"] == processes.started


def test_a_failed_case_fails_in_every_metric(state: asv_answers.State) -> None:
    """With the reason, and without a process for each."""
    processes = Processes(state, {"0.json": {SECOND: {"value": None, "out": "it broke"}}}, code=1)
    ask(state, processes, f"{FIRST}-0")
    assert ("it broke", 1, None) == ask(state, processes, f"{SECOND}-0")


def test_a_process_that_dies_or_hangs_is_not_started_seven_times(state: asv_answers.State) -> None:
    """It leaves nothing, so its fate is that of the other metrics; another case starts its own."""
    processes = Processes(state, code=-256)
    ask(state, processes, f"{FIRST}-0")
    assert (f"output of {FIRST}-0", 1, None) == ask(state, processes, f"{SECOND}-0")
    ask(state, processes, f"{SECOND}-1")
    assert [f"{FIRST}-0", f"{SECOND}-1"] == processes.started


def test_what_is_no_case_needs_no_process(state: asv_answers.State) -> None:
    """One process says it for all of the commit's places."""
    processes = Processes(state, {asv_suite.NONE_FILE: {"5": "no such model"}, "0.json": {}})
    ask(state, processes, f"{FIRST}-0")
    for _ in range(2):
        out, code, result = ask(state, processes, f"{SECOND}-5")
        assert ("n/a: no such model", 0) == (out, code)
        assert math.isnan(result)
    assert [f"{FIRST}-0"] == processes.started


def test_nothing_of_another_commit_is_handed_out(state: asv_answers.State) -> None:
    """Only the axes outlive a commit."""
    processes = Processes(state, {"0.json": {SECOND: {"value": 1, "out": ""}}, asv_suite.NONE_FILE: {"1": "x"}})
    ask(state, processes, f"{FIRST}-0")
    (state.folder / asv_suite.AXES_FILE).write_text("[]", encoding="utf-8")
    state.begin()
    assert [asv_suite.AXES_FILE] == [path.name for path in state.folder.iterdir()]
    processes.leaves = {}
    ask(state, processes, f"{SECOND}-0")
    ask(state, processes, f"{SECOND}-1")
    assert 3 == len(processes.started)


def test_other_suites_are_left_alone(state: asv_answers.State) -> None:
    """Their processes start as ever."""
    processes = Processes(state, {"0.json": {"time_x": {"value": 1, "out": ""}}})
    for _ in range(2):
        ask(state, processes, "other.time_x-0")
    assert 2 == len(processes.started)


def test_quick_is_told_to_the_processes(state: asv_answers.State) -> None:
    """It hides in the parameters of every benchmark."""
    ask(state, Processes(state), f"{FIRST}-0")
    assert not state.quick
    ask(state, Processes(state), f"{FIRST}-1", json.dumps(asv_answers.QUICK))
    assert state.quick
    assert state.read(asv_suite.QUICK_FILE) is True


def header(**changes: Any) -> dict[str, Any]:
    """A result file's header as asv makes it."""
    base = {
        "params": {"machine": "m", "python": "3.11", "onnxruntime-gpu": "1.31.1"},
        "requirements": {"onnxruntime-gpu": "1.31.1"},
        "env_vars": {"HARNESS_WEIGHTS": "pretrained", "OTHER": "x"},
    }
    return base | changes


def test_results_say_what_they_were_measured_on() -> None:
    """The dimensions of `harness sweep`, by the same keys; asv's own names of the same things are gone."""
    told = {"python": "3.11", "onnxruntime": "1.31.1+gpu", "host": "0123456789ab"}
    found = asv_plugin.described(header(), told)
    assert {"machine": "m", **told, "weights": "pretrained"} == found["params"]
    assert {"OTHER": "x"} == found["env_vars"]


def test_results_of_nothing_measured_say_what_was_asked_for() -> None:
    """A commit that does not build has no process that could tell."""
    found = asv_plugin.described(header(env_vars={}), {})
    assert "1.31.1+gpu" == found["params"]["onnxruntime"]
    assert asv_plugin.fingerprint() == found["params"]["host"]
    assert "seeded" == found["params"]["weights"]
    assert "unknown" == asv_plugin.described(header(requirements={}), {})["params"]["onnxruntime"]


def test_the_runtimes_of_an_interpreter_are_part_of_its_name() -> None:
    """An upgrade in an existing environment begins another file."""
    assert "onnxruntime" in asv_plugin.runtimes(sys.executable)
    assert any(character.isdigit() for character in asv_plugin.runtimes(sys.executable))


def test_harness_errors_become_messages_of_asv() -> None:
    """Those are printed without a traceback."""
    from asv.util import UserError

    def broken() -> None:
        raise StoreError("the disk is full")

    with pytest.raises(UserError, match="the disk is full"):
        asv_plugin.told(broken)()


def test_another_asv_is_refused(tmp_path: Path) -> None:
    """Where one of the functions that the plugin replaces is gone or takes other arguments, it says so and stops."""
    code = (
        "import asv.results, sys; from asv.util import UserError; from harness import asv_plugin\n"
        "asv.results.Results.save = lambda self, where, how: None\n"
        "try: asv_plugin.setup()\n"
        "except UserError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "results.Results.save differs" in done.stdout


def test_everything_that_asv_writes_is_whole_or_not_there(tmp_path: Path) -> None:
    """A value that is no JSON breaks off in the middle: what stood there before still stands, and nothing beside it."""
    code = (
        "from harness import asv_plugin; asv_plugin.setup(); from asv import util\n"
        "util.write_json('x.json', {'a': 1})\n"
        "try: util.write_json('x.json', {'a': 2, 'b': object()})\n"
        "except TypeError: print('broke off')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "broke off\n" == done.stdout
    assert [tmp_path / "x.json"] == list(tmp_path.iterdir())
    assert {"a": 1} == json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))


def test_no_folder_is_left_behind(tmp_path: Path) -> None:
    """Neither by asv itself nor too early by a process that it forks."""
    code = (
        "import os; from harness import asv_plugin; asv_plugin.setup(); print(os.environ['HARNESS_ASV_FOLDER'])\n"
        "import multiprocessing; p = multiprocessing.get_context('fork').Process(target=print); p.start(); p.join()\n"
        "print(os.path.isdir(os.environ['HARNESS_ASV_FOLDER']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    lines = done.stdout.split()
    assert "True" == lines[-1]
    assert not Path(lines[0]).exists()


class Repository:
    """asv's repository object, as far as the plugin looks at it."""

    def __init__(self, path: Path, dvcs: str = "git") -> None:
        self._path, self.dvcs = str(path), dvcs


class Variables:
    """asv's environment object, ditto."""

    env_vars: dict[str, str] = {}  # noqa: RUF012  (a stand-in)


def test_axes_come_from_every_commit_that_has_a_zoo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each zoo once; a commit without one is left out, one with mistakes is left out with a warning."""
    from tests.integration import asv_projects

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(asv_suite.WEIGHTS, raising=False)
    git(tmp_path, "init")
    hashes = []
    for text in (None, "version: 9\n", *(asv_projects.ZOO + f"  {m}: {{source: onnx, id: x.onnx}}\n" for m in "aab")):
        if text is not None:
            (tmp_path / "model_zoo.yaml").write_text(text, encoding="utf-8")
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "--allow-empty", "-m", "x")
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True, cwd=tmp_path)
        hashes.append(head.stdout.strip())
    found = list(asv_plugin.zoo_axes(Repository(tmp_path), Variables(), hashes))
    assert [["'a'"], ["'b'"]] == [axes[0] for axes in found]
    assert [] == list(asv_plugin.zoo_axes(Repository(tmp_path, "hg"), Variables(), hashes))


def test_the_environment_tells_processes_where_the_configuration_lies(tmp_path: Path) -> None:
    """An existing environment is told nothing by asv, and one of another asv around it must not be taken for it."""
    code = (
        "import os; os.environ['ASV_ENV_DIR'] = '/elsewhere'; from harness import asv_plugin; asv_plugin.setup()\n"
        "print(os.environ['ASV_CONF_DIR'], os.environ.get('ASV_ENV_DIR'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert f"{os.path.realpath(tmp_path)} None\n" == done.stdout
