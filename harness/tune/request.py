"""What is to be tuned, and who looks on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness import confirmation
from harness.build.pipeline import BuildEvent
from harness.fleet.depot_builds import DepotBuilds
from harness.records import Case, Recipe
from harness.tune import racing, recipes, settings
from harness.tune.clock import FEWEST_BLOCKS
from harness.tune.model import TriedBuild
from harness.zoo import Zoo

TIME_LIMIT_S = 900.0


class TuneWatcher(Protocol):
    """Somebody who looks on: a console, a test, nobody."""

    def saying(self, text: str) -> None:
        """Something that takes a while, in words."""

    def building(self, event: BuildEvent) -> None:
        """A build step started or ended."""

    def tried(self, found: TriedBuild) -> None:
        """A build was evaluated."""

    def timing(self, text: str, candidates: int) -> None:
        """A race of so many candidates begins."""

    def timed(self, row: object) -> None:
        """One more process of a candidate was timed; its stored row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpace:
    """What a search goes through, and how often it looks.

    Attributes:
        variations: what is changed of a quantized recipe, by the method that quantizes (`recipes.VARIATIONS`).
        halves: whether calibration on half of the examples is one of them.
        entries: settings of a session that are tried (`settings.ENTRIES`).
        rungs: processes of a candidate by the end of each round of a race (`racing.RUNGS`).
        blocks: the fewest and the most that confirm a choice.
    """

    variations: Mapping[str, Sequence[recipes.Variation]] = field(default_factory=lambda: recipes.VARIATIONS)
    halves: bool = True
    entries: Sequence[settings.Entry] = settings.ENTRIES
    rungs: Sequence[int] = racing.RUNGS
    blocks: tuple[int, int] = (FEWEST_BLOCKS, confirmation.BLOCKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneRequest:
    """What is to be tuned.

    Attributes:
        default: the baseline on the target that was asked for: what everything is compared with.
        variants: the zoo's recipes to start from.
        depot: has artifacts beyond this host, and keeps what is built; None where there is no such place.
        fixed_threads: whether the target was named with its threads, so that no more are tried.
        time_limit: in seconds.
        process_s: seconds of inference of one timed process.
        batches: sizes of the batch that are searched as well, by the time of one example; the target's alone if empty.
        space: what is searched.
    """

    zoo: Zoo
    default: Case
    variants: Sequence[Recipe]
    cache: Path
    results: Path
    depot: DepotBuilds | None = None
    fixed_threads: bool = False
    time_limit: float = TIME_LIMIT_S
    process_s: float = 0.5
    batches: Sequence[int] = ()
    space: SearchSpace = SearchSpace()
