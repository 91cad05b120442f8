"""The distributions that install the module `onnxruntime`: their names, and everything that follows from a name.

One list for all: what may be installed as a runtime, whose version goes into an artifact's digest and is stored with a
run, and what a runtime is called on asv's pages and in the report. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

PLAIN: Final = "onnxruntime"

FLAVOURS: Final = (
    PLAIN, "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml", "onnxruntime-qnn",
    "onnxruntime-training", "onnxruntime-migraphx", "onnxruntime-rocm", "onnxruntime-cann", "onnxruntime-vitisai",
    "onnxruntime-windowsml", "ort-nightly", "ort-nightly-gpu", "ort-nightly-directml",
)  # fmt: skip
"""Distributions that install the module `onnxruntime`, by their normal names; an environment has one of them."""

WHEELS: Final = tuple(name.replace("-", "_") for name in FLAVOURS)
"""How the file names of their wheels begin."""

IN_TEXT: Final = "|".join(
    re.escape(name).replace(r"\-", "[-_.]") for name in sorted(FLAVOURS, key=lambda name: (-len(name), name))
)
"""A regular expression for their names as people write them, the longest first."""

UNKNOWN_VERSION: Final = "onnxruntime of unknown version"
"""The label of a runtime that nothing stored tells."""


def normal(name: str) -> str:
    """A distribution's name in the form that package indexes compare."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_flavour(name: str) -> bool:
    """Whether a distribution installs the module `onnxruntime`."""
    return normal(name) in FLAVOURS


def chosen(versions: Mapping[str, str]) -> tuple[str, str] | None:
    """The distribution among others that brings the module, with its version; None where none of them does.

    Where the module's own version stands beside the distribution's, the distribution's name says which flavour it is.
    """
    found = sorted(
        (name for name in versions if is_flavour(name)), key=lambda name: (normal(name) == PLAIN, -len(name), name)
    )
    return (found[0], versions[found[0]]) if found else None


def tag(package: str, version: str) -> str:
    """A runtime as asv's pages name it: the version, and the flavour where it is not the plain one.

    `1.31.1`, `1.31.1+gpu`, `1.32.0.dev1+ort-nightly`; a runtime without a known version is its flavour alone. What is
    not an onnxruntime is its `label`.
    """
    if version and not is_flavour(package):
        return label(package, version)
    return "+".join(part for part in (version, package.removeprefix(PLAIN).lstrip("-")) if part)


def of_tag(stored: str) -> tuple[str, str]:
    """The package and version of a tag: the inverse of `tag` where the version is known.

    A version may have a local part, such as `1.22.0+cu12`.
    """
    package, blank, version = stored.partition(" ")
    if blank:
        return package, version
    version, plus, flavour = stored.rpartition("+")
    if plus and flavour in FLAVOURS:
        return flavour, version
    if plus and f"{PLAIN}-{flavour}" in FLAVOURS:
        return f"{PLAIN}-{flavour}", version
    return PLAIN, stored


def label(package: str, version: str) -> str:
    """A runtime as the report names it, such as `onnxruntime-gpu 1.31.1`."""
    return f"{package} {version}"


def version_in(name: str) -> str:
    """The version in a `label`; empty for `UNKNOWN_VERSION`."""
    return "" if name == UNKNOWN_VERSION else name.partition(" ")[2]
