"""harness.gate.checks.quality: both artifacts' outputs on the same data, example by example."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from harness.errors import WorkerError, WorkerRefusal
from harness.gate.checks import fidelity, quality
from harness.gate.checks.quality import EvaluatedOutputs, Quality
from harness.gate.model import Contender, Finding, GateSettings, Match, Verdict
from harness.gate.timing.rounds import Broken
from harness.measure.coordinator import Observed
from harness.records import Artifact, Budget, RuntimeInfo
from harness.tasks.base import Evaluated
from tests import outcomes, pairs

OBSERVED = Observed(
    kernels={"Conv": 1}, time_share={}, arithmetic={}, runtime=RuntimeInfo(name="onnxruntime", version="1.31.1")
)
SETTINGS = GateSettings()
N = 200
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, N)
SURE = np.eye(4, dtype=np.float32)[LABELS] * 5 + RNG.normal(0, 0.3, (N, 4)).astype(np.float32)


NO_KERNEL = WorkerRefusal("not_implemented", "no kernel")


def wrong(count: int) -> Any:
    """Scores whose first `count` examples are wrong."""
    scores = SURE.copy()
    scores[:count] = np.eye(4, dtype=np.float32)[(LABELS[:count] + 1) % 4] * 5
    return scores


def given(scores: Any, reference: Any, labels: Any = None) -> Evaluated:
    """Answers of one output, in memory: scores [examples, classes] as one [1, classes] array for each example."""
    return Evaluated(
        outputs={"y": [row[None] for row in scores]}, reference={"y": [row[None] for row in reference]}, labels=labels
    )


def outputs(scores: Any, *, labelled: bool = True) -> EvaluatedOutputs:
    """What a side computed."""
    return EvaluatedOutputs(given=given(scores, SURE, labels=LABELS if labelled else None), observed=OBSERVED)


def compared(base: Any, head: Any, *, labelled: bool = True, **budget: Any) -> Quality:
    """Compare two sides' outputs under a budget; an exception in place of scores is raised."""
    case = outcomes.case()
    case = dataclasses.replace(case, model=dataclasses.replace(case.model, budget=Budget(**budget)))
    match = Match(name="a", base=pairs.contender("base", case=case), head=pairs.contender("head", case=case))

    def run(contender: Contender) -> EvaluatedOutputs:
        given = base if contender.side.role == "base" else head
        if isinstance(given, Exception):
            raise given
        return outputs(given, labelled=labelled)

    return quality.compare(match, SETTINGS, run)


def of(found: Quality, metric: str) -> Finding:
    """The finding of a metric."""
    return next(one for one in found.findings if one.metric == metric)


def test_same_outputs_pass() -> None:
    """Identical outputs lose nothing and say so."""
    found = compared(SURE, SURE)
    assert {"accuracy", "fidelity"} == {one.metric for one in found.findings}
    assert {Verdict.PASS} == {one.verdict for one in found.findings}
    assert {"base", "head"} == set(found.observed)


@pytest.mark.parametrize(
    ("lost", "budget", "verdict"),
    [
        (1, {}, Verdict.PASS),  # half a point; one point is allowed where the zoo says nothing
        (4, {}, Verdict.INCONCLUSIVE),  # two points, and too few examples to exclude one
        (30, {}, Verdict.REGRESSION),
        (4, {"accuracy_drop": 0.05}, Verdict.PASS),
        (30, {"accuracy_drop": 0.05}, Verdict.REGRESSION),
        (4, {"accuracy_share": 0.99}, Verdict.INCONCLUSIVE),
        (30, {"accuracy_share": 0.99}, Verdict.REGRESSION),
        (4, {"accuracy_share": 0.95}, Verdict.PASS),
    ],
)
def test_accuracy_against_the_margin(lost: int, budget: Any, verdict: Verdict) -> None:
    """The margin comes from the zoo: points or a share of the reference; beyond it, few examples cannot say."""
    found = of(compared(SURE, wrong(lost), **budget), "accuracy")
    assert verdict is found.verdict
    assert f"{lost} of 200 examples newly wrong" in found.sentence
    assert 1.0 == found.base
    assert pytest.approx(1 - lost / N) == found.head


def test_interval_beyond_the_margin_is_in_the_sentence() -> None:
    """A drop within the margin passes on these data; where the interval reaches beyond, the sentence has it."""
    near, far = of(compared(SURE, wrong(1)), "accuracy"), of(compared(SURE, wrong(1), accuracy_drop=0.1), "accuracy")
    assert Verdict.PASS is near.verdict is far.verdict
    assert "95% interval -2.78 to +1.39 points" in near.sentence
    assert "interval" not in far.sentence


