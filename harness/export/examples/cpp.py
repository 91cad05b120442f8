"""C++: one program against onnxruntime's C++ API, built by CMake."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from harness.export.examples import released
from harness.export.examples.base import LanguageExample
from harness.runtimes import node

SHARED: Final = (
    released.FILES / "cpp" / "example.hpp",
    released.RUNTIMES / "cpp" / "tensors.hpp",
    released.RUNTIMES / "cpp" / "values.hpp",
    released.RUNTIMES / "cpp" / "json.hpp",
)
"""What every program includes that checks an export in C++."""


def write(folder: Path) -> None:
    """The program, what it includes, and how it is built."""
    released.copied(folder, *SHARED, *(released.FILES / "cpp" / name for name in ("main.cpp", "CMakeLists.txt")))


def release(session: Mapping[str, Any]) -> str:
    """Of onnxruntime itself."""
    return released.version(session, "onnxruntime-cpp", node.VERSION)


EXAMPLE = LanguageExample(
    write=write,
    start=lambda session: (
        f"# unpacked, from github.com/microsoft/onnxruntime/releases: {release(session)} or newer",
        "cmake -S . -B build -DONNXRUNTIME=/path/to/onnxruntime && cmake --build build",
        "build/run .",
    ),
)
