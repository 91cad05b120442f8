"""harness.tasks.fidelity where one ratio would hide the truth: parts, types, structures, sizes, NaN, and scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.tasks import fidelity, parts, ranking, unordered
from harness.tasks.scores import find
from tests.evaluated import given

N = 12


def detector(seed: int = 0, *, fields_last: bool = False) -> list[Any]:
    """Boxes of 0..640 in four channels and three scores of 0..1 in one output, per example [1, 7, 40]."""
    rng = np.random.default_rng(seed)
    made = [np.concatenate([640 * rng.random((1, 4, 40)), rng.random((1, 3, 40))], axis=1) for _ in range(N)]
    return [one.swapaxes(1, 2) for one in made] if fields_last else made


def changed(reference: list[Any], place: Any, value: Any) -> list[Any]:
    """A copy whose values at `place` are others."""
    made = [one.copy() for one in reference]
    for one in made:
        one[place] = value(one[place]) if callable(value) else value
    return made


@pytest.mark.parametrize("fields_last", [False, True])
def test_dead_scores_beside_boxes(fields_last: bool) -> None:
    """The ratio over everything is fine; the scores are dead, named, and a fault."""
    reference = detector(fields_last=fields_last)
    place = np.s_[..., 4:] if fields_last else np.s_[:, 4:]
    found = fidelity.compare({"y": reference}, {"y": changed(reference, place, 0.0)})
    name = "field" if fields_last else "channel"
    assert found.sqnr_db is not None
    assert found.sqnr_db > 50
    assert found.centred_sqnr_db is not None
    assert found.centred_sqnr_db < 0
    assert f"y {name} 4" == found.worst
    assert (
        f"y {name} 4, y {name} 5, y {name} 6 are dead: each varies in the reference and is constant in the artifact",
    ) == found.faults


def test_one_dead_score_of_many_that_live() -> None:
    """A class that is lost is named, whatever the others do; so is a constant that is not zero."""
    reference = detector()
    found = fidelity.compare({"y": reference}, {"y": changed(reference, np.s_[:, 5], 0.37)})
    assert ("y channel 5 is dead: it varies in the reference and is constant in the artifact",) == found.faults


def test_a_noisy_field_of_another_scale_counts() -> None:
    """The ratio of the worst index stands for the whole where scales differ, and the rest stays as it is."""
    reference, rng = detector(), np.random.default_rng(1)
    noisy = changed(reference, np.s_[:, 6], lambda held: held + rng.normal(0, 0.3, held.shape))
    found = fidelity.compare({"y": reference}, {"y": noisy})
    assert "y channel 6" == found.worst
    assert 0 == pytest.approx(found.centred_sqnr_db, abs=1.5)
    assert () == found.faults
    whole, *rest = fidelity.parts({"y": reference}, {"y": noisy})
    assert whole.centred_sqnr_db is not None
    assert whole.centred_sqnr_db > 40
    assert [f"channel {index}" for index in range(7)] == [part.part for part in rest]


def test_equal_scales_have_one_ratio() -> None:
    """An ordinary output is compared as a whole: its number is that of all values."""
    rng = np.random.default_rng(2)
    reference = [rng.normal(0, 1, (1, 10)) for _ in range(N)]
    output = [one + rng.normal(0, 0.1, one.shape) for one in reference]
    (whole,) = fidelity.parts({"y": reference}, {"y": output})
    mean = np.mean(reference, axis=0)
    signal, noise = (sum(float((gap**2).sum()) for gap in gaps) for gaps in (
        [one - mean for one in reference], [one - other for one, other in zip(output, reference, strict=True)],
    ))  # fmt: skip
    assert 10 * np.log10(signal / noise) == pytest.approx(whole.centred_sqnr_db)


def test_scores_that_are_never_seen_are_not_dead() -> None:
    """Probabilities of a class that no example is of are near zero; that int8 makes them zero loses nothing."""
    rng = np.random.default_rng(3)
    reference = [rng.dirichlet([1, 1, 1, 1e-3])[None] for _ in range(N)]
    for one in reference:
        one[0, 3] = 1e-6 * rng.random()
    assert () == fidelity.compare({"y": reference}, {"y": changed(reference, np.s_[:, 3], 0.0)}).faults
    assert fidelity.compare({"y": reference}, {"y": changed(reference, np.s_[:, 0], 0.0)}).faults


def test_rounding_in_the_reference_is_no_variation() -> None:
    """A value that is constant but for float32's rounding may be constant."""
    rng = np.random.default_rng(4)
    reference = [np.stack([rng.normal(0, 1, 5), 1 + 1e-7 * rng.normal(0, 1, 5)])[None] for _ in range(N)]
    assert () == fidelity.compare({"y": reference}, {"y": changed(reference, np.s_[:, 1], 1.0)}).faults


