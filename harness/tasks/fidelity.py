"""Closeness of outputs to the fp32 reference on the same inputs; needs no labels, and is never called accuracy.

Outputs come as whole values, one per example, and are read one at a time, so that a large output set never stands in
memory as a whole. What is compared how is decided by the reference's type: floating-point numbers by their ratio of
signal to noise, everything else by the share of equal values.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.leaves import KEYS
from harness.records import Fidelity, PartFidelity
from harness.tasks import parts as axes
from harness.tasks import structures, sums, unordered
from harness.units import count

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

AGREEMENT = "top1_agreement"
"""The metric of classifiers that belongs to fidelity: it needs no labels."""

EXACT_DB = 80.0
"""Closeness that counts as exact: the rounding of float32 itself moves outputs of deep networks by about as much."""

Outputs = Mapping[str, Sequence[Any]]
"""Output name -> one whole value per example: an array, or a structure of arrays."""

RANDOM = "random"

DEAD = "is dead: it varies in the reference and is constant in the artifact"
ALL_DEAD = "are dead: each varies in the reference and is constant in the artifact"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedPart:
    """One part of an output, with what a gate pairs.

    Attributes:
        part: what a row holds of it.
        each: its closeness example by example: decibels, at most `EXACT_DB`, or the share of equal values; empty where
            there is none.
    """

    part: PartFidelity
    each: tuple[float, ...] = ()


def compare(reference: Outputs, outputs: Outputs, random: Collection[str] = ()) -> Fidelity:
    """Fidelity over all outputs of a model: the worst part counts.

    Args:
        reference: name -> values.
        outputs: the same names, from the artifact.
        random: names of outputs that are other numbers with every run.

    Raises:
        ValueError: if names or shapes differ.
    """
    return worst(parts(reference, outputs, random))


def parts(reference: Outputs, outputs: Outputs, random: Collection[str] = ()) -> tuple[PartFidelity, ...]:
    """Fidelity of each output, in the reference's order, each followed by its parts that count (`harness.tasks.parts`).

    Raises:
        ValueError: if names or shapes differ.
    """
    return tuple(one.part for one in compared(reference, outputs, random))


def compared(reference: Outputs, outputs: Outputs, random: Collection[str] = ()) -> tuple[ComparedPart, ...]:
    """As `parts`, with the closeness of every example.

    Raises:
        ValueError: if names or shapes differ.
    """
    missing = [name for name in reference if name not in outputs]
    if missing:
        raise ValueError(f"the artifact has no output `{missing[0]}`, which the reference has")
    found: list[ComparedPart] = []
    for name, wanted in reference.items():
        if name in random:
            found.append(ComparedPart(part=PartFidelity(output=name, n=len(wanted), status=RANDOM)))
        else:
            found += of_output(wanted, outputs[name], name)
    return tuple(found)


def of_output(reference: Sequence[Any], output: Sequence[Any], name: str = "output") -> list[ComparedPart]:
    """One output and its parts. A structure has its own parts in place of the whole.

    Raises:
        ValueError: if the number of examples or the shapes differ.
    """
    if len(reference) != len(output):
        raise ValueError(f"output `{name}` has {len(output)} examples, the reference {len(reference)}")
    found: list[ComparedPart] = []
    for place, leaf in structures.paired(reference, output).items():
        held = _of_leaf(leaf, name, place, len(reference))
        if place.endswith(KEYS) and held[0].part.equal == 1.0:
            continue
        found += held
    return found


def one(reference: Sequence[Any], output: Sequence[Any], name: str = "output") -> PartFidelity:
    """Fidelity of one output that is an array, as a whole.

    `sqnr_db` is 10 log10(sum r^2 / sum (o - r)^2). `centred_sqnr_db` takes the mean over the examples out of the
    signal first, element by element: what every input shares carries no information about the input, and random or
    saturated networks are mostly that. It is None for fewer than two examples and for a reference that does not vary.
    Where sizes depend on the data, rows are matched first (`harness.tasks.unordered`), the mean is that of all rows,
    and a row that one side alone has counts as noise. `cosine` is over all elements. An exact output gives infinite
    ratios, which are reported as None with `max_abs` 0. NaN and infinities are equal where both sides have them, and
    counted in `unmatched` where one has them alone. Whole numbers, booleans and text have a share of equal values and
    no ratio.

    Raises:
        ValueError: if the shapes differ.
    """
    return of_output(reference, output, name)[0].part


def worst(each: Iterable[PartFidelity], *, top1_agreement: float | None = None) -> Fidelity:
    """One fidelity of many: the least of every metric that is known, and whose it is."""
    held = tuple(each)
    whole = [one for one in held if not one.part or one.part.startswith(("[", "{"))]
    exact = bool(held) and all(
        one.max_abs == 0 and not one.unmatched and one.status in ("", "constant") for one in held
    )
    largest = max((one.max_abs for one in held if one.max_abs is not None), default=None)
    random = [one.output for one in held if one.status == RANDOM]
    return Fidelity(
        centred_sqnr_db=least([one.centred_sqnr_db for one in held]),
        sqnr_db=least([one.sqnr_db for one in whole]),
        cosine=least([one.cosine for one in whole]),
        max_abs=0.0 if exact else (largest or None),
        top1_agreement=top1_agreement,
        equal=least([one.equal for one in held]),
        rank=least([one.rank for one in held]),
        unmatched=sum(one.unmatched for one in held),
        worst=_worst_of(held),
        faults=faults(held),
        reason=f"{_names(random)} {'is' if len(random) == 1 else 'are'} random: two runs of the reference differ"
        if random
        else "",
    )


def faults(each: Iterable[PartFidelity], most: int = 3) -> tuple[str, ...]:
    """What puts an artifact outside every budget: parts that are dead, and values that are not numbers."""
    held = tuple(each)
    dead = [label(one) for one in held if one.status == "dead"]
    more = f" and {len(dead) - most} more" if len(dead) > most else ""
    found = [f"{', '.join(dead[:most])}{more} {DEAD if len(dead) == 1 else ALL_DEAD}"] if dead else []
    for part in held:
        if part.status == "not finite":
            found.append(f"{label(part)}: NaN or infinite on one side alone: {count(part.unmatched, 'value')}")
        elif part.status == "missing":
            found.append(f"{label(part)}: on one side alone: {count(part.unmatched, 'value')}")
    return tuple(found)


def label(part: PartFidelity) -> str:
    """An output or a part of it, as people read it: `output0 channel 4`."""
    return f"{part.output}{'' if part.part[:1] in ('', '[', '{') else ' '}{part.part}"


def closeness_db(reference: Outputs, outputs: Outputs, random: Collection[str] = ()) -> tuple[float, ...]:
    """Each example's centred SQNR in decibels, the worst of its outputs and parts, at most `EXACT_DB`.

    The mean over the examples is taken out of the reference first (see `one`); the signal is the reference's mean
    power, the same for all examples, so that an example close to the mean is not called inexact. What has no ratio is
    left out.

    Raises:
        ValueError: if names or shapes differ.
    """
    found: list[float] = []
    for one in compared(reference, outputs, random):
        if one.part.equal is None and one.each:
            found = [*one.each] if not found else [min(a, b) for a, b in zip(found, one.each, strict=True)]
    return tuple(found)


def _of_leaf(leaf: structures.Leaf, name: str, place: str, examples: int) -> list[ComparedPart]:
    """One array of an output, and its parts."""
    reference, output = leaf.reference, leaf.output
    if not len(reference):
        status = "missing" if leaf.missing else ""
        return [ComparedPart(part=PartFidelity(output=name, part=place, n=0, unmatched=leaf.missing, status=status))]
    axis = unordered.row_axis(reference, output, f"{name}{place}")
    if _is_exact(reference[0]):
        return [_equal(leaf, name, place, axis)]
    if axis is None:
        added, missing = sums.of(reference, output), 0
    else:
        rows = unordered.matched(reference, output, axis)
        added = sums.of_rows(rows.reference, rows.output, rows.examples, rows.real, len(reference))
        missing = rows.unmatched
    whole = _whole(added, name, place, unmatched=missing, varies=axis is not None)
    whole = replace(whole, n=len(reference), unmatched=whole.unmatched + leaf.missing)
    if leaf.missing and not whole.status:
        whole = replace(whole, status="missing")
    found = [ComparedPart(part=whole, each=_closeness(added.signal, added.noise) if examples == added.examples else ())]
    if whole.status != "dead":
        found += [_of_axis(part, name, f"{place} {part.name}".strip(), added.examples) for part in axes.counting(added)]
    return found


def _is_exact(array: Any) -> bool:
    """Whether values are compared for equality: all but floating-point and complex numbers."""
    import numpy as np

    kind = np.asarray(array).dtype
    if kind.kind == "V":  # one of ml_dtypes' types
        return kind.name.startswith(("int", "uint"))
    return kind.kind not in "fc"


def _whole(added: sums.Sums, name: str, place: str, *, unmatched: int, varies: bool) -> PartFidelity:
    noise = math.fsum(added.noise)
    centred = added.examples > 1 or varies
    status = "not finite" if added.odd else ""
    if axes.is_dead(added):
        status = "dead"
    elif not status and added.examples > 1 and not added.reference_moved:
        status = "constant"
    power = added.power * added.out_power
    return PartFidelity(
        output=name,
        part=place,
        centred_sqnr_db=decibels(added.signal, noise) if centred else None,
        sqnr_db=decibels(added.power, noise),
        cosine=added.product / math.sqrt(power) if power else None,
        max_abs=added.largest,
        rank=added.rank,
        unmatched=added.odd + unmatched,
        status=status,
    )


def _of_axis(part: axes.AxisPart, name: str, place: str, examples: int) -> ComparedPart:
    noise = math.fsum(part.noise)
    held = PartFidelity(
        output=name,
        part=place,
        n=examples,
        centred_sqnr_db=decibels(part.signal, noise) if examples > 1 else None,
        max_abs=0.0 if not noise else None,
        status="dead" if part.dead else "",
    )
    return ComparedPart(part=held, each=_closeness(part.signal, part.noise) if part.apart else ())


def _equal(leaf: structures.Leaf, name: str, place: str, axis: int | None) -> ComparedPart:
    """Values that are equal or not; rows in any order where their number depends on the data."""
    import numpy as np

    each: list[float] = []
    same = total = missing = 0
    for wanted, found in zip(leaf.reference, leaf.output, strict=True):
        if axis is None:
            alike, size = int(np.count_nonzero(np.equal(wanted, found))), int(wanted.size)
        else:
            ours, theirs = unordered.rows(wanted, axis), unordered.rows(found, axis)
            alike, size = unordered.equal_rows(ours, theirs), max(len(ours), len(theirs))
            missing += len(ours) + len(theirs) - 2 * alike
        same, total = same + alike, total + size
        each.append(alike / size if size else 1.0)
    total += leaf.missing
    share = same / total if total else 1.0
    moved = axis is not None or (_varies(leaf.output), _varies(leaf.reference))
    status = ""
    if isinstance(moved, tuple) and len(leaf.reference) > 1:
        status = "constant" if not moved[1] else "" if moved[0] else "dead"
    return ComparedPart(
        part=PartFidelity(
            output=name,
            part=place,
            n=len(leaf.reference),
            max_abs=0.0 if same == total and not leaf.missing else None,
            equal=share,
            unmatched=missing + leaf.missing,
            status=status,
        ),
        each=tuple(each),
    )


def _closeness(signal: float, noise: Sequence[float]) -> tuple[float, ...]:
    """Decibels of each example."""
    mean = signal / max(len(noise), 1)
    if mean <= 0:  # a reference that does not vary says nothing, unless it was not met
        return tuple(EXACT_DB if error == 0 else 0.0 for error in noise)
    least_noise = mean * 10 ** (-EXACT_DB / 10)
    return tuple(10 * math.log10(mean / max(error, least_noise)) for error in noise)


def _varies(arrays: Sequence[Any]) -> bool:
    """Whether any two examples differ."""
    import numpy as np

    return any(not np.array_equal(arrays[0], array) for array in arrays)


def _worst_of(held: Sequence[PartFidelity]) -> str:
    """The part that counts, by its name; empty where there is nothing to choose from."""
    if len(held) < 2:  # noqa: PLR2004
        return ""
    dead = [one for one in held if one.status == "dead"]
    rated = [one for one in held if one.centred_sqnr_db is not None]
    if dead or not rated:
        return label(dead[0]) if dead else ""
    return label(min(rated, key=lambda one: one.centred_sqnr_db or 0.0))


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def decibels(signal: float, noise: float) -> float | None:
    """10 log10(signal / noise); None where either is zero."""
    return 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else None


def least(values: Iterable[float | None]) -> float | None:
    """The smallest of the values that are known."""
    return min((v for v in values if v is not None), default=None)
