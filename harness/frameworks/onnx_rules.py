"""What each operator needs of the values at each of its inputs, from its attributes and the shapes around it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.records import ValueNeed

Shape = tuple[int | None, ...]

POSITIVE = ValueNeed(low=0.5, high=1.5, why="positive")
SOME = 3
"""Where any small count does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """An operator that reads a value.

    Attributes:
        shapes: of every tensor that is known.
        place: of the value among the node's inputs.
        size: how many elements the graph input has; None where that is not known.
    """

    node: Any
    place: int
    shapes: dict[str, Shape]
    size: int | None

    def shape(self, place: int, *, output: bool = False) -> Shape | None:
        """The shape of an input or output of the node; None where nothing is known."""
        names = self.node.output if output else self.node.input
        return self.shapes.get(names[place]) if place < len(names) else None

    def whole(self, place: int, *, output: bool = False) -> tuple[int, ...] | None:
        """As `shape`, where every size is known."""
        found = self.shape(place, output=output)
        if found is None or any(one is None for one in found):
            return None
        return tuple(one for one in found if one is not None)

    def attribute(self, name: str, otherwise: int) -> int:
        """A whole number among the node's attributes."""
        return next((int(one.i) for one in self.node.attribute if one.name == name), otherwise)

    def along(self, place: int, axis: int) -> int | None:
        """The size of one axis of an input."""
        found = self.shape(place)
        return found[axis] if found and -len(found) <= axis < len(found) else None


def elements(shape: Shape | None) -> int | None:
    """The number of elements, where every axis is known."""
    return None if shape is None or None in shape else math.prod(one or 0 for one in shape)


def _below(limit: int | None, why: str, *, low: int = 0) -> ValueNeed | None:
    return ValueNeed(low=low, high=limit, why=why) if limit is not None and limit > low else None


def _exactly(values: Sequence[float], why: str) -> ValueNeed:
    return ValueNeed(values=tuple(values), why=why)


def _index(use: Use) -> ValueNeed | None:
    """An index into one axis of the first input."""
    size = use.along(0, use.attribute("axis", 0))
    return _below(size, f"{use.node.op_type} takes indices below {size}")


def _coordinates(use: Use) -> ValueNeed | None:
    """Indices into several leading axes of the first input: below the smallest of them."""
    data, given = use.shape(0), use.shape(1)
    deep = given[-1] if given else None
    start = use.attribute("batch_dims", 0)
    sizes = [one for one in (data or ())[start : start + (deep or 1)] if one is not None]
    return _below(min(sizes), f"{use.node.op_type} takes indices below {min(sizes)}") if sizes else None


def _label(use: Use) -> ValueNeed | None:
    size = use.along(0, 1)
    return _below(size, f"{use.node.op_type} takes class numbers below {size}")


def _lengths(axis: int) -> Callable[[Use], ValueNeed | None]:
    def rule(use: Use) -> ValueNeed | None:
        place = use.attribute("time_axis", axis) if use.node.op_type == "ReverseSequence" else axis
        size = use.along(0, place)
        return ValueNeed(low=1, high=size + 1, why=f"a length up to {size}") if size else None

    return rule


def _result_shape(use: Use) -> ValueNeed | None:
    """The shape that the output is declared to have, else one that fits what goes in."""
    declared = use.whole(0, output=True)
    if declared is not None and len(declared) == use.size:
        return _exactly(declared, "the shape of the declared output")
    data = use.whole(0)
    if use.node.op_type == "ConstantOfShape":
        return ValueNeed(low=1, high=SOME + 1, why="a small shape")
    if use.size is None or data is None:
        return None
    if use.node.op_type == "Reshape":
        if len(data) == use.size:
            return _exactly(data, "the shape of what is reshaped")
        return _exactly([-1] + [1] * (use.size - 1), "everything on the first axis") if use.size else None
    return _exactly([1] * (use.size - len(data)) + list(data), "the shape of what goes in")


def _repeats(use: Use) -> ValueNeed | None:
    ratios = _ratios(use)
    if ratios and all(one >= 1 and one == int(one) for one in ratios):
        return _exactly([int(one) for one in ratios], "from the declared output")
    return ValueNeed(low=1, high=3, why="once or twice")


def _ratios(use: Use) -> list[float] | None:
    """Size by size, what goes out over what goes in."""
    before, after = use.whole(0), use.whole(0, output=True)
    if before is None or after is None or len(before) != len(after) or 0 in before:
        return None
    return [b / a for a, b in zip(before, after, strict=True)]


