"""Files of known types that are made up on the spot, for a classifier of file types such as magika's.

They are of types that Python's standard library, Pillow and NumPy can write, filled with words, numbers and code at
random: the type of each is known because it was made so. A model takes the first and the last 1024 bytes of a file
without the white space around them, 256 where there is none, as magika's own code says; its classes are numbered as in
its configuration. The digest of a file's bytes says which split it is for.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import hashlib
import io
import json
import lzma
import pickle
import sqlite3
import tarfile
import wave
import zipfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from harness import foreign, packaged
from harness.data import SEED, base, chosen
from harness.data.base import Split
from harness.errors import BuildError
from harness.options import Option

if TYPE_CHECKING:
    import numpy as np

OPTIONS = (
    Option(
        name="class_names",
        type=str,
        path=True,
        default="package:magika/models/standard_v3_3/config.min.json",
        doc="the JSON file with the classes of magika, under `target_labels_space`",
    ),
    SEED,
)
PACKAGES = {"numpy": "numpy", "pillow": "PIL"}

EDGE = 1024
"""Bytes of the beginning and of the end that are looked at."""

BLOCK = 4096
"""Bytes within which white space is stripped."""

PADDING = 256
HALF = 0.5
WORDS = tuple(
    word
    for line in (
        "river mountain window garden letter yellow simple travel morning coffee number table market bridge winter",
        "music silver paper engine forest kitchen animal doctor picture answer school island summer cotton finger",
    )
    for word in line.split(" ")
)


def examples(request: base.DataRequest, split: Split) -> Iterator[base.Row]:
    """Yield files of a split with their classes, every type in turn."""
    import numpy as np

    names = class_names(request)
    if len(request.inputs) != 1 or base.row_shape(request.inputs[0], request) != (2 * EDGE,):
        raise BuildError(
            f"data: `file_types` feeds one input of shape [batch, {2 * EDGE}]; this model has "
            f"{', '.join(f'{one.name} {list(one.shape)}' for one in request.inputs)}."
        )
    spec = request.inputs[0]
    kinds = [kind for kind in MAKERS if kind in names]
    generator = np.random.default_rng([int(base.option(request, "seed"))])
    number = found = 0
    while found < request.counts[split]:
        kind = kinds[number % len(kinds)]
        number += 1
        content = MAKERS[kind](generator)
        even = hashlib.blake2b(content, digest_size=1).digest()[0] % 2 == 0
        if even == (split == "calibration"):
            found += 1
            yield base.Row(feed={spec.name: features(content).astype(spec.dtype)}, label=np.int64(names[kind]))


def digest(request: base.DataRequest) -> str:
    """The classes, and what writes the files."""
    path = packaged.required(str(base.option(request, "class_names")))
    return f"{chosen.content_of(path)} {base.versions(*PACKAGES)}"


def class_names(request: base.DataRequest) -> dict[str, int]:
    """The model's classes and their numbers.

    Raises:
        MissingExtra: the package that has them is not installed.
        BuildError: they cannot be read.
    """
    path = packaged.required(str(base.option(request, "class_names")))
    try:
        names = foreign.mapping(foreign.content(path))["target_labels_space"]
        return {str(name): place for place, name in enumerate(names)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BuildError(f"data: {path} cannot be read as the classes of magika: {error!r}.") from error


def features(content: bytes) -> np.ndarray[Any, Any]:
    """What a model is shown of a file: int64 [2048]."""
    import numpy as np

    found = np.full(2 * EDGE, PADDING, np.int64)
    start, end = content[:BLOCK].lstrip()[:EDGE], content[-BLOCK:].rstrip()[-EDGE:]
    found[: len(start)] = np.frombuffer(start, np.uint8)
    found[2 * EDGE - len(end) :] = np.frombuffer(end, np.uint8)
    return found


def _words(generator: np.random.Generator, least: int, most: int) -> list[str]:
    count = int(generator.integers(least, most))
    return [WORDS[place] for place in generator.integers(0, len(WORDS), count)]


def _sentences(generator: np.random.Generator, lines: int) -> list[str]:
    return [f"{' '.join(_words(generator, 5, 14)).capitalize()}." for _ in range(lines)]


def _lines(generator: np.random.Generator) -> int:
    return int(generator.integers(12, 40))


def _table(generator: np.random.Generator, delimiter: str) -> bytes:
    held = io.StringIO()
    writer = csv.writer(held, delimiter=delimiter, lineterminator="\n")
    columns = list(dict.fromkeys(_words(generator, 4, 7)))
    writer.writerow(columns)
    for _ in range(_lines(generator)):
        writer.writerow([round(float(value), 3) for value in generator.normal(0, 100, len(columns))])
    return held.getvalue().encode()


def _json(generator: np.random.Generator) -> bytes:
    def value() -> Any:
        return _words(generator, 1, 4) if generator.random() < HALF else int(generator.integers(1000))

    rows = [{name: value() for name in _words(generator, 2, 6)} for _ in range(_lines(generator))]
    return json.dumps({"name": _words(generator, 1, 2)[0], "rows": rows}, indent=2).encode()


def _xml(generator: np.random.Generator) -> bytes:
    items = "\n".join(
        f'  <item id="{place}"><name>{word}</name><price currency="EUR">{int(generator.integers(999))}</price></item>'
        for place, word in enumerate(_words(generator, 12, 40))
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<catalogue>\n{items}\n</catalogue>\n'.encode()


def _html(generator: np.random.Generator) -> bytes:
    body = "\n".join(f"<p class='{_words(generator, 1, 2)[0]}'>{line}</p>" for line in _sentences(generator, 12))
    head = f"<head><title>{_words(generator, 1, 2)[0]}</title></head>"
    return f"<!DOCTYPE html>\n<html>\n{head}\n<body>\n{body}\n</body>\n</html>\n".encode()


def _python(generator: np.random.Generator) -> bytes:
    parts = ["import os\nimport sys\n"]
    for name in dict.fromkeys(_words(generator, 4, 9)):
        other = _words(generator, 1, 2)[0]
        parts.append(
            f'\ndef {name}({other}, *, limit=None):\n    """Return the {name} of {other}."""\n'
            f"    if {other} is None:\n        raise ValueError('no {other}')\n"
            f"    return [one for one in {other} if one != {int(generator.integers(99))}]\n"
        )
    return "\n".join(parts).encode()


def _javascript(generator: np.random.Generator) -> bytes:
    parts = ["'use strict';\nconst fs = require('fs');\n"]
    for name in dict.fromkeys(_words(generator, 4, 9)):
        other = _words(generator, 1, 2)[0]
        parts.append(
            f"function {name}({other}) {{\n  if ({other} === undefined) {{\n    throw new Error('no {other}');\n  }}\n"
            f"  return {other}.map((one) => one * {int(generator.integers(99))}).filter(Boolean);\n}}\n"
            f"module.exports.{name} = {name};\n"
        )
    return "\n".join(parts).encode()


def _ini(generator: np.random.Generator) -> bytes:
    sections = (
        f"[{name}]\n" + "".join(f"{key} = {int(generator.integers(999))}\n" for key in _words(generator, 3, 8))
        for name in dict.fromkeys(_words(generator, 4, 9))
    )
    return "\n".join(sections).encode()


def _markdown(generator: np.random.Generator) -> bytes:
    parts = []
    for name in _words(generator, 4, 8):
        links = (f"- **{word}**: see [{word}](https://example.org/{word})" for word in _words(generator, 3, 6))
        parts.append(f"# {name.capitalize()}\n\n{' '.join(_sentences(generator, 3))}\n")
        parts.append("\n".join(links))
    return "\n\n".join(parts).encode()


def _sql(generator: np.random.Generator) -> bytes:
    name = _words(generator, 1, 2)[0]
    rows = [f"({place}, '{word}')" for place, word in enumerate(_words(generator, 12, 40))]
    lines = [
        f"CREATE TABLE {name} (",
        "  id INTEGER PRIMARY KEY,",
        "  title TEXT NOT NULL",
        ");",
        *(" ".join(["INSERT INTO", name, "(id, title) VALUES", f"{row};"]) for row in rows),
        f"CREATE INDEX by_title ON {name} (title);",
    ]
    return "\n".join(lines).encode()


def _shell(generator: np.random.Generator) -> bytes:
    steps = "\n".join(
        f'for file in "$1"/{word}*; do\n  echo "{word}: $file"\n  cp -- "$file" "$HOME/{word}" || exit 1\ndone'
        for word in _words(generator, 4, 9)
    )
    return f"#!/bin/bash\nset -euo pipefail\n\n{steps}\n".encode()


def _raster(kind: str) -> Callable[[np.random.Generator], bytes]:
    def make(generator: np.random.Generator) -> bytes:
        import numpy as np

        from harness.data.images import pillow

        sides = generator.integers(24, 64, 2)
        grid = generator.integers(0, 255, (4, 4, 3)).astype(np.uint8)
        held = io.BytesIO()
        pillow().fromarray(grid).resize((int(sides[0]), int(sides[1]))).save(held, kind)
        return held.getvalue()

    return make


def _zip(generator: np.random.Generator) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as file:
        for name in dict.fromkeys(_words(generator, 3, 7)):
            file.writestr(zipfile.ZipInfo(f"{name}.txt"), "\n".join(_sentences(generator, 10)))
    return held.getvalue()


def _tar(generator: np.random.Generator) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as file:
        for name in dict.fromkeys(_words(generator, 3, 7)):
            content = "\n".join(_sentences(generator, 10)).encode()
            entry = tarfile.TarInfo(f"{name}.txt")
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return held.getvalue()


def _packed(pack: Callable[[bytes], bytes]) -> Callable[[np.random.Generator], bytes]:
    return lambda generator: pack("\n".join(_sentences(generator, _lines(generator))).encode())


def _wav(generator: np.random.Generator) -> bytes:
    import numpy as np

    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        times = np.arange(4000) / 16_000
        file.writeframes((8000 * np.sin(2 * np.pi * generator.uniform(100, 2000) * times)).astype("<i2").tobytes())
    return held.getvalue()


def _sqlite(generator: np.random.Generator) -> bytes:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT)")
        connection.executemany("INSERT INTO words (word) VALUES (?)", [(one,) for one in _words(generator, 50, 200)])
        connection.commit()
        return connection.serialize()


def _pickle(generator: np.random.Generator) -> bytes:
    return pickle.dumps({name: _words(generator, 5, 40) for name in _words(generator, 4, 12)}, protocol=4)


def _npy(generator: np.random.Generator) -> bytes:
    import numpy as np

    held = io.BytesIO()
    np.save(held, generator.normal(size=(int(generator.integers(8, 40)), 8)))
    return held.getvalue()


MAKERS: dict[str, Callable[[Any], bytes]] = {
    "csv": lambda generator: _table(generator, ","),
    "tsv": lambda generator: _table(generator, "\t"),
    "json": _json,
    "xml": _xml,
    "html": _html,
    "python": _python,
    "javascript": _javascript,
    "ini": _ini,
    "markdown": _markdown,
    "sql": _sql,
    "shell": _shell,
    "png": _raster("PNG"),
    "jpeg": _raster("JPEG"),
    "gif": _raster("GIF"),
    "bmp": _raster("BMP"),
    "zip": _zip,
    "tar": _tar,
    "gzip": _packed(lambda content: gzip.compress(content, mtime=0)),
    "bzip": _packed(bz2.compress),
    "xz": _packed(lzma.compress),
    "wav": _wav,
    "sqlite": _sqlite,
    "pickle": _pickle,
    "npy": _npy,
}
"""magika's name of a type -> what makes one."""
