"""Decoders with keys and values: those of examples are of words, and what keeps its own is asked the same."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness import values
from harness.build import reference
from harness.build.calibration import CalibrationReader
from harness.data import base
from harness.errors import WorkerRefusal
from harness.frameworks import onnx
from harness.measure import coordinator
from harness.records import DataSpec, InputSpec, ModelSpec, Target, wire
from harness.records.values import ValueEntry
from harness.runtimes.client import Client
from harness.runtimes.clients import FOLDER
from harness.runtimes.genai import worker as genai
from tests import builders, specs

IDS = InputSpec(name="input_ids", dtype="int64", shape=("batch", "sequence"))
PAST = tuple(
    InputSpec(name=f"past_key_values.0.{part}", dtype="float32", shape=("batch", 2, "past", 2))
    for part in ("key", "value")
)
WORDS = DataSpec(
    name="w", source="tokens", calibration=3, evaluation=3, options={"vocabulary": 3, "first": 0, "framed": False}
)


def remembering(path: Path) -> Path:
    """A decoder of one layer, two heads and three words: scores are a word and four times the sum of all so far."""
    text: list[int | str] = ["batch", "sequence"]
    kept: list[int | str] = ["batch", 2, "past", 2]
    node = helper.make_node
    constants = {
        "ends": np.array([1, 3]), "all": np.array([1, 2, 3]), "two": np.array([2]), "inner": np.array([1, 2]),
        "wide": np.ones((1, 2, 1, 2), np.float32), "words": np.zeros((1, 1, 3), np.float32),
    }  # fmt: skip
    nodes = [
        node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["ids", "ends"], ["cell"]),
        node("Mul", ["cell", "wide"], ["now"]),
        *(node("Concat", [one.name, "now"], [f"present.0.{one.name[18:]}"], axis=2) for one in PAST),
        node("ReduceSum", ["present.0.key", "all"], ["sum"], keepdims=0),
        node("Unsqueeze", ["sum", "inner"], ["read"]),
        node("Unsqueeze", ["ids", "two"], ["word"]),
        node("Add", ["word", "read"], ["score"]),
        node("Add", ["score", "words"], ["logits"]),
    ]
    return builders.save(
        path,
        nodes,
        [builders.value("input_ids", text, TensorProto.INT64), *(builders.value(one.name, kept) for one in PAST)],
        [
            builders.value("logits", [*text, 3]),
            *(builders.value(f"present.0.{one.name[18:]}", ["batch", 2, "whole", 2]) for one in PAST),
        ],
        weights=[numpy_helper.from_array(array, name) for name, array in constants.items()],
    )


def decoder(path: Path, *, source: str = "transformers") -> ModelSpec:
    """One token behind four others."""
    model = specs.file_model(path, IDS, *PAST)
    return replace(model, source=source, data=WORDS, dims={"sequence": 1, "past": 4})


def test_words_before_are_known_where_the_network_can_compute_what_it_keeps_of_them(tmp_path: Path) -> None:
    """Of a decoder whose past is open; not of a file, nor where more than tokens would have to be known."""
    model = decoder(tmp_path / "model.onnx")
    asked = base.DataRequest.of(model)
    (first, second, _) = base.stream(asked, "evaluation")
    assert first.before is not None
    assert second.before is not None
    assert ((1, 4), "int64") == (first.before.shape, first.before.dtype.name)
    assert first.before.tolist() != second.before.tolist()
    assert set(first.before.flat) <= {0, 1, 2}
    mask = InputSpec(name="attention_mask", dtype="int64", shape=("batch", "sequence"))
    fixed = tuple(replace(one, shape=("batch", 2, 4, 2)) for one in PAST)
    for other in (
        replace(model, source="onnx"),
        replace(model, inputs=(IDS, mask, *PAST)),
        replace(model, inputs=(IDS, *fixed)),
        replace(model, inputs=(IDS,)),
        replace(model, dims={"sequence": 1, "past": 0}),
    ):
        assert next(iter(base.stream(base.DataRequest.of(other), "evaluation"))).before is None
    drawn = replace(asked, model_source="onnx")
    assert base.source("tokens").digest(asked) != base.source("tokens").digest(drawn)


def test_rows_of_a_fixed_batch_have_what_was_read_before_each() -> None:
    """Joined to one feed, as everything else of them."""
    inputs = (replace(IDS, shape=(2, "sequence")), *(replace(one, shape=(2, 2, "past", 2)) for one in PAST))
    asked = base.DataRequest(
        source="tokens",
        counts={"calibration": 2, "evaluation": 4},
        model_source="transformers",
        task=None,
        inputs=inputs,
        dims={"sequence": 1, "past": 4},
        options=dict(WORDS.options),
    )
    for one in base.stream(asked, "evaluation"):
        assert one.before is not None
        assert (2, 4) == one.before.shape


def test_keys_and_values_of_examples_are_those_of_the_words_before(tmp_path: Path) -> None:
    """In the reference and for calibration; a worker gets the words, and a cache of before has none."""
    model = decoder(remembering(tmp_path / "model.onnx"))
    loaded = replace(onnx.load(replace(model, source="onnx")), model=model)
    made = reference.write(loaded, tmp_path / "reference", "d")
    assert made == wire.reference_from_json(wire.reference_to_json(made))
    held = {one.name: values.Stored(tmp_path / "reference", one, made.examples) for one in (*made.feeds, *made.answers)}
    (entry,) = made.before
    read = values.Stored(tmp_path / "reference", entry, made.examples)
    for place in range(made.examples):
        (words,) = read[place]
        (word,) = held["input_ids"][place][0]
        for part in PAST:
            assert words.tolist() == held[part.name][place][0, 1, :, 0].tolist()
        assert word + 4 * (words.sum() + word) == held["logits"][place][0, 0, 0]
    reader = CalibrationReader(model, None, tmp_path / "calibration", None, tmp_path / "model.onnx")
    examples = list(base.stream(base.DataRequest.of(model), "calibration"))
    for example in examples:
        feed = reader.get_next()
        assert feed is not None
        assert example.before is not None
        assert example.before[0].tolist() == feed["past_key_values.0.value"][0, 0, :, 1].tolist()
    content = wire.reference_to_json(made)
    content.pop("before")
    assert () == wire.reference_from_json(content).before


def test_a_workload_says_what_was_read_before() -> None:
    """To open a file and to run its examples; a model without it says nothing."""
    entry = ValueEntry(name="input_ids", stacked="/ids.npy")
    plain = coordinator.Workload(
        model=Path("m.onnx"),
        target=Target(name="t", provider="cpu"),
        optimization="all",
        feeds={"input_ids": entry},
        dims={},
    )
    knowing = replace(plain, before=entry)
    for asked in (knowing.request(), knowing.all_examples(1, Path())):
        assert entry.to_json() == asked["before"]
    assert "before" not in {**plain.request(), **plain.all_examples(1, Path())}


class Generator:
    """GenAI's: it counts what it has read, and takes no more than it was made for."""

    def __init__(self, calls: list[Any], most: int) -> None:
        self.calls, self.most = calls, most
        self.read: list[int] = []

    def append_tokens(self, ids: Any) -> None:
        """Read more."""
        assert "int32" == ids.dtype.name
        self.read += ids.tolist()
        assert len(self.read) < self.most
        self.calls.append(list(self.read))

    def get_logits(self) -> None:
        """Scores of the next one."""
        self.calls.append("scores")

    def rewind_to(self, length: int) -> None:
        """Forget what was read after so many."""
        assert length <= len(self.read)
        del self.read[length:]


