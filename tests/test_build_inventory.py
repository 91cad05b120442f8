"""What lies in the cache, and its pruning."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from harness.build import inventory
from harness.build.cache import Cache
from harness.errors import StoreError
from tests.test_build_cache import DIGEST, admit


def test_prune_by_age_and_kind(tmp_path: Path) -> None:
    """Entries are listed with what made them, and pruned by last use, by kind, or all; nothing else is touched."""
    cache = Cache(tmp_path)
    admit(cache)
    cache.put_evaluation("key", {})
    old = time.time() - 1000
    os.utime(cache.artifact_path(DIGEST).with_name("meta.json"), (old, old))

    assert [("artifacts", "tiny: export"), ("evaluations", "")] == [
        (entry.kind, entry.made_by) for entry in inventory.entries(cache)
    ]
    assert () == inventory.prune(cache)
    assert () == inventory.prune(cache, older_than_s=500, kind="evaluations")
    assert [DIGEST] == [entry.digest for entry in inventory.prune(cache, older_than_s=500)]
    assert ["key"] == [entry.digest for entry in inventory.prune(cache, everything=True)]
    assert () == inventory.entries(cache)
    with pytest.raises(StoreError, match="Valid: artifacts"):
        inventory.prune(cache, kind="model")
