"""Tuning: what is tried, how it is narrowed down, what is recommended, and what is written into a zoo."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from harness import zoo as zoos
from harness.build.pipeline import BuildEvent
from harness.cli.tune import default_case, starting_from
from harness.cli.tuned import none_keeps, sentences, tables
from harness.confirmation import CONFIRMED, ConfirmedChoice
from harness.errors import UsageError
from harness.explain import leaving
from harness.explain.cases import changed
from harness.explain.model import LayerLoss
from harness.explain.names import on_integers
from harness.flow.confirm import ConfirmJob, confirm_choice, per_example
from harness.flow.execute import Job
from harness.flow.preview import SweepSettings
from harness.flow.session import key
from harness.processes import OutOfTime, left_s
from harness.records import Block, Budget, Case, MetricLimit, MetricValue, Recipe, Refusal, SideSamples, Status, Step
from harness.tune import figure, layers, recipes, settings, tune, write
from harness.tune.clock import TuneClock
from harness.tune.model import TimedBuild, TriedBuild, TuneCandidate, Tuned
from harness.tune.racing import better_than, going_on
from harness.tune.request import SearchSpace, TuneRequest
from harness.tune.trying import STOPPED, BuildTrials
from tests import outcomes
from tests.conftest import Project, take_over

STATIC = Recipe(
    name="int8",
    precision="int8",
    steps=(
        Step(kind="export"),
        Step(kind="fuse", options={"level": "basic"}),
        Step(kind="quantize", options={"method": "static", "exclude": ["head"]}),
    ),
)


# --- what is tried ---------------------------------------------------------------------------


@pytest.mark.parametrize("needed", [1, 2, 3, 7, 8, 9, 20])
def test_the_fewest_layers_are_found(needed: int) -> None:
    """Whatever number keeps the budget, in about twice its logarithm of builds."""
    asked: list[int] = []

    def keeps(count: int) -> bool:
        asked.append(count)
        return count >= needed

    assert needed == layers.fewest(20, keeps)
    assert len(asked) <= 10


def test_layers_that_never_keep_it_or_a_clock_that_ends_give_none() -> None:
    """All of them do not, or the time is over before any did."""
    assert layers.fewest(5, lambda _: False) is None
    assert layers.fewest(5, lambda _: None) is None
    kept: Iterator[bool | None] = iter([False, False, True, None])
    assert 4 == layers.fewest(9, lambda _: next(kept))


def test_layers_are_ordered_by_noise_for_time() -> None:
    """Of two equally noisy layers the one that costs less in float comes first; the silent one never."""
    loss = LayerLoss
    found = [loss(layer="dear", operator="Conv", score=1.0), loss(layer="cheap", operator="Conv", score=1.0),
             loss(layer="silent", operator="Conv")]  # fmt: skip
    times, floats = {"dear": 1.0, "cheap": 1.0}, {"dear": 6.0, "cheap": 1.1}
    assert ("cheap", "dear") == layers.by_worth(found, times, floats, 10.0)


def test_variations_change_one_thing_and_are_recipes_of_their_own() -> None:
    """Each differs from the recipe and from every other one; what a person excluded stays excluded."""
    found = [STATIC, *(recipe for recipe, _ in recipes.variations(STATIC, ["x86_64", "avx2"]))]
    assert len(found) == len(recipes.distinct([(recipe, "") for recipe in found]))
    assert len(found) == len({recipe.name for recipe in found})
    assert {"int8.entropy", "int8.operators", "int8.full-range", "int8.unslimmed"} <= {one.name for one in found}
    assert all(one.steps[-1].options["exclude"] == ["head"] for one in found)


def test_what_only_chooses_other_numbers_is_told_from_what_may_be_faster() -> None:
    """What is quick to make comes first; other ranges make the same graph not faster."""
    half = recipes.half_samples(STATIC, 8)
    assert half is not None
    closer, faster = recipes.apart([*recipes.variations(STATIC, ["avx512_vnni"]), half], STATIC)
    assert ["full-range", "half-samples", "percentile", "entropy"] == [one.name.split(".")[-1] for one, _ in closer]
    assert {"int8.per-tensor", "int8.compute-only", "int8.operators", "int8.s8s8"} <= {one.name for one, _ in faster}


def test_of_the_zoo_s_builds_the_most_promising_come_first() -> None:
    """Where the time ends early there is a float one, and the quantized ones, before what rarely pays."""
    floats = [Recipe(name=name, precision=name, steps=(Step(kind="export"),)) for name in ("fused", "fp16", "bf16")]
    quantized = [changed(STATIC, {"method": method}, method) for method in ("weights", "dynamic", "static")]
    found = recipes.promising([(one, "") for one in [*floats, *quantized]])
    assert ["fused", "static", "dynamic", "weights", "fp16", "bf16"] == [one.name for one, _ in found]


def test_reduced_ranges_are_tried_where_products_overflow() -> None:
    """The default has 7 bits already; a recipe with 8 is tried with 7 on AVX2, and not where VNNI is."""
    eight = changed(STATIC, {"reduce_range": False}, "int8")
    names = [{recipe.name for recipe, _ in recipes.variations(eight, isa)} for isa in (["avx2"], ["avx512_vnni"])]
    assert "int8.reduced-range" in names[0]
    assert "int8.reduced-range" not in names[1]


def test_more_layers_are_added_to_those_that_stay_in_float() -> None:
    """A model's own exclusions are kept."""
    assert ["head", "neck"] == changed(STATIC, {"exclude": ["neck"]}, "new").steps[-1].options["exclude"]


