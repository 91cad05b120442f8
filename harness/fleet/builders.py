"""Builds on the workers of a fleet that build: each model on one of them, so that it is built once for all of them.

What is built travels by its digest, into the cache of the sweep and from there to who measures. A model that lies in
files of this machine, or is made by code of this machine, is built here; so is everything where nobody builds.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import frameworks
from harness.build import lookup, pipeline
from harness.build.cache import Cache
from harness.fleet import depot_builds, member, transfer
from harness.fleet.depot_builds import Asked, DepotBuilds
from harness.fleet.engine import Fleet
from harness.fleet.flights import FETCH_S
from harness.fleet.model import BUILD, BuildAnswer, Entry, FleetHost
from harness.flow.session import BuildAll
from harness.records import Artifact, Built, ModelSpec, Recipe, Refusal, Status, wire

LOOK_S = 0.2
"""How often it is looked whether a build has come to its end, and whether its host is still there."""


def travels(model: ModelSpec, recipes: Sequence[Recipe]) -> bool:
    """Whether a model can be built elsewhere: nothing that it, its data or its variants name is a file or code here."""
    framework = frameworks.get(model.source)
    everywhere = {"harness", *framework.packages.values(), *framework.optional_packages}
    installed = model.id.partition(":")[0].partition(".")[0] in everywhere
    if framework.file or (framework.runs_user_code and not installed):
        return False
    asked = [wire.model_to_json(model), *(wire.recipe_to_json(recipe) for recipe in recipes)]
    return not any(Path(text).is_absolute() and Path(text).exists() for text in _texts(asked))


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value as JSON has it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, Sequence):
        for one in value:
            yield from _texts(one)


def entries(built: Mapping[tuple[str, str], Built]) -> tuple[Entry, ...]:
    """What of the cache artifacts are, each once."""
    found = [one for one in built.values() if isinstance(one, Artifact)]
    each = (entry for one in found for entry in (("artifacts", one.digest), ("references", one.reference.digest)))
    return tuple(dict.fromkeys(each))


class FleetBuilds:
    """Builds as `harness.build.pipeline.build` does, on the fleet where somebody builds there."""

    def __init__(
        self,
        fleet: Fleet,
        *,
        depot: str = "",
        say: Callable[[str], None] = lambda _: None,
        here: BuildAll = pipeline.build,
        look_s: float = LOOK_S,
        goes: Callable[[ModelSpec, Sequence[Recipe]], bool] = travels,
    ) -> None:
        """Nothing is sent yet.

        Args:
            fleet: the hosts; they stay the caller's.
            depot: where entries lie that all hosts reach, as a URL.
            say: hears of what was lost and is built here.
            here: builds what no host does, where there is no depot.
            look_s: how often it is looked whether a host is still there.
            goes: whether a model can be built elsewhere.
        """
        self._fleet, self._depot, self._say, self._look_s, self._goes = fleet, depot, say, look_s, goes
        self._shared = DepotBuilds(depot, say=say) if depot else None
        self._here: BuildAll = self._shared or here

    def __call__(
        self,
        cache: Cache,
        requests: Sequence[Asked],
        *,
        on_event: Callable[[pipeline.BuildEvent], None],
        surround: pipeline.Surround,
    ) -> Mapping[tuple[str, str], Built]:
        """See `harness.build.pipeline.build`.

        Raises:
            StoreError: the cache cannot be written.
        """
        away = self._given_away(cache, requests)
        names = {model.name for model, *_ in away}
        here = [one for one in requests if one[0].name not in names]
        results = dict(self._here(cache, here, on_event=on_event, surround=surround)) if here else {}
        for model, recipes, host, future in away:
            built = self._taken(cache, model, host, future)
            if built is None:
                self._say(f"{host.address} was to build {model.name} and did not: it is built here")
                results |= self._here(cache, [(model, recipes)], on_event=on_event, surround=surround)
                continue
            # What is missing there, such as a framework, may be here; what is wrong with the model is found again.
            failed = [one for one in recipes if _has_failed(built.get((model.name, one.name)))]
            good = {key: one for key, one in built.items() if not _has_failed(one)}
            results |= good
            for event in _events(good):
                on_event(event)
            if failed:
                results |= self._here(cache, [(model, failed)], on_event=on_event, surround=surround)
        return results

    def ahead(self, cache: Cache, requests: Sequence[Asked]) -> None:
        """Have built on the fleet what can be, and brought into the cache; the rest is left to whoever asks for it.

        Raises:
            StoreError: the cache cannot be written.
        """
        for model, _, host, future in self._given_away(cache, requests):
            if self._taken(cache, model, host, future) is None:
                self._say(f"{host.address} was to build {model.name} and did not")

    def _given_away(
        self, cache: Cache, requests: Sequence[Asked]
    ) -> list[tuple[ModelSpec, list[Recipe], FleetHost, Any]]:
        """What is built elsewhere, and by whom: models that can be, and that neither the cache nor a depot has."""
        hosts = [one for one in self._fleet.hosts() if one.builds and not one.refused]
        if self._shared is not None:
            for model, recipes in requests:
                self._shared.bring(cache, model, recipes)
        away = [(model, [*recipes]) for model, recipes in requests if hosts and self._goes(model, [*recipes])]
        away = [(model, recipes) for model, recipes in away if self._lacks(cache, model, recipes)]
        given = [(model, recipes, *self._given(cache, model, recipes, hosts)) for model, recipes in away]
        for model, _, host, _ in given:
            self._say(f"{model.name} is built on {host.name or host.address} ({host.address})")
        return given

    def _lacks(self, cache: Cache, model: ModelSpec, recipes: Sequence[Recipe]) -> bool:
        return any(pipeline.lookup(cache, model, recipe) is None for recipe in recipes)

    def _given(
        self, cache: Cache, model: ModelSpec, recipes: Sequence[Recipe], hosts: Sequence[FleetHost]
    ) -> tuple[FleetHost, Any]:
        """The host that builds a model, the same for everybody as long as it is there, and the task."""
        host = max(hosts, key=lambda one: (hashlib.sha256(f"{one.name}\0{model.name}".encode()).digest(), one.address))
        self._lend(cache, model, host)
        future = self._fleet.client.submit(
            member.build,
            model,
            recipes,
            self._depot,
            workers=[host.address],
            allow_other_workers=False,
            resources={BUILD: 1},
            key=f"build {model.name}-{secrets.token_hex(6)}",
        )
        return host, future

    def _lend(self, cache: Cache, model: ModelSpec, host: FleetHost) -> None:
        """Send weights that were trained here to who builds, rather than have them trained there again."""
        found = lookup.resolution(cache, model, probe=False)
        entries = [one for one in depot_builds.trained_by(found or {}) if transfer.has(cache, one)]
        if entries:
            for entry in self._fleet.ask(member.lacking, [host.address], entries=entries).get(host.address) or ():
                self._fleet.ask(member.receive, [host.address], entry=entry, data=transfer.packed(cache, entry))

    def _taken(
        self, cache: Cache, model: ModelSpec, host: FleetHost, future: Any
    ) -> Mapping[tuple[str, str], Built] | None:
        """What a host built, brought into the cache; None where it is gone, or what it built did not arrive."""
        while not future.done():
            if all(one.address != host.address for one in self._fleet.hosts()):
                return None
            time.sleep(self._look_s)
        if future.status != "finished":
            return None
        try:
            answer: BuildAnswer = future.result(timeout=FETCH_S)
        except TimeoutError:
            return None
        if not all(self._arrived(cache, entry, host) for entry in (*entries(answer.built), *answer.trained)):
            return None
        # The next command then finds them without asking, where its packages are the ones there.
        if answer.resolution is not None and answer.source == depot_builds.source_name(cache, model):
            depot_builds.learn(cache, model, answer.resolution)
        return answer.built

    def _arrived(self, cache: Cache, entry: Entry, host: FleetHost) -> bool:
        """Bring what a host built into the cache; whether it is there now."""
        with contextlib.suppress(transfer.UnreachableDepot):
            if transfer.has(cache, entry) or (self._shared is not None and self._shared.depot.fetch(cache, entry)):
                return True
        data = self._fleet.ask(member.send, [host.address], entry=entry).get(host.address)
        if not isinstance(data, bytes):
            return False
        try:
            transfer.unpack(cache, entry, io.BytesIO(data))
        except transfer.DamagedEntry:
            return False
        return True


def _has_failed(one: Built | None) -> bool:
    return one is None or (isinstance(one, Refusal) and one.status is Status.FAILED)


def _events(built: Mapping[tuple[str, str], Built]) -> Iterator[pipeline.BuildEvent]:
    """What a watcher hears of variants that were built elsewhere."""
    for (model, variant), one in built.items():
        refused = isinstance(one, Refusal)
        yield pipeline.BuildEvent(
            model=model,
            variant=variant,
            step="",
            state="refused" if refused else "done",
            detail=one.reason if isinstance(one, Refusal) else one.weights.kind,
        )
