"""One batch over several devices, simulated: its examples shared out, or its nodes. Pure functions.

As DistIR simulates a distributed network (K. Santhanam et al.: DistIR: An Intermediate Representation and Simulator for
Efficient Neural Network Distribution, 2021): data parallelism gives every device the whole network and a part of the
batch; pipeline parallelism gives every device some of the nodes, and microbatches go through them one behind another.
What is sent keeps both devices busy for as long as it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from harness.errors import UsageError
from harness.predict.costs import NodeCost
from harness.predict.host import HostSpec, NetworkLink
from harness.predict.roofline import NodePrediction

SPLITS: Final = ("batch", "pipeline")


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePart:
    """What one device does.

    Attributes:
        nodes: how many of the network it has.
        weights: their bytes.
        busy_s: how long it computes in one batch.
        sends_s: how long it sends and receives.
    """

    nodes: int
    weights: float
    busy_s: float
    sends_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Distributed:
    """One batch over several devices.

    Attributes:
        split: one of `SPLITS`.
        microbatches: that go through a pipeline; 1 where examples are shared out.
        seconds: from the first byte sent to the last result.
        interval_s: between the ends of one batch and of the next, where they follow one another without a gap.
        parts: of the devices, in order.
    """

    split: str
    microbatches: int
    seconds: float
    interval_s: float
    parts: tuple[DevicePart, ...]


def shares(batch: int, devices: int, split: str, microbatches: int | None) -> tuple[int, int]:
    """The examples that nodes see at once, and the number of microbatches.

    Raises:
        UsageError: the batch cannot be divided so.
    """
    if split not in SPLITS:
        raise UsageError(f"--split {split}: expected {' or '.join(SPLITS)}")
    count = devices if split == "batch" else microbatches or next(n for n in range(devices, 0, -1) if batch % n == 0)
    if batch % count:
        what = f"{devices} devices" if split == "batch" else f"{count} microbatches"
        raise UsageError(f"a batch of {batch} cannot be shared out over {what}: give a case with a batch that divides")
    return batch // count, 1 if split == "batch" else count


def simulate(
    nodes: Sequence[NodePrediction], host: HostSpec, *, devices: int, split: str, microbatches: int
) -> Distributed:
    """What a batch takes.

    Args:
        nodes: what each takes of the examples of one device, or of one microbatch, in order.
        host: what every device is.
        devices: how many.
        split: one of `SPLITS`.
        microbatches: of a batch.

    Raises:
        UsageError: the host has no `link`, or fewer nodes than devices.
    """
    if devices > 1 and host.link is None:
        raise UsageError(f"--devices {devices}: host {host.name!r} has no `link`: add {{bandwidth, latency_s}}")
    link = host.link or NetworkLink(bandwidth=1.0)
    if split == "batch":
        return _data(nodes, link, devices)
    if len(nodes) < devices:
        raise UsageError(f"--devices {devices}: the network has {len(nodes)} nodes, and every device needs one")
    return _pipeline(nodes, link, devices, microbatches)


def _data(nodes: Sequence[NodePrediction], link: NetworkLink, devices: int) -> Distributed:
    whole = sum(one.seconds for one in nodes)
    made = {name for one in nodes for name, _ in one.cost.outputs}
    read = {name: size for one in nodes for name, size in one.cost.inputs if name not in made}
    used = {name for one in nodes for name, _ in one.cost.inputs}
    results = {name: size for one in nodes for name, size in one.cost.outputs if name not in used}
    scatter, gather = (_sent(sum(held.values()), link) for held in (read, results))
    moved = scatter + gather
    weights = sum(one.cost.weights for one in nodes)
    first = DevicePart(nodes=len(nodes), weights=weights, busy_s=whole, sends_s=moved * (devices - 1))
    other = DevicePart(nodes=len(nodes), weights=weights, busy_s=whole, sends_s=moved)
    # The first device has the examples: it gives the others theirs, one after another, and gathers their results.
    seconds = whole + (devices - 1) * moved
    return Distributed(
        split="batch", microbatches=1, seconds=seconds, interval_s=seconds, parts=(first, *[other] * (devices - 1))
    )


def _sent(size: float, link: NetworkLink) -> float:
    return link.latency_s + size / link.bandwidth if size else 0.0


def _pipeline(nodes: Sequence[NodePrediction], link: NetworkLink, devices: int, microbatches: int) -> Distributed:
    ends = partition([one.seconds for one in nodes], devices)
    stages = [nodes[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    sends = transfers([[one.cost for one in stage] for stage in stages], link)
    work = [sum(one.seconds for one in stage) for stage in stages]
    free, sending = [0.0] * devices, [0.0] * devices
    done = 0.0
    for _ in range(microbatches):
        arrived = [0.0] * devices
        for stage in range(devices):
            end = max(free[stage], arrived[stage]) + work[stage]
            free[stage] = end
            for other, seconds in sends[stage].items():
                over = max(free[stage], free[other]) + seconds
                free[stage] = free[other] = arrived[other] = over
                sending[stage] += seconds
                sending[other] += seconds
            done = max(done, free[stage])
    parts = tuple(
        DevicePart(
            nodes=len(stage),
            weights=sum(one.cost.weights for one in stage),
            busy_s=work[place] * microbatches,
            sends_s=sending[place],
        )
        for place, stage in enumerate(stages)
    )
    return Distributed(
        split="pipeline",
        microbatches=microbatches,
        seconds=done,
        interval_s=max(one.busy_s + one.sends_s for one in parts),
        parts=parts,
    )


def partition(seconds: Sequence[float], parts: int) -> list[int]:
    """The ends of consecutive parts, none empty, whose longest is as short as it can be."""
    sums = [0.0]
    for one in seconds:
        sums.append(sums[-1] + one)
    count = len(seconds)
    best = [sums[end] for end in range(count + 1)]
    cuts: list[list[int]] = []
    for part in range(2, parts + 1):
        row, cut = [0.0] * (count + 1), [0] * (count + 1)
        for end in range(part, count + 1):
            low, high = part - 1, end - 1
            while low < high:  # the first part's time grows with the cut, the last one's shrinks
                middle = (low + high) // 2
                if best[middle] >= sums[end] - sums[middle]:
                    high = middle
                else:
                    low = middle + 1
            options = [at for at in (low - 1, low) if at >= part - 1]
            cut[end] = min(options, key=lambda at: max(best[at], sums[end] - sums[at]))
            row[end] = max(best[cut[end]], sums[end] - sums[cut[end]])
        best = row
        cuts.append(cut)
    ends = [count]
    for cut in reversed(cuts):
        ends.append(cut[ends[-1]])
    return ends[::-1]


def transfers(stages: Sequence[Sequence[NodeCost]], link: NetworkLink) -> list[dict[int, float]]:
    """For each stage, the later stages that read what it made -> how long sending all of that takes."""
    maker = {name: place for place, stage in enumerate(stages) for one in stage for name, _ in one.outputs}
    sizes: list[dict[int, dict[str, float]]] = [{} for _ in stages]
    for place, stage in enumerate(stages):
        for one in stage:
            for name, size in one.inputs:
                made = maker.get(name)
                if made is not None and made != place:
                    sizes[made].setdefault(place, {})[name] = size
    return [{other: _sent(sum(held.values()), link) for other, held in sorted(one.items())} for one in sizes]


def live_bytes(costs: Sequence[NodeCost]) -> tuple[float, str]:
    """The most bytes of tensors that are there at once, weights not among them, and the node where that is."""
    last = {name: place for place, one in enumerate(costs) for name, _ in one.inputs}
    held: dict[str, float] = {}
    most, where = 0.0, ""
    for place, one in enumerate(costs):
        held |= dict(one.inputs) | dict(one.outputs)
        if (now := sum(held.values())) > most:
            most, where = now, one.name
        for name, _ in (*one.inputs, *one.outputs):
            if last.get(name, place) <= place and name in last:
                held.pop(name, None)
    return most, where
