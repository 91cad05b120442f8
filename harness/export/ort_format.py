"""An exported model in ORT format, with the operators that a reduced build of onnxruntime needs for it.

Converted in a process of its own by the onnxruntime beside harness, as its own tool does it; what comes out is run on
the samples before anybody ships it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from harness import processes
from harness.errors import UsageError
from harness.export.examples import python

FORMATS: Final = ("onnx", "ort")
MODEL: Final = "model.ort"
OPERATORS: Final = "required_operators_and_types.config"
CPU: Final = "CPUExecutionProvider"
DEADLINE_S: Final = 1800.0

SCRIPT: Final = """
import pathlib, sys
sys.modules["torch"] = None  # onnxruntime.tools imports it wherever it is installed, for what is not used here
import onnxruntime as ort
from onnxruntime.tools.ort_format_model import create_config_from_models
source, made, operators, level = sys.argv[1:]
options = ort.SessionOptions()
options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
options.optimized_model_filepath = made
options.add_session_config_entry("session.save_model_format", "ORT")
options.add_session_config_entry("session.disable_prepacking", "1")
ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
create_config_from_models([pathlib.Path(made)], pathlib.Path(operators), enable_type_reduction=True)
"""
LEVELS: Final[Mapping[str, str]] = {"disabled": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC"}
"""What is done to the graph before it is saved. Beyond `extended` it would fit the processors of this host alone."""


def convert(folder: Path, session: Mapping[str, Any]) -> dict[str, Any]:
    """Put the model in ORT format in the place of the .onnx file, and the operators that it needs beside it.

    Args:
        folder: that of the model.
        session: what `session.json` is going to say.

    Returns:
        What changes in `session.json`.

    Raises:
        UsageError: it cannot be saved so; the text says why.
    """
    if session["provider"] != CPU:
        raise UsageError(f"--format ort is for {CPU}, and this case was measured with {session['provider']}")
    source = folder / session["model"]
    level = LEVELS.get(session["optimization"], "ORT_ENABLE_EXTENDED")
    command = [sys.executable, "-c", SCRIPT, str(source), str(folder / MODEL), str(folder / OPERATORS), level]
    done = processes.run_text(command, deadline_s=DEADLINE_S)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UsageError(f"the model cannot be saved in ORT format: {said[:500]}")
    # The tool names the file where it read it: a folder of this host, for a moment.
    operators = (folder / OPERATORS).read_text(encoding="utf-8").replace(str(folder / MODEL), MODEL)
    (folder / OPERATORS).write_text(operators, encoding="utf-8")
    for name in (session["model"], *session["external"]):
        (folder / name).unlink()
    return {"model": MODEL, "external": []}


def check(folder: Path) -> None:
    """Run the samples of a folder, whose `session.json` is written, through its own file.

    Raises:
        UsageError: they give other outputs than the file that was measured, or do not run.
    """
    python.write(folder)
    done = processes.run_text([sys.executable, "run.py"], deadline_s=DEADLINE_S, folder=folder)
    for name in python.FILES:
        (folder / name).unlink()
    if done.returncode:
        wrong = [line for line in done.stdout.splitlines() if "as expected" not in line] or done.stderr.splitlines()[
            -1:
        ]
        raise UsageError(f"in ORT format the model does not give what it gave: {' | '.join(wrong[-3:])[:500]}")