@pytest.fixture
def case(project: Project) -> Case:
    """The small project's baseline on one thread."""
    return default_case(zoos.load(project.root / "model_zoo.yaml"), "tiny", "cpu-t2")[0]


def test_layers_that_integers_slow_are_those_that_run_on_integers(case: Case) -> None:
    """Where they lose enough together to be worth another build; what floats anyway is none of them."""
    spent, plain = {"slow": 2.0, "same": 1.0, "float": 3.0}, {"slow": 1.0, "same": 1.0, "float": 1.0}
    found = layers.LayerTimes(
        artifact=outcomes.artifact(case), quantized=spent, plain=plain, whole=10.0, integers=frozenset({"slow", "same"})
    )
    assert ("slow",) == layers.slower(found)
    assert () == layers.slower(replace(found, whole=90.0))
    assert [True, True, False, False] == list(map(on_integers, ("QLinearConv", "MatMulNBits", "FusedConv", "Cast")))


def test_settings_change_one_thing_at_a_time(case: Case) -> None:
    """Each has an id of its own, and no more threads than the target was named with."""
    found = [one for one, _ in settings.one_by_one(case, settings.counts(2, 64, fixed=True))]
    assert len(found) == len({one.id for one in found})
    assert {1, 2} == {one.target.intra_threads for one in found}
    assert any(one.target.session_config.get("session.enable_cpu_mem_arena") == "0" for one in found)
    assert any(one.target.session_config.get("session.intra_op.allow_spinning") == "0" for one in found)
    assert 0 in settings.counts(1, 64, fixed=False)


def test_changes_that_helped_are_put_together(case: Case) -> None:
    """One of threads, and all of the session's settings."""
    found = [one for one, words in settings.one_by_one(case, (1,)) if words != "branches in parallel"]
    whole = settings.combined(case, found)
    assert whole is not None
    assert whole.target.intra_threads == 1
    assert {"session.dynamic_block_base", "session.set_denormal_as_zero"} <= set(whole.target.session_config)
    assert settings.combined(case, found[:1]) is None


def test_batches_are_searched_where_they_are_asked_for(case: Case) -> None:
    """One size at a time, also on targets without session settings, and together with what else helped."""
    found = [one for one, _ in settings.one_by_one(case, (1,), (1, 4, 8))]
    sizes = [one for one in found if one.target.batch != 1]
    assert [4, 8] == [one.target.batch for one in sizes]
    assert {1} == {one.target.batch for one, _ in settings.one_by_one(case, (1,))}
    whole = settings.combined(case, [sizes[1], *[one for one in found if one.target.intra_threads == 1]])
    assert whole is not None
    assert (8, 1) == (whole.target.batch, whole.target.intra_threads)


