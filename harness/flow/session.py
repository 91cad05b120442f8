"""What a set of cases shares: builds, the targets of this host, where the numbers come from. Each is done once.

A sweep, asv, pytest and the benchmarks measure cases through one of these; they differ only in what they do with the
outcomes.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

from harness import provenance, runtime_spec
from harness.build import packages, pipeline
from harness.build.cache import Cache
from harness.errors import UsageError, WorkerError, WorkerRefusal
from harness.flow import plan as planning
from harness.flow.execute import UNSUPPORTED_KINDS, Job, run_case
from harness.flow.preview import Preview, SweepSettings
from harness.measure import coordinator, host
from harness.records import Built, Case, HostInfo, ModelSpec, Outcome, Recipe, Run, RuntimeInfo, Target
from harness.runtimes import framework_environments
from harness.runtimes.client import Client
from harness.runtimes.clients import WorkerStarter, client_factory
from harness.runtimes.environments import Say, silent
from harness.zoo import Zoo

OnBuild = Callable[[pipeline.BuildEvent], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedTargets:
    """What trying targets gave; the keys are targets' names.

    Attributes:
        clients: what starts the target's worker; absent where its runtime cannot be had.
        unusable: why it cannot be used here.
        absent: why its runtime cannot be had, which is a failure: what is missing can be installed.
        floors: its measurement floor in seconds.
        runtimes: what its worker said.
    """

    clients: Mapping[str, WorkerStarter] = field(default_factory=dict)
    unusable: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    floors: Mapping[str, float] = field(default_factory=dict)
    runtimes: Mapping[str, RuntimeInfo] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON, so that other processes need not try the same again."""
        return {
            "clients": {name: asdict(one) for name, one in self.clients.items()},
            "unusable": dict(self.unusable),
            "absent": dict(self.absent),
            "floors": dict(self.floors),
            "runtimes": {name: asdict(one) for name, one in self.runtimes.items()},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(
            clients={
                name: WorkerStarter(**{**one, "command": tuple(one["command"])})
                for name, one in content["clients"].items()
            },
            unusable=content["unusable"],
            absent=content.get("absent", {}),  # left by a harness of another commit
            floors=content["floors"],
            runtimes={
                name: RuntimeInfo(**{**one, "providers": tuple(one["providers"])})
                for name, one in content["runtimes"].items()
            },
        )


class MeasureFloor(Protocol):
    """Times a one-node model on a target: `harness.measure.coordinator.floor`, or what stands for it."""

    def __call__(self, target: Target, *, client: coordinator.ClientFactory) -> tuple[float, RuntimeInfo]:
        """See `harness.measure.coordinator.floor`."""


TryTargets = Callable[[Sequence[Case], Path], TriedTargets]


class BuildAll(Protocol):
    """Builds variants of models: `harness.build.pipeline.build`, or what does the same elsewhere."""

    def __call__(
        self,
        cache: Cache,
        requests: Sequence[tuple[ModelSpec, Sequence[Recipe]]],
        *,
        on_event: OnBuild,
        surround: pipeline.Surround,
    ) -> Mapping[tuple[str, str], Built]:
        """See `harness.build.pipeline.build`."""


class Session:
    """Cases of one zoo on this host.

    Attributes:
        cases: all of them.
        built: model and variant -> what became of it, as far as `build` was called.
    """

    def __init__(
        self,
        *,
        zoo: Zoo,
        cases: Sequence[Case],
        settings: SweepSettings,
        cache: Path,
        results: Path,
        attempt: TryTargets | None = None,
        measured_on: HostInfo | None = None,
        builds: BuildAll | None = None,
        say: Say = silent,
    ) -> None:
        """Nothing is done yet.

        Args:
            zoo: where the cases come from.
            cases: what is to be measured.
            settings: how.
            cache: root of the cache.
            results: what is written there is no change of the checkout.
            attempt: tries targets; `try_targets` where it is not given.
            measured_on: the host that stands for the run; this one where it is not given.
            builds: builds what is not built yet; this host does where it is not given.
            say: hears of what takes a while, such as a runtime that is installed.
        """
        self.zoo = zoo
        self.cases = tuple(cases)
        self.settings = settings
        self.cache = Cache(cache)
        self.built: dict[tuple[str, str], Built] = {}
        self._results = results
        self._measured_on = measured_on
        self._builds = builds or pipeline.build
        self._attempt = attempt or functools.partial(try_targets, say=say)

    @classmethod
    def of(
        cls,
        ahead: Preview,
        *,
        cache: Path,
        results: Path,
        attempt: TryTargets | None = None,
        measured_on: HostInfo | None = None,
        builds: BuildAll | None = None,
        say: Say = silent,
    ) -> Self:
        """A session for everything that is planned."""
        return cls(
            zoo=ahead.zoo,
            cases=ahead.plan.cases,
            settings=ahead.settings,
            cache=cache,
            results=results,
            attempt=attempt,
            measured_on=measured_on,
            builds=builds,
            say=say,
        )

    def build(
        self, cases: Sequence[Case] | None = None, *, on_event: OnBuild = lambda _: None
    ) -> Mapping[tuple[str, str], Built]:
        """Build what these cases need and is not built yet; all cases where none are given.

        Raises:
            StoreError: the cache cannot be written.
        """
        missing = [case for case in (self.cases if cases is None else cases) if key(case) not in self.built]
        if missing:
            self.built |= self._builds(
                self.cache, planning.by_model(missing), on_event=on_event, surround=framework_environments.ensure
            )
        return self.built

    @functools.cached_property
    def targets(self) -> TriedTargets:
        """What the targets of the cases can do here."""
        return self._attempt(self.cases, self.cache.root)

    @functools.cached_property
    def checkout(self) -> provenance.Checkout:
        """The git checkout that the zoo belongs to."""
        if self.zoo.assumed:
            return provenance.Checkout(apart="files without a zoo belong to no commit")
        return provenance.checkout(self.zoo.path.parent, ignore=self._results)

    @functools.cached_property
    def run(self) -> Run:
        """Where the numbers come from: host, commit, versions and settings."""
        here = self._measured_on or host.here()
        settings = asdict(self.settings)
        changed = self.checkout.changed
        changes = hashlib.sha256(json.dumps(changed).encode()).hexdigest() if changed else None
        return Run(
            id=provenance.run_id(),
            plan=planning.plan_digest(self.zoo, self.cases, {"settings": settings, "changes": changes}),
            started_at=coordinator.utc_now(),
            commit=self.checkout.commit,
            dirty=bool(changed),
            commit_time=self.checkout.commit_time,
            fingerprint=here.fingerprint,
            host=here.facts,
            versions=provenance.versions(packages.distributions()),
            settings=settings,
            floor_s=self.targets.floors,
        )

    def job(self, case: Case) -> Job:
        """All that measuring a case takes, fit to be sent to another process; built now where it is not yet."""
        name = case.target.name
        unusable = self.targets.unusable.get(name, "")
        return Job(
            case=case,
            built=self.build([case])[key(case)],
            settings=self.settings,
            cache=self.cache.root,
            client=self.targets.clients.get(name),
            unusable=unusable,
            absent=self.targets.absent.get(name, ""),
            floor_s=self.targets.floors.get(name),
            runtime=self.targets.runtimes.get(name),
        )

    def measure(self, case: Case, *, settings: SweepSettings | None = None) -> Outcome:
        """Measure one case in this process.

        Args:
            case: one of the session's.
            settings: instead of the session's own.

        Raises:
            StoreError: the cache cannot be written.
        """
        return run_case(replace(self.job(case), settings=settings or self.settings))


def key(case: Case) -> tuple[str, str]:
    """What an artifact is built for: model and variant."""
    return case.model.name, case.recipe.name


def try_targets(
    cases: Sequence[Case],
    cache: Path,
    *,
    say: Say = silent,
    floor: MeasureFloor = coordinator.floor,
    starter: Callable[..., WorkerStarter] = client_factory,
) -> TriedTargets:
    """Find every target's runtime, and run a one-node model on its provider once.

    Args:
        cases: their targets are tried.
        cache: root of the cache, which runtimes are installed in.
        say: called before one is installed.
        floor: runs the model.
        starter: finds what starts a target's worker.

    Raises:
        StoreError: the cache cannot be written.
    """
    clients: dict[str, WorkerStarter] = {}
    unusable: dict[str, str] = {}
    absent: dict[str, str] = {}
    floors: dict[str, float] = {}
    runtimes: dict[str, RuntimeInfo] = {}
    tried: dict[str, Target] = {}
    for case in cases:
        tried.setdefault(case.target.name, case.target)
    for name, target in tried.items():
        try:
            clients[name] = starter(target, cache, say=say)
            if runtime_spec.decodes_alone(target.runtime):
                with clients[name]() as client:
                    runtimes[name] = client.runtime
                continue
            single = replace(target, intra_threads=1, batch=1)
            floors[name], runtimes[name] = floor(
                single, client=functools.partial(_introduced, clients[name], name, runtimes)
            )
        except UsageError as error:
            absent[name] = str(error)
        except WorkerRefusal as error:
            if error.kind in UNSUPPORTED_KINDS:
                unusable[name] = str(error)
        except WorkerError:
            # A worker that does not even run is not a missing provider: its cases shall fail, each with the reason.
            continue
    return TriedTargets(clients=clients, unusable=unusable, absent=absent, floors=floors, runtimes=runtimes)


def _introduced(start: WorkerStarter, name: str, runtimes: dict[str, RuntimeInfo]) -> Client:
    """A live worker, whose runtime is known from now on, also where it cannot run the target."""
    worker = start()
    runtimes[name] = worker.runtime
    return worker