def test_a_single_example_can_be_dead() -> None:
    """Nothing is centred, and an array that is flat where the reference is not is dead all the same."""
    reference = detector()[:1]
    found = fidelity.compare({"y": reference}, {"y": changed(reference, np.s_[:, 4:], 0.0)})
    assert found.centred_sqnr_db is None
    assert "y channel 4, y channel 5, y channel 6 are dead" in found.faults[0]


def test_a_second_output_of_class_numbers_changes_no_decibels() -> None:
    """Whole numbers have a share; the scores' decibels stay what they are alone."""
    rng = np.random.default_rng(5)
    scores = [rng.normal(0, 1, (1, 200)) for _ in range(N)]
    off = [one + rng.normal(0, 0.05, one.shape) for one in scores]
    ids, others = ([np.asarray(one.argmax(1)) for one in side] for side in (scores, off))
    alone = fidelity.compare({"s": scores}, {"s": off})
    both = fidelity.compare({"s": scores, "ids": ids}, {"s": off, "ids": others})
    assert alone.centred_sqnr_db == both.centred_sqnr_db
    assert np.mean([int(a[0] == b[0]) for a, b in zip(ids, others, strict=True)]) == both.equal
    assert ("", "s") == (alone.worst, both.worst)


@pytest.mark.parametrize("names", [np.arange(21), np.random.default_rng(7).permutation(21)])
def test_class_maps_do_not_depend_on_the_numbers_of_the_classes(names: Any) -> None:
    """Renumbering the classes changes nothing."""
    rng = np.random.default_rng(6)
    reference = [rng.integers(0, 21, (1, 16, 16)) for _ in range(N)]
    output = [np.where(rng.random(one.shape) < 0.1, (one + 1) % 21, one) for one in reference]
    found = fidelity.compare({"y": [names[one] for one in reference]}, {"y": [names[one] for one in output]})
    share = np.mean([(a == b).mean() for a, b in zip(reference, output, strict=True)])
    assert pytest.approx(share) == found.equal
    assert (None, None, None) == (found.centred_sqnr_db, found.max_abs, found.sqnr_db)


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.str_])
def test_other_types_are_equal_or_not(kind: Any) -> None:
    """Booleans, small numbers and text; equal ones are exact, and constant ones are dead."""
    reference = [np.array([place % 2, 1]).astype(kind) for place in range(N)]
    same = fidelity.compare({"y": reference}, {"y": reference})
    assert (0.0, 1.0) == (same.max_abs, same.equal)
    dead = fidelity.compare({"y": reference}, {"y": [reference[1]] * N})
    assert (0.75, None) == (dead.equal, dead.max_abs)
    assert "y is dead" in dead.faults[0]


def test_infinities_that_both_sides_have_are_equal() -> None:
    """Log-probabilities of forbidden tokens: exact against itself, and left out of the ratio elsewhere."""
    rng = np.random.default_rng(8)
    reference = [rng.normal(0, 1, (1, 30)) for _ in range(N)]
    for one in reference:
        one[0, [0, 3]], one[0, 7] = -np.inf, np.nan
    assert 0 == fidelity.compare({"y": reference}, {"y": reference}).max_abs
    off = [one + 0.1 * rng.normal(0, 1, one.shape) for one in reference]
    found = fidelity.compare({"y": reference}, {"y": off})
    assert 20 == pytest.approx(found.centred_sqnr_db, abs=1)
    assert (0, ()) == (found.unmatched, found.faults)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_infinities_of_one_side_are_counted_and_a_fault(value: float) -> None:
    """Also where they are the other infinity."""
    reference = [np.random.default_rng(place).normal(0, 1, (1, 30)) for place in range(N)]
    found = fidelity.compare({"y": reference}, {"y": changed(reference, np.s_[0, 2], value)})
    assert (N, (f"y: NaN or infinite on one side alone: {N} values",)) == (found.unmatched, found.faults)
    assert found.max_abs is None
    other = changed(reference, np.s_[0, 2], -np.inf)
    assert N == fidelity.compare({"y": other}, {"y": changed(reference, np.s_[0, 2], np.inf)}).unmatched


