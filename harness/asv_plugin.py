"""What asv itself does not do, as a plugin: `"plugins": [".harness.asv_plugin"]` in asv.conf.json.

1. Everything that asv saves is written whole, under the lock of the results folder, on top of what others (another
   asv, a `harness sweep`) wrote meanwhile: nothing is lost and nothing is torn.
2. An environment's name holds the host's fingerprint, and its results say host, onnxruntime and weights: a change of
   any begins a new series.
3. The axes of `sweep.*` are those of all commits of an `asv run`, and every process counts on the same ones.
4. One measurement serves all metrics of a case (see `harness.asv_suite`), and the samples of `sweep.*` are always kept.
5. Two runs of asv never use one environment at the same time.

It replaces functions of asv 0.6, all of them in `setup`, which refuses an asv that does not have them as they were.
"""

from __future__ import annotations

import atexit
import functools
import inspect
import itertools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from harness import asv_suite, provenance, zoo
from harness.asv_answers import State, answered
from harness.errors import HarnessError
from harness.measure import host
from harness.store import asv_files, asv_merge, files

NAMES: Final = asv_merge.NAMES

OTHER: Final = "-onnxruntime{onnxruntime}-{weights}"
"""What the name of an environment gets where its results are of another series than those that lie there."""

EXPECTED: Final[Mapping[str, str]] = {
    "benchmarks.Benchmarks._disc_benchmarks": "conf, repo, environments, commit_hashes, check",
    "benchmarks.Benchmarks.discover": "conf, repo, environments, commit_hash, regex, check",
    "benchmarks.Benchmarks.save": "self",
    "commands.run.iter_results_for_machine_and_hash": "results, machine_name, commit",
    "commands.setup.Setup.perform_setup": "environments, parallel",
    "environment.get_env_name": "tool_name, python, requirements, tagged_env_vars, build",
    "machine.Machine.save": "self, results_dir",
    "results.Results.add_result": "self, benchmark, result, started_at, duration, record_samples, append_samples, "
    "selected_idx",
    "results.Results.load_data": "self, result_dir",
    "results.Results.remove_samples": "self, key, selected_idx",
    "results.Results.save": "self, result_dir",
    "results.get_filename": "machine, commit_hash, env_name",
    "runner.Spawner.run": "self, name, params_str, profile_path, result_file_name, timeout, cwd",
    "runner.get_spawner": "env, benchmark_dir, launch_method",
    "util.write_json": "path, data, api_version, compact",
}
"""What is replaced or relied on, with its parameters."""


def setup() -> None:
    """Called by asv when it loads the plugin.

    Raises:
        asv.util.UserError: where asv's functions are not the expected ones.
    """
    import asv
    from asv import util

    for name, parameters in EXPECTED.items():
        found = _find(name)
        if found is None or parameters != ", ".join(inspect.signature(found).parameters):
            raise util.UserError(
                f"harness.asv_plugin knows asv 0.6; this is asv {asv.__version__}, and its {name} differs: "
                "pip install 'asv>=0.6.5,<0.7', or update onnx-harness."
            )
    state = State()
    owner = os.getpid()
    atexit.register(lambda: shutil.rmtree(state.folder, ignore_errors=True) if os.getpid() == owner else None)
    os.environ[asv_suite.FOLDER] = str(state.folder)
    # asv tells only its own environments where the configuration lies, not existing ones.
    os.environ["ASV_CONF_DIR"] = str(Path.cwd())
    os.environ.pop("ASV_ENV_DIR", None)
    _patch_environments(state)
    _patch_discovery(state)
    _patch_running(state)
    _patch_results(state)
    _patch_files()


def _find(name: str) -> Any:
    import asv.commands.run
    import asv.commands.setup

    found: Any = asv
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn harness's errors into asv's, which asv prints without a traceback."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from asv.util import UserError

        try:
            return function(*args, **kwargs)
        except HarnessError as error:
            raise UserError(str(error)) from error

    return wrapped


# --- environments --------------------------------------------------------------------------------


def _patch_environments(state: State) -> None:
    from asv import environment
    from asv.commands.setup import Setup

    plain_name = environment.get_env_name
    plain_existing = environment.ExistingEnvironment.name.fget
    plain_setup = Setup.perform_setup.__func__

    def get_env_name(tool_name: str, python: str, requirements: Any, tagged_env_vars: Any, build: bool = False) -> str:
        name: str = plain_name(tool_name, python, requirements, tagged_env_vars, build)
        return name if build else f"{name}-host{fingerprint()}"

    def existing_name(self: Any) -> str:
        return f"{plain_existing(self)}-{runtimes(self._executable)}-{asv_suite.WEIGHTS}{asv_suite.policy()}"

    def perform_setup(cls: Any, environments: Any, parallel: int = -1) -> Any:
        # In one order for everybody, so that two runs never wait for each other. asv does not offer the path.
        for path in sorted({Path(env._path) for env in environments if env.can_install_project()}):  # noqa: SLF001  (asv has no function for it)
            if path not in state.locks:
                state.locks[path] = _lock(path.with_name(f"{path.name}.lock"))
        return plain_setup(cls, environments, parallel)

    environment.get_env_name = get_env_name
    environment.ExistingEnvironment.name = property(told(existing_name))
    Setup.perform_setup = classmethod(told(perform_setup))


