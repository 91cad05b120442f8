"""A CSV file of texts: to classify, or pairs of sentences with a grade of how alike they are.

`text` names the column, `label` the one with the class (a number, or a word whose place in alphabetical order is its
number). With `second`, a line is a pair: both sentences follow one another as examples, and `label` is the grade; with
`together`, both are one input and the label is a class. The file is read line by line; the digest of a line's text
decides which split it is for, so that the same text never stands in both.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.data import base, chosen, tokens_of
from harness.data.base import Split
from harness.data.tokens_of import TOKENIZER
from harness.errors import BuildError
from harness.options import Option

OPTIONS = (
    Option(name="file", type=str, required=True, path=True, doc="the file, from the zoo file's folder, UTF-8"),
    Option(name="text", type=str, default="text", doc="the column with the text, or a pair's first sentence"),
    Option(name="second", type=str, doc="the column with a pair's second sentence"),
    Option(name="label", type=str, default="label", doc="the column with the class, or the pair's grade"),
    Option(name="together", type=bool, default=False, doc="a pair is one input, and its label a class"),
    Option(name="delimiter", type=str, default=",", doc="what separates columns; \\t for a tab"),
    TOKENIZER,
)
PACKAGES = tokens_of.PACKAGES

LONGEST_NUMBER = 19
"""Digits from which on a label is a name like any other: no class has such a number."""


def examples(request: base.DataRequest, split: Split) -> Iterator[base.Row]:
    """Yield the lines of a split in the file's order; a pair is two examples."""
    import numpy as np

    second, graded = base.option(request, "second"), _graded(request)
    numbers = class_names(request)
    pair = 0
    for number, line in _lines(request):
        texts = [line[str(base.option(request, "text"))], *([line[str(second)]] if second else [])]
        if _split_of(texts) != split:
            continue
        label = line[str(base.option(request, "label"))]
        if not graded:
            feed, _ = tokens_of.row(request, *texts)
            yield base.Row(feed=feed, label=np.int64(numbers[label]))
            continue
        try:
            grade = float(label)
        except ValueError:
            raise BuildError(
                f"data: line {number} of {_path(request)} has the grade {label!r}: expected a number."
            ) from None
        for text in texts:
            feed, tokens = tokens_of.row(request, text)
            yield base.Row(
                feed=feed,
                label={"pair": np.int64(pair), "score": np.float64(grade), "tokens": np.int64(tokens), "text": text},
            )
        pair += 1


def digest(request: base.DataRequest) -> str:
    """The file's content, the tokenizer's, and the library that runs it."""
    held = [chosen.content_of(path) for path in (_path(request), tokens_of.file_of(request))]
    return f"{held} {base.versions(*PACKAGES)}"


def class_names(request: base.DataRequest) -> dict[str, int]:
    """Every class in the file, and its number: itself where all are whole numbers, else its place in the alphabet.

    Empty where labels are grades.
    """
    if _graded(request):
        return {}
    found = {line[str(base.option(request, "label"))] for _, line in _lines(request)}
    if all(one.strip().isdecimal() and len(one.strip()) < LONGEST_NUMBER for one in found):
        return {one: int(one) for one in found}
    return {one: place for place, one in enumerate(sorted(found))}


def _graded(request: base.DataRequest) -> bool:
    return bool(base.option(request, "second")) and not base.option(request, "together")


def _split_of(texts: list[str]) -> Split:
    """A quarter of the lines calibrate."""
    first = hashlib.blake2b("\n".join(texts).encode(), digest_size=1).digest()[0]
    return "calibration" if first % 4 == 0 else "evaluation"


def _lines(request: base.DataRequest) -> Iterator[tuple[int, dict[str, str]]]:
    """The lines with their columns by name, and their numbers.

    Raises:
        BuildError: the file cannot be read, lacks a column, or has a line of another length.
    """
    path = _path(request)
    wanted = [str(base.option(request, name)) for name in ("text", "second", "label") if base.option(request, name)]
    delimiter = str(base.option(request, "delimiter")).replace("\\t", "\t")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, delimiter=delimiter)
            missing = [name for name in wanted if name not in (reader.fieldnames or ())]
            if missing:
                has = ", ".join(reader.fieldnames or ()) or "no columns"
                raise BuildError(f"data: {path} has no column `{missing[0]}`; it has {has}.")
            for line in reader:
                held: dict[Any, Any] = line
                if any(held.get(name) is None for name in wanted):
                    raise BuildError(f"data: line {reader.line_num} of {path} has fewer columns than the first.")
                yield reader.line_num, held
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BuildError(f"data: {path} cannot be read as CSV: {error}.") from error


def _path(request: base.DataRequest) -> Path:
    return Path(base.required(request, "file", "a CSV file"))
