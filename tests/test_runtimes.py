"""harness.runtimes.resolve and harness.runtimes.environments: a spec becomes an interpreter, whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.errors import StoreError, UsageError
from harness.runtimes import environments
from harness.runtimes import resolve as runtimes
from harness.runtimes.client import Client
from tests.installers import answering, fake_uv

Done = subprocess.CompletedProcess[str]


def stand_in(path: Path) -> None:
    """A folder that looks like a finished virtual environment: its interpreter is this one."""
    python = environments.interpreter(path)
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)


def pip_says(monkeypatch: pytest.MonkeyPatch, words: str, code: int = 1) -> list[list[str]]:
    """Environments are made by `stand_in`, and pip answers this; the commands that ran are returned."""
    commands: list[list[str]] = []
    real = environments.run

    def run(command: list[str], *, deadline_s: float = 0.0) -> Done:
        commands.append(list(command))
        if Path(command[0]).name == "uv":
            return real(command, deadline_s=120)
        if "venv" in command:
            stand_in(Path(command[-1]))
            return Done(command, 0, "", "")
        if "install" in command:
            return Done(command, code, "", words)
        return real(command, deadline_s=120)

    monkeypatch.setattr(environments, "run", run)
    monkeypatch.setenv("PATH", os.devnull)  # where no uv lies
    return commands


def test_current_is_the_runtime_beside_harness(tmp_path: Path) -> None:
    """`current` installs nothing, and its worker says the version that was found."""
    found = runtimes.resolve("current", tmp_path)
    assert sys.executable == found.python
    assert [] == list(tmp_path.iterdir())
    with Client(found.worker) as worker:
        assert found.version == worker.hello["runtime"]["version"]


def test_an_interpreter_is_a_runtime(tmp_path: Path) -> None:
    """A path stands for what is installed there, and for the same as `current` where it is the same."""
    found = runtimes.resolve(sys.executable, tmp_path)
    current = runtimes.resolve("current", tmp_path)
    assert (current.version, current.package, current.digest) == (found.version, found.package, found.digest)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("onnxrutime==1.23.0", "did you mean 'onnxruntime'?"),
        ("torch==2.0", "expected `current`, a build such as onnxruntime==1.23.0"),
        ("/nowhere/python", "there is no such file"),
        ("/nowhere/onnxruntime-1.whl", "the wheel cannot be read: No such file"),
    ],
)
def test_what_is_no_runtime_says_what_would_be(tmp_path: Path, spec: str, words: str) -> None:
    """Misspelt builds, other packages and missing files each name the way out."""
    with pytest.raises(UsageError) as caught:
        runtimes.resolve(spec, tmp_path)
    assert words in str(caught.value)


def test_a_folder_names_the_interpreter_in_it(tmp_path: Path) -> None:
    """Giving a virtual environment instead of its interpreter is a likely slip."""
    stand_in(tmp_path / "venv")
    with pytest.raises(UsageError, match=f"give the interpreter in it: {environments.interpreter(tmp_path / 'venv')}"):
        runtimes.resolve(str(tmp_path / "venv"), tmp_path)


def test_an_interpreter_without_onnxruntime_is_refused(tmp_path: Path) -> None:
    """The message says what to install, and the other way."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    with pytest.raises(UsageError, match=r"cannot import onnxruntime and numpy: .*No module named.* Install both"):
        runtimes.resolve(str(python), tmp_path)


def test_a_file_that_is_no_python_is_refused(tmp_path: Path) -> None:
    """Any program can be named; only Python serves."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho hello\n", encoding="utf-8")
    program.chmod(0o755)
    with pytest.raises(UsageError, match="is not a Python interpreter"):
        runtimes.resolve(str(program), tmp_path)


def test_two_builds_in_one_interpreter_are_refused(tmp_path: Path) -> None:
    """They share a module, so that nobody knows which of them a number belongs to."""
    python = answering(tmp_path / "python", {"onnxruntime": "1.0", "onnxruntime-gpu": "1.0"})
    with pytest.raises(UsageError, match="onnxruntime and onnxruntime-gpu, which overwrite each other"):
        runtimes.resolve(str(python), tmp_path)


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        ("onnxruntime==1.18.1", "numpy<2"),
        ("onnxruntime-gpu==1.9", "numpy<2"),
        ("onnxruntime==1.19.0", "numpy"),
        ("onnxruntime==2.0.0", "numpy"),
        ("onnxruntime", "numpy"),
        ("onnxruntime-gpu[cuda,cudnn]==1.18", "numpy<2"),
    ],
)
def test_old_builds_get_an_old_numpy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requirement: str, expected: str
) -> None:
    """Wheels before 1.19 were made for NumPy 1 and do not import with 2."""
    uv = fake_uv(tmp_path / "uv", monkeypatch, {"onnxruntime": "1.0"})
    runtimes.resolve(requirement, tmp_path)
    assert [[requirement, expected]] == uv.asked


def test_two_wheels_of_one_version_are_two_runtimes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds of one's own bear the version of the release they came from."""
    fake_uv(tmp_path / "uv", monkeypatch, {"onnxruntime": "1.0"})
    one, other = (tmp_path / f"onnxruntime-1.0-{name}.whl" for name in ("a", "b"))
    one.write_bytes(b"one")
    other.write_bytes(b"other")
    assert runtimes.resolve(str(one), tmp_path).digest != runtimes.resolve(str(other), tmp_path).digest