def test_what_is_compared_is_the_time_of_one_example(case: Case) -> None:
    """In races, in the table and in live groups."""
    large = TuneCandidate(case=replace(case, target=replace(case.target, batch=8)), why="")
    small = TuneCandidate(case=case, why="")
    timed = [
        TimedBuild(candidate=small, median_s=1.0, processes=3, excess=""),
        TimedBuild(candidate=large, median_s=4.0, processes=3, excess=""),
    ]
    assert [1.0, 0.5] == [one.example_s for one in timed]
    assert [large, small] == [one.candidate for one in tune.fastest(timed)]
    members = {
        one.name: SideSamples(session_ns=1, first_inference_ns=1, bursts_ns=(ns,))
        for one, ns in ((small, 100.0), (large, 400.0))
    }
    block = per_example(Block(members=members, started_at=""), {large.name: 8})
    assert [100.0, 50.0] == [block.members[one.name].bursts_ns[0] for one in (small, large)]


# --- how it is narrowed down -----------------------------------------------------------------


def timed_rows(case: Case, times: dict[str, float]) -> tuple[list[TuneCandidate], dict[str, Any]]:
    """Candidates by name, and rows as a race has them."""
    candidates = [TuneCandidate(case=replace(case, recipe=replace(case.recipe, name=name)), why="") for name in times]
    rows = {
        one.case.id: {
            "case": one.case.id,
            "latency": {"median_s": seconds},
            "status": "measured",
            "budget": {"fidelity_db": 20.0},
            "fidelity": {"centred_sqnr_db": 5.0 if name == "outside" else 30.0, "sqnr_db": 30.0},
        }
        for one, (name, seconds) in zip(candidates, times.items(), strict=True)
    }
    return candidates, rows


def test_the_faster_half_goes_on(case: Case) -> None:
    """Whoever is close to the last of them goes on as well; who is outside the budget does not, however fast."""
    candidates, rows = timed_rows(case, {"a": 1.0, "b": 1.1, "c": 1.15, "d": 1.2, "e": 9.0, "outside": 0.5})
    assert ["a", "b", "c"] == [one.case.recipe.name for one in going_on(candidates, rows)]
    near = timed_rows(case, dict.fromkeys("abcdefgh", 1.0))
    assert 4 == len(going_on(*near))
    assert [] == going_on(*timed_rows(case, {"a": 1.0, "b": 1.3, "outside": 1.0}))


def test_of_settings_only_what_seems_to_help_goes_on(case: Case) -> None:
    """With what it is compared with, and no more than two; where nothing helps, nobody does."""
    candidates, rows = timed_rows(case, {"base": 1.0, "a": 0.9, "b": 0.99, "c": 0.8, "d": 0.95, "outside": 0.1})
    hopeful = better_than(candidates[0], 0.98)
    assert ["base", "c", "a"] == [one.case.recipe.name for one in hopeful(candidates, rows)]
    assert [] == hopeful(candidates[:1] + candidates[2:3], rows)


