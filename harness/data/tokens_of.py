"""Text as an encoder's inputs: by a tokenizer.json of the library tokenizers, cut and padded to the model's length."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import packaged
from harness.data import base, chosen
from harness.errors import BuildError
from harness.options import Option

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

TOKENIZER = Option(
    name="tokenizer",
    type=str,
    required=True,
    path=True,
    doc="a tokenizer.json, or the folder with one, from the zoo file's folder; or of a package, package:MODULE/PATH",
)
PACKAGES = {"tokenizers": "tokenizers"}


def row(request: base.DataRequest, text: str, second: str | None = None) -> tuple[dict[str, Array], int]:
    """The inputs of one text, or of two together, and how many tokens they have.

    Raises:
        BuildError: the model takes an input that no tokenizer fills.
        MissingExtra: the library, or the package that has the tokenizer, is not installed.
    """
    import numpy as np

    shapes = {base.row_shape(spec, request) for spec in request.inputs}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise BuildError(
            f"data: `{request.source}` feeds inputs of one shape [batch, tokens]; this model has {sorted(shapes)}."
        )
    (length,) = next(iter(shapes))
    path = file_of(request)
    tokenizer = _tokenizer(str(path), chosen.content_of(path), length)
    try:
        encoded = tokenizer.encode(text) if second is None else tokenizer.encode(text, second)
    except Exception as error:  # the library raises its own plain Exception
        raise BuildError(f"data: {path} cannot take the text {text[:40]!r}: {error}.") from error
    known = {
        "input_ids": encoded.ids,
        "attention_mask": encoded.attention_mask,
        "token_type_ids": encoded.type_ids,
        "position_ids": range(length),
    }
    feed = {}
    for spec in request.inputs:
        if spec.name not in known:
            raise BuildError(
                f"data: `{request.source}` cannot fill the input `{spec.name}`. It knows {', '.join(known)}."
            )
        feed[spec.name] = np.asarray(known[spec.name], dtype=spec.dtype)
    return feed, int(sum(encoded.attention_mask))


def file_of(request: base.DataRequest) -> Path:
    """The tokenizer's file.

    Raises:
        MissingExtra: it is one of a package that is not installed.
        BuildError: there is none.
    """
    path = packaged.required(base.required(request, TOKENIZER.name, "a tokenizer.json"))
    return path / "tokenizer.json" if path.is_dir() else path


@functools.lru_cache(maxsize=4)
def _tokenizer(path: str, content: str, length: int) -> Any:  # noqa: ARG001  (what a changed file differs by)
    """The tokenizer, which pads and cuts to a length.

    Raises:
        MissingExtra: the library is not installed.
        BuildError: the file cannot be read.
    """
    try:
        import tokenizers
    except ImportError as error:
        raise base.needs("tokenizers", "Text as data") from error
    try:
        found = tokenizers.Tokenizer.from_file(path)
    except Exception as error:  # the library raises its own plain Exception
        raise BuildError(f"data: {path} cannot be read as a tokenizer: {error}.") from error
    padding = found.padding or {}
    found.enable_padding(
        length=length, pad_id=int(padding.get("pad_id", 0)), pad_token=str(padding.get("pad_token", "[PAD]"))
    )
    found.enable_truncation(max_length=length)
    return found
