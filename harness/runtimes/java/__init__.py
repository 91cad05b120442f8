"""ONNX Runtime from Java: one class against `ai.onnxruntime`, compiled once against the jar that it runs with."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from harness import processes
from harness.errors import StoreError, UsageError
from harness.paths import typed
from harness.runtimes import cpp, resolve
from harness.runtimes.environments import Say
from harness.runtimes.java import forward, jars
from harness.runtimes.languages import WorkerProgram, apart
from harness.store import files

FOLDER: Final = Path(__file__).parent
SOURCES: Final = ("Json.java", "Load.java", "Settings.java", "Values.java", "Worker.java")
OPTIONS: Final = ("--release", "11", "-encoding", "UTF-8")
DEADLINE_S: Final = 600.0
HOME: Final = "JAVA_HOME"

ASK: Final = """
import ctypes, sys
class Base(ctypes.Structure):
    _fields_ = [("api", ctypes.c_void_p), ("version", ctypes.CFUNCTYPE(ctypes.c_char_p))]
library = ctypes.CDLL(sys.argv[1])
library.OrtGetApiBase.restype = ctypes.POINTER(Base)
print(library.OrtGetApiBase().contents.version().decode())
"""
"""What a core library says of itself: Java's API answers with the version of the jar, whichever core it runs on."""


def find(version: str, folder: str, root: Path, *, install: bool, say: Say) -> WorkerProgram:
    """What starts the worker: the JVM, the worker's classes, the jar, and the native libraries out of it.

    Args:
        version: of the jar in Maven's cache, empty for the newest there; or where a jar is named in the environment, of
            the core library under it, out of the wheel of that release.
        folder: one with the jar, and where its natives are not to be used a core library beside it.
        root: the cache's folder.
        install: whether to fetch the jar and to compile.
        say: hears before that.

    Raises:
        UsageError: a JDK or the jar cannot be had.
        StoreError: the cache cannot be written.
    """
    java = tool("java")
    under = bool(version) and not folder and bool(os.environ.get(jars.VARIABLE, "").strip())
    jar = jars.find("" if under else version, folder, install=install, say=say)
    core = cpp.core_library(version, "", root, install=install, say=say) if under else jars.core_beside(folder)
    place = made(root.absolute() / resolve.KIND, jar, core, install, say)
    native = place / "native"
    command = [
        java,
        f"-Donnxruntime.native.path={native}",
        "-cp",
        os.pathsep.join((str(place / "classes"), str(jar))),
        "onnxexample.Worker",
        asked(native / jars.CORE),
    ]
    return WorkerProgram(command=apart(command), package="onnxruntime-java", digest=place.name)


def tool(name: str) -> str:
    """Where a program of the JDK is: below JAVA_HOME, or on the PATH.

    Raises:
        UsageError: it is not there.
    """
    home = os.environ.get(HOME, "").strip()
    found = shutil.which(str(typed(home) / "bin" / name)) if home else shutil.which(name)
    if found is None:
        where = f"{HOME} is {home}, which has no bin/{name}" if home else f"there is no `{name}` on the PATH"
        raise UsageError(f"{where}: install a JDK, 11 or newer (apt install default-jdk-headless, or adoptium.net)")
    return found


def made(runtimes: Path, jar: Path, core: Path | None, install: bool, say: Say) -> Path:
    """The folder with `classes` and `native`, made now where the cache has none for this jar and these sources.

    Args:
        runtimes: where runtimes are kept in the cache.
        jar: with the API, its binding and its core library.
        core: the core library that is used in place of the jar's; None for the jar's.
        install: whether to compile.
        say: hears before that.

    Raises:
        UsageError: it cannot be made.
        StoreError: the cache cannot be written.
    """
    sources = b"".join((FOLDER / name).read_bytes() for name in (*SOURCES, forward.SOURCE.name))
    parts = [_known(one) for one in (jar, core) if one is not None]
    key = hashlib.sha256(sources + "\n".join([*OPTIONS, *parts]).encode()).hexdigest()[:32]
    place = runtimes / key
    if (place / "native" / jars.CORE).is_file():
        return place
    if not install:
        raise UsageError("the Java worker is not compiled yet; a sweep does it")
    javac = tool("javac")
    say("compiling the Java worker")
    with files.guarded("make", place):
        runtimes.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=runtimes, prefix=".java-") as scratch:
        half = Path(scratch) / "whole"
        (half / "classes").mkdir(parents=True)
        names = [str(FOLDER / name) for name in SOURCES]
        command = [javac, *OPTIONS, "-cp", str(jar), "-d", str(half / "classes"), *names]
        done = processes.run_text(command, deadline_s=DEADLINE_S)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()[-3:]
            raise UsageError(f"the Java worker does not compile with {javac} and {jar}: {' | '.join(said[:3])}")
        _natives(jar, core, half / "native")
        with files.guarded("make", place):
            if not place.exists():
                half.rename(place)
    return place


def _known(path: Path) -> str:
    state = path.stat()
    return f"{path} {state.st_size} {state.st_mtime_ns}"


def _natives(jar: Path, core: Path | None, to: Path) -> None:
    """Both libraries out of the jar; in place of its core another one, through one that joins them where it has to.

    Raises:
        UsageError: the jar has none for this platform, or another core cannot be joined to it.
        StoreError: they cannot be written.
    """
    to.mkdir()
    try:
        with zipfile.ZipFile(jar) as held:
            for name in (jars.CORE, jars.BINDING):
                (to / name).write_bytes(held.read(f"{jars.NATIVE}/{name}"))
    except KeyError as error:
        raise UsageError(
            f"{jar} has no native library for this platform ({jars.NATIVE}): take the jar of "
            f"{jars.GROUP}:{jars.ARTIFACT} from Maven, which has those of Linux, macOS and Windows"
        ) from error
    except zipfile.BadZipFile as error:
        raise UsageError(f"{jar} is not a jar: {error}") from error
    except OSError as error:
        raise StoreError(f"Cannot write {to}: {error.strerror or error}.") from error
    if core is not None:
        (to / jars.CORE).unlink()
        if forward.fits(core, to / jars.BINDING):
            (to / jars.CORE).symlink_to(core)
        else:
            forward.make(core, to / jars.BINDING, to / jars.CORE)


def asked(core: Path) -> str:
    """The version that a core library answers.

    Raises:
        UsageError: it cannot be loaded, or is not onnxruntime's.
    """
    done = processes.run_text([sys.executable, "-c", ASK, str(core)], deadline_s=60.0)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise UsageError(f"the core library {core} does not answer with its version: {said}")
    return done.stdout.strip()
