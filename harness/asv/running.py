"""How asv runs `sweep.*`: a process per case in place of one per metric, and what `--skip-existing` leaves out."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

from harness.asv.answers import State, answered
from harness.store.asv.merge import NAMES


def patch(state: State) -> None:
    """Replace how asv starts processes, and how it looks at what is stored."""
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
