"""iOS: an application around the example in C++, with the export in its bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from harness.export.examples import cpp, released
from harness.export.examples.base import LanguageExample

FILES: Final = released.FILES / "ios"
BUNDLE: Final = "exported"


def write(folder: Path) -> None:
    """The project that XcodeGen and CocoaPods build. The export's files go into the application's bundle."""
    released.copied(folder / "ios", *cpp.SHARED, FILES / "main.mm")
    released.copied(folder, FILES / "project.yml", FILES / "Podfile")


EXAMPLE = LanguageExample(
    write=write,
    below=BUNDLE,
    start=lambda _: (
        "xcodegen generate && pod install && open Exported.xcworkspace",
        "# harness runs the C++ in ios/ with each of its tests; the application around it has not been built on a Mac",
    ),
)
