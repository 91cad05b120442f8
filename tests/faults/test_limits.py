"""Files that claim, nest or point to more than a reader may take: a sentence names the file; nothing is unpacked."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from harness import foreign
from harness.data import base, images, npz, test_sets
from harness.data.base import LeftOut
from harness.errors import BuildError, StoreError, UsageError
from harness.frameworks import onnx as onnx_files
from harness.gate.selftest import recording
from harness.gate.sides.dependencies import declared
from harness.init import settings
from harness.records import InputSpec
from harness.store.journal import Journal
from tests import builders, outcomes

GIB = 2**30


def request(source: str, shape: tuple[int, ...], **options: str) -> base.DataRequest:
    """Asks for one example of each split."""
    return base.DataRequest(
        source=source,
        counts={"calibration": 1, "evaluation": 1},
        model_source="onnx",
        task=None,
        inputs=(InputSpec(name="x", dtype="float32", shape=shape),),
        options=options,
    )


def test_an_archive_that_is_larger_than_the_memory(tmp_path: Path) -> None:
    """What its entries declare is added up before one of them is unpacked."""
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, a=np.zeros(1_000_000), b=np.zeros(1_000_000))
    with pytest.raises(ValueError, match=r"its arrays take 16.* of memory are free"):
        npz.require_room(path, free=15_000_000)
    npz.require_room(path, free=17_000_000)


def test_the_size_that_an_archive_declares_is_believed_first(tmp_path: Path) -> None:
    """Also by the reader itself, with the memory of this machine."""
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"x" * 10)
    damaged = bytearray(path.read_bytes())
    entry = damaged.rindex(b"PK\x01\x02")
    damaged[entry + 24 : entry + 28] = (2**32 - 2).to_bytes(4, "little")
    path.write_bytes(damaged)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(npz, "available", lambda: GIB)
        with pytest.raises(BuildError, match=r"bomb\.npz cannot be read as \.npz: its arrays take"):
            npz.read(path)


@pytest.mark.parametrize("harm", ["a bomb", "not an image", "cut"])
def test_images_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    """Pillow has an error of its own for an image of too many pixels."""
    from PIL import Image

    for name in ("a.png", "b.png"):
        Image.new("RGB", (64, 64)).save(tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        if harm != "a bomb":
            (tmp_path / name).write_bytes(b"text" if harm == "not an image" else whole[: len(whole) // 2])
    if harm == "a bomb":
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    (left,) = images.examples(request("images", (1, 3, 8, 8), folder=str(tmp_path)), "evaluation")
    assert isinstance(left, LeftOut)
    assert left.name in ("a.png", "b.png")
    assert left.why.startswith("cannot be read as an image: ")


def tensors(folder: Path, harm: str, dtype: str) -> Path:
    """A set of tests whose input is damaged."""
    path = folder / "test_data_set_0" / "input_0.pb"
    path.parent.mkdir()
    tensor = numpy_helper.from_array(np.zeros((1, 2), np.float32))
    if harm == "elsewhere":
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")
    if harm == "dimensions":
        tensor.ClearField("dims")
        tensor.dims.extend([10**9, 10**9])
    held = tensor
    if dtype.startswith("seq("):
        held = onnx.SequenceProto(elem_type=onnx.SequenceProto.TENSOR, tensor_values=[tensor])
    path.write_bytes(held.SerializeToString())
    if harm == "sparse":
        with path.open("r+b") as file:
            file.truncate(3 * GIB)
    if harm == "nested":
        inner = b""
        for _ in range(150):  # a sequence of sequences
            inner = b"\x2a" + _varint(len(inner)) + inner
        path.write_bytes(inner)
    return folder


def _varint(value: int) -> bytes:
    found = bytearray()
    while value >= 128:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


@pytest.mark.parametrize("dtype", ["float32", "seq(tensor(float))"])
@pytest.mark.parametrize(
    ("harm", "said"),
    [("elsewhere", "another file"), ("dimensions", ""), ("sparse", "bytes, more than"), ("nested", "")],
)
def test_test_data_that_is_none(tmp_path: Path, harm: str, said: str, dtype: str) -> None:
    """No other file is opened for it, and no memory taken for what it says of its shape."""
    asked = request("test_sets", (1, 2), sets=str(tensors(tmp_path, harm, dtype)))
    asked = dataclasses.replace(asked, inputs=(dataclasses.replace(asked.inputs[0], dtype=dtype),))
    with pytest.raises(BuildError, match=r"input_0\.pb is not what ONNX calls") as caught:
        list(test_sets.examples(asked, "evaluation"))
    assert said in str(caught.value)


def test_a_model_of_more_than_protobuf_reads(tmp_path: Path) -> None:
    """It is not read to find that out, and the way out is said."""
    path = tmp_path / "large.onnx"
    path.write_bytes(onnx.ModelProto(ir_version=8).SerializeToString())
    with path.open("r+b") as file:
        file.truncate(3 * GIB)
    with pytest.raises(BuildError, match=r"large\.onnx has 3.*save_as_external_data=True"):
        onnx_files.parse(path)


DEEP = b"a = " + b"[" * 100_000


@pytest.mark.parametrize("content", [DEEP, b"a = 1\n" * 2, b"\xff"], ids=["deep", "twice", "no UTF-8"])
def test_a_pyproject_that_is_none(tmp_path: Path, content: bytes) -> None:
    """Of a pull request's tree, and of the folder that `init` is called in."""
    (tmp_path / "pyproject.toml").write_bytes(content)
    with pytest.raises(UsageError, match=r"pyproject\.toml cannot be read: "):
        declared(tmp_path)
    with pytest.raises(UsageError, match=r"pyproject\.toml cannot be read: "):
        settings.is_package(tmp_path)