class Quiet:
    """A watcher that keeps what it hears."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.builds: list[TriedBuild] = []

    def saying(self, text: str) -> None:
        """Something that takes a while."""
        self.said.append(text)

    def building(self, event: BuildEvent) -> None:
        """A build step."""

    def tried(self, found: TriedBuild) -> None:
        """A build was evaluated."""
        self.builds.append(found)

    def timing(self, text: str, candidates: int) -> None:
        """A race begins."""

    def timed(self, row: object) -> None:
        """A process was timed."""


# --- how the time is spent ----------------------------------------------------------------------


class Time:
    """A clock that stands until somebody sets it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time that was set."""
        return self.now


def test_confirming_has_its_share_of_the_time_whatever_comes_before() -> None:
    """A third at most, and as long as its groups take here."""
    now = Time()
    clock = TuneClock(900.0, now)
    assert 900.0 - 7 * 3 * 2.5 == clock.searching
    clock.took("process", 5.0)
    assert 900.0 - 7 * 3 * 5.0 == clock.searching
    clock.took("process", 500.0)
    assert 600.0 == clock.searching
    now.now = 301.0
    assert clock.over(0.5)
    assert not clock.over(0.6)


def test_nothing_begins_that_is_not_known_to_fit(case: Case) -> None:
    """What was seen of its kind tells how long it takes; other ways to choose ranges are multiples of the quickest."""
    now, asked = Time(), list[str]()
    clock = TuneClock(100.0, now)

    class Slow:
        """A session whose builds take ten seconds each."""

        def build(self, wanted: list[Case], **_: Any) -> dict[tuple[str, str], Refusal]:
            asked.append(wanted[0].recipe.name)
            now.now += 10.0
            return {key(wanted[0]): Refusal(status=Status.FAILED, reason="no build")}

    trials = BuildTrials(Slow(), case, clock, Quiet())  # type: ignore[arg-type] # builds is all that it does
    own = [(STATIC, ""), *recipes.apart(recipes.variations(STATIC, ["avx512_vnni"]), STATIC)[0]]
    assert ["int8", "int8.full-range", "int8.percentile"] == [one.candidate.build for one in trials.all(own, by=1.0)]
    assert ["int8.entropy"] == trials.skipped
    assert not trials.all([(replace(STATIC, name="late"), "")], by=0.2)
    assert ["int8.entropy", "late"] == trials.skipped
    assert ["int8", "int8.full-range", "int8.percentile"] == asked


def test_a_build_that_is_not_done_by_the_end_is_left_out(case: Case) -> None:
    """It is ended; of the default that is said."""

    class Endless:
        """A session whose builds end when the time does."""

        def build(self, _: list[Case], **__: Any) -> dict[tuple[str, str], Refusal]:
            assert 0 < left_s() <= 100.0
            raise OutOfTime

    trials = BuildTrials(Endless(), case, TuneClock(100.0, Time()), Quiet())  # type: ignore[arg-type] # as above
    assert not trials.all([(STATIC, "")], by=0.5)
    assert ["int8"] == trials.skipped
    base = trials.one(TuneCandidate(case=case, why=""), by=math.inf)
    assert base is not None
    assert STOPPED == base.reason


def test_live_groups_end_with_the_time(case: Case) -> None:
    """One is run in any case; what is known by then decides."""
    sides = {name: SideSamples(session_ns=1, first_inference_ns=1, bursts_ns=(1e6,) * 7) for name in "ab"}
    block = Block(members=sides, started_at="")
    built = outcomes.artifact(case)
    job = Job(
        case=case,
        built=built,
        settings=SweepSettings(processes=1, time_per_case=1.0, ci_width=0.02),
        cache=Path("cache"),
    )
    asked = ConfirmJob(
        model="tiny", target="cpu", candidates=("a", "b"), cut=(), baseline="b", jobs={"a": job, "b": job}, cases=(),
        blocks=12, seed="",
    )  # fmt: skip
    sizes = [
        confirm_choice(asked, goes_on=goes_on, measure=lambda *_, **__: block).blocks
        for goes_on in (lambda _: False, lambda done: done < 5, lambda _: True)
    ]
    assert [1, 5, 12] == sizes


def found_by(case: Case, *, ratio: float = 2.0) -> Tuned:
    """What tuning found: an int8 build with three layers in float, on a target without spinning."""
    options = {"exclude": ["conv"], "calibration": "percentile", "percentile": 99.9}
    recipe = changed(STATIC, options, "int8.float-1")
    target = replace(case.target, name="cpu.no-spin", session_config={"session.intra_op.allow_spinning": "0"})
    best = TuneCandidate(case=replace(case, recipe=recipe, target=target), why="one layer in float")
    default = TuneCandidate(case=case, why="the default")
    tried = [
        TriedBuild(candidate=default, closeness_db=float("inf"), excess=""),
        TriedBuild(candidate=best, closeness_db=30.0, excess=""),
    ]
    timed = [
        TimedBuild(candidate=best, median_s=1.0 / ratio, processes=5, excess=""),
        TimedBuild(candidate=default, median_s=1.0, processes=5, excess=""),
    ]
    choice = ConfirmedChoice(
        state=CONFIRMED, best=best.name, slower=(default.name,), baseline=default.name, ratio=ratio, blocks=8
    )
    return Tuned(default=default, tried=tried, timed=timed, best=best, choice=choice)


def test_what_is_found_is_said_with_how_sure_it_is(case: Case) -> None:
    """The ratio, and what it was confirmed against; without a confirmation it is not called faster."""
    found = found_by(case)
    assert found.is_faster
    assert "2.00 times as fast as fp32 on cpu-t2-b1" in " ".join(sentences(found))
    choice = replace(found.choice, slower=(), tied=(found.default.name,)) if found.choice else None
    tied = replace(found, choice=choice)
    assert not tied.is_faster
    assert "not known to be faster than fp32 on cpu-t2-b1" in " ".join(sentences(tied))


def test_what_is_behind_the_default_is_not_called_recommended(case: Case) -> None:
    """No star stands at it, and what it was confirmed over is not said of it."""
    found = found_by(case)
    assert found.best is not None
    assert any(str(row[0]).startswith("* ") for row in tables(found)[1].rows)
    choice = ConfirmedChoice(state=CONFIRMED, best=found.default.name, slower=(found.best.name,), blocks=8)
    behind = replace(found, choice=choice)
    assert not any(str(row[0]).startswith("* ") for row in tables(behind)[1].rows)
    (said,) = sentences(behind)
    assert f"nothing is faster than {found.default.name}" in said


def test_what_was_timed_and_cannot_be_judged_is_not_called_inside(case: Case) -> None:
    """Where no counter tells the energy that is limited, the reason stands in the table and in the answer."""
    found = found_by(case)
    why = "energy, budget 5.00 mJ: cannot be judged, it was not measured"
    timed = [replace(one, excess=None, unjudged=why) for one in found.timed]
    unknown = replace(found, timed=timed, best=None, choice=None)
    assert {why} == {str(row[-1]) for row in tables(unknown)[1].rows}
    assert why in none_keeps(unknown)


def test_a_limit_of_fidelity_that_labels_pass_over_is_named(case: Case) -> None:
    """With labels accuracy alone decides: 20 dB beside 1% are not looked at, and alone they are."""
    both = replace(case, model=replace(case.model, budget=Budget(accuracy_drop=0.01, fidelity_db=20.0)))
    found = found_by(both)
    judged = replace(found, tried=[replace(one, drop=0.0) for one in found.tried])
    assert "the budget's fidelity did not count" in " ".join(sentences(judged))
    assert "did not count" not in " ".join(sentences(found))


def test_the_front_is_what_nothing_beats_in_both(case: Case) -> None:
    """The faster one and the closer one are on it; a third that is slower than both is not."""
    found = found_by(case)
    slow = TuneCandidate(case=replace(case, recipe=replace(case.recipe, name="slow")), why="")
    more = replace(
        found,
        tried=[*found.tried, TriedBuild(candidate=slow, closeness_db=25.0, excess="")],
        timed=[*found.timed, TimedBuild(candidate=slow, median_s=3.0, processes=5, excess="")],
    )
    assert ["int8.float-1", "fp32"] == [one.candidate.case.recipe.name for one in more.front()]


def test_the_figure_is_an_image_with_a_point_for_each_candidate(case: Case) -> None:
    """And is well-formed whatever a name holds."""
    root = ET.fromstring(figure.svg(found_by(case)))  # noqa: S314 # our own
    assert 2 == len(root.findall("{http://www.w3.org/2000/svg}circle"))
    with pytest.raises(UsageError, match=r"ends in \.svg"):
        figure.require(Path("front.png"))


# --- writing ---------------------------------------------------------------------------------

COMMENTED = """\
# What we ship.
version: 1
defaults: {variants: [fp32], targets: [cpu], threads: [1, 2]}   # all of it

