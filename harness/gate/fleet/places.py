"""What a gate sees of a fleet: which classes of hosts measure a match, what they measured, and who they are."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import runtime_spec
from harness.build.cache import Cache
from harness.errors import HarnessError, UsageError
from harness.fleet.engine import Fleet
from harness.fleet.executor import LOOK_S
from harness.fleet.model import SLOT, FleetHost, classes
from harness.gate.fleet.model import check, sent
from harness.gate.fleet.rounds import FleetRounds, PlacedCase
from harness.gate.judge import both
from harness.gate.model import CaseVerdict, GateSettings, Match, MeasuringHost, Side, Verdict
from harness.gate.sides import resolve as sides
from harness.gate.timing.rounds import FLEET_GONE, Chooser, Measured, RoundsWatcher, scheduled
from harness.providers import short_name
from harness.records import HostInfo
from harness.zoo import HostWish

ARRIVAL_S = 20.0
"""How long the first worker of a fleet may take to be there."""

ANY, EACH = "any", "each"


class FleetPlaces:
    """The hosts of a fleet, as a gate has its pairs measured on them: a `harness.gate.gate.PairPlaces`."""

    def __init__(
        self,
        fleet: Fleet,
        root: Path,
        *,
        depot: str = "",
        wishes: Mapping[str, HostWish] | None = None,
        hosts: str = EACH,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Look who is there.

        Args:
            fleet: the hosts; they stay the caller's.
            root: of this host's cache.
            depot: where entries lie that all hosts reach, as a URL; they go through the scheduler where there is none.
            wishes: by target's name: the hosts that it wants.
            hosts: `each` judges every class of hosts on its own, `any` the one with the most hosts alone.
            say: hears of hosts that are refused and of what is measured again.

        Raises:
            UsageError: nobody there can measure.
        """
        self._fleet, self._root, self._depot = fleet, root.absolute(), depot
        self._wishes, self._hosts, self._say = wishes or {}, hosts, say
        self._class_of: dict[str, str] = {}
        self._there = self._arrived()
        self._schedule: FleetRounds | None = None

    def resolve(self, **asked: Any) -> tuple[Side, Side]:
        """The two sides, which must be something that other hosts can have.

        Raises:
            UsageError: a side is wrong, or its runtime is a path of this host.
        """
        base, head = sides.resolve(**asked)
        check({"base": base, "head": head})
        return base, head

    def spread(self, match: Match) -> tuple[Match, ...]:
        """A match as each class of hosts measures it, under a name of its own where there are several.

        Raises:
            UsageError: no host suits its target, or a part of it is a path of this host.
        """
        able = classes([one for one in self._there if self._able(match, one)])
        if not able:
            target = next(iter(both(match).values())).case.target
            raise UsageError(
                f"{match.name}: no host of the fleet suits the target {target.name} (its `hosts` and its provider): "
                f"harness fleet hosts"
            )
        if self._hosts == ANY:
            most = max(able, key=lambda name: (sum(one.slots for one in able[name]), name))
            able = {most: able[most]}
        several = len(able) > 1
        found = []
        for name, hosts in sorted(able.items()):
            where = f"measured on class {name}: {_described(hosts)}"
            one = match
            if several:
                one = dataclasses.replace(match, name=f"{match.name}@{name}", notes=(*match.notes, where))
            self._class_of[one.name] = name
            found.append(one)
        return tuple(found)

    def measure(
        self, matches: Mapping[str, Match], settings: GateSettings, choose: Chooser, watch: RoundsWatcher
    ) -> Measured:
        """Screen and confirm on the hosts; what there is by then, where the scheduler does not come back."""
        cases = {
            name: PlacedCase(
                sent=sent(match, settings, self._root, depot=self._depot),
                host_class=self._class_of[name],
                able=functools.partial(self._able, match),
            )
            for name, match in matches.items()
        }
        schedule = FleetRounds(self._fleet, cases, settings, watch, cache=self._cache, say=self._say)
        self._schedule = schedule
        try:
            return scheduled(schedule, settings, choose)
        except HarnessError as error:
            self._say(str(error))
            schedule.done.interrupted = FLEET_GONE
            return schedule.done

    def at_once(self) -> int:
        """How many pairs the hosts measure at the same time."""
        return max(1, sum(one.slots for one in self._there))

    def underway(self) -> str:
        """What runs on how many hosts now, and how much was given away again."""
        return self._schedule.underway() if self._schedule is not None else ""

    def hosts(self, done: Measured) -> tuple[MeasuringHost, ...]:
        """Who measured how many pairs, by name."""
        pairs = Counter((self._class_of[name], pair.host) for name, found in done.pairs.items() for pair in found)
        facts = {one.host_class: one for one in self._there}
        return tuple(
            MeasuringHost(name=host, host_class=name, cpu=str(facts[name].fact.get("cpu") or ""), pairs=count)
            for (name, host), count in sorted(pairs.items())
        )

    def host(self) -> HostInfo | None:
        """What stands for all hosts that were asked: one of them, where they are of one class; else None."""
        asked = set(self._class_of.values())
        found = [one.host for one in self._there if one.host_class in asked]
        return found[0] if len(asked) == 1 and found else None

    def disagreement(self, cases: Sequence[CaseVerdict]) -> tuple[str, ...]:
        """A note for each match that regressed on some classes of hosts and not on others, which no average hides."""
        return disagreement(cases)

    def _cache(self, folder: str) -> Cache:
        return Cache(self._root / folder, self._root) if folder else Cache(self._root)

    def _arrived(self) -> list[FleetHost]:
        """Everybody who can measure, once there is somebody.

        Raises:
            UsageError: there is nobody.
        """
        end = time.monotonic() + ARRIVAL_S
        while not (found := self._fleet.hosts()) and time.monotonic() < end:
            time.sleep(LOOK_S)
        for one in found:
            if one.refused:
                self._say(f"{one.address} {one.refused}")
        able = [one for one in found if one.slots and not one.refused]
        if not able:
            why = "; ".join(
                f"{one.address} {one.refused or f'lacks the resource {SLOT}: start it with --resources {SLOT}=1'}"
                for one in found
            )
            raise UsageError(
                f"no worker at {self._fleet.address} can measure: "
                f"{why or f'there is none; start one with `harness fleet worker {self._fleet.address}`'}"
            )
        return able

    def _able(self, match: Match, host: FleetHost) -> bool:
        """Whether a host may measure a match: the target's wish, and a provider that its onnxruntime has."""
        for one in both(match).values():
            target = one.case.target
            if not host.suits(self._wishes.get(target.name, HostWish())):
                return False
            own = not one.own_worker and runtime_spec.is_own(one.side.spec) and not target.plugin
            if own and short_name(target.provider) not in map(short_name, host.providers):
                return False
        return True


def disagreement(cases: Sequence[CaseVerdict]) -> tuple[str, ...]:
    """A note for each case that regressed on some classes of hosts and not on others: an average would hide it."""
    found: dict[str, dict[str, Verdict]] = {}
    for one in cases:
        name, at, host_class = one.name.rpartition("@")
        if at:
            found.setdefault(name, {})[host_class] = one.verdict
    notes = []
    for name, verdicts in found.items():
        worse = [host_class for host_class, verdict in verdicts.items() if verdict is Verdict.REGRESSION]
        others = [f"{verdict} on {host_class}" for host_class, verdict in verdicts.items() if host_class not in worse]
        if worse and others:
            notes.append(f"{name}: a regression on {', '.join(worse)} alone; {', '.join(others)}")
    return tuple(notes)


def _described(hosts: Sequence[FleetHost]) -> str:
    """The processor of a class, and its hosts by name."""
    names = sorted({one.name or one.address for one in hosts})
    return f"{hosts[0].fact.get('cpu') or 'unknown processor'} ({', '.join(names)})"
