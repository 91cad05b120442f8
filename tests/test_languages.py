"""harness.runtimes.languages and what it finds: packages, compilers and browsers, and what is said without them."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from harness import ort_values, runtime_spec
from harness.errors import StoreError, UsageError, WorkerError, WorkerRefusal
from harness.measure import profile
from harness.runtimes import browser, cpp, java, languages, node, npm, protocol
from harness.runtimes.client import Client
from harness.runtimes.cpp import headers
from harness.runtimes.environments import silent
from harness.runtimes.java import jars
from tests import workers

ROOT = Path(__file__).parent.parent
JAVASCRIPT = ROOT / "harness/runtimes/javascript"
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node on the PATH: apt install nodejs")


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with one folder, empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv(cpp.COMPILER, raising=False)
    monkeypatch.delenv(headers.VARIABLE, raising=False)
    monkeypatch.delenv(browser.VARIABLE, raising=False)
    monkeypatch.delenv(jars.VARIABLE, raising=False)
    monkeypatch.delenv(java.HOME, raising=False)
    monkeypatch.setattr(jars, "repository", lambda: tmp_path / "m2")
    return folder


def program(folder: Path, name: str, body: str) -> Path:
    """A script that can be run by its name."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("node", ("node", "", "")),
        ("browser==1.30.0", ("browser", "1.30.0", "")),
        (" cpp:/opt/ort ", ("cpp", "", "/opt/ort")),
        ("node==", None),
        ("nodes", None),
        ("cpp==$(id)", None),
        ("onnxruntime==1.30.0", None),
    ],
)
def test_a_language_its_version_and_its_folder(text: str, parts: tuple[str, str, str] | None) -> None:
    """As a target of the zoo writes them; what is none of them is said to be none."""
    assert parts == runtime_spec.language(text)
    assert (parts is None and not runtime_spec.is_spec(text)) == bool(runtime_spec.problem(text))


def test_a_folder_is_taken_from_the_zoo(tmp_path: Path) -> None:
    """As every relative path in it."""
    assert f"cpp:{tmp_path / 'ort'}" == runtime_spec.anchored("cpp:ort", tmp_path)
    assert "node==1.30.0" == runtime_spec.anchored("node==1.30.0", tmp_path)
    assert "did you mean 'browser'" in runtime_spec.problem("browsr")


