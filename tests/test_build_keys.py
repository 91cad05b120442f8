"""Digests: everything that decides a result is in them, nothing else is, and no framework is imported for them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.build import keys
from harness.build.recipes import resolve_recipe
from harness.records import DataSpec, ModelSpec, Recipe, Step
from tests import builders, specs

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def last(model: ModelSpec, recipe: Recipe, weights: str = "w") -> str:
    """The digest of a variant's artifact."""
    return keys.step_keys(model, resolve_recipe(recipe), weights)[-1]


def test_shared_steps_share_digests(tmp_path: Path) -> None:
    """Both int8 variants start from the same export and the same clean graph."""
    model = specs.file_model(tmp_path / "a.onnx")
    dynamic = keys.step_keys(model, resolve_recipe(specs.DYNAMIC), "w")
    static = keys.step_keys(model, resolve_recipe(specs.STATIC), "w")

    assert dynamic[:2] == static[:2]
    assert dynamic[2] != static[2]


def test_weights_and_options_count(tmp_path: Path) -> None:
    """Other weights or other options give another artifact; another name of model or variant does not."""
    model = specs.file_model(tmp_path / "a.onnx")
    same = replace(model, name="other", id=str(tmp_path / "b.onnx"))

    assert last(model, specs.FUSED, "w") != last(model, specs.FUSED, "v")
    assert last(model, specs.FUSED) != last(model, specs.variant("f", Step(kind="fuse", options={"level": "basic"})))
    assert last(model, specs.FUSED) == last(same, replace(specs.FUSED, name="renamed"))


def test_calibration_data_counts_only_where_it_is_used(tmp_path: Path) -> None:
    """More calibration examples change the static variant alone; the evaluation set changes the reference alone."""
    model = specs.file_model(tmp_path / "a.onnx")
    more = replace(model, data=DataSpec(name="random", source="random", calibration=5, evaluation=4))
    longer = replace(model, data=DataSpec(name="random", source="random", calibration=4, evaluation=8))

    assert last(model, specs.STATIC) != last(more, specs.STATIC)
    assert last(model, specs.DYNAMIC) == last(more, specs.DYNAMIC)
    assert last(model, specs.STATIC) == last(longer, specs.STATIC)
    assert keys.reference_key(model, "w") == keys.reference_key(more, "w")
    assert keys.reference_key(model, "w") != keys.reference_key(longer, "w")


def test_tools_and_the_cpu_count_where_they_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ISA is in the digest of hardware-specific files alone; a tool's version is in its own step's."""
    model = specs.file_model(tmp_path / "a.onnx")
    hardware = specs.variant("all", Step(kind="fuse", options={"level": "all"}))
    before = {recipe.name: last(model, recipe) for recipe in (hardware, specs.FUSED, specs.FP32)}
    monkeypatch.setattr(keys, "isa", lambda: ("x86_64", "avx512_vnni"))

    assert before["all"] != last(model, hardware)
    assert before["fp32-fused"] == last(model, specs.FUSED)

    monkeypatch.setattr(keys, "versions", lambda names: dict.fromkeys(names, "99" if "onnxslim" in names else "1"))
    fused = last(model, specs.FUSED)
    monkeypatch.setattr(keys, "versions", lambda names: dict.fromkeys(names, "1"))
    assert fused != last(model, specs.FUSED)


def test_a_changed_file_is_another_request(tmp_path: Path) -> None:
    """The request for a file's weights changes with the file."""
    path = builders.one_node(tmp_path / "a.onnx")
    model = specs.file_model(path)
    before = keys.source_key(model)
    builders.tiny_conv(path)

    assert before != keys.source_key(model)


def test_a_callable_is_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of a torch callable is found without importing it, and its content is part of every digest."""
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("raise RuntimeError('imported')")
    code = tmp_path / "pack" / "net.py"
    code.write_text("a = 1")
    monkeypatch.syspath_prepend(tmp_path)
    model = specs.torch_model("pack.net:build")
    before = keys.source_key(model), last(model, specs.FP32)
    code.write_text("a = 2")

    assert before[0] != keys.source_key(model)
    assert before[1] != last(model, specs.FP32)


def test_the_parent_imports_no_framework(tmp_path: Path) -> None:
    """Looking a variant up imports neither torch, nor onnx, nor onnxruntime."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests import specs\n"
        "from harness.build.cache import Cache\n"
        "from harness.build.pipeline import lookup\n"
        "assert lookup(Cache(Path('cache')), specs.file_model(Path('a.onnx')), specs.STATIC) is None\n"
        "print([name for name in ('torch', 'onnx', 'onnxruntime', 'sklearn') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()
