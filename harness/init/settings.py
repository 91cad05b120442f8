"""asv.conf.json for somebody's repository."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import foreign, git, provenance
from harness.errors import UsageError
from harness.init import requirement
from harness.metrics import METRICS

PLUGIN = ".harness.asv_plugin"

THRESHOLDS = {rf"sweep\.track_{metric.name}": metric.threshold for metric in METRICS} | {
    r"sweep\.track_fidelity_loss\('[^']*', 'fp32": 100,
}
"""By how much a metric must rise before asv calls it a regression; the same as in this project's own asv.conf.json."""


def configuration(folder: Path, requirements: Sequence[str]) -> dict[str, Any]:
    """The settings that asv gets.

    Args:
        folder: where asv.conf.json is going to lie; inside a git checkout.
        requirements: arguments of `pip install` that every environment gets.
    """
    top = provenance.checkout(folder, ignore=folder).top or folder
    web = page(git.remote_url(folder))
    name, version = requirement.onnxruntime()
    install = shlex.join(requirements)
    package = is_package(folder)
    return {
        "version": 1,
        "project": folder.resolve().name,
        "project_url": web or "#",
        "repo": Path(os.path.relpath(top.resolve(), folder.resolve())).as_posix(),
        "dvcs": "git",
        "branches": [branch(folder)],
        "show_commit_url": f"{web}/commit/" if web else "#",
        "environment_type": "virtualenv",
        "env_dir": ".asv/env",
        "install_timeout": 3600,
        "matrix": {"req": {name: [version]}, "env_nobuild": {"HARNESS_WEIGHTS": ["seeded"]}},
        "build_command": ["python -m pip wheel --no-deps -w {build_cache_dir} {build_dir}"] if package else [],
        "install_command": [f"in-dir={{env_dir}} python -m pip install {'{wheel_file} ' if package else ''}{install}"],
        **({} if package else {"uninstall_command": []}),
        "benchmark_dir": "benchmarks",
        "results_dir": "results",
        "html_dir": "html",
        "plugins": [PLUGIN],
        "regressions_thresholds": THRESHOLDS,
    }


def branch(folder: Path) -> str:
    """The branch that is checked out, before the first commit as well."""
    return git.branch(folder) or "main"


def page(remote: str) -> str:
    """The web page of a repository on GitHub, empty for any other remote."""
    match = re.fullmatch(
        r"(?:https://github\.com/|git@github\.com:|ssh://git@github\.com/)([\w.-]+/[\w.-]+?)(?:\.git)?/?", remote
    )
    return f"https://github.com/{match[1]}" if match else ""


def is_package(folder: Path) -> bool:
    """Whether pip can install the project in a folder; a pyproject.toml that only configures tools is none."""
    if (folder / "setup.py").is_file():
        return True
    try:
        content = foreign.toml(foreign.content(folder / "pyproject.toml"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder / 'pyproject.toml'} cannot be read: {error}") from error
    return "project" in content or "build-system" in content


def read(path: Path) -> dict[str, Any]:
    """An asv.conf.json that is there already, comments and all.

    Raises:
        UsageError: it cannot be read.
    """
    from asv import util

    try:
        content = util.load_json(str(path), js_comments=True)
    except (OSError, ValueError, util.UserError) as error:
        raise UsageError(f"{path} cannot be read: {error}. Fix or remove it, and run the command again.") from error
    return dict(content)
