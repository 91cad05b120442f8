"""Fixtures: a small project with a zoo of one tiny .onnx model, and a way to run the command line on it."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings

from harness import free_memory
from harness import zoo as zoos
from harness.build import keys, lookup
from harness.build.cache import Cache
from harness.cli import main
from harness.gate.sides import code
from harness.measure import coordinator
from harness.records import ModelSpec
from harness.store.files import Lock
from tests import builders

os.environ.setdefault(coordinator.FLOOR_BUDGET, "0.05")

# What is stored is flushed to the disk many times over, and tests would wait for that: they need no disk.
IN_MEMORY, ENOUGH_BYTES = Path("/dev/shm"), 8 << 30  # noqa: S108  (pytest makes a folder of this user's own there)
if (
    os.access(IN_MEMORY, os.W_OK)
    and min(free_memory.available() or 0, shutil.disk_usage(IN_MEMORY).free) > ENOUGH_BYTES
):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))

# Every process that imports NumPy starts a thread for each core otherwise, which look for work a while: a fifth of what
# the import takes.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# The tests start hundreds of interpreters: each reads the bytecode of harness where the first one left it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Thousands of tests and a hundred libraries stay: to look through them for garbage takes a tenth of the time.
gc.set_threshold(10_000, 20, 20)

# How long an example takes says something of the machine, and nothing of what is tested.
# A few examples of everything are tried each time; `--hypothesis-profile many` tries thousands, by hand.
ANY_MACHINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("any machine", ANY_MACHINE, max_examples=30)
settings.register_profile("many", ANY_MACHINE, max_examples=2000)
settings.load_profile("any machine")

ZOO = """
version: 1
defaults:
  variants: [fp32, fp32-fused, int8-static]
  targets: [cpu]
  threads: [1]
  batch: [1]
  processes: 2
  time_per_case: 0.1
  ci_width: 5%
variants:
  fp32: {precision: float32, optimization: disabled, steps: [export]}
  fp32-fused: {precision: float32, steps: [export, fuse]}
  int8-static: {precision: int8, steps: [export, fuse: {level: basic}, quantize: {method: static, calibration: minmax}]}
  int4-weights:
    precision: int4
    steps: [export, fuse: {level: basic}, quantize: {method: weights, bits: 4, block_size: 32}]
targets:
  cpu: {provider: cpu}
  qnn: {provider: qnn, threads: [1]}
