"""Android: an application with one activity, the Java example in it, and the export as its assets."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from harness.export.examples import java, released
from harness.export.examples.base import LanguageExample

FILES: Final = released.FILES / "android"
ASSETS: Final = "assets"


def write(folder: Path) -> None:
    """The project that Gradle builds. The export's files become the application's."""
    released.filled(folder, FILES / "app.gradle", java.release(released.asked(folder)), "app/build.gradle")
    released.copied(folder, FILES / "settings.gradle")
    main = folder / "app" / "src" / "main"
    released.copied(main, FILES / "AndroidManifest.xml")
    released.copied(main / "java" / "onnxexample", *java.SHARED, FILES / "MainActivity.java")


EXAMPLE = LanguageExample(
    write=write,
    below=ASSETS,
    start=lambda _: (
        "gradle installDebug && adb shell am start -n onnxexample/.MainActivity",
        "adb logcat -s exported:I   # harness compiles this project and has not run it on a phone",
    ),
)