variants:
  fp32: {precision: float32, optimization: disabled,   # a comment inside
         steps: [export]}
  int8:
    precision: int8
    steps: [export, quantize: {method: static, calibration: percentile}]
targets:
    cpu: {provider: cpu}
models:
  tiny:   # the small one
    source: onnx
    id: tiny.onnx
    budget: {fidelity_db: 5}
    steps: {quantize: {percentile: 99.5}}
  other: {source: onnx, id: tiny.onnx, budget: {fidelity_db: 5}}
"""


@pytest.fixture
def commented(project: Project) -> Path:
    """A zoo with comments, odd indentation and step options of the model's own."""
    path = project.root / "commented.yaml"
    path.write_text(COMMENTED, encoding="utf-8")
    return path


def test_what_is_written_is_added_and_nothing_else_changes(commented: Path, project: Project) -> None:
    """Comments, order and line breaks stay; what a sweep then plans is the case that was found."""
    pytest.importorskip("ruamel.yaml")
    the_zoo = zoos.load(commented)
    found = found_by(default_case(the_zoo, "tiny", "cpu-t2")[0])
    written = write.write(the_zoo, found)
    text = commented.read_text(encoding="utf-8")
    assert not [line for line in difflib.ndiff(COMMENTED.splitlines(), text.splitlines()) if line.startswith("- ")]
    again = zoos.load(commented)
    (step,) = [one for one in again.models["tiny"].recipes[written.variant].steps if one.kind == "quantize"]
    assert ["head", "conv"] == step.options["exclude"]
    assert "exclude" not in again.models["other"].recipes[written.variant].steps[-1].options
    assert {"session.intra_op.allow_spinning": "0"} == again.targets[written.target].session_config
    planned = project.run("sweep", "--zoo", str(commented), *written.command.split()[2:], "--dry-run", "--json")
    assert [f"tiny/{written.variant}/{written.target}-t2-b1"] == json.loads(planned)


