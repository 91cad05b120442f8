"""Builds through a depot: what it has of a model is fetched before anything is built, and what was built is kept there.

A depot is a place below a URL that many hosts and machines without a fleet reach, such as `--cache s3://bucket/cache`.
It has entries by the digests that the cache knows them by, and under `sources/` which weights a request got, so that a
machine whose cache is empty computes those digests without loading a framework.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from harness import frameworks, sealed, trained, units
from harness.build import keys, lookup, pipeline
from harness.build.cache import Cache
from harness.build.recipes import resolve_recipe
from harness.errors import BuildError, StoreError
from harness.fleet import transfer
from harness.fleet.model import Entry
from harness.fleet.transfer import UnreachableDepot
from harness.flow.session import BuildAll
from harness.frameworks import surroundings
from harness.records import Built, ModelSpec, Recipe

SOURCES = "sources"
"""Of a depot: what requests for weights resolved to."""

Asked = tuple[ModelSpec, Sequence[Recipe]]


class DepotBuilds:
    """Builds as `harness.build.pipeline.build` does, with a depot before it and behind it.

    Attributes:
        depot: the place.
        builds: builds what is missing there, too; None for this host.
    """

    def __init__(
        self, url: str, *, builds: BuildAll | None = None, say: Callable[[str], None] = lambda _: None
    ) -> None:
        """Nothing is asked yet.

        Args:
            url: of the depot.
            builds: builds what is missing there, too; this host does where it is not given.
            say: hears how much was fetched, and of what arrived damaged or cannot be kept.

        Raises:
            UsageError: there is no such kind of URL, or what it needs is not installed.
        """
        self.depot = transfer.Depot(url)
        self.builds, self._say = builds, say
        self._proofs: dict[Entry, Any] = {}
        self._away = False

    def around(self, builds: BuildAll) -> Self:
        """The same place, and what is known of it, around somebody else who builds what is missing there."""
        other = copy.copy(self)
        other.builds = builds
        return other

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
        apart: dict[str, Asked] = {}
        for model, recipes in requests:
            if surroundings.is_apart(model):  # what it is known by depends on an environment that may not be there yet
                apart[model.name] = (model, recipes)
            else:
                self.bring(cache, model, recipes)

        def surrounded(model: ModelSpec, root: Path, say: Callable[[str], None]) -> None:
            surround(model, root, say)
            for one in [apart.pop(name) for name in list(apart) if _alike(apart[name][0], model)]:
                self.bring(cache, *one)

        builds = self.builds or pipeline.build
        built = builds(cache, requests, on_event=on_event, surround=surrounded)
        self.keep(cache, requests)
        return built

    def bring(self, cache: Cache, model: ModelSpec, recipes: Sequence[Recipe]) -> None:
        """Fetch what the cache lacks of variants of a model; nothing where the depot gives nothing.

        Raises:
            StoreError: the cache cannot be written.
        """
        self.fetch(cache, self._lacking(cache, model, recipes), model.name)

    def fetch(self, cache: Cache, entries: Iterable[Entry], what: str) -> None:
        """Fetch entries; nothing where the depot gives nothing.

        Args:
            cache: that lacks them.
            entries: in the order in which they are fetched.
            what: they are of, for the message.

        Raises:
            StoreError: the cache cannot be written.
        """
        if self._away:
            return
        fetched = 0
        try:
            for entry in entries:
                if self.depot.fetch(cache, entry):
                    fetched += 1
                    self._proofs[entry] = (cache.meta(*entry) or {}).get("proofs")
        except UnreachableDepot as error:
            self._away = True
            self._say(f"{error} What is missing is built.")
        if fetched:
            self._say(f"{what}: {units.count(fetched, 'part')} came from {self.depot.url}")
        for entry, why in self.depot.damaged.items():
            self._say(f"{self.depot.url}: {why} ({'/'.join(entry)} is built)")

    def keep(self, cache: Cache, requests: Sequence[Asked]) -> None:
        """Put there what the cache has of these and the depot lacks; what cannot be kept costs nothing else."""
        try:
            for model, recipes in requests if not self._away else ():
                self._keep_source(cache, model)
                for entry in dict.fromkeys(needed(cache, model, recipes)):
                    if transfer.has(cache, entry):
                        self.depot.put(cache, entry, again=self._has_more(cache, entry))
        except StoreError as error:
            self._away = True
            self._say(f"not kept for others: {error}")

    def _lacking(self, cache: Cache, model: ModelSpec, recipes: Sequence[Recipe]) -> Iterator[Entry]:
        """What the cache does not have and variants of a model are made of, as far as the depot knows."""
        if self._away:
            return
        self._bring_source(cache, model)
        own = lookup.resolution(cache, model, probe=False) or {}
        missing = [one for one in recipes if lookup.lookup(cache, model, one, probe=True) is None]
        for entry in dict.fromkeys((*needed(cache, model, missing), *trained_by(own))):
            if not transfer.has(cache, entry):
                yield entry

    def _has_more(self, cache: Cache, entry: Entry) -> bool:
        """Whether something was proven of an entry since it came from there."""
        return entry in self._proofs and self._proofs[entry] != (cache.meta(*entry) or {}).get("proofs")

    def _bring_source(self, cache: Cache, model: ModelSpec) -> None:
        """Learn from the depot which weights a model's request got, where this host does not know better."""
        own, name = lookup.resolution(cache, model, probe=True), source_name(cache, model)
        if name is not None and (own is None or is_fallback(model, own)) and (found := self._source(name)):
            learn(cache, model, found)

    def _keep_source(self, cache: Cache, model: ModelSpec) -> None:
        own, name = lookup.resolution(cache, model, probe=False), source_name(cache, model)
        if own is None or name is None or (content := anywhere(own, model)) is None:
            return
        known = self._source(name)
        if known is None or (is_fallback(model, known) and not is_fallback(model, own)):
            self.depot.put_text(name, sealed.seal(name, content))

    def _source(self, name: str) -> Mapping[str, Any] | None:
        """A resolution as it lies in the depot; None where there is none that is whole."""
        data = self.depot.text(name)
        content = None if data is None else sealed.unsealed(data, name).content
        return content if content is not None and isinstance(content.get("weights"), dict) else None


