"""Through how many examples the inferences of a measurement rotate.

An inference that always sees the same input lets branch predictors and caches learn it: 200 trees at batch 1 took 5.8
us with one input and 19.4 us with a new one each time. Every example is bound before anything is timed, so that none
of it is copied while the clock runs; that costs memory, which is limited here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.records.values import ValueEntry

ROTATE, FIXED = "rotate", "fixed"
MODES = (ROTATE, FIXED)

MEMORY = 16_000_000
"""Bytes of inputs that may be bound for the sake of rotation, beyond the first `LEAST` batches."""

LEAST, MOST = 8, 64
"""So many batches are bound where the data has them, whatever they take, and never more."""


def batches(feeds: Mapping[str, Path | ValueEntry], *, batch: int, examples: int, mode: str = ROTATE) -> int:
    """How many batches to bind: at most one for each example.

    Args:
        feeds: input name -> where its examples lie.
        batch: examples in one batch.
        examples: how many are stored.
        mode: one of `MODES`.
    """
    if mode == FIXED or examples < 2:  # noqa: PLR2004  (one example cannot change)
        return 1
    each = batch * sum(map(stored_bytes, feeds.values())) / examples
    fitting = int(MEMORY / each) if each else MOST
    return min(examples, MOST, max(LEAST, fitting))


def stored_bytes(feed: Path | ValueEntry) -> int:
    """What all examples of an input take on the disk, which is what they take in memory; 0 where it is not there."""
    stacked = [feed] if isinstance(feed, Path) else [feed.stacked, feed.concatenated, *feed.files]
    return sum(Path(path).stat().st_size for path in stacked if path and Path(path).is_file())
