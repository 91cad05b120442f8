"""`tune`: the zoo's builds, variations of them, layers in float, settings; timed in rounds, the last in live groups.

Read `Tuner.run` from top to bottom. Every build is the flow's, every candidate is evaluated for real, every number
comes from a sweep's own rounds, and the last word is that of live groups.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from harness import reasons, scratch
from harness.build import keys, pipeline
from harness.build.cache import Cache
from harness.confirmation import ConfirmedChoice
from harness.errors import BuildError, UsageError, WorkerError
from harness.explain import cases
from harness.explain.asking import GraphReader, reading
from harness.flow.confirm import ConfirmJob, confirm_choice
from harness.flow.execute import Job
from harness.flow.session import OnBuild, key
from harness.processes import OutOfTime
from harness.records import Artifact, Built, Case, ModelSpec, Recipe
from harness.store.journal import Journal
from harness.store.rows import plain
from harness.tune import layers, recipes, settings
from harness.tune.clock import TuneClock
from harness.tune.layers import LayerTimes
from harness.tune.model import TimedBuild, TuneCandidate, Tuned
from harness.tune.racing import NEAR, NOT_TIMED, RaceWatcher, better_than, race
from harness.tune.request import TuneRequest, TuneWatcher
from harness.tune.trying import STOPPED, BuildTrials
from harness.units import count

BUILDING, RACING, SETTINGS = 0.5, 0.8, 1.0
"""Shares of the time for searching by which builds, their race, and that of settings are over; builds may have more."""

PROCESSES = 24
"""So many are timed after the builds, one for each of them not counted, before it is known what helps."""

FINALISTS = 2
"""Builds whose settings are searched: all of them for the first, and for the others what helped it."""

FAR = 1.5
"""A quantized build that takes this many times as long as the fastest is not varied: no variation makes up for that."""

PLENTY = 3.0
"""A build that is so many times as fast as the default is not searched for layers that integers slow."""

GAIN = 0.98
"""A setting is taken into the combination where it takes at most this share of the time without it."""


class Tuner:
    """One search, with its clock and everything that was tried so far."""

    def __init__(self, request: TuneRequest, watch: TuneWatcher, now: Callable[[], float] = time.monotonic) -> None:
        """Nothing is built yet.

        Args:
            request: what is asked for.
            watch: looks on.
            now: seconds.
        """
        self._request, self._watch = request, watch
        self._clock = TuneClock(request.time_limit, now)
        self._ranges: Path | None = None
        self._session = cases.open_session(
            request.zoo,
            request.default,
            cache=request.cache,
            results=request.results,
            say=watch.saying,
            builds=self._build if request.depot is None else request.depot.around(self._build),
        )
        self._trials = BuildTrials(self._session, request.default, self._clock, watch)
        self._skipped, self._spared = self._trials.skipped, list[str]()
        self._profiles: dict[str, LayerTimes | None] = {}
        self._worth: dict[str, tuple[str, ...]] = {}

    def run(self) -> Tuned:
        """Search.

        Raises:
            UsageError: the baseline cannot be built, or the time limit is too short for one candidate.
            StoreError: the cache cannot be written.
        """
        with scratch.folder("ranges") as self._ranges:
            return self._run()

    def _build(
        self,
        cache: Cache,
        requests: Sequence[tuple[ModelSpec, Sequence[Recipe]]],
        *,
        on_event: OnBuild,
        surround: pipeline.Surround,
    ) -> Mapping[tuple[str, str], Built]:
        """As `pipeline.build`; ranges that are calibrated serve the builds that follow."""
        return pipeline.build(cache, requests, on_event=on_event, surround=surround, ranges=self._ranges)

    def _run(self) -> Tuned:
        default = TuneCandidate(case=self._request.default, why="the default")
        base = self._trials.one(default, by=math.inf)
        if base is None or base.reason == STOPPED:
            self._nothing_tried()
        if base.reason:
            raise UsageError(f"{default.case.id}, which everything is compared with, cannot be run: {base.reason}")
        if base.excess is None:
            raise UsageError(f"no build of {default.case.model.name} could be judged: {base.unjudged}")
        built = self._session.built.get(key(default.case))
        if wrong := next((note for note in getattr(built, "notes", ()) if reasons.NONSENSE in note), ""):
            raise UsageError(f"{default.case.id}: {wrong} Nothing can be compared with it")
        with reading() as reader, self._journal() as journal:
            first = self._own()
            if len(self._trials.tried) == 1:
                self._nothing_tried()
            seen = self._glance(default, journal)
            self._trials.all(recipes.promising(first), by=self._building)  # those that had no time before
            self._vary(first, seen, reader)
            kept = [one.candidate for one in self._trials.inside()]
            if not kept:
                return self._none(default, reader)
            reader.close()  # nothing that is not measured runs beside what is
            by = max(RACING, (1 + self._building) / 2)
            timed = [*seen, *self._race("builds", [default, *kept], journal, by)]
            timed = [*timed, *self._without_slow_layers(timed, reader, journal)]
            finalists = fastest(_fit(timed))
            others = [one for one in timed if one.candidate.name != default.name]
            if not finalists and all(one.reason.startswith(NOT_TIMED) for one in others):
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
            tried=tuple(self._trials.tried.values()),
            timed=timed,
            best=best[0] if best else None,
            runner_up=best[1] if len(best) > 1 else None,
            choice=choice,
            out_of_time=tuple(name for name in self._skipped if name not in self._trials.tried),
            spared=tuple(self._spared),
            seconds=self._clock.spent,
        )

    # --- builds ---

    def _own(self) -> list[tuple[Recipe, str]]:
        """The zoo's builds and the plain ones, made and evaluated."""
        request = self._request
        zoo_own = recipes.own(request.variants, request.default.recipe.name)
        first = recipes.distinct([(request.default.recipe, ""), *zoo_own, *self._plain()])[1:]
        for one in recipes.promising(first):
            self._trials.all([one], by=BUILDING if self._trials.inside() else RACING)
        return first

    @property
    def _building(self) -> float:
        """The share of the time for searching by which builds are over: the more, the quicker processes are timed."""
        one = self._clock.expected("process")
        if one is None:
            return BUILDING
        racing = (len(self._trials.inside()) + PROCESSES) * one
        return max(BUILDING, 1 - racing / self._clock.searching)

    def _plain(self) -> list[tuple[Recipe, str]]:
        floats = [one for one in self._request.variants if one.precision == "float32"]
        return recipes.plain(self._request.default.recipe) if floats else []

    def _glance(self, default: TuneCandidate, journal: Journal) -> list[TimedBuild]:
        """One process of everything that there is so far, whatever it costs: what is slow is not worth varying."""
        there = [one.candidate for one in self._trials.tried.values() if not one.reason]
        others = [one for one in there if one is not default]
        return self._race("builds, a first look", [default, *others], journal, RACING, rungs=(1,))

    def _vary(self, first: Sequence[tuple[Recipe, str]], seen: Sequence[TimedBuild], reader: GraphReader) -> None:
        """Vary the quantized builds, the fastest first, until the time for building is over."""
        times = {one.candidate.case.recipe.name: one.example_s for one in seen}
        least = min((one.example_s for one in _fit(seen) if one.example_s), default=math.inf)
        there = [
            recipe
            for recipe, _ in first
            if cases.quantizing(recipe) is not None
            and recipe.name in self._trials.tried
            and not self._trials.tried[recipe.name].reason
        ]
        for recipe in sorted(there, key=lambda one: times.get(one.name) or math.inf):
            spent = times.get(recipe.name)
            if spent is not None and spent > FAR * least:
                slower = f"it takes {spent / least:.1f} times as long as the fastest"
                self._spared.append(f"variations of {recipe.name}: {slower}")
                continue
            before = len(self._trials.inside())
            self._family(recipe, [known for known, _ in first if known is not recipe], reader)
            if spent is not None and len(self._trials.inside()) > before:
                least = min(least, spent)  # what varies it is about as fast

    def _family(self, recipe: Recipe, others: Iterable[Recipe], reader: GraphReader) -> None:
        """Variations of a quantized build: closer ones where it is outside the budget, then what may be faster."""
        space = self._request.space
        half = recipes.half_samples(recipe, self._request.default.model.data.calibration) if space.halves else None
        every = [*recipes.variations(recipe, keys.isa(), space.variations), *([half] if half else [])]
        every = [one for one in every if recipes.known(dict(one[0].steps[-1].options))]
        known = [(recipe, ""), *((one, "") for one in others)]
        closer, faster = recipes.apart(recipes.distinct([*known, *every])[len(recipes.distinct(known)) :], recipe)
        own = self._trials.tried[recipe.name]
        if own.keeps:
            if closer:
                named = ", ".join(words for _, words in closer)
                self._spared.append(f"{recipe.name} with {named}: closer at best, and it keeps the budget")
        else:
            closer_ones = self._trials.all(closer, by=self._building, enough=lambda one: one.keeps)
            if not any(one.keeps for one in closer_ones):
                best = max((one for one in [own, *closer_ones] if not one.reason), key=lambda one: one.rank)
                self._mixed(best.candidate.case.recipe, reader)
        self._trials.all(faster, by=self._building)

    def _mixed(self, recipe: Recipe, reader: GraphReader) -> None:
        """The fewest layers in float that keep the budget, of a build that is outside it."""
        worth = self._ranked(recipe, reader, self._building)

        def keeps(number: int) -> bool | None:
            made = cases.changed(recipe, {"exclude": list(worth[:number])}, f"{recipe.name}.float-{number}")
            found = self._trials.all([(made, f"{count(number, 'layer')} in float")], by=self._building)
            return found[0].keeps if found else None

        if worth:
            layers.fewest(len(worth), keeps)

    def _profiled(self, recipe: Recipe, reader: GraphReader, by: float) -> LayerTimes | None:
        """Where the time goes in a quantized build, looked at once; None where that is not known.

        Raises:
            OutOfTime: a share of the time for searching was over first.
        """
        if recipe.name not in self._profiles:
            case = replace(self._request.default, recipe=recipe)
            found = None
            try:
                with self._clock.until(by):
                    built = cases.built(self._session, case, _silent)
                    found = layers.profiled(self._session, reader, case, built, _silent)
            except (BuildError, UsageError, WorkerError) as error:
                self._watch.saying(f"the layers of {recipe.name} are not known: {error}")
            self._profiles[recipe.name] = found
        return self._profiles[recipe.name]

    def _ranked(self, recipe: Recipe, reader: GraphReader, by: float) -> tuple[str, ...]:
        """The layers of a quantized build that bring noise, the one first that is the best to keep in float."""
        if recipe.name in self._worth:
            return self._worth[recipe.name]
        found: tuple[str, ...] = ()
        try:
            if self._clock.over(by):
                raise OutOfTime
            self._watch.saying(f"ranking the layers of {recipe.name}")
            times = self._profiled(recipe, reader, by)
            built = self._session.built.get((self._request.default.model.name, recipe.name))
            if times is not None and isinstance(built, Artifact):
                with self._clock.until(by):
                    found = layers.worth(self._session, reader, built, times)
        except OutOfTime:
            self._skipped.append(f"layers of {recipe.name} in float")
            return ()
        except (BuildError, WorkerError) as error:
            self._watch.saying(f"its layers cannot be ranked: {error}")
        self._worth[recipe.name] = found
        return found

    def _without_slow_layers(
        self, timed: Sequence[TimedBuild], reader: GraphReader, journal: Journal
    ) -> list[TimedBuild]:
        """The fastest build with those layers in float that integers slow, timed; nothing where there are none."""
        best = next(iter(fastest(_fit(timed))), None)
        recipe = best.candidate.case.recipe if best else None
        if recipe is None or cases.quantizing(recipe) is None or self._clock.over(RACING):
            return []
        base = next((one.example_s for one in timed if one.candidate.case is self._request.default), None)
        if best is not None and base and best.example_s and base >= PLENTY * best.example_s:
            why = f"it is {base / best.example_s:.1f} times as fast as the default"
            self._spared.append(f"layers of {recipe.name} in float that integers slow: {why}")
            return []
        try:
            times = self._profiled(recipe, reader, RACING)
        except OutOfTime:
            times = None
            self._skipped.append(f"layers of {recipe.name} in float that integers slow")
        reader.close()
        found = layers.slower(times) if times is not None else ()
        if not found:
            return []
        made = cases.changed(recipe, {"exclude": list(found)}, f"{recipe.name}.float-where-faster")
        words = f"{count(len(found), 'layer')} in float that integers slow"
        kept = [one.candidate for one in self._trials.all([(made, words)], by=SETTINGS) if one.keeps]
        if best is None or not kept:
            return []
        both, better = [best.candidate, *kept], better_than(best.candidate, 1.0)
        return self._race("layers in float that integers slow", both, journal, SETTINGS, hopeful=better)

    # --- time ---

    def _nothing_tried(self) -> NoReturn:
        raise UsageError(
            f"--time-limit {self._request.time_limit:g}s is too short for one candidate: building and evaluating the "
            f"default alone took {self._clock.spent:.0f} s. What was finished is cached: the same command goes on from "
            "there; give it more time"
        )

    def _nothing_timed(self, kept: int) -> NoReturn:
        raise UsageError(
            f"--time-limit {self._request.time_limit:g}s is too short to time one candidate: after "
            f"{self._clock.spent:.0f} s {count(kept, 'build')} kept the budget, and no time was left. What was built "
            "and evaluated is cached: the same command goes on from there; give it more time"
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

    def _race(
        self, what: str, candidates: Sequence[TuneCandidate], journal: Journal, by: float, **how: Any
    ) -> list[TimedBuild]:
        self._watch.timing(what, len(candidates))
        found = race(
            candidates,
            self._job,
            journal,
            watch=_Passing(self._watch, self._clock),
            out_of_time=lambda: self._clock.over(by),
            process_s=self._request.process_s,
            **{"rungs": self._request.space.rungs, **how},
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
            if self._clock.over(SETTINGS):
                self._skipped.append(f"settings of {base.name}")
                break
            if not number:
                changed = list(
                    settings.one_by_one(base.case, counts, self._request.batches, self._request.space.entries)
                )
            else:  # what helped the fastest is likely to help the next
                changed = [(settings.moved(one, base.case), "what helped the fastest") for one in helped[:1]]
            if not changed:
                continue
            candidates = [TuneCandidate(case=case, why=f"{base.why}; {words}") for case, words in changed]
            what, better = f"settings of {base.case.recipe.name}", better_than(base, GAIN)
            timed = self._race(what, [base, *candidates], journal, SETTINGS, hopeful=better)
            found += [one for one in timed if one.candidate is not base]
            alone = next((one.example_s for one in timed if one.candidate is base and one.example_s), None)
            helped = [one.candidate.case for one in _fit(timed) if alone and (one.example_s or math.inf) < GAIN * alone]
            whole = settings.combined(base.case, helped)
            if whole is not None and not self._clock.over(SETTINGS):
                candidate = TuneCandidate(case=whole, why=f"{base.why}; what helped, together")
                first = next(one.candidate for one in _fit(timed) if one.candidate.case is helped[0])
                both, better = [first, candidate], better_than(first, 1.0)
                found += self._race("what helped, together", both, journal, SETTINGS, hopeful=better)
        return found

    def _confirm(self, best: Sequence[TuneCandidate], default: TuneCandidate) -> ConfirmedChoice:
        """The best, the runner-up and the default in live groups; the default is a candidate as well."""
        members = {one.name: one for one in [*best, default]}
        left = self._request.time_limit - self._clock.spent
        group_s = self._clock.member_s * len(members)
        # Confirming is not to take longer than half of what it confirms.
        worth = min(left, self._clock.spent / 2)
        fewest, most = self._request.space.blocks
        blocks = max(fewest, min(most, int(worth / group_s)))
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
            ),
            goes_on=lambda _: self._clock.spent < self._request.time_limit,
        )

    def _none(self, default: TuneCandidate, reader: GraphReader) -> Tuned:
        """What is said where nothing keeps the budget: the best that was seen, and its layers to blame."""
        tried = self._trials.tried
        seen = [one for one in tried.values() if one.candidate is not default and not one.reason]
        nearest = max(seen, key=lambda one: one.rank, default=None)
        blame: tuple[str, ...] = ()
        if nearest is not None and cases.quantizing(nearest.candidate.case.recipe) is not None:
            blame = self._ranked(nearest.candidate.case.recipe, reader, SETTINGS)[:5]
        return Tuned(
            default=default,
            tried=tuple(tried.values()),
            nearest=nearest,
            blame=blame,
            out_of_time=tuple(name for name in self._skipped if name not in self._trials.tried),
            spared=tuple(self._spared),
            seconds=self._clock.spent,
        )


class _Passing(RaceWatcher):
    """Passes on what a race shows."""

    def __init__(self, watch: TuneWatcher, clock: TuneClock) -> None:
        self._watch, self._clock = watch, clock
        self._before = clock.spent

    def sharpened(self, row: object) -> None:
        self._seen(row)

    def finished(self, row: object) -> None:
        self._seen(row)

    def _seen(self, row: object) -> None:
        now = self._clock.spent
        self._clock.took("process", now - self._before)
        self._before = now
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