def test_open_accuracy_says_what_would_help() -> None:
    """Too few examples: the sentence has the drop that so many would show."""
    found = of(compared(SURE, wrong(4)), "accuracy")
    assert "; 200 examples can only show a drop of 3 points or more" in found.sentence


def test_accuracy_gained() -> None:
    """More right answers than before are an improvement."""
    assert Verdict.IMPROVEMENT is of(compared(wrong(30), SURE), "accuracy").verdict


def test_nothing_may_be_lost_with_a_margin_of_zero() -> None:
    """At a margin of zero McNemar's exact test decides; a single flip is open."""
    assert Verdict.REGRESSION is of(compared(SURE, wrong(8), accuracy_drop=0.0), "accuracy").verdict
    assert Verdict.INCONCLUSIVE is of(compared(SURE, wrong(1), accuracy_drop=0.0), "accuracy").verdict


@pytest.mark.parametrize(
    ("noise", "budget", "verdict"),
    [
        (0.001, {}, Verdict.PASS),
        (0.5, {}, Verdict.REGRESSION),
        (0.5, {"fidelity_db": 1.0}, Verdict.PASS),
        (0.5, {"fidelity_db": 20.0}, Verdict.REGRESSION),
    ],
)
def test_fidelity(noise: float, budget: Any, verdict: Verdict) -> None:
    """Without labels fidelity counts: falling through the zoo's floor, or by more than is allowed without one."""
    base = SURE + RNG.normal(0, 0.001, SURE.shape)
    head = SURE + RNG.normal(0, noise, SURE.shape)
    found = of(compared(base, head, labelled=False, **budget), "fidelity")
    assert verdict is found.verdict
    assert found.base is not None
    assert found.head is not None
    assert "dB" == found.unit


def test_fidelity_gives_way_to_labels() -> None:
    """Where labels say that nothing was lost, distance from the reference is reported and fails nothing."""
    found = compared(SURE, SURE + RNG.normal(0, 0.5, SURE.shape))
    assert Verdict.PASS is of(found, "fidelity").verdict


def test_base_already_below_the_floor() -> None:
    """A floor that base misses as well is not a regression of head, unless head got worse by itself."""
    bad = SURE + RNG.normal(0, 2.0, SURE.shape)
    assert Verdict.PASS is of(compared(bad, bad, labelled=False, fidelity_db=20.0), "fidelity").verdict
    worse = SURE + RNG.normal(0, 9.0, SURE.shape)
    assert Verdict.REGRESSION is of(compared(bad, worse, labelled=False, fidelity_db=20.0), "fidelity").verdict


@pytest.mark.parametrize(
    ("base", "head", "unsupported", "observed", "said"),
    [
        (SURE, WorkerError("the worker died"), (), {"base"}, "head: the worker died"),
        (WorkerError("the worker died"), SURE, (), {"head"}, "base: the worker died"),
        (NO_KERNEL, NO_KERNEL, ("base", "head"), set(), "base: no kernel; head: no kernel"),
        (SURE, WorkerRefusal("provider", "no CUDA"), ("head",), {"base"}, "head: no CUDA"),
        (WorkerRefusal("memory", "none"), NO_KERNEL, (), set(), "base: none; head: no kernel"),
        (SURE, FileNotFoundError("gone"), (), {"base"}, "head: gone"),
    ],
)  # fmt: skip
def test_sides_without_outputs(
    base: Any, head: Any, unsupported: tuple[str, ...], observed: set[str], said: str
) -> None:
    """Every side that breaks is named; only where all that broke is a missing kernel it counts as unsupported."""
    found = compared(base, head)
    assert Broken(reason=said, unsupported=unsupported) == found.broken
    assert observed == set(found.observed)
    assert () == found.findings


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (SURE[:, :3], "output `y` has shape (1, 3), the reference (1, 4)"),
        (SURE[:1], "output `y` has 1 examples, the reference 200"),
    ],
    ids=["shape", "count"],
)
def test_outputs_that_cannot_be_compared(bad: Any, said: str) -> None:
    """Another shape fails the case, with the reason; both sides have run."""
    found = compared(SURE, bad, labelled=False)
    assert Broken(reason=said) == found.broken
    assert ({"base", "head"}, ()) == (set(found.observed), found.findings)


def test_labels_that_do_not_fit_the_scores() -> None:
    """What the task cannot compare fails the case with the task's own reason."""
    found = compared(SURE, np.stack([SURE, SURE], axis=1))
    assert found.broken is not None
    assert "output `y` has shape (1, 2, 4): no row of scores for each example" in found.broken.reason


def test_key_leaves_threads_out() -> None:
    """Neither threads nor batch change outputs; the runtime does."""
    one = pairs.contender("base")
    more = pairs.contender("base", case=outcomes.case(intra_threads=2, batch=4))
    assert quality.key(one) == quality.key(more)
    assert quality.key(one) != quality.key(pairs.contender("base", worker=("other",)))


