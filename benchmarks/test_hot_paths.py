"""What the harness itself spends its time on, under pytest-benchmark: `pytest benchmarks/`.

`--benchmark-autosave` and `--benchmark-compare` keep and compare as usual. Nothing here asserts a time.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness import zoo
from harness.flow.plan import Selection, plan, plan_digest
from harness.records import Outcome
from harness.stats import estimate, paired
from harness.store import query, samples
from harness.store.asv import results as asv
from harness.store.journal import Journal
from harness.store.rows import to_row
from tests.outcomes import case, measured, process, run

pytest.importorskip("pytest_benchmark", reason="these are pytest-benchmark's: pip install pytest-benchmark")

ROOT = Path(__file__).parent.parent
CASES = 10_000
VARIANTS = ("fp32", "fp32-fused", "fp16", "bf16", "int8-dynamic")

GRID = f"""
version: 1
defaults:
  threads: [{", ".join(map(str, range(20)))}]
  batch: [{", ".join(map(str, range(1, 11)))}]
variants:
  fp32: {{precision: float32, optimization: disabled, steps: [export]}}
  fp32-fused: {{precision: float32, steps: [export, fuse]}}
  fp16: {{precision: float16, steps: [export, fuse: {{level: basic}}, cast: {{to: float16}}]}}
  bf16: {{precision: bfloat16, steps: [export, fuse: {{level: basic}}, cast: {{to: bfloat16}}]}}
  int8-dynamic: {{precision: int8, steps: [export, fuse: {{level: basic}}, quantize: {{method: dynamic}}]}}
targets:
  cpu: {{provider: cpu}}
models:
""" + "".join(f"  model{index}: {{source: onnx, id: model{index}.onnx}}\n" for index in range(10))
"""10 models x 5 variants x 20 thread counts x 10 batch sizes."""


@pytest.fixture
def grid(tmp_path: Path) -> zoo.Zoo:
    """A zoo of 10,000 cases."""
    for index in range(10):
        (tmp_path / f"model{index}.onnx").touch()
    path = tmp_path / "model_zoo.yaml"
    path.write_text(GRID, encoding="utf-8")
    return zoo.load(path)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No machine file of the person who runs this."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def outcomes(count: int, n: int) -> list[Outcome]:
    """Measured cases of five processes with `n` samples each."""
    processes = tuple(process(1_000_000 + 1_000 * index, n) for index in range(5))
    places = itertools.islice(itertools.product(range(count), VARIANTS), count)
    return [measured(case(model=f"model{index}", variant=variant), processes=processes) for index, variant in places]


def store(results: Path, runs: int, cases: int, n: int) -> None:
    """Write finished runs, a day apart."""
    for day in range(1, runs + 1):
        of = run(id=f"202601{day:02}T000000Z-aaaaaa", started_at=f"2026-01-{day:02}T00:00:00+00:00")
        rows = [to_row(of, outcome) for outcome in outcomes(cases, n)]
        path = results / "samples" / f"{of.id}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(samples.encode(rows))


def ratios(n: int, seed: int = 0) -> Sequence[float]:
    """Log-ratios of `n` process pairs, 1% apart with a spread of 2%."""
    draw = random.Random(seed)  # noqa: S311  (no secret)
    return [math.log(1.01) + draw.gauss(0, 0.02) for _ in range(n)]


def test_read_the_shipped_zoo(benchmark: Any) -> None:
    """model_zoo.yaml, with every check."""
    assert len(benchmark(zoo.load, ROOT / "model_zoo.yaml").models) >= 5


def test_read_a_zoo_of_a_hundred_models(benchmark: Any, tmp_path: Path) -> None:
    """How reading grows with the zoo."""
    head = GRID[: GRID.index("models:")]
    entries = "".join(f"  model{index}: {{source: onnx, id: model{index}.onnx}}\n" for index in range(100))
    path = tmp_path / "model_zoo.yaml"
    path.write_text(f"{head}models:\n{entries}", encoding="utf-8")
    assert len(benchmark(zoo.load, path).models) == 100


def test_plan(benchmark: Any, grid: zoo.Zoo) -> None:
    """10,000 cases from a zoo that is read already."""
    assert len(benchmark(plan, grid, Selection()).cases) == CASES


def test_plan_digest(benchmark: Any, grid: zoo.Zoo) -> None:
    """The name under which an interrupted sweep of 10,000 cases is found again."""
    assert len(benchmark(plan_digest, grid, plan(grid, Selection()).cases, {})) == 64


def test_keep_a_case(benchmark: Any, tmp_path: Path) -> None:
    """What every measured case waits for: five processes of 3,001 samples, written and renamed into place."""
    (outcome,) = outcomes(1, 3_001)
    with Journal.open(tmp_path / "results", run(), resume=False) as journal:
        row = benchmark(journal.append, outcome)
    assert row["case"] == outcome.case.id


def test_write_a_run(benchmark: Any) -> None:
    """A run of 50 cases with 15,005 samples each as Parquet."""
    rows = [to_row(run(), outcome) for outcome in outcomes(50, 3_001)]
    assert benchmark(samples.encode, rows)


def test_read_a_run_without_samples(benchmark: Any, tmp_path: Path) -> None:
    """The same run read as tables and charts read it."""
    store(tmp_path, runs=1, cases=50, n=3_001)
    (path,) = (tmp_path / "samples").iterdir()
    assert len(benchmark(samples.read, path, samples=False)) == 50


def test_read_a_run_with_samples(benchmark: Any, tmp_path: Path) -> None:
    """And with its 750,250 samples."""
    store(tmp_path, runs=1, cases=50, n=3_001)
    (path,) = (tmp_path / "samples").iterdir()
    assert len(benchmark(samples.read, path)[0]["processes"]) == 5


@pytest.mark.parametrize("all_runs", [False, True], ids=["newest", "all"])
def test_query(benchmark: Any, tmp_path: Path, *, all_runs: bool) -> None:
    """2,000 rows in 20 files: the newest of each case, and every one."""
    store(tmp_path, runs=20, cases=100, n=11)
    assert (2_000 if all_runs else 100) == len(benchmark(query.rows, tmp_path, all_runs=all_runs))


def test_write_asv_files(benchmark: Any, tmp_path: Path) -> None:
    """50 cases merged into asv's files, statistics included."""
    rows = [to_row(run(), outcome) for outcome in outcomes(50, 201)]
    assert benchmark(asv.write, tmp_path / "results", run(), rows)


def test_estimate(benchmark: Any) -> None:
    """The median and its interval from five processes of 3,001 samples."""
    (outcome,) = outcomes(1, 3_001)
    assert benchmark(estimate.latency, outcome.processes, 0.02).n == 15_005


@pytest.mark.parametrize("pairs", [8, 20])
def test_paired(benchmark: Any, pairs: int) -> None:
    """One case of a gate: screened, and the ratio with its interval."""
    values = ratios(pairs)

    def decide() -> tuple[paired.Screened, paired.Interval]:
        return paired.screen(values), paired.ratio_interval(values)

    screened, interval = benchmark(decide)
    assert pairs == screened.n == interval.n


def test_confirm_a_family(benchmark: Any) -> None:
    """Sixty flagged cases confirmed together on 20 fresh pairs each."""
    fresh = {f"case{index}": ratios(20, index) for index in range(60)}
    directions: dict[str, paired.Direction] = dict.fromkeys(fresh, "slower")
    assert len(benchmark(paired.confirm, fresh, directions=directions)) == 60
