"""The zoo entry that a stored row was measured by: what it says of axes and of where the weights come from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness import zoo
from harness.build import lookup
from harness.build.cache import Cache
from harness.errors import HarnessError
from harness.init.bare import FOLDER
from harness.records import ModelSpec
from harness.store.rows import Row


def described(cache: Cache, zoo_file: Path, row: Row) -> ModelSpec | None:
    """The entry of the row's model whose weights are those of the row: of the zoo, or as a sweep of files assumed it.

    Args:
        cache: knows which weights an entry got, and the zoos that were assumed for files.
        zoo_file: it may be missing, or have a mistake: that does not keep a build from being shipped.
        row: as it is stored.

    Returns:
        The zoo's own entry where nothing tells whose weights they are; None where no zoo has the model.
    """
    digest = (row.get("weights") or {}).get("digest")
    named = None
    for place, model in _entries(cache, zoo_file, row["model"]):
        known = lookup.resolution(cache, model, probe=False)
        if known is not None and known["weights"].get("digest") == digest:
            return model
        if place == zoo_file and known is None:
            named = model
    return named


def _entries(cache: Cache, zoo_file: Path, name: str) -> Iterator[tuple[Path, ModelSpec]]:
    assumed = sorted((cache.root / FOLDER).glob("*/model_zoo.yaml"), key=lambda path: -path.stat().st_mtime)
    for place in (zoo_file, *assumed):
        try:
            model = zoo.load(place).models.get(name) if place.is_file() else None
        except HarnessError:
            model = None
        if model is not None:
            yield place, model