def test_requirements_that_include_each_other(tmp_path: Path) -> None:
    """Each file is read once, however often it is named."""
    (tmp_path / "requirements.txt").write_text("numpy\n" + "-r other.txt\n" * 50, encoding="utf-8")
    (tmp_path / "other.txt").write_text("scipy\n" + "-r requirements.txt\n-r other.txt\n" * 50, encoding="utf-8")
    assert ("numpy", "scipy") == declared(tmp_path).requirements
    (tmp_path / "other.txt").write_bytes(b"#" * 2_000_000)
    with pytest.raises(UsageError, match=r"other\.txt cannot be read: it has 2000000 bytes"):
        declared(tmp_path)


def test_a_recording_that_is_none(tmp_path: Path) -> None:
    """Nested deeper than any parser goes."""
    path = tmp_path / "recording.json"
    path.write_bytes(b"[" * 100_000)
    with pytest.raises(StoreError, match=r"recording\.json is not a recording .*nested more than"):
        recording.read([path])


@pytest.mark.parametrize("content", [b"[" * 100_000, b"[]", b"\xff", None])
def test_a_journals_header_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    """The journal stays as it is, and a new run begins beside it; None is a device."""
    folder = tmp_path / "samples" / "20260101T000000Z-aaaaaa.parts"
    folder.mkdir(parents=True)
    header = folder / "run.header"
    if content is None:
        header.symlink_to("/dev/zero")
    else:
        header.write_bytes(content)
    with Journal.open(tmp_path, outcomes.run(), resume=True) as journal:
        assert outcomes.run().id == journal.run.id
    assert header.is_symlink() or content == header.read_bytes()


def test_the_readers_say_what_is_wrong() -> None:
    """One error type, whatever the text."""
    with pytest.raises(ValueError, match="nested too deep"):
        foreign.toml(DEEP)
    assert {"a": {"b": 1}} == foreign.toml(b"[a]\nb = 1")


@pytest.mark.parametrize("place", ["producer_name", "graph.node.op_type", "graph.node.input", "graph.input.name"])
def test_a_model_with_a_text_that_is_none(tmp_path: Path, place: str) -> None:
    """Protobuf gives bytes for it, which no reader expects; the error says where."""
    path = builders.tiny_conv(tmp_path / "net.onnx")
    model = onnx.load(path)
    mark = "@mark@mark@"
    *way, last = place.split(".")
    holder = model
    for name in way:
        held = getattr(holder, name)
        holder = held if hasattr(held, "DESCRIPTOR") else held[0]
    if last == "input":
        holder.input[0] = mark
    else:
        setattr(holder, last, mark)
    path.write_bytes(model.SerializeToString().replace(mark.encode(), b"\xff" * len(mark)))
    with pytest.raises(BuildError, match=rf"is corrupt: its {place} is not UTF-8"):
        onnx_files.parse(path)


def test_external_data_at_a_place_of_thousands_of_digits(tmp_path: Path) -> None:
    """Python makes no number of it."""
    path = builders.tiny_conv(tmp_path / "net.onnx")
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    (tmp_path / "data").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "data"), ("offset", "9" * 5000)):
        tensor.external_data.add(key=key, value=value)
    with pytest.raises(BuildError, match=r"is corrupt: the place of .* is not a number"):
        onnx_files.external_files(model, path)
