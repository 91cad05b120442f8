"""A core library of another release than the jar's, under the names that the jar's binding asks for.

The binding is tied to one release by two names: the library that it needs, and the version of its symbols. A small
library that carries them passes its calls on; the API behind them is the one that the binding asks the core for.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Final

from harness import processes
from harness.errors import UsageError
from harness.runtimes.cpp import COMPILERS

SOURCE: Final = Path(__file__).parent / "forward.c"
DEADLINE_S: Final = 120.0
BASE: Final = "OrtGetApiBase"
APPEND: Final = b"OrtSessionOptionsAppendExecutionProvider_"
"""How the functions begin that a library has beside its API, one for each provider."""

_NEEDED = re.compile(rb"libonnxruntime\.so(?:\.[0-9]+)*(?=\0)")
_VERSION = re.compile(rb"VERS_[0-9.]+(?=\0)")
_APPENDS = re.compile(APPEND + rb"[A-Za-z0-9]+(?=\0)")


def fits(core: Path, binding: Path) -> bool:
    """Whether a core library has the names that the binding needs; elsewhere than on Linux it always has."""
    if not sys.platform.startswith("linux"):
        return True
    needed, version, _ = _asked(binding)
    held = core.read_bytes()
    return all(one.encode() + b"\0" in held for one in (needed, version) if one)


def make(core: Path, binding: Path, to: Path) -> None:
    """Compile the library that stands in for the one that a binding needs.

    Args:
        core: onnxruntime's core library of any release that has the API of the binding.
        binding: the jar's native library.
        to: the file that is made.

    Raises:
        UsageError: there is no compiler, or it does not compile.
    """
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang", *COMPILERS))), None)
    if compiler is None:
        raise UsageError(
            f"{core} is not of the jar's release, and to join them takes a C compiler: install one (apt install gcc), "
            f"or take the jar of that release"
        )
    needed, version, appends = _asked(binding)
    script = to.with_suffix(".map")
    names = ";".join((BASE, *appends))
    script.write_text(f"{version or 'VERS_1'} {{ global: {names}; local: *; }};\n", encoding="ascii")
    quoted = str(core).replace("\\", "\\\\").replace('"', '\\"')
    command = [
        compiler,
        *("-x", "c", "-shared", "-fPIC", "-O2"),
        f'-DHARNESS_CORE="{quoted}"',
        f"-DHARNESS_FORWARDED={' '.join(f'FORWARD({name})' for name in appends)}",
        f"-Wl,-soname,{needed or to.name}",
        f"-Wl,--version-script={script}",
        *("-o", str(to), str(SOURCE), "-ldl"),
    ]
    done = processes.run_text(command, deadline_s=DEADLINE_S)
    script.unlink()
    if done.returncode:
        said = done.stderr.strip().splitlines()[-3:]
        raise UsageError(f"{compiler} does not compile what joins {core} to the jar: {' | '.join(said)}")


def _asked(binding: Path) -> tuple[str, str, tuple[str, ...]]:
    """The library that a binding needs, the version of its symbols, and the functions beside the API's base."""
    held = binding.read_bytes()
    needed, version = _NEEDED.search(held), _VERSION.search(held)
    appends = sorted({one.decode() for one in _APPENDS.findall(held)})
    return needed[0].decode() if needed else "", version[0].decode() if version else "", tuple(appends)
