"""optimum-benchmark's JSON (0.2 to 0.6) as a result of asv's.

A run leaves benchmark.json (`config` and `report`), or benchmark_report.json beside benchmark_config.json. Each phase
of the report (load, prefill, decode, forward, call, train, ...) has latency in seconds with every value, memory in MB
of 10**6 bytes, and energy in kWh. They become `optimum.<phase>.latency`, `optimum.<phase>.memory.<what>` and
`optimum.<phase>.energy.<what>` over `model, backend, device, batch, config`, where `config` is the run's name and a
digest of all its settings: runs that were set up differently never share a series.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from harness import foreign
from harness.errors import StoreError
from harness.store.imports.base import Booked, Foreign, Value, digest, no_commit, safe, tables

KIND = "optimum-benchmark"
QUANTITIES: Final = frozenset({"latency", "memory", "throughput", "energy", "efficiency"})
VOLATILE: Final = frozenset({"version", "ports", "volumes"})
"""Settings of a backend that change without changing what is measured; the version is a dimension of its own."""

LARGER_IS_BETTER = "throughput and efficiency are left out: they follow from latency and energy, and larger is better"


def recognizes(content: Mapping[str, Any]) -> bool:
    """Whether this is optimum-benchmark's: a whole run, or its report."""
    report = content.get("report", content)
    return (
        isinstance(report, dict)
        and bool(report)
        and all(isinstance(phase, dict) and phase and phase.keys() <= QUANTITIES for phase in report.values())
    )


def convert(path: Path, content: Mapping[str, Any], booked: Booked | None) -> Foreign:
    """A whole file.

    Args:
        path: where it lies; benchmark_config.json is looked for beside a report that came without its settings.
        content: the file's.
        booked: the commit it belongs to.

    Raises:
        StoreError: without `booked`, for these files never name the commit of what they measured; without settings;
            or where the report is empty.
        KeyError, TypeError, ValueError: if it is not as optimum-benchmark writes it.
    """
    config = content["config"] if "config" in content else _config(path)
    report = content.get("report", content)
    backend, environment = config["backend"], config.get("environment") or {}
    at = _place(config)
    values = [value for phase, found in report.items() for value in _values(str(phase), found, at)]
    if not values:
        raise StoreError(f"{path} holds no number: the run that wrote it failed, or it measured nothing.")
    if booked is None:
        raise no_commit(path, "names no commit (optimum-benchmark never does)")
    columns, benchmarks = tables(values)
    python = ".".join(str(environment.get("python_version") or "").split(".")[:2])
    version = str(backend.get("version") or "")
    name = str(backend["name"])
    left = any(found.get(one) for found in report.values() for one in ("throughput", "efficiency"))
    return Foreign(
        commit=booked.commit,
        commit_time=booked.time,
        environment=safe(f"optimum-benchmark-py{python}-{name}{version}"),
        machine=_machine(environment),
        params={"python": python, ("onnxruntime" if name == "onnxruntime" else "backend"): version or name},
        requirements={name: version},
        columns=columns,
        benchmarks=benchmarks,
        notes=(LARGER_IS_BETTER,) if left else (),
    )


def _config(path: Path) -> Mapping[str, Any]:
    beside = path.with_name("benchmark_config.json")
    try:
        config = foreign.mapping(foreign.content(beside))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} is a report without its settings, and {beside.name} beside it cannot be read ({error}): give "
            "benchmark.json, or copy the settings there."
        ) from error
    return config


def _place(config: Mapping[str, Any]) -> dict[str, str]:
    backend = config["backend"]
    scenario = config.get("scenario") or config.get("benchmark") or {}
    settings = {key: value for key, value in backend.items() if key not in VOLATILE}
    named = json.dumps([settings, scenario], sort_keys=True)
    shapes = scenario.get("input_shapes") or {}
    return {
        "model": str(backend.get("model") or "unknown"),
        "backend": str(backend["name"]),
        "device": str(backend.get("device") or "unknown"),
        "batch": str(shapes.get("batch_size", "unknown")),
        "config": f"{config.get('name') or 'unnamed'}-{digest(named)}",
    }


def _values(phase: str, found: Mapping[str, Any], at: Mapping[str, str]) -> Iterator[Value]:
    latency = found.get("latency")
    if latency:
        samples = [float(value) for value in latency.get("values") or ()]
        yield Value(
            benchmark=f"optimum.{safe(phase)}.latency",
            unit="seconds" if latency.get("unit", "s") == "s" else str(latency["unit"]),
            meaning=f"Latency of {phase}, measured by optimum-benchmark; the median of its values, else their mean.",
            at=at,
            value=statistics.median(samples) if samples else float(latency.get("p50", latency["mean"])),
            samples=samples,
        )
    for quantity in ("memory", "energy"):
        numbers = found.get(quantity) or {}
        unit = str(numbers.get("unit") or "")
        for name, number in numbers.items():
            if name != "unit" and isinstance(number, (int, float)):
                megabytes = unit == "MB"
                yield Value(
                    benchmark=f"optimum.{safe(phase)}.{quantity}.{safe(name)}",
                    unit="bytes" if megabytes else unit,
                    meaning=f"{name} of {phase}, measured by optimum-benchmark.",
                    at=at,
                    value=float(number) * 1e6 if megabytes else float(number),
                )


def _machine(environment: Mapping[str, Any]) -> dict[str, str]:
    """These files name no host: the hardware stands for it."""
    cpu, count, ram = (environment.get(key) for key in ("cpu", "cpu_count", "cpu_ram_mb"))
    return {
        "machine": f"optimum-{digest((cpu, count, environment.get('gpu')))}",
        "arch": str(environment.get("machine") or ""),
        "cpu": str(cpu or "").strip(),
        "num_cpu": str(count or ""),
        "os": str(environment.get("platform") or environment.get("system") or ""),
        "ram": "" if ram is None else str(int(float(ram) * 1e6)),
    }
