"""The examples of an export in other languages: what they write, and that they run what they were written for.

They are run where HARNESS_TEST_LANGUAGES names a cache that has the packages, as a sweep with targets `runtime: node`,
`browser` and `cpp` leaves it; no test downloads anything.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from harness.errors import UsageError
from harness.export import examples
from harness.export.examples import released
from harness.runtimes import browser, cpp, java, node, npm
from harness.runtimes.cpp import headers
from harness.runtimes.environments import silent
from harness.runtimes.java import jars
from harness.values import ValueWriter, below
from tests.builders import value

VARIABLE: Final = "HARNESS_TEST_LANGUAGES"
SAMPLES: Final = 3
BRIEF: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""A virtual machine that lives for a second compiles nothing twice, and collects on one core."""

JAVAC: Final = ("javac", *(f"-J{one}" for one in BRIEF), "--release", "11")


def feeds(place: int) -> dict[str, np.ndarray]:
    """One sample of `shipped`."""
    random = np.random.default_rng(place)
    return {
        "x": random.random((2, 4)).astype(np.float32),
        "h": random.random((2, 3)).astype(np.float16),
        "ids": random.integers(-(2**40), 2**40, (2, 2)),
        "words": np.array([["café" * place, "🐍"]]),
        "flags": random.random(6) > 0.5,  # their number of true ones differs: an output of varying size
    }


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an export without a program: a model of five types, samples, and what they give."""
    folder = tmp_path_factory.mktemp("shipped") / "out with spaces"
    folder.mkdir()
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("Neg", ["h"], ["g"]),
        helper.make_node("Neg", ["ids"], ["found"]),
        helper.make_node("NonZero", ["flags"], ["places"]),
        helper.make_node("Identity", ["words"], ["same"]),
    ]
    weights = onnx.numpy_helper.from_array(np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3), "w")
    graph = helper.make_graph(
        nodes,
        "mixed",
        [value("x", ["batch", 4]), value("h", [2, 3], TensorProto.FLOAT16),
         value("ids", ["batch", 2], TensorProto.INT64), value("flags", [6], TensorProto.BOOL),
         value("words", [1, 2], TensorProto.STRING)],
        [value("y", ["batch", 3]), value("g", [2, 3], TensorProto.FLOAT16),
         value("found", ["batch", 2], TensorProto.INT64), value("places", [1, "n"], TensorProto.INT64),
         value("same", [1, 2], TensorProto.STRING)],
        [weights],
    )  # fmt: skip
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), folder / "model.onnx"
    )
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    fed, given = (
        ValueWriter(folder / "samples", SAMPLES),
        ValueWriter(folder / "expected", SAMPLES),
    )
    names = [one.name for one in session.get_outputs()]
    for place in range(SAMPLES):
        fed.add(feeds(place))
        given.add(dict(zip(names, session.run(None, feeds(place)), strict=True)))
    content = {
        "model": "model.onnx", "external": [], "provider": "CPUExecutionProvider", "provider_options": {},
        "optimization": "all", "intra_threads": 2, "inter_threads": 1, "dims": {"batch": 2}, "batch": 2,
        "config": {"session.intra_op.allow_spinning": "0"}, "samples": SAMPLES, "tolerance": 1e-3, "random": [],
        "inputs": [one.to_json() for one in below("samples", fed.close())],
        "outputs": [one.to_json() for one in below("expected", given.close())],
        "measured_by": {"name": "onnxruntime", "version": onnxruntime.__version__}, "unchecked": "",
    }  # fmt: skip
    (folder / "session.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def written(shipped: Path, to: Path, language: str, **changes: Any) -> Path:
    """A copy of it with the program of a language, and other settings."""
    folder = to / f"{language} out"
    inside = folder / examples.get(language).below
    shutil.copytree(shipped, inside)
    content = json.loads((inside / "session.json").read_text(encoding="utf-8"))
    (inside / "session.json").write_text(json.dumps(content | changes), encoding="utf-8")
    examples.get(language).write(folder)
    return folder


def finished(command: list[str], folder: Path) -> tuple[int, str]:
    """Exit code and output of a program, run in the folder."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=240)
    return done.returncode, done.stdout + done.stderr


def packages(name: str) -> Path:
    """The `node_modules` of a package in the cache that the environment names; skipped where there is none."""
    if not os.environ.get(VARIABLE):
        pytest.skip(f"{VARIABLE} names no cache with packages of other languages")
    try:
        node.program()
        root = Path(os.environ[VARIABLE]).absolute() / "runtimes"
        return npm.ensure(root, name, node.VERSION, install=False, say=silent) / "node_modules"
    except UsageError as error:
        pytest.skip(str(error))


