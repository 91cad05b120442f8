"""Where the jar of onnxruntime's Java API lies: a file that is named, a folder, or Maven's cache."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from pathlib import Path
from typing import Final

from harness import processes
from harness.errors import UsageError
from harness.paths import typed
from harness.runtimes.environments import OFFLINE, Say

VARIABLE: Final = "HARNESS_ONNXRUNTIME_JAR"
"""The variable of the environment that names a jar: onnxruntime's, or any that carries it."""

GROUP: Final = "com.microsoft.onnxruntime"
ARTIFACT: Final = "onnxruntime"
VERSION: Final = "1.23.2"
"""The release that is fetched where none is named and Maven's cache has none."""

DEADLINE_S: Final = 900.0
MACHINES: Final = {"x86_64": "x64", "amd64": "x64", "arm64": "aarch64"}
SYSTEMS: Final = {"darwin": ("osx", "lib{}.dylib"), "win32": ("win", "{}.dll")}

_SYSTEM, _NAME = SYSTEMS.get(sys.platform, ("linux", "lib{}.so"))
NATIVE: Final = f"ai/onnxruntime/native/{_SYSTEM}-{MACHINES.get(platform.machine().lower(), platform.machine())}"
CORE: Final = _NAME.format("onnxruntime")
BINDING: Final = _NAME.format("onnxruntime4j_jni")


def find(version: str, folder: str, *, install: bool, say: Say) -> Path:
    """The jar.

    Args:
        version: of the jar in Maven's cache; empty for the newest there.
        folder: one that has it; empty where none was named.
        install: whether Maven may fetch it.
        say: hears before that.

    Raises:
        UsageError: it cannot be had; the text says what to do.
    """
    if folder:
        found = sorted(typed(folder).glob("*onnxruntime*.jar"), key=_age) or sorted(typed(folder).glob("*.jar"))
        if found:
            return found[-1].absolute()
        raise UsageError(f"{folder} has no onnxruntime-*.jar: give the folder that has the jar of {GROUP}:{ARTIFACT}")
    named = os.environ.get(VARIABLE, "").strip()
    if named and not version:
        if typed(named).is_file():
            return typed(named).absolute()
        raise UsageError(f"{VARIABLE} is {named}, which is not a file; name the jar of {GROUP}:{ARTIFACT}")
    kept = repository() / GROUP.replace(".", "/") / ARTIFACT
    cached = [kept / version / f"{ARTIFACT}-{version}.jar"] if version else sorted(kept.glob("*/*.jar"), key=_age)
    cached = [one for one in cached if one.is_file() and not one.stem.endswith(("-sources", "-javadoc"))]
    return cached[-1] if cached else _fetched(version or VERSION, kept, install, say)


def core_beside(folder: str) -> Path | None:
    """The core library that lies in a folder of one's own, which is used in place of the jar's."""
    place = typed(folder) / CORE if folder else None
    return place.absolute() if place is not None and place.is_file() else None


def repository() -> Path:
    """Maven's cache of this user."""
    return Path.home() / ".m2" / "repository"


def _age(jar: Path) -> list[int]:
    """What orders releases: the numbers of its name."""
    return [int(one) for one in re.findall(r"[0-9]+", jar.stem)]


def _fetched(version: str, kept: Path, install: bool, say: Say) -> Path:
    what = f"{GROUP}:{ARTIFACT}:{version}"
    remedy = (
        f"name it in {VARIABLE}, name the folder that has it (`runtime: java:FOLDER`), or let Maven fetch it: "
        f"mvn dependency:get -Dartifact={what}"
    )
    maven = shutil.which("mvn")
    if not install or maven is None:
        raise UsageError(f"the jar of onnxruntime {version} is not in Maven's cache ({kept}): {remedy}")
    say(f"fetching {what}")
    done = processes.run_text([maven, "-q", "-B", "dependency:get", f"-Dartifact={what}"], deadline_s=DEADLINE_S)
    jar = kept / version / f"{ARTIFACT}-{version}.jar"
    if done.returncode == 0 and jar.is_file():
        return jar
    said = f"{done.stdout}\n{done.stderr}"
    if OFFLINE.search(said) or re.search(r"Unknown host|Connection refused|timed out", said):
        raise UsageError(f"{what} is not in Maven's cache, and its repository cannot be reached from here: {remedy}")
    line = next((one for one in said.splitlines() if "ERROR" in one), "no reason given")
    raise UsageError(f"Maven did not fetch {what}: {line[:300]}")
