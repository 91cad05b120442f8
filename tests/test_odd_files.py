"""Files as people really have them: moved or linked weights, links that lead nowhere, names of every kind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from harness.build.builder import Maker
from harness.build.cache import Cache
from harness.build.lookup import lookup
from harness.errors import BuildError, UsageError
from harness.frameworks import onnx as framework
from harness.init import bare
from harness.init.bare import Refinements
from harness.records import Artifact
from tests import builders, specs
from tests.test_any_model import AS_IS
from tests.test_bare import loaded, near

__all__ = ["near"]  # a fixture


def linked(data: Path) -> None:
    """The data lies elsewhere, and a link to it beside the model."""
    (data.parent.parent / "store").mkdir()
    data.rename(data.parent.parent / "store" / data.name)
    data.symlink_to(f"../store/{data.name}")


def a_folder(data: Path) -> None:
    """A folder has the data's name."""
    data.unlink()
    data.mkdir()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Path.unlink, "weights.bin, which is missing. Copy it beside the model"),
        (lambda data: data.rename(data.with_name("other.bin")), "weights.bin, which is missing"),
        (a_folder, "weights.bin, which is a folder"),
        (lambda data: data.write_bytes(data.read_bytes()[:10]), "is truncated: 10 bytes of at least 16384"),
        (lambda data: data.write_bytes(b""), "is truncated: 0 bytes of at least 16384"),
        (
            lambda data: data.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:01\nsize 1\n"),
            "is a Git LFS pointer. Run `git lfs pull`",
        ),
        (linked, "is a link to ../store/weights.bin, outside the model's folder, and onnxruntime follows none"),
    ],
)
def test_weights_that_are_not_where_they_should_be(tmp_path: Path, change: Callable[[Path], None], said: str) -> None:
    """The file is named, and what to do."""
    path = builders.external_data(tmp_path / "in")
    assert [path.with_name("weights.bin")] == framework.external_files(framework.parse(path), path)
    change(path.with_name("weights.bin"))
    with pytest.raises(BuildError) as error:
        framework.external_files(framework.parse(path), path)
    assert said in str(error.value)


def test_the_hubs_cache_is_made_of_links(tmp_path: Path) -> None:
    """Model and weights lead to files of other names in one other folder: measured, as onnxruntime runs them."""
    path = builders.external_data(tmp_path / "in")
    weights = onnx.load(path).graph.initializer[0].raw_data
    blobs, shown = tmp_path / "hub" / "blobs", tmp_path / "hub" / "snapshots" / "1"
    blobs.mkdir(parents=True)
    shown.mkdir(parents=True)
    for name, blob in (("model.onnx", "aaaa"), ("weights.bin", "bbbb")):
        path.with_name(name).rename(blobs / blob)
        (shown / name).symlink_to(f"../../blobs/{blob}")
    found, _ = loaded(tmp_path, shown / "model.onnx")
    model, cache = found.models["model"], Cache(tmp_path / "cache")
    Maker(cache, model, lambda *_: None).make(AS_IS)
    built = lookup(cache, model, AS_IS)
    assert isinstance(built, Artifact)
    (held,) = onnx.load(cache.artifact_path(built.digest)).graph.initializer
    assert weights == held.raw_data


def test_links_that_lead_nowhere_are_no_missing_files(tmp_path: Path) -> None:
    """Neither is the link itself proposed in its place."""
    lost, loop = tmp_path / "lost.onnx", tmp_path / "loop.onnx"
    lost.symlink_to("gone.onnx")
    loop.symlink_to("loop.onnx")
    for path, said in (
        (lost, "is a link to gone.onnx, which is not there"),
        (loop, "a link that leads back to itself"),
    ):
        with pytest.raises(UsageError) as error:
            bare.assumed([str(path)], Refinements(), cache=tmp_path / "cache")
        assert said in str(error.value)
        with pytest.raises(BuildError) as refused:
            framework.load(specs.file_model(path))
        assert said in str(refused.value)


def test_names_of_every_kind(tmp_path: Path) -> None:
    """Each file has an entry of its own, under a name that a command line and a path can hold."""
    names = (
        "with space.onnx", "ünïcødé.onnx", "-dash.onnx", "br[ack]ets*.onnx", "new\nline.onnx", "UPPER.ONNX",
        "no_ending",
        "semi;colon.onnx", "quo'te\".onnx", "a.b.c.onnx", "%s{x}.onnx", "$(id).onnx", "…/same.onnx", "d2/same.onnx",
        "-.onnx", "#.onnx", "null.onnx", "1.onnx",
    )  # fmt: skip
    first = builders.one_node(tmp_path / "first.onnx")
    files = [tmp_path / name for name in names]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        shutil.copy(first, file)
    found, _ = loaded(tmp_path, *files)
    assert [os.fspath(file) for file in files] == [model.id for model in found.models.values()]
    assert all(name.isprintable() and not set(name) & set("/ *[]\\\"'$;") for name in found.models)
    assert all(
        [("x", ("batch", 4))] == [(one.name, one.shape) for one in model.inputs] for model in found.models.values()
    )