def built(folder: Path) -> list[str]:
    """The C++ program of an export, compiled here against the library beside harness; skipped where it cannot be."""
    if not os.environ.get(VARIABLE):
        pytest.skip(f"{VARIABLE} names no cache with packages of other languages")
    try:
        include = headers.find(Path(os.environ[VARIABLE]).absolute() / "runtimes", "", install=False, say=silent)
    except UsageError as error:
        pytest.skip(str(error))
    compiler = next((one for one in cpp.COMPILERS if shutil.which(one)), None)
    spec = importlib.util.find_spec("onnxruntime")
    assert spec is not None
    library = next(Path(str(spec.origin)).parent.glob("capi/libonnxruntime.so*"), None)
    if compiler is None or library is None:
        pytest.skip("there is no C++ compiler, or no libonnxruntime.so in onnxruntime's wheel")
    release = folder / "release"
    (release / "lib").mkdir(parents=True)
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (release / "lib" / name).symlink_to(library)
    (release / "include").symlink_to(include)
    if shutil.which("cmake"):
        # Neither optimized nor with symbols: what is shown is that it compiles, and what it computes.
        configure = ["cmake", "-S", ".", "-B", "build", f"-DONNXRUNTIME={release}", "-DCMAKE_BUILD_TYPE=None"]
        for command in (configure, ["cmake", "--build", "build"]):
            code, out = finished(command, folder)
            assert 0 == code, out
        return ["build/run", "."]
    command = [compiler, "-std=c++17", "-I", str(include), "main.cpp", "-o", "run", f"-L{release / 'lib'}"]
    code, out = finished([*command, "-lonnxruntime", f"-Wl,-rpath,{release / 'lib'}"], folder)
    assert 0 == code, out
    return ["./run", "."]


def jar_of_java() -> Path:
    """The jar of onnxruntime; skipped where there is none, or no JDK."""
    try:
        java.tool("javac")
        return jars.find("", "", install=False, say=silent)
    except UsageError as error:
        pytest.skip(str(error))


def program(language: str, folder: Path) -> list[str]:
    """What runs the example of a language."""
    if language == "java":
        jar = str(jar_of_java())
        sources = [str(one) for one in sorted((folder / "java").glob("*.java"))]
        code, out = finished([*JAVAC, "-cp", jar, "-d", "classes", *sources], folder)
        assert 0 == code, out
        return ["java", *BRIEF, "-cp", os.pathsep.join(("classes", jar)), "onnxexample.Main", "."]
    if language == "node":
        (folder / "node_modules").symlink_to(packages(node.PACKAGE))
        return ["node", "run.mjs"]
    if language == "web":
        (folder / "node_modules").symlink_to(packages(browser.PACKAGE))
        try:
            return ["node", "serve.mjs", "--check", browser.browser()]
        except UsageError as error:
            pytest.skip(str(error))
    return built(folder)


@pytest.mark.long
@pytest.mark.parametrize("language", ["node", "web", "cpp", "java"])
def test_an_example_passes_here_and_sees_what_is_wrong(language: str, shipped: Path, tmp_path: Path) -> None:
    """Every output of every sample as expected, of each type; not, once they are others; a provider that is missing."""
    folder = written(shipped, tmp_path, language)
    command = program(language, folder)
    code, out = finished(command, folder)
    assert 0 == code, out
    assert 5 * SAMPLES == out.count(": as expected"), out
    session = json.loads((folder / "session.json").read_text(encoding="utf-8"))
    files = {one["name"]: folder / one["stacked"] for one in session["outputs"] if "stacked" in one}
    for name, wrong in (("y", 10.0), ("g", 10.0), ("found", 1)):
        good = np.load(files[name])
        good[1].flat[-1] += wrong
        np.save(files[name], good)
    code, out = finished(command, folder)
    assert 1 == code, out
    assert 2 == out.count("differs by"), out
    assert 1 == out.count("1 of 4 values differ"), out

    (folder / "session.json").write_text(json.dumps(session | {"provider": "QNNExecutionProvider"}), encoding="utf-8")
    code, out = finished(command, folder)
    assert 2 == code, out
    assert "QNN" in out, out


