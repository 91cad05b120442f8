"""harness.runtimes.protocol, its worker, and workers of protocol 1: real sessions on small models."""

from __future__ import annotations

import io
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from harness.errors import WorkerError, WorkerRefusal
from harness.measure import coordinator
from harness.measure.coordinator import Workload
from harness.records import Target
from harness.records.values import ValueEntry, ValueSet, in_message
from harness.runtimes import client, protocol
from harness.runtimes.client import Client
from harness.runtimes.onnxruntime import profiled
from tests import builders

Array = np.ndarray[Any, Any]
CPU = Target(name="cpu", provider="CPUExecutionProvider")
OLD = Path(__file__).parent / "protocol1"
"""The worker of before protocol 2, word for word."""

texts = st.text(min_size=1, max_size=20)
numbers = st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none()
json_values = st.recursive(
    numbers | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)
arrays = st.builds(
    lambda dtype, shape: np.arange(int(np.prod(shape))).astype(dtype).reshape(shape),
    st.sampled_from(["float32", "float16", "int64", "uint8", "bool", "<U5"]),
    st.lists(st.integers(0, 3), max_size=3),
)
entries = (
    st.builds(ValueEntry, name=texts, stacked=texts, type=st.sampled_from(["", "bfloat16"]))
    | st.builds(ValueEntry, name=texts, concatenated=texts)
    | st.builds(ValueEntry, name=texts, files=st.lists(texts, min_size=1, max_size=3).map(tuple))
    | st.builds(ValueEntry, name=texts, data=st.lists(arrays.map(in_message), min_size=1, max_size=2).map(tuple))
)


# --- messages and entries ------------------------------------------------------------------------


@given(st.lists(st.dictionaries(texts, json_values, max_size=4), max_size=4))
def test_messages_come_through_one_by_one(messages: list[dict[str, Any]]) -> None:
    """Whatever is in them, line breaks and surrogates of JSON included; then the end."""
    stream = io.BytesIO()
    for message in messages:
        protocol.send(stream, message)
    stream.seek(0)
    assert messages == [protocol.receive(stream) for _ in messages]
    assert protocol.receive(stream) is None


@given(json_values.filter(lambda value: not isinstance(value, dict)))
def test_what_is_no_object_is_no_message(value: Any) -> None:
    """A list, a number, text: an error, never half a message."""
    import json

    with pytest.raises(ValueError, match="not a JSON object"):
        protocol.receive(io.BytesIO(json.dumps(value).encode() + b"\n"))


@given(st.lists(entries, max_size=3))
def test_entries_come_through_json(found: list[ValueEntry]) -> None:
    """What is written is what is read."""
    values = ValueSet(entries=tuple(found))
    assert values == ValueSet.from_json(values.to_json())


@given(arrays)
def test_arrays_come_through_a_message(array: Array) -> None:
    """Every element, with its type and shape, zero-dimensional and empty ones included."""
    import base64

    item = in_message(array)
    back = np.frombuffer(base64.b64decode(item["base64"]), np.dtype(item["dtype"])).reshape(item["shape"])
    assert (array.dtype, array.shape) == (back.dtype, back.shape)
    assert array.tolist() == back.tolist()


@pytest.mark.parametrize(
    "content",
    [
        {"name": "x"},
        {"stacked": "0.npy"},
        {"name": "x", "stacked": "0.npy", "files": ["1.npy"]},
        {"name": "x", "files": ["0.npy"], "concatenated": "1.npy"},
        {"name": "x", "data": [7]},
        "x",
    ],
)
def test_what_is_no_entry_is_refused(content: Any) -> None:
    """Nowhere, in two places, without a name."""
    with pytest.raises(ValueError, match="value"):
        ValueEntry.from_json(content)


def test_python_objects_are_not_sent() -> None:
    """Nothing is pickled."""
    with pytest.raises(ValueError, match="Python objects"):
        in_message(np.array([{}], dtype=object))


def test_a_set_names_its_files_in_a_folder(tmp_path: Path) -> None:
    """Rows as references keep them; the request has absolute paths."""
    asked = ValueSet.of_rows(["a", "b"], "feeds").to_request(tmp_path)
    assert {"name": "b", "concatenated": str(tmp_path / "feeds" / "1.npy")} == asked["b"]


# --- the worker ----------------------------------------------------------------------------------


def attention(path: Path) -> Path:
    """`y = transpose(x) @ w`, whose batch axis is the second of x: [3, batch, 4] -> [batch, 3, 2]; and n passed on."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], "turn", perm=[1, 0, 2]),
        helper.make_node("MatMul", ["t", "w"], ["y"], "product"),
        helper.make_node("Identity", ["n"], ["m"], "same"),
    ]
    inputs = [builders.value("x", [3, "batch", 4]), builders.value("n", [], TensorProto.INT64)]
    outputs = [builders.value("y", ["batch", 3, 2]), builders.value("m", [], TensorProto.INT64)]
    return builders.save(path, nodes, inputs, outputs, weights=[builders.weight("w", 4, 2)])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model whose batch axis is not the first."""
    return attention(tmp_path / "model.onnx")


