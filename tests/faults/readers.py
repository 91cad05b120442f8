"""Data on disk that is damaged: every reader gives examples of the asked shapes, or refuses in words of its own."""

from __future__ import annotations

import csv
import functools
import json
import random
import wave
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.data import base, shapes
from harness.data.base import DataRequest, Split
from harness.errors import HarnessError
from harness.records import InputSpec
from tests.faults import mutations

PICTURE = InputSpec(name="image", dtype="float32", shape=("batch", 3, 8, 8))
NUMBERS = InputSpec(name="x", dtype="float32", shape=("batch", 2, 2))
WAVE = InputSpec(name="wave", dtype="float32", shape=("batch", 1, 20))
IDS = InputSpec(name="input_ids", dtype="int64", shape=("batch", 4))

SPLITS: tuple[Split, ...] = ("calibration", "evaluation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A data source whose files others write.

    Attributes:
        make: writes files that are whole into an empty folder.
        files: which of them may be damaged, by a pattern.
        options: of the source, of the folder.
        text: whether its files are text, so that hostile text is put into them as well.
    """

    source: str
    spec: InputSpec
    make: Callable[[Path], None]
    files: str
    options: Callable[[Path], dict[str, Any]]
    text: bool = False


def _pictures(folder: Path) -> None:
    from PIL import Image

    for name in ("cats", "dogs"):
        (folder / name).mkdir()
        for number in range(6):
            Image.fromarray(np.full((9, 7, 3), number * 20, np.uint8)).save(folder / name / f"{number}.png")


def _coco(folder: Path) -> None:
    shapes.main([str(folder), "--count", "6", "--size", "16"])


def _table(folder: Path) -> None:
    with (folder / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text", "label"], *[[f"a {'b ' * one}", one % 2] for one in range(12)]])
    words = {word: place for place, word in enumerate(["[PAD]", "[UNK]", "a", "b"])}
    content = {"version": "1.0", "model": {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"}}
    content |= {"pre_tokenizer": {"type": "Whitespace"}, "added_tokens": []}
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")


def _sounds(folder: Path) -> None:
    for name in ("high", "low"):
        (folder / name).mkdir()
        for number in range(6):
            with wave.open(str(folder / name / f"{number}.wav"), "wb") as file:
                file.setparams((1, 2, 8000, 30, "NONE", ""))
                file.writeframes(bytes(range(number, number + 60)))


def _lines(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = np.arange(48, dtype=np.float32).reshape(12, 4)
    pq.write_table(pa.table({"x": rows.tolist(), "labels": list(range(12))}), folder / "data.parquet", row_group_size=4)


READERS: Mapping[str, Reader] = {
    "imagefolder": Reader(
        source="imagefolder",
        spec=PICTURE,
        make=_pictures,
        files="*/*.png",
        options=lambda folder: {"folder": str(folder), "broken": 0.5},
    ),
    "coco": Reader(
        source="coco",
        spec=PICTURE,
        make=_coco,
        files="**/*.*",
        options=lambda folder: {"annotations": str(folder / "annotations.json")},
        text=True,
    ),
    "text-csv": Reader(
        source="text_csv",
        spec=IDS,
        make=_table,
        files="*.*",
        options=lambda folder: {"file": str(folder / "t.csv"), "tokenizer": str(folder / "tokenizer.json")},
        text=True,
    ),
    "audio-folder": Reader(
        source="audio_folder",
        spec=WAVE,
        make=_sounds,
        files="*/*.wav",
        options=lambda folder: {"folder": str(folder), "rate": 8000, "broken": 0.5},
    ),
    "data-parquet": Reader(
        source="parquet",
        spec=NUMBERS,
        make=_lines,
        files="*.parquet",
        options=lambda folder: {"path": str(folder / "data.parquet")},
    ),
}


def make(name: str, folder: Path) -> None:
    """Write a reader's files, whole."""
    READERS[name].make(folder)


def damage(name: str, folder: Path, chance: random.Random) -> None:
    """Change one of a reader's files."""
    of = READERS[name]
    path = chance.choice(sorted(one for one in folder.glob(of.files) if one.is_file()))
    data = path.read_bytes()
    if of.text and path.suffix == ".json" and chance.random() < 0.7:
        path.write_bytes(mutations.damaged_json(data, chance))
    elif of.text and path.suffix == ".csv" and chance.random() < 0.7:
        path.write_bytes(mutations.damaged_text(data.decode(), chance))
    else:
        path.write_bytes(mutations.damaged_bytes(data, chance))


def problem(name: str, folder: Path) -> str:
    """What is wrong with how a reader takes what lies there; empty where it reads it, or refuses it as it should."""
    of = READERS[name]
    asked = DataRequest(
        source=of.source,
        counts={"calibration": 2, "evaluation": 3},
        model_source="torch",
        task=None,
        inputs=(of.spec,),
        options=of.options(folder),
    )
    for split in SPLITS:
        try:
            for example in base.stream(asked, split):
                shape = example.feed[of.spec.name].shape
                if shape[1:] != of.spec.shape[1:]:
                    return f"{split}: an example of shape {shape}"
        except HarnessError as error:
            if not str(error).strip() or "Traceback" in str(error):
                return f"{split}: refused without a reason: {error!r}"
        except Exception as error:  # noqa: BLE001  # that is what is looked for
            return f"{split}: {type(error).__name__}: {error}"
    return ""


Parts = tuple[Callable[[Path], None], Callable[[Path, random.Random], None], Callable[[Path], str]]
"""What makes, damages and reads the files of a reader."""


def doors() -> Mapping[str, Parts]:
    """The parts of every reader, by its name."""
    return {
        name: (functools.partial(make, name), functools.partial(damage, name), functools.partial(problem, name))
        for name in READERS
    }
