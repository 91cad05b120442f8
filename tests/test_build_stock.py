"""What lies in the cache, and its pruning."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from harness.build import stock
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
        (entry.kind, entry.made_by) for entry in stock.entries(cache)
    ]
    assert () == stock.prune(cache)
    assert () == stock.prune(cache, older_than_s=500, kind="evaluations")
    assert [DIGEST] == [entry.digest for entry in stock.prune(cache, older_than_s=500)]
    assert ["key"] == [entry.digest for entry in stock.prune(cache, everything=True)]
    assert () == stock.entries(cache)
    with pytest.raises(StoreError, match="Valid: artifacts"):
        stock.prune(cache, kind="model")
