"""What asv itself does not do, as a plugin: `"plugins": [".harness.asv_plugin"]` in asv.conf.json.

1. Everything that asv saves is written whole, under the lock of the results folder, on top of what others (another
   asv, a `harness sweep`) wrote meanwhile: nothing is lost and nothing is torn.
2. An environment's name holds the host's fingerprint, and its results say host, onnxruntime and weights: a change of
   any begins a new series.
3. The axes of `sweep.*` are those of all commits of an `asv run`, and every process counts on the same ones.
4. One measurement serves all metrics of a case (see `harness.asv.answers`); the samples of `sweep.*` are always kept.
5. Two runs of asv never use one environment at the same time.
6. On the pages a case of `asv run` shares its line with the sweeps of the same weights.

It replaces functions of asv 0.6, all of them in `setup`, which refuses an asv that does not have them as they were.
"""

from __future__ import annotations

import atexit
import inspect
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from harness.asv import axes, environments, pages, results, running
from harness.asv.answers import State
from harness.asv.exchange import FOLDER

EXPECTED: Final[Mapping[str, str]] = {
    "benchmarks.Benchmarks._disc_benchmarks": "conf, repo, environments, commit_hashes, check",
    "benchmarks.Benchmarks.discover": "conf, repo, environments, commit_hash, regex, check",
    "benchmarks.Benchmarks.save": "self",
    "commands.publish.iter_results": "results",
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
    os.environ[FOLDER] = str(state.folder)
    # asv tells only its own environments where the configuration lies, not existing ones.
    os.environ["ASV_CONF_DIR"] = str(Path.cwd())
    os.environ.pop("ASV_ENV_DIR", None)
    environments.patch(state)
    axes.patch(state)
    running.patch(state)
    results.patch(state)
    results.patch_files()
    pages.patch()


def _find(name: str) -> Any:
    import asv.commands.publish
    import asv.commands.run
    import asv.commands.setup

    found: Any = asv
    for part in name.split("."):
        found = getattr(found, part, None)
    return found
