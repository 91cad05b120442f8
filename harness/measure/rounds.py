"""In which order the processes of a sweep run: pure.

Round k runs process k of every case, in a random order of its own, so that a slow minute of the host falls on some
process of many cases rather than on every process of one, and the interval of each case spans the whole sweep.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

ORDERS = ("round", "case")
"""`round` as above; `case` runs every process of a case before the next case starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One process to run: which one of which case, both counted from 0 and by id."""

    process: int
    case: str


def turns(
    cases: Sequence[str],
    *,
    processes: int,
    seed: str,
    order: str = "round",
    done: Mapping[str, int] | None = None,
    going: Callable[[str], bool] = lambda _: True,
) -> Iterator[Turn]:
    """Yield every process that is still to run, in order.

    Args:
        cases: ids, in the order of the plan.
        processes: of each case.
        seed: decides the order of every round; the same seed gives the same one, so that an interrupted sweep goes
            on in the middle of a round.
        order: one of `ORDERS`.
        done: how many processes of a case ran before; none where absent.
        going: asked just before a case's turn whether it still takes part.
    """
    before = done or {}
    if order == "case":
        planned = ((number, case) for case in cases for number in range(processes))
    else:
        planned = ((number, case) for number in range(processes) for case in shuffled(cases, f"{seed}/{number}"))
    for number, case in planned:
        if number >= before.get(case, 0) and going(case):
            yield Turn(process=number, case=case)


def shuffled(cases: Sequence[str], seed: str) -> list[str]:
    """The cases in a random order that the seed decides."""
    found = list(cases)
    random.Random(seed).shuffle(found)  # noqa: S311  (an order, no secret)
    return found
