"""Sounds in .wav files, labelled by the folders that they lie in, in alphabetical order.

Files are 8, 16, 24 or 32 bits of whole numbers, as the standard library reads them. Channels are averaged, values lie
in -1..1, and a sound is cut to its middle or filled up with silence at its end. Nothing is resampled: a file of another
rate than `rate` is left out. A file's name decides which split it is for.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data import BROKEN, base, chosen
from harness.data.base import Split
from harness.data.chosen import ChosenFile
from harness.data.images import FOLDER
from harness.errors import BuildError
from harness.options import Option
from harness.special_files import require_plain

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

OPTIONS = (
    FOLDER,
    Option(name="rate", type=int, at_least=1, doc="samples a second that files must have; any where absent"),
    BROKEN,
)
PACKAGES: dict[str, str] = {}

SUFFIXES = frozenset({".wav"})
EIGHT_BITS = 1
"""Bytes of a sample that is unsigned, unlike all wider ones."""


def examples(request: base.DataRequest, split: Split) -> Iterator[base.Row | base.LeftOut]:
    """Yield the sounds of a split with their folders' numbers."""
    (spec, *others) = request.inputs
    shape = base.row_shape(spec, request)
    has = ", ".join(f"{one.name} {one.dtype} {list(one.shape)}" for one in request.inputs)
    if others or not shape or any(axis != 1 for axis in shape[:-1]) or spec.dtype != "float32":
        raise BuildError(
            f"data: `audio_folder` feeds models with one float32 input of shape [batch, samples] or [batch, 1, "
            f"samples]; this one has {has}."
        )
    rate = base.option(request, "rate")
    labels = class_names(request)
    for file in _files(request)[split]:
        try:
            sound = read(file.path, rate)
        except Exception as error:  # noqa: BLE001  # wave raises anything for a damaged header
            yield base.LeftOut(name=file.name, why=str(error) or type(error).__name__)
            continue
        folder, slash, _ = file.name.partition("/")
        label = labels[folder] if slash else None
        yield base.Row(feed={spec.name: fitted(sound, shape[-1]).reshape(shape)}, label=label)


def digest(request: base.DataRequest) -> str:
    """The sounds that may be used, and the folders."""
    return f"{chosen.digest(_files(request))} {list(class_names(request))}"


def read(path: Path, rate: int | None) -> Array:
    """A sound, float32 [samples].

    Raises:
        ValueError: it is of another rate.
        wave.Error: it is damaged, or compressed.
        OSError: it cannot be read.
    """
    import numpy as np

    require_plain(path)
    with wave.open(str(path), "rb") as file:
        if rate is not None and file.getframerate() != rate:
            raise ValueError(f"it has {file.getframerate()} samples a second and {rate} are expected")
        width, channels = file.getsampwidth(), file.getnchannels()
        content = file.readframes(file.getnframes())
    if width == EIGHT_BITS:
        samples: Array = np.frombuffer(content, np.uint8).astype(np.float32) / 128 - 1
    else:
        whole = np.frombuffer(content, np.uint8)[: len(content) // width * width].reshape(-1, width)
        wide = np.zeros((len(whole), 4), np.uint8)
        wide[:, 4 - width :] = whole
        samples = wide.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)
    whole_frames = samples[: len(samples) // channels * channels].reshape(-1, channels)
    mean: Array = whole_frames.mean(axis=1)
    return mean


def fitted(sound: Array, length: int) -> Array:
    """So many samples: the middle of a longer sound, a shorter one with silence behind it."""
    import numpy as np

    start = max(0, (len(sound) - length) // 2)
    held: Array = np.zeros(length, np.float32)
    part = sound[start : start + length]
    held[: len(part)] = part
    return held


def class_names(request: base.DataRequest) -> dict[str, int]:
    """The folders of the classes, and their numbers."""
    folder = _folder(request)
    return {name: place for place, name in enumerate(sorted(one.name for one in folder.iterdir() if one.is_dir()))}


def _files(request: base.DataRequest) -> dict[Split, list[ChosenFile]]:
    counts: dict[Split, int] = {
        "calibration": request.counts["calibration"],
        "evaluation": request.counts["evaluation"],
    }
    found = chosen.apart(chosen.first(chosen.walk(_folder(request), SUFFIXES), counts), counts)
    if not any(found.values()):
        raise BuildError(f"data: {_folder(request)} holds no .wav file.")
    return found


def _folder(request: base.DataRequest) -> Path:
    """The folder.

    Raises:
        BuildError: there is none.
    """
    return base.required_folder(request, "a folder of sounds")
