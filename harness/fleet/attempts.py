"""What the targets of a sweep can do on a fleet, from what one host of each class found."""

from __future__ import annotations

from collections.abc import Sequence

from harness.flow.session import TriedTargets
from harness.records import RuntimeInfo


def merged(
    names: Sequence[str], found: Sequence[tuple[str, str, TriedTargets]]
) -> tuple[TriedTargets, dict[tuple[str, str], bool]]:
    """What is true of the fleet, and on which classes each target that some cannot use is to be measured.

    Args:
        names: of all targets.
        found: of every target and class of hosts that suits it: what came of trying.

    Returns:
        A target is unusable where no class can use it; floors and runtimes are kept where only one class can.
    """
    unusable: dict[str, str] = {}
    absent: dict[str, str] = {}
    floors: dict[str, float] = {}
    runtimes: dict[str, RuntimeInfo] = {}
    usable: dict[tuple[str, str], bool] = {}
    for name in names:
        own = {host_class: one for other, host_class, one in found if other == name}
        good = {k: one for k, one in own.items() if name not in one.unusable and name not in one.absent}
        for host_class in own.keys() - good.keys():
            usable[name, host_class] = not good
        if not own:
            unusable[name] = f"no host of the fleet suits the target {name} (its `hosts`): harness fleet hosts"
        elif not good:
            one = next(iter(own.values()))
            unusable |= one.unusable
            absent |= one.absent
        elif len(good) == 1:
            (one,) = good.values()
            floors |= one.floors
            runtimes |= one.runtimes
    return TriedTargets(unusable=unusable, absent=absent, floors=floors, runtimes=runtimes), usable
