"""ONNX Runtime from C++: one program against its C++ API, compiled once, that loads the library while it runs."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from harness import processes
from harness.errors import UsageError
from harness.flavours import PLAIN
from harness.runtimes import resolve
from harness.runtimes.cpp import headers
from harness.runtimes.environments import Say
from harness.runtimes.languages import WorkerProgram
from harness.store import files

FOLDER: Final = Path(__file__).parent
SOURCES: Final = ("worker.cpp", "load.hpp", "tensors.hpp", "values.hpp", "json.hpp")
COMPILERS: Final = ("c++", "g++", "clang++")
COMPILER: Final = "CXX"
"""The variable of the environment that names the compiler, as everywhere."""

OPTIONS: Final = ("-O2", "-std=c++17", "-pthread")
DEADLINE_S: Final = 600.0
LIBRARY: Final = "libonnxruntime.so"
SYSTEM: Final = ("/usr/local/lib", "/usr/lib", "/usr/lib64")


def find(version: str, folder: str, root: Path, *, install: bool, say: Say) -> WorkerProgram:
    """What starts the worker: the program, and the library that it loads.

    Args:
        version: of onnxruntime, whose Python package has the library; empty for the one beside harness.
        folder: an unpacked release of onnxruntime, or any folder with the library in it or in its `lib`.
        root: the cache's folder.
        install: whether to fetch headers and releases, and to compile.
        say: hears before that.

    Raises:
        UsageError: the library, the headers or a compiler cannot be had.
        StoreError: the cache cannot be written.
    """
    library = core_library(version, folder, root, install=install, say=say)
    runtimes = root.absolute() / resolve.KIND
    program = compiled(runtimes, lambda: headers.find(runtimes, folder, install=install, say=say), install, say)
    digest = hashlib.sha256(f"{library}\n{library.stat().st_size}\n{program.name}".encode()).hexdigest()
    return WorkerProgram(command=(str(program), str(library)), digest=digest)


def core_library(version: str, folder: str, root: Path, *, install: bool, say: Say) -> Path:
    """Onnxruntime's library for programs in other languages; see `find`.

    Raises:
        UsageError: there is none.
    """
    if folder:
        place = Path(folder)
        for found in _libraries((place, place / "lib", place / "lib64")):
            return found
        raise UsageError(
            f"{folder} has no {LIBRARY}, nor has its lib: give the folder of an unpacked onnxruntime release"
        )
    if version:
        runtime = resolve.resolve(f"{PLAIN}=={version}", root, install=install, say=say)
        inside = Path(runtime.python).parent.parent.glob("lib*/python*/site-packages/onnxruntime/capi")
        for found in _libraries(inside):
            return found
        raise UsageError(
            f"the wheel of onnxruntime {version} has no {LIBRARY} for other programs: name a newer release, or a "
            f"folder that has the library, such as cpp:/opt/onnxruntime"
        )
    spec = importlib.util.find_spec("onnxruntime")
    own = Path(spec.origin).parent / "capi" if spec and spec.origin else None
    for found in _libraries([own] if own else []):
        return found
    for found in _libraries([*map(Path, SYSTEM), *Path("/usr/lib").glob("*-linux-gnu")]):
        return found
    raise UsageError(
        f"there is no {LIBRARY}: install a newer onnxruntime beside harness, whose wheel has it, or name a folder that "
        f"does, such as cpp:/opt/onnxruntime"
    )


def _libraries(places: Iterable[Path]) -> Iterator[Path]:
    """The libraries in some folders, those with a version in their name first."""
    for place in places:
        yield from sorted((one for one in place.glob(f"{LIBRARY}*") if one.is_file()), reverse=True)


def compiled(runtimes: Path, find_headers: Callable[[], Path], install: bool, say: Say) -> Path:
    """The program, compiled now where the cache has none of these sources.

    Args:
        runtimes: where runtimes are kept in the cache.
        find_headers: asked where it has to be compiled.
        install: whether to compile.
        say: hears before that.

    Raises:
        UsageError: there is no compiler, no headers, or it does not compile.
    """
    sources = b"".join((FOLDER / name).read_bytes() for name in SOURCES)
    compiler = _compiler()
    key = hashlib.sha256(b"\n".join([sources, " ".join([compiler, *OPTIONS]).encode()])).hexdigest()[:32]
    place = runtimes / key
    program = place / f"worker-{key[:12]}"
    if program.is_file():
        return program
    if not install:
        raise UsageError("the C++ worker is not compiled yet; a sweep does it")
    if not shutil.which(compiler):
        raise UsageError(
            f"there is no C++ compiler ({', '.join(COMPILERS)}): install one (apt install g++, or Xcode's command line "
            f"tools), or name it in {COMPILER}"
        )
    include = find_headers()
    say("compiling the C++ worker")
    with files.guarded("make", place):
        place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        made = Path(scratch) / "worker"
        command = [compiler, *OPTIONS, "-I", str(include), str(FOLDER / SOURCES[0]), "-o", str(made), "-ldl"]
        done = processes.run_text(command, deadline_s=DEADLINE_S)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if "error" in line.lower()] or done.stderr.splitlines()[
                -3:
            ]
            raise UsageError(f"the C++ worker does not compile with {compiler} and {include}: {' | '.join(said[:3])}")
        made.replace(program)  # whole or not there at all, whoever else compiles it meanwhile
    return program


def _compiler() -> str:
    """The compiler's command; the first of `COMPILERS` where none is there."""
    asked = os.environ.get(COMPILER, "").strip()
    return asked or next((one for one in COMPILERS if shutil.which(one)), COMPILERS[0])