@pytest.fixture
def examples() -> list[dict[str, Array]]:
    """Three whole feeds."""
    rng = np.random.default_rng(0)
    return [{"x": rng.standard_normal((3, 1, 4)).astype(np.float32), "n": np.array(i)} for i in range(3)]


def feeds_of(examples: list[dict[str, Array]], folder: Path, kind: str) -> dict[str, ValueEntry]:
    """The examples as stacked files, as files, or in the message."""
    found = {}
    for name in examples[0]:
        values = [example[name] for example in examples]
        if kind == "stacked":
            np.save(folder / f"{name}.npy", np.stack(values))
            found[name] = ValueEntry(name=name, stacked=f"{name}.npy").at(folder)
        elif kind == "files":
            for i, value in enumerate(values):
                np.save(folder / f"{name}-{i}.npy", value)
            files = tuple(f"{name}-{i}.npy" for i in range(len(values)))
            found[name] = ValueEntry(name=name, files=files).at(folder)
        else:
            found[name] = ValueEntry(name=name, data=tuple(in_message(value) for value in values))
    return found


def work(model: Path, feeds: dict[str, ValueEntry], *, batch: int = 1, axes: dict[str, int] | None = None) -> Workload:
    """What a worker is asked."""
    target = Target(name="cpu", provider="CPUExecutionProvider", batch=batch)
    return Workload(model=model, target=target, optimization="all", feeds=feeds, dims={}, batch_axes=axes or {})


def expected(model: Path, feed: dict[str, Array]) -> list[Array]:
    """What onnxruntime computes on one feed."""
    return list(onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, feed))


def arrays_of(entry: ValueEntry, folder: Path) -> list[Array]:
    """The examples that a worker wrote."""
    if entry.files:
        return [np.load(folder / file) for file in entry.files]
    return list(np.load(folder / entry.stacked))


@pytest.mark.parametrize("kind", ["stacked", "files", "data"])
def test_whole_examples_come_from_files_and_messages(
    tmp_path: Path, model: Path, examples: list[dict[str, Array]], kind: str
) -> None:
    """Every output of every example with all its axes, scalars included, wherever the feeds are."""
    with Client() as worker:
        asked = work(model, feeds_of(examples, tmp_path, kind))
        worker.ask("open", 60, **asked.request())
        found = coordinator.written(worker.ask("outputs", 60, **asked.all_examples(3, tmp_path)))
    assert ["y", "m"] == [entry.name for entry in found.entries]
    assert not any(entry.concatenated for entry in found.entries)
    for i, example in enumerate(examples):
        for entry, value in zip(found.entries, expected(model, example), strict=True):
            written = arrays_of(entry, tmp_path)[i]
            assert value.shape == written.shape
            np.testing.assert_allclose(written, value, rtol=1e-5, atol=1e-6)


def test_a_batch_is_made_along_the_declared_axis(tmp_path: Path, model: Path, examples: list[dict[str, Array]]) -> None:
    """Five of three examples: round and round, on axis 1; an input without an axis is fed the first example."""
    asked = work(model, feeds_of(examples, tmp_path, "stacked"), batch=5, axes={"x": 1})
    script = tmp_path / "telling.py"
    script.write_text(
        "import runpy, sys\n"
        f"sys.argv = [{client.default_command()[1]!r}]\n"
        "sys.path.insert(0, '')\n"
        f"names = runpy.run_path({client.default_command()[1]!r}, run_name='not main')\n"
        "plain = names['Worker'].burst\n"
        "def burst(self, request):\n"
        "    plain(self, request)\n"
        "    seen = [v.numpy().tolist() for v in self.bound]\n"
        "    return {'seen': seen, 'y': self.bindings[0].get_outputs()[0].numpy().tolist()}\n"
        "names['Worker'].burst = burst\n"
        "names['main']()\n",
        encoding="utf-8",
    )
    with Client([sys.executable, str(script)]) as worker:
        worker.ask("open", 60, **asked.request())
        seen = worker.ask("burst", 60, n=1)
    whole = np.concatenate([examples[i]["x"] for i in (0, 1, 2, 0, 1)], axis=1)
    assert [whole.tolist(), 0] == seen["seen"]
    assert (5, 3, 2) == np.shape(seen["y"])
    np.testing.assert_allclose(seen["y"][4], expected(model, examples[1])[0][0], rtol=1e-5, atol=1e-6)


