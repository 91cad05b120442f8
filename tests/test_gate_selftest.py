"""harness.gate.selftest: slow-downs of a known size, recorded pairs, and gates played from them."""

from __future__ import annotations

import json
import math
import random
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from harness.errors import BuildError, HarnessError, StoreError, UsageError
from harness.gate.model import GateSettings
from harness.gate.selftest import graphs, recording, resample, selftest, slowing
from harness.gate.selftest.recording import RecordedSeries
from harness.measure.coordinator import Workload
from harness.records import Target
from harness.runtimes.client import Client
from tests import builders, pairs

SETTINGS = GateSettings()


def noise(count: int, ratio: float = 1.0, spread: float = 0.01, seed: int = 0) -> tuple[float, ...]:
    """Log-ratios about a ratio."""
    return tuple(float(x) for x in np.random.default_rng(seed).normal(math.log(ratio), spread, count))


def series(case: str, truth: float, ratio: float, count: int = 30, seed: int = 0) -> RecordedSeries:
    """A recorded series."""
    found = tuple(((1000.0, 1000.0), (1000 * math.exp(x),) * 2) for x in noise(count, ratio, seed=seed))
    return RecordedSeries(
        case=case, truth=truth, nodes=0 if truth == 1 else 9, pairs=found, circumstances={"fingerprint": "f"}
    )


# --- graphs --------------------------------------------------------------------------------------


def workload(folder: Path, model: Path, shape: tuple[int, ...], name: str = "x") -> Workload:
    """A model with an input of ones."""
    np.save(folder / "feed.npy", np.ones(shape, np.float32))
    target = Target(name="cpu", provider="CPUExecutionProvider", batch=shape[0])
    return Workload(
        model=model, target=target, optimization="all", feeds={name: folder / "feed.npy"}, dims={"batch": shape[0]}
    )


@pytest.mark.parametrize("kind", graphs.KINDS)
def test_networks_run(tmp_path: Path, kind: str) -> None:
    """Every network is valid, runs, and gives finite values."""
    graphs.serve({"make": kind, "to": str(tmp_path / "net.onnx")})
    work = workload(tmp_path, tmp_path / "net.onnx", selftest.SHAPES[kind])
    with Client() as worker:
        worker.ask("open", 60, **work.request())
        worker.ask("outputs", 60, **work.all_examples(1, tmp_path))
    assert np.isfinite(np.load(tmp_path / "0.npy")).all()


def test_unknown_network() -> None:
    """A kind that is none is named with those that are."""
    with pytest.raises(BuildError, match="no network 'lstm'; available: matmul"):
        graphs.network("lstm")


def test_extra_nodes_stay(tmp_path: Path) -> None:
    """The session runs every extra node (nothing is folded), and the model's own output stays the same."""
    model = builders.tiny_conv(tmp_path / "m.onnx")
    graphs.serve({"slow": str(model), "nodes": 13, "width": 32, "to": str(tmp_path / "s.onnx")})
    onnx.checker.check_model(tmp_path / "s.onnx")
    values = []
    for path in (model, tmp_path / "s.onnx"):
        work = workload(tmp_path, path, (2, 1, 8, 8))
        with Client() as worker:
            worker.ask("open", 60, **work.request(profile=True))
            worker.ask("burst", 60, n=1)
            kernels = Counter(row[1] for row in worker.ask("profile", 60)["nodes"])
            worker.ask("open", 60, **work.request())
            worker.ask("outputs", 60, **work.all_examples(2, tmp_path))
        values.append((kernels, np.load(tmp_path / "0.npy")))
    (_, before), (kernels, after) = values
    assert kernels["MatMul"] >= 13
    assert np.array_equal(before, after)


@pytest.mark.parametrize(
    ("make", "said"),
    [(builders.no_inputs, "no numeric input"), (builders.string_input, "no numeric input")],
)
def test_models_that_cannot_be_slowed(tmp_path: Path, make: Any, said: str) -> None:
    """Where extra nodes have nothing to begin at, the error says so."""
    with pytest.raises(BuildError, match=said):
        graphs.slow_down(onnx.load(make(tmp_path / "m.onnx")), 3, 32)


def test_child_reports_errors(tmp_path: Path) -> None:
    """What the child cannot do comes back as an error, from a job in the middle as well."""
    good = {"make": "conv", "to": str(tmp_path / "a.onnx")}
    with pytest.raises(BuildError, match="no network 'lstm'"):
        slowing.make([good, {"make": "lstm", "to": str(tmp_path / "b.onnx")}])
    with pytest.raises(BuildError, match="nowhere"):
        slowing.make([{"slow": str(tmp_path / "nowhere.onnx"), "nodes": 1, "width": 8, "to": str(tmp_path / "c.onnx")}])
    assert (tmp_path / "a.onnx").exists()


