"""Two sides brought together: which row is set against which, what else they differ by, and which pairs are offered.

A ratio says something about what the sides are named by only where the rest is the same. So commits are set against
each other on the same host and runtime, runtimes on the same host and as far as possible at the same commit, hosts as
far as possible on the same runtime; what could not be held is named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from harness.errors import UsageError
from harness.report import sides, wording
from harness.report.compare import VERDICTS, judged
from harness.report.data import Data
from harness.report.sides import ComparedSide

if TYPE_CHECKING:
    import pandas as pd

    from harness.report.keys import Keys

MOST: Final = 4
"""Hosts whose newest runs are compared ahead, and runtimes and hosts that the newest one is set against."""

FIXED: Final = {
    "run": {"fingerprint", "runtime", "code"},
    "commit": {"code"},
    "runtime": {"runtime"},
    "host": {"fingerprint"},
}
"""What a side of each kind names, so that the other side may differ in it."""

DECIBELS: Final = 0.05
"""Fidelity is shown to a tenth of a decibel; what moves less has not changed."""


FRAME: Final = {
    name: name for name in ("case", "model", "variant", "target")
} | {
    "ratio": "ratio", "low": "ratio_low", "high": "ratio_high", "confidence": "confidence", "verdict": "verdict"
} | {
    f"{name}{side}": f"{called}{side}"
    for name, called in (
        ("median_s", "median_s"), ("low_s", "ci95_low_s"), ("high_s", "ci95_high_s"), ("processes", "processes"),
        ("accuracy", "accuracy"), ("accuracy_drop", "accuracy_drop"), ("fidelity_db", "fidelity_db"),
        ("fidelity_max_abs", "fidelity_max_abs"), ("size_bytes", "size_bytes"), ("model_bytes", "model_memory_bytes"),
        ("fingerprint", "host"), ("runtime", "runtime"), ("commit", "commit"), ("run", "run"),
    )
    for side in ("_before", "")
}  # fmt: skip
"""Columns of `Compared.moved` -> what programs know them by; `_before` marks the side before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedPair:
    """Two sides; which is first matters."""

    before: ComparedSide
    after: ComparedSide

    @property
    def id(self) -> str:
        """Unique for the two in this order, and fit for a file name."""
        return f"{self.before.id}-{self.after.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What came of a pair.

    Attributes:
        moved: as `harness.report.compare.judged` returns it, with `quality` (-1 where accuracy or fidelity got worse,
            1 where it got better); sorted by what matters.
        notes: what the ratios do not tell.
    """

    moved: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many lines have each of `VERDICTS`, and `worse`: how many lost accuracy or fidelity."""
        found = {name: int((self.moved["verdict"] == name).sum()) for name in VERDICTS}
        return found | {"worse": int((self.moved["quality"] < 0).sum())}

    def frame(self) -> pd.DataFrame:
        """The lines for programs: the columns of `FRAME`, seconds, bytes and shares; NaN where there is nothing."""
        found = self.moved.rename(columns=FRAME)[[*FRAME.values()]]
        found["accuracy_or_fidelity"] = self.moved["quality"].map({-1: "worse", 0: "", 1: "better"})
        return found

    def groups(self) -> Iterator[tuple[str, str, pd.DataFrame]]:
        """Host, runtime and lines, for each host and runtime: what one heat map can show."""
        for key, lines in self.moved.groupby(["fingerprint", "runtime"], sort=False):
            yield str(key[0]), str(key[1]), lines.reset_index(drop=True)


def asked(data: Data, names: tuple[str, str], where: str = "--compare ") -> ComparedPair:
    """A pair by what a person types.

    Args:
        data: what is stored.
        names: as `harness.report.sides.find` takes them, before and after.
        where: what a message begins with.

    Raises:
        UsageError: as `harness.report.sides.find`, or if both are the same.
    """
    pair = ComparedPair(before=sides.find(data, names[0], where), after=sides.find(data, names[1], where))
    if pair.before == pair.after:
        raise UsageError(f"{where}{names[0]} {names[1]}: both are {pair.before.kind} {pair.before.name}: give two")
    return pair