def test_without_a_batch_axis_there_is_no_batch(tmp_path: Path, model: Path, examples: list[dict[str, Array]]) -> None:
    """Two unrelated examples are never put together."""
    asked = work(model, feeds_of(examples, tmp_path, "stacked"), batch=2)
    with Client() as worker, pytest.raises(WorkerRefusal, match="fixed batch of 3, not 2") as caught:
        worker.ask("open", 60, **asked.request())
    assert "batch" == caught.value.kind


def test_examples_of_different_shapes_are_told_apart(tmp_path: Path) -> None:
    """A file each for what they give; and they make no batch."""
    model = builders.save(
        tmp_path / "m.onnx",
        [helper.make_node("Relu", ["x"], ["y"])],
        [builders.value("x", ["batch", "length"])],
        [builders.value("y", ["batch", "length"])],
    )
    feeds = feeds_of([{"x": np.ones((1, n), np.float32)} for n in (4, 4, 2)], tmp_path, "files")
    folder = tmp_path / "out"
    folder.mkdir()
    with Client() as worker:
        worker.ask("open", 60, **work(model, feeds).request())
        found = coordinator.written(worker.ask("outputs", 60, **work(model, feeds).all_examples(3, folder)))
        with pytest.raises(WorkerRefusal, match="do not fit behind one another") as caught:
            worker.ask("open", 60, **work(model, feeds, batch=3, axes={"x": 0}).request())
    assert "batch" == caught.value.kind
    assert [(1, 4), (1, 4), (1, 2)] == [array.shape for array in arrays_of(found.entries[0], folder)]
    assert ["0-0.npy", "0-1.npy", "0-2.npy"] == sorted(path.name for path in folder.iterdir())


def test_bfloat16_is_fed_and_read_by_its_bits(tmp_path: Path) -> None:
    """NumPy has no such type: uint16, with the type beside it; a float32 feed is refused."""
    model = builders.save(
        tmp_path / "m.onnx",
        [helper.make_node("Identity", ["x"], ["y"])],
        [builders.value("x", ["batch", 2], TensorProto.BFLOAT16)],
        [builders.value("y", ["batch", 2], TensorProto.BFLOAT16)],
    )
    bits = np.array([[[0x3F80, 0x4000]], [[0x3F80, 0xC000]]], np.uint16)
    np.save(tmp_path / "x.npy", bits)
    np.save(tmp_path / "float.npy", np.ones((2, 1, 2), np.float32))
    entry = ValueEntry(name="x", stacked="x.npy", type="bfloat16").at(tmp_path)
    with Client() as worker:
        asked = work(model, {"x": entry})
        worker.ask("open", 60, **asked.request())
        assert 3 == len(worker.ask("burst", 60, n=3)["durations_ns"])
        found = coordinator.written(worker.ask("outputs", 60, **asked.all_examples(2, tmp_path)))
        with pytest.raises(WorkerRefusal, match="takes bfloat16, and its feed is float32"):
            wrong = ValueEntry(name="x", stacked="float.npy").at(tmp_path)
            worker.ask("open", 60, **work(model, {"x": wrong}).request())
    assert "bfloat16" == found.entries[0].type
    assert np.array_equal(bits, np.load(tmp_path / found.entries[0].stacked))


def test_the_profile_has_a_row_per_node(tmp_path: Path, model: Path, examples: list[dict[str, Array]]) -> None:
    """Over all runs but the first: each node once, with its operator, provider, input types and shapes."""
    asked = work(model, feeds_of(examples, tmp_path, "stacked"))
    with Client() as worker:
        worker.ask("open", 60, **asked.request(profile=True))
        worker.ask("burst", 60, n=4)
        answer = worker.ask("profile", 60)
    rows = answer["nodes"]
    found = {row[0]: row[1:5] for row in rows}
    operator, provider, types, count = found["product"]
    assert 3 == answer["runs"]
    assert ("MatMul", "CPUExecutionProvider", "float", 3) == (operator, provider, types.split(",")[0], count)
    assert all(isinstance(shape, list) for row in rows for side in row[6:8] for shape in side)
    assert all(type(row[5]) is int and row[5] >= 0 for row in rows)
    assert len(rows) == len(found)


