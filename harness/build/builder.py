"""The child's work: one model's variants, step by step, each step at most once. Imports frameworks as it goes."""

from __future__ import annotations

import errno
import os
import shutil
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness import frameworks, graphs, reasons
from harness.build import keys, lookup, recipes, steps
from harness.build.stated import stated
from harness.build.steps.base import Work
from harness.errors import BuildError, HarnessError, Skip, StoreError
from harness.frameworks import surroundings
from harness.records import InputSpec, Recipe, Reference, Weights, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import onnx

    from harness.build.cache import Cache
    from harness.frameworks.base import Loaded
    from harness.records import Json, ModelSpec

LEAST_FREE_BYTES = 16 * 1024 * 1024
"""With less than this left, a failed step is taken for a full disk, whatever the library called it."""


class Maker:
    """Builds the variants of one model into a cache.

    Args:
        cache: where everything goes.
        model: the zoo entry.
        tell: called with (step, state, seconds, detail) as the work proceeds.
    """

    def __init__(self, cache: Cache, model: ModelSpec, tell: Callable[[str, str, float, str], None]) -> None:
        self._cache, self._model, self._tell = cache, model, tell
        self._fed = model  # with the inputs of a file that the zoo names none for
        self._loaded: Loaded | None = None
        self._failed: dict[str, BuildError] = {}
        self._around = surroundings.known(model, cache.environments)

    def make(self, recipe: Recipe) -> None:
        """Build what a variant still lacks, and prove it.

        Raises:
            BuildError: a step failed, makes no sense, or wrote something broken; its text says which.
            StoreError: the cache cannot be written.
        """
        recipe = recipes.resolve_recipe(recipe)
        weights, facts = self._weights()
        if "inputs" in facts:
            known = tuple(map(InputSpec.from_json, facts["inputs"]))
            self._fed = replace(self._model, inputs=known, dims=facts.get("dims", self._model.dims))
        digests = keys.step_keys(self._model, recipe, weights.digest, self._around)
        reference = self._reference(weights)
        for place, digest in enumerate(digests):
            partial = recipes.partial(recipe, place)
            if digest in self._failed:
                raise self._failed[digest]
            try:
                self._step(
                    partial,
                    digest,
                    previous=digests[place - 1] if place else None,
                    reference=reference,
                    weights=weights,
                    facts=facts,
                )
            except StoreError:
                raise
            except BuildError as error:
                self._failed[digest] = error
                raise
        self._prove_existing(recipe, digests[-1], reference)

    def _weights(self) -> tuple[Weights, Mapping[str, Json]]:
        """The weights that the request gets, loaded only where the cache does not know."""
        found = lookup.resolution(self._cache, self._model, probe=True)
        if found is None or self._loaded is not None:
            loaded = self._load()
            return loaded.weights, loaded.facts
        return Weights(**found["weights"]), found["facts"]

    def _load(self) -> Loaded:
        """The model in memory, and a note in the cache of which weights it got."""
        if self._loaded is None:
            started = time.perf_counter()
            self._tell("load", "started", 0.0, "")
            for name in frameworks.names():
                for variable, value in frameworks.get(name).environment.items():
                    os.environ.setdefault(variable, value)
            if self._around is None:
                loaded = frameworks.get(self._model.source).load(self._model)
            else:
                from harness.frameworks import apart

                loaded = apart.load(self._model, self._around)
            files = [str(path) for path in loaded.facts.get("files", [])]
            content = {
                "weights": wire.weights_to_json(loaded.weights),
                "facts": dict(loaded.facts),
                "files": [[path, keys.stat_of(Path(path))] for path in files],
                "made_by": f"{self._model.name}: {loaded.weights.kind} weights",
                "created": time.time(),
            }
            self._cache.put_resolution(keys.source_key(self._model, self._around), content)
            self._tell("load", "done", time.perf_counter() - started, f"{loaded.weights.kind} weights")
            self._loaded = loaded
        return self._loaded

    def _loaded_as(self, weights: Weights) -> Loaded:
        """The model in memory, with the weights that the digests were computed from."""
        loaded = self._load()
        if loaded.weights.digest != weights.digest:
            raise WeightsChanged(
                f"{self._model.name}: the weights are {loaded.weights.kind} {loaded.weights.digest[:12]} now and were "
                f"{weights.kind} {weights.digest[:12]} before."
            )
        return loaded

    def _reference(self, weights: Weights) -> Reference:
        """The reference, computed where the cache does not have it."""
        digest = keys.reference_key(self._model, weights.digest, self._around)
        meta = self._cache.meta("references", digest, deep=True)
        if meta is not None:
            return wire.reference_from_json(meta)
        from harness.build import reference

        loaded = self._loaded_as(weights)
        started = time.perf_counter()
        self._tell("reference", "started", 0.0, "")
        with self._cache.workdir() as folder:
            try:
                made = reference.write(loaded, folder, digest)
            except Exception as error:
                fault = self._fault("reference", error)
                guessed = {axis: size for axis, size in loaded.model.dims.items() if axis not in self._model.dims}
                if isinstance(fault, BuildError):
                    raise type(fault)(reasons.with_sizes(str(fault), guessed)) from error
                raise fault from error
            meta = {
                **wire.reference_to_json(made),
                "made_by": f"{self._model.name}: {made.examples} examples, {made.origin}",
            }
            self._cache.admit("references", digest, folder, meta)
        self._tell("reference", "done", time.perf_counter() - started, made.origin)
        return made

    def _step(
        self,
        recipe: Recipe,
        digest: str,
        *,
        previous: str | None,
        reference: Reference,
        weights: Weights,
        facts: Mapping[str, Json],
    ) -> None:
        """Run the last step of a (partial) recipe unless its result is there."""
        found = self._cache.meta("artifacts", digest, deep=True)
        if found is not None:
            if "refusal" in found:
                raise Skip(str(found["refusal"]))
            return
        step = recipe.steps[-1]
        before = (self._cache.meta("artifacts", previous) or {}) if previous else {}
        source = self._cache.artifact_path(previous) if previous else None
        loaded = self._loaded_as(weights) if step.kind == steps.FIRST else None
        self._tell(step.kind, "started", 0.0, "")
        started = time.perf_counter()
        with self._cache.workdir() as folder:
            try:
                model = self._fed if loaded is None else loaded.model
                work = Work(model=model, loaded=loaded, before=source, facts=facts, folder=folder)
                done = recipes.run(step, work)
                seconds = time.perf_counter() - started
                proofs = self._proofs(recipe, folder, reference)
            except Skip as error:
                shutil.rmtree(folder)
                folder.mkdir()
                self._cache.admit(
                    "artifacts", digest, folder, {"refusal": str(error), "made_by": self._made_by(recipe)}
                )
                raise
            except Exception as error:
                raise self._fault(step.kind, error) from error
            meta = {
                **_measured(folder),
                "made_by": self._made_by(recipe),
                "steps": wire.steps_to_json(recipe.steps),
                "weights": wire.weights_to_json(weights),
                "fusion": dict(done.fusion) or before.get("fusion") or {},
                "notes": [*before.get("notes", []), *done.notes],
                "seconds": seconds,
                "proofs": proofs,
            }
            self._cache.admit("artifacts", digest, folder, meta)
        self._tell(step.kind, "done", seconds, "")

    def _proofs(self, recipe: Recipe, folder: Path, reference: Reference) -> dict[str, list[str]]:
        """Proof of what a step wrote, before anybody builds on it.

        An export is compared with the framework at once; what a variant does not end with is checked and loaded
        later, by the variants that build on it.
        """
        from harness.build import proof

        path = folder / "model.onnx"
        if recipe.steps[-1].kind != steps.FIRST:
            proof.check(path, recipe.steps[-1].kind)
            return {}
        notes = proof.prove(
            path, recipe, reference, self._cache.reference_dir(reference.digest), untouched=self._untouched(recipe)
        )
        return {lookup.proof_key(reference.digest, recipe): list(notes)}

    def _prove_existing(self, recipe: Recipe, digest: str, reference: Reference) -> None:
        """Prove the variant as it will be measured, unless that was done before.

        Raises:
            BuildError: it is broken; the file stays as a step that others may build on, and never becomes a variant.
        """
        from harness.build import proof

        key = lookup.proof_key(reference.digest, recipe)
        meta = self._cache.meta("artifacts", digest) or {}
        if "stated" not in meta:  # admitted by an earlier version
            content = _onnx(self._cache.artifact_path(digest))
            self._cache.amend("artifacts", digest, {"stated": stated(content)})
        proofs = dict(meta.get("proofs", {}))
        if key in proofs:
            return
        started = time.perf_counter()
        self._tell("proof", "started", 0.0, "")
        notes = proof.prove(
            self._cache.artifact_path(digest),
            recipe,
            reference,
            self._cache.reference_dir(reference.digest),
            untouched=self._untouched(recipe),
        )
        self._cache.amend("artifacts", digest, {"proofs": {**proofs, key: list(notes)}})
        self._tell("proof", "done", time.perf_counter() - started, "; ".join(notes))

    def _untouched(self, recipe: Recipe) -> bool:
        """Whether a recipe leaves a user's file as it is: then it is measured whatever it computes."""
        return bool(frameworks.get(self._model.source).file) and len(recipe.steps) == 1

    def _made_by(self, recipe: Recipe) -> str:
        return f"{self._model.name}: {' > '.join(recipes.in_words(step) for step in recipe.steps)}"

    def _fault(self, step: str, error: Exception) -> HarnessError:
        """What stopped a step: the cache, where that is what cannot be written, else the step itself.

        Libraries call a full disk many names, so that little free space is taken for one.
        """
        from harness.build.cache import refusal, refuses

        if isinstance(error, StoreError):
            return error
        if isinstance(error, OSError) and refuses(self._cache.root, error):
            return refusal(self._cache.root, error)
        if shutil.disk_usage(self._cache.root).free < LEAST_FREE_BYTES:
            return refusal(self._cache.root, OSError(errno.ENOSPC, f"no space left on device ({error})"))
        if isinstance(error, BuildError):
            return error
        traceback.print_exc()
        return BuildError(f"{step}: {reasons.reason_of(error, tool=True)}")


def _measured(folder: Path) -> dict[str, Json]:
    """Bytes of all files, nodes by operator, the precision of the arithmetic, and what the file says of it."""
    from harness.build import precision

    content = _onnx(folder / "model.onnx")
    operators = graphs.operators(content)
    return {
        "precision": precision.of(content),
        "bytes": sum(path.stat().st_size for path in folder.iterdir()),
        "nodes": sum(operators.values()),
        "operators": dict(operators),
        "stated": stated(content),
    }


def _onnx(path: Path) -> onnx.ModelProto:
    """The file without its external data."""
    import onnx

    return onnx.load(path, load_external_data=False)


class WeightsChanged(BuildError):
    """The request for weights got others than the cache remembers: every digest must be computed anew."""
