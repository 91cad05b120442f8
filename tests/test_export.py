"""An export: which build, what goes along, and that its program runs where harness is not."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import zoo as zoos
from harness.build import keys
from harness.build.cache import Cache
from harness.confirmation import ConfirmedChoice
from harness.errors import UsageError
from harness.export import choose, examples, ort_format
from harness.export.bundle import export, licence
from harness.export.described import described
from harness.export.trust import why_not_run
from harness.frameworks import names
from harness.init.bare import FOLDER
from harness.store.rows import Row
from tests import outcomes, report_stores
from tests.conftest import Project

CASE = "tiny/int8-static/cpu-t1-b2"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, built: Path) -> Project:
    """The small project, swept once: two of its variants, with a batch of two."""
    from tests.conftest import take_over, write_project

    project = write_project(tmp_path_factory.mktemp("export"))
    take_over(built, project.root)
    project.run(
        "sweep", "--variants", "fp32,int8-static", "--batch", "2", "--processes", "1", "--time-per-case", "0.05"
    )
    return project


@pytest.fixture(scope="module")
def exported(measured: Project) -> Path:
    """A case of it, exported."""
    measured.run("export", CASE, "--out", "out")
    return measured.root / "out"


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """The exported program, in an interpreter that finds no harness: exit code and output."""
    code = (
        "import runpy, sys\n"
        "sys.modules['harness'] = None\n"
        f"sys.path.insert(0, {str(folder)!r})\n"
        f"sys.argv = ['run.py', *{list(arguments)!r}]\n"
        f"runpy.run_path({str(folder / 'run.py')!r}, run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder.parent, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def content(folder: Path, name: str) -> Any:
    """A JSON file of an export."""
    return json.loads((folder / name).read_text(encoding="utf-8"))


@pytest.mark.long
def test_the_program_runs_without_harness_and_sees_what_is_wrong(exported: Path) -> None:
    """As expected; and not, once an expected output is another."""
    code, out = run(exported, "--times", "3")
    assert 0 == code, out
    assert 3 == out.count("y (2, 4): as expected")
    assert "median of 3 runs" in out
    session = content(exported, "session.json")
    file = exported / session["outputs"][0]["stacked"]
    good = np.load(file)
    try:
        np.save(file, good + 2 * session["tolerance"] * np.abs(good).max())
        code, out = run(exported)
        assert 1 == code, out
        assert 3 == out.count("differs by")
    finally:
        np.save(file, good)


def test_the_settings_are_those_that_were_measured(exported: Path) -> None:
    """In words of onnxruntime, with the sizes of axes; samples are whole batches."""
    session = content(exported, "session.json")
    assert ("CPUExecutionProvider", 1, 2) == (session["provider"], session["intra_threads"], session["batch"])
    assert {"batch": 2} == session["dims"]
    samples = np.load(exported / session["inputs"][0]["stacked"])
    assert (3, 2, 1, 8, 8) == samples.shape
    assert not np.array_equal(samples[0], samples[1])


def test_where_it_comes_from_goes_along(exported: Path) -> None:
    """The stored row, why it was chosen, and a digest of every file."""
    found = content(exported, "provenance.json")
    assert CASE == found["row"]["case"]
    assert found["artifact"]["digest"] == found["row"]["artifact"]["digest"]
    assert found["row"]["run"]
    assert "asked for by name" in found["why"]
    for name, digest in found["files"].items():
        assert digest == hashlib.sha256((exported / name).read_bytes()).hexdigest()
    text = (exported / "README.md").read_text(encoding="utf-8")
    assert all(
        part in text for part in (CASE, "python run.py", "CPUExecutionProvider", "not known to harness", "median")
    )


@pytest.mark.long
def test_a_model_in_ort_format_gives_the_same(measured: Project) -> None:
    """With the operators that it needs, no .onnx beside it, the samples run through it; other formats are refused."""
    said = json.loads(measured.run("export", CASE, "--out", "small", "--format", "ort", "--for", "dir", "--json"))
    assert {"model.ort", "required_operators_and_types.config", "session.json"} <= {*said["files"]}
    assert not {"model.onnx", "run.py", "ort_values.py"} & {*said["files"]}
    folder = measured.root / "small"
    assert "model.ort" == content(folder, "session.json")["model"]
    operators = (folder / "required_operators_and_types.config").read_text(encoding="utf-8")
    assert "ai.onnx;" in operators
    assert str(measured.root) not in operators
    assert "was not measured itself" in (folder / "README.md").read_text(encoding="utf-8")
    assert "--format tflite: expected onnx or ort" in measured.error("export", CASE, "--format", "tflite")


def test_outputs_that_ort_format_changes_are_not_shipped(exported: Path, tmp_path: Path) -> None:
    """The samples decide, and the program that ran them is gone again."""
    folder = tmp_path / "out"
    shutil.copytree(exported, folder)
    file = folder / content(folder, "session.json")["outputs"][0]["stacked"]
    np.save(file, np.load(file) + 10)
    with pytest.raises(UsageError, match=r"does not give what it gave: .*differs by"):
        ort_format.check(folder)
    assert not (folder / "run.py").exists()


def test_the_winner_of_a_model_is_taken(measured: Project) -> None:
    """What `harness results` names, with the sentence that says so."""
    said = json.loads(measured.run("export", "tiny", "--out", "winner", "--json"))
    assert said["case"].startswith("tiny/")
    assert "fastest build of tiny inside its budget on cpu-t1-b2" in said["why"]
    assert {"model.onnx", "run.py", "session.json", "provenance.json", "README.md"} <= {*said["files"]}


def test_an_export_takes_no_ones_place(measured: Project, exported: Path) -> None:
    """A folder with something in it is refused, and stays as it is."""
    before = sorted(exported.rglob("*"))
    assert "is not empty" in measured.error("export", CASE, "--out", "out")
    assert before == sorted(exported.rglob("*"))


def test_a_target_of_another_host_is_exported_unchecked(measured: Project, tmp_path: Path) -> None:
    """Samples go along, expected outputs do not, and both say so; the program says that it cannot run here."""
    choice = choose.choose(measured.root / "results", CASE)
    row = {**choice.row, "provider": "QNNExecutionProvider"}
    done = export(
        replace(choice, row=row),
        cache=Cache(measured.root / "cache"),
        out=tmp_path / "out",
        zoo_file=measured.root / "model_zoo.yaml",
    )
    assert "does not run on this host" in done.unchecked
    assert [] == content(done.folder, "session.json")["outputs"]
    assert "does not run on this host" in (done.folder / "README.md").read_text(encoding="utf-8")
    code, out = run(done.folder)
    assert 2 == code, out
    assert "has no QNNExecutionProvider" in out


@pytest.mark.parametrize(
    "changes",
    [
        {"runtime": "/opt/somebody/python"}, {"runtime": "cpp:/opt/somebody"}, {"runtime": "dist/onnxruntime-1.whl"},
        {"provider_options": {"backend_path": "libevil.so"}}, {"session_config": {"a": "..\\evil"}},
        {"runtime": "ssh:board"}, {"runtime": "android"},
    ],
)  # fmt: skip
def test_a_file_that_results_name_is_not_run(measured: Project, tmp_path: Path, changes: dict[str, Any]) -> None:
    """Results are data: only the zoo may name interpreters, wheels and libraries."""
    choice = choose.choose(measured.root / "results", CASE)
    zoo = measured.root / "model_zoo.yaml"
    cache, row = Cache(measured.root / "cache"), {**choice.row, **changes}
    done = export(replace(choice, row=row), cache=cache, out=tmp_path / "out", zoo_file=zoo)
    assert "what results name is not run" in done.unchecked
    assert [] == content(done.folder, "session.json")["outputs"]


def test_a_file_that_the_zoo_names_may_be_run(measured: Project, tmp_path: Path) -> None:
    """It is trusted; a target that says the same and something else is another one."""
    zoo = tmp_path / "model_zoo.yaml"
    npu = "targets:\n  npu: {provider: qnn, provider_options: {backend_path: libQnnHtp.so}}\n"
    known = (measured.root / "model_zoo.yaml").read_text(encoding="utf-8")
    zoo.write_text(known.replace("targets:\n", npu, 1), encoding="utf-8")
    session = {"runtime": "onnxruntime", "provider_options": {"backend_path": "libQnnHtp.so"}, "config": {}}
    assert "" == why_not_run(session, zoo)
    assert "libQnnHtp.so" in why_not_run({**session, "config": {"a": "b"}}, zoo)
    assert "libQnnHtp.so" in why_not_run(session, tmp_path / "none.yaml")
    assert "" == why_not_run({**session, "provider_options": {}}, tmp_path / "none.yaml")
    assert "libmine.so" in why_not_run({**session, "provider_options": {}, "plugin": "libmine.so"}, zoo)


def test_sizes_that_no_sweep_measures_are_refused(measured: Project, tmp_path: Path) -> None:
    """Before any memory is taken for them."""
    choice = choose.choose(measured.root / "results", CASE)
    cache, zoo = Cache(measured.root / "cache"), measured.root / "model_zoo.yaml"
    with pytest.raises(UsageError, match="has batch 1000000000; expected a whole number from 1 to"):
        export(replace(choice, row={**choice.row, "batch": 10**9}), cache=cache, out=tmp_path / "out", zoo_file=zoo)


def test_names_of_results_are_text_in_the_readme(measured: Project, tmp_path: Path) -> None:
    """Markup and line breaks of a stored row are shown as they are."""
    choice = choose.choose(measured.root / "results", CASE)
    cache, zoo = Cache(measured.root / "cache"), measured.root / "model_zoo.yaml"
    names = ("run", "commit", "target")
    row = {**choice.row, **dict.fromkeys(names, "<img src=x>\n# Title"), "runtime": "/none"}
    done = export(replace(choice, row=row), cache=cache, out=tmp_path / "out", zoo_file=zoo)
    said = (done.folder / "README.md").read_text(encoding="utf-8")
    assert "<img" not in said
    assert "\n# Title" not in said


def test_an_artifact_that_is_gone_is_said_with_the_way_back(measured: Project, tmp_path: Path) -> None:
    """Another cache, or one that was pruned."""
    said = measured.error("export", CASE, "--out", "gone", "--cache", str(tmp_path))
    assert "is not in the cache" in said
    assert "harness build tiny --variants int8-static" in said
    assert not (measured.root / "gone").exists()


def test_mistakes_are_answered_with_what_there_is(measured: Project) -> None:
    """Names that are stored, and a language that there is."""
    assert "did you mean 'tiny'" in measured.error("export", "tinny", "--out", "x")
    assert "fp32" in measured.error("export", "tiny/fp23", "--out", "x")
    assert "cpu-t1-b2" in measured.error("export", "tiny", "--target", "gpu", "--out", "x")
    assert "omit --target" in measured.error("export", CASE, "--target", "cpu", "--out", "x")
    assert "python" in measured.error("export", CASE, "--for", "pyton", "--out", "x")
    assert "give a model" in measured.error("export", "a/b/c/d", "--out", "x")


def stored(folder: Path, edit: Any = None) -> Path:
    """Two variants on two targets."""
    found = [
        report_stores.measured(case, 10.0 if case.recipe.name == "fp32" else 5.0) for case in report_stores.matrix()
    ]
    report_stores.write(folder, report_stores.run(), found, edit)
    return folder


def test_several_targets_are_a_question(tmp_path: Path) -> None:
    """A model has a winner on each; one is chosen by its label, or a glob."""
    results = stored(tmp_path)
    with pytest.raises(UsageError, match=r"--target: cpu-t1-b1 \(int8-static\), cpu-t2-b1 \(int8-static\)"):
        choose.choose(results, "digits_cnn")
    found = choose.choose(results, "digits_cnn", "*t2*")
    assert "digits_cnn/int8-static/cpu-t2-b1" == found.row["case"]
    assert "2.00 times as fast as fp32" in found.why
    with pytest.raises(UsageError, match="several targets"):
        choose.choose(results, "digits_cnn/fp32", "cpu")
    assert "digits_cnn/fp32/cpu-t1-b1" == choose.choose(results, "digits_cnn/fp32/cpu-t1-b1").row["case"]


def test_a_confirmed_choice_is_as_fast_as_its_blocks_say(tmp_path: Path) -> None:
    """The medians of the sweep itself, here 2.00, may even call the choice the slower one."""
    measured_again = ConfirmedChoice(
        state="not told apart", best="int8-static", tied=("fp32",), baseline="fp32", ratio=1.02, low=0.91, high=1.14,
        blocks=12,
    )  # fmt: skip

    def confirm(row: Row) -> None:
        row["choice"] = asdict(measured_again)

    why = choose.choose(stored(tmp_path, confirm), "digits_cnn", "cpu-t1-b1").why
    assert "; 1.02 times as fast as fp32 (95% 0.91 to 1.14, 12 pairs); not told apart from fp32" in why
    assert "2.00" not in why


def test_a_model_without_a_budget_has_no_winner(tmp_path: Path) -> None:
    """Fast and wrong is not shipped; a case can still be named."""

    def no_budget(row: Row) -> None:
        row["budget"] = None

    results = stored(tmp_path, no_budget)
    with pytest.raises(UsageError, match=r"no build to ship: it has no budget.*harness export digits_cnn/"):
        choose.choose(results, "digits_cnn", "cpu-t1-b1")


def test_a_case_without_numbers_is_refused_with_its_reason(tmp_path: Path) -> None:
    """And a store with nothing in it says what to do."""
    with pytest.raises(UsageError, match="measure something first"):
        choose.choose(tmp_path, "digits_cnn")
    report_stores.write(tmp_path, report_stores.run(), [outcomes.refused(reason="it broke")])
    with pytest.raises(UsageError, match="it broke"):
        choose.choose(tmp_path, "digits_cnn/fp32")


def test_a_file_without_a_zoo_keeps_the_sizes_of_its_axes(measured: Project, tmp_path: Path) -> None:
    """The zoo that was assumed for it is found by its weights; one with another model of that name is not taken."""
    assumed = tmp_path / FOLDER / "0" / "model_zoo.yaml"
    assumed.parent.mkdir(parents=True)
    zoo = (measured.root / "model_zoo.yaml").read_text(encoding="utf-8")
    assumed.write_text(zoo.replace("id: tiny.onnx", f"id: {measured.root}/tiny.onnx"), encoding="utf-8")
    row: Row = choose.choose(measured.root / "results", CASE).row
    cache = Cache(tmp_path)
    model = zoos.load(assumed).models["tiny"]
    cache.put_resolution(keys.source_key(model), {"weights": row["weights"]})
    other = tmp_path / "other.yaml"
    other.write_text(zoo.replace("id: tiny.onnx", "id: another.onnx"), encoding="utf-8")
    (tmp_path / "another.onnx").write_bytes(b"")
    cache.put_resolution(
        keys.source_key(zoos.load(other).models["tiny"]), {"weights": {**row["weights"], "digest": "another"}}
    )
    assert model == described(cache, other, row)
    assert None is described(cache, tmp_path / "missing.yaml", {**row, "model": "unknown"})


def test_every_licence_is_a_sentence() -> None:
    """Random weights are nobody's; what is not known is said to be."""
    row = {"weights": {"kind": "seeded"}}
    assert "random numbers" in licence(row, None)
    assert "not known to harness" in licence({"weights": {"kind": "pretrained"}}, None)
    assert "given to harness" in licence({"weights": {"kind": "file"}}, None)
    from harness import frameworks

    assert "AGPL-3.0" in frameworks.get("ultralytics").licence
    for name in names():
        assert not frameworks.get(name).licence or frameworks.get(name).licence.endswith(".")


