"""What can become of a case. Standard library only."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """What became of a case."""

    MEASURED = "measured"
    MIXED = "mixed"  # a part was computed in the arithmetic that is claimed, the rest in another
    UNVERIFIED = "unverified"  # ran, and nothing shows in which arithmetic
    EMULATED = "emulated"  # ran, but not in the arithmetic that its variant claims
    UNSUPPORTED = "unsupported"  # nothing here can run it, or the provider took no node
    SKIPPED = "skipped"  # makes no sense for this model
    FAILED = "failed"

    @property
    def has_numbers(self) -> bool:
        """Whether a case of this status carries timings."""
        return self in WITH_NUMBERS

    @property
    def can_ship(self) -> bool:
        """Whether it can be recommended; all but `measured` with their reason beside it."""
        return self in WITH_NUMBERS and self is not Status.EMULATED


WITH_NUMBERS = (Status.MEASURED, Status.MIXED, Status.UNVERIFIED, Status.EMULATED)
SHIPPABLE = tuple(status.value for status in Status if status.can_ship)
