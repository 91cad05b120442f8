"""Packages of npm in the cache: one release each, pinned, made once, whole or not there at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Final

from harness import foreign, processes, sealed
from harness.errors import StoreError, UsageError
from harness.runtimes.environments import META, OFFLINE, Say
from harness.store import files

DEADLINE_S: Final = 900.0
NO_VERSION = re.compile(r"ETARGET|E404|No matching version|is not in this registry", re.IGNORECASE)


def ensure(root: Path, package: str, version: str, *, install: bool, say: Say) -> Path:
    """The folder that has the package's `node_modules`.

    Args:
        root: where runtimes are kept in the cache.
        package: npm's name of it.
        version: the release, written out.
        install: whether npm may fetch it.
        say: hears before that.

    Raises:
        UsageError: it cannot be had; the text says what to do.
        StoreError: the cache cannot be written.
    """
    what = f"{package} {version}"
    key = hashlib.sha256(f"npm {package}=={version}".encode()).hexdigest()[:32]
    place, entry = root / key, f"{root.name}/{key}"
    if _whole(place, package, version):
        return place
    if not install:
        raise UsageError(f"{what} is not in the cache yet; a sweep installs it, as does `harness runtimes install`")
    npm = shutil.which("npm")
    if npm is None:
        raise UsageError(f"{what} is not in the cache, and there is no npm to fetch it: install Node.js with npm")
    with files.Lock.wait(place.with_name(f".{key}.lock")):
        if _whole(place, package, version):
            return place
        with files.guarded("make", place):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
        say(f"installing {what}")
        try:
            _install(npm, place, f"{package}@{version}", what)
            content = {"made_by": what, "created": time.time(), "package": package, "version": version}
            files.write(place / META, sealed.seal(entry, content))
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
    return place


def _whole(place: Path, package: str, version: str) -> bool:
    """Whether an earlier call made it to its end, and it still lies there. A hit marks it as used."""
    found = sealed.opened(place / META, sealed.place_entry(place))
    if found.content is None or version_in(place, package) != version:
        return False
    sealed.mark_used(place / META)
    return True


def version_in(folder: Path, package: str) -> str:
    """The version of a package below a folder's `node_modules`; empty where there is none."""
    try:
        said = foreign.mapping(foreign.content(folder / "node_modules" / package / "package.json"))
    except (OSError, ValueError):
        return ""
    return str(said.get("version") or "")


def _install(npm: str, place: Path, requirement: str, what: str) -> None:
    # Its libraries for the CPU lie in the package; the script would fetch more from elsewhere.
    environment = {**os.environ, "ONNXRUNTIME_NODE_INSTALL": "skip"}
    (place / "package.json").write_text(json.dumps({"private": True}), encoding="utf-8")
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--save-exact", requirement]
    done = processes.run_text(command, deadline_s=DEADLINE_S, environment=environment, folder=place)
    if done.returncode:
        raise refused(what, f"{done.stdout}\n{done.stderr}")


def refused(what: str, said: str) -> UsageError | StoreError:
    """Why npm failed: no space, no network, no such release, or the last lines that it wrote."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = " | ".join(lines[-3:])
    if "ENOSPC" in said:
        return StoreError(f"{what} was not installed: the disk is full. Free some space with `harness cache --prune`.")
    if NO_VERSION.search(said):
        return UsageError(
            f"npm finds no {what}; write a release that it has (`npm view {what.split(maxsplit=1)[0]} versions`)"
        )
    if OFFLINE.search(said) or re.search(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|network", said):
        return UsageError(
            f"{what} is not in the cache, and npm's registry cannot be reached from here. Go online once, or point npm "
            f"at a registry that can be reached (npm config set registry). npm said: {last}"
        )
    return UsageError(f"{what} could not be installed: {last}")