def learn(cache: Cache, model: ModelSpec, found: Mapping[str, Any]) -> None:
    """Note which weights a model's request got elsewhere, where that is not known here, or only a fallback.

    Args:
        cache: that notes it.
        model: whose weights they are.
        found: as `anywhere` gives it.

    Raises:
        StoreError: the cache cannot be written.
    """
    own = lookup.resolution(cache, model, probe=True)
    better = own is None or (is_fallback(model, own) and not is_fallback(model, found))
    if better and (content := as_here(found, model)) is not None:
        cache.put_resolution(keys.source_key(model, surroundings.known(model, cache.environments)), content)


def source_name(cache: Cache, model: ModelSpec) -> str | None:
    """What a request for weights is called in a depot; None where its framework has no environment yet."""
    around = surroundings.known(model, cache.environments)
    if around is None and surroundings.is_apart(model):
        return None
    return f"{SOURCES}/{keys.source_key(model, around, anywhere=True)}.json"


def needed(cache: Cache, model: ModelSpec, recipes: Sequence[Recipe]) -> Iterator[Entry]:
    """What of a cache variants are made of: the reference, and what each step left; nothing for unknown weights."""
    found = lookup.resolution(cache, model, probe=False)
    if found is None or not recipes:
        return
    around, weights = surroundings.known(model, cache.environments), str(found["weights"]["digest"])
    yield "references", keys.reference_key(model, weights, around)
    for recipe in recipes:
        try:
            yield from (("artifacts", one) for one in keys.step_keys(model, resolve_recipe(recipe), weights, around))
        except BuildError:  # the recipe is wrong in itself, as the build will say
            continue
    yield from trained_by(found)


def trained_by(resolution: Mapping[str, Any]) -> Iterator[Entry]:
    """The weights that were trained for a request, by the name of the training."""
    facts = resolution.get("facts")
    digests = facts.get(trained.FOLDER, ()) if isinstance(facts, Mapping) else ()
    yield from ((trained.FOLDER, str(one)) for one in digests)


def is_fallback(model: ModelSpec, resolution: Mapping[str, Any]) -> bool:
    """Whether these are seeded weights where pretrained ones were asked for and could not be had."""
    return bool(model.weights.kind == "pretrained" and resolution["weights"].get("kind") == "seeded")


def _alike(one: ModelSpec, other: ModelSpec) -> bool:
    """Whether two models run in one environment."""
    return (one.source, one.framework_env) == (other.source, other.framework_env)


def _local(model: ModelSpec) -> str:
    """The file or folder of this machine that a model's weights are; empty where they are none."""
    return model.id if frameworks.get(model.source).file else model.weights.path or ""


def anywhere(own: Mapping[str, Any], model: ModelSpec) -> dict[str, Any] | None:
    """A resolution without what is true of this machine alone; None where its files are not beside the model's own."""
    files, folder = own.get("files", []), Path(_local(model)).parent
    try:
        named = [[Path(path).relative_to(folder).as_posix(), keys.content_of(Path(path))] for path, _ in files]
    except ValueError:
        return None
    facts = {key: value for key, value in dict(own.get("facts", {})).items() if key != "files"}
    return {**own, "facts": facts, "files": named}


def as_here(found: Mapping[str, Any], model: ModelSpec) -> dict[str, Any] | None:
    """The inverse of `anywhere`; None where a file is another one here."""
    folder, files = Path(_local(model)).parent, []
    for name, content in found.get("files", []):
        path = folder / str(name)
        if keys.content_of(path) != content:
            return None
        files.append(path)
    facts = {**found.get("facts", {}), **({"files": [str(path) for path in files]} if files else {})}
    return {
        **found,
        "created": time.time(),
        "facts": facts,
        "files": [[str(path), keys.stat_of(path)] for path in files],
    }
