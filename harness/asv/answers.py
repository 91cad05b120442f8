"""Between asv and the processes of its benchmarks: one measurement serves all metrics of a case.

The process that measures a case leaves what the other metrics answer in a folder (`harness.asv.measuring`); here every
answer is handed out once, in place of another process.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from harness import scratch
from harness.asv import exchange
from harness.store import files
from harness.store.asv.merge import NAMES

QUICK: Final = {"number": 1, "repeat": 1, "warmup_time": 0, "rounds": 1}
"""What `asv run --quick` asks of every benchmark."""


class State:
    """What one asv process knows: a folder to talk with the benchmarks' processes, and what they said."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"harness-asv-{scratch.owner()}-"))
        self.quick = False
        self.dimensions: dict[str, dict[str, str]] = {}
        self.weights: dict[str, dict[str, str]] = {}
        self.locks: dict[Path, files.Lock] = {}
        self.ready: dict[str, dict[str, Any]] = {}
        self.none: dict[str, str] = {}

    def begin(self) -> None:
        """Another commit or environment: nothing that was said before counts."""
        self.ready, self.none = {}, {}
        for path in self.folder.iterdir():
            if path.name != exchange.AXES_FILE:
                path.unlink()

    def read(self, name: str) -> Any:
        """What a benchmark's process left, None where it left nothing."""
        path = self.folder / name
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def answered(
    state: State,
    env_name: str,
    plain: Callable[..., tuple[str, int]],
    name: str,
    params_str: str,
    profile_path: str,
    result_file_name: str,
    timeout: float,
    cwd: str,
) -> tuple[str, int]:
    """Run a benchmark's process, or hand out what the process of another metric of the same case left for it.

    Every answer is handed out once: a second round measures anew.

    Returns:
        What the process wrote, and its exit code.
    """
    benchmark, _, index = name.rpartition("-")
    if benchmark not in NAMES:
        return plain(name, params_str, profile_path, result_file_name, timeout, cwd)
    asked = json.loads(params_str)
    if all(asked.get(key) == value for key, value in QUICK.items()):
        state.quick = True
        (state.folder / exchange.QUICK_FILE).write_text("true", encoding="utf-8")
    if index in state.none:
        reply = {"value": float("nan"), "out": f"n/a: {state.none[index]}"}
    else:
        found = state.ready.get(index, {}).pop(benchmark, None)
        if found is None:
            out, code = plain(name, params_str, profile_path, result_file_name, timeout, cwd)
            left = state.read(f"{index}.json")
            if left is None and code != 0:  # it died, or took too long: it would do so for every metric
                left = {other: {"value": None, "out": out} for other in NAMES - {benchmark}}
            state.ready[index] = left or {}
            (state.folder / f"{index}.json").unlink(missing_ok=True)
            state.none = state.read(exchange.NONE_FILE) or {}
            state.dimensions[env_name] = state.read(exchange.DIMENSIONS_FILE) or state.dimensions.get(env_name, {})
            state.weights[env_name] = {**state.weights.get(env_name, {}), **(state.read(exchange.WEIGHTS_FILE) or {})}
            return out, code
        reply = found
    if reply["value"] is None:
        return str(reply["out"]), 1
    Path(result_file_name).write_text(json.dumps(reply["value"]), encoding="utf-8")
    return str(reply["out"]), 0
