"""Embeddings of a sequence or of each token: similarity of sentence pairs where they are graded, else fidelity.

A label says of which pair a sentence is, how alike the two are, and how many tokens it has: `pair`, `score` and
`tokens`, as the data sources `sentence_pairs` and `text_csv` give them. An embedding is the mean of the tokens' (or the
output itself, where it is one vector), two are as alike as the cosine of their angle, and Spearman's correlation says
how well that orders the pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.records import Json, MetricValue
from harness.stats import resampled
from harness.stats.rank_correlation import mean_ranks, spearman
from harness.suggest import suggest
from harness.tasks.base import Evaluated, Paired, Scored, Task, everything, resampled_metric

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

ROLE = "embedding"
SPEARMAN = "spearman"
ORDER = "order_agreement"
"""Spearman's correlation of the artifact's similarities with the reference's own: needs no grades."""

FEWEST = 3
"""Pairs, for an order to speak of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentencePairs:
    """Which examples are pairs, and how alike each is said to be.

    Attributes:
        members: the two examples of each pair.
        grades: one number for each pair.
    """

    members: tuple[tuple[int, int], ...]
    grades: Array


def pairs(labels: Sequence[Any] | None) -> SentencePairs | None:
    """The pairs that labels tell of; None where they tell of none, or of too few."""
    import numpy as np

    if not labels or not (isinstance(labels[0], Mapping) and {"pair", "score"} <= labels[0].keys()):
        return None
    held: dict[int, list[int]] = {}
    grades: dict[int, float] = {}
    for place, label in enumerate(labels):
        number = int(np.asarray(label["pair"]).reshape(-1)[0])
        held.setdefault(number, []).append(place)
        grades[number] = float(np.asarray(label["score"]).reshape(-1)[0])
    whole = {number: (both[0], both[1]) for number, both in held.items() if len(both) == 2}  # noqa: PLR2004  (a pair)
    if len(whole) < FEWEST:
        return None
    return SentencePairs(members=tuple(whole.values()), grades=np.array([grades[number] for number in whole]))


def similarities(given: Evaluated, side: Mapping[str, Sequence[Any]], found: SentencePairs) -> Array:
    """How alike one side takes the two sentences of every pair, -1 to 1.

    Raises:
        ValueError: it is not plain which output is the embedding, or it has another shape.
    """
    import numpy as np

    name = _output(given)
    vectors = {
        place: _vector(side[name][place], (given.labels or ())[place], name) for both in found.members for place in both
    }
    return np.array([float(vectors[one] @ vectors[other]) for one, other in found.members])


def measure(given: Evaluated) -> tuple[Scored, ...]:
    """Spearman's correlation with the grades, and with the reference's own order."""
    import numpy as np

    found = pairs(given.labels)
    if found is None:
        return ()
    ours, theirs = (similarities(given, side, found) for side in (given.outputs, given.reference))
    count = len(found.members)
    differing = int(np.count_nonzero(ours != theirs))

    def graded(drawn: Array) -> tuple[float, float]:
        truth = found.grades[drawn]
        return spearman(ours[drawn], truth), spearman(theirs[drawn], truth)

    note = ""
    try:
        interval = resampled.difference(graded, count, differing=differing)
        order = resampled.difference(
            lambda drawn: (spearman(ours[drawn], theirs[drawn]), 1.0), count, differing=differing
        )
    except ValueError:
        note = "similarities or grades do not vary, so that they have no order: counted as a correlation of 0"
        own = spearman(theirs, found.grades)
        reference = own if np.isfinite(own) else 0.0
        interval = resampled.ResampledDifference(
            value=0.0, reference=reference, low=None, high=None, difference_low=reference, difference_high=reference
        )
        order = None
    by_grade = resampled_metric(SPEARMAN, interval, count, note=note)
    scored = [
        Scored(
            value=by_grade,
            each=_places(ours, found.grades),
            reference=_places(theirs, found.grades),
            examples=found.members,
        )
    ]
    if order is not None:
        agreement = MetricValue(
            name=ORDER, unit="fraction", direction="higher", value=order.value, low=order.low, high=order.high, n=count
        )
        scored.append(Scored(value=agreement, each=_places(ours, theirs), examples=found.members))
    return tuple(scored)


def pair(base: Evaluated, head: Evaluated) -> Paired | None:
    """What each pair of sentences contributes to Spearman's correlation of both sides; None without grades."""
    found = pairs(base.labels)
    if found is None or head.labels is None:
        return None
    was, now = (similarities(side, side.outputs, found) for side in (base, head))
    return Paired(
        metric=SPEARMAN,
        unit="fraction",
        direction="higher",
        base=resampled.influence(lambda drawn: _or_none(was[drawn], found.grades[drawn]), len(was)),
        head=resampled.influence(lambda drawn: _or_none(now[drawn], found.grades[drawn]), len(now)),
    )


