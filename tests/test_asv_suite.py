"""The functions that asv measures, without asv around them: harness.asv_suite, and harness.asv on its side."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from harness import asv_suite
from harness.asv import commit, exchange, measuring
from harness.build import inventory
from harness.build.cache import Cache
from harness.errors import HarnessError, UsageError, ZooError
from harness.flow.session import TriedTargets
from harness.records import Status
from harness.runtimes.clients import WorkerStarter
from harness.store.asv.benchmarks import BENCHMARKS, PARAMETERS
from harness.store.rows import to_row
from tests import builders, outcomes
from tests.integration import asv_projects
from tests.test_provenance import git

HUB_ZOO = """  net:
    source: torch
    id: nowhere:net
    weights: {kind: pretrained}
    data: random
    inputs: {x: {dtype: float32, shape: [batch, 3]}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The plugin's folder, in a project of one tiny model."""
    for name in (exchange.ZOO, exchange.WEIGHTS, exchange.TIME_PER_CASE, exchange.PROCESSES, "ASV_ENV_DIR"):
        monkeypatch.delenv(name, raising=False)
    builders.tiny_conv(tmp_path / "project/tiny.onnx")
    zoo = asv_projects.ZOO.replace("processes: 1", "processes: 2") + "  tiny: {source: onnx, id: tiny.onnx}\n"
    (tmp_path / "project/model_zoo.yaml").write_text(zoo, encoding="utf-8")
    (tmp_path / "folder").mkdir()
    monkeypatch.setenv("ASV_CONF_DIR", str(tmp_path / "project"))
    monkeypatch.setenv(exchange.FOLDER, str(tmp_path / "folder"))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "folder"


def write_zoo(folder: Path, text: str) -> None:
    """Replace the project's zoo."""
    (folder.parent / "project/model_zoo.yaml").write_text(text, encoding="utf-8")


def test_every_metric_becomes_a_function_with_what_asv_asks_for(folder: Path) -> None:
    """Names, units, types and versions are those of the one list; the timeout is explicit."""
    found = asv_suite.benchmarks()
    assert [metric.name for metric in BENCHMARKS] == [f"sweep.{name}" for name in found]
    for metric, track in zip(BENCHMARKS, found.values(), strict=True):
        asked: Any = track
        assert (metric.unit, metric.type, metric.version) == (asked.unit, asked.type, asked.version)
        assert list(PARAMETERS) == asked.param_names
        assert [["tiny"], ["fp32"], ["cpu"], [1], [1]] == asked.params
        assert 600 < asked.timeout


def test_one_call_measures_and_leaves_every_other_answer(folder: Path) -> None:
    """A real measurement: the latency comes back as samples, the other six metrics lie in the folder."""
    found = asv_suite.benchmarks()
    value = found["track_latency"]("tiny", "fp32", "cpu", 1, 1)
    assert 1 == value["number"]
    assert 2 == len(value["samples"])
    left = json.loads((folder / "0.json").read_text(encoding="utf-8"))
    assert {metric.name for metric in BENCHMARKS} - {"sweep.track_latency"} == set(left)
    assert (folder.parent / "project/tiny.onnx").stat().st_size == left["sweep.track_artifact_size"]["value"]
    assert math.isnan(left["sweep.track_accuracy_drop"]["value"])
    dimensions = json.loads((folder / exchange.DIMENSIONS_FILE).read_text(encoding="utf-8"))
    assert {"python", "onnxruntime", "host"} == set(dimensions)
    (label,) = json.loads((folder / exchange.WEIGHTS_FILE).read_text(encoding="utf-8")).items()
    assert "tiny" == label[0]
    assert label[1].startswith("tiny-file-")


def test_places_are_counted_on_the_axes_that_were_handed_over(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model of another commit is n/a, with the reason on stderr and for all metrics in the folder."""
    axes = [["'other'", "'tiny'"], ["'fp32'"], ["'cpu'"], ["1", "'2-i4'"], ["1"]]
    (folder / exchange.AXES_FILE).write_text(json.dumps(axes), encoding="utf-8")
    found = asv_suite.benchmarks()
    asked: Any = found["track_latency"]
    assert [["other", "tiny"], ["fp32"], ["cpu"], [1, "2-i4"], [1]] == asked.params
    assert math.isnan(found["track_latency"]("other", "fp32", "cpu", 1, 1))
    assert "n/a: this commit's zoo has no model 'other'" in capsys.readouterr().err
    reasons = json.loads((folder / exchange.NONE_FILE).read_text(encoding="utf-8"))
    assert {"0", "1", "3"} == set(reasons)  # all but ('tiny', ..., 1, 1)
    assert "no threads '2-i4'" in reasons["3"]


def test_a_commit_without_a_zoo_is_not_applicable_and_one_with_mistakes_fails(folder: Path) -> None:
    """While asv looks for benchmarks, both are errors."""
    axes = [["'tiny'"], ["'fp32'"], ["'cpu'"], ["1"], ["1"]]
    (folder.parent / "project/model_zoo.yaml").unlink()
    with pytest.raises(UsageError, match=r"this commit has no model_zoo\.yaml"):
        asv_suite.benchmarks()
    (folder / exchange.AXES_FILE).write_text(json.dumps(axes), encoding="utf-8")
    assert math.isnan(asv_suite.benchmarks()["track_latency"]("tiny", "fp32", "cpu", 1, 1))
    write_zoo(folder, "version: 7\n")
    with pytest.raises(HarnessError, match="version"):
        asv_suite.benchmarks()["track_latency"]("tiny", "fp32", "cpu", 1, 1)
    (folder / exchange.AXES_FILE).unlink()
    with pytest.raises(ZooError, match="version"):
        asv_suite.benchmarks()


def test_without_the_plugin_nothing_is_measured(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to write where."""
    monkeypatch.delenv(exchange.FOLDER)
    with pytest.raises(UsageError, match=r'"plugins": \["\.harness\.asv_plugin"\]'):
        asv_suite.benchmarks()


@pytest.mark.parametrize(
    ("status", "is_failed"), [(Status.FAILED, True), (Status.UNSUPPORTED, False), (Status.SKIPPED, False)]
)
def test_failed_is_never_not_applicable(status: Status, *, is_failed: bool) -> None:
    """Failed has no value; what cannot or should not run answers NaN; both carry the reason."""
    row = to_row(outcomes.run(), outcomes.refused(status=status, reason="because"))
    for _, answer in measuring.replies(row):
        assert "because" in answer.out
        assert is_failed == (answer.value is None)
        assert is_failed or math.isnan(answer.value)


def test_emulated_cases_have_numbers_as_in_a_sweep() -> None:
    """They ran; the reason that travels with them is printed."""
    row = to_row(outcomes.run(), outcomes.measured(status=Status.EMULATED, reason="casts to float32"))
    answers = dict(measuring.replies(row))
    assert 3 == len(answers[BENCHMARKS[0]].value["samples"])
    assert "casts to float32" in answers[BENCHMARKS[0]].out
    assert 0.01 == answers[BENCHMARKS[1]].value


def test_warnings_are_printed_once(folder: Path) -> None:
    """With the latency, not with all seven metrics."""
    row = to_row(outcomes.run(), outcomes.measured())
    assert 1 == sum("noisy" in answer.out for _, answer in measuring.replies(row))


@pytest.mark.parametrize(
    ("policy", "weights", "kind"),
    [
        ("", "pretrained", "seeded"),
        ("seeded", "pretrained", "seeded"),
        ("pretrained", "pretrained", "pretrained"),
        ("seeded", "trained", "trained"),
    ],
)
def test_the_weights_policy_rules_models_that_ask_a_hub(
    folder: Path, monkeypatch: pytest.MonkeyPatch, policy: str, weights: str, kind: str
) -> None:
    """Without one they are seeded: a hub that comes and goes must not mix two series."""
    write_zoo(folder, asv_projects.ZOO + HUB_ZOO.replace("kind: pretrained", f"kind: {weights}"))
    monkeypatch.setenv(exchange.WEIGHTS, policy)
    assert kind == commit.load().models["net"].weights.kind


def test_a_policy_that_does_not_exist_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the ones that do."""
    monkeypatch.setenv(exchange.WEIGHTS, "fresh")
    with pytest.raises(UsageError, match="HARNESS_WEIGHTS=fresh: expected one of seeded, pretrained"):
        commit.load()


def test_required_weights_that_cannot_be_had_are_not_applicable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under `pretrained` a build that fell back to seeded weights is not measured, and says why."""
    of = outcomes.case()
    monkeypatch.setenv(exchange.WEIGHTS, "pretrained")
    monkeypatch.setattr(
        "harness.build.pipeline.build", lambda *_, **__: {(of.model.name, of.recipe.name): outcomes.artifact(of)}
    )
    row = measuring.measured(commit.load(), of)
    assert "unsupported" == row["status"]
    assert "HARNESS_WEIGHTS=pretrained, but the hub cannot be reached" == row["reason"]


def test_the_checkout_of_an_environment_of_asv_is_what_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In `project` under the environment's folder, as deep as asv.conf.json lies in its own checkout."""
    project = folder.parent / "project"
    assert project == commit.root()
    monkeypatch.setenv("ASV_ENV_DIR", str(folder.parent / "env"))
    git(folder.parent, "init")
    assert folder.parent / "env/project/project" == commit.root()
    monkeypatch.setenv("ASV_CONF_DIR", str(folder.parent))
    assert folder.parent / "env/project" == commit.root()


def test_settings_come_from_the_zoo_the_environment_or_quick(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The later wins; nonsense is refused."""
    zoo = commit.load()
    assert (2, 0.1) == (measuring.settings(zoo).processes, measuring.settings(zoo).time_per_case)
    monkeypatch.setenv(exchange.TIME_PER_CASE, "7.5")
    monkeypatch.setenv(exchange.PROCESSES, "4")
    assert (4, 7.5) == (measuring.settings(zoo).processes, measuring.settings(zoo).time_per_case)
    for text in ("soon", "0", "-1", "nan", "inf"):
        monkeypatch.setenv(exchange.TIME_PER_CASE, text)
        with pytest.raises(UsageError, match=f"HARNESS_TIME_PER_CASE={text}"):
            measuring.settings(zoo)
    (folder / exchange.QUICK_FILE).write_text("true", encoding="utf-8")
    assert 1 == measuring.settings(zoo).processes


def test_a_target_is_tried_once_for_all_its_cases(folder: Path) -> None:
    """The floor of a provider costs a second; cases of one environment share it."""
    calls: list[Any] = []

    def attempt(cases: Any, cache: Path) -> TriedTargets:
        calls.append(cases)
        return TriedTargets(floors={"cpu": 1e-6}, clients={"cpu": WorkerStarter(command=("python", "worker.py"))})

    of = outcomes.case()
    first, second = (measuring.tried([of], folder, attempt=attempt) for _ in range(2))
    assert {"cpu": 1e-6} == first.floors
    assert first == second
    assert 1 == len(calls)


def test_the_cache_is_the_usual_one(folder: Path) -> None:
    """What was built for asv serves `harness sweep`, and the other way round."""
    asv_suite.benchmarks()["track_artifact_size"]("tiny", "fp32", "cpu", 1, 1)
    assert [entry.kind for entry in inventory.entries(Cache(folder.parent / "cache")) if entry.kind == "artifacts"]
