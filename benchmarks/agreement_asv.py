"""`asv run` beside `harness sweep`: the same case by turns, and what each stores as its latency.

They take turns in random order. One number per pair: asv's median over the sweep's. Between two sweeps in a row, which
share everything, it says what the host alone makes of it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from common import ROOT, host, ratios

from harness.asv import exchange
from harness.build.cache import default_root


def asv(folder: Path, case: tuple[str, str], seconds: float) -> float:
    """The latency that asv stores, in seconds."""
    model, variant = case
    configuration = {
        "version": 1,
        "project": "agreement",
        "repo": str(ROOT),
        "branches": ["HEAD"],
        "benchmark_dir": str(ROOT / "benchmarks/suite"),
        "results_dir": "results",
        "environment_type": "virtualenv",
        "plugins": [".harness.asv_plugin"],
    }
    (folder / "asv.conf.json").write_text(json.dumps(configuration), encoding="utf-8")
    variables = {
        "HOME": str(folder),
        "HARNESS_CACHE": str(default_root()),
        exchange.ZOO: str(ROOT / "model_zoo.yaml"),
        exchange.TIME_PER_CASE: str(seconds),
    }
    command = [sys.executable, "-c", "from asv.main import main; main()"]
    pattern = rf"track_latency\('{model}', '{variant}', 'cpu', 1, 1\)"
    for arguments in (
        ["machine", "--yes"],
        ["run", "--environment", "existing:same", "--set-commit-hash", "HEAD", "--bench", pattern],
    ):
        done = subprocess.run(
            [*command, *arguments], cwd=folder, env=os.environ | variables, check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"asv {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
    (path,) = (path for path in folder.glob("results/*/*.json") if path.name != "machine.json")
    value: float = json.loads(path.read_text(encoding="utf-8"))["results"]["sweep.track_latency"][0][0]
    path.unlink()
    return value


def sweep(folder: Path, case: tuple[str, str], seconds: float) -> float:
    """The latency that a sweep stores, in seconds."""
    model, variant = case
    selection = ["--models", model, "--variants", variant, "--targets", "cpu", "--threads", "1", "--batch", "1"]
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from harness.cli import main; main()", "sweep", *selection, "--json", "--fresh"),
            *("--time-per-case", str(seconds), "--results", str(folder / "sweep")),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    (row,) = json.loads(done.stdout)
    median: float = row["latency"]["median_s"]
    return median


def main() -> None:
    """Run the pairs and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--model", default="digits_cnn")
    parser.add_argument("--variant", default="fp32")
    parser.add_argument("--time-per-case", type=float, default=15.0)
    arguments = parser.parse_args()
    case, seconds = (arguments.model, arguments.variant), arguments.time_per_case
    print(host())
    between, alone = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sweep(folder, case, 0.5)  # builds it
        before = None
        for _ in range(arguments.pairs):
            seen = {}
            for side in random.sample([asv, sweep], 2):
                seen[side] = side(folder, case, seconds)
            between.append(seen[asv] / seen[sweep])
            if before is not None:
                alone.append(seen[sweep] / before)
            before = seen[sweep]
    ratios(f"{'/'.join(case)} median, asv run against harness sweep", between)
    if alone:
        ratios(f"{'/'.join(case)} median, a sweep against the sweep before it", alone)


if __name__ == "__main__":
    main()