@pytest.mark.parametrize(
    ("spec", "there", "words"),
    [
        ("node", (), "no `node` on the PATH: install Node.js"),
        ("browser", (), "no `node` on the PATH: install Node.js"),
        ("node", ("node",), "there is no npm to fetch it: install Node.js with npm"),
        ("browser", ("node",), "no Chromium on the PATH: install it"),
        ("browser", ("node", "chromium"), "there is no npm to fetch it"),
        ("cpp:lib", (), "no C\\+\\+ compiler .*install one \\(apt install g\\+\\+"),
        ("cpp:lib", ("c++",), "no onnxruntime_cxx_api.h: name the folder .* or install npm"),
        ("java", (), "no `java` on the PATH: install a JDK, 11 or newer"),
        ("java", ("java",), "not in Maven's cache .*: name it in HARNESS_ONNXRUNTIME_JAR, .* or let Maven fetch it"),
        ("java:lib", ("java",), "has no onnxruntime-.*jar: give the folder"),
    ],
)
def test_what_is_missing_is_named_with_the_remedy(
    spec: str, there: tuple[str, ...], words: str, bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every tool in turn: nothing is made in the cache."""
    monkeypatch.setattr(headers, "SYSTEM", ())
    for name in there:
        program(bare, name, "exit 1")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libonnxruntime.so.1").touch()
    with pytest.raises(UsageError, match=words):
        languages.find(spec.replace("lib", str(tmp_path / "lib")), tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("meta.json"))


def test_folders_that_are_not_what_they_should_be(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without the package, the library, the headers or the browser says which of them."""
    program(bare, "node", "exit 1")
    with pytest.raises(UsageError, match="has no node_modules/onnxruntime-node: run `npm install onnxruntime-node`"):
        languages.find(f"node:{tmp_path}", tmp_path)
    with pytest.raises(UsageError, match=r"has no libonnxruntime\.so, nor has its lib"):
        languages.find(f"cpp:{tmp_path}", tmp_path)
    monkeypatch.setenv(headers.VARIABLE, str(tmp_path))
    with pytest.raises(UsageError, match=r"has no onnxruntime_cxx_api\.h"):
        headers.find(tmp_path, "", install=True, say=silent)
    monkeypatch.setenv(browser.VARIABLE, "chrome-of-mine")
    with pytest.raises(UsageError, match="chrome-of-mine, which is not a program"):
        browser.browser()


NPM = """
mkdir -p node_modules/onnxruntime-node
printf '{"version": "%s"}' "${7##*@}" > node_modules/onnxruntime-node/package.json
echo "$ONNXRUNTIME_NODE_INSTALL $*" >> "$0.calls"
"""


def test_a_package_is_fetched_once_and_pinned(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its scripts are not run; another version is another folder; what was damaged is fetched again."""
    monkeypatch.setenv("PATH", f"{bare}{os.pathsep}/usr/bin{os.pathsep}/bin")
    said: list[str] = []
    script = program(bare, "npm", NPM.replace("$7", "$6").replace("${7", "${6"))
    first = npm.ensure(tmp_path, node.PACKAGE, "1.30.0", install=True, say=said.append)
    assert first == npm.ensure(tmp_path, node.PACKAGE, "1.30.0", install=False, say=said.append)
    assert first != npm.ensure(tmp_path, node.PACKAGE, "1.29.0", install=True, say=said.append)
    (first / "node_modules/onnxruntime-node/package.json").unlink()
    assert first == npm.ensure(tmp_path, node.PACKAGE, "1.30.0", install=True, say=said.append)
    assert [f"installing onnxruntime-node {one}" for one in ("1.30.0", "1.29.0", "1.30.0")] == said
    calls = script.with_name("npm.calls").read_text(encoding="utf-8").splitlines()
    assert "skip install --no-audit --no-fund --ignore-scripts --save-exact onnxruntime-node@1.30.0" == calls[0]


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (
            "npm error code ETARGET\nnpm error No matching version found",
            UsageError,
            "npm finds no onnxruntime-node 9.9.9",
        ),
        ("npm error code ENOTFOUND", UsageError, "registry cannot be reached from here. Go online once"),
        ("npm error ENOSPC: no space left on device", StoreError, "the disk is full"),
        ("npm error odd", UsageError, "could not be installed: npm error odd"),
    ],
)
def test_why_npm_failed(said: str, kind: type[Exception], words: str, bare: Path, tmp_path: Path) -> None:
    """In the words of somebody who wants to go on; nothing half made stays."""
    lines = "\n".join(f"echo '{line}' >&2" for line in said.splitlines())
    program(bare, "npm", f"{lines}\nexit 1")
    with pytest.raises(kind, match=words):
        npm.ensure(tmp_path / "runtimes", node.PACKAGE, "9.9.9", install=True, say=silent)
    assert [] == [one for one in (tmp_path / "runtimes").iterdir() if one.is_dir()]


def test_a_compiler_that_fails_is_quoted(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command and the headers; no program is left behind."""
    (tmp_path / headers.HEADER).touch()
    monkeypatch.setenv(headers.VARIABLE, str(tmp_path))
    monkeypatch.setenv(cpp.COMPILER, "odd++")
    program(bare, "odd++", "echo 'worker.cpp:1: error: no such feature' >&2; exit 1")
    (tmp_path / "libonnxruntime.so").touch()
    with pytest.raises(UsageError, match=r"does not compile with odd\+\+ and .*: worker.cpp:1: error: no such feature"):
        languages.find(f"cpp:{tmp_path}", tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("worker*"))


def test_only_a_profile_is_removed(tmp_path: Path) -> None:
    """A worker may hand over the file that onnxruntime wrote, and no other; what is not JSON is said."""
    kept, made = tmp_path / "letter.json", tmp_path / "harness-profile-1_x.json"
    for path, words in ((kept, "is not the profile"), (made, "cannot be read")):
        path.write_text("{", encoding="utf-8")
        answer = f"send({{'ok': True, 'file': {str(path)!r}}})"
        with workers.worker(tmp_path, answer)() as worker, pytest.raises(WorkerError, match=words):
            profile.take(worker, 10.0)
    assert (True, False) == (kept.exists(), made.exists())


FAKE_BROWSER = """
import json, os, sys
requests, replies = os.fdopen(3, "rb"), os.fdopen(4, "wb")
ABOUT = {"agent": "Fake/1", "timerUs": 100, "isolated": False}
left = b""
while True:
    part = os.read(3, 65536)
    if not part: break
    left += part
    while b"\\0" in left:
        one, _, left = left.partition(b"\\0")
        asked = json.loads(one)
        text = str(asked.get("params", {}).get("expression"))
        result = {"targetId": "t", "sessionId": "s"}
        if text.startswith("globalThis"): result = {"result": {"value": True}}
        if text.startswith("harness.about"): result = {"result": {"value": ABOUT}}
        if text.startswith("harness.open"):
            DO
        answer = json.dumps({"id": asked["id"], "result": result})
        os.write(4, answer.encode() + b"\\0")
        if asked["method"] == "Browser.close": sys.exit()
"""


@pytest.fixture
def fake_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the package.json of onnxruntime-web, and no more."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # the folder of a browser whose worker is killed stays
    package = tmp_path / "node_modules/onnxruntime-web"
    package.mkdir(parents=True)
    (package / "package.json").write_text(json.dumps({"version": "1.30.0"}), encoding="utf-8")
    return tmp_path


def in_browser(folder: Path, chromium: Path) -> Client:
    """The worker of a browser with another program as its browser."""
    command = ["node", str(browser.WORKER), str(folder), str(chromium), "harness-browser-test-"]
    return Client(languages.apart(command))


def fake_browser(folder: Path, action: str) -> Path:
    """A browser that answers until a model is opened."""
    script = folder / "browser.py"
    script.write_text(FAKE_BROWSER.replace("DO", action), encoding="utf-8")
    return program(folder, "browser", f'exec {sys.executable} "{script}"')


OPEN = {"artifact": {"path": __file__}, "feeds": {}, "batch": 1, "threads": {"intra": 2, "inter": 1}, "options": {}}


@needs_node
def test_a_browser_that_is_none_says_how_it_ended(fake_page: Path) -> None:
    """In place of its hello."""
    with pytest.raises(WorkerRefusal, match=r"the browser ended \(exit code 3\)"):
        in_browser(fake_page, program(fake_page, "chromium", "exit 3"))


@needs_node
def test_a_browser_that_crashes_and_a_page_that_hangs(fake_page: Path) -> None:
    """The first is said at once, the second at the deadline; what a page refuses is passed on with its kind."""
    with in_browser(fake_page, fake_browser(fake_page, "os.kill(os.getpid(), 9)")) as worker:
        assert "Fake/1, timer 100 us, not cross-origin isolated" == worker.runtime.build
        with pytest.raises(WorkerRefusal, match=r"the browser ended \(SIGKILL\)"):
            worker.ask("open", 30.0, **OPEN)
    with (
        pytest.raises(WorkerError, match=r"no answer to `open`.* within 1 s"),
        in_browser(fake_page, fake_browser(fake_page, "continue")) as worker,
    ):
        worker.ask("open", 1.0, **OPEN)
    refusing = 'result = {"result": {"value": {"refused": ["provider", "no threads"]}}}'
    with in_browser(fake_page, fake_browser(fake_page, refusing)) as worker:
        with pytest.raises(WorkerRefusal, match="no threads") as refused:
            worker.ask("open", 30.0, **OPEN)
        assert "provider" == refused.value.kind


@needs_node
def test_a_page_without_isolation_has_one_thread() -> None:
    """It refuses more, with the reason; and what WASM has not."""
    script = f"""
        await import("{ROOT / "harness/runtimes/browser/page.mjs"}");
        const asked = (provider, intra, inter = 1) => ({{options: {{provider}}, threads: {{intra, inter}}}});
        const found = [];
        for (const one of [asked("CPUExecutionProvider", 2), asked("CUDAExecutionProvider", 1)])
          found.push((await harness.open(one)).refused);
        console.log(JSON.stringify(found));
    """
    threads, provider = json.loads(in_node(script))
    assert ["provider", "2 threads of WASM need a page that is cross-origin isolated, and this one is not"] == threads
    assert "onnxruntime-web has no CUDAExecutionProvider" in provider[1]


@needs_node
def test_a_build_of_wasm_without_threads_says_how_many_it_runs() -> None:
    """In an isolated page, too, it would run one in silence: what the session came to have is looked at."""
    package = (
        "export const env = {wasm: {}}; export const InferenceSession = "
        "{create: async () => { env.wasm.numThreads = 1; return {inputMetadata: [], outputMetadata: []}; }};"
    )
    hook = (
        "export const resolve = (name, context, next) => name.startsWith('/dist/') "
        f"? {{url: 'data:text/javascript,{quote(package)}', shortCircuit: true}} : next(name, context);"
    )
    script = f"""
        import {{ register }} from "node:module";
        register("data:text/javascript,{quote(hook)}");
        globalThis.crossOriginIsolated = true;
        await import("{ROOT / "harness/runtimes/browser/page.mjs"}");
        const asked = {{options: {{provider: "CPUExecutionProvider"}}, threads: {{intra: 2, inter: 1}}, external: []}};
        console.log(JSON.stringify((await harness.open(asked)).refused));
    """
    assert ["provider", "this WASM build runs 1 of the 2 threads"] == json.loads(in_node(script))


def in_node(script: str) -> str:
    """What a module prints."""
    command = ["node", "--input-type=module", "-e", script]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout


ARRAYS: dict[str, Any] = {
    "floats": np.arange(6, dtype=np.float32).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(24, dtype=np.float64).reshape(2, 3, 4)),
    "half": np.array([1.5, -2.0], dtype=np.float16),
    "long": np.array([[2**62, -1]], dtype=np.int64),
    "flags": np.array([True, False]),
    "scalar": np.array(7, dtype=np.uint8),
    "none": np.zeros((0, 3), dtype=np.int32),
    "words": np.array(["a", "größer", "\U0001f600"]),
}


@needs_node
def test_files_of_numpy_pass_through_javascript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every value, type and shape as NumPy wrote it; batches of examples are those that the Python worker makes."""
    for name, module in (
        ("ort_values", ort_values),
        ("protocol", protocol),
    ):  # as the worker finds them, by their paths
        monkeypatch.setitem(sys.modules, name, module)
    examples = importlib.import_module("harness.runtimes.onnxruntime.examples")
    for name, array in ARRAYS.items():
        np.save(tmp_path / f"{name}.npy", array)
    script = f"""
        import fs from "node:fs";
        import {{ fromNpy, npyHeader, toBytes }} from "{JAVASCRIPT / "values.mjs"}";
        import {{ places }} from "{JAVASCRIPT / "examples.mjs"}";
        for (const name of {json.dumps(list(ARRAYS))}) {{
          const value = fromNpy(fs.readFileSync("{tmp_path}/" + name + ".npy"));
          const [descr, bytes] = toBytes(value);
          fs.writeFileSync("{tmp_path}/" + name + ".again.npy", Buffer.concat([npyHeader(descr, value.dims), bytes]));
        }}
        const all = [];
        for (let stored = 1; stored < 7; stored++) for (let batch = 1; batch < 7; batch++)
          all.push([0, 1, 2, 5].map((number) => places(number, batch, stored)));
        console.log(JSON.stringify(all));
    """
    chosen = json.loads(in_node(script))
    for name, array in ARRAYS.items():
        again = np.load(tmp_path / f"{name}.again.npy")
        assert (array.dtype, array.shape) == (again.dtype, again.shape), name
        np.testing.assert_array_equal(array, again)
    sizes = [(stored, batch) for stored in range(1, 7) for batch in range(1, 7)]
    assert [[examples.places(n, batch, stored) for n in (0, 1, 2, 5)] for stored, batch in sizes] == chosen