def offered(data: Data, names: Sequence[tuple[str, str]] = ()) -> list[ComparedPair]:
    """The pairs that a site makes ahead: those that were asked for, and the few that most people open.

    The newest run of a host against the one before, where there are no runs the newest commit against the one before,
    the newest runtime against older ones, and the newest host against others.
    """
    found = [asked(data, pair) for pair in names]
    for host in data.hosts[:MOST]:
        own = [run.id for run in data.runs if host in run.hosts][:2]
        found += _against([side for run in own for side in sides.every(data) if side.key == run])
    if not data.runs:
        found += _against(sides.of_kind(data, "commit")[:2])
    found += _against(sides.of_kind(data, "runtime")[:MOST])
    found += _against(sides.of_kind(data, "host")[:MOST])
    return list({pair.id: pair for pair in found}.values())


def pair_of(data: Data, identity: str) -> ComparedPair | None:
    """The pair of that id; None where a side of it is not known, or both are the same."""
    known = {side.id: side for side in sides.every(data)}
    before, _, after = identity.partition("-")
    if before == after or before not in known or after not in known:
        return None
    return ComparedPair(before=known[before], after=known[after])


def key(data: Data, pair: ComparedPair, keys: Keys) -> str:
    """A digest of everything that a pair's comparison is made from: the sides, and the files that hold their rows."""
    import pandas as pd

    extra, frames = [], []
    for side in (pair.before, pair.after):
        own = sides.values(data, side)
        hashes = pd.util.hash_pandas_object(own, index=False).to_numpy()
        paged = [case in data.cases for case in own["case"]]
        extra += [side.kind, side.key, side.label, hashlib.sha256(hashes.tobytes() + bytes(paged)).hexdigest()]
        stored = sides.stored(data, side)
        frames.append(stored.drop_duplicates(["run", "filename"]))
    return keys.rows(*frames, extra=extra)


def compared(data: Data, pair: ComparedPair) -> Compared:
    """The comparison of two sides."""
    import numpy as np

    before, after = sides.rows(data, pair.before), sides.rows(data, pair.after)
    cases = len({*before["case"]} | {*after["case"]})
    both = matched(before, after, FIXED[pair.before.kind] | FIXED[pair.after.kind])
    same = _same_weights(both)
    unsaid = both["inputs"].isna() | both["inputs_before"].isna()  # of asv's files
    alike = ((both["inputs"] == both["inputs_before"]) | unsaid).to_numpy(bool)
    moved = judged(both[same & alike])
    moved["quality"] = _quality(moved)
    lost = ((moved["verdict"] != "slower") & (moved["quality"] < 0)).to_numpy(bool)
    slower = (moved["verdict"] == "slower").to_numpy(bool)
    order = np.argsort(np.where(slower, 0, np.where(lost, 1, 2)), kind="stable")
    moved = moved.iloc[order].reset_index(drop=True)
    done = {*moved["case"]}
    known = (both["weights"].notna() & both["weights_before"].notna()).to_numpy(bool)
    unlike = {*both["case"][known & ~same]} - done
    fed = {*both["case"][same & ~alike]} - done
    missing = cases - len(done) - len(unlike) - len(fed)
    notes = [*_differences(pair, moved)]
    if unlike:
        notes.append(f"{_have(len(unlike))} other weights on the two sides: a ratio would be of two models.")
    if fed:
        notes.append(
            f"{_have(len(fed))} inputs that rotate on one side and one fixed input on the other: a ratio would be of "
            "the inputs."
        )
    if missing:
        held = "" if "fingerprint" in FIXED[pair.before.kind] | FIXED[pair.after.kind] else " of the same host"
        notes.append(f"{_have(missing)} no numbers on both sides{held}.")
    return Compared(moved=moved, notes=tuple(notes))


def matched(before: pd.DataFrame, after: pd.DataFrame, fixed: set[str]) -> pd.DataFrame:
    """Each line of `after` with the line of `before` that it is to be set against.

    Cases are matched per host and runtime where the sides do not name these; of several commits the newest that both
    have is taken, else the newest of each. Only where a case has no runtime in common is another one taken.

    Args:
        before: as `harness.report.sides.rows` returns it.
        after: the same of the other side.
        fixed: `fingerprint`, `runtime` and `code`, as far as one of the sides names it.

    Returns:
        Lines of `after`, and those of `before` with the suffix `_before`.
    """
    import pandas as pd

    apart = [name for name in ("fingerprint", "runtime") if name not in fixed]
    code = [name for name in ("code",) if name not in fixed]
    levels = [(apart, [*code, "around"]), (apart, code), (apart, [])]
    if "runtime" in apart:
        apart = [name for name in apart if name != "runtime"]
        levels += [(apart, code), (apart, [])]
    found: list[pd.DataFrame] = []
    for own, more in levels:
        on = ["case", *own, *more]
        last, first = after.drop_duplicates(on, keep="last"), before.drop_duplicates(on, keep="last")
        both = last.merge(first, on=on, suffixes=("", "_before"))
        for name in on:
            both[f"{name}_before"] = both[name]
        both = both.drop_duplicates(["case", *own], keep="last")
        for earlier in found:
            both = both[~_index(both, own).isin(_index(earlier, own))]
        found.append(both)
    return pd.concat([both for both in found if not both.empty] or found[:1], ignore_index=True)