def test_rows_whose_number_depends_on_the_data() -> None:
    """Selected boxes of NMS: matched in any order, and what one side alone has is counted."""
    rng = np.random.default_rng(9)
    reference = [rng.integers(0, 50, (5 + place % 3, 3)) for place in range(N)]
    output = [one[::-1][1:] for one in reference]
    found = fidelity.one(reference, output, "selected")
    rows = sum(map(len, reference))
    assert pytest.approx((rows - N) / rows) == found.equal
    assert (N, None) == (found.unmatched, found.centred_sqnr_db)
    same = fidelity.one(reference, reference, "selected")
    assert (1.0, 0, 0.0) == (same.equal, same.unmatched, same.max_abs)


def test_boxes_whose_number_depends_on_the_data() -> None:
    """Floating-point rows are matched by what is nearest; a row that is missing is noise of its own size."""
    rng = np.random.default_rng(10)
    reference = [np.c_[640 * rng.random((6 + place % 4, 4)), rng.random(6 + place % 4)] for place in range(N)]
    close = [one[::-1] + [*[0.5] * 4, 0.0005] * rng.choice([-1, 1], one.shape) for one in reference]
    found = fidelity.compare({"y": reference}, {"y": close})
    assert found.centred_sqnr_db is not None
    assert found.centred_sqnr_db > 45
    assert 0 == found.unmatched
    fewer = fidelity.compare({"y": reference}, {"y": [one[1:] for one in close]})
    assert N == fewer.unmatched
    assert fewer.centred_sqnr_db is not None
    assert fewer.centred_sqnr_db < 15
    dead = fidelity.compare({"y": reference}, {"y": [np.c_[one[:, :4], 0 * one[:, 4]] for one in close]})
    assert "y field 4 is dead" in dead.faults[0]


def test_another_shape_is_an_error_where_sizes_do_not_depend_on_the_data() -> None:
    """Three fields in place of four in every example are another model."""
    with pytest.raises(ValueError, match=r"output `y` has shape \(1, 3\), the reference \(1, 4\)"):
        unordered.row_axis([np.ones((1, 4))] * 3, [np.ones((1, 3))] * 3, "y")


def test_empty_outputs() -> None:
    """Nothing detected on either side is equal, and no division by zero."""
    reference = [np.zeros((0, 4)), np.zeros((0, 4))]
    found = fidelity.compare({"y": reference}, {"y": reference})
    assert (0.0, 0, ()) == (found.max_abs, found.unmatched, found.faults)


def test_structures_are_compared_element_by_element() -> None:
    """A sequence of maps of probabilities, as skl2onnx's ZipMap writes: one array over the keys."""
    rng = np.random.default_rng(11)
    reference = [[dict(enumerate(rng.dirichlet([1, 1, 1])))] for _ in range(N)]
    assert 0 == fidelity.compare({"p": reference}, {"p": reference}).max_abs
    off = [[{key: value + 0.01 * rng.normal() for key, value in one[0].items()}] for one in reference]
    found = fidelity.parts({"p": reference}, {"p": off})
    assert ["p[0]"] == [fidelity.label(one) for one in found if not one.part.endswith("field 0")][:1]
    assert 25 == pytest.approx(found[0].centred_sqnr_db, abs=6)
    lost = [[{key: value for key, value in one[0].items() if key}] for one in reference]
    with pytest.raises(ValueError, match=r"`p\[0\]` has shape \(2,\)"):
        fidelity.compare({"p": reference}, {"p": lost})


def test_what_one_side_of_a_structure_lacks_is_a_fault() -> None:
    """An optional without a value, and a sequence that is shorter."""
    reference = [[np.arange(3.0) + place, np.arange(2.0) + place] for place in range(4)]
    found = fidelity.compare({"s": reference}, {"s": [one[:1] for one in reference]})
    assert (8, ("s[1]: on one side alone: 8 values",)) == (found.unmatched, found.faults)
    none = fidelity.compare({"o": [None, None]}, {"o": [np.zeros(2), np.zeros(2)]})
    assert 4 == none.unmatched
    assert none.faults


def test_random_outputs_have_no_fidelity_and_say_why() -> None:
    """The others have theirs."""
    rng = np.random.default_rng(12)
    y, z = ([rng.normal(0, 1, (1, 5)) for _ in range(N)] for _ in range(2))
    found = fidelity.compare({"y": y, "z": z}, {"y": y[::-1], "z": [one + 0.1 for one in z]}, random=("y",))
    assert "`y` is random: two runs of the reference differ" == found.reason
    assert 20 == pytest.approx(found.centred_sqnr_db, abs=2)
    only = fidelity.compare({"y": y}, {"y": y[::-1]}, random=("y",))
    assert (None, None, None) == (only.centred_sqnr_db, only.max_abs, only.equal)


