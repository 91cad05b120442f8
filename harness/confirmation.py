"""Which of the builds that compete is the fastest, from blocks in which all of them were measured side by side.

Pure functions over blocks and stored rows. Whichever build came out best is compared with every other one, and all
those comparisons are one family (Holm, 1979), so that identical builds are told apart in at most 5% of sweeps, however
many there are.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from harness.records import within_run

if TYPE_CHECKING:
    from harness.records import Block

Row = Mapping[str, Any]

CONFIRMED, TIED, UNCONFIRMED = "confirmed", "not told apart", "not confirmed"
STATES = (CONFIRMED, TIED, UNCONFIRMED)

MOST = 6
"""Candidates that are measured again, the baseline not counted: all their processes live at once. What is cut is never
told apart, so that a build that is really faster could not be confirmed among more that are near it."""

BLOCKS = 12
"""Blocks of live processes for each model and target: enough for two-sided p-values of 0.0005 before correction."""

NEAR = 1.25
"""A case within this factor of the fastest always competes: intervals across a few processes are not sure enough."""

ALPHA = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmedChoice:
    """What is known of one model's choice on one target.

    Attributes:
        state: one of `STATES`; `not told apart` names those in `tied`.
        best: the variant.
        tied: variants that compete and were not found slower.
        slower: variants that were found slower, in the same blocks.
        baseline: the variant that `ratio` refers to; empty where there is none.
        ratio, low, high: how many times as fast as the baseline, with its 95% interval, from these blocks alone; None
            where it was not measured.
        blocks: on how many it rests.
        reason: why it is not confirmed.
    """

    state: str
    best: str
    tied: tuple[str, ...] = ()
    slower: tuple[str, ...] = ()
    baseline: str = ""
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    blocks: int = 0
    reason: str = ""

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of how a row keeps it; keys of later versions are left out."""
        known = {name: content[name] for name in cls.__dataclass_fields__ if name in content}
        for name in ("tied", "slower"):
            known[name] = tuple(known.get(name) or ())
        return cls(**known)

    @property
    def verdict(self) -> str:
        """The state in words, such as `not told apart from int8-entropy`."""
        if self.state == TIED:
            return f"{TIED} from {', '.join(self.tied)}"
        if self.state == UNCONFIRMED:
            return f"{UNCONFIRMED}: {self.reason}" if self.reason else UNCONFIRMED
        return f"{CONFIRMED}: faster than {', '.join(self.slower)}" if self.slower else CONFIRMED

    @property
    def factor(self) -> str:
        """Such as `3.30x fp32-default (95% 3.21 to 3.38, 12 pairs)`; empty where it was not measured."""
        if self.ratio is None:
            return ""
        return f"{self.ratio:.2f}x {self.baseline}{self.basis}"

    @property
    def basis(self) -> str:
        """What the ratio rests on, such as ` (95% 3.21 to 3.38, 12 pairs)`."""
        bounds = "" if self.low is None or self.high is None else f"95% {self.low:.2f} to {self.high:.2f}, "
        return f" ({bounds}{self.blocks} pairs)"


def stored(row: Row | None) -> ConfirmedChoice | None:
    """The choice that a row took part in; None where none was measured."""
    content = (row or {}).get("choice")
    return ConfirmedChoice.of_json(content) if content else None


def candidates(inside: Sequence[Row], room: float = math.inf) -> tuple[list[Row], list[Row]]:
    """The rows that may be the fastest, and those among them that are too many.

    Args:
        inside: rows inside the budget, the fastest first.
        room: bytes that their processes may take together; two are taken in any case.

    Returns:
        The fastest, whatever its interval does not exclude, and whatever is within `NEAR` of it: the first `MOST` of
        them that there is room for, and the rest.
    """
    first = inside[0]["latency"]
    high = max(within_run(first)[1] or first["median_s"], NEAR * first["median_s"])
    compete = [row for row in inside if (within_run(row["latency"])[0] or row["latency"]["median_s"]) <= high]
    compete = compete if inside[0] in compete else [inside[0], *compete]
    taken = itertools.accumulate(row.get("peak_rss_bytes") or 0 for row in compete)
    most = min(MOST, max(sum(total <= room for total in taken), 2))
    return compete[:most], compete[most:]


