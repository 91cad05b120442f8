"""What travels between a gate and the hosts that measure its pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness import runtime_spec
from harness.errors import UsageError
from harness.fleet.model import Entry
from harness.gate.judge import both
from harness.gate.model import Contender, GateSettings, Match, Side
from harness.gate.timing.rounds import Broken
from harness.records import Artifact, Case, Pair

SideEntry = tuple[str, Entry]
"""An entry and the folder of the cache that it lies in: sides whose code differs have caches of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentSide:
    """One side of a pair on its way to a host.

    Attributes:
        folder: of its cache below the cache's root, with slashes; empty where it lies in the root.
        spec: the runtime that measures it (`harness.runtime_spec`); empty where the case's target names one.
        version: of that runtime, where it is the one beside harness: a host with another one is not used.
    """

    role: str
    case: Case
    built: Artifact
    folder: str
    spec: str
    version: str

    @property
    def entries(self) -> tuple[SideEntry, ...]:
        """What of the cache it needs."""
        return (
            (self.folder, ("artifacts", self.built.digest)),
            (self.folder, ("references", self.built.reference.digest)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SentPair:
    """One pair of a case on its way to a host.

    Attributes:
        depot: where entries lie that all hosts reach, as a URL of fsspec; empty where there is none.
    """

    sides: tuple[SentSide, ...]
    phase: str
    bursts: int
    burst_s: float
    depot: str = ""

    @property
    def entries(self) -> tuple[SideEntry, ...]:
        """What of the cache it needs, each once."""
        return tuple(dict.fromkeys(entry for side in self.sides for entry in side.entries))


@dataclass(frozen=True, slots=True, kw_only=True)
class PairAnswer:
    """What came of a pair on a host: exactly one of these.

    Attributes:
        missing: entries that are neither there nor in the depot.
        broken: why the case cannot go on, on this or any host.
        refused: why this host cannot measure it; another one may.
    """

    pair: Pair | None = None
    missing: tuple[SideEntry, ...] = ()
    broken: Broken | None = None
    refused: str = ""


def sent(match: Match, settings: GateSettings, root: Path, *, phase: str = "", depot: str = "") -> SentPair:
    """A pair of a match whose two sides have artifacts, as it travels.

    Args:
        match: of both sides.
        settings: how long a pair is measured.
        root: of this host's cache.
        phase: of the pair.
        depot: where entries lie that all hosts reach.

    Raises:
        UsageError: a side is something that other hosts do not have.
    """
    return SentPair(
        sides=tuple(_sent(role, one, root.absolute()) for role, one in both(match).items()),
        phase=phase,
        bursts=settings.bursts,
        burst_s=settings.burst_s,
        depot=depot,
    )


def _sent(role: str, contender: Contender, root: Path) -> SentSide:
    assert isinstance(contender.built, Artifact)  # noqa: S101  (what has none is not measured)
    side, target = contender.side, contender.case.target
    named = runtime_spec.language(target.runtime)
    for what, text in (("runtime", target.runtime), ("plugin", target.plugin)):
        if runtime_spec.is_path(text) or (what == "runtime" and named and named[2]):
            raise UsageError(
                f"the {what} of the target {target.name}, {text}, is a path of this host, which other hosts do not "
                f"have: name a release, or leave out --scheduler"
            )
    folder = contender.cache.absolute().relative_to(root).as_posix()
    own = not contender.own_worker
    return SentSide(
        role=role,
        case=contender.case,
        built=contender.built,
        folder="" if folder == "." else folder,
        spec=side.spec if own else "",
        version=str(side.runtime.get("version", "")) if own and runtime_spec.is_own(side.spec) else "",
    )


def check(sides: Mapping[str, Side]) -> None:
    """Raises UsageError: the runtime of a side is a path of this host, which cannot travel."""
    for role, side in sides.items():
        if runtime_spec.is_path(side.spec):
            raise UsageError(
                f"{role} is measured on {side.spec}, a path of this host, which other hosts do not have: name a "
                f"release with --{role}-runtime, such as onnxruntime==1.23.0, or leave out --scheduler"
            )