ANDROID: Final = {
    "android/app/Activity": "package android.app; public class Activity extends android.content.Context {"
    " public void onCreate(android.os.Bundle one) {} public void setContentView(Object one) {}"
    " public void runOnUiThread(Runnable one) {} }",
    "android/content/Context": "package android.content; public class Context {"
    " public java.io.File getFilesDir() { return null; }"
    " public android.content.res.AssetManager getAssets() { return null; } }",
    "android/content/res/AssetManager": "package android.content.res; import java.io.*; public class AssetManager {"
    " public String[] list(String one) throws IOException { return null; }"
    " public InputStream open(String one) throws IOException { return null; } }",
    "android/os/Bundle": "package android.os; public class Bundle {}",
    "android/util/Log": "package android.util; public class Log {"
    " public static int i(String one, String other) { return 0; } }",
    "android/widget/TextView": "package android.widget; public class TextView {"
    " public TextView(android.content.Context one) {} public void setText(CharSequence one) {} }",
}
"""The part of Android that the activity uses, as its documentation has it: the platform's own is in no package."""


@pytest.mark.long
def test_the_activity_compiles(shipped: Path, tmp_path: Path) -> None:
    """Against onnxruntime's jar, whose classes are those of its Android archive, and what it uses of Android."""
    jar = jar_of_java()
    folder = written(shipped, tmp_path, "android")
    for name, text in ANDROID.items():
        file = tmp_path / "platform" / f"{name}.java"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    sources = [str(one) for one in sorted(folder.rglob("*.java"))]
    command = [*JAVAC, "-cp", str(jar), "-sourcepath", str(tmp_path / "platform"), "-d", "classes"]
    code, out = finished([*command, *sources], tmp_path)
    assert 0 == code, out
    assert (tmp_path / "classes" / "onnxexample" / "MainActivity.class").is_file()


@pytest.mark.parametrize(
    ("language", "files"),
    [
        ("node", {"run.mjs", "check.mjs", "values.mjs", "session_config.mjs", "package.json"}),
        (
            "web",
            {"index.html", "page.mjs", "serve.mjs", "check.mjs", "values.mjs", "session_config.mjs", "package.json"},
        ),
        ("cpp", {"main.cpp", "example.hpp", "tensors.hpp", "values.hpp", "json.hpp", "CMakeLists.txt"}),
        ("dir", set()),
        ("java", {f"java/{name}.java" for name in ("Example", "Settings", "Values", "Json", "Main")} | {"pom.xml"}),
        (
            "android",
            {
                f"app/src/main/java/onnxexample/{name}.java"
                for name in ("Example", "Settings", "Values", "Json", "MainActivity")
            }
            | {"settings.gradle", "app/build.gradle", "app/src/main/AndroidManifest.xml"},
        ),
        (
            "ios",
            {
                *(f"ios/{name}" for name in ("main.mm", "example.hpp", "tensors.hpp", "values.hpp", "json.hpp")),
                "Podfile",
                "project.yml",
            },
        ),
    ],
)
def test_an_example_is_whole(language: str, files: set[str], shipped: Path, tmp_path: Path) -> None:
    """Every file that it imports or includes goes along, and nothing of this machine."""
    folder = written(shipped, tmp_path, language)
    inside = folder / examples.get(language).below
    before = {inside / one.relative_to(shipped) for one in shipped.rglob("*")}
    written_files = {one for one in folder.rglob("*") if one.is_file()} - before
    assert files == {one.relative_to(folder).as_posix() for one in written_files}
    for name in files:
        text = (folder / name).read_text(encoding="utf-8")
        imported = re.findall(r"""(?:from|src=|#include) ["'](?:\./|/)?([\w.]+)["']""", text)
        assert {*imported} <= {Path(one).name for one in files}, name
        assert str(released.RUNTIMES) not in text
        assert "@VERSION@" not in text, name
    assert examples.get(language).start(released.asked(folder))


@pytest.mark.parametrize(
    ("by", "asked"),
    [
        ({"name": "onnxruntime-node", "version": "1.22.0"}, "1.22.0"),
        ({"name": "onnxruntime", "version": "1.31.1"}, node.VERSION),
        ({"name": "onnxruntime-node", "version": "1; rm -rf x"}, node.VERSION),
        ({}, node.VERSION),
    ],
)
def test_a_release_that_there_is_is_asked_for(by: dict[str, str], asked: str, shipped: Path, tmp_path: Path) -> None:
    """The one that measured where it is of this language: Python's 1.31.1 is not in npm's registry. Rows are text."""
    folder = written(shipped, tmp_path, "node", measured_by=by)
    assert {node.PACKAGE: asked} == json.loads((folder / "package.json").read_text(encoding="utf-8"))["dependencies"]
    folder = written(shipped, tmp_path, "java", measured_by={**by, "name": "onnxruntime-java"})
    version = by.get("version", "")
    expected = version if re.fullmatch("[0-9.]+", version) else jars.VERSION
    assert f"<version>{expected}</version>" in (folder / "pom.xml").read_text(encoding="utf-8")
