"""harness.flow.doctor and harness.flow.availability: what can run here is found out by running it."""

from __future__ import annotations

import dataclasses
import json
import os
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import harness
from harness import runtime_spec, zoo
from harness.cli.sweep import print_json
from harness.flow import availability, doctor, executors_here
from harness.records import Recipe, Step, Target
from harness.stats import between
from tests import outcomes, report_stores
from tests.conftest import Project

CPU = Target(name="cpu", provider="CPUExecutionProvider")


def test_cpu_runs_a_node_and_a_missing_provider_says_why() -> None:
    """By running one, not by reading a list."""
    assert doctor.try_provider("CPUExecutionProvider") is None
    assert "QNNExecutionProvider" in (doctor.try_provider("QNNExecutionProvider") or "")


def test_frameworks_are_imported_in_a_child() -> None:
    """A module that is there, one that is not; this process imports neither."""
    found = doctor.imports(("yaml", "no_such_framework"))
    assert doctor.FrameworkFound(version=metadata.version("pyyaml")) == found["yaml"]
    assert doctor.FrameworkFound(problem="not installed") == found["no_such_framework"]


def test_advice_follows_what_was_seen() -> None:
    """Nothing to fix on a quiet host; a remedy for each kind of noise."""
    facts = {"cores_logical": 4, "cores_usable": 4, "cpu_limit": None, "governor": "performance"}
    quiet = {"busy": 0.25, "steal": 0.0, "spread": 0.01, "detectable": 0.01}
    assert () == doctor.advice(facts, quiet)
    assert "hypervisor" in doctor.advice(facts, quiet | {"steal": 0.1})[0]
    assert "--processes" in doctor.advice(facts, quiet | {"spread": 0.2})[0]
    assert "Other programs" in doctor.advice(facts, quiet | {"busy": 0.9})[0]
    assert "governor" in doctor.advice(facts | {"governor": "powersave"}, quiet)[0]
    assert "quota" in doctor.advice(facts | {"cpu_limit": 1.5}, quiet)[0]
    assert "Only 2 of 4" in doctor.advice(facts | {"cores_usable": 2}, quiet)[0]


def test_an_examination_can_be_shown_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """What `doctor --json` prints; short here, and the README's own test runs the verb as it stands."""
    print_json(dataclasses.asdict(doctor.examine(modules=("yaml",), processes=2, seconds=0.1)))
    found = json.loads(capsys.readouterr().out)
    assert ["yaml"] == list(found["frameworks"])
    assert found["providers"]["CPUExecutionProvider"] is None
    assert found["floor_s"] > 0
    assert found["noise"]["spread"] >= 0
    assert found["host"]["cores_logical"] >= 1


def test_models_that_cannot_be_built_say_what_is_missing(project: Project) -> None:
    """A file that is not there."""
    project.add_model("gone", "gone.onnx")
    items = {
        item.name: item
        for item in availability.take(zoo.load(project.root / "model_zoo.yaml"), project.root / "cache")["models"]
    }
    assert "" == items["tiny"].why_not
    assert "no such file" in items["gone"].why_not


def test_a_runtime_is_not_installed_for_a_look(project: Project) -> None:
    """A target that needs one says that a sweep will."""
    path = project.root / "model_zoo.yaml"
    more = "  old: {provider: cpu, runtime: onnxruntime==1.23.0}\nmodels:\n"
    path.write_text(path.read_text(encoding="utf-8").replace("models:\n", more), encoding="utf-8")
    (item,) = (i for i in availability.take(zoo.load(path), project.root / "cache")["targets"] if i.name == "old")
    assert "a sweep installs it" in item.why_not
    assert not (project.root / "cache").exists()


def was_tried(name: str, _: Path) -> str:
    """Why something does not run here."""
    return f"{name} was tried"


