"""Token ids that look like sentences to an encoder: no tokenizer, no text, no download.

Ids are drawn Zipf-like (few frequent ones, many rare), between [CLS] and [SEP], in varied lengths, padded to the
sequence length, with the attention mask to match. Options: `vocabulary`, `first` (the lowest id of a word), `cls`,
`sep`, `pad`, `seed`. Defaults are those of BERT's uncased English vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.data import base
from harness.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

DEFAULTS = {"vocabulary": 30522, "first": 1996, "cls": 101, "sep": 102, "pad": 0, "seed": 0}
"""1996 is `the`, the first whole word of that vocabulary; ids below it are pieces, signs and special tokens."""

STREAMS = {"calibration": 0, "evaluation": 1}
SHORTEST = 4
"""[CLS], two words, [SEP]."""


def examples(request: base.DataRequest, split: base.Split) -> Iterator[base.Row]:
    """Yield sentences whose lengths are spread evenly between a few tokens and the whole sequence."""
    import numpy as np

    options = {name: int(base.option(request, name, value, *DEFAULTS)) for name, value in DEFAULTS.items()}
    shapes = {base.row_shape(spec, request) for spec in request.inputs}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise BuildError(
            f"data: `tokens` feeds inputs of one shape [batch, sequence]; this model has {sorted(shapes)}."
        )
    (length,) = next(iter(shapes))
    generator = np.random.default_rng([options["seed"], STREAMS[split]])
    words = options["vocabulary"] - options["first"]
    chance = 1.0 / np.arange(1, words + 1)
    chance /= chance.sum()
    for _ in range(request.counts[split]):
        used = int(generator.integers(min(SHORTEST, length), length + 1))
        ids = np.full(length, options["pad"])
        ids[:used] = generator.choice(words, used, p=chance) + options["first"]
        ids[0], ids[used - 1] = options["cls"], options["sep"]
        yield base.Row(feed={spec.name: _part(spec.name, ids, used).astype(spec.dtype) for spec in request.inputs})


def digest(request: base.DataRequest) -> str:  # noqa: ARG001 # the signature that every source has
    """Tokens depend on NumPy's generator."""
    return base.versions("numpy")


def _part(name: str, ids: np.ndarray[Any, Any], used: int) -> np.ndarray[Any, Any]:
    """The array for one input, told by its name as every exporter of encoders writes it.

    Raises:
        BuildError: the name is none of those.
    """
    import numpy as np

    places = np.arange(len(ids))
    known = {
        "input_ids": ids,
        "attention_mask": places < used,
        "token_type_ids": np.zeros_like(ids),
        "position_ids": places,
    }
    if name not in known:
        raise BuildError(f"data: `tokens` cannot fill the input `{name}`. It knows {', '.join(known)}.")
    return known[name]