def test_a_zoo_that_changed_meanwhile_is_left_as_it_is(commented: Path) -> None:
    """Somebody edited it while the search ran."""
    pytest.importorskip("ruamel.yaml")
    the_zoo = zoos.load(commented)
    found = found_by(default_case(the_zoo, "tiny", "cpu-t2")[0])
    commented.write_text(COMMENTED + "# edited\n", encoding="utf-8")
    with pytest.raises(UsageError, match="was changed while the search ran"):
        write.write(the_zoo, found)
    assert commented.read_text(encoding="utf-8") == COMMENTED + "# edited\n"


# --- the whole of it -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tuning(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TuneRequest]:
    """Requests on one small project, whose cache the tests of this module share."""
    from tests.conftest import write_project

    project = write_project(tmp_path_factory.mktemp("tuned"))
    take_over(built, project.root)
    the_zoo = zoos.load(project.root / "model_zoo.yaml")

    def request(variant: str, budget: Budget, **more: Any) -> TuneRequest:
        default, _ = default_case(the_zoo, "tiny", "cpu-t1")
        default = replace(default, model=replace(default.model, budget=budget))
        return TuneRequest(
            zoo=the_zoo,
            default=default,
            variants=starting_from(the_zoo, default, (variant,)),
            cache=project.root / "cache",
            results=project.root / "results",
            fixed_threads=True,
            process_s=0.02,
            **more,
        )

    return request


@pytest.mark.long
def test_a_search_recommends_a_build_that_keeps_the_budget(tuning: Callable[..., TuneRequest]) -> None:
    """Every candidate was built and evaluated; the recommended one was timed, and compared with the default alive."""
    small = SearchSpace(variations={}, entries=settings.ENTRIES[:1], rungs=(1,), blocks=(1, 1))
    watch = Quiet()
    request = tuning("fp32-fused", Budget(fidelity_db=20.0), space=small)
    found = tune.tune(request, watch)
    assert found.best is not None
    assert found.choice is not None
    assert "fp32" == found.default.case.recipe.name
    assert {one.candidate.case.recipe.name for one in watch.builds} >= {"fp32", "fp32-fused", "fp32-slim"}
    assert all(one.keeps for one in found.tried)
    assert found.best.case.id in {one.candidate.case.id for one in found.timed if one.median_s}
    assert found.default.name == found.choice.baseline
    assert not [*(request.cache / "tune").glob("*/samples/*")]


class Trials(BuildTrials):
    """Builds that are not made: those named keep the budget."""

    def __init__(self, case: Case, keeping: set[str]) -> None:
        super().__init__(None, case, TuneClock(900.0, Time()), Quiet())  # type: ignore[arg-type] # it builds nothing
        self.keeping = keeping

    def one(self, candidate: TuneCandidate, *, by: float) -> TriedBuild:  # noqa: ARG002 # there is time
        """It is said to be there."""
        name = candidate.case.recipe.name
        close = float(len(self.tried))
        trial = TriedBuild(candidate=candidate, closeness_db=close, excess="" if name in self.keeping else "too far")
        self.tried[name] = trial
        return trial


