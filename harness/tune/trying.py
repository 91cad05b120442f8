"""Builds that are really made and evaluated, one after the other, as long as there is time for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from harness.build.pipeline import BuildEvent
from harness.errors import WorkerError
from harness.explain import cases, leaving
from harness.flow.session import Session, key
from harness.processes import OutOfTime
from harness.records import Artifact, Case, Recipe
from harness.tune.clock import TuneClock
from harness.tune.model import TriedBuild, TuneCandidate

RANGES = {"minmax": 1.0, "percentile": 3.0, "entropy": 8.0}
"""How long a build takes by how ranges are chosen, as a multiple of the quickest, before one was made."""

STOPPED = "stopped: the time was over"
"""The reason of a build that was begun and not finished."""


class TrialWatcher(Protocol):
    """Who looks on while builds are tried."""

    def building(self, event: BuildEvent) -> None:
        """A build step started or ended."""

    def tried(self, found: TriedBuild) -> None:
        """A build was evaluated."""


class BuildTrials:
    """What was tried so far, and what there was no time for.

    Attributes:
        tried: by variant, in order.
        skipped: names of what was left out.
    """

    def __init__(self, session: Session, default: Case, clock: TuneClock, watch: TrialWatcher) -> None:
        """Nothing is tried yet.

        Args:
            session: builds.
            default: the case that every build is run as.
            clock: knows what still fits.
            watch: looks on.
        """
        self._session, self._default, self._clock, self._watch = session, default, clock, watch
        self.tried: dict[str, TriedBuild] = {}
        self.skipped: list[str] = []

    def candidates(self, found: Iterable[tuple[Recipe, str]]) -> list[TuneCandidate]:
        """Recipes and what they are, as candidates on the default's target."""
        return [TuneCandidate(case=replace(self._default, recipe=recipe), why=words) for recipe, words in found]

    def all(
        self, found: Iterable[tuple[Recipe, str]], *, by: float, enough: Callable[[TriedBuild], bool] = lambda _: False
    ) -> list[TriedBuild]:
        """Build and evaluate each that still fits into a share of the time for searching.

        Args:
            found: recipes, and what they are.
            by: the share.
            enough: whether the rest need not be tried, since this one was found.

        Returns:
            What was tried; what was tried before under the same name is not tried again.
        """
        trials = []
        for one in self.candidates(found):
            known = self.tried.get(one.case.recipe.name)
            trial = known or self.one(one, by=by)
            if trial is not None:
                trials.append(trial)
                if enough(trial):
                    break
        return trials

    def one(self, candidate: TuneCandidate, *, by: float) -> TriedBuild | None:
        """Build and evaluate; None where that does not fit into a share of the time for searching."""
        recipe = candidate.case.recipe
        if by < math.inf and not self._clock.fits(by, self._expected(recipe)):
            self.skipped.append(recipe.name)
            return None
        within = self._clock.until(by) if by < math.inf else self._clock.until_the_limit()
        try:
            with within, self._clock.timing(kind(recipe)):
                built = self._session.build([candidate.case], on_event=self._watch.building)[key(candidate.case)]
                trial = self._evaluated(candidate, built)
        except OutOfTime:
            self.skipped.append(recipe.name)
            if candidate.case is not self._default:
                return None
            trial = TriedBuild(candidate=candidate, reason=STOPPED)
        self.tried[recipe.name] = trial
        self._watch.tried(trial)
        return trial

    def _expected(self, recipe: Recipe) -> float:
        """How long a build and its evaluation will take, by those before; nothing where there were none."""
        if (known := self._clock.expected(kind(recipe))) is not None:
            return known
        own, _, ranges = kind(recipe).partition("/")
        others = [
            seconds / factor
            for name, factor in RANGES.items()
            if (seconds := self._clock.expected(f"{own}/{name}")) is not None
        ]
        quick = max(others, default=self._clock.expected(PLAIN) or 0.0)
        return quick * RANGES.get(ranges, 1.0)

    def _evaluated(self, candidate: TuneCandidate, built: object) -> TriedBuild:
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

    def inside(self) -> Sequence[TriedBuild]:
        """What keeps the budget, the default left out."""
        return [one for one in self.tried.values() if one.keeps and one.candidate.case is not self._default]


PLAIN = "float"


def kind(recipe: Recipe) -> str:
    """What tells how long a build takes: `float`, or how it is quantized, such as `static/entropy`."""
    step = cases.quantizing(recipe)
    if step is None:
        return PLAIN
    method = str(step.options.get("method"))
    return f"{method}/{step.options.get('calibration', 'minmax')}" if method == "static" else method