def _scales(use: Use) -> ValueNeed | None:
    ratios, count = _ratios(use), use.size or 0
    axes = next((list(one.ints) for one in use.node.attribute if one.name == "axes"), None)
    if ratios and axes:
        ratios = [ratios[axis] for axis in axes]
    if ratios and len(ratios) == count and all(ratios):
        return _exactly(ratios, "from the declared output")
    return _exactly([1.0] * max(0, count - 2) + [2.0] * min(2, count), "twice the size on the last two axes")


def _sizes(use: Use) -> ValueNeed | None:
    axes = next((list(one.ints) for one in use.node.attribute if one.name == "axes"), None)
    for shape in (use.whole(0, output=True), use.whole(0)):
        if shape is not None:
            chosen = [shape[axis] for axis in axes] if axes else list(shape)
            if len(chosen) == use.size and all(chosen):
                return _exactly(chosen, "from the declared output, or as what goes in")
    return ValueNeed(low=2, high=5, why="a small size")


def _region(use: Use) -> ValueNeed | None:
    count = use.size or 0
    return _exactly([0.0] * (count // 2) + [1.0] * (count - count // 2), "the whole")


def _axes(use: Use) -> ValueNeed | None:
    """Axes that follow from the shapes on both sides, else the first ones."""
    count = 1 if use.size is None else use.size
    before, after = use.whole(0), use.whole(0, output=True)
    kind = use.node.op_type
    if kind == "Unsqueeze":
        return _exactly(_inserted(before, after, count), "from the declared output")
    if kind == "Squeeze":
        ones = [axis for axis, one in enumerate(before or ()) if one == 1]
        return _exactly((ones or list(range(count)))[:count], "axes of size one")
    if before is not None and after is not None and len(before) == len(after):
        changed = [axis for axis, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
        kept = [axis for axis in range(len(before)) if axis not in changed]
        return _exactly((changed + kept)[:count], "from the declared output")
    if before is not None and after is not None and len(before) - len(after) == count:
        return _exactly(_inserted(after, before, count), "from the declared output")
    return _exactly(range(count), "the first ones")


def _inserted(short: Sequence[int] | None, long: Sequence[int] | None, count: int) -> list[int]:
    """Where axes were put in between two shapes."""
    if short is None or long is None:
        return list(range(count))
    found, place = [], 0
    for axis, one in enumerate(long):
        if place < len(short) and short[place] == one and len(long) - axis > len(short) - place - 1:
            left = len(long) - axis - (len(short) - place)
            if left == 0 or one != 1:
                place += 1
                continue
        found.append(axis)
    return found[:count] if len(found) >= count else list(range(count))


def _start(use: Use) -> ValueNeed | None:
    return _exactly([0] * (use.size or 1), "from the beginning")


def _end(use: Use) -> ValueNeed | None:
    data, count = use.whole(0), use.size or 1
    after = use.whole(0, output=True)
    if after is not None and len(after) == count and all(after):
        return _exactly(after, "from the declared output")
    return _exactly((list(data) if data else [SOME])[:count] + [1] * max(0, count - len(data or [1])), "to the end")


def _step(use: Use) -> ValueNeed | None:
    return _exactly([1] * (use.size or 1), "one by one")


def _pads(use: Use) -> ValueNeed | None:
    before, after = use.whole(0), use.whole(0, output=True)
    count = use.size or 0
    if before and after and len(before) == len(after) and count == 2 * len(before):
        grown = [b - a for a, b in zip(before, after, strict=True)]
        half = [one // 2 for one in grown]
        return _exactly(half + [a - b for a, b in zip(grown, half, strict=True)], "from the declared output")
    return _exactly([1 if use.node.op_type == "Pad" else 0] * count, "one on every side")


def _how_many(use: Use) -> ValueNeed | None:
    """TopK's k."""
    axis = use.attribute("axis", -1)
    after = use.shape(0, output=True)
    size = after[axis] if after and -len(after) <= axis < len(after) and after[axis] else None
    inside = use.along(0, axis)
    return _exactly([size or min(SOME, inside or 1)], "from the declared output")


def _range(use: Use) -> ValueNeed | None:
    count = (use.shape(0, output=True) or (None,))[0] or 16
    return _exactly([(0, count, 1)[use.place]], "a short range")


def _split(use: Use) -> ValueNeed | None:
    axis = use.attribute("axis", 0)
    total, parts = use.along(0, axis), use.size or 1
    if use.node.op_type == "Split":
        sizes = [
            shape[axis]
            for place in range(len(use.node.output))
            if (shape := use.whole(place, output=True)) and -len(shape) <= axis < len(shape)
        ]
        if len(sizes) == parts and sum(sizes) == total:
            return _exactly(sizes, "from the declared outputs")
    if total is None:
        return None
    if use.node.op_type == "SplitToSequence" and use.shapes.get(use.node.input[1]) == ():
        return _exactly([max(1, total // 2)], "halves")
    return _exactly([total // parts] * (parts - 1) + [total - total // parts * (parts - 1)], "equal parts")


def _depth(use: Use) -> ValueNeed | None:
    after, axis = use.shape(0, output=True), use.attribute("axis", -1)
    size = after[axis] if after and -len(after) <= axis < len(after) else None
    return _exactly([size or 10], "a short table")


def _fixed(*values: float, why: str) -> Callable[[Use], ValueNeed | None]:
    return lambda use: _exactly(list(values) if use.size in (None, len(values)) else [values[0]], why)


def _between(low: float, high: float, why: str) -> Callable[[Use], ValueNeed | None]:
    return lambda use: ValueNeed(low=low, high=high, why=why)  # noqa: ARG005


def _positive(use: Use) -> ValueNeed | None:  # noqa: ARG001 # the signature of every rule
    return POSITIVE


def _rows_of(place: int) -> Callable[[Use], ValueNeed | None]:
    """Indices into the rows of another input."""

    def rule(use: Use) -> ValueNeed | None:
        size = use.along(place, 0)
        return _below(size, f"{use.node.op_type} takes indices below {size}")

    return rule


def _one_of(kind: str, attribute: str) -> Callable[[Use], ValueNeed | None]:
    """One of the values that an attribute lists."""

    def rule(use: Use) -> ValueNeed | None:
        for one in use.node.attribute:
            if one.name == attribute and (listed := list(getattr(one, kind))):
                if kind == "strings":
                    words = tuple(word.decode("utf-8", "replace") for word in listed)
                    return ValueNeed(words=words, why=f"words that {use.node.op_type} knows")
                return ValueNeed(values=tuple(listed), why=f"values that {use.node.op_type} knows")
        return None

    return rule


def _first_of(*rules: Callable[[Use], ValueNeed | None]) -> Callable[[Use], ValueNeed | None]:
    return lambda use: next((found for rule in rules if (found := rule(use)) is not None), None)


def _unpooled(use: Use) -> ValueNeed | None:
    """MaxUnpool's indices: places of the larger image, each once where that is known."""
    return _below(elements(use.shape(0)), "places of what was pooled")


def _image(use: Use) -> ValueNeed | None:
    """AffineGrid's size: batch, channels, and the grid that is declared as its output."""
    grid, batch = use.whole(0, output=True), use.along(0, 0) or 1
    inner = list(grid[1:-1]) if grid else [SOME] * ((use.size or 4) - 2)
    return _exactly([batch, 1, *inner], "a small image")


def _column_image(use: Use) -> ValueNeed | None:
    image = use.whole(0, output=True)
    return _exactly(image[2:], "from the declared output") if image else None


def _column_block(use: Use) -> ValueNeed | None:
    """A block that makes as many columns of as many values as there are."""
    columns, image = use.whole(0), use.whole(0, output=True)
    if columns is None or image is None:
        return None
    options = {one.name: list(one.ints) for one in use.node.attribute}
    inner = image[2:]
    strides, dilations = (options.get(name) or [1] * len(inner) for name in ("strides", "dilations"))
    pads = options.get("pads") or [0] * (2 * len(inner))
    for block in itertools.product(*(range(1, one + 1) for one in inner)):
        places = [
            (size + pads[axis] + pads[axis + len(inner)] - dilations[axis] * (block[axis] - 1) - 1) // strides[axis] + 1
            for axis, size in enumerate(inner)
        ]
        if math.prod(block) * image[1] == columns[1] and math.prod(places) == columns[2]:
            return _exactly(block, "what makes the columns that there are")
    return None


REDUCTIONS = tuple(
    f"Reduce{kind}" for kind in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")
)

RULES: dict[tuple[str, int], Callable[[Use], ValueNeed | None]] = {
    ("Gather", 1): _index,
    ("GatherElements", 1): _index,
    ("ArrayFeatureExtractor", 1): lambda use: _below(use.along(0, -1), "columns that there are"),
    ("GatherND", 1): _coordinates,
    ("ScatterElements", 1): _index,
    ("Scatter", 1): _index,
    ("ScatterND", 1): _coordinates,
    ("TensorScatter", 2): _fixed(0, why="from the beginning"),
    ("EmbedLayerNormalization", 0): _rows_of(2),
    ("EmbedLayerNormalization", 1): _rows_of(4),
    ("RotaryEmbedding", 3): _rows_of(1),
    ("OneHot", 1): _depth,
    ("SoftmaxCrossEntropyLoss", 1): _label,
    ("NegativeLogLikelihoodLoss", 1): _label,
    ("RNN", 4): _lengths(0),
    ("GRU", 4): _lengths(0),
    ("LSTM", 4): _lengths(0),
    ("ReverseSequence", 1): _lengths(0),
    ("Attention", 6): lambda use: ValueNeed(low=1, high=(use.along(1, -2) or 1) + 1, why="lengths that there are"),
    ("Reshape", 1): _result_shape,
    ("Expand", 1): _result_shape,
    ("ConstantOfShape", 0): _result_shape,
    ("AffineGrid", 1): _image,
    ("CenterCropPad", 1): _sizes,
    ("Col2Im", 1): _column_image,
    ("Col2Im", 2): _column_block,
    ("Tile", 1): _repeats,
    ("Upsample", 1): _scales,
    ("Resize", 1): _region,
    ("Resize", 2): _scales,
    ("Resize", 3): _sizes,
    ("Unsqueeze", 1): _axes,
    ("Squeeze", 1): _axes,
    **{(name, 1): _axes for name in REDUCTIONS},
    ("CumSum", 1): _fixed(0, why="the first axis"),
    ("CumProd", 1): _fixed(0, why="the first axis"),
    ("Slice", 1): _start,
    ("Slice", 2): _end,
    ("Slice", 3): lambda use: _exactly(range(use.size or 1), "the first axes"),
    ("Slice", 4): _step,
    ("Pad", 1): _pads,
    ("Pad", 3): lambda use: _exactly(range(use.size or 1), "the first axes"),
    ("TopK", 1): _how_many,
    ("Range", -1): _range,
    ("Split", 1): _split,
    ("SplitToSequence", 1): _split,
    ("Trilu", 1): _between(-1, 2, "near the diagonal"),
    ("Loop", 0): _fixed(5, why="five rounds"),
    ("Loop", 1): _fixed(1, why="go on"),
    ("SequenceAt", 1): _fixed(0, why="the first one"),
    ("SequenceErase", 1): _fixed(0, why="the first one"),
    ("SequenceInsert", 2): _fixed(0, why="the first one"),
    ("NonMaxSuppression", 2): _fixed(SOME, why="a few boxes"),
    ("NonMaxSuppression", 3): _between(0.4, 0.6, "a usual threshold"),
    ("NonMaxSuppression", 4): _fixed(0, why="every score"),
    ("RoiAlign", 2): _rows_of(0),
    ("MaxUnpool", 1): _unpooled,
    ("MaxUnpool", 2): lambda use: _exactly(use.whole(0, output=True) or (), "the shape of the declared output"),
    ("Dropout", 1): _between(0.1, 0.5, "a usual ratio"),
    ("Dropout", 2): _fixed(0, why="not in training"),
    ("Bernoulli", 0): _between(0, 1, "probabilities"),
    ("Multinomial", 0): _between(-1, 1, "log-probabilities"),
    ("BatchNormalization", 4): _positive,
    ("QuantizeLinear", 1): _positive,
    ("DequantizeLinear", 1): _positive,
    **{("QLinearConv", place): _positive for place in (1, 4, 6)},
    **{("QLinearMatMul", place): _positive for place in (1, 4, 6)},
    **{(name, 1): _between(1, 4, "a divisor that is not zero") for name in ("Div", "Mod")},
    ("BitShift", 1): _between(0, 8, "a few bits"),
    ("Pow", 1): _between(0, 3, "a small exponent"),
    ("DFT", 1): lambda use: _exactly([use.along(0, use.attribute("axis", 1)) or 8], "the length of the signal"),
    ("DFT", 2): _fixed(1, why="the axis behind the first"),
    ("STFT", 1): _fixed(8, why="a short step"),
    ("STFT", 3): lambda use: _exactly([min(16, use.along(0, 1) or 16)], "a short frame"),
    ("MelWeightMatrix", 0): _fixed(8, why="a few bins"),
    ("MelWeightMatrix", 1): _fixed(16, why="a short transform"),
    ("MelWeightMatrix", 2): _fixed(8192, why="a usual rate"),
    ("MelWeightMatrix", 3): _fixed(0, why="from zero"),
    ("MelWeightMatrix", 4): _fixed(4096, why="half the rate"),
    **{(name, 0): _fixed(10, why="a short window") for name in ("HannWindow", "HammingWindow", "BlackmanWindow")},
    ("CategoryMapper", 0): _first_of(_one_of("strings", "cats_strings"), _one_of("ints", "cats_int64s")),
    ("LabelEncoder", 0): _first_of(_one_of("strings", "keys_strings"), _one_of("ints", "keys_int64s")),
    ("OneHotEncoder", 0): _first_of(_one_of("strings", "cats_strings"), _one_of("ints", "cats_int64s")),
    ("TfIdfVectorizer", 0): _first_of(_one_of("strings", "pool_strings"), _one_of("ints", "pool_int64s")),
}
"""(operator, place of the input; -1 for any) -> what it needs there."""
