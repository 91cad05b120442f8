"""Text that a model reads or hears: exact matches, and the character error rate.

A label is the text, or a mapping with `text` and `alphabet`. An output is text itself; or, with an alphabet, character
numbers, or scores of characters [1, steps, 1 + alphabet] whose best ones are joined as CTC does: repeated ones are one,
and number 0 is none. Errors are the fewest characters that are put in, left out or replaced (Levenshtein, 1966).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.records import Json, MetricValue
from harness.stats import correctness, resampled
from harness.suggest import suggest
from harness.tasks.base import Evaluated, Paired, Scored, Task, everything, resampled_metric

ROLE = "text"
EXACT, CER = "exact_match", "cer"


def distance(one: str, other: str) -> int:
    """The fewest characters to put in, leave out or replace that make one text the other."""
    before = list(range(len(other) + 1))
    for row, mine in enumerate(one, 1):
        now = [row]
        for column, yours in enumerate(other, 1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (mine != yours)))
        before = now
    return before[-1]


def read(value: Any, alphabet: str, name: str) -> str:
    """The text of one output.

    Raises:
        ValueError: it is numbers, without an alphabet, or of another one.
    """
    import numpy as np

    held = np.asarray(value)
    if held.dtype.kind in "USO":
        return "".join(map(str, held.reshape(-1)))
    if not alphabet:
        raise ValueError(
            f"output `{name}` holds numbers, and the labels name no `alphabet` to read them by: give labels such as "
            f"{{text: ..., alphabet: ...}}"
        )
    if held.dtype.kind == "f":
        steps = held.reshape(-1, held.shape[-1])
        if held.shape[-1] != len(alphabet) + 1:
            raise ValueError(
                f"output `{name}` has {held.shape[-1]} scores for each step, the alphabet {len(alphabet)} characters "
                f"and one number for none"
            )
        best = steps.argmax(axis=1)
        numbers = [int(one) for place, one in enumerate(best) if not place or one != best[place - 1]]
    else:
        numbers = [int(one) for one in held.reshape(-1)]
    if numbers and not (min(numbers) >= 0 and max(numbers) <= len(alphabet)):
        raise ValueError(f"output `{name}` names character {max(numbers)} of an alphabet of {len(alphabet)}")
    return "".join(alphabet[one - 1] for one in numbers if one)


def measure(given: Evaluated) -> tuple[Scored, ...]:
    """Exact matches and the character error rate, against the labels."""
    import numpy as np

    if given.labels is None:
        return ()
    truth = [_truth(label)[0] for label in given.labels]
    ours, theirs = (_texts(given, side) for side in (given.outputs, given.reference))
    right, own = ([a == b for a, b in zip(side, truth, strict=True)] for side in (ours, theirs))
    drop = correctness.right_drop(own, right)
    low, high = correctness.wilson(sum(right), len(right))
    exact = MetricValue(
        name=EXACT,
        unit="fraction",
        direction="higher",
        value=sum(right) / len(right),
        reference=sum(own) / len(own),
        drop=drop.value,
        low=low,
        high=high,
        drop_low=drop.low,
        drop_high=drop.high,
        n=len(right),
    )
    wrong, before = (
        np.array([distance(a, b) for a, b in zip(side, truth, strict=True)], dtype=np.float64)
        for side in (ours, theirs)
    )
    lengths = np.array([max(len(text), 1) for text in truth], dtype=np.float64)
    found = resampled.difference(
        lambda drawn: (
            float(wrong[drawn].sum() / lengths[drawn].sum()),
            float(before[drawn].sum() / lengths[drawn].sum()),
        ),
        len(truth),
        differing=sum(a != b for a, b in zip(ours, theirs, strict=True)),
    )
    rate = resampled_metric(CER, found, len(truth), direction="lower")
    return (
        Scored(value=exact, each=tuple(map(float, right)), reference=tuple(map(float, own))),
        Scored(value=rate, each=tuple((wrong / lengths).tolist()), reference=tuple((before / lengths).tolist())),
    )


def pair(base: Evaluated, head: Evaluated) -> Paired | None:
    """Each example's share of wrong characters on both sides; None without labels."""
    if base.labels is None or head.labels is None:
        return None
    sides = []
    for side in (base, head):
        texts = zip(_texts(side, side.outputs), [_truth(label)[0] for label in side.labels or ()], strict=True)
        sides.append(tuple(distance(text, truth) / max(len(truth), 1) for text, truth in texts))
    return Paired(metric=CER, unit="fraction", direction="lower", base=sides[0], head=sides[1])


def _texts(given: Evaluated, side: Mapping[str, Sequence[Any]]) -> list[str]:
    name = _output(given)
    return [read(value, _truth(label)[1], name) for value, label in zip(side[name], given.labels or (), strict=True)]


def _truth(label: Any) -> tuple[str, str]:
    """The text of a label, and its alphabet."""
    import numpy as np

    if isinstance(label, Mapping):
        if "text" not in label:
            raise ValueError(f"a label has {', '.join(label)} and no `text`")
        return str(np.asarray(label["text"]).reshape(-1)[0]), str(np.asarray(label.get("alphabet", "")).reshape(-1)[0])
    held = np.asarray(label).reshape(-1)
    if held.dtype.kind != "U" or held.size != 1:
        raise ValueError("a label is not a text; expected one for each example")
    return str(held[0]), ""


def _output(given: Evaluated) -> str:
    named = given.roles.get(ROLE) or (next(iter(given.reference)) if len(given.reference) == 1 else "")
    if named in given.reference:
        return named
    if named:
        raise ValueError(f"the model has no output `{named}`; {suggest(named, list(given.reference))}")
    raise ValueError(
        f"it is not plain which output is the text; the model has {', '.join(f'`{one}`' for one in given.reference)}. "
        f"Name it in the zoo: `outputs: {{{ROLE}: NAME}}`"
    )


def said(given: Evaluated, side: Mapping[str, Sequence[Any]], places: tuple[int, ...]) -> Json:
    """The text that was read."""
    if given.labels is None:
        return None
    name = _output(given)
    return [read(side[name][place], _truth(given.labels[place])[1], name) for place in places]


def true(labels: Sequence[Any]) -> Json:
    """The text that is there."""
    return [_truth(label)[0] for label in labels]


TASK = Task(
    summary="text that is read or heard: exact matches and the character error rate",
    needs=everything,
    roles=(ROLE,),
    measure=measure,
    pair=pair,
    said=said,
    true=true,
)
