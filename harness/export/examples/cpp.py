"""C++: one program against onnxruntime's C++ API, built by CMake."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from harness.export.examples import released
from harness.export.examples.base import LanguageExample

SHARED: Final = (
    released.FILES / "cpp" / "example.hpp",
    released.RUNTIMES / "cpp" / "values.hpp",
    released.RUNTIMES / "cpp" / "json.hpp",
)
"""What every program includes that checks an export in C++."""


def write(folder: Path) -> None:
    """The program, what it includes, and how it is built."""
    released.copied(folder, *SHARED, *(released.FILES / "cpp" / name for name in ("main.cpp", "CMakeLists.txt")))


EXAMPLE = LanguageExample(
    write=write,
    start=lambda session: (
        f"# onnxruntime {released.version(session)}: github.com/microsoft/onnxruntime/releases, unpacked",
        "cmake -S . -B build -DONNXRUNTIME=/path/to/onnxruntime && cmake --build build",
        "build/run .",
    ),
)