def _index(lines: pd.DataFrame, own: Sequence[str]) -> Any:
    import pandas as pd

    return pd.MultiIndex.from_frame(lines[["case", *own]]) if own else pd.Index(lines["case"])


def _against(found: Sequence[ComparedSide]) -> list[ComparedPair]:
    """The first of some sides, the newest, against each of the others."""
    return [ComparedPair(before=other, after=found[0]) for other in found[1:]]


def _same_weights(both: pd.DataFrame) -> Any:
    """Whether both sides of each line are of one model: samples know the digest, asv's files its beginning."""
    import numpy as np

    names = ("model", "weights_kind", "weights", "source")

    def named(line: Mapping[Hashable, Any], side: str) -> str:
        model, kind, digest, source = (line[f"{name}{side}"] for name in names)
        return str(digest) if source else f"{model}-{kind}-{str(digest)[:8]}"

    same = (both["weights"].astype(object) == both["weights_before"].astype(object)).to_numpy(bool, copy=True)
    mixed = ((both["source"] == "") != (both["source_before"] == "")).to_numpy(bool)
    lines = both.loc[mixed, [f"{name}{side}" for name in names for side in ("", "_before")]].to_dict("records")
    same[np.flatnonzero(mixed)] = [named(line, "") == named(line, "_before") for line in lines]
    return same


def _quality(moved: pd.DataFrame) -> Any:
    """-1 where accuracy got worse, or fidelity where there is no accuracy on both sides; 1 where better; else 0."""
    import numpy as np

    def of(name: str) -> Any:
        return moved[name].to_numpy(float)

    exact, exact_before = of("fidelity_max_abs") == 0, of("fidelity_max_abs_before") == 0
    now, then = np.where(exact, np.inf, of("fidelity_db")), np.where(exact_before, np.inf, of("fidelity_db_before"))
    with np.errstate(invalid="ignore"):
        fidelity = now - then
    fidelity = np.where(exact & exact_before, 0.0, fidelity)
    fidelity = np.where(np.abs(fidelity) < DECIBELS, 0.0, fidelity)
    accuracy = of("accuracy") - of("accuracy_before")
    lost = np.maximum(of("accuracy_drop_before"), 0) - np.maximum(of("accuracy_drop"), 0)
    accuracy = np.where(np.isfinite(accuracy), accuracy, lost)
    return np.sign(np.nan_to_num(np.where(np.isfinite(accuracy), accuracy, fidelity), nan=0.0)).astype(int)


def _differences(pair: ComparedPair, moved: pd.DataFrame) -> Iterator[str]:
    """What the two sides differ by beside what they are named by."""
    names = {pair.before.kind, pair.after.kind}
    if (hosts := int((moved["fingerprint"] != moved["fingerprint_before"]).sum())) or names == {"host"}:
        yield f"Two hosts{_some(hosts, moved)}: a ratio compares machines, not builds."
    if names != {"runtime"} and (other := moved[moved["runtime"] != moved["runtime_before"]]).shape[0]:
        of = sorted({f"{then} to {now}" for then, now in zip(other["runtime_before"], other["runtime"], strict=True)})
        yield f"The runtime differs{_some(len(other), moved)}: {', '.join(of[:3])}{', ...' if len(of) > 3 else ''}."  # noqa: PLR2004  (a line of them)
    if names <= {"runtime", "host"} and (code := int((moved["code"] != moved["code_before"]).sum())):
        yield f"The commit differs{_some(code, moved)}, or its tree was changed."
    values = ((moved["source"] != "") | (moved["source_before"] != "")).to_numpy(bool)
    if values.any():
        yield (
            f"Values of asv's files{_some(int(values.sum()), moved)}: the interval of a ratio is from both sides' 99% "
            "intervals (98% or more together), a change is where these lie apart, and there are no samples to look at."
        )


def _some(count: int, moved: pd.DataFrame) -> str:
    return "" if count == len(moved) else f" in {wording.plural(count, 'case')}"


def _have(count: int) -> str:
    return f"{wording.plural(count, 'case')} {'has' if count == 1 else 'have'}"