def test_the_best_scores_are_still_the_best() -> None:
    """Nothing but zeros has what chance has; the same order has all."""
    scores = np.random.default_rng(13).random((1, 100))
    assert 1 == ranking.overlap(scores, scores**3)
    assert 0.1 == pytest.approx(ranking.overlap(scores, np.zeros_like(scores)))
    assert 0 == ranking.overlap(scores, -scores)
    assert ranking.overlap(scores[:, :3], scores[:, :3]) is None
    reference = detector()
    kept = fidelity.compare({"y": reference}, {"y": changed(reference, np.s_[:, 4:], lambda held: held / 2)})
    assert 1 == kept.rank


def test_names_of_places() -> None:
    """The last axis has fields, axis 1 channels."""
    assert ["field 3", "channel 3", "index 3 of axis 2"] == [parts.name(axis, 4, 3) for axis in (3, 1, 2)]


ROWS = [np.eye(3, dtype=np.float32)[[place % 3]] for place in range(6)]
LABELS = [0, 1, 2, 0, 1, 2]


def test_the_only_row_of_scores_is_found() -> None:
    """Beside a label output and features of another length."""
    features = [np.ones((1, 7), np.float32)] * 6
    held = given({"features": features, "logits": ROWS}, labels=LABELS)
    assert "logits" == (found := find(held)).name  # type: ignore[union-attr]  # there is one
    assert "scores are those of output `logits`" == found.note  # type: ignore[union-attr]
    ids = [np.array([label]) for label in LABELS]
    assert "p" == find(given({"label": ids, "p": ROWS}, labels=LABELS)).name  # type: ignore[union-attr]


def test_several_that_fit_are_asked_about() -> None:
    """Never guessed; named in the zoo it is taken; without labels there is nothing to ask."""
    more = {"a": [np.ones((1, 7), np.float32)] * 6, "b": [np.ones((1, 9), np.float32)] * 6}
    with pytest.raises(
        ValueError, match=r"`a` \[1, 7\], `b` \[1, 9\]. Name it in the zoo: `outputs: \{scores: NAME\}`"
    ):
        find(given(more, labels=LABELS))
    assert find(given(more)) is None
    assert "b" == find(given(more, labels=LABELS, scores="b")).name  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="no output `c`"):
        find(given(more, labels=LABELS, scores="c"))


@pytest.mark.parametrize("shape", [(1, 1), (1,), ()])
@pytest.mark.parametrize(("values", "kind"), [((0.2, 0.9, 0.4, 0.6), "probability"), ((-3.0, 2.0, -0.1, 0.1), "logit")])
def test_one_number_is_binary(shape: tuple[int, ...], values: tuple[float, ...], kind: str) -> None:
    """Probabilities from 0.5 and logits from 0 are class 1; column 0 is never the whole truth."""
    held = [np.full(shape, value, np.float32) for value in values]
    found = find(given({"y": held}, labels=[0, 1, 0, 1]))
    assert found is not None
    assert (kind, [0, 1, 0, 1]) == (found.kind, found.classes(held))
    assert kind in found.note
    with pytest.raises(ValueError, match="no output is a row of scores for these labels"):
        find(given({"y": held}, labels=[0, 1, 2, 1]))


def test_one_number_beside_features_is_asked_about() -> None:
    """Thirty features would be thirty classes, of which the labels name two."""
    held = {"features": [np.ones((1, 30), np.float32)] * 4, "p": [np.full((1, 1), 0.3, np.float32)] * 4}
    with pytest.raises(ValueError, match="more than one output could be the scores"):
        find(given(held, labels=[0, 1, 0, 1]))


def test_classes_as_an_output() -> None:
    """Whole numbers or words, where nothing else fits."""
    words = [np.array(["cat"]), np.array(["dog"])]
    found = find(given({"label": words, "p": [[{"cat": 1.0, "dog": 0.0}]] * 2}, labels=["cat", "dog"]))
    assert found is not None
    assert ("class", ["cat", "dog"]) == (found.kind, found.classes(words))


def test_labels_beyond_the_scores() -> None:
    """A label that no score stands for is a mistake in the data."""
    with pytest.raises(ValueError, match="labels up to 3"):
        find(given({"y": ROWS}, labels=[0, 1, 2, 3, 1, 2]))
