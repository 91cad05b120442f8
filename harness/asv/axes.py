"""The axes of `sweep.*`: the same for all commits of an `asv run`, since asv looks for benchmarks in only one."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness import git, scratch, zoo
from harness.asv import processes
from harness.asv.answers import State
from harness.asv.commit import axes_of, cases
from harness.asv.errors import with_asv_errors
from harness.asv.exchange import AXES_FILE, ZOO
from harness.errors import HarnessError
from harness.store import files
from harness.store.asv import files as asv_files
from harness.store.asv import merge
from harness.store.asv.merge import NAMES


def patch(state: State) -> None:
    """Replace how asv finds benchmarks: those of `sweep.*` get the axes of every commit that is asked for."""
    from asv.benchmarks import Benchmarks
    from asv.console import log

    def discover(
        cls: Any, conf: Any, repo: Any, environments: Any, commit_hash: Any, regex: Any = None, check: bool = False
    ) -> Any:
        axes_file = state.folder / AXES_FILE
        axes_file.unlink(missing_ok=True)
        found = cls._disc_benchmarks(conf, repo, environments, commit_hash, check)
        own = [benchmark for benchmark in found if benchmark["name"] in NAMES]
        if not own:
            return cls(conf, found, regex=regex)
        for said in {processes.warning(env) for env in environments} - {""}:
            log.warning(said)
        axes = own[0]["params"]
        if any(env.can_install_project() for env in environments):
            for other in zoo_axes(repo, environments[0], commit_hash):
                axes = asv_files.union(axes, other)
        for benchmark in own:
            benchmark["params"] = axes
        selection = cls(conf, found, regex=regex).benchmark_selection
        chosen = {i for benchmark in own for i in selection[benchmark["name"]]}
        # What nobody asks for would only fill the tables that asv prints.
        axes = merge.hull(axes, [point for i, point in enumerate(itertools.product(*axes)) if i in chosen])
        for benchmark in own:
            benchmark["params"] = axes
        files.write(axes_file, json.dumps(axes).encode())
        return cls(conf, found, regex=regex)

    Benchmarks.discover = classmethod(with_asv_errors(discover))


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
    name = environment.env_vars.get(ZOO) or os.environ.get(ZOO) or "model_zoo.yaml"
    path = git.prefix_of(Path.cwd()) + name
    texts: dict[str, str] = {}
    for commit in commits:
        content = git.file_at(Path(repo._path), commit, path)  # noqa: SLF001  (asv has no function for it)
        if content is not None:
            texts.setdefault(content.decode("utf-8", errors="replace"), commit)
    for text, commit in texts.items():
        with scratch.folder("zoo") as folder:
            copy = Path(folder) / Path(name).name
            copy.write_text(text, encoding="utf-8")
            try:
                axes = axes_of(cases(zoo.load(copy)))
            except HarnessError as error:
                log.warning(f"{path} of commit {commit[:8]} cannot be read: {error}")
                continue
        yield [[repr(value) for value in axis] for axis in axes]
