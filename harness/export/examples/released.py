"""Which release of a package an example asks for: rows may be somebody else's, and what they say is text in a file."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from harness.runtimes import node

FILES: Final = Path(__file__).with_name("files")
RUNTIMES: Final = Path(node.__file__).parent.parent
VERSION: Final = re.compile(r"[0-9]+(?:\.[0-9]+){1,3}")


def version(session: Mapping[str, Any], package: str, tried: str) -> str:
    """The release of a language's package that an example asks for.

    Args:
        session: what `session.json` says. Releases of one language's package need not be in another's registry.
        package: what the workers of the language call it.
        tried: the release that is asked for where another package measured.
    """
    by = session["measured_by"] or {}
    said = str(by.get("version") or "")
    return said if by.get("name") == package and VERSION.fullmatch(said) else tried


def asked(folder: Path) -> Mapping[str, Any]:
    """What the `session.json` of an export says, wherever it lies below."""
    found: Mapping[str, Any] = json.loads(next(folder.rglob("session.json")).read_text(encoding="utf-8"))
    return found


def copied(folder: Path, *sources: Path) -> None:
    """Put files into a folder, by their own names."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in sources:
        shutil.copyfile(one, folder / one.name)


def package(folder: Path, name: str, start: str) -> None:
    """The `package.json` of an example that needs one package of npm."""
    content = {
        "private": True,
        "type": "module",
        "scripts": {"start": start},
        "dependencies": {name: version(asked(folder), name, node.VERSION)},
    }
    (folder / "package.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def filled(folder: Path, source: Path, release: str, name: str = "") -> None:
    """Put a build file into a folder, with a release of onnxruntime in it, as `name` or by its own."""
    place = folder / (name or source.name)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(source.read_text(encoding="utf-8").replace("@VERSION@", release), encoding="utf-8")
