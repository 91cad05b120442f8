"""`tune`: the zoo's builds, variations of them, layers in float, settings; timed in rounds, the last in live groups.

Read `Tuner.run` from top to bottom. Every build is the flow's, every candidate is evaluated for real, every number
comes from a sweep's own rounds, and the last word is that of live groups.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from harness import confirmation
from harness.build import keys
from harness.build.pipeline import BuildEvent
from harness.confirmation import ConfirmedChoice
from harness.errors import BuildError, UsageError, WorkerError
from harness.explain import cases, leaving
from harness.explain.asking import GraphReader, reading
from harness.flow.confirm import ConfirmJob, confirm_choice
from harness.flow.execute import Job
from harness.flow.session import key
from harness.records import Artifact, Case, Recipe
from harness.store.journal import Journal
from harness.store.rows import plain
from harness.tune import layers, recipes, settings
from harness.tune.layers import RankedLayers
from harness.tune.model import TimedBuild, TriedBuild, TuneCandidate, Tuned
from harness.tune.racing import NOT_TIMED, RaceWatcher, race
from harness.units import count
from harness.zoo import Zoo

TIME_LIMIT_S = 900.0
BUILDING, RACING, SETTINGS = 0.5, 0.8, 1.0
"""Shares of the time for searching by which builds, their race, and that of settings are over."""

TOGETHER = 4
"""Builds that one child makes before the clock is looked at."""

FINALISTS = 2
"""Builds whose settings are searched: all of them for the first, and for the others what helped it."""

NEAR = 1.25
"""A build that takes this many times as long as the fastest is left out: no setting makes up for that."""

MEMBER_S = 2.5
"""What one process of a live group takes, roughly: decides how many groups fit into the time that is left."""

FEWEST_BLOCKS = 8
"""Of live groups: with fewer no difference between three candidates could be confirmed."""

MEMBERS = 3
"""Of a live group: the best, the runner-up, the default."""

GAIN = 0.98
"""A setting is taken into the combination where it takes at most this share of the time without it."""


class TuneWatcher(Protocol):
    """Somebody who looks on: a console, a test, nobody."""

    def saying(self, text: str) -> None:
        """Something that takes a while, in words."""

    def building(self, event: BuildEvent) -> None:
        """A build step started or ended."""

    def tried(self, found: TriedBuild) -> None:
        """A build was evaluated."""

    def timing(self, text: str, candidates: int) -> None:
        """A race of so many candidates begins."""

    def timed(self, row: object) -> None:
        """One more process of a candidate was timed; its stored row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneRequest:
    """What is to be tuned.

    Attributes:
        default: the baseline on the target that was asked for: what everything is compared with.
        variants: the zoo's recipes to start from.
        fixed_threads: whether the target was named with its threads, so that no more are tried.
        time_limit: in seconds.
        process_s: seconds of inference of one timed process.
        batches: sizes of the batch that are searched as well, by the time of one example; the target's alone if empty.
    """

    zoo: Zoo
    default: Case
    variants: Sequence[Recipe]
    cache: Path
    results: Path
    fixed_threads: bool = False
    time_limit: float = TIME_LIMIT_S
    process_s: float = 0.5
    batches: Sequence[int] = ()


