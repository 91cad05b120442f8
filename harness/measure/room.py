"""Whether the inputs and outputs of a batch fit into the memory that is free, before a worker takes it all.

A process that is killed for its memory may take others with it, and says nothing of why. Inputs lie ready for
every batch that is rotated through, and a batch has its outputs; what the model needs in between comes on top and is
not known.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.free_memory import available
from harness.measure.rotation import stored_bytes
from harness.units import size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.measure.coordinator import Workload
    from harness.records import Reference, ValueEntry


def too_large(work: Workload, reference: Reference, folder: Path, *, free: int | None = None) -> str:
    """Why a batch is not opened, with the estimate; empty where it may be.

    Args:
        work: what a worker would be asked for.
        reference: whose stored examples tell how large one is.
        folder: where they lie.
        free: bytes of memory; what the system says where it is not given.
    """
    batch, examples = work.examples, max(reference.examples, 1)
    inputs = _bytes(work.feeds) * batch * work.rotate // examples
    outputs = _bytes({one.name: one.at(folder) for one in reference.answers}) * batch // examples
    known = available() if free is None else free
    if known is None or inputs + outputs <= known:
        return ""
    sets = f"{work.rotate} sets of inputs" if work.rotate > 1 else "inputs"
    return (
        f"batch {work.target.batch} takes about {size(inputs + outputs)} for its {sets} and its outputs alone, and "
        f"{size(known)} of memory are free: give a smaller batch"
    )


def _bytes(feeds: Mapping[str, Path | ValueEntry]) -> int:
    return sum(map(stored_bytes, feeds.values()))