def test_single_example_has_no_fidelity() -> None:
    """The centre of one example is the example."""
    one = given(SURE[:1], SURE[:1])
    assert [] == fidelity.fidelity(pairs.contender("head"), one, one, SETTINGS)


def test_a_changed_file_is_held_against_the_bases_outputs() -> None:
    """A file is its own reference, so that a worse one would always be true to itself."""
    other = SURE + np.float32(3.0) * RNG.normal(0, 1, SURE.shape).astype(np.float32)
    base, head = pairs.contender("base", case=outcomes.case()), pairs.contender("head", case=outcomes.case())

    def own(contender: Contender) -> EvaluatedOutputs:
        scores = SURE if contender.side.role == "base" else other
        return EvaluatedOutputs(given=given(scores, scores), observed=OBSERVED)

    assert isinstance(base.built, Artifact)
    assert isinstance(head.built, Artifact)
    weights = [dataclasses.replace(base.built.weights, kind="file", digest=name) for name in "ab"]
    base = dataclasses.replace(base, built=dataclasses.replace(base.built, weights=weights[0]))
    head = dataclasses.replace(head, built=dataclasses.replace(head.built, weights=weights[1]))
    assert (
        Verdict.REGRESSION
        == of(quality.compare(Match(name="a", base=base, head=head), SETTINGS, own), "fidelity").verdict
    )
    same = dataclasses.replace(head, built=base.built)
    assert Verdict.PASS == of(quality.compare(Match(name="a", base=base, head=same), SETTINGS, own), "fidelity").verdict


def test_outputs_of_a_changed_file_meet_by_position() -> None:
    """An exporter that calls an output something else has not changed what it computes."""
    base = given(SURE, SURE)
    renamed = dataclasses.replace(base, outputs={"logits": base.outputs["y"]}, reference={"logits": base.outputs["y"]})
    assert ["logits"] == list(quality.against(renamed, base).reference)
    assert base.reference["y"] is quality.against(renamed, base).reference["logits"]


def test_a_renamed_output_of_the_same_weights_is_compared() -> None:
    """Each side is true to its own reference; the renamed output lost, and under another name that is a loss too."""
    base, head = pairs.contender("base", case=outcomes.case()), pairs.contender("head", case=outcomes.case())

    def own(contender: Contender) -> EvaluatedOutputs:
        if contender.side.role == "base":
            return EvaluatedOutputs(given=given(SURE + RNG.normal(0, 0.001, SURE.shape), SURE), observed=OBSERVED)
        worse = SURE + RNG.normal(0, 0.1, SURE.shape)
        renamed = dataclasses.replace(
            given(worse, SURE), outputs={"logits": list(worse[:, None])}, reference={"logits": list(SURE[:, None])}
        )
        return EvaluatedOutputs(given=renamed, observed=OBSERVED)

    found = quality.compare(Match(name="a", base=base, head=head), SETTINGS, own)
    assert [("fidelity", Verdict.REGRESSION)] == [(one.metric, one.verdict) for one in found.findings]


def test_outputs_of_another_shape_are_set_apart() -> None:
    """What can be compared is: an output that is wider, or gone, does not fail the run."""
    base = given(SURE, SURE)
    both = dataclasses.replace(base, outputs={**base.outputs, "z": base.outputs["y"]})
    both = dataclasses.replace(both, reference=both.outputs)
    wide = dataclasses.replace(both, outputs={**both.outputs, "z": [np.zeros((1, 6), np.float32)] * N})
    rest, findings = quality.comparable(quality.against(wide, both))
    assert (["y"], ["y"]) == (list(rest.outputs), list(rest.reference))
    said = "fidelity cannot be compared where outputs changed: output `z` has shape (1, 6), base (1, 4)"
    assert [(Verdict.INCONCLUSIVE, said)] == [(one.verdict, one.sentence) for one in findings]

    rest, findings = quality.comparable(quality.against(base, both))
    assert (["y"], ["y"]) == (list(rest.outputs), list(rest.reference))
    assert "head has no output `z`" in findings[0].sentence
    assert (base, ()) == quality.comparable(base)


def test_fidelity_between_different_weights_is_not_compared() -> None:
    """Each side is close to weights of its own; with labels, accuracy is compared as ever."""
    base, head = pairs.contender("base", case=outcomes.case()), pairs.contender("head", case=outcomes.case())
    assert isinstance(head.built, Artifact)
    weights = dataclasses.replace(head.built.weights, digest="cccccccccccc")
    head = dataclasses.replace(head, built=dataclasses.replace(head.built, weights=weights))

    def own(contender: Contender) -> EvaluatedOutputs:
        scores = SURE if contender.side.role == "base" else wrong(40)
        return EvaluatedOutputs(given=given(scores, scores, LABELS), observed=OBSERVED)

    found = quality.compare(Match(name="a", base=base, head=head), SETTINGS, own)
    assert [("accuracy", Verdict.REGRESSION)] == [(one.metric, one.verdict) for one in found.findings]


