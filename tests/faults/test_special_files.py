"""Pipes, devices, sockets and the kernel's files are refused where a model, data, a zoo or results are expected."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import zoo
from harness.data import base, npz
from harness.errors import HarnessError
from harness.frameworks import onnx, torch_family
from harness.gate import accepted_changes
from harness.gate.outputs import as_json
from harness.gate.sides.dependencies import declared
from harness.init import bare
from harness.special_files import special
from harness.store import query, samples
from harness.store.asv import files as asv_files


def results_with(path: Path, folder: Path) -> Path:
    """A results folder whose one file is this."""
    (folder / "samples").mkdir(parents=True)
    (folder / "samples/run.parquet").symlink_to(path)
    return folder


READERS: dict[str, Callable[[Path, Path], object]] = {
    "a zoo": lambda path, _: zoo.load(path),
    "accepted changes": lambda path, _: accepted_changes.read(path),
    "a gate's report": lambda path, _: as_json.load(path),
    "a model": lambda path, _: onnx.parse(path),
    "a model without a zoo": lambda path, free: bare.assumed([f"file:{path}"], bare.Refinements(), cache=free),
    "weights": lambda path, _: torch_family.state_from_file(str(path)),
    "data": lambda path, _: base.file_digest(path),
    "examples": lambda path, _: npz.read(path),
    "samples": lambda path, _: samples.read(path),
    "stored results": lambda path, free: query.rows(results_with(path, free)),
    "a file of asv's": lambda path, _: asv_files.load(path, 1),
}


@pytest.fixture(params=["a named pipe", "a device", "a socket", "a file of /proc", "a link to a device"])
def thing(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Something that is read like a file."""
    path = tmp_path / "thing"
    if request.param == "a named pipe":
        os.mkfifo(path)
    elif request.param == "a socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    elif request.param == "a link to a device":
        path.symlink_to("/dev/zero")
    else:
        return Path({"a device": "/dev/zero", "a file of /proc": "/proc/self/environ"}[request.param])
    return path


@pytest.mark.parametrize("what", READERS)
def test_nothing_is_read_from_it(thing: Path, what: str, tmp_path: Path) -> None:
    """The error says what it is; nobody waits for its end."""
    with pytest.raises(HarnessError) as caught:
        READERS[what](thing, tmp_path / "free")
    assert special(thing) in str(caught.value)
    assert special(thing)


def test_requirements_of_a_tree(tmp_path: Path) -> None:
    """A pull request may make its requirements a pipe, which then is not read."""
    os.mkfifo(tmp_path / "requirements.txt")
    os.mkfifo(tmp_path / "uv.lock")
    assert ((), "") == (declared(tmp_path).requirements, declared(tmp_path).source)


def test_files_and_folders_are_none_of_these(tmp_path: Path) -> None:
    """Nor is what is absent, or whose name cannot be a file's."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "loop").symlink_to("loop")
    names = [tmp_path, tmp_path / "file", tmp_path / "link", tmp_path / "loop", tmp_path / "gone", Path("a\0b")]
    assert [""] * 6 == [special(path) for path in names]