def _or_none(one: Array, other: Array) -> float:
    import numpy as np

    value = spearman(one, other)
    return value if np.isfinite(value) else 0.0


def _places(found: Array, truth: Array) -> tuple[float, ...]:
    """How near each pair is to its place in the true order: 1 at it, 0 at the other end."""
    import numpy as np

    apart = np.abs(mean_ranks(found) - mean_ranks(truth))
    return tuple((1 - apart / max(len(apart) - 1, 1)).tolist())


def _output(given: Evaluated) -> str:
    named = given.roles.get(ROLE)
    if named is not None:
        if named not in given.reference:
            raise ValueError(f"the model has no output `{named}`; {suggest(named, list(given.reference))}")
        return named
    shapes = {name: getattr(held[0], "shape", ()) for name, held in given.reference.items() if len(held)}
    ranks = {name: len(shape) for name, shape in shapes.items()}
    for rank in (2, 3):  # a vector of the whole, else one for each token
        fitting = [name for name, one in ranks.items() if one == rank]
        if len(fitting) == 1:
            return fitting[0]
    has = ", ".join(f"`{name}` {list(shape)}" for name, shape in shapes.items())
    raise ValueError(
        f"it is not plain which output is the embedding; the model has {has}. Name it in the zoo: "
        f"`outputs: {{{ROLE}: NAME}}`"
    )


def _vector(value: Any, label: Mapping[str, Any], name: str) -> Array:
    """The embedding of one sentence, of length one."""
    import numpy as np

    held = np.asarray(value, dtype=np.float64)
    if held.ndim == 3:  # noqa: PLR2004  (example, tokens, width)
        tokens = int(np.asarray(label.get("tokens", held.shape[1])).reshape(-1)[0])
        held = held[:, : max(tokens, 1)].mean(axis=1)
    if held.ndim != 2 or held.shape[0] != 1:  # noqa: PLR2004  (example, width)
        raise ValueError(f"output `{name}` has shape {list(np.shape(value))}: no embedding of one sentence")
    length = float(np.sqrt((held[0] ** 2).sum()))
    if not np.isfinite(length):
        raise ValueError(f"output `{name}` holds values that are not finite")
    vector: Array = held[0] / length if length else held[0]
    return vector


def said(given: Evaluated, side: Mapping[str, Sequence[Any]], places: tuple[int, ...]) -> Json:
    """How alike the two sentences of a pair are taken to be; nothing where there are no pairs."""
    if given.labels is None or len(places) != 2:  # noqa: PLR2004  (a pair)
        return None
    name = _output(given)
    one, other = (_vector(side[name][place], given.labels[place], name) for place in places)
    return {"similarity": round(float(one @ other), 4)}


def true(labels: Sequence[Any]) -> Json:
    """The grade of a pair, and its sentences where the data has them."""
    import numpy as np

    first = labels[0]
    if not isinstance(first, Mapping) or "score" not in first:
        return None
    texts = [str(np.asarray(label["text"]).reshape(-1)[0]) for label in labels if "text" in label]
    return {"grade": float(np.asarray(first["score"]).reshape(-1)[0]), **({"text": list(texts)} if texts else {})}


TASK = Task(
    summary="embeddings of a sequence or of its tokens: Spearman on graded pairs, else fidelity",
    needs=everything,
    roles=(ROLE,),
    measure=measure,
    pair=pair,
    said=said,
    true=true,
)