def detections(scores: Any, boxes_noise: float = 0.0) -> EvaluatedOutputs:
    """Boxes of 0..640 beside scores of 0..1 in one output, without labels."""
    rng = np.random.default_rng(1)
    reference = [np.concatenate([640 * rng.random((1, 4, 30)), rng.random((1, 4, 30))], axis=1) for _ in range(20)]
    made = [one.copy() for one in reference]
    for one in made:
        one[:, :4] += boxes_noise * rng.normal(0, 1, one[:, :4].shape)
        one[:, 4:] = scores(one[:, 4:])
    return EvaluatedOutputs(given=Evaluated(outputs={"y": made}, reference={"y": reference}), observed=OBSERVED)


def judged(base: EvaluatedOutputs, head: EvaluatedOutputs, **budget: Any) -> Finding:
    """The finding on fidelity of two sides."""
    case = outcomes.case()
    case = dataclasses.replace(case, model=dataclasses.replace(case.model, task="detection", budget=Budget(**budget)))
    match = Match(name="a", base=pairs.contender("base", case=case), head=pairs.contender("head", case=case))
    run = {"base": base, "head": head}
    return of(quality.compare(match, SETTINGS, lambda contender: run[contender.side.role]), "fidelity")


@pytest.mark.parametrize("budget", [{}, {"fidelity_db": 20.0}, {"fidelity_db": -90.0}])
def test_dead_scores_are_a_regression_though_the_boxes_got_better(budget: Any) -> None:
    """Whatever the budget: the ratio over everything rose, and every score is zero."""
    found = judged(detections(lambda held: held, boxes_noise=30.0), detections(lambda held: 0 * held), **budget)
    assert Verdict.REGRESSION is found.verdict
    assert "y channel 4, y channel 5, y channel 6 and 1 more are dead" in found.sentence


def test_dead_on_both_sides_is_no_news() -> None:
    """What base did not compute either, head did not break."""
    dead = detections(lambda held: 0 * held)
    assert Verdict.PASS is judged(dead, dead).verdict


def test_a_part_that_got_worse_is_named() -> None:
    """Scores lose half of their accuracy beside boxes that stay as they are."""
    rng = np.random.default_rng(3)
    head = detections(lambda held: held + rng.normal(0, 0.1, held.shape))
    found = judged(detections(lambda held: held + rng.normal(0, 0.01, held.shape)), head)
    assert Verdict.REGRESSION is found.verdict
    assert " at y channel " in found.sentence


def whole(share: float) -> EvaluatedOutputs:
    """A map of class numbers of which a share is the reference's."""
    rng = np.random.default_rng(4)
    reference = [rng.integers(0, 9, (1, 20, 20)) for _ in range(20)]
    made = [np.where(rng.random(one.shape) < share, one, (one + 1) % 9) for one in reference]
    return EvaluatedOutputs(given=Evaluated(outputs={"y": made}, reference={"y": reference}), observed=OBSERVED)


@pytest.mark.parametrize(
    ("share", "budget", "verdict"),
    [
        (1.0, {}, Verdict.PASS),
        (0.9, {}, Verdict.REGRESSION),
        (0.9, {"fidelity_equal": 0.8}, Verdict.PASS),
        (0.9, {"fidelity_equal": 0.95}, Verdict.REGRESSION),
    ],
)
def test_whole_numbers_are_judged_by_their_share(share: float, budget: Any, verdict: Verdict) -> None:
    """Never in decibels."""
    found = judged(whole(1.0), whole(share), **budget)
    assert (verdict, "fraction") == (found.verdict, found.unit)
    assert "dB" not in found.sentence


def test_random_outputs_are_not_compared() -> None:
    """Noise against noise says nothing of a change."""
    rng = np.random.default_rng(5)
    sides = [
        Evaluated(
            outputs={"y": list(rng.normal(0, 1, (9, 1, 4)))}, reference={"y": list(SURE[:9, None])}, random=("y",)
        )
        for _ in "ab"
    ]
    assert [] == fidelity.fidelity(pairs.contender("head"), sides[0], sides[1], SETTINGS)


def test_no_number_in_head_alone_is_a_regression() -> None:
    """A single NaN, whatever the ratio of the rest."""
    broken = SURE.copy()
    broken[3, 1] = np.nan
    found = of(compared(SURE, broken, labelled=False, fidelity_db=1.0), "fidelity")
    assert Verdict.REGRESSION is found.verdict
    assert "y: NaN or infinite on one side alone: 1 value" in found.sentence
