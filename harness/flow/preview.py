"""What a sweep is asked for, and what it is going to do. Imports nothing that measures, builds or stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness import confirmation, frameworks, zoo
from harness.build.cache import Cache
from harness.build.lookup import lookup_all
from harness.flow import plan as planning
from harness.flow.plan import Plan, Selection
from harness.frameworks import surroundings
from harness.records import Artifact, Case

START_UP_S = 1.0
MEMBER_S = 2.0
"""What starting a worker on a network of some hundred megabytes, and one member of a block that confirms (start,
warm-up, bursts) took on two cores: good for saying whether a sweep takes minutes or hours, and used for nothing
else. What building takes, the framework says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRequest:
    """What a person asked for; None leaves it to the zoo's defaults.

    Attributes:
        assumed: whether the zoo stands for files that were named without one.
    """

    zoo: Path
    results: Path
    cache: Path
    selection: Selection = field(default_factory=Selection)
    processes: int | None = None
    time_per_case: float | None = None
    ci_width: float | None = None
    resume: bool = True
    order: str = "round"
    confirm: bool = True
    early_stop: bool | None = None
    cold_cache: bool = False
    assumed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSettings:
    """How every case of a sweep is measured.

    Attributes:
        processes: fresh worker processes per case.
        time_per_case: seconds of inference, warm-up included, over all processes.
        ci_width: full relative width of the 95% interval at which sampling may stop early.
        order: in which order processes run, see `harness.measure.rounds`.
        early_stop: whether cases that cannot be the fastest stop early, see `harness.flow.early_stop`; never where
            `order` is not by rounds.
        cold_cache: whether a second process of each is started with its files dropped from the page cache.
    """

    processes: int
    time_per_case: float
    ci_width: float
    order: str = "round"
    early_stop: bool = False
    cold_cache: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a sweep is going to do.

    Attributes:
        missing: (model, variant) pairs without a usable artifact in the cache.
        left_out: cases that will have no number, as an earlier build has shown, by the reason.
        confirm: whether choices are confirmed.
        to_install: the frameworks whose environments a build has to make first, such as `keras`.
    """

    zoo: zoo.Zoo
    plan: Plan
    settings: SweepSettings
    missing: tuple[tuple[str, str], ...]
    to_install: tuple[str, ...] = ()
    confirm: bool = True
    left_out: Mapping[str, tuple[Case, ...]] = field(default_factory=dict)

    @property
    def measuring_s(self) -> float:
        """Seconds that measuring may take: every case to the end of its time, and a start for each process."""
        timed = len(self.plan.cases) - sum(map(len, self.left_out.values()))
        return timed * (self.settings.time_per_case + self.settings.processes * START_UP_S)

    @property
    def confirming_s(self) -> float:
        """Seconds that confirming may take: of every model and target as many cases as are confirmed at most."""
        groups = Counter((case.model.name, case.target.label) for case in self.plan.cases)
        known = self.confirming_by_cases
        return sum(known[count] for count in groups.values())

    @property
    def confirming_by_cases(self) -> Mapping[int, float]:
        """Seconds that one choice may take, by the number of cases that there are to choose from."""
        return {
            count: confirmation.BLOCKS * min(count, confirmation.MOST + 1) * MEMBER_S
            if self.confirm and count > 1
            else 0.0
            for count in range(len(self.plan.cases) + 1)
        }

    @property
    def building_s(self) -> float:
        """Seconds that building may take, roughly: of each variant what its model's framework states."""
        return sum(self.building.values())

    @property
    def building(self) -> Mapping[tuple[str, str], float]:
        """The same for each artifact."""
        return {one: frameworks.get(self.zoo.models[one[0]].source).build_s for one in self.missing}


def preview(request: SweepRequest) -> Preview:
    """Read the zoo, plan the cases and look what is built already. Costs milliseconds, changes nothing."""
    the_zoo = replace(zoo.load(request.zoo), assumed=request.assumed)
    plan = planning.plan(the_zoo, request.selection)
    defaults = the_zoo.defaults
    settings = SweepSettings(
        processes=request.processes or defaults.processes,
        time_per_case=request.time_per_case or defaults.time_per_case_s,
        ci_width=request.ci_width or defaults.ci_width,
        order=request.order,
        early_stop=defaults.early_stop if request.early_stop is None else request.early_stop,
        cold_cache=request.cold_cache,
    )
    cache = Cache(request.cache)
    built = {
        (model.name, variant): found
        for model, recipes in planning.by_model(plan.cases)
        for variant, found in lookup_all(cache, model, recipes).items()
    }
    left_out: dict[str, tuple[Case, ...]] = {}
    for case in plan.cases:
        artifact = built[case.model.name, case.recipe.name]
        if isinstance(artifact, Artifact) and (why := planning.left_out(artifact, case.target.batch)):
            left_out[why] = (*left_out.get(why, ()), case)
    return Preview(
        zoo=the_zoo,
        plan=plan,
        settings=settings,
        missing=tuple(key for key, found in built.items() if found is None),
        to_install=_to_install(the_zoo, plan, cache),
        confirm=request.confirm,
        left_out=left_out,
    )


def _to_install(the_zoo: zoo.Zoo, plan: Plan, cache: Cache) -> tuple[str, ...]:
    """The frameworks that have no environment yet, of the models that are planned."""
    models = [the_zoo.models[name] for name in dict.fromkeys(case.model.name for case in plan.cases)]
    own = [one for one in models if surroundings.place_of(one) == surroundings.OWN]
    return tuple(dict.fromkeys(one.source for one in own if surroundings.known(one, cache.environments) is None))
