"""Workers of Dask that are processes of their own, each with something wrong with it, in one fleet."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.fleet import engine, local
from harness.fleet.flights import PATIENCE
from harness.records import Json
from harness.store import samples
from harness.zoo import FleetSpec
from tests.conftest import Project
from tests.test_fleet import free_port, measured_processes, rows_of

pytest.importorskip("distributed", reason="the extra `fleet` is not installed")

AHEAD = """
import datetime, time
real, now = time.time, datetime.datetime.now
class Ahead(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return now(tz) + datetime.timedelta(hours=1)
time.time, datetime.datetime = (lambda: real() + 3600), Ahead
"""
ANOTHER = "import harness\nharness.__version__ = '0.0.9'\n"
BARE = """
import importlib.metadata
known = importlib.metadata.version
def version(name):
    if name.startswith("onnxruntime"):
        raise importlib.metadata.PackageNotFoundError(name)
    return known(name)
importlib.metadata.version = version
"""


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="a device in place of a folder is asked for by its name on POSIX")
def test_workers_with_something_wrong(built_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version and a closed disk are refused, who has no runtime is passed over, a clock is corrected."""
    project = built_project
    with contextlib.ExitStack() as stack:
        spec = FleetSpec(scheduler=stack.enter_context(local.scheduler(free_port())))
        leaving = stack.enter_context(contextlib.ExitStack())
        for name, code in {"ahead": AHEAD, "another": ANOTHER, "bare": BARE, "closed": ""}.items():
            shim = tmp_path / "shims" / name
            shim.mkdir(parents=True)
            (shim / "sitecustomize.py").write_text(code, encoding="utf-8")
            cache = Path(os.devnull) / "cache" if name == "closed" else tmp_path / name
            with monkeypatch.context() as patched:
                patched.setenv("PYTHONPATH", str(shim))
                patched.setenv("HARNESS_FLEET_LABELS", name)
                leaving.enter_context(local.worker(spec, name=name, cache=cache, slot=name))
        with engine.Fleet(spec) as fleet:
            fleet.client.wait_for_workers(4, timeout=300)
        command = ("sweep", "--variants", "fp32", "--processes", "3", "--time-per-case", "0.3", "--no-confirm")
        there = hosts(project, spec)
        assert {"another", "closed"} == {name for name, one in there.items() if one["refused"]}
        assert "runs harness 0.0.9" in str(there["another"]["refused"])
        assert "cannot write into" in str(there["closed"]["refused"])
        clock_s = there["ahead"]["clock_s"]
        assert isinstance(clock_s, float)
        assert 3000 < clock_s < 4200

        out = project.run(*command, "--scheduler", spec.scheduler)
        assert {"tiny/fp32/cpu-t1-b1": 3} == measured_processes(project), out
        (row,) = rows_of(project)
        (run,) = project.root.glob("results/samples/*.parquet")
        (whole,) = samples.read(run)
        moments = [str(row["started_at"]), *(one["started_at"] for one in whole["processes"])]
        assert all(datetime.fromisoformat(one) < datetime.now(UTC) + timedelta(minutes=10) for one in moments)

        leaving.close()
        monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL", "5s")
        monkeypatch.setenv(PATIENCE, "5s")
        assert "no worker at" in project.error(*command, "--fresh", "--scheduler", spec.scheduler)
    assert {"tiny/fp32/cpu-t1-b1": 3} == measured_processes(project)


def hosts(project: Project, spec: FleetSpec) -> Mapping[str, Mapping[str, Json]]:
    """What `harness fleet hosts` says of each worker, by what its owner calls it; one that is refused says less."""
    found = json.loads(project.run("fleet", "hosts", "--json", "--scheduler", spec.scheduler))
    named = {"".join(one["labels"]): one for one in found if one["labels"]}
    nameless = [one for one in found if not one["labels"]]
    assert len(nameless) <= 1
    return {**named, **({"another": nameless[0]} if nameless else {})}