@pytest.mark.parametrize(
    ("keeping", "tried", "mixed"),
    [
        ({"int8-static"}, set(), []),  # it keeps the budget: other ranges would not be faster
        ({"int8-static.full-range"}, {"full-range"}, []),
        (set(), {"full-range", "half-samples", "percentile", "entropy"}, ["int8-static.entropy"]),  # the closest
    ],
)
def test_ranges_are_varied_only_where_the_budget_asks_for_it(
    tuning: Callable[..., TuneRequest],
    monkeypatch: pytest.MonkeyPatch,
    keeping: set[str],
    tried: set[str],
    mixed: list[str],
) -> None:
    """The quick ones first, until one keeps it; where none does, layers of the closest are left in float."""
    monkeypatch.setattr("harness.build.keys.isa", lambda: ["avx512_vnni"])
    request = tuning("int8-static", Budget(fidelity_db=20.0))
    asked = list[str]()

    class Mixing(tune.Tuner):
        """Notes whose layers are to be left in float."""

        def _mixed(self, recipe: Recipe, *_: object) -> None:
            asked.append(recipe.name)

    tuner = Mixing(request, Quiet(), Time())
    tuner._trials = Trials(request.default, keeping)
    (own,) = request.variants
    tuner._trials.all([(own, "")], by=1.0)
    tuner._vary([(own, ""), (replace(own, name="other"), "")], [], None)  # type: ignore[arg-type] # no graph is read
    endings = {name.removeprefix("int8-static.") for name in tuner._trials.tried}
    assert tried == endings & set(recipes.CLOSER)
    assert {"per-tensor", "compute-only", "operators", "s8s8", "u8-weights"} <= endings
    assert mixed == asked
    assert bool(tuner._spared) is (keeping == {"int8-static"})


def test_builds_have_the_time_that_races_do_not_need(tuning: Callable[..., TuneRequest]) -> None:
    """Half until a process was timed, and where processes are slow; nearly all of it where they are quick."""
    tuner = tune.Tuner(tuning("int8-static", Budget(fidelity_db=20.0)), Quiet(), Time())
    assert 0.5 == tuner._building
    tuner._clock.took("process", 1.0)
    assert 0.95 < tuner._building < 1.0
    tuner._clock.took("process", 100.0)
    assert 0.5 == tuner._building


def test_what_is_slow_is_not_varied(tuning: Callable[..., TuneRequest]) -> None:
    """Its time at a first look decides, and is said."""
    request = tuning("int8-static", Budget(fidelity_db=20.0))
    tuner = tune.Tuner(request, Quiet(), Time())
    tuner._trials = Trials(request.default, {"int8-static"})
    (own,) = request.variants
    (slow,) = tuner._trials.candidates([(own, "")])
    tuner._trials.one(slow, by=1.0)
    seen = [
        TimedBuild(candidate=slow, median_s=3.0, processes=1, excess=""),
        TimedBuild(candidate=TuneCandidate(case=request.default, why=""), median_s=1.0, processes=1, excess=""),
    ]
    tuner._vary([(own, "")], seen, None)  # type: ignore[arg-type] # no graph is read
    assert ["int8-static"] == [*tuner._trials.tried]
    assert ["variations of int8-static: it takes 3.0 times as long as the fastest"] == tuner._spared


@pytest.mark.long
def test_where_nothing_keeps_the_budget_layers_are_blamed(tuning: Callable[..., TuneRequest]) -> None:
    """The nearest build is named, with the layers that cost the most; with all of them in float there is no build."""
    now = Time()

    class Over(Quiet):
        """Builds are over once the zoo's own is there: it took so long that no other one fits."""

        def tried(self, found: TriedBuild) -> None:
            """A build was evaluated."""
            if found.candidate.build == "int8-static":
                now.now = 600.0
                tuner._clock.took("static/minmax", 600.0)

    own_alone = SearchSpace(variations={}, halves=False)
    tuner = tune.Tuner(tuning("int8-static", Budget(fidelity_db=70.0), space=own_alone), Over(), now)
    found = tuner.run()
    assert found.best is None
    assert found.nearest is not None
    assert "int8-static" == found.nearest.candidate.case.recipe.name
    assert {"conv", "head"} & set(found.blame)
    assert "no candidate keeps the budget" in none_keeps(found)
    assert found.blame[0] in none_keeps(found)


def test_a_limit_that_is_too_short_is_said(tuning: Callable[..., TuneRequest]) -> None:
    """Before anything beside the default was built."""
    now = Time()

    class Late(Quiet):
        """The time is over once a build is there."""

        def tried(self, found: TriedBuild) -> None:
            """A build was evaluated."""
            super().tried(found)
            now.now += 1e9

    watch = Late()
    with pytest.raises(UsageError, match="too short for one candidate"):
        tune.Tuner(tuning("int8-static", Budget(fidelity_db=5.0)), watch, now).run()
    assert 1 == len(watch.builds)


