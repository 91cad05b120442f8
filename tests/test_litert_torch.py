"""runtime: litert-torch: networks of torch in LiteRT, without ONNX."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness import runtime_spec
from harness.errors import UsageError
from harness.records import wire
from harness.runtimes import clients, serving
from harness.runtimes.client import Client
from tests.specs import torch_model

assert "protocol" in sys.modules, serving.__name__  # the next one finds it under its bare name

from harness.runtimes.torch import litert  # noqa: E402


class FakeInterpreter:
    """LiteRT's, of a file that doubles its input; inputs and outputs have numbers in an order of their own."""

    def __init__(self, *, model_content: bytes, num_threads: int | None) -> None:
        assert b"doubles" == model_content
        self.threads, self.ready = num_threads, False
        self.held: dict[int, Any] = {}

    def allocate_tensors(self) -> None:
        """Needed before anything is set."""
        self.ready = True

    def get_signature_list(self) -> dict[str, Any]:
        """One."""
        return {"serving_default": {}}

    def get_signature_runner(self, name: str) -> Any:
        """Of that one."""
        assert "serving_default" == name
        return SimpleNamespace(
            get_input_details=lambda: {
                "args_1": {"index": 4, "dtype": np.int32},
                "args_0": {"index": 7, "dtype": np.float32},
            },
            get_output_details=lambda: {"output_0": {"index": 9}},
        )

    def set_tensor(self, place: int, array: Any) -> None:
        """An input."""
        assert self.ready
        assert ({4: "int32", 7: "float32"})[place] == array.dtype.name
        self.held[place] = array

    def invoke(self) -> None:
        """Compute."""
        self.held[9] = 2 * self.held[7] + self.held[4]

    def get_tensor(self, place: int) -> Any:
        """An output."""
        return self.held[place]


def convertible(monkeypatch: pytest.MonkeyPatch, *, fails: str = "") -> list[tuple[Any, ...]]:
    """Stand-ins for litert-torch and LiteRT; the shapes of each conversion."""
    asked: list[tuple[Any, ...]] = []

    def convert(module: str, sample: tuple[Any, ...]) -> Any:
        if fails:
            raise RuntimeError(fails)
        assert "module" == module
        asked.append(tuple(one.shape for one in sample))
        return SimpleNamespace(export=lambda path: Path(path).write_bytes(b"doubles"))

    made = {"litert_torch": ModuleType("litert_torch"), "ai_edge_litert.interpreter": ModuleType("interpreter")}
    vars(made["litert_torch"])["convert"] = convert
    vars(made["ai_edge_litert.interpreter"])["Interpreter"] = FakeInterpreter
    for name, module in made.items():
        monkeypatch.setitem(sys.modules, name, module)
    return asked


def test_a_network_is_converted_once_for_each_set_of_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs go where their place in the call says, whatever number they have."""
    asked = convertible(monkeypatch)
    network = litert.TfliteNetwork(SimpleNamespace(from_numpy=lambda array: array), "module", 2)
    one, other = np.ones((1, 2), np.float32), np.full((1, 2), 5)
    for _ in range(2):
        assert [[7.0, 7.0]] == network(*network.fitting([one, other]))[0].tolist()
    network(*network.fitting([np.ones((3, 2), np.float32), np.ones((3, 2), np.int64)]))
    with pytest.raises(Exception, match="LiteRT takes int32, and a number of int64 does not fit"):
        network.fitting([one, np.full((1, 2), 2**40)])
    assert [((1, 2), (1, 2)), ((3, 2), (3, 2))] == asked
    assert {2} == {made.threads for made, *_ in network.interpreters.values()}


def test_what_cannot_be_converted_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the first line of what litert-torch says."""
    convertible(monkeypatch, fails="no lowering for aten.nms\nmany lines")
    network = litert.TfliteNetwork(SimpleNamespace(from_numpy=lambda array: array), "module", 1)
    with pytest.raises(Exception, match=r"litert-torch cannot convert it: no lowering for aten\.nms$") as caught:
        network.convert([np.ones(1, np.float32)])
    assert "not_implemented" == vars(caught.value)["kind"]


def test_it_runs_the_network_and_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Like torch it takes no release and builds nothing; without its package the remedy is named."""
    assert runtime_spec.runs_network("litert-torch")
    assert "write `litert-torch`" in runtime_spec.problem_of_target("litert-torch==0.10.0")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "litert_torch" else name)
    with pytest.raises(UsageError, match="pip install litert-torch"):
        clients.torch_command(tmp_path, "litert-torch")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert "--litert" == clients.torch_command(tmp_path, "litert-torch")[-1]


def test_litert_gives_what_torch_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where HARNESS_TEST_LITERT_TORCH names an interpreter that has both, and harness: converting takes seconds."""
    if not (python := os.environ.get("HARNESS_TEST_LITERT_TORCH")):
        pytest.skip("HARNESS_TEST_LITERT_TORCH names no interpreter with litert-torch")
    from harness.frameworks import get

    model = torch_model("tests.nets:small")
    loaded = get("torch").load(model)
    images = np.random.default_rng(0).random((3, 1, 3, 8, 8), dtype=np.float32)
    np.save(tmp_path / "image.npy", images)
    network = {"model": wire.model_to_json(model), "weights": dataclasses.asdict(loaded.weights)}
    feeds = {"image": {"stacked": str(tmp_path / "image.npy")}}
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    script = str(clients.FOLDER / "torch" / "worker.py")
    with Client([python, script, "--cache", str(tmp_path), "--litert"]) as client:
        assert ("litert-torch", ["rotate"]) == (client.runtime.name, client.hello["features"])
        options = {"provider": "cpu", "network": network}
        threads = {"intra": 1, "inter": 1}
        given = {"artifact": {"path": "unused.onnx"}, "feeds": feeds, "threads": threads, "options": options}
        client.ask("open", 300.0, **given, batch=2, batch_axes={"image": 0})
        assert 5 == len(client.ask("burst", 60.0, n=5)["durations_ns"])
        client.ask("outputs", 300.0, feeds=feeds, examples=3, folder=str(tmp_path))
    expected = np.stack([loaded.run({"image": image})[0] for image in images])
    np.testing.assert_allclose(np.load(tmp_path / "0.npy"), expected, rtol=1e-5, atol=1e-6)
