"""What every task shares: what it is given, what it answers, and how two sides' answers are paired."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, overload

from harness.records import Json, MetricValue

if TYPE_CHECKING:
    import numpy as np

    from harness.stats.resampled import ResampledDifference

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """One artifact's answers to the evaluation examples, beside the reference's own.

    Whole arrays, one per example, which may be read from disk when they are asked for: go through them one by one.

    Attributes:
        outputs: name -> the artifact's arrays, in the reference's order of outputs.
        reference: name -> the fp32 reference's.
        labels: what is true, one array (or mapping of arrays) per example; None without labels.
        roles: what a task reads -> the output that the zoo names for it, such as `scores`.
        random: outputs that are other numbers in another run of the reference.
    """

    outputs: Mapping[str, Sequence[Array]]
    reference: Mapping[str, Sequence[Array]]
    labels: Sequence[Any] | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    random: tuple[str, ...] = ()

    @property
    def examples(self) -> int:
        """How many there are."""
        return len(next(iter(self.reference.values()), ()))


def resampled_metric(
    name: str, found: ResampledDifference, n: int, *, direction: str = "higher", note: str = ""
) -> MetricValue:
    """A share of n examples whose intervals come of resamples, with a drop that is positive where it is worse."""
    worse, ends = found.reference - found.value, (found.difference_low, found.difference_high)
    if direction == "lower":
        worse, ends = -worse, (-ends[1], -ends[0])
    return MetricValue(
        name=name,
        unit="fraction",
        direction=direction,
        value=found.value,
        reference=found.reference,
        drop=worse,
        low=found.low,
        high=found.high,
        drop_low=ends[0],
        drop_high=ends[1],
        n=n,
        note=note,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One metric on one artifact.

    Attributes:
        value: the metric over all examples.
        each: its value per example; None where it has none.
        reference: the fp32 reference's own value per example; None where it has none.
        examples: which examples each of those values is of; one each, in order, where empty.
        postprocess_s: what was done with the outputs of one example before they could be judged, in seconds.
    """

    value: MetricValue
    each: tuple[float, ...] | None = None
    reference: tuple[float, ...] | None = None
    examples: tuple[tuple[int, ...], ...] = ()
    postprocess_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """One metric on two sides, example by example: what a gate decides on.

    Attributes:
        metric, unit, direction: as in `records.MetricValue`.
        base, head: one number per example; truth values where `right`.
        right: whether an answer is either right or wrong.
        span: the largest difference that one example can make, in the metric's unit.
    """

    metric: str
    unit: str
    direction: str
    base: tuple[float, ...]
    head: tuple[float, ...]
    right: bool = False
    span: float = 1.0


def everything(outputs: Sequence[str]) -> tuple[str, ...]:
    """For tasks that look for their output themselves."""
    return tuple(outputs)


def nothing(outputs: Sequence[str]) -> tuple[str, ...]:  # noqa: ARG001  (the signature that every task has)
    """For tasks that read no output: fidelity reads them all."""
    return ()


def no_metrics(given: Evaluated) -> tuple[Scored, ...]:  # noqa: ARG001  (as above)
    """For tasks that have no metric beyond fidelity."""
    return ()


def no_pairs(base: Evaluated, head: Evaluated) -> Paired | None:  # noqa: ARG001  (as above)
    """For tasks that compare two answers by their fidelity alone."""
    return None


def nothing_said(given: Evaluated, side: Mapping[str, Sequence[Any]], places: tuple[int, ...]) -> Json:  # noqa: ARG001  (as above)
    """For tasks whose answers nobody could read."""
    return None


def nothing_true(labels: Sequence[Any]) -> Json:  # noqa: ARG001  (as above)
    """For tasks without labels."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a model's outputs mean.

    Attributes:
        summary: for people, such as `one class per example`.
        needs: from the names of a model's outputs, in order, those that the task reads.
        measure: the task's metrics on one artifact; the first that has labels judges it. It is given the outputs that
            the task needs. Raises ValueError where they, or the labels, are not what the task is about.
        pair: how two sides answer example by example; None where nothing but fidelity tells, as without labels.
        roles: what the zoo may name an output for, under `outputs`.
        said: what one side answers to an example (or to a pair of them), for people and in JSON. Given the answers,
            the side's outputs and the examples' places.
        true: what a label says, likewise.
    """

    summary: str
    needs: Callable[[Sequence[str]], tuple[str, ...]] = nothing
    measure: Callable[[Evaluated], tuple[Scored, ...]] = no_metrics
    pair: Callable[[Evaluated, Evaluated], Paired | None] = no_pairs
    roles: tuple[str, ...] = ()
    said: Callable[[Evaluated, Mapping[str, Sequence[Any]], tuple[int, ...]], Json] = nothing_said
    true: Callable[[Sequence[Any]], Json] = nothing_true

    def measured(self, given: Evaluated) -> tuple[Scored, ...]:
        """The metrics on everything that an artifact answered."""
        return self.measure(self._needed(given))

    def paired(self, base: Evaluated, head: Evaluated) -> Paired | None:
        """Two sides on everything that they answered."""
        return self.pair(self._needed(base), self._needed(head))

    def answers(self, given: Evaluated, places: tuple[int, ...]) -> tuple[Json, Json, Json]:
        """What is true of an example or a pair, what the reference says, and what the artifact says."""
        held = self._needed(given)
        truth = None if held.labels is None else self.true([held.labels[place] for place in places])
        return truth, self.said(held, held.reference, places), self.said(held, held.outputs, places)

    def _needed(self, given: Evaluated) -> Evaluated:
        names = self.needs(tuple(given.reference))
        return replace(
            given,
            outputs={name: given.outputs[name] for name in names},
            reference={name: given.reference[name] for name in names},
        )


class Rows(Sequence["Array"]):
    """Examples of several rows each, row by row: every array is a slice of length one of axis 0.

    A model with a fixed batch size of N is fed N rows of data at once; what it answers belongs to the rows.
    """

    def __init__(self, examples: Sequence[Array], rows: int) -> None:
        self._examples, self._rows = examples, rows

    def __len__(self) -> int:
        return len(self._examples) * self._rows

    @overload
    def __getitem__(self, index: int) -> Array: ...
    @overload
    def __getitem__(self, index: slice) -> list[Array]: ...
    def __getitem__(self, index: int | slice) -> Array | list[Array]:
        """The row, or several."""
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        example, row = divmod(index % len(self), self._rows)
        return self._examples[example][row : row + 1]


def by_row(examples: Sequence[Array], rows: int) -> Sequence[Array]:
    """Examples row by row where the first array has as many rows as a feed; else as they are."""
    if rows == 1 or not len(examples) or getattr(examples[0], "shape", ())[:1] != (rows,):
        return examples
    return Rows(examples, rows)