def test_a_node_in_a_loop_counts_as_often_as_it_ran() -> None:
    """Events of one name are summed over whole runs; the first run, and one that the profile cut off, are left out."""
    nodes = profiled.nodes

    def event(ts: int, dur: int, name: str = "body_kernel_time", cat: str = "Node", size: int = 1) -> dict[str, Any]:
        args = {
            "op_name": "Add",
            "provider": "P",
            "input_type_shape": [{"float": [size]}, {"float": [1]}],
            "output_type_shape": [{"float": [size]}],
        }
        return {"cat": cat, "name": name, "ts": ts, "dur": dur, "args": args}

    def run(ts: int) -> dict[str, Any]:
        return event(ts, 10, "model_run", "Session")

    shapes = [[[1], [1]], [[1]]]
    body = [event(1, 7), event(21, 2), event(24, 3), event(45, 4), event(61, 9)]
    assert ([["body", "Add", "P", "float,float", 3, 9, *shapes, 4.5]], 2) == nodes([*body, run(0), run(20), run(40)])
    assert ([["body", "Add", "P", "float,float", 2, 5, *shapes, 5.0]], 1) == nodes([*body[:3], run(0), run(20)])
    assert ([["body", "Add", "P", "float,float", 1, 3, *shapes, 3.0]], 1) == nodes([event(1, 7), event(24, 3)])
    growing = [event(1, 7, size=2), event(4, 2), run(0)]
    assert {(2, 7), (1, 2)} == {(row[6][0][0], row[5]) for row in nodes(growing)[0]}


# --- workers of protocol 1 -----------------------------------------------------------------------


@pytest.fixture
def old(tmp_path: Path) -> list[str]:
    """The command of the real worker of protocol 1."""
    folder = tmp_path / "old"
    folder.mkdir()
    for name in ("worker.py", "protocol.py"):
        (folder / name).write_text((OLD / f"{name}.txt").read_text(encoding="utf-8"), encoding="utf-8")
    return [sys.executable, str(folder / "worker.py")]


def test_an_old_worker_measures_and_is_profiled(tmp_path: Path, old: list[str]) -> None:
    """A whole process and an evaluation, with the numbers of the new worker."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((5, 1, 8, 8)).astype(np.float32))
    model = builders.tiny_conv(tmp_path / "conv.onnx")
    target = Target(name="cpu", provider="CPUExecutionProvider", batch=2)
    asked = Workload(model=model, target=target, optimization="all", feeds={"x": tmp_path / "x.npy"}, dims={"batch": 2})
    folders = [tmp_path / "first", tmp_path / "second"]
    seen = []
    for folder, command in zip(folders, (old, client.default_command()), strict=True):
        folder.mkdir()
        seen.append(coordinator.observe(asked, examples=5, folder=folder, client=partial(Client, command)))
    assert seen[0].outputs == seen[1].outputs
    assert seen[0].kernels == seen[1].kernels
    assert {"CPUExecutionProvider": 1.0} == dict(seen[0].placement)
    assert onnxruntime.__version__ == seen[0].runtime.version
    assert np.array_equal(*(np.load(folder / "0.npy") for folder in folders))


def test_an_old_worker_is_fed_whole_examples_where_their_first_axis_is_the_batch(
    tmp_path: Path, old: list[str]
) -> None:
    """The axis is taken out on the way there and put back on the way home."""
    model = builders.tiny_conv(tmp_path / "conv.onnx")
    images = np.random.default_rng(0).standard_normal((3, 1, 1, 8, 8)).astype(np.float32)
    asked = work(model, feeds_of([{"x": image} for image in images], tmp_path, "stacked"), batch=2, axes={"x": 0})
    with Client(old) as worker:
        worker.ask("open", 60, **asked.request())
        assert 2 == len(worker.ask("burst", 60, n=2)["durations_ns"])
        single = work(model, feeds_of([{"x": image} for image in images], tmp_path, "stacked"), axes={"x": 0})
        found = coordinator.written(worker.ask("outputs", 60, **single.all_examples(3, tmp_path)))
    written = np.load(tmp_path / found.entries[0].stacked)
    assert (3, 1, 4) == written.shape
    np.testing.assert_allclose(written[2], expected(model, {"x": images[2]})[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "words"), [("files", "it reads one file per input"), ("stacked", "it takes axis 0 of every input")]
)
def test_what_an_old_worker_cannot_do_is_refused(
    tmp_path: Path, old: list[str], model: Path, examples: list[dict[str, Array]], kind: str, words: str
) -> None:
    """Before it is asked, with the reason."""
    asked = work(model, feeds_of(examples, tmp_path, kind), batch=3, axes={"x": 1})
    with Client(old) as worker, pytest.raises(WorkerRefusal, match=f"worker of protocol 1: {words}") as caught:
        worker.ask("open", 60, **asked.request())
    assert "input" == caught.value.kind


def test_a_worker_without_a_runtime_is_refused(tmp_path: Path) -> None:
    """A number of nobody knows what is none."""
    script = tmp_path / "nameless.py"
    script.write_text(
        f"import json\nprint(json.dumps({{'ok': True, 'protocol': {protocol.PROTOCOL}}}), flush=True)\ninput()\n",
        encoding="utf-8",
    )
    with pytest.raises(WorkerError, match="names no runtime"):
        Client([sys.executable, str(script)])