@pytest.mark.parametrize(("each", "slow", "expected"), [(0.002, 0.05, 21), (0.02, 0.05, 1), (0.0002, 0.03, 146)])
def test_nodes_are_calibrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, each: float, slow: float, expected: int
) -> None:
    """The number of nodes comes from what a node was measured to cost, the four that lead to the chain included."""
    work = workload(tmp_path, tmp_path / "m.onnx", (1, 4))

    def measured(contest: Any) -> Any:
        return pairs.pair(1 + each * (4 + int(contest.workloads["head"].model.stem)))

    monkeypatch.setattr(slowing, "make", lambda jobs: None)
    monkeypatch.setattr(slowing, "measure_pair", measured)
    assert expected == slowing.nodes_for(work, slow, tmp_path / "slow")


def test_nodes_that_cost_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model on which no number of nodes shows is refused, and not called slowed."""
    monkeypatch.setattr(slowing, "make", lambda jobs: None)
    monkeypatch.setattr(slowing, "measure_pair", lambda contest: pairs.pair(1.0))
    with pytest.raises(BuildError, match="do not slow"):
        slowing.nodes_for(workload(tmp_path, tmp_path / "m.onnx", (1, 4)), 0.05, tmp_path / "slow")


# --- recordings ----------------------------------------------------------------------------------


def test_recording_comes_back(tmp_path: Path) -> None:
    """What is written is read again, series of several files put together; it is what benchmarks/rules.py reads."""
    told = recording.series("a", 1.05, 7, pairs.many(3, 1.05), {"fingerprint": "f", "bursts": 7})
    recording.write((told, series("b", 1.0, 1.0)), tmp_path / "one.json")
    recording.write((told,), tmp_path / "two.json")
    first, second = recording.read([tmp_path / "one.json", tmp_path / "two.json"])
    assert ("a", 1.05, 7, 6) == (first.case, first.truth, first.nodes, len(first.pairs))
    assert {"b": second.log_ratios} == recording.of_truth((first, second), 1.0)
    assert pytest.approx([math.log(1.05)] * 3, abs=0.002) == list(told.log_ratios)

    from benchmarks import rules

    judged = rules.load(tmp_path / "one.json")
    assert [("a", 1.05), ("b", 1.0)] == [(one.case, one.truth) for one in judged]


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[1]", '[{"case": "a"}]', '[{"case": "a", "truth": 1, "pairs": [[[1], [0]]]}]',
     '[{"case": "a", "truth": 1, "pairs": [[[1, 2], [1]]]}]', '[{"case": "a", "truth": 1, "pairs": [[[NaN], [1]]]}]'],
)  # fmt: skip
def test_broken_recordings(tmp_path: Path, text: str) -> None:
    """What is no recording is an error that names the file."""
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(StoreError, match=r"r\.json"):
        recording.read([tmp_path / "r.json"])


def test_recordings_of_two_hosts(tmp_path: Path) -> None:
    """Pairs of different hosts are not put together."""
    recording.write((series("a", 1.0, 1.0),), tmp_path / "one.json")
    (tmp_path / "two.json").write_text(
        json.dumps([{"case": "a", "truth": 1, "pairs": [[[1], [1]]], "fingerprint": "other"}])
    )
    with pytest.raises(StoreError, match="2 hosts"):
        recording.read([tmp_path / "one.json", tmp_path / "two.json"])


# --- gates that are played -----------------------------------------------------------------------


def test_null_gates_raise_few_alarms() -> None:
    """Noise alone keeps to the promise."""
    quiet = {f"{seed}": noise(28, 1.0, 0.02, seed=seed) for seed in range(60)}
    assert resample.any_alarm(quiet, 20, 100, SETTINGS, random.Random(1)) <= 0.06


def test_bias_shows_as_false_alarms() -> None:
    """A host on which one side is always 3% slower raises them in half of the gates: where that side is the head."""
    leaning = {"a": noise(40, 1.03, 0.01)}
    assert 0.35 <= resample.any_alarm(leaning, 1, 200, SETTINGS, random.Random(1)) <= 0.65


@pytest.mark.parametrize(("ratio", "least", "most"), [(1.05, 0.95, 1.0), (1.0, 0.0, 0.06)])
def test_slow_cases_are_found(ratio: float, least: float, most: float) -> None:
    """A case that is 5% slower at a spread of 1.5% is nearly always seen, one that is not slower hardly ever."""
    rng = random.Random(1)
    slow, null = {"a": noise(200, ratio, 0.015)}, {"b": noise(200, 1.0, 0.015, seed=3)}
    assert least <= resample.found_share(slow, null, 5, 100, SETTINGS, rng) <= most


def test_pairs_are_used_once() -> None:
    """Screening and confirming share no pair; where nothing changed, one sign is drawn for all pairs of the case."""
    values = [float(i + 1) for i in range(28)]
    screen, confirm = resample.drawn(values, same=False, settings=SETTINGS, rng=random.Random(1))
    assert (8, 20) == (len(screen), len(confirm))
    assert values == sorted(screen + confirm)
    signs = set()
    for seed in range(8):
        screen, confirm = resample.drawn(values, same=True, settings=SETTINGS, rng=random.Random(seed))
        assert values == sorted(abs(x) for x in screen + confirm)
        signs.add(frozenset(math.copysign(1, x) for x in screen + confirm))
    assert {frozenset({1.0}), frozenset({-1.0})} == signs


@pytest.mark.parametrize("count", [3, 27])
def test_short_recordings(count: int) -> None:
    """Fewer pairs than a gate takes are refused, with what is needed, and never used twice."""
    with pytest.raises(UsageError, match=rf"has {count} pairs, and a gate of 8 screening and 20 .* takes 28"):
        resample.any_alarm({"a": noise(count)}, 1, 1, SETTINGS, random.Random(1))


def test_range_holds_the_rate() -> None:
    """The range is taken over new drawings of the cases and holds the rate itself."""
    told = resample.rate(
        lambda found: statistics.fmean(found[0]["0" if "0" in found[0] else "a"]),
        [{"a": noise(30), "b": noise(30, 1.02), "0": noise(30, 1.01)}],
        random.Random(1),
    )
    assert told.low <= told.value <= told.high
    assert told.low < told.high


def test_figures_of_a_recording() -> None:
    """Spread, true cost, false alarms, power and the smallest visible slow-down, from one recording."""
    recorded = (series("a", 1.0, 1.0, seed=4), series("a", 1.05, 1.05, seed=5))
    found = selftest.figures(recorded, 0.05, SETTINGS, gate_cases=5, gates=5)
    assert pytest.approx(0.01, rel=0.5) == found.spread["a"]
    assert pytest.approx(1.05, abs=0.01) == found.slowed["a"].ratio
    assert found.per_case.value <= 0.1
    assert found.power.value >= 0.9
    assert 0.01 < found.detectable < 0.03


def test_figures_need_both_kinds() -> None:
    """Without a slowed series, or with too few pairs, there are no figures."""
    with pytest.raises(UsageError, match="slowed by 5%"):
        selftest.figures((series("a", 1.0, 1.0),), 0.05, SETTINGS)
    with pytest.raises(UsageError, match="27 pairs"):
        selftest.figures((series("a", 1.0, 1.0, count=27), series("a", 1.05, 1.05)), 0.05, SETTINGS)


def test_selftest_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kinds of pairs of every case are measured in turns, on real workers."""
    monkeypatch.setattr(slowing, "nodes_for", lambda work, slow, folder: 60)
    watch = pairs.Quiet()
    settings = GateSettings(bursts=3, burst_s=0.005, screen_pairs=1, confirm_pairs=1)
    found = selftest.record(slow=0.2, cases=1, settings=settings, watch=watch, rng=random.Random(1))
    assert [("matmul-t1", 1.0, 0, 2), ("matmul-t1", 1.2, 60, 2)] == [
        (one.case, one.truth, one.nodes, len(one.pairs)) for one in found
    ]
    assert 4 == watch.pairs
    assert {"fingerprint", "runtime", "recorded_at", "bursts", "burst_s"} == set(found[0].circumstances)


def test_selftest_that_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of harness's own that cannot be measured makes figures worthless: an error, not fewer cases."""

    def broken(*arguments: Any, **more: Any) -> Any:
        raise pairs.dies()

    monkeypatch.setattr(selftest, "measure_pair", broken)
    with pytest.raises(HarnessError, match="head: the worker died"):
        selftest.rounds({"a": pairs.contest()}, 2, SETTINGS, pairs.Quiet(), random.Random(1))
