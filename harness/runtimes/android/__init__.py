"""ONNX Runtime on a phone that adb sees: the worker in C++, cross-compiled by Android's NDK, and its library.

It is tried against an adb that runs everything here, and has not been run on a phone.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from harness import processes
from harness.errors import StoreError, UsageError
from harness.paths import typed
from harness.runtimes import cpp, resolve
from harness.runtimes.cpp import headers
from harness.runtimes.device.transport import ADB, Adb, DeviceError, program, ran
from harness.runtimes.environments import Say
from harness.runtimes.languages import WorkerProgram
from harness.runtimes.ssh import LACKS, relayed
from harness.store import files

VARIABLE: Final = "HARNESS_ANDROID"
"""The variable of the environment that names onnxruntime's archive for Android (.aar), or a folder with its library
and, where there is no NDK, the compiled worker."""

NDK: Final = ("ANDROID_NDK_HOME", "ANDROID_NDK_ROOT", "ANDROID_NDK")
SERIAL: Final = "ANDROID_SERIAL"
"""adb's own variable: which device, where there are several."""

LIBRARY: Final = "libonnxruntime.so"
WORKER: Final = "worker"
LEVEL: Final = 26
COMPILERS: Final = {
    "arm64-v8a": f"aarch64-linux-android{LEVEL}", "armeabi-v7a": f"armv7a-linux-androideabi{LEVEL}",
    "x86_64": f"x86_64-linux-android{LEVEL}", "x86": f"i686-linux-android{LEVEL}",
}  # fmt: skip
DEADLINE_S: Final = 60.0


def find(version: str, folder: str, root: Path, *, install: bool, say: Say) -> WorkerProgram:
    """What starts the worker.

    Args:
        version: none: the library is the one that is named.
        folder: the serial number of the device; empty for adb's own choice, or the only one.
        root: the cache's folder, where the compiled worker is kept.
        install: whether to compile it.
        say: hears before that.

    Raises:
        UsageError: there is no adb, no device or several, no library, or no worker for it.
        StoreError: the cache cannot be written.
    """
    if version:
        raise UsageError(f"runtime android: name the release's archive in {VARIABLE}, not a version")
    device = Adb(folder or chosen())
    try:
        abi = ran(device, "getprop ro.product.cpu.abi").strip()
    except DeviceError as error:
        raise UsageError(f"runtime android: {error}") from error
    if abi not in COMPILERS:
        raise UsageError(f"{device.name} is {abi[:40]!r}; expected {', '.join(COMPILERS)}")
    place, library = libraries(abi, root.absolute() / resolve.KIND)
    worker = place / WORKER if (place / WORKER).is_file() else _compiled(abi, root, install, say)
    digest = hashlib.sha256(b"\n".join(one.read_bytes() for one in (library, worker))).hexdigest()
    config = {
        "kind": "adb",
        "name": device.name,
        "carry": {WORKER: str(worker), LIBRARY: str(library)},
        "start": f"./{WORKER} ./{LIBRARY}",
        "lacks": LACKS,
    }
    return WorkerProgram(command=relayed(config), package="onnxruntime-android", digest=digest)


def chosen() -> str:
    """The serial number of the device that is meant.

    Raises:
        UsageError: there is none, several, or one that does not let adb in.
    """
    if asked := os.environ.get(SERIAL, "").strip():
        return asked
    command = program(ADB, "adb", "install Android's platform tools (apt install adb)")
    try:
        said = processes.run_text([*command, "devices"], deadline_s=DEADLINE_S)
    except subprocess.TimeoutExpired as error:
        raise UsageError("adb does not answer: end its server (adb kill-server) and try again") from error
    found: dict[str, str] = dict(re.findall(r"^(\S+)\t(\S+)", said.stdout, re.MULTILINE))
    ready = [name for name, state in found.items() if state == "device"]
    if len(ready) == 1:
        return ready[0]
    if ready:
        raise UsageError(f"adb sees {len(ready)} devices ({', '.join(ready)}): say which one, `host: {ready[0]}`")
    others = ", ".join(f"{name} is {state}" for name, state in found.items())
    raise UsageError(
        f"adb sees no device{f' that it may use ({others})' if others else ''}: attach one, and allow USB debugging"
    )


