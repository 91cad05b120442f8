"""The plugin's own rules; tests/integration has it at work inside asv."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.asv import axes, environments, errors, exchange, pages, results
from harness.errors import StoreError
from harness.store.asv import files as asv_files
from harness.store.asv import merge
from harness.store.asv.environments import weights_label
from tests.histories import asv_file, store, sweep_of
from tests.outcomes import measured
from tests.test_provenance import git


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
    series = {"python": "3.11", "onnxruntime": "1.31.1+gpu", "host": "0123456789ab"}
    found = results.described(header(), series)
    assert {"machine": "m", **series, "weights": "pretrained"} == found["params"]
    assert {"OTHER": "x"} == found["env_vars"]


def test_results_of_nothing_measured_say_what_was_asked_for() -> None:
    """A commit that does not build has no process that could tell."""
    found = results.described(header(env_vars={}), {})
    assert "1.31.1+gpu" == found["params"]["onnxruntime"]
    assert environments.fingerprint() == found["params"]["host"]
    assert "seeded" == found["params"]["weights"]
    assert "unknown" == results.described(header(requirements={}), {})["params"]["onnxruntime"]


def test_the_runtimes_of_an_interpreter_are_part_of_its_name() -> None:
    """An upgrade in an existing environment begins another file."""
    assert "onnxruntime" in environments.runtimes(sys.executable)
    assert any(character.isdigit() for character in environments.runtimes(sys.executable))


def test_harness_errors_become_messages_of_asv() -> None:
    """Those are printed without a traceback."""
    from asv.util import UserError

    def broken() -> None:
        raise StoreError("the disk is full")

    with pytest.raises(UserError, match="the disk is full"):
        errors.with_asv_errors(broken)()


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
    """A value that is not JSON breaks off in the middle: what was there before still is, and nothing beside it."""
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
    monkeypatch.delenv(exchange.WEIGHTS, raising=False)
    git(tmp_path, "init")
    hashes = []
    for text in (None, "version: 9\n", *(asv_projects.ZOO + f"  {m}: {{source: onnx, id: x.onnx}}\n" for m in "aab")):
        if text is not None:
            (tmp_path / "model_zoo.yaml").write_text(text, encoding="utf-8")
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "--allow-empty", "-m", "x")
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True, cwd=tmp_path)
        hashes.append(head.stdout.strip())
    found = list(axes.zoo_axes(Repository(tmp_path), Variables(), hashes))
    assert [["'a'"], ["'b'"]] == [one[0] for one in found]
    assert [] == list(axes.zoo_axes(Repository(tmp_path, "hg"), Variables(), hashes))


def test_the_environment_tells_processes_where_the_configuration_lies(tmp_path: Path) -> None:
    """An existing environment gets nothing from asv, and one of another asv around it must not be taken for it."""
    code = (
        "import os; os.environ['ASV_ENV_DIR'] = '/elsewhere'; from harness import asv_plugin; asv_plugin.setup()\n"
        "print(os.environ['ASV_CONF_DIR'], os.environ.get('ASV_ENV_DIR'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert f"{os.path.realpath(tmp_path)} None\n" == done.stdout


def test_a_sweep_and_asv_run_share_a_line_of_the_pages(tmp_path: Path) -> None:
    """The file of `asv run` is read as one for each model that it has numbers of, with the weights that were built."""
    from asv.results import iter_results

    commit, label = "a" * 40, weights_label("digits_cnn", "seeded", "aaaaaaaabbbb")
    store(tmp_path, sweep_of(commit), measured())
    described = {"host": "0123456789ab", "onnxruntime": "1.31.1+gpu", "weights": "seeded"}
    axes = (("'digits_cnn'", "'gone'", "'other'"), ("'fp32'",), ("'cpu'",), ("1",), ("1",))
    labels = {"digits_cnn": label, "gone": "gone-file-cccccccc"}
    asv_file(tmp_path, commit, [0.002, math.nan, 0.003], axes=axes, params=described, harness_weights=labels)
    found: dict[str, list[Any]] = {}
    for path in asv_files.result_paths(tmp_path):
        (whole,) = (one for one in iter_results(str(path.parent)) if path.name == Path(vars(one)["_filename"]).name)
        for part in pages.by_weights(whole, pages.labels_of(path)):
            found.setdefault(part.params["weights"], []).append(part)
    assert {label: 2, "seeded": 1} == {name: len(parts) for name, parts in found.items()}
    one, two = (part.params for part in found[label])
    assert {name: one[name] for name in merge.SERIES} == {name: two[name] for name in merge.SERIES}
    axis = [["'digits_cnn'", "'other'"], *map(list, axes[1:])]
    values = sorted(part.get_result_value("sweep.track_latency", axis) for part in found[label])
    assert [[0.001, None], [0.002, None]] == values
    (unnamed,) = found["seeded"]
    assert [None, 0.003] == unnamed.get_result_value("sweep.track_latency", axis)
