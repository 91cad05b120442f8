"""pytest-benchmark's JSON (5.x, `--benchmark-json` and what `--benchmark-save` keeps) as a result of asv's.

The benchmark is `pytest.` and the test's path with dots; what stands in brackets in the test's name is its parameter
`param`. The value is the median in seconds. Only `--benchmark-json` and `--benchmark-save-data` keep samples, and
only from them are there intervals.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.store.imports.base import FULL_HASH, Booked, Foreign, Value, no_commit, safe, tables

KIND = "pytest-benchmark"


def recognizes(content: Mapping[str, Any]) -> bool:
    """Whether this is pytest-benchmark's."""
    return isinstance(content.get("benchmarks"), list) and "machine_info" in content


def convert(path: Path, content: Mapping[str, Any], booked: Booked | None) -> Foreign:
    """A whole file.

    Args:
        path: where it lies, for messages.
        content: the file's.
        booked: the commit it belongs to, whatever the file says.

    Raises:
        StoreError: if it names no commit, or a working tree that differed from it, and `booked` is not given; or if it
            holds no benchmark.
        KeyError, TypeError, ValueError: if it is not as pytest-benchmark writes it.
    """
    if not content["benchmarks"]:
        raise StoreError(f"{path} holds no benchmark: there is nothing to import.")
    commit, commit_time = _commit(path, content.get("commit_info") or {}, booked)
    started = _milliseconds(content["datetime"]) if content.get("datetime") else None
    columns, benchmarks = tables([_value(one, started) for one in content["benchmarks"]])
    info = content["machine_info"]
    python = ".".join(str(info["python_version"]).split(".")[:2])
    cpu = info.get("cpu") or {}
    machine = {
        "machine": safe(str(info["node"])) or "unknown",
        "arch": str(info.get("machine") or ""),
        "cpu": str(cpu.get("brand_raw") or cpu.get("brand") or ""),
        "num_cpu": str(cpu.get("count") or ""),
        "os": f"{info.get('system', '')} {info.get('release', '')}".strip(),
        "ram": "",
    }
    return Foreign(
        commit=commit,
        commit_time=commit_time,
        environment=f"pytest-benchmark-py{python}",
        machine=machine,
        params={"python": python},
        requirements={},
        columns=columns,
        benchmarks=benchmarks,
    )


def _value(entry: Mapping[str, Any], started: int | None) -> Value:
    stats = entry["stats"]
    full, _, param = str(entry["fullname"]).partition("[")
    name = safe(full.replace(".py::", ".").replace("::", ".").replace("/", ".").replace("\\", "."))
    return Value(
        benchmark=f"pytest.{name}",
        unit="seconds",
        meaning=f"{full}, timed by pytest-benchmark; the median over its rounds.",
        at={"param": param.removesuffix("]")} if param else {},
        value=float(stats["median"]),
        samples=[float(value) for value in stats.get("data") or ()],
        started_at=started,
    )


def _commit(path: Path, info: Mapping[str, Any], booked: Booked | None) -> tuple[str, int]:
    if booked is not None:
        return booked.commit, booked.time
    commit = str(info.get("id") or "")
    if not FULL_HASH.fullmatch(commit):
        raise no_commit(path, "names no commit")
    if info.get("dirty"):
        raise no_commit(path, f"was measured with changes on top of {commit[:8]}, and the history holds commits only")
    if not info.get("time"):
        raise no_commit(path, f"does not say when its commit {commit[:8]} was made")
    return commit, _milliseconds(str(info["time"]))


def _milliseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)