def test_a_version_that_is_not_there_lists_those_that_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip lists is passed on: the span, and the newest ones."""
    versions = ", ".join(f"1.{n}.0" for n in range(10, 40))
    words = f"ERROR: Could not find a version that satisfies the requirement onnxruntime==9 (from versions: {versions})"
    pip_says(monkeypatch, words)
    with pytest.raises(UsageError) as caught:
        runtimes.resolve("onnxruntime==9", tmp_path)
    assert "there is no onnxruntime==9 for Python 3." in str(caught.value)
    assert "1.39.0" in str(caught.value)
    assert "1.10.0 to 1.39.0" in str(caught.value)


def test_offline_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without network pip also says that there is no version: the network is the cause."""
    words = (
        "WARNING: Retrying: NewConnectionError('Failed to establish a new connection: Temporary failure in name "
        "resolution')\nERROR: Could not find a version that satisfies the requirement onnxruntime==1.23.0 (from "
        "versions: none)\nERROR: No matching distribution found for onnxruntime==1.23.0"
    )
    pip_says(monkeypatch, words)
    with pytest.raises(UsageError, match="the package index cannot be reached from here"):
        runtimes.resolve("onnxruntime==1.23.0", tmp_path)


def test_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy for a full disk is not another version."""
    pip_says(monkeypatch, "OSError: [Errno 28] No space left on device")
    with pytest.raises(StoreError, match="the disk is full"):
        runtimes.resolve("onnxruntime==1.23.0", tmp_path)


@pytest.mark.parametrize(("free", "error"), [(4096, StoreError), (10**9, UsageError)])
def test_a_full_disk_is_seen_where_nobody_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, error: type[Exception]
) -> None:
    """`python -m venv` says that ensurepip failed, and not why."""
    pip_says(monkeypatch, "Error: Command '[...]' returned non-zero exit status 1.")
    monkeypatch.setattr("harness.runtimes.environments.shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(error):
        runtimes.resolve("onnxruntime==1.23.0", tmp_path)


def test_what_failed_leaves_nothing_that_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed install is tried again the next time, and then serves."""
    place = tmp_path / "runtimes" / "x"
    pip_says(monkeypatch, "ERROR: broken pipe")
    with pytest.raises(UsageError, match="broken pipe"):
        environments.ensure(place, ["anything"], what="anything")
    assert not place.exists()
    pip_says(monkeypatch, "", code=0)
    assert (
        str(environments.interpreter(place / "venv"))
        == environments.ensure(place, ["anything"], what="anything").python
    )


def test_what_was_interrupted_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was killed half-way left a folder without its last file: nobody uses it."""
    place = tmp_path / "x"
    stand_in(place / "venv")
    assert environments.known(place) is None
    commands = pip_says(monkeypatch, "", code=0)
    environments.ensure(place, ["anything"], what="anything")
    assert 1 == len([command for command in commands if "install" in command])


def test_an_environment_whose_python_is_gone_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python that an environment was made from may be uninstalled."""
    place = tmp_path / "x"
    pip_says(monkeypatch, "", code=0)
    environments.ensure(place, ["anything"], what="anything")
    python = environments.interpreter(place / "venv")
    python.unlink()
    python.symlink_to(tmp_path / "gone")
    assert environments.known(place) is None


def test_two_at_once_install_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second process waits for the first and uses what it made."""
    commands = pip_says(monkeypatch, "", code=0)
    found: list[str] = []
    both = threading.Barrier(2)

    def ensure() -> None:
        both.wait()
        found.append(environments.ensure(tmp_path / "x", ["a"], what="a").python)

    threads = [threading.Thread(target=ensure) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 == len({*found})
    assert 2 == len(found)
    assert 1 == len([command for command in commands if "install" in command])


def test_what_does_not_import_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installing can succeed with a wheel that this host cannot load."""
    pip_says(monkeypatch, "", code=0)
    with pytest.raises(UsageError, match=r"was installed and does not import: .*no_such_module"):
        environments.ensure(tmp_path / "x", ["a"], what="a", prove=("no_such_module",))
    assert not (tmp_path / "x").exists()


def test_what_was_installed_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record says what was asked for and every distribution that came."""
    pip_says(monkeypatch, "", code=0)
    found = environments.ensure(tmp_path / "x", ["a"], what="for a test")
    meta = json.loads((tmp_path / "x" / "meta.json").read_text(encoding="utf-8"))
    assert ("for a test", ["a"]) == (meta["made_by"], meta["requirements"])
    assert found.installed["numpy"] == meta["installed"]["numpy"]


def test_pip_is_asked_where_uv_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration of pip, with its indexes and local wheels, is nothing that uv reads."""
    commands = pip_says(monkeypatch, "", code=0)
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\nexit 2\n", encoding="utf-8")
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    environments.ensure(tmp_path / "x", ["a"], what="a")
    assert str(uv) == commands[0][0]
    assert [True] == ["pip" in command for command in commands if "install" in command]


def test_the_callers_modules_stay_out_of_other_interpreters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PYTHONPATH and the working folder of the caller shadow nothing in another interpreter."""
    (tmp_path / "numpy.py").write_text("raise SystemExit('shadowed')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert 0 == environments.ask(sys.executable, "import numpy").returncode


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """A file stands where the folder is needed."""
    (tmp_path / "runtimes").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match="runtimes"):
        runtimes.resolve("onnxruntime==1.23.0", tmp_path)


@pytest.mark.skipif("HARNESS_TEST_INSTALL" not in os.environ, reason="installs from the package index, some 20 s")
def test_a_release_is_installed_and_measures(tmp_path: Path) -> None:
    """A real release, from the index to a worker's hello."""
    found = runtimes.resolve("onnxruntime==1.23.0", tmp_path)
    with Client(found.worker) as worker:
        assert "1.23.0" == worker.hello["runtime"]["version"]