models:
  tiny: {source: onnx, id: tiny.onnx, budget: {fidelity_db: 5}}
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests come first; the order of the others stays."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_collection_finish() -> None:
    """What was collected and imported stays to the end, and need not be looked through."""
    gc.collect()
    gc.freeze()


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with `model_zoo.yaml` and `tiny.onnx`, a cache and results of its own.

    Attributes:
        root: the folder.
        columns: of the terminal; empty where there is none.
    """

    root: Path
    columns: str = "200"

    def add_model(self, name: str, file: str, more: str = "") -> None:
        """Add a model of an .onnx file to the zoo."""
        zoo = self.root / "model_zoo.yaml"
        zoo.write_text(
            f"{zoo.read_text(encoding='utf-8')}  {name}: {{source: onnx, id: {file}{more}}}\n", encoding="utf-8"
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `harness` with these arguments in a process of its own: to be interrupted, or beside another one."""
        environment = os.environ | self.environment()
        # A job in the background of a shell ignores SIGINT and hands that down; these are to hear it.
        code = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
            "from harness.cli import main; main()"
        )
        command = [sys.executable, "-c", code, *quick(arguments)]
        return subprocess.Popen(
            command, cwd=self.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run `harness` in this process, expect this exit code, and return standard output.

        Workers and builds are processes of their own all the same; what is saved is a start, and the imports.
        """
        found, out, err = self.here(*arguments)
        assert code == found, f"{' '.join(arguments)}:\n{out}\n{err}"
        return out

    def error(self, *arguments: str, code: int = 2) -> str:
        """Run `harness` in this process, expect this exit code, and return standard error."""
        found, out, err = self.here(*arguments)
        assert code == found, f"{' '.join(arguments)}:\n{out}\n{err}"
        return err

    def here(self, *arguments: str) -> tuple[int, str, str]:
        """Run `harness` in this process: exit code, standard output, standard error."""
        return here(self.root, self.environment(), *quick(arguments))

    def environment(self) -> dict[str, str]:
        """The variables of the environment that `harness` is run with, beside those of the tests."""
        return {"HARNESS_CACHE": str(self.root / "cache"), "COLUMNS": self.columns}


def here(folder: Path, environment: Mapping[str, str], *arguments: str) -> tuple[int, str, str]:
    """Run `harness` in this process, in a folder: exit code, standard output, standard error."""
    streams = io.BytesIO(), io.BytesIO()
    out, err = (io.TextIOWrapper(each, encoding="utf-8", write_through=True) for each in streams)
    code: object = 0
    with (
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, environment),
        mock.patch.object(sys, "argv", ["harness", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    assert isinstance(code, int), code
    said, complained = (each.getvalue().decode("utf-8") for each in streams)
    return code, said, complained


def quick(arguments: Sequence[str]) -> Sequence[str]:
    """Arguments of `harness`, where a sweep confirms its choice only where a test asks for that."""
    asked = arguments[:1] != ("sweep",) or {"--confirm", "--no-confirm"} & set(arguments)
    return arguments if asked else (*arguments, "--no-confirm")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A small project."""
    return write_project(tmp_path)


def write_project(root: Path) -> Project:
    """Put a small project into a folder."""
    builders.tiny_conv(root / "tiny.onnx")
    (root / "model_zoo.yaml").write_text(ZOO, encoding="utf-8")
    return Project(root)


@pytest.fixture(scope="session", autouse=True)
def own_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache and a folder for temporary files: no test reads or writes those of the person who runs the tests.

    What a killed process leaves there goes with the folder. Its path is short, since sockets may lie in it.
    """
    cache = tmp_path_factory.mktemp("cache")
    with (
        pytest.MonkeyPatch.context() as patched,
        tempfile.TemporaryDirectory(prefix="ht-", ignore_cleanup_errors=True) as folder,
    ):
        patched.setenv("HARNESS_CACHE", str(cache))
        patched.setenv("TMPDIR", folder)
        patched.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with every artifact of the small project, built once for all workers; only to be copied."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder /= "built"
    lock = Lock.wait(folder.with_suffix(".lock"))
    try:
        if not (folder / "done").exists():
            made = write_project(folder)
            made.run("build")
            (folder / "done").touch()
    finally:
        lock.release()
    return folder / "cache"


@pytest.fixture
def built_project(project: Project, built: Path) -> Project:
    """A small project whose artifacts are in its cache."""
    take_over(built, project.root)
    return project


@pytest.fixture(scope="session")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The copy of harness that the sides of a gate are built with: a thousand files, made once for all gates."""
    return code.copy_of_harness(tmp_path_factory.mktemp("code"))


def lend(copied: Path, cache: Path) -> None:
    """Let a cache have the copy of harness."""
    place = cache / code.KIND / copied.name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(copied)


def take_over(built: Path, root: Path) -> None:
    """Put `tiny.onnx` and the cache of what was built into a project, where nothing has to be loaded again."""
    shutil.copytree(built, root / "cache")
    shutil.copy2(built.parent / "tiny.onnx", root / "tiny.onnx")
    resolve_again(built.parent, root)


def resolve_again(before: Path, root: Path) -> None:
    """Let the cache of a copied project know the weights of `tiny.onnx`: it does so by the file's path and time."""
    cache = Cache(root / "cache")
    known = cache.resolution(keys.source_key(tiny_of(before)))
    assert known is not None
    content = json.dumps(known).replace(str(before), str(root))
    cache.put_resolution(keys.source_key(tiny_of(root)), json.loads(content))
    assert lookup.resolution(cache, tiny_of(root), probe=False) is not None


def tiny_of(root: Path) -> ModelSpec:
    """The model `tiny` of a project."""
    return zoos.load(root / "model_zoo.yaml").models["tiny"]


@pytest.fixture(autouse=True)
def _no_width_of_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output is as wide as a test asks for: libraries set these for children of theirs, and terminals for all."""
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