def libraries(abi: str, runtimes: Path) -> tuple[Path, Path]:
    """The folder that was named or made, and onnxruntime's library in it.

    Raises:
        UsageError: none is named, or it has none for these devices.
        StoreError: the cache cannot be written.
    """
    asked = os.environ.get(VARIABLE, "").strip()
    remedy = "the .aar of com.microsoft.onnxruntime:onnxruntime-android, or a folder with libonnxruntime.so"
    if not asked:
        raise UsageError(f"runtime android: name in {VARIABLE} {remedy}")
    given = typed(asked).absolute()
    if given.is_dir():
        for place in (given / "jni" / abi, given / abi, given):
            if (place / LIBRARY).is_file():
                return place, place / LIBRARY
        raise UsageError(f"{VARIABLE} is {asked}, which has no {LIBRARY} for {abi}; name {remedy}")
    try:
        state = given.stat()
        key = hashlib.sha256(f"{given} {state.st_size} {state.st_mtime_ns} {abi}".encode()).hexdigest()[:32]
        place = runtimes / f"android-{key}"
        if not (place / LIBRARY).is_file():
            with zipfile.ZipFile(given) as archive:
                content = archive.read(f"jni/{abi}/{LIBRARY}")
            with files.guarded("make", place):
                place.mkdir(parents=True, exist_ok=True)
            files.write(place / LIBRARY, content)
    except (KeyError, OSError, zipfile.BadZipFile) as error:
        if isinstance(error, StoreError):
            raise
        raise UsageError(f"{VARIABLE} is {asked}, which has no library for {abi} ({error}); name {remedy}") from error
    return place, place / LIBRARY


def _compiled(abi: str, root: Path, install: bool, say: Say) -> Path:
    """The worker for a device, compiled by the NDK.

    Raises:
        UsageError: there is none, or it does not compile.
        StoreError: the cache cannot be written.
    """
    ndk = next((os.environ[name] for name in NDK if os.environ.get(name, "").strip()), "")
    compiler = next(typed(ndk).glob(f"toolchains/llvm/prebuilt/*/bin/{COMPILERS[abi]}-clang++"), None) if ndk else None
    if compiler is None:
        raise UsageError(
            f"there is no compiler for {abi}: install Android's NDK and name its folder in {NDK[0]}, or put the "
            f"compiled `{WORKER}` beside {LIBRARY} in the folder that {VARIABLE} names"
        )
    runtimes = root.absolute() / resolve.KIND
    sources = b"".join((cpp.FOLDER / name).read_bytes() for name in cpp.SOURCES)
    place = runtimes / f"android-{hashlib.sha256(sources + str(compiler).encode()).hexdigest()[:32]}"
    if (place / WORKER).is_file():
        return place / WORKER
    if not install:
        raise UsageError("the worker for Android is not compiled yet; a sweep does it")
    include = headers.find(runtimes, "", install=install, say=say)
    say(f"compiling the worker for {abi}")
    with files.guarded("make", place):
        place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        made = Path(scratch) / WORKER
        source = str(cpp.FOLDER / cpp.SOURCES[0])
        command = [
            str(compiler),
            *cpp.OPTIONS,
            "-static-libstdc++",
            "-I",
            str(include),
            source,
            "-o",
            str(made),
            "-ldl",
        ]
        done = processes.run_text(command, deadline_s=cpp.DEADLINE_S)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()[-3:]
            raise UsageError(f"the worker does not compile with {compiler}: {' | '.join(said[:3])}")
        made.replace(place / WORKER)
    return place / WORKER