def test_a_limit_in_which_not_even_the_default_is_built_is_said(project: Project) -> None:
    """Its child is ended."""
    assert "--time-limit 0.001s is too short" in project.error(
        "tune", "tiny", "--budget", "20dB", "--time-limit", "1ms"
    )


def test_a_limit_in_which_nothing_is_timed_is_said(tuning: Callable[..., TuneRequest]) -> None:
    """A build keeps the budget, and no time is left for a process of it."""
    now = Time()

    class Late(Quiet):
        """The time is over once two builds are there."""

        def tried(self, found: TriedBuild) -> None:
            """A build was evaluated."""
            super().tried(found)
            now.now += 1e9 if len(self.builds) == 2 else 0.0

    with pytest.raises(UsageError, match=r"too short to time one candidate: after .* 1 build kept the budget"):
        tune.Tuner(tuning("int8-static", Budget(fidelity_db=5.0)), Late(), now).run()


def test_a_model_that_computes_nonsense_is_refused(tuning: Callable[..., TuneRequest]) -> None:
    """Its own outputs are NaN, so that every build is as good as any other."""
    request = tuning("int8-static", Budget(fidelity_db=5.0))
    tuner = tune.Tuner(request, Quiet(), Time())
    tuner._trials = Trials(request.default, {request.default.recipe.name})
    note = "the framework's own output `y` is nowhere finite: the model computes nonsense."
    tuner._session.built[key(request.default)] = outcomes.artifact(request.default, notes=(note,))
    with pytest.raises(UsageError, match="nowhere finite"):
        tuner.run()


def test_a_model_without_a_budget_is_refused(tuning: Callable[..., TuneRequest]) -> None:
    """There would be nothing to keep."""
    with pytest.raises(UsageError, match="has no budget of accuracy or fidelity to keep"):
        tune.tune(tuning("int8-static", Budget(latency_s=1.0)), Quiet())


def test_a_budget_that_cannot_be_judged_is_said_at_once(tuning: Callable[..., TuneRequest]) -> None:
    """The data has no labels, and no fidelity was asked for: no build is made for nothing."""
    watch = Quiet()
    with pytest.raises(UsageError, match="the data has no labels"):
        tune.tune(tuning("int8-static", Budget(accuracy_drop=0.01)), watch)
    assert 1 == len(watch.builds)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tinny",), "did you mean 'tiny'"),
        (("tiny", "--target", "gpu-t1"), "--target gpu-t1"),
        (("tiny", "--variants", "int9*"), "no variant matches 'int9*'"),
        (("tiny", "--time-limit", "soon"), "--time-limit soon"),
        (("tiny", "--budget", "much"), "--budget much"),
        (("tiny", "--batch", "many"), "--batch many"),
        (("tiny", "--labels", "y"), "--labels goes with a file that has no zoo"),
        (("tiny", "--figure", "front.png"), "ends in .svg"),
        (("tiny.onnx", "--write"), "--write needs a zoo"),
        (("tiny.onnx", "--labels", "y"), "give that with --data FILE.npz"),
        (("tiny.onnx", "--data", "examples.npz", "--labels", "why"), "has no such array; it has x, y"),
    ],
)
def test_mistakes_are_said(project: Project, arguments: tuple[str, ...], said: str) -> None:
    """Before anything is built; each names what there is."""
    np.savez(project.root / "examples.npz", x=np.zeros((8, 1, 8, 8), np.float32), y=np.zeros(8, np.int64))
    assert said in project.error("tune", *arguments)


def test_limits_of_what_only_timing_shows_wait_for_it() -> None:
    """A build that was not timed yet is judged by its quality, single metrics included, and its size."""
    case = outcomes.case()
    limits = Budget(
        accuracy_drop=0.02,
        latency_s=1e-9,
        memory_bytes=1,
        energy_j=1e-9,
        metrics={"map50": MetricLimit(drop=0.01)},
    )
    case = replace(case, model=replace(case.model, budget=limits))
    found = outcomes.measured(case).evaluation
    assert found is not None
    lost = MetricValue(name="map50", unit="fraction", direction="higher", value=0.5, reference=0.6, drop=0.1)
    kept = replace(lost, value=0.6, drop=0.0)
    judged = [
        leaving.quality_of(case, outcomes.artifact(case), replace(found, metrics=(one,))).excess for one in (kept, lost)
    ]
    assert ["", "map50 is worse by 10.00%, budget 1.00%"] == judged
