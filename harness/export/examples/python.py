"""Python: `run.py`, which needs onnxruntime and NumPy, and nothing of harness."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from harness import ort_values
from harness.export.examples.base import LanguageExample
from harness.flavours import FLAVOURS, PLAIN

FILES: Final = ("run.py", "ort_values.py")


def write(folder: Path) -> None:
    """The program, and the file that takes values of any type into onnxruntime."""
    for name, source in zip(FILES, (Path(__file__).with_name("python_run.py"), Path(ort_values.__file__)), strict=True):
        shutil.copyfile(source, folder / name)


def start(session: Mapping[str, Any]) -> tuple[str, ...]:
    """With the onnxruntime that measured; on the CPU the plain package, which is the same release."""
    by = session["measured_by"]
    own = session["provider"] != "CPUExecutionProvider" and by.get("package") in FLAVOURS
    package = by["package"] if own else PLAIN
    # A stored row may be somebody else's, and this line is for a shell.
    known = by.get("name") == PLAIN and re.fullmatch(r"[0-9][A-Za-z0-9.]*", by.get("version") or "")
    version = f"=={by['version']}" if known else ""
    return f"python -m pip install numpy {package}{version}", "python run.py"


EXAMPLE = LanguageExample(write=write, start=start)
