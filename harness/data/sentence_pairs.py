"""Pairs of plain English sentences that are put together from parts, with a grade of how alike they are.

A sentence says who does what to which thing, and where. The second sentence of a pair keeps the meaning of some of its
four parts, in other words, and changes the others: the grade is 5 where all are kept and 0 where none is, and every
part counts as much. The truth is therefore generated, and coarse: it orders the pairs, and no more. A pair's two
sentences follow one another as examples. The digest of the first sentence says which split a pair is for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from harness.data import SEED, base, chosen, tokens_of
from harness.data.base import Split
from harness.data.tokens_of import TOKENIZER
from harness.options import Option

OPTIONS: tuple[Option, ...] = (TOKENIZER, SEED)
PACKAGES = {"numpy": "numpy", **tokens_of.PACKAGES}

Wordings = tuple[str, ...]

WHO: tuple[Wordings, ...] = (
    ("a doctor", "a physician"),
    ("the teacher", "the schoolteacher"),
    ("a little boy", "a young boy"),
    ("the police officer", "the policeman"),
    ("an old woman", "an elderly lady"),
    ("the farmer", "the man who owns the farm"),
    ("a group of students", "several students"),
    ("the lawyer", "the attorney"),
    ("a musician", "a man who plays music"),
    ("the chef", "the cook"),
)
DOES: tuple[Wordings, ...] = (
    ("is repairing", "is fixing"),
    ("bought", "purchased"),
    ("is carrying", "is holding in both hands"),
    ("painted", "put a coat of paint on"),
    ("is looking at", "is staring at"),
    ("threw away", "discarded"),
    ("is cleaning", "is washing"),
    ("sold", "found a buyer for"),
    ("lost", "could no longer find"),
    ("is drawing", "is making a sketch of"),
)
WHAT: tuple[Wordings, ...] = (
    ("a bicycle", "a bike"),
    ("the car", "the automobile"),
    ("an old sofa", "an old couch"),
    ("a guitar", "an acoustic guitar"),
    ("a small dog", "a puppy"),
    ("a stone", "a piece of rock"),
    ("the photograph", "the picture"),
    ("a hat", "a cap"),
    ("the computer", "the laptop"),
    ("a wooden boat", "a boat made of wood"),
)
WHERE: tuple[Wordings, ...] = (
    ("in the garden", "in the yard"),
    ("at the seaside", "on the beach"),
    ("in the city centre", "downtown"),
    ("near the train station", "close to the railway station"),
    ("in the forest", "in the woods"),
    ("at the airport", "in the airport terminal"),
    ("in the kitchen", "next to the kitchen stove"),
    ("on a mountain", "high up in the mountains"),
    ("outside the hospital", "in front of the hospital"),
    ("in a library", "in a room full of books"),
)
PARTS = (WHO, DOES, WHAT, WHERE)
MOST = 5.0
"""The grade of two sentences that say the same."""


def pairs(split: Split, seed: int) -> Iterator[tuple[str, str, float]]:
    """Two sentences and their grade, without end."""
    import numpy as np

    generator = np.random.default_rng([seed])
    while True:
        changed = int(generator.integers(0, len(PARTS) + 1))
        others = set(generator.permutation(len(PARTS))[:changed].tolist())
        first, second = [], []
        for place, meanings in enumerate(PARTS):
            meaning = int(generator.integers(len(meanings)))
            wording = int(generator.integers(len(meanings[meaning])))
            first.append(meanings[meaning][wording])
            if place in others:
                meaning = (meaning + int(generator.integers(1, len(meanings)))) % len(meanings)
                second.append(meanings[meaning][int(generator.integers(len(meanings[meaning])))])
            else:
                second.append(meanings[meaning][1 - wording])
        one, other = (f"{words[0].capitalize()} {' '.join(words[1:])}." for words in (first, second))
        even = hashlib.blake2b(one.encode(), digest_size=1).digest()[0] % 2 == 0
        if even == (split == "calibration"):
            yield one, other, MOST * (1 - changed / len(PARTS))


def examples(request: base.DataRequest, split: Split) -> Iterator[base.Row]:
    """Yield the sentences of a split, a pair's behind one another."""
    import numpy as np

    for number, (*texts, grade) in enumerate(pairs(split, int(base.option(request, "seed")))):
        for text in map(str, texts):
            feed, tokens = tokens_of.row(request, text)
            label: dict[str, Any] = {
                "pair": np.int64(number),
                "score": np.float64(grade),
                "tokens": np.int64(tokens),
                "text": text,
            }
            yield base.Row(feed=feed, label=label)
        if 2 * (number + 1) >= request.counts[split]:
            return


def digest(request: base.DataRequest) -> str:
    """NumPy's generator, the tokenizer, and the library that runs it."""
    return f"{chosen.content_of(tokens_of.file_of(request))} {base.versions(*PACKAGES)}"