class Tuner:
    """One search, with its clock and everything that was tried so far."""

    def __init__(self, request: TuneRequest, watch: TuneWatcher, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is built yet.

        Args:
            request: what is asked for.
            watch: looks on.
            clock: seconds.
        """
        self._request, self._watch, self._clock = request, watch, clock
        self._started = clock()
        self._session = cases.open_session(
            request.zoo, request.default, cache=request.cache, results=request.results, say=watch.saying
        )
        self._tried: dict[str, TriedBuild] = {}
        self._skipped: list[str] = []
        self._rankings: dict[str, RankedLayers | None] = {}

    def run(self) -> Tuned:
        """Search.

        Raises:
            UsageError: the baseline cannot be built, or the time limit is too short for one candidate.
            StoreError: the cache cannot be written.
        """
        default = TuneCandidate(case=self._request.default, why="the default")
        base = self._try([default], by=math.inf)[0]
        if base.reason:
            raise UsageError(f"{default.case.id}, which everything is compared with, cannot be run: {base.reason}")
        if base.excess is None:
            raise UsageError(f"no build of {default.case.model.name} could be judged: {base.unjudged}")
        with reading() as reader, self._journal() as journal:
            self._builds(reader)
            if len(self._tried) == 1:
                self._nothing_tried()
            kept = [one.candidate for one in self._tried.values() if one.keeps and one.candidate is not default]
            if not kept:
                return self._none(default, reader)
            reader.close()  # nothing that is not measured runs beside what is
            timed = self._race("builds", [default, *kept], journal, RACING)
            timed = [*timed, *self._without_slow_layers(timed, reader, journal)]
            finalists = fastest([one for one in _fit(timed) if one.candidate.build != default.build])
            if not finalists and any(one.reason.startswith(NOT_TIMED) for one in timed):
                self._nothing_timed(len(kept))
            least = min((one.example_s or math.inf for one in finalists), default=math.inf)
            near = [one for one in finalists[:FINALISTS] if (one.example_s or math.inf) <= NEAR * least]
            timed = fastest([*timed, *self._settings(near, journal)])
            best = [one.candidate for one in _fit(timed) if one.candidate.name != default.name][:2]
            choice = self._confirm(best, default) if best else None
            journal.finish().unlink(missing_ok=True)  # it is for whoever goes on, and there is nothing to go on with
        if choice is not None and choice.best == best[-1].name and len(best) > 1:
            best[:2] = best[1::-1]
        return Tuned(
            default=default,
            tried=tuple(self._tried.values()),
            timed=timed,
            best=best[0] if best else None,
            runner_up=best[1] if len(best) > 1 else None,
            choice=choice,
            out_of_time=tuple(self._skipped),
            seconds=self._clock() - self._started,
        )

    # --- builds ---

    def _builds(self, reader: GraphReader) -> None:
        """Build and evaluate: the zoo's, the plain ones, layers in float, then variations, until the time is over."""
        request = self._request
        zoo_own = recipes.own(request.variants, request.default.recipe.name)
        first = recipes.distinct([(request.default.recipe, ""), *zoo_own, *self._plain()])[1:]
        self._try(self._candidates(first), by=BUILDING)
        quantized = [recipe for recipe, _ in first if cases.quantizing(recipe) is not None]
        for recipe in self._worth_varying(quantized):
            self._mixed(recipe, reader)
        varied = [
            one
            for recipe in self._worth_varying(quantized)
            for one in [*recipes.variations(recipe, keys.isa()), *self._half(recipe)]
            if recipes.known(dict(one[0].steps[-1].options))
        ]
        every = recipes.distinct([*first, *varied])[len(first) :]
        self._try(self._candidates(every), by=BUILDING)
        # What varied best, with layers in float where it is outside the budget.
        outside = [one for one in self._tried.values() if not one.keeps and not one.reason and one.excess]
        for one in sorted(outside, key=lambda tried: tried.rank, reverse=True)[:1]:
            if cases.quantizing(one.candidate.case.recipe) is not None:
                self._mixed(one.candidate.case.recipe, reader)

    def _plain(self) -> list[tuple[Recipe, str]]:
        floats = [one for one in self._request.variants if one.precision == "float32"]
        return recipes.plain(self._request.default.recipe) if floats else []

    def _half(self, recipe: Recipe) -> list[tuple[Recipe, str]]:
        found = recipes.half_samples(recipe, self._request.default.model.data.calibration)
        return [found] if found else []

    def _worth_varying(self, quantized: Sequence[Recipe]) -> list[Recipe]:
        """Quantized recipes that could be built, static ones first: on most processors they are the fast ones."""
        there = [one for one in quantized if one.name in self._tried and not self._tried[one.name].reason]
        methods = {recipes.STATIC: 0, recipes.DYNAMIC: 1}
        step = {one.name: cases.quantizing(one) for one in there}
        return sorted(there, key=lambda one: methods.get(str(step[one.name].options.get("method")), 2))  # type: ignore[union-attr] # all have one

    def _mixed(self, recipe: Recipe, reader: GraphReader) -> None:
        """The fewest layers in float that keep the budget, of a build that is outside it."""
        tried = self._tried.get(recipe.name)
        if tried is None or tried.reason or tried.keeps or self._over(BUILDING):
            return
        found = self._ranked(recipe, reader)
        if found is None or not found.worth:
            return

        def keeps(count: int) -> bool | None:
            if self._over(BUILDING):
                self._skipped.append(f"more or fewer layers of {recipe.name} in float")
                return None
            words = f"{count} layer{'s' if count > 1 else ''} in float"
            made = cases.changed(recipe, {"exclude": list(found.worth[:count])}, f"{recipe.name}.float-{count}")
            return self._try(self._candidates([(made, words)]), by=math.inf)[0].keeps

        layers.fewest(len(found.worth), keeps)

    def _ranked(self, recipe: Recipe, reader: GraphReader) -> RankedLayers | None:
        """The layers of a quantized build, ranked once; None where they cannot be."""
        if recipe.name not in self._rankings:
            case = replace(self._request.default, recipe=recipe)
            self._watch.saying(f"ranking the layers of {recipe.name}")
            self._rankings[recipe.name] = None
            try:
                built = cases.built(self._session, case, _silent)
                self._rankings[recipe.name] = layers.ranked(self._session, reader, case, built, _silent)
            except (BuildError, UsageError, WorkerError) as error:
                self._watch.saying(f"its layers cannot be ranked: {error}")
        return self._rankings[recipe.name]

    def _without_slow_layers(
        self, timed: Sequence[TimedBuild], reader: GraphReader, journal: Journal
    ) -> list[TimedBuild]:
        """The fastest build with those layers in float that integers slow, timed; nothing where there are none."""
        best = next(iter(fastest(_fit(timed))), None)
        recipe = best.candidate.case.recipe if best else None
        if recipe is None or cases.quantizing(recipe) is None or self._over(RACING):
            return []
        found = self._ranked(recipe, reader)
        reader.close()
        if found is None or not found.slower:
            return []
        made = cases.changed(recipe, {"exclude": list(found.slower)}, f"{recipe.name}.float-where-faster")
        words = f"{count(len(found.slower), 'layer')} in float that integers slow"
        kept = [one.candidate for one in self._try(self._candidates([(made, words)]), by=math.inf) if one.keeps]
        return self._race("layers in float that integers slow", kept, journal, SETTINGS) if kept else []

    def _candidates(self, found: Iterable[tuple[Recipe, str]]) -> list[TuneCandidate]:
        return [TuneCandidate(case=replace(self._request.default, recipe=recipe), why=words) for recipe, words in found]

    def _try(self, candidates: Sequence[TuneCandidate], *, by: float) -> list[TriedBuild]:
        """Build and evaluate, a few at a time, until a share of the time is over."""
        found = []
        for start in range(0, len(candidates), TOGETHER):
            group = candidates[start : start + TOGETHER]
            if by < math.inf and self._over(by):
                self._skipped += [one.case.recipe.name for one in candidates[start:]]
                break
            built = self._session.build([one.case for one in group], on_event=self._watch.building)
            for one in group:
                tried = self._evaluate(one, built[key(one.case)])
                self._tried[one.case.recipe.name] = tried
                found.append(tried)
                self._watch.tried(tried)
        return found

    def _evaluate(self, candidate: TuneCandidate, built: object) -> TriedBuild:
        if not isinstance(built, Artifact):
            return TriedBuild(candidate=candidate, reason=str(getattr(built, "reason", built)))
        try:
            found = leaving.evaluated(self._session, candidate.case, built)
        except (WorkerError, ValueError, OSError) as error:
            return TriedBuild(candidate=candidate, reason=str(error))
        quality = leaving.quality_of(candidate.case, built, found)
        return TriedBuild(
            candidate=candidate,
            closeness_db=quality.closeness_db,
            metric=quality.metric,
            value=quality.value,
            drop=found.accuracy.drop if found.accuracy else None,
            excess=quality.excess,
            unjudged=quality.unjudged,
            bytes=built.bytes,
        )

    # --- time ---

    def _over(self, share: float) -> bool:
        whole = self._request.time_limit
        searching = max(whole - FEWEST_BLOCKS * MEMBERS * MEMBER_S, whole / 2)  # the rest confirms
        return self._clock() - self._started > share * searching

    def _nothing_tried(self) -> None:
        spent = self._clock() - self._started
        raise UsageError(
            f"--time-limit {self._request.time_limit:g}s is too short for one candidate: building and evaluating the "
            f"default alone took {spent:.0f} s. It is cached: the same command goes on from there; give it more time"
        )

    def _nothing_timed(self, kept: int) -> None:
        spent = self._clock() - self._started
        raise UsageError(
            f"--time-limit {self._request.time_limit:g}s is too short to time one candidate: after {spent:.0f} s "
            f"{count(kept, 'build')} kept the budget, and no time was left. What was built and evaluated is cached: "
            f"the same command goes on from there; give it more time"
        )

    # --- races ---

    def _journal(self) -> Journal:
        """What was timed of this search: the same command goes on from there."""
        default = self._request.default
        name = keys.digest_of([default.id, str(self._request.zoo.path), plain(default.model.budget)])
        return Journal.open(self._request.cache / "tune" / name[:24], self._session.run, resume=True)

    def _job(self, candidate: TuneCandidate) -> Job:
        case = candidate.case
        first = self._session.job(self._request.default)
        return replace(first, case=case, built=self._session.build([case])[key(case)])

    def _race(self, what: str, candidates: Sequence[TuneCandidate], journal: Journal, by: float) -> list[TimedBuild]:
        self._watch.timing(what, len(candidates))
        found = race(
            candidates,
            self._job,
            journal,
            watch=_Passing(self._watch),
            out_of_time=lambda: self._over(by),
            process_s=self._request.process_s,
        )
        self._skipped += [one.candidate.name for one in found if one.reason.startswith(NOT_TIMED)]
        return found

    def _settings(self, finalists: Sequence[TimedBuild], journal: Journal) -> list[TimedBuild]:
        """The fastest build with one setting changed at a time, and with all that helped; the next with what helped."""
        asked = self._request.default.target.intra_threads
        counts = settings.counts(asked, len(os.sched_getaffinity(0)), fixed=self._request.fixed_threads)
        found: list[TimedBuild] = []
        helped: list[Case] = []
        for number, finalist in enumerate(finalists):
            base = finalist.candidate
            if self._over(SETTINGS):
                self._skipped.append(f"settings of {base.name}")
                break
            if not number:
                changed = list(settings.one_by_one(base.case, counts, self._request.batches))
            else:  # what helped the fastest is likely to help the next
                changed = [(settings.moved(one, base.case), "what helped the fastest") for one in helped[:1]]
            if not changed:
                continue
            candidates = [TuneCandidate(case=case, why=f"{base.why}; {words}") for case, words in changed]
            timed = self._race(f"settings of {base.case.recipe.name}", [base, *candidates], journal, SETTINGS)
            found += [one for one in timed if one.candidate is not base]
            alone = next((one.example_s for one in timed if one.candidate is base and one.example_s), None)
            helped = [one.candidate.case for one in _fit(timed) if alone and (one.example_s or math.inf) < GAIN * alone]
            whole = settings.combined(base.case, helped)
            if whole is not None and not self._over(SETTINGS):
                candidate = TuneCandidate(case=whole, why=f"{base.why}; what helped, together")
                found += self._race("what helped, together", [candidate], journal, SETTINGS)
        return found

    def _confirm(self, best: Sequence[TuneCandidate], default: TuneCandidate) -> ConfirmedChoice:
        """The best, the runner-up and the default in live groups; the default is a candidate as well."""
        members = {one.name: one for one in [*best, default]}
        left = self._request.time_limit - (self._clock() - self._started)
        group_s = MEMBER_S * len(members)
        searched = self._clock() - self._started  # confirming is not to take longer than what it confirms
        blocks = max(FEWEST_BLOCKS, min(confirmation.BLOCKS, int(left / group_s), int(searched / group_s)))
        self._watch.saying(f"confirming {' and '.join(one.name for one in best)} against {default.name}")
        return confirm_choice(
            ConfirmJob(
                model=default.case.model.name,
                target=default.case.target.label,
                candidates=tuple(members),
                cut=(),
                baseline=default.name,
                jobs={name: self._job(one) for name, one in members.items()},
                cases=(),
                blocks=blocks,
                examples={name: one.case.target.batch for name, one in members.items()},
                seed=f"{self._session.run.id}/tune",
            )
        )

    def _none(self, default: TuneCandidate, reader: GraphReader) -> Tuned:
        """What is said where nothing keeps the budget: the best that was seen, and its layers to blame."""
        seen = [one for one in self._tried.values() if one.candidate is not default and not one.reason]
        nearest = max(seen, key=lambda one: one.rank, default=None)
        blame: tuple[str, ...] = ()
        if nearest is not None and cases.quantizing(nearest.candidate.case.recipe) is not None:
            case = nearest.candidate.case
            try:
                artifact = cases.built(self._session, case, _silent)
                blame = layers.ranked(self._session, reader, case, artifact, self._watch.saying).worth[:5]
            except (BuildError, UsageError, WorkerError) as error:
                self._watch.saying(f"its layers cannot be ranked: {error}")
        return Tuned(
            default=default,
            tried=tuple(self._tried.values()),
            nearest=nearest,
            blame=blame,
            out_of_time=tuple(self._skipped),
            seconds=self._clock() - self._started,
        )


class _Passing(RaceWatcher):
    """Passes on what a race shows."""

    def __init__(self, watch: TuneWatcher) -> None:
        self._watch = watch

    def sharpened(self, row: object) -> None:
        self._watch.timed(row)

    def finished(self, row: object) -> None:
        self._watch.timed(row)


def _silent(text: str) -> None:
    """Hears of what takes a while, and says nothing."""


def _fit(timed: Sequence[TimedBuild]) -> list[TimedBuild]:
    """Those with a number that keep the budget, the fastest first among those with the most processes."""
    return [one for one in timed if one.median_s is not None and one.excess == ""]


def fastest(timed: Sequence[TimedBuild]) -> list[TimedBuild]:
    """Each candidate once, the fastest first; those that were left behind early come last."""
    kept: dict[str, TimedBuild] = {}
    for one in timed:
        known = kept.get(one.candidate.name)
        if known is None or one.processes >= known.processes:
            kept[one.candidate.name] = one
    most = max((one.processes for one in kept.values()), default=0)
    return sorted(
        kept.values(), key=lambda one: (one.median_s is None, one.processes < most, one.example_s or math.inf)
    )


def tune(request: TuneRequest, watch: TuneWatcher) -> Tuned:
    """Find the fastest build and settings that keep the budget.

    Raises:
        UsageError: the baseline cannot be built, the budget cannot be judged, or the time limit is too short.
        StoreError: the cache cannot be written.
    """
    if not any(value is not None for value in _limits(request)):
        raise UsageError(
            f"{request.default.model.name} has no budget of accuracy or fidelity to keep: give one with --budget, such "
            f"as 1% (accuracy) or 20dB; latency, size, memory and energy say nothing of how good a build is"
        )
    return Tuner(request, watch).run()


def _limits(request: TuneRequest) -> list[float | None]:
    found = request.default.model.budget
    single = [limit for one in found.metrics.values() for limit in (one.drop, one.share)]
    return [found.accuracy_drop, found.accuracy_share, found.fidelity_db, found.fidelity_equal, *single]
