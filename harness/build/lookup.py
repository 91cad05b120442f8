"""What the cache already has for a variant, found without importing a framework."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import frameworks, reasons
from harness.build import keys, recipes
from harness.errors import BuildError, Skip, Unsupported
from harness.frameworks import hub
from harness.records import Artifact, Built, Refusal, Status, Weights, wire

if TYPE_CHECKING:
    from harness.build.cache import Cache
    from harness.records import ModelSpec, Recipe


def lookup(cache: Cache, model: ModelSpec, recipe: Recipe, *, probe: bool = False, deep: bool = False) -> Built | None:
    """The artifact of a variant, or why there is none, or None when it has to be built.

    Args:
        cache: where to look.
        model: the zoo entry.
        recipe: the variant.
        probe: ask the hub whether seeded weights are still all that can be had (at most 1.5 s, once per process);
            otherwise they are taken to be.
        deep: hash the files instead of trusting size and modification time.

    Returns:
        An `Artifact`, a `Refusal` (skipped, or the recipe is wrong in itself) or None.
    """
    try:
        recipe = recipes.resolve_recipe(recipe)
        found = resolution(cache, model, probe=probe)
        if found is None:
            return None
        weights = Weights(**found["weights"])
        digests = keys.step_keys(model, recipe, weights.digest)
        reference_digest = keys.reference_key(model, weights.digest)
    except BuildError as error:
        return refusal(error)
    for digest in digests:
        meta = cache.meta("artifacts", digest, deep=deep and digest == digests[-1])
        if meta is not None and "refusal" in meta:
            return Refusal(status=Status.SKIPPED, reason=str(meta["refusal"]))
        if digest != digests[-1]:
            continue
        reference = cache.meta("references", reference_digest, deep=deep)
        proof = (meta or {}).get("proofs", {}).get(proof_key(reference_digest, recipe))
        if meta is None or reference is None or proof is None or "stated" not in meta:
            return None
        return _artifact(digest, model, recipe, weights=weights, meta=meta, reference=reference, proof=tuple(proof))
    return None


def resolution(cache: Cache, model: ModelSpec, *, probe: bool) -> dict[str, Any] | None:
    """Which weights the model's request got last time; None when that is unknown or may have changed."""
    found = cache.resolution(keys.source_key(model))
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
        precision=str(meta.get("precision", "")) if recipes.keeps_precision(recipe) else "",
    )
