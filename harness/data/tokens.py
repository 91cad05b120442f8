"""Token ids that look like sentences to an encoder: no tokenizer, no text, no download.

Ids are sampled Zipf-like (few frequent ones, many rare), between [CLS] and [SEP], in varied lengths, padded to the
sequence length, with the attention mask to match. Defaults are those of BERT's uncased English vocabulary. Without
`framed` they are words alone and fill the sequence, as a decoder reads them. Its past keys and values are what the
network keeps of words before; normally distributed where it cannot be asked (`harness.data.past`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.data import SEED, base, past
from harness.errors import BuildError
from harness.options import Option

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

OPTIONS = (
    Option(name="vocabulary", type=int, default=30522, at_least=1, doc="how many there are"),
    # 1996 is `the`, the first whole word of that vocabulary; ids below it are pieces, signs and special tokens.
    Option(name="first", type=int, default=1996, at_least=0, doc="the first that is a word"),
    Option(name="cls", type=int, default=101, at_least=0, doc="the one that starts a sequence"),
    Option(name="sep", type=int, default=102, at_least=0, doc="the one that ends a sequence"),
    Option(name="pad", type=int, default=0, at_least=0, doc="the one that fills a sequence"),
    Option(name="framed", type=bool, default=True, doc="whether a sequence is shorter than it may be, between signs"),
    SEED,
)
PACKAGES = {"numpy": "numpy"}

STREAMS = {"calibration": 0, "evaluation": 1}
SHORTEST = 4
"""[CLS], two words, [SEP]."""


def examples(request: base.DataRequest, split: base.Split) -> Iterator[base.Row]:
    """Yield sentences; if framed, their lengths are spread evenly between a few tokens and the whole sequence."""
    import numpy as np

    options = {one.name: int(base.option(request, one.name)) for one in OPTIONS}
    kept, behind = past.kept(request.inputs), past.length(request)
    ids_of = [spec for spec in request.inputs if spec not in kept]
    shapes = {base.row_shape(spec, request) for spec in ids_of}
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
        used = int(generator.integers(min(SHORTEST, length), length + 1)) if options["framed"] else length
        ids = np.full(length, options["pad"])
        ids[:used] = generator.choice(words, used, p=chance) + options["first"]
        if options["framed"]:
            ids[0], ids[used - 1] = options["cls"], options["sep"]
        feed = {spec.name: _part(spec.name, ids, used).astype(spec.dtype) for spec in ids_of}
        drawn = {
            spec.name: generator.standard_normal(base.row_shape(spec, request)).astype(spec.dtype) for spec in kept
        }
        before = None
        if behind is not None:
            before = (generator.choice(words, behind, p=chance) + options["first"]).astype(ids_of[0].dtype)
        yield base.Row(feed=feed | drawn, before=before)


def digest(request: base.DataRequest) -> str:
    """Tokens depend on NumPy's generator; keys and values were drawn before, and now are those of tokens."""
    of_tokens = "" if past.length(request) is None else " keys and values of tokens"
    return base.versions(*PACKAGES) + of_tokens


def _part(name: str, ids: np.ndarray[Any, Any], used: int) -> np.ndarray[Any, Any]:
    """The array for one input, known by its name as every exporter of encoders writes it.

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
