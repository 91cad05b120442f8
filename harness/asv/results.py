"""What asv saves: whole files, under the lock of the results folder, on top of what lies there by then."""

from __future__ import annotations

import inspect
import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from harness import flavours, scratch
from harness.asv.answers import State
from harness.asv.commit import policy
from harness.asv.environments import fingerprint
from harness.asv.errors import with_asv_errors
from harness.asv.exchange import WEIGHTS
from harness.store import files
from harness.store.asv import files as asv_files
from harness.store.asv import merge
from harness.store.asv.environments import WEIGHTS_OF
from harness.store.asv.merge import NAMES

OTHER: Final = "-onnxruntime{onnxruntime}-{weights}"
"""What the name of an environment gets where its results are of another series than those that lie there."""


def patch(state: State) -> None:
    """Replace how asv adds, loads and saves results."""
    from asv.console import log
    from asv.results import Results

    plain_add, plain_save, plain_load = Results.add_result, Results.save, Results.load_data
    plain_remove = Results.remove_samples

    def touched(self: Any) -> dict[str, merge.Touched]:
        found: dict[str, merge.Touched] = self.__dict__.setdefault("_harness_touched", {})
        return found

    def add_result(self: Any, benchmark: Any, result: Any, *args: Any, **kwargs: Any) -> None:
        name = benchmark["name"]
        bound = inspect.signature(plain_add).bind(self, benchmark, result, *args, **kwargs)
        bound.arguments["record_samples"] = bound.arguments.get("record_samples") or name in NAMES
        plain_add(*bound.args, **bound.kwargs)
        points = list(itertools.product(*(benchmark["params"] or [])))
        chosen = bound.arguments.get("selected_idx")
        mine = set(points) if chosen is None else {points[i] for i in chosen}
        # What asv reports where a commit could not be built: nothing was tried.
        untried = result.errcode == 1 and not result.stderr and all(value is None for value in result.result)
        touched(self).setdefault(name, merge.Touched()).add(mine, tried=not untried)

    def remove_samples(self: Any, key: str, selected_idx: Any = None) -> None:
        plain_remove(self, key, selected_idx)
        points = list(itertools.product(*(self.get_result_params(key) or [])))
        mine = set(points) if selected_idx is None else {points[i] for i in selected_idx}
        touched(self).setdefault(key, merge.Touched()).add(mine, tried=True)

    def load_data(self: Any, result_dir: str) -> None:
        path = Path(result_dir) / self._filename
        if path.exists():
            asv_files.read(path)  # damaged: say so before hours are spent, and leave it as it is
        plain_load(self, result_dir)

    def save(self: Any, result_dir: str) -> None:
        mine = dict(touched(self))
        if state.quick and NAMES & mine.keys():
            log.warning("--quick: numbers of sweep.* are not saved")
            mine = {name: points for name, points in mine.items() if name not in NAMES}
        if not mine:
            return
        with scratch.folder("asv-save") as folder:
            plain_save(self, folder)
            fresh = asv_files.read(next(Path(folder).glob("*/*.json")))
        dimensions = state.dimensions.get(self._env_name) or {}
        header = described(fresh.header, dimensions) if NAMES & mine.keys() else dict(fresh.header)
        header |= {WEIGHTS_OF: labels} if (labels := state.weights.get(self._env_name)) else {}
        put(Path(result_dir), self._filename, header, fresh.benchmarks, mine)

    Results.add_result = add_result
    Results.remove_samples = remove_samples
    Results.load_data = with_asv_errors(load_data)
    Results.save = with_asv_errors(save)


def put(
    results: Path,
    name: str,
    header: dict[str, Any],
    fresh: Mapping[str, asv_files.Columns],
    mine: Mapping[str, merge.Touched],
) -> None:
    """Write what a run has results for on top of what lies there by now; beside it, where that is another series.

    Raises:
        StoreError: if what lies there is damaged, or nothing can be written.
    """
    from asv.results import get_filename

    with files.Lock.wait(files.lock_of(results)):
        path = results / name
        stored = asv_files.read(path) if path.exists() else None
        if stored is not None and not merge.same_series(stored.header, header):
            header = {**header, "env_name": header["env_name"] + OTHER.format_map(header["params"])}
            path = results / get_filename(header["params"]["machine"], header["commit_hash"], header["env_name"])
            stored = asv_files.read(path) if path.exists() else None
        labels = {**((stored.header if stored else {}).get(WEIGHTS_OF) or {}), **(header.get(WEIGHTS_OF) or {})}
        header, benchmarks = merge.after_run(stored, header, fresh, mine)
        header |= {WEIGHTS_OF: labels} if labels else {}
        files.write(path, asv_files.encode(header, benchmarks))


def described(header: Mapping[str, Any], dimensions: Mapping[str, str]) -> dict[str, Any]:
    """A result file's header with the dimensions that `harness sweep` gives its own: onnxruntime, host and weights."""
    params, variables = dict(header["params"]), dict(header["env_vars"])
    required = {name: version for name, version in header["requirements"].items() if flavours.is_flavour(name)}
    for name in required:
        params.pop(name, None)
    found = flavours.chosen(required)
    params["onnxruntime"] = dimensions.get("onnxruntime") or (flavours.tag(*found) if found else "unknown")
    params["python"] = dimensions.get("python") or params["python"]
    params["host"] = dimensions.get("host") or fingerprint()
    params["weights"] = variables.pop(WEIGHTS, None) or policy()
    return {**header, "params": params, "env_vars": variables}


def patch_files() -> None:
    """Replace how asv writes its other files: of machines, of benchmarks, and the pages."""
    from asv import util
    from asv.benchmarks import Benchmarks
    from asv.machine import Machine

    plain_write, plain_machine = util.write_json, Machine.save

    def write_json(path: Any, data: Any, api_version: int | None = None, compact: bool = False) -> None:
        whole = Path(path).absolute()
        part = whole.with_name(f".{whole.name}.{os.getpid()}.tmp")
        try:
            plain_write(str(part), data, api_version, compact)
            part.replace(whole)
        finally:
            part.unlink(missing_ok=True)

    def save_machine(self: Any, results_dir: str) -> None:
        with files.Lock.wait(files.lock_of(Path(results_dir))):
            plain_machine(self, results_dir)

    def save_benchmarks(self: Any) -> None:
        path = Path(self.get_benchmark_file_path(self._conf.results_dir))
        with files.Lock.wait(files.lock_of(path.parent)):
            stored = asv_files.benchmarks(path)
            content = merge.benchmarks(path, stored, self._all_benchmarks)
            files.write(path, asv_files.dump(content, asv_files.BENCHMARKS_VERSION))

    util.write_json = write_json
    Machine.save = with_asv_errors(save_machine)
    Benchmarks.save = with_asv_errors(save_benchmarks)
