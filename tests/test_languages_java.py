"""The runtime `java`: which jar, which core, and what is said where one of them is not what it should be."""

from __future__ import annotations

import importlib.util
import shutil
import zipfile
from pathlib import Path

import onnxruntime
import pytest

from harness.errors import UsageError
from harness.runtimes import cpp, java, languages
from harness.runtimes.environments import silent
from harness.runtimes.java import forward, jars
from tests.test_languages import bare, program

__all__ = ["bare"]


def jar(path: Path, *names: str) -> Path:
    """A jar with empty files of these names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as made:
        for name in names:
            made.writestr(name, b"")
    return path


def kept(folder: Path, version: str) -> Path:
    """A jar where Maven keeps it."""
    return jar(folder / "m2/com/microsoft/onnxruntime/onnxruntime" / version / f"onnxruntime-{version}.jar")


@pytest.mark.usefixtures("bare")
def test_the_newest_jar_of_mavens_cache_is_taken(tmp_path: Path) -> None:
    """By its numbers, not by its letters; a version that is named is taken, and one that is not there is said."""
    for version in ("1.9.0", "1.23.2", "1.22.0"):
        kept(tmp_path, version)
    jar(kept(tmp_path, "1.23.2").with_name("onnxruntime-1.23.2-sources.jar"))
    assert "onnxruntime-1.23.2.jar" == jars.find("", "", install=False, say=silent).name
    assert "onnxruntime-1.9.0.jar" == jars.find("1.9.0", "", install=False, say=silent).name
    with pytest.raises(UsageError, match=r"onnxruntime 1\.8\.0 is not in Maven's cache .*onnxruntime:1\.8\.0"):
        jars.find("1.8.0", "", install=True, say=silent)


def test_maven_fetches_it_and_says_why_not(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, in the words that help; there, once."""
    monkeypatch.setenv("PATH", f"{bare}:/usr/bin:/bin")
    program(bare, "mvn", "echo '[ERROR] Unknown host repo.maven.apache.org'; exit 1")
    with pytest.raises(UsageError, match="cannot be reached from here: name it in HARNESS_ONNXRUNTIME_JAR"):
        jars.find("", "", install=True, say=silent)
    target = tmp_path / "m2/com/microsoft/onnxruntime/onnxruntime/1.23.2"
    program(bare, "mvn", f"mkdir -p '{target}' && touch '{target}/onnxruntime-1.23.2.jar'")
    said: list[str] = []
    assert target == jars.find("", "", install=True, say=said.append).parent
    assert ["fetching com.microsoft.onnxruntime:onnxruntime:1.23.2"] == said


@pytest.mark.parametrize(
    ("make", "compiler", "words"),
    [
        (lambda path: jar(path, "a"), "exit 0", "has no native library for this platform"),
        (lambda path: path.write_bytes(b"PK no"), "exit 0", "is not a jar"),
        (lambda path: jar(path, "a"), "echo 'Worker.java:1: error: odd' >&2; exit 1", "does not compile with .*odd"),
    ],
)
def test_a_jar_that_is_not_what_it_should_be(
    make: object, compiler: str, words: str, bare: Path, tmp_path: Path
) -> None:
    """Without natives, damaged, or another's: said, and nothing half made stays."""
    for name in ("java", "javac"):
        program(bare, name, compiler)
    assert callable(make)
    make(tmp_path / "onnxruntime-1.jar")
    with pytest.raises(UsageError, match=words):
        languages.find(f"java:{tmp_path}", tmp_path / "cache")
    assert [] == list((tmp_path / "cache" / "runtimes").iterdir())


def test_the_core_says_its_own_version(tmp_path: Path) -> None:
    """Not the jar's; what is not onnxruntime says so."""
    spec = importlib.util.find_spec("onnxruntime")
    assert spec is not None
    core = next(Path(str(spec.origin)).parent.glob("capi/libonnxruntime.*"), None)
    if core is None:
        pytest.skip("onnxruntime's wheel has no core library here")
    assert onnxruntime.__version__ == java.asked(core)
    (tmp_path / "libonnxruntime.so").write_bytes(b"no library")
    with pytest.raises(UsageError, match="does not answer with its version"):
        java.asked(tmp_path / "libonnxruntime.so")


def test_a_core_of_another_release_is_joined_to_the_jar(tmp_path: Path) -> None:
    """Under the name and the symbols that the jar's binding needs, and it still says whose it is."""
    spec = importlib.util.find_spec("onnxruntime")
    assert spec is not None
    core = next(Path(str(spec.origin)).parent.glob("capi/libonnxruntime.so*"), None)
    if core is None or not any(map(shutil.which, ("cc", "gcc", "clang", *cpp.COMPILERS))):
        pytest.skip("onnxruntime's wheel has no core library here, or there is no compiler")
    binding, joined = tmp_path / "binding.so", tmp_path / "libonnxruntime.so"
    named = b"\0".join((b"", b"libonnxruntime.so.1.0.9", b"VERS_1.0.9", b"OrtGetApiBase", forward.APPEND + b"CPU", b""))
    binding.write_bytes(named)
    assert not forward.fits(core, binding)
    assert forward.fits(binding, binding)
    forward.make(core, binding, joined)
    assert forward.fits(joined, binding)
    assert forward.APPEND + b"CPU" in joined.read_bytes()
    assert onnxruntime.__version__ == java.asked(joined)


def test_a_core_that_cannot_be_joined(tmp_path: Path, bare: Path) -> None:
    """Without a compiler, or with one that fails, the reason is named."""
    (tmp_path / "binding.so").write_bytes(b"\0libonnxruntime.so.1.0.9\0VERS_1.0.9\0")
    with pytest.raises(UsageError, match=r"takes a C compiler: install one"):
        forward.make(tmp_path / "core", tmp_path / "binding.so", tmp_path / "made.so")
    program(bare, "cc", "echo 'odd: error' >&2; exit 1")
    with pytest.raises(UsageError, match=r"does not compile what joins .*core to the jar: odd: error"):
        forward.make(tmp_path / "core", tmp_path / "binding.so", tmp_path / "made.so")
    assert ["binding.so"] == [one.name for one in tmp_path.iterdir() if one.suffix in (".so", ".map")]
