"""Java: one class against `ai.onnxruntime`, built by Maven or one call of javac."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from harness.export.examples import released
from harness.export.examples.base import LanguageExample
from harness.runtimes.java import jars

SHARED: Final = (
    released.FILES / "java" / "Example.java",
    released.RUNTIMES / "java" / "Values.java",
    released.RUNTIMES / "java" / "Settings.java",
    released.RUNTIMES / "java" / "Json.java",
)
"""What checks an export in Java, on a phone as well."""


def release(session: Mapping[str, Any]) -> str:
    """Of onnxruntime's packages for Java and Android, in Maven's repository."""
    return released.version(session, "onnxruntime-java", jars.VERSION)


def write(folder: Path) -> None:
    """The program, and what builds it."""
    released.copied(folder / "java", *SHARED, released.FILES / "java" / "Main.java")
    released.filled(folder, released.FILES / "java" / "pom.xml", release(released.asked(folder)))


EXAMPLE = LanguageExample(
    write=write,
    start=lambda session: (
        "mvn -q compile exec:java -Dexec.args=.",
        f"# without Maven, with the jar of onnxruntime {release(session)} or newer:",
        "javac --release 11 -cp onnxruntime.jar -d classes java/*.java",
        "java -cp classes:onnxruntime.jar onnxexample.Main .",
    ),
)
