"""What can become of a case. Standard library only."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """What became of a case."""

    MEASURED = "measured"
    EMULATED = "emulated"  # ran, but not in the arithmetic that its variant claims
    UNSUPPORTED = "unsupported"  # nothing here can run it, or the provider took no node
    SKIPPED = "skipped"  # makes no sense for this model
    FAILED = "failed"

    @property
    def has_numbers(self) -> bool:
        """Whether a case of this status carries timings."""
        return self in (Status.MEASURED, Status.EMULATED)
