"""Workflows for GitHub: one that measures every push, one that gates every pull request."""

from __future__ import annotations

import math
import platform
import re
import shlex
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from harness import shown
from harness.errors import UsageError
from harness.suggest import suggest

SWEEP, GATE, NONE = "sweep", "gate", "none"
FILES = {SWEEP: ".github/workflows/harness.yml", GATE: ".github/workflows/gate.yml"}
"""What is asked for -> the file that it is, from the top of the checkout."""

HOSTED = re.compile(r"git\+https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?@([\w.-]+)$")
"""A requirement of pip that names a repository on GitHub and a tag or a commit: the Action is there, too."""


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """The workflows that were asked for, each once; none where that was asked for.

    Raises:
        UsageError: one is not known, or none and another one were asked for.
    """
    for name in names:
        if name not in (*FILES, NONE):
            raise UsageError(f"--ci {name}: {suggest(name, (*FILES, NONE))}")
    if NONE in names and len(set(names)) > 1:
        raise UsageError(f"--ci {','.join(names)}: none and others exclude each other")
    return tuple(dict.fromkeys(name for name in names if name != NONE))


def words(*, branch: str, inside: str, packages: Sequence[str], requirement: str, zoo: str) -> dict[str, str]:
    """What stands for each word of a template.

    Args:
        branch: that pushes of are measured.
        inside: the folder of the files, from the top of the checkout, `.` for the top itself.
        packages: what pip installs, as arguments from that folder.
        requirement: the one of them that brings harness.
        zoo: the zoo file's name.

    Raises:
        UsageError: the folder's name has a line break or an expression, which would act in a workflow.
    """
    if shown.CONTROL.search(inside) or "${{" in inside:
        raise UsageError(
            f"a workflow cannot name the folder {shown.text(inside)}: rename it, or omit the workflows with --ci none"
        )
    install = f"python -m pip install {shlex.join(packages)}"
    prefix = "" if inside == "." else f"{inside}/"
    hosted = HOSTED.search(requirement)
    return {
        "BRANCHES": f"[{scalar(pattern(branch), '[{}]')}]",
        "FOLDER": scalar(inside, "{}"),
        "PREFIX": prefix,
        "PYTHON": ".".join(platform.python_version_tuple()[:2]),
        "INSTALL": scalar(install, "a: {}"),
        "INSTALLTOP": scalar(f"cd {shlex.quote(inside)} && {install}" if prefix else install, "a: {}"),
        "ZOO": scalar(prefix + zoo, "a: {}"),
        "ACTION": f"{hosted[1]}@{hosted[2]}" if hosted else "",
        "PERMISSIONS": "  pull-requests: write # for the comment\n" if hosted else "",
        "JUDGE": template("gate-action.yml" if hosted else "gate-steps.yml"),
    }


def text(name: str, of: Mapping[str, str]) -> str:
    """A workflow, with every word of its template replaced."""
    whole = template(Path(FILES[name]).name).replace("@JUDGE@", of["JUDGE"])
    # All at once: a name that is put in may look like a word to be replaced.
    return re.sub("@([A-Z]+)@", lambda found: of[found[1]], whole)


def pattern(branch: str) -> str:
    """A branch as GitHub's filter of branches has it, where some characters that git allows mean something."""
    return re.sub(r"\+|^!", r"\\\g<0>", branch)


def scalar(text: str, place: str) -> str:
    """A text as YAML has it: as it is where that means the same, else in quotes.

    Args:
        text: anything.
        place: what stands around it, with `{}` for the text.
    """
    import yaml

    quoted = yaml.dump(text, default_style='"', width=math.inf).strip()
    try:
        plain = yaml.safe_load(place.replace("{}", text)) == yaml.safe_load(place.replace("{}", quoted))
    except yaml.YAMLError:
        plain = False
    return text if plain else quoted


def template(name: str) -> str:
    """A file as it is written, but for words between `@`."""
    return resources.files(__package__).joinpath("templates", f"{name}.txt").read_text(encoding="utf-8")
