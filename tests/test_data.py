"""Data sources: real examples of the right shape, the same every time, and none in both splits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harness.data import base
from harness.errors import BuildError, Unsupported
from harness.records import InputSpec
from tests import specs

if TYPE_CHECKING:
    from harness.records import Json

PHOTO = InputSpec(name="input", dtype="float32", shape=("batch", 3, 32, 48))
DIGIT = InputSpec(name="image", dtype="float32", shape=("batch", 1, 8, 8))
TOKENS = tuple(
    InputSpec(name=name, dtype="int64", shape=("batch", "sequence"))
    for name in ("input_ids", "attention_mask", "token_type_ids")
)


def request(
    source: str,
    *inputs: InputSpec,
    calibration: int = 8,
    evaluation: int = 8,
    model: str = "torchvision",
    **options: Json,
) -> base.DataRequest:
    """What a model of source `model` asks of a data source."""
    return base.DataRequest(
        source=source,
        counts={"calibration": calibration, "evaluation": evaluation},
        model_source=model,
        task=None,
        inputs=inputs,
        dims={"sequence": 16},
        options=options,
    )


def arrays(asked: base.DataRequest, split: base.Split) -> list[bytes]:
    """Every example of a split as bytes, to compare."""
    return [b"".join(array.tobytes() for array in one.feed.values()) for one in base.stream(asked, split)]


CASES = [
    ("digits", (DIGIT,)),
    ("photos", (PHOTO,)),
    ("tokens", TOKENS),
    ("random", (PHOTO, *TOKENS)),
]


@pytest.mark.parametrize(("source", "inputs"), CASES)
def test_splits_are_stable_and_disjoint(source: str, inputs: tuple[InputSpec, ...]) -> None:
    """The same request gives the same examples, no example is in both splits, and counts do not move the others."""
    if source in ("digits", "photos"):
        pytest.importorskip("sklearn")
    asked = request(source, *inputs)
    calibration, evaluation = arrays(asked, "calibration"), arrays(asked, "evaluation")

    assert (8, 8) == (len(set(calibration)), len(set(evaluation)))
    assert set(calibration).isdisjoint(evaluation)
    assert calibration == arrays(asked, "calibration")
    assert evaluation[:4] == arrays(request(source, *inputs, calibration=2, evaluation=4), "evaluation")


def test_digits_hold_out_labelled_examples() -> None:
    """450 digits with all ten classes in equal parts are never among the 1347 that train and calibrate."""
    pytest.importorskip("sklearn")
    asked = request("digits", DIGIT, calibration=1347, evaluation=450)
    labels = [one.label for one in base.stream(asked, "evaluation")]

    assert min(np.bincount(np.array(labels, dtype=int))) >= 43
    assert len(set(labels[:30])) >= 8
    with pytest.raises(BuildError, match="has 450 evaluation examples and 451 were asked for"):
        arrays(request("digits", DIGIT, evaluation=451), "evaluation")


def test_photos_are_normalised_as_the_source_wants() -> None:
    """ImageNet's mean and deviation for classifiers, 0..1 for ultralytics, and real pixels either way."""
    pytest.importorskip("sklearn")
    unit = next(iter(base.stream(request("photos", PHOTO, model="ultralytics"), "evaluation"))).feed["input"]
    imagenet = next(iter(base.stream(request("photos", PHOTO), "evaluation"))).feed["input"]
    asked = next(iter(base.stream(request("photos", PHOTO, normalize="unit"), "evaluation"))).feed["input"]

    assert (0 <= unit.min(), unit.max() <= 1) == (True, True)
    assert unit.std() > 0.05
    np.testing.assert_allclose((unit[0, 0] - 0.485) / 0.229, imagenet[0, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(unit, asked)


def test_tokens_look_like_sentences() -> None:
    """[CLS] first, [SEP] last, padding behind it, a mask to match, and lengths that differ."""
    lengths = set()
    for one in base.stream(request("tokens", *TOKENS), "evaluation"):
        (ids,), (mask,) = one.feed["input_ids"], one.feed["attention_mask"]
        used = int(mask.sum())
        lengths.add(used)
        assert (101, 102) == (ids[0], ids[used - 1])
        assert ids[used:].tolist() == [0] * (16 - used)
        assert (ids[1 : used - 1] >= 1996).all()
    assert len(lengths) > 3


def test_words_of_a_decoder_fill_the_sequence() -> None:
    """Unframed, they are of the whole vocabulary, and past keys and values are normally distributed."""
    past = InputSpec(name="past_key_values.0.key", dtype="float32", shape=("batch", 2, 9, 64))
    ids = InputSpec(name="input_ids", dtype="int64", shape=("batch", 1))
    seen = set()
    for one in base.stream(request("tokens", ids, past, vocabulary=40, first=0, framed=False), "evaluation"):
        seen.add(int(one.feed["input_ids"][0, 0]))
        assert 0.8 < one.feed["past_key_values.0.key"].std() < 1.2
    assert len(seen) > 1
    assert seen < set(range(40))


@pytest.mark.parametrize("source", ["digits", "photos"])
def test_images_come_in_the_order_that_the_model_takes(source: str) -> None:
    """Channels first or last by the input's shape: the same pixels."""
    channels = 1 if source == "digits" else 3
    first, last = (channels, 8, 8), (8, 8, channels)
    both = [
        next(base.stream(request(source, InputSpec(name="x", dtype="float32", shape=("batch", *shape))), "evaluation"))
        for shape in (first, last)
    ]
    np.testing.assert_array_equal(both[0].feed["x"].transpose(0, 2, 3, 1), both[1].feed["x"])


def test_random_is_never_zeros() -> None:
    """Floats are normal, masks hold a one, and an integer range can be asked for."""
    mask = InputSpec(name="mask", dtype="bool", shape=("batch", 64))
    found = [*base.stream(request("random", PHOTO, mask, *TOKENS, low=5, high=9), "calibration")]
    assert found
    for one in found:
        assert 0.8 < one.feed["input"].std() < 1.2
        assert one.feed["mask"].any()
        assert {5, 6, 7, 8} >= set(one.feed["input_ids"].reshape(-1).tolist())


def test_random_refuses_what_it_cannot_draw() -> None:
    """Complex numbers are unsupported, by name."""
    with pytest.raises(Unsupported, match="cannot draw complex64"):
        arrays(request("random", InputSpec(name="z", dtype="complex64", shape=("batch", 2))), "calibration")


def test_images_of_a_folder(tmp_path: Path) -> None:
    """Images are fitted, labelled by their folder, split without overlap, and their content is in the digest."""
    image = pytest.importorskip("PIL.Image")
    for place in range(8):
        folder = tmp_path / ("cat" if place % 2 else "dog")
        folder.mkdir(exist_ok=True)
        image.new("RGB", (60 + place, 50), (place * 20, 0, 0)).save(folder / f"{place}.png")
    asked = request("images", PHOTO, calibration=4, evaluation=4, folder=str(tmp_path))
    before = base.request_digest(asked, "evaluation")
    examples = list(base.stream(asked, "evaluation"))
    image.new("RGB", (60, 50), (255, 255, 255)).save(tmp_path / "dog" / "0.png")

    assert (1, 3, 32, 48) == examples[0].feed["input"].shape
    assert {0, 1} >= {one.label for one in examples}
    assert set(arrays(asked, "calibration")).isdisjoint(arrays(asked, "evaluation"))
    assert before != base.request_digest(asked, "evaluation")
    with pytest.raises(BuildError, match="needs the option `folder`"):
        arrays(request("images", PHOTO), "evaluation")


def test_npz_of_the_user(tmp_path: Path) -> None:
    """Arrays by input name with labels: the first rows calibrate, the last evaluate, pickles are refused."""
    path = tmp_path / "mine.npz"
    rows = np.random.default_rng(0).standard_normal((6, 1, 8, 8)).astype(np.float32)
    np.savez(path, image=rows, labels=np.arange(6))
    asked = request("npz", DIGIT, calibration=2, evaluation=4, path=str(path))

    assert [0, 1] == [one.label for one in base.stream(asked, "calibration")]
    assert [2, 3, 4, 5] == [one.label for one in base.stream(asked, "evaluation")]
    with pytest.raises(BuildError, match="holds 6 examples and 7 are asked for"):
        arrays(request("npz", DIGIT, calibration=3, evaluation=4, path=str(path)), "evaluation")
    np.savez(path, picture=rows)
    with pytest.raises(BuildError, match="has no array `image`; it has picture"):
        arrays(asked, "evaluation")
    path.write_bytes(b"PK no zip")
    with pytest.raises(BuildError, match=r"cannot be read as .npz"):
        arrays(asked, "evaluation")


def test_examples_must_fit_the_model() -> None:
    """A wrong shape, an unknown source or option, and a dynamic axis without a size are named with what would do."""
    with pytest.raises(BuildError, match=r"gives no array for the input|feeds models with one input"):
        arrays(request("photos", PHOTO, *TOKENS), "evaluation")
    with pytest.raises(BuildError, match="did you mean 'photos'"):
        arrays(request("photo", PHOTO), "evaluation")
    with pytest.raises(BuildError, match=r"has no option `sed`. Valid: high, low, seed"):
        arrays(request("random", PHOTO, sed=1), "evaluation")
    with pytest.raises(BuildError, match="dynamic axis `width` and the zoo gives it no size"):
        arrays(request("random", InputSpec(name="x", dtype="float32", shape=("batch", "width"))), "evaluation")
    with pytest.raises(BuildError, match=r"gives float32 \[1, 8, 8\] for the input `image`, which takes .* \[64\]"):
        arrays(request("digits", InputSpec(name="image", dtype="float32", shape=("batch", 64))), "evaluation")


def shaped(*shapes: tuple[int | str, ...]) -> tuple[InputSpec, ...]:
    """Inputs a, b, ... of these shapes."""
    return tuple(InputSpec(name="abc"[place], dtype="float32", shape=shape) for place, shape in enumerate(shapes))


@pytest.mark.parametrize(
    ("shapes", "expected", "count"),
    [
        ([("batch", 3)], [(1, 3)], 8),
        ([("sequence", "batch", 5)], [(16, 1, 5)], 8),
        ([("batch", 3), (2, "batch", 4), ("batch",)], [(1, 3), (2, 1, 4), (1,)], 8),
        ([("batch", 3), (4,), ()], [(1, 3), (4,), ()], 8),  # constants beside a batch
        ([("n", 3)], [(1, 3)], 8),  # a file's own name of a first axis without a size
        ([("n", 3), ("m", 2)], [(1, 3), (1, 2)], 8),
        ([("sequence", 3)], [(16, 3)], 8),  # the zoo gives it a size: a feed as it is
        ([()], [()], 8),
        ([(2, 128), (1, 80)], [(2, 128), (1, 80)], 8),
        ([(1, 3)], [(1, 3)], 8),
        ([(4, 3)], [(4, 3)], 2),
        ([(3, 3), (3, 1)], [(3, 3), (3, 1)], 3),  # rounded up to whole feeds
    ],
)
def test_examples_are_whole_feeds(
    shapes: list[tuple[int | str, ...]], expected: list[tuple[int, ...]], count: int
) -> None:
    """The batch axis lies where it is declared and has the size of one; a fixed batch is filled with rows."""
    asked = request("random", *shaped(*shapes))
    feeds = [one.feed for one in base.stream(asked, "evaluation")]
    assert count == len(feeds) == base.feeds(asked, "evaluation")
    assert [dict(zip("abc", expected, strict=False))] * count == [
        {name: array.shape for name, array in feed.items()} for feed in feeds
    ]


def test_rows_of_a_fixed_batch_are_those_of_a_free_one() -> None:
    """Two feeds of four rows hold the eight examples, in order, with their labels."""
    pytest.importorskip("sklearn")
    free = list(base.stream(request("digits", DIGIT), "evaluation"))
    fixed = list(base.stream(request("digits", replace(DIGIT, shape=(4, 1, 8, 8))), "evaluation"))
    np.testing.assert_array_equal(
        np.concatenate([one.feed["image"] for one in free]), np.concatenate([one.feed["image"] for one in fixed])
    )
    assert [(4,), (4,)] == [one.label.shape for one in fixed]
    assert [one.label for one in free] == np.concatenate([one.label for one in fixed]).tolist()


def test_first_rows_are_joined_along_the_batch_axis() -> None:
    """Something to trace with: two examples where they can be joined, else one feed as it is."""
    model = replace(specs.file_model(Path("m.onnx")), dims={"sequence": 16})
    batched = base.first_rows(replace(model, inputs=shaped(("sequence", "batch", 5), ("batch",), (3,))))
    assert [(16, 2, 5), (2,), (3,)] == [array.shape for array in batched]
    assert not np.array_equal(batched[0][:, 0], batched[0][:, 1])
    assert [(16, 5), (2,)] == [
        array.shape for array in base.first_rows(replace(model, inputs=shaped(("sequence", 5), (2,))))
    ]