class GenAi:
    """The module, of which a generator is all that counts here."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.most = 0

    def Model(self, folder: str) -> str:  # noqa: N802  (its name)
        """What a configuration lies beside."""
        config = json.loads((Path(folder) / "genai_config.json").read_text(encoding="utf-8"))
        assert "past_key_values.%d.key" == config["model"]["decoder"]["inputs"]["past_key_names"]
        return folder

    def GeneratorParams(self, _: str) -> GenAi:  # noqa: N802  (its name)
        """The search options are its own."""
        return self

    def set_search_options(self, *, max_length: int, do_sample: bool) -> None:
        """Of which the length counts."""
        assert not do_sample
        self.most = max_length

    def Generator(self, _: str, params: GenAi) -> Generator:  # noqa: N802  (its name)
        """One that writes down what it is asked."""
        return Generator(self.calls, params.most)


def asked_of_genai(folder: Path, path: Path) -> coordinator.Workload:
    """Two examples: one word behind three others."""
    np.save(folder / "ids.npy", np.array([[[2]], [[1]]]))
    np.save(folder / "before.npy", np.array([[[0, 1, 2]], [[2, 2, 2]]]))
    np.save(folder / "past.npy", np.zeros((2, 1, 2, 3, 2), np.float32))
    feeds: Mapping[str, Path | ValueEntry] = {
        name: ValueEntry(name=name, stacked=str(folder / file))
        for name, file in (("input_ids", "ids.npy"), *((one.name, "past.npy") for one in PAST))
    }
    return coordinator.Workload(
        model=path,
        target=Target(name="genai", provider="cpu", runtime="genai"),
        optimization="all",
        feeds=feeds,
        dims={},
        rotate=2,
        before=ValueEntry(name="input_ids", stacked=str(folder / "before.npy")),
    )


def test_a_step_of_genai_is_timed_behind_what_it_read_untimed(tmp_path: Path) -> None:
    """It reads the words before once, and goes back to their end for every step; without them it is refused."""
    work = asked_of_genai(tmp_path, remembering(tmp_path / "model.onnx"))
    fake = GenAi()
    worker = genai.GenAiWorker(fake)
    opened = worker.open(work.request())
    assert (1, 5) == (opened["examples"], fake.most)
    assert ["1 token after 3 others" in note for note in opened["notes"]] == [True]
    assert 2 == len(worker.burst({"n": 2})["durations_ns"])
    assert 1 == len(worker.burst({"n": 1})["durations_ns"])
    assert [[0, 1, 2], *[[0, 1, 2, 2], "scores"] * 3] == fake.calls
    with pytest.raises(Exception, match="of which tokens those of the examples are is not known"):
        worker.open(replace(work, before=None).request())


def test_genai_goes_on_from_what_it_has_read(tmp_path: Path) -> None:
    """Where HARNESS_TEST_GENAI names an interpreter: outputs are the file's, fed the same keys and values."""
    if not (python := os.environ.get("HARNESS_TEST_GENAI")):
        pytest.skip("HARNESS_TEST_GENAI names no interpreter with genai")
    work = asked_of_genai(tmp_path, remembering(tmp_path / "model.onnx"))
    with Client([python, str(FOLDER / "genai" / "worker.py")]) as client:
        client.ask("open", 300.0, **work.request())
        assert 5 == len(client.ask("burst", 60.0, n=5)["durations_ns"])
        client.ask("outputs", 60.0, **work.all_examples(2, tmp_path))
        assert [[2 + 4 * 5], [1 + 4 * 7]] == np.load(tmp_path / "0.npy")[:, 0, :, 0].tolist()
        assert [[0, 1, 2, 2], [2, 2, 2, 1]] == np.load(tmp_path / "1.npy")[:, 0, 1, :, 0].tolist()
        with pytest.raises(WorkerRefusal, match="is not known"):
            client.ask("open", 300.0, **replace(work, before=None).request())