def test_every_runtime_says_whether_it_can_run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a target has shown is not tried again; what is not in the cache is said, and not installed."""
    vino = Target(name="vino", provider="cpu", runtime="openvino==2026.4.1")
    found = executors_here.runtimes({"cpu": CPU, "vino": vino}, {"cpu": "", "vino": ""}, tmp_path, was_tried)
    assert {"onnxruntime", "openvino"} == {name for name, why in found.items() if not why}
    assert {*runtime_spec.OTHERS, *runtime_spec.LANGUAGES, "onnxruntime"} == set(found)
    assert "a sweep installs it" in executors_here.runtime_problem("litert", tmp_path)
    monkeypatch.setenv("PATH", os.devnull)  # where no compiler lies
    assert "no C++ compiler: c++ or g++ or clang++" == executors_here.runtime_problem("torch-compile", tmp_path)
    assert [] == list(tmp_path.iterdir())


def test_every_provider_says_what_is_missing(tmp_path: Path) -> None:
    """One in the build is tried, one that is not says what brings it, and one that a target has run is there."""
    targets = {
        "cpu": CPU,
        "vino": dataclasses.replace(
            CPU, name="vino", provider="OpenVINOExecutionProvider", plugin="onnxruntime-ep-openvino"
        ),
        "npu": dataclasses.replace(CPU, name="npu", provider="QNNExecutionProvider", plugin="onnxruntime-qnn"),
    }
    found = executors_here.providers(targets, {"cpu": "no kernel", "vino": "", "npu": "no device"}, tmp_path, was_tried)
    assert ("CPUExecutionProvider", "no kernel") == found["cpu"]
    assert ("OpenVINOExecutionProvider", "") == found["openvino"]
    assert "the plugin onnxruntime-qnn, and a Qualcomm NPU" in found["qnn"][1]
    assert "provider: {plugin: onnxruntime-ggml}" in found["onnxruntime-ggml"][1]
    untried = executors_here.providers({}, {}, tmp_path, was_tried)["cpu"]
    assert ("CPUExecutionProvider", "CPUExecutionProvider was tried") == untried


def test_precisions_without_a_kernel_are_named(tmp_path: Path) -> None:
    """The CPU provider multiplies float16 (by casting) and has no bfloat16 MatMul."""
    assert "" == availability.precision_problem("float32", [CPU], tmp_path)
    assert "no bfloat16 MatMul kernel on cpu" == availability.precision_problem("bfloat16", [CPU], tmp_path)


def test_drift_is_read_from_this_hosts_own_runs(tmp_path: Path) -> None:
    """Runs of the same artifact on this host; other hosts, artifacts and runs of few processes say nothing of it."""

    def stored(day: int, medians: tuple[int, ...], **run: Any) -> None:
        of = outcomes.run(id=f"2026013{day % 10}T101502Z-3f9c{day:02}", **run)
        report_stores.write(tmp_path, of, [outcomes.measured(outcomes.case(), medians)])

    for day in range(7):
        stored(day, (1_000_000, 1_010_000, 1_020_000 + 10_000 * (day % 2)))
    stored(7, (9_000_000, 9_010_000, 9_020_000), fingerprint="f" * 12)
    stored(8, (9_000_000, 9_010_000))
    apart = doctor.drifted(tmp_path, "0123456789ab")
    assert 21 == len(apart)
    assert all(distance < 1 for distance in apart)
    assert [] == doctor.drifted(tmp_path / "nowhere", "0123456789ab")


def test_drift_counts_in_half_widths() -> None:
    """Welch's interval by hand: equal errors of two runs of five processes have eight degrees of freedom."""
    one, other = (between.RunMiddle(middle=middle, error=0.01, n=5) for middle in (0.0, 0.05))
    assert pytest.approx(0.05 / (0.01 * 2**0.5 * 2.306), rel=1e-3) == between.half_widths(one, other)
    same = between.RunMiddle(middle=0.0, error=0.0, n=5)
    assert 0.0 == between.half_widths(same, same)


def test_recipes_are_written_on_a_line() -> None:
    """Steps with their options."""
    recipe = Recipe(name="x", steps=(Step(kind="export"), Step(kind="cast", options={"to": "float16"})))
    assert "export > cast to=float16" == availability.recipe_text(recipe)


def test_the_shipped_one_node_models_are_what_they_claim() -> None:
    """They are data files of the package: nobody else checks them."""
    import onnx

    folder = Path(harness.__file__).parent / "measure"
    expected = {"floor": ["Relu"], "square": ["MatMul"]}
    expected |= {f"square_{kind}": ["Cast", "MatMul", "Cast"] for kind in ("float16", "bfloat16")}
    assert set(expected) == {path.stem for path in folder.glob("*.onnx")}
    for name, operators in expected.items():
        model = onnx.load(folder / f"{name}.onnx")
        onnx.checker.check_model(model, full_check=True)
        assert operators == [node.op_type for node in model.graph.node]
