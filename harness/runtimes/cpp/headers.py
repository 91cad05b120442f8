"""Where the headers of onnxruntime's C++ API lie: a folder that is named, the system, or a package in the cache."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from harness import processes
from harness.errors import UsageError
from harness.paths import typed
from harness.runtimes import npm
from harness.runtimes.environments import Say
from harness.store import files

VARIABLE: Final = "HARNESS_ONNXRUNTIME_HEADERS"
"""The variable of the environment that names the folder."""

HEADER: Final = "onnxruntime_cxx_api.h"
INSIDE: Final = ("", "include", "include/onnxruntime", "include/onnxruntime/core/session", "headers")
"""Where in a folder that somebody names they may lie: of a release, an install, a checkout, an Android archive."""

SYSTEM: Final = ("/usr/local/include", "/usr/include", "/opt/homebrew/include")

PACKAGE: Final = "com.github.asus4.onnxruntime"
VERSION: Final = "0.4.9"
ARCHIVE: Final = "package/Plugins/Android/onnxruntime.aar"
"""A package of npm (MIT) that carries the headers of onnxruntime 1.29, in an archive for Android."""


def find(runtimes: Path, folder: str, *, install: bool, say: Say) -> Path:
    """The folder of the headers.

    Args:
        runtimes: where runtimes are kept in the cache.
        folder: of a release of onnxruntime; empty where none was named.
        install: whether npm may fetch the package that has them.
        say: hears before that.

    Raises:
        UsageError: there are none.
        StoreError: the cache cannot be written.
    """
    if asked := os.environ.get(VARIABLE, "").strip():
        for found in _with_headers(typed(asked)):
            return found
        raise UsageError(f"{VARIABLE} is {asked}, which has no {HEADER}; name the folder that has it")
    for place in (*([Path(folder)] if folder else []), *map(Path, SYSTEM)):
        for found in _with_headers(place):
            return found
    kept = runtimes / f"headers-{VERSION}"
    if (kept / HEADER).is_file():
        return kept
    if not install or shutil.which("npm") is None:
        raise UsageError(
            f"there is no {HEADER}: name the folder of onnxruntime's C++ headers in {VARIABLE} (`include` of a release "
            f"from github.com/microsoft/onnxruntime/releases), or install npm, which fetches them"
        )
    say(f"fetching the headers of onnxruntime ({PACKAGE} {VERSION}, 150 MB)")
    _fetch(kept)
    return kept


def _with_headers(place: Path) -> Iterator[Path]:
    return (place / one for one in INSIDE if (place / one / HEADER).is_file())


def _fetch(kept: Path) -> None:
    """Take the headers out of the package, and keep no more of it."""
    what = f"{PACKAGE} {VERSION}"
    with files.guarded("make", kept):
        kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".headers-") as scratch:
        place = Path(scratch)
        command = ["npm", "pack", "--silent", "--ignore-scripts", f"{PACKAGE}@{VERSION}"]
        done = processes.run_text(command, deadline_s=npm.DEADLINE_S, folder=place)
        packed = next(place.glob("*.tgz"), None)
        if done.returncode or packed is None:
            raise npm.refused(what, f"{done.stdout}\n{done.stderr}")
        made = place / "headers"
        made.mkdir()
        try:
            _unpack(packed, made)
        except (OSError, KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
            raise UsageError(f"{what} does not hold the headers that it should: {error}") from error
        if not kept.exists():
            made.rename(kept)


def _unpack(packed: Path, to: Path) -> None:
    with tarfile.open(packed) as package, tempfile.TemporaryFile(dir=to.parent) as archive:
        inside = package.extractfile(ARCHIVE)
        if inside is None:
            raise KeyError(ARCHIVE)
        shutil.copyfileobj(inside, archive)
        with zipfile.ZipFile(archive) as held:
            for name in held.namelist():
                if name.startswith("headers/") and name.endswith((".h", ".inc")):
                    (to / Path(name).name).write_bytes(held.read(name))
