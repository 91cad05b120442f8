"""Fixtures: a small project with a zoo of one tiny .onnx model, and a way to run the command line on it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import builders

ZOO = """
version: 1
defaults:
  variants: [fp32, fp32-fused, int8-static]
  targets: [cpu]
  threads: [1]
  batch: [1]
  processes: 2
  time_per_case: 0.4
  ci_width: 5%
variants:
  fp32: {precision: float32, optimization: disabled, steps: [export]}
  fp32-fused: {precision: float32, steps: [export, fuse]}
  int8-static: {precision: int8, steps: [export, fuse: {level: basic}, quantize: {method: static, calibration: minmax}]}
  int4-weights:
    precision: int4
    steps: [export, fuse: {level: basic}, quantize: {method: weights, bits: 4, block_size: 32}]
targets:
  cpu: {provider: cpu}
  qnn: {provider: qnn, threads: [1]}
models:
  tiny: {source: onnx, id: tiny.onnx, budget: {fidelity_db: 5}}
"""


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with `model_zoo.yaml` and `tiny.onnx`, a cache and results of its own."""

    root: Path

    def add_model(self, name: str, file: str, more: str = "") -> None:
        """Add a model of an .onnx file to the zoo."""
        zoo = self.root / "model_zoo.yaml"
        zoo.write_text(
            f"{zoo.read_text(encoding='utf-8')}  {name}: {{source: onnx, id: {file}{more}}}\n", encoding="utf-8"
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `harness` with these arguments."""
        environment = os.environ | {"HARNESS_CACHE": str(self.root / "cache"), "COLUMNS": "200"}
        # A job in the background of a shell ignores SIGINT and hands that down; these are to hear it.
        code = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
            "from harness.cli import main; main()"
        )
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.Popen(
            command, cwd=self.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run `harness`, expect this exit code, and return standard output."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        assert code == process.returncode, f"{' '.join(arguments)}:\n{out}\n{err}"
        return out

    def error(self, *arguments: str, code: int = 2) -> str:
        """Run `harness`, expect this exit code, and return standard error."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        assert code == process.returncode, f"{' '.join(arguments)}:\n{out}\n{err}"
        return err


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A small project."""
    builders.tiny_conv(tmp_path / "tiny.onnx")
    (tmp_path / "model_zoo.yaml").write_text(ZOO, encoding="utf-8")
    return Project(tmp_path)