def alone(best: str, baseline: str, cut: Sequence[str] = ()) -> ConfirmedChoice:
    """The choice where there is one case to choose from: nothing is measured."""
    what = "the baseline itself, and " if best == baseline else ""
    return ConfirmedChoice(
        state=UNCONFIRMED,
        best=best,
        tied=tuple(cut),
        baseline=baseline,
        reason=f"{what}no other case to compare it with",
    )


def unconfirmed(best: str, baseline: str, reason: str) -> ConfirmedChoice:
    """The choice where measuring again did not work."""
    return ConfirmedChoice(state=UNCONFIRMED, best=best, baseline=baseline, reason=reason)


def decide(names: Sequence[str], baseline: str, blocks: Sequence[Block], *, cut: Sequence[str] = ()) -> ConfirmedChoice:
    """Name the fastest candidate, and say which of the others it was not told apart from.

    Args:
        names: the candidates.
        baseline: a member of every block, or empty.
        blocks: in which all of them were measured side by side.
        cut: candidates that were not measured again: never told apart.

    Raises:
        ValueError: if there is no block.
    """
    from harness.stats import paired, ranks

    if not blocks:
        raise ValueError("no blocks: nothing was measured")
    ratios = {pair: log_ratios(blocks, *pair) for pair in itertools.permutations(names, 2)}
    centre = {name: ranks.hodges_lehmann(ratios[names[0], name]) if name != names[0] else 0.0 for name in names}
    pairs = list(itertools.combinations(names, 2))
    adjusted = dict(zip(map(frozenset, pairs), paired.holm([two_sided(ratios[pair]) for pair in pairs]), strict=True))
    gap = {pair: ranks.hodges_lehmann(values) for pair, values in ratios.items()}

    def beats(name: str, other: str) -> bool:
        return adjusted[frozenset((name, other))] <= ALPHA and gap[name, other] > 0

    # On a busy host medians may not agree: what is nearest to the first of them may yet be slower than another one.
    best = min(names, key=centre.__getitem__)
    passed = {best}
    while ahead := [name for name in names if name not in passed and beats(name, best)]:
        best = min(ahead, key=lambda name: gap[best, name])
        passed.add(best)
    others = sorted((name for name in names if name != best), key=centre.__getitem__)
    # The best of k was chosen by these very blocks: its interval holds for whichever of them it would have been.
    compared = bool(baseline) and baseline != best
    of = len(names) - (baseline in names)
    against = paired.ratio_interval(log_ratios(blocks, best, baseline), 1 - ALPHA / of) if compared else None
    # Holm's rule may tell two apart where that interval, which is for all candidates alike, still holds 1: then the
    # sentence would contradict its own number.
    open_ = {baseline} if against is not None and not (against.bounded and against.low > 1) else set()
    tied = (*(name for name in others if name in open_ or not beats(best, name)), *cut)
    return ConfirmedChoice(
        state=TIED if tied else CONFIRMED,
        best=best,
        tied=tied,
        slower=tuple(name for name in others if name not in tied),
        baseline=baseline,
        ratio=against.ratio if against is not None else None,
        low=against.low if against is not None and against.bounded else None,
        high=against.high if against is not None and against.bounded else None,
        blocks=len(blocks),
    )


def log_ratios(blocks: Sequence[Block], base: str, head: str) -> list[float]:
    """log(head / base), one for each block: the median over its bursts."""
    return [
        statistics.median(
            math.log(h / b) for b, h in zip(block.members[base].bursts_ns, block.members[head].bursts_ns, strict=True)
        )
        for block in blocks
    ]


def two_sided(values: Sequence[float]) -> float:
    """The p-value that two builds are equally fast."""
    from harness.stats import paired

    smaller = min(paired.signed_rank(values, 0.0, "greater"), paired.signed_rank(values, 0.0, "less"))
    return min(1.0, 2 * smaller)