def _lock(path: Path) -> files.Lock:
    from asv.console import log

    with files.guarded("lock", path):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = files.Lock.attempt(path)
    if lock is None:
        log.info(f"Waiting for another asv that uses the environment {path.stem}")
        lock = files.Lock.wait(path)
    return lock


@functools.cache
def fingerprint() -> str:
    """This host's."""
    return host.fingerprint(host.facts())


@functools.cache
def runtimes(executable: str) -> str:
    """The onnxruntime distributions of an interpreter with their versions, such as `onnxruntime-gpu1.31.1`."""
    code = (
        "from importlib.metadata import distributions as d; "
        "print('-'.join(sorted({f'{i.name}{i.version}' for i in d() if (i.name or '').startswith('onnxruntime')})))"
    )
    done = subprocess.run([executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "onnxruntime"


# --- the axes ------------------------------------------------------------------------------------


def _patch_discovery(state: State) -> None:
    from asv.benchmarks import Benchmarks

    def discover(
        cls: Any, conf: Any, repo: Any, environments: Any, commit_hash: Any, regex: Any = None, check: bool = False
    ) -> Any:
        axes_file = state.folder / asv_suite.AXES_FILE
        axes_file.unlink(missing_ok=True)
        found = cls._disc_benchmarks(conf, repo, environments, commit_hash, check)
        own = [benchmark for benchmark in found if benchmark["name"] in NAMES]
        if not own:
            return cls(conf, found, regex=regex)
        axes = own[0]["params"]
        if any(env.can_install_project() for env in environments):
            for other in zoo_axes(repo, environments[0], commit_hash):
                axes = asv_merge.union(axes, other)
        for benchmark in own:
            benchmark["params"] = axes
        selection = cls(conf, found, regex=regex).benchmark_selection
        chosen = {i for benchmark in own for i in selection[benchmark["name"]]}
        # What nobody asks for would only fill the tables that asv prints.
        axes = asv_merge.hull(axes, [point for i, point in enumerate(itertools.product(*axes)) if i in chosen])
        for benchmark in own:
            benchmark["params"] = axes
        files.write(axes_file, json.dumps(axes).encode())
        return cls(conf, found, regex=regex)

    Benchmarks.discover = classmethod(told(discover))


def zoo_axes(repo: Any, environment: Any, commits: Sequence[str]) -> Iterator[list[list[str]]]:
    """The axes of each commit's zoo, each zoo once; a commit that has none, or one with mistakes, is left out.

    Args:
        repo: asv's; only git's are looked into.
        environment: any, for its variables.
        commits: hashes.
    """
    from asv.console import log

    if repo.dvcs != "git":
        log.warning(f"Only git's commits are searched for models: what this {repo.dvcs} range adds is not measured")
        return
    name = environment.env_vars.get(asv_suite.ZOO) or os.environ.get(asv_suite.ZOO) or "model_zoo.yaml"
    path = (provenance.git(Path.cwd(), "rev-parse", "--show-prefix") or "") + name
    texts: dict[str, str] = {}
    for commit in commits:
        text = provenance.git(Path(repo._path), "show", f"{commit}:{path}")  # noqa: SLF001  (asv has no function for it)
        if text is not None:
            texts.setdefault(text, commit)
    for text, commit in texts.items():
        with tempfile.TemporaryDirectory(prefix="harness-zoo-") as folder:
            copy = Path(folder) / Path(name).name
            copy.write_text(text, encoding="utf-8")
            try:
                axes = asv_suite.axes_of(asv_suite.cases(zoo.load(copy)))
            except HarnessError as error:
                log.warning(f"{path} of commit {commit[:8]} cannot be read: {error}")
                continue
        yield [[repr(value) for value in axis] for axis in axes]


# --- running -------------------------------------------------------------------------------------


def _patch_running(state: State) -> None:
    from asv import runner
    from asv.commands import run as command

    plain_spawner = runner.get_spawner
    plain_stored = command.iter_results_for_machine_and_hash

    def get_spawner(env: Any, benchmark_dir: str, launch_method: str | None) -> Any:
        state.begin()
        spawner = plain_spawner(env, benchmark_dir, launch_method)
        spawner.run = functools.partial(answered, state, env.name, spawner.run)
        return spawner

    def stored(results: str, machine_name: str, commit: str) -> Iterator[Any]:
        yield from map(Asked, plain_stored(results, machine_name, commit))

    runner.get_spawner = get_spawner
    command.iter_results_for_machine_and_hash = stored


class Asked:
    """Stored results as `asv run --skip-existing` shall see them: only what is asked for, and only where all is there.

    asv skips a benchmark as soon as any of its combinations was measured.
    """

    def __init__(self, results: Any) -> None:
        self.results = results
        self.env_name = results.env_name
        self.selected: dict[str, list[tuple[str, ...]]] = {}

    def get_result_keys(self, benchmarks: Any) -> set[str]:
        """Benchmarks of which every combination that is asked for is stored, failed or not."""
        keys: set[str] = self.results.get_result_keys(benchmarks)
        for name in keys & NAMES:
            points = list(itertools.product(*benchmarks[name]["params"]))
            chosen = benchmarks.benchmark_selection.get(name)
            self.selected[name] = points if chosen is None else [points[i] for i in chosen]
        there = {name: set(itertools.product(*self.results.get_result_params(name))) for name in self.selected}
        return {name for name in keys if name not in there or there[name].issuperset(self.selected[name])}

    def get_result_value(self, key: str, params: Any) -> Any:
        """The values of what is asked for."""
        if key not in self.selected:
            return self.results.get_result_value(key, params)
        values = self.results.get_result_value(key, self.results.get_result_params(key))
        points = itertools.product(*self.results.get_result_params(key))
        by_point = dict(zip(points, values, strict=True))
        return [by_point[point] for point in self.selected[key]]


# --- results -------------------------------------------------------------------------------------


def _patch_results(state: State) -> None:
    from asv.console import log
    from asv.results import Results

    plain_add, plain_save, plain_load = Results.add_result, Results.save, Results.load_data
    plain_remove = Results.remove_samples

    def touched(self: Any) -> dict[str, asv_merge.Touched]:
        found: dict[str, asv_merge.Touched] = self.__dict__.setdefault("_harness_touched", {})
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
        touched(self).setdefault(name, asv_merge.Touched()).add(mine, tried=not untried)

    def remove_samples(self: Any, key: str, selected_idx: Any = None) -> None:
        plain_remove(self, key, selected_idx)
        points = list(itertools.product(*(self.get_result_params(key) or [])))
        mine = set(points) if selected_idx is None else {points[i] for i in selected_idx}
        touched(self).setdefault(key, asv_merge.Touched()).add(mine, tried=True)

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
        with tempfile.TemporaryDirectory(prefix="harness-asv-save-") as folder:
            plain_save(self, folder)
            fresh = asv_files.read(next(Path(folder).glob("*/*.json")))
        dimensions = state.dimensions.get(self._env_name) or {}
        header = described(fresh.header, dimensions) if NAMES & mine.keys() else dict(fresh.header)
        put(Path(result_dir), self._filename, header, fresh.benchmarks, mine)

    Results.add_result = add_result
    Results.remove_samples = remove_samples
    Results.load_data = told(load_data)
    Results.save = told(save)


def put(
    results: Path,
    name: str,
    header: dict[str, Any],
    fresh: Mapping[str, asv_files.Columns],
    mine: Mapping[str, asv_merge.Touched],
) -> None:
    """Write what a run has results for on top of what lies there by now; beside it, where that is another series.

    Raises:
        StoreError: if what lies there is damaged, or nothing can be written.
    """
    from asv.results import get_filename

    with files.Lock.wait(files.lock_of(results)):
        path = results / name
        stored = asv_files.read(path) if path.exists() else None
        if stored is not None and not asv_merge.same_series(stored.header, header):
            header = {**header, "env_name": header["env_name"] + OTHER.format_map(header["params"])}
            path = results / get_filename(header["params"]["machine"], header["commit_hash"], header["env_name"])
            stored = asv_files.read(path) if path.exists() else None
        header, benchmarks = asv_merge.merged(stored, header, fresh, mine)
        files.write(path, asv_files.encode(header, benchmarks))


def described(header: Mapping[str, Any], dimensions: Mapping[str, str]) -> dict[str, Any]:
    """A result file's header with the dimensions that `harness sweep` gives its own: onnxruntime, host and weights."""
    params, variables = dict(header["params"]), dict(header["env_vars"])
    required = {name: version for name, version in header["requirements"].items() if name.startswith("onnxruntime")}
    for name in required:
        params.pop(name, None)
    guess = "+".join(part for name, version in required.items() for part in (version, name[12:]) if part)
    params["onnxruntime"] = dimensions.get("onnxruntime") or guess or "unknown"
    params["python"] = dimensions.get("python") or params["python"]
    params["host"] = dimensions.get("host") or fingerprint()
    params["weights"] = variables.pop(asv_suite.WEIGHTS, None) or asv_suite.policy()
    return {**header, "params": params, "env_vars": variables}


# --- asv's other files ---------------------------------------------------------------------------


def _patch_files() -> None:
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
            stored = asv_files.load(path, asv_files.BENCHMARKS_VERSION)
            content = asv_merge.benchmarks(path, stored, self._all_benchmarks)
            files.write(path, asv_files.dump(content, asv_files.BENCHMARKS_VERSION))

    util.write_json = write_json
    Machine.save = told(save_machine)
    Benchmarks.save = told(save_benchmarks)
