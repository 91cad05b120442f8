"""What pip has to be asked for so that another environment gets this harness, and what its models need."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from harness import __version__, flavours, provenance
from harness.paths import typed

NAME = "onnx-harness"
FOR_TORCH = ("torch", "onnxscript")
"""Of the extra `zoo`, what a model of one's own needs; the rest is for hubs."""


def own(given: str | None = None) -> str:
    """An argument of `pip install` that brings harness.

    Args:
        given: what a person asked for: a folder or a file of this machine, a URL, or any other requirement.

    Returns:
        The same, with a path made absolute; without one, what this harness was installed from: its folder, file or
        repository where it came from one (PEP 610), else its version.
    """
    if given is not None:
        path = typed(given)
        return str(path.resolve()) if path.exists() else given
    try:
        text = metadata.distribution(NAME).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        text = None
    return from_direct_url(json.loads(text)) if text else f"{NAME}=={__version__}"


def from_direct_url(origin: Mapping[str, object]) -> str:
    """The requirement behind a `direct_url.json`."""
    url = str(origin["url"])
    vcs = origin.get("vcs_info")
    if isinstance(vcs, dict):
        return f"{NAME} @ {vcs['vcs']}+{url}@{vcs['commit_id']}"
    parts = urlsplit(url)
    return url2pathname(parts.path) if parts.scheme == "file" else f"{NAME} @ {url}"


def with_extra(requirement: str, extra: str) -> str:
    """The same with an extra, such as `onnx-harness[zoo]==1.0` or `/a/folder[zoo]`."""
    if is_local(requirement):
        return f"{requirement}[{extra}]"
    if "[" in requirement or not (match := re.match(r"[\w.-]+(?=\s*(@|[<>=!~]|$))", requirement)):
        return requirement  # a person who names extras, or a bare URL, is taken at their word
    return f"{match[0]}[{extra}]{requirement[match.end() :]}"


def is_local(requirement: str) -> bool:
    """Whether it is a path, which no other machine has."""
    return Path(requirement).is_absolute()


def for_torch() -> list[str]:
    """What a torch model needs besides harness, with the bounds of the extra `zoo`."""
    try:
        lines = metadata.requires(NAME) or []
    except metadata.PackageNotFoundError:
        return list(FOR_TORCH)
    bare = [line.partition(";")[0].strip() for line in lines if re.search(r"extra\s*==\s*['\"]zoo['\"]", line)]
    return [line for line in bare if re.split(r"[^\w.-]", line, maxsplit=1)[0] in FOR_TORCH]


def onnxruntime() -> tuple[str, str]:
    """The installed distribution that provides onnxruntime, and its version.

    Raises:
        PackageNotFoundError: there is none, which harness itself would not have let happen.
    """
    found = flavours.chosen(provenance.versions(flavours.FLAVOURS))
    if found is None:
        raise metadata.PackageNotFoundError(flavours.PLAIN)
    return found
