"""Artifacts in Netron: a copy whose nodes say what they take, shown on this machine alone."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from harness.errors import MissingExtra
from harness.explain import annotate, netron
from harness.explain.model import Explanation, LayerLoss, Losses, NodeTime
from tests import builders

CPU = "CPUExecutionProvider"


def found() -> Explanation:
    """What is known of the small network: its Conv takes a quarter of the time, and loses something."""
    return Explanation(
        case="tiny/int8/cpu-t1-b1",
        made_at="2026-01-01T00:00:00.000+00:00",
        artifact="0",
        runtime="onnxruntime 1",
        fingerprint="f",
        latency_s=4e-6,
        nodes_s=4e-6,
        runs=10,
        nodes=(
            NodeTime(node="relu_nchwc", operator="Conv", provider=CPU, seconds=1e-6, of="conv"),
            NodeTime(node="head", operator="MatMul", provider=CPU, seconds=3e-6, of="head"),
        ),
        losses=Losses(layers=(LayerLoss(layer="conv", operator="Conv", score=0.5, weight_db=21.0),)),
    )


def test_nodes_of_the_copy_say_what_they_take_and_lose(tmp_path: Path) -> None:
    """In their metadata; the artifact itself stays as it is."""
    artifact = builders.tiny_conv(tmp_path / "model.onnx")
    before = artifact.read_bytes()
    assert 2 == annotate.write(artifact, found(), tmp_path / "copy.onnx")
    assert artifact.read_bytes() == before
    copy = onnx.load(tmp_path / "copy.onnx")
    onnx.checker.check_model(copy)
    said = {node.name: {one.key: one.value for one in node.metadata_props} for node in copy.graph.node}
    assert {
        "harness.time": "1.00 µs",
        "harness.share of time": "25.0%",
        "harness.noise": "0.5",
        "harness.weights": "21.0 dB",
    } == said["conv"]
    assert {"harness.time": "3.00 µs", "harness.share of time": "75.0%"} == said["head"]
    assert {} == said["pool"]


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A server of a folder that looks like Netron's."""
    dated = '<meta name="version" content="1"><meta name="date" content="2001-01-01">'
    (tmp_path / "index.html").write_text(dated, encoding="utf-8")
    (tmp_path / "view.js").write_text("1;", encoding="utf-8")
    (tmp_path / "server.py").write_text("secret", encoding="utf-8")
    model = tmp_path / "m.onnx"
    model.write_bytes(b"model")
    listening = netron.server(model, 'a/"b', 0, pages=tmp_path)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield listening.server_port
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def get(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, str, str]:
    """Status, what the page may ask for, and the body."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Security-Policy"], answer.read().decode()


def test_netron_is_shown_and_asks_nobody_else(port: int) -> None:
    """Its first page opens the model, every answer forbids other hosts, and what is not Netron's page is not there."""
    status, policy, page = get(port, "/")
    assert 200 == status
    assert "connect-src 'self'" in policy
    assert '<meta name="file" content="/data/model.onnx">' in page
    assert 'content="a-b.onnx"' in page
    assert "2001" not in page  # else Netron would ask to be updated before it shows anything
    assert (200, "model") == get(port, "/data/model.onnx")[::2]
    assert (200, "1;") == get(port, "/view.js")[::2]
    assert {404} == {get(port, path)[0] for path in ("/server.py", "/../m.onnx", "/%2e%2e/view.js", "/none.js")}
    assert 403 == get(port, "/", host="evil.example")[0]


def test_netron_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what installs it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"onnx-harness\[view\]"):
        netron.folder()
