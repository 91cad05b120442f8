"""What the cache already has for a variant, found without importing a framework."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import frameworks, reasons
from harness.build import keys
from harness.build.recipes import keeps_precision, resolve_recipe
from harness.errors import BuildError, Skip, Unsupported
from harness.frameworks import hub, surroundings
from harness.records import Artifact, Built, Refusal, Status, Weights, wire

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.build.cache import Cache
    from harness.records import ModelSpec, Recipe


def lookup(cache: Cache, model: ModelSpec, recipe: Recipe, *, probe: bool = False, deep: bool = False) -> Built | None:
    """As `lookup_all`, of one variant."""
    return lookup_all(cache, model, [recipe], probe=probe, deep=deep)[recipe.name]


def lookup_all(
    cache: Cache, model: ModelSpec, recipes: Iterable[Recipe], *, probe: bool = False, deep: bool = False
) -> dict[str, Built | None]:
    """The artifact of each variant of a model, or why there is none, or None when it has to be built.

    Args:
        cache: where to look.
        model: the zoo entry.
        recipes: the variants.
        probe: ask the hub whether seeded weights are still all that can be had (at most 1.5 s, once per process);
            otherwise they are taken to be.
        deep: hash the files instead of trusting size and modification time.

    Returns:
        By the name of the variant, an `Artifact`, a `Refusal` (skipped, or the recipe is wrong in itself) or None.
    """
    around = surroundings.known(model, cache.environments)

    @functools.cache
    def shared() -> tuple[Weights, str] | None:
        """The model's weights and the digest of its reference: the same for all variants."""
        found = resolution(cache, model, probe=probe)
        weights = None if found is None else Weights(**found["weights"])
        return None if weights is None else (weights, keys.reference_key(model, weights.digest, around))

    results: dict[str, Built | None] = {}
    for recipe in recipes:
        try:
            resolved = resolve_recipe(recipe)
            known = shared()
            digests = () if known is None else keys.step_keys(model, resolved, known[0].digest, around)
        except BuildError as error:
            results[recipe.name] = refusal(error)
            continue
        results[recipe.name] = known and _cached(cache, model, resolved, digests, *known, deep=deep)
    return results


def _cached(
    cache: Cache,
    model: ModelSpec,
    recipe: Recipe,
    digests: tuple[str, ...],
    weights: Weights,
    reference_digest: str,
    *,
    deep: bool,
) -> Built | None:
    """What the cache has under the digests of a recipe's steps."""
    *earlier, last = digests
    for digest in earlier:
        if (refused := _refused(cache.meta("artifacts", digest))) is not None:
            return refused
    meta = cache.meta("artifacts", last, deep=deep)
    if (refused := _refused(meta)) is not None:
        return refused
    reference = cache.meta("references", reference_digest, deep=deep)
    proof = (meta or {}).get("proofs", {}).get(proof_key(reference_digest, recipe))
    if meta is None or reference is None or proof is None or "stated" not in meta:
        return None
    return _artifact(last, model, recipe, weights=weights, meta=meta, reference=reference, proof=tuple(proof))


def _refused(meta: dict[str, Any] | None) -> Refusal | None:
    """The refusal that a step left in the cache."""
    if meta is None or "refusal" not in meta:
        return None
    return Refusal(status=Status.SKIPPED, reason=str(meta["refusal"]))


def resolution(cache: Cache, model: ModelSpec, *, probe: bool) -> dict[str, Any] | None:
    """Which weights the model's request got last time; None when that is unknown or may have changed."""
    around = surroundings.known(model, cache.environments)
    there = around is not None or not surroundings.is_apart(model)
    found = cache.resolution(keys.source_key(model, around)) if there else None
    if found is None or not isinstance(found.get("weights"), dict):
        return None
    try:
        weights = Weights(**found["weights"])
    except TypeError:
        return None
    if any(keys.stat_of(Path(path)) != status for path, status in found.get("files", [])):
        return None
    fallback = weights.kind == "seeded" and model.weights.kind == "pretrained"
    if fallback and model.weights.require:
        return None
    url = frameworks.get(model.source).hub_url()
    if fallback and probe and url is not None and not hub.unreachable(url):
        return None
    return found


def refusal(error: BuildError) -> Refusal:
    """The refusal that an error means for a variant."""
    status = Status.SKIPPED if isinstance(error, Skip) else Status.FAILED
    if isinstance(error, Unsupported):
        status = Status.UNSUPPORTED
    return Refusal(status=status, reason=reasons.essence(str(error)))


def proof_key(reference_digest: str, recipe: Recipe) -> str:
    """What a proof is good for: one reference, one claimed precision, one optimization level."""
    return f"{reference_digest}/{recipe.precision}/{recipe.optimization}"


def _artifact(
    digest: str,
    model: ModelSpec,
    recipe: Recipe,
    *,
    weights: Weights,
    meta: dict[str, Any],
    reference: dict[str, Any],
    proof: tuple[str, ...],
) -> Artifact:
    held = wire.reference_from_json(reference)
    return Artifact(
        digest=digest,
        model=model.name,
        variant=recipe.name,
        weights=weights,
        reference=held,
        bytes=int(meta["bytes"]),
        nodes=int(meta["nodes"]),
        operators=meta["operators"],
        fusion=meta["fusion"],
        stated=meta["stated"],
        seconds=float(meta["seconds"]),
        steps=recipe.steps,
        notes=(*meta["notes"], *held.notes, *proof),
        precision=str(meta.get("precision", "")) if keeps_precision(recipe) else "",
    )
