"""Builds of a gate's sides beyond this machine: what a depot has is fetched, what a fleet can build is built there.

Both are done before a side's own process plans and builds it, which then finds them in the cache. What code of a side
makes, or a side of another harness or interpreter, is built by that process alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from harness.build.cache import Cache
from harness.build.pipeline import BuildEvent
from harness.errors import UsageError
from harness.fleet.builders import FleetBuilds
from harness.fleet.depot_builds import Asked, DepotBuilds
from harness.flow.plan import Selection, by_model
from harness.gate.model import Contender, Side
from harness.gate.sides import build


class SideBuilds:
    """Builds sides as `harness.gate.sides.build.contenders` does."""

    def __init__(
        self,
        *,
        depot: str = "",
        fleet: FleetBuilds | None = None,
        say: Callable[[str], None] = lambda _: None,
        contenders: Callable[..., tuple[tuple[Contender, ...], tuple[str, ...]]] = build.contenders,
    ) -> None:
        """Nothing is asked yet.

        Args:
            depot: where entries lie that others reach, as a URL; empty where there is none.
            fleet: builds on hosts, if there are any.
            say: hears of who builds what, and of what was lost.
            contenders: builds what is missing then, in the side's own process.

        Raises:
            UsageError: there is no such kind of URL, or what it needs is not installed.
        """
        self._depot = DepotBuilds(depot, say=say) if depot else None
        self._fleet, self._contenders = fleet, contenders

    def __call__(
        self, side: Side, selection: Selection, cache: Path, *, on_event: Callable[[BuildEvent], None] = lambda _: None
    ) -> tuple[tuple[Contender, ...], tuple[str, ...]]:
        """See `harness.gate.sides.build.contenders`."""
        requests: list[Asked] = []
        with contextlib.suppress(UsageError):  # the side's own process says what is wrong with its zoo
            requests = [*by_model(build.planned(side, selection, cache))]
        shared = Cache(cache)
        if self._fleet is not None:
            self._fleet.ahead(shared, requests)
        elif self._depot is not None:
            for model, recipes in requests:
                self._depot.bring(shared, model, recipes)
        found = self._contenders(side, selection, cache, on_event=on_event)
        if self._depot is not None:
            self._depot.keep(shared, requests)
        return found
