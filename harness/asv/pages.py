"""Which line of asv's pages a value of `asv run` belongs to: the one that a sweep of the same weights has.

asv measures all models in one environment, so a result file holds several sets of weights, and its `weights` can only
say which were asked for. The file names those of each model beside it; for the pages it is read as one file for each.
A model that is a file of the user's own keeps one line whatever the file holds: that it changed is what asv is to show.
"""

from __future__ import annotations

import ast
import copy
import functools
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from harness.errors import StoreError
from harness.store.asv import files as asv_files
from harness.store.asv.environments import WEIGHTS_OF, page_label
from harness.store.asv.merge import NAMES

TABLES: Final = (
    "_results", "_samples", "_stats", "_benchmark_params", "_profiles", "_started_at", "_duration",
    "_benchmark_version",
)  # fmt: skip
"""What asv's results keep by the names of benchmarks."""


def patch() -> None:
    """Replace how `asv publish` reads results."""
    from asv.commands import publish

    plain = publish.iter_results

    def iter_results(results: str) -> Iterator[Any]:
        for found in plain(results):
            weights = found.params.get("weights")
            if isinstance(weights, str):
                vars(found)["_params"] = {**found.params, "weights": page_label(weights)}
            yield from by_weights(found, labels_of(Path(results) / vars(found)["_filename"]))

    publish.iter_results = iter_results


def labels_of(path: Path) -> Mapping[str, str]:
    """Model -> the line of the weights it was built with; empty where the file does not say."""
    try:
        found = asv_files.read(path).header.get(WEIGHTS_OF) or {}
    except StoreError:
        return {}  # asv reads it, or says itself what is wrong
    return {model: page_label(label) for model, label in found.items()}


def by_weights(found: Any, labels: Mapping[str, str]) -> Iterator[Any]:
    """A file's results, those of `sweep.*` in parts of one model each.

    Args:
        found: as asv has read them.
        labels: model -> the label of its weights; models without one stay together with what else the file holds.
    """
    if not labels or NAMES.isdisjoint(found.get_all_result_keys()):
        yield found
        return
    others = _part(found, lambda model: model not in labels)
    if others.get_all_result_keys():
        yield others
    for model, label in sorted(labels.items()):
        part = _part(found, functools.partial(operator.eq, model))
        for name in set(part.get_all_result_keys()) - NAMES:
            part.remove_result(name)
        vars(part)["_params"] = {**found.params, "weights": label}
        if part.get_all_result_keys():
            yield part


def _part(found: Any, wanted: Callable[[str], bool]) -> Any:
    """A copy that holds the numbers of some models alone; benchmarks without one are left out of it."""
    part = copy.copy(found)
    tables: dict[str, dict[str, Any]] = {name: dict(vars(found)[name]) for name in TABLES}
    vars(part).update(tables)
    for name in NAMES & set(found.get_all_result_keys()):
        axes = found.get_result_params(name)
        models = [one for one in axes[0] if wanted(ast.literal_eval(one))]
        chosen = [models, *axes[1:]]
        values = found.get_result_value(name, chosen)
        if all(value is None or math.isnan(value) for value in values):
            part.remove_result(name)
            continue
        tables["_results"][name], tables["_benchmark_params"][name] = values, chosen
        for table, column in (("_stats", found.get_result_stats), ("_samples", found.get_result_samples)):
            if tables[table][name] is not None:
                tables[table][name] = column(name, chosen)
    return part
