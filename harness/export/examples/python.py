"""Python: `run.py`, which needs onnxruntime and NumPy, and nothing of harness."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness import ort_values
from harness.export.examples.base import LanguageExample


def write(folder: Path) -> None:
    """The program, and the file that takes values of any type into onnxruntime."""
    shutil.copyfile(Path(__file__).with_name("python_run.py"), folder / "run.py")
    shutil.copyfile(Path(ort_values.__file__), folder / "ort_values.py")


EXAMPLE = LanguageExample(write=write, start=("python -m pip install numpy onnxruntime", "python run.py"))