SHELL = '''\
"""A shell: says what there is to run."""

from harness.export.examples.base import LanguageExample

EXAMPLE = LanguageExample(
    write=lambda folder: (folder / "run.sh").write_text("cat session.json", encoding="utf-8"),
    start=lambda session: (f"sh run.sh # on {session['provider']}",),
)
'''


def test_an_example_of_a_language_is_one_file(
    measured: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--for` knows it by the file's name; what it writes and how it is started go along, in place of Python's."""
    (tmp_path / "shell.py").write_text(SHELL, encoding="utf-8")
    monkeypatch.setattr(examples, "__path__", [*examples.__path__, str(tmp_path)])
    try:
        assert {"python", "shell"} <= set(examples.names())
        measured.run("export", CASE, "--for", "shell", "--out", "shell")
    finally:
        sys.modules.pop("harness.export.examples.shell", None)
    out = measured.root / "shell"
    assert {"run.sh", "session.json", "model.onnx"} <= {path.name for path in out.iterdir()}
    assert not (out / "run.py").exists()
    assert "sh run.sh # on CPUExecutionProvider" in (out / "README.md").read_text(encoding="utf-8")


def test_a_language_is_a_module() -> None:
    """Python is there; what is not is answered with what is."""
    assert "python" in examples.names()
    by = {"name": "onnxruntime", "package": "onnxruntime-gpu", "version": "1.31.1"}
    start = examples.get("python").start
    cpu = {"measured_by": by, "provider": "CPUExecutionProvider"}
    assert ("python -m pip install numpy onnxruntime==1.31.1", "python run.py") == start(cpu)
    evil = start({**cpu, "measured_by": {**by, "version": "1; rm -rf x"}})
    assert "python -m pip install numpy onnxruntime" == evil[0]
    assert start({**cpu, "provider": "CUDAExecutionProvider"})[0].endswith(" onnxruntime-gpu==1.31.1")
