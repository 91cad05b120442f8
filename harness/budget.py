"""Which build is good enough, and which of those is the fastest: pure functions over stored rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness import metric_budget, units
from harness.records import Status, within_run

QUALITY = ("accuracy_drop", "accuracy_share", "fidelity_db", "fidelity_equal")
"""The limits of a budget, as rows have them, on how good a build must be as a whole."""

LIMITS = (*QUALITY, "latency_s", "size_bytes", "memory_bytes", "energy_j")
"""Those, and what it may cost."""

UNLIMITED = (None,) * len(LIMITS)
"""The values of these where none is set."""

Row = Mapping[str, Any]
"""A stored outcome, with the keys that `harness results --format json` documents."""


INSIDE, OUTSIDE, CANNOT_TELL, UNKNOWN = "inside", "outside", "cannot tell", "unknown"
"""The verdicts on a case and its model's budget."""

HALF = 0.5
"""Beside decibels inside their budget, and with no `fidelity_equal`, outputs of whole numbers, booleans or text may
differ in so many values; with more, whether they are good enough is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetVerdict:
    """A case and its model's budget.

    Attributes:
        verdict: `inside`; `outside`; `cannot tell`, where so many examples leave both open; `unknown`, where there is
            nothing to judge by. Only `inside` needs no further word where a build is recommended.
        phrase: that word, such as `300 examples cannot tell: top1 drops 0.33% (95% -0.9% to 1.8%), budget 1.00%`;
            empty for `inside`.
    """

    verdict: str
    phrase: str = ""


def excess(row: Row) -> str | None:
    """Why a measured case is outside its model's budget; empty where it is inside, None where that is unknown.

    Labels decide where there are any, else fidelity. A model without an accuracy or fidelity budget cannot be
    judged: fast and wrong must not be recommended.
    """
    if not _limited(row):
        return faulty(row) or None
    wrong = _wrong(row)
    if wrong is None or wrong:
        return wrong
    return next(iter(_costly(row)), None if _unweighed(row) else "")


class RowSettings:
    """`setting` of the same rows for several who ask, found once for each.

    A row is known by its identity, and is held so that no other can get it: none may be changed meanwhile.
    """

    def __init__(self) -> None:
        self._found: dict[int, tuple[Row, tuple[Any, ...]]] = {}

    def of(self, row: Row) -> tuple[Any, ...]:
        """As the function `setting`."""
        known = self._found.get(id(row))
        if known is None:
            known = self._found[id(row)] = row, setting(row)
        return known[1]


class Excesses:
    """`excess` of the same rows for several who ask, such as the choice and the cells of a table; found once for each.

    A row is known by its identity, and is held so that no other can get it: none may be changed meanwhile.
    """

    def __init__(self) -> None:
        self._found: dict[int, tuple[Row, str | None]] = {}

    def of(self, row: Row) -> str | None:
        """As the function `excess`."""
        known = self._found.get(id(row))
        if known is None:
            known = self._found[id(row)] = row, excess(row)
        return known[1]


def exceeded(row: Row) -> tuple[str, ...]:
    """Every limit that a measured case passes, and every one that was set and cannot be judged; empty where all hold.

    Unlike `excess` it holds a model without an accuracy or fidelity budget to the limits that it has: that no limit
    was set is not a reason to fail, that one was set and could not be looked at is.
    """
    budget = row.get("budget") or {}
    if not _limited(row):
        return tuple(filter(None, [faulty(row)]))
    wrong = _wrong(row)
    unknown: tuple[str, ...] = ()
    if wrong is None and budget.get("accuracy_drop") is not None:
        unknown = (f"accuracy drop, budget {budget['accuracy_drop']:.2%}: cannot be judged, the data has no labels",)
    elif wrong is None and budget.get("accuracy_share") is not None:
        share = budget["accuracy_share"]
        unknown = (f"accuracy share, budget {share:.2%}: cannot be judged, the data has no labels",)
    elif wrong is None and budget.get("fidelity_db") is not None:
        least = budget["fidelity_db"]
        unknown = (f"fidelity, budget {least:.1f} dB: cannot be judged, {_why_unknown(row)}",)
    elif wrong is None and budget.get("fidelity_equal") is not None:
        unknown = (f"fidelity, budget {budget['fidelity_equal']:.2%} equal: cannot be judged, {_why_unknown(row)}",)
    lacking = tuple(one.unknown for one in metric_budget.limits(row) if one.found is None)
    return (*unknown, *lacking, *filter(None, [wrong, _unweighed(row)]), *_costly(row))


def unjudged(row: Row, excesses: Excesses | None = None) -> str:
    """Why a measured case cannot be held against its model's budget; empty where it can, or no limit was set.

    Args:
        row: the case.
        excesses: what is known of it already.
    """
    return "; ".join(exceeded(row)) if (excesses or Excesses()).of(row) is None else ""


def judged(row: Row) -> BudgetVerdict:
    """What can be said of a measured case and its model's budget, from accuracy with its interval where it has labels.

    `excess` and `exceeded` take an accuracy as it was measured on these examples; this asks whether so many examples
    say it of any others. Outputs that are the reference's own lose nothing on any example.
    """
    wrong = _wrong(row)
    if wrong is None:
        return BudgetVerdict(verdict=UNKNOWN, phrase=_why_unknown(row))
    firm = faulty(row) or ("" if _by_accuracy(row) else _wrong_fidelity(row) or "")
    by_examples = [] if firm else _verdicts_by_examples(row)
    if outside := next((one for one in by_examples if one.verdict == OUTSIDE), None):
        return outside
    costly = _costly(row)
    if firm or costly:
        return BudgetVerdict(verdict=OUTSIDE, phrase=firm or costly[0])
    if unweighed := _unweighed(row):
        return BudgetVerdict(verdict=UNKNOWN, phrase=unweighed)
    return next(iter(by_examples), BudgetVerdict(verdict=INSIDE))


def _verdicts_by_examples(row: Row) -> list[BudgetVerdict]:
    """What accuracy and single metrics say with their intervals; nothing of those that are inside."""
    found = [_accuracy_verdict(row)] if _by_accuracy(row) else []
    exact = (row.get("fidelity") or {}).get("max_abs") == 0
    for one in metric_budget.limits(row):
        if one.wrong and one.sure:
            found.append(BudgetVerdict(verdict=OUTSIDE, phrase=one.wrong))
        elif not one.sure and not exact:
            found.append(BudgetVerdict(verdict=CANNOT_TELL, phrase=one.doubt))
    return [one for one in found if one is not None]


def faulty(row: Row) -> str:
    """What puts a case outside every budget, such as a dead part; empty where nothing does."""
    faults = (row.get("fidelity") or {}).get("faults")
    return next(iter(faults), "") if faults else ""


def _limited(row: Row) -> bool:
    """Whether the row's budget limits anything."""
    budget = row.get("budget")
    return bool(row.get("metric_budgets") or (budget and tuple(map(budget.get, LIMITS)) != UNLIMITED))


def _by_accuracy(row: Row) -> bool:
    """Whether accuracy decides: there is a budget for it, and a drop."""
    budget = row.get("budget") or {}
    if budget.get("accuracy_drop") is None and budget.get("accuracy_share") is None:
        return False
    return (row.get("accuracy") or {}).get("drop") is not None


def _accuracy_verdict(row: Row) -> BudgetVerdict | None:
    """What the interval of the drop says; None where it says that it is inside."""
    budget, accuracy = row.get("budget") or {}, row["accuracy"]
    limit, share = budget.get("accuracy_drop"), budget.get("accuracy_share")
    limits = [limit] if limit is not None else []
    limits += [(1 - share) * accuracy["reference"]] if share is not None else []
    allowed, low, high = min(limits), accuracy.get("drop_low"), accuracy.get("drop_high")
    if low is None or high is None:
        wrong = _wrong_accuracy(row)
        return BudgetVerdict(verdict=OUTSIDE, phrase=wrong) if wrong else None
    if high <= allowed or (row.get("fidelity") or {}).get("max_abs") == 0:
        return None
    if low > allowed:
        return BudgetVerdict(verdict=OUTSIDE, phrase=_wrong_accuracy(row))
    said = f"{accuracy['metric']} drops {accuracy['drop']:.2%} (95% {low:.2%} to {high:.2%}), budget {allowed:.2%}"
    return BudgetVerdict(verdict=CANNOT_TELL, phrase=f"{accuracy['n']} examples cannot tell: {said}")


def _wrong(row: Row) -> str | None:
    """How accuracy, or else fidelity, is out of budget; empty where it is inside, None where that is unknown."""
    if fault := faulty(row):
        return fault
    limits = metric_budget.limits(row)
    rest = "" if limits and not _limits_whole(row) else _wrong_whole(row)
    if wrong := next((one.wrong for one in limits if one.wrong), "") or rest:
        return wrong
    return None if rest is None or any(one.found is None for one in limits) else ""


def _wrong_whole(row: Row) -> str | None:
    return _wrong_accuracy(row) if _by_accuracy(row) else _wrong_fidelity(row)


def _limits_whole(row: Row) -> bool:
    """Whether the budget limits accuracy or fidelity, beside single metrics."""
    budget = row.get("budget") or {}
    return any(budget.get(key) is not None for key in QUALITY)


def _wrong_accuracy(row: Row) -> str:
    budget, accuracy = row.get("budget") or {}, row["accuracy"]
    limit, share = budget.get("accuracy_drop"), budget.get("accuracy_share")
    if limit is not None and accuracy["drop"] > limit:
        return f"{accuracy['metric']} drops {accuracy['drop']:.2%}, budget {limit:.2%}"
    if share is not None and accuracy["value"] < share * accuracy["reference"]:
        left = accuracy["value"] / accuracy["reference"]
        return f"{accuracy['metric']} is {left:.2%} of the reference's, budget {share:.2%}"
    return ""


def _wrong_fidelity(row: Row) -> str | None:
    budget, fidelity = row.get("budget") or {}, row.get("fidelity") or {}
    least, share = budget.get("fidelity_db"), budget.get("fidelity_equal")
    if (least is None and share is None) or fidelity.get("reason"):
        return None
    if fidelity.get("max_abs") == 0:
        return ""
    sqnr, equal, worst = (fidelity.get(key) for key in ("centred_sqnr_db", "equal", "worst"))
    if least is not None and sqnr is not None and sqnr < least:
        return f"fidelity {sqnr:.1f} dB{f' ({worst})' if worst else ''}, budget {least:.1f} dB"
    if share is not None and equal is not None and equal < share:
        return f"fidelity: {equal:.2%} of values equal, budget {share:.2%}"
    if sqnr is None and fidelity.get("sqnr_db") is not None:
        return None  # numbers that differ, and no ratio that would say how much that is
    close = sqnr is None or least is not None
    alike = equal is None or share is not None or (equal >= HALF if sqnr is not None else equal == 1)
    return "" if close and alike and (sqnr is not None or equal is not None) else None


def _why_unknown(row: Row) -> str:
    """Why there is no telling whether a case is good enough."""
    budget, fidelity = row.get("budget") or {}, row.get("fidelity") or {}
    if fidelity.get("reason"):
        return str(fidelity["reason"])
    if lacking := next((one.unknown for one in metric_budget.limits(row) if one.found is None), ""):
        return lacking
    if not _limits_whole(row):
        return "no accuracy or fidelity budget"
    if fidelity.get("equal") is not None and budget.get("fidelity_equal") is None:
        return f"{fidelity['equal']:.2%} of values equal, which is not in decibels: set the budget `fidelity_equal`"
    return "too few examples, or outputs that do not vary"


def _costly(row: Row) -> tuple[str, ...]:
    """How latency, size, memory and energy are outside the budget."""
    budget, latency, artifact = (row.get(key) or {} for key in ("budget", "latency", "artifact"))
    found = []
    if budget.get("latency_s") is not None and latency.get("median_s", 0.0) > budget["latency_s"]:
        found.append(f"median {latency['median_s'] * 1e3:.3g} ms, budget {budget['latency_s'] * 1e3:.3g} ms")
    if budget.get("size_bytes") is not None and artifact.get("bytes", 0) > budget["size_bytes"]:
        found.append(f"{artifact['bytes']:,} bytes, budget {budget['size_bytes']:,} bytes")
    held, most = row.get("model_bytes"), budget.get("memory_bytes")
    if most is not None and held is not None and held > most:
        found.append(f"{held:,} bytes of memory, budget {most:,} bytes")
    took, allowed = (row.get("energy") or {}).get("inference_j"), budget.get("energy_j")
    if allowed is not None and took is not None and took > allowed:
        found.append(f"{units.joules(took)} for an inference, budget {units.joules(allowed)}")
    return tuple(found)


def _unweighed(row: Row) -> str:
    """That a limit of memory or energy cannot be judged; empty where it can, or there is none."""
    budget, energy = row.get("budget") or {}, row.get("energy") or {}
    most, allowed = budget.get("memory_bytes"), budget.get("energy_j")
    if most is not None and row.get("model_bytes") is None:
        return f"memory, budget {most:,} bytes: cannot be judged, what the model takes of it was not measured"
    if allowed is not None and energy.get("inference_j") is None:
        why = energy.get("source") or "it was not measured"
        return f"energy, budget {units.joules(allowed)}: cannot be judged, {why}"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipChoice:
    """The build to ship of one model on one target.

    Attributes:
        best: the measured row inside the budget that was named by a confirmation, else the one with the smallest
            median; None where none is inside.
        rows: the rows that it was chosen from: of one run, host, runtime and set of weights (`setting`).
        apart: rows with a latency that belong to other runs, hosts, runtimes or weights, of each variant those of the
            newest run that has it: never compared with `best`.
        excesses: of the rows.
    """

    best: Row | None
    rows: tuple[Row, ...]
    apart: tuple[Row, ...]
    excesses: Excesses = field(default_factory=Excesses, repr=False, compare=False)

    @property
    def missed(self) -> bool:
        """Whether a limit is what keeps builds from being shipped; a dead output does so with no limit set, too."""
        return any(
            self.excesses.of(row) and any((row.get("budget") or {}).get(key) is not None for key in LIMITS)
            for row in self.rows
        )

    @property
    def tied(self) -> list[Row]:
        """As the function `tied` of the best row; nothing where there is none."""
        return [] if self.best is None else tied(self.best, self.rows, self.excesses)

    @property
    def superseded(self) -> bool:
        """Whether a newer run measured other builds: the choice is that of an earlier one."""
        return any(_age(row) > _age(self.rows[0]) for row in self.apart)

    @property
    def judgement(self) -> BudgetVerdict | None:
        """Whether the best row is surely inside its budget, and the word that belongs to it where it is not."""
        return None if self.best is None else judged(self.best)


def choices(
    rows: Iterable[Row], excesses: Excesses | None = None, settings: RowSettings | None = None
) -> dict[tuple[str, str], ShipChoice]:
    """(model, target) -> what to ship, chosen among rows that were measured side by side.

    Rows of two runs, hosts or runtimes say as much about those as about the builds, so the choice lies within one
    `setting`. A later one takes over where its run tried what the choice rests on: the build that was named before, and
    the baseline. A small sweep of other builds says nothing of that one, and its rows are named apart. Where no build
    was inside the budget whatever is newer takes over, and where the baseline was not measured what has it.

    Emulated rows are never chosen: on the next runtime or host they compute something else. What is chosen without
    being `measured` needs its `remark`.

    Args:
        rows: stored rows of any number of runs. With the newest of each case alone, an earlier run may lack its
            baseline: `harness.store.query.Query.among` has what is needed.
        excesses: of these rows, for who asks for them anyway.
        settings: the same.
    """
    known = Excesses() if excesses is None else excesses
    of_row = setting if settings is None else settings.of
    found: dict[tuple[str, str], dict[tuple[Any, ...], list[Row]]] = {}
    tried: dict[tuple[str, str, str | None], set[str]] = {}
    for row in rows:
        if row["status"] == Status.FAILED:
            continue  # whatever numbers a file gives it
        tried.setdefault((row["model"], row["target"], row.get("run")), set()).add(row["variant"])
        if (row.get("latency") or {}).get("median_s") is not None:
            found.setdefault((row["model"], row["target"]), {}).setdefault(of_row(row), []).append(row)
    return {
        key: _choice(list(groups.values()), {run: tried[*key, run] for run, *_ in groups}, known)
        for key, groups in found.items()
    }


def fastest(rows: Iterable[Row]) -> dict[tuple[str, str], Row | None]:
    """(model, target) -> the best row of `choices`."""
    return {key: choice.best for key, choice in choices(rows).items()}


def _choice(groups: list[list[Row]], tried: Mapping[str | None, set[str]], excesses: Excesses) -> ShipChoice:
    """The choice among groups of one `setting` each; `tried` has the variants of each run that did not fail."""
    oldest_first = sorted(groups, key=lambda group: _age(group[0]))
    chosen = oldest_first[0]
    best = _best(chosen, excesses)
    for group in oldest_first[1:]:
        run = group[0].get("run")
        if best is None or (run != best.get("run") and _replaces(group, tried[run], best, chosen)):
            chosen, best = group, _best(group, excesses)
    kept = {id(row) for row in chosen}
    last = {row["variant"]: _age(row) for group in oldest_first for row in group}
    rest = [row for group in reversed(oldest_first) for row in group if _age(row) == last[row["variant"]]]
    others = tuple(row for row in rest if id(row) not in kept)
    return ShipChoice(best=best, rows=tuple(chosen), apart=others, excesses=excesses)


def _replaces(group: Sequence[Row], tried: set[str], best: Row, rows: Sequence[Row]) -> bool:
    """Whether a newer run, which tried these variants, takes over from the rows of which one was the best."""
    base = baseline(best)
    if any(row["variant"] == base for row in rows):
        return {best["variant"], base} <= tried
    return best["variant"] in tried or any(row["variant"] == base for row in group)


def _best(rows: Sequence[Row], excesses: Excesses) -> Row | None:
    inside = [row for row in rows if excesses.of(row) == "" and can_ship(row)]
    # What was measured again side by side decides; the medians of the sweep where nothing was.
    again = next((row for row in inside if (row.get("choice") or {}).get("best") == row["variant"]), None)
    return again or min(inside, key=lambda row: row["latency"]["median_s"], default=None)


def can_ship(row: Row) -> bool:
    """Whether a row's status allows to recommend it."""
    return Status(row["status"]).can_ship


def remark(row: Row) -> str:
    """What has to be said wherever a row is recommended; empty where it is what it claims to be."""
    return "" if row["status"] == Status.MEASURED else f"{row['status']}: {row.get('reason') or 'no reason was given'}"


def _age(row: Row) -> tuple[str, str]:
    return row.get("run_started_at") or "", row.get("run") or ""


def setting(row: Row) -> tuple[Any, ...]:
    """What two rows of a model and target must share to be compared: run, host, runtime and weights."""
    by = row.get("measured_by") or {}
    runtime = (by.get("package") or by.get("name"), by.get("version"), by.get("build"), by.get("language"))
    return row.get("run"), row.get("fingerprint"), row.get("runtime"), runtime, _weights(row)


def tied(best: Row, rows: Sequence[Row], excesses: Excesses | None = None) -> list[Row]:
    """Other rows of the same `setting` inside the budget whose interval overlaps the best one's: not told apart."""
    high = within_run(best["latency"])[1]
    if high is None:  # with no interval nothing overlaps it
        return []
    known = Excesses() if excesses is None else excesses
    return [
        row
        for row in rows
        if row is not best
        and (row["model"], row["target"], setting(row)) == (best["model"], best["target"], setting(best))
        and can_ship(row)
        and not row.get("stopped")  # after two processes its interval is wide, and it is certainly slower
        and (low := within_run(row.get("latency") or {})[0]) is not None
        and low <= high
        and known.of(row) == ""
    ]


def baseline(row: Row) -> str:
    """The variant that a row's speed-up refers to; `fp32` in rows from before there was a choice."""
    return str(row.get("baseline") or "fp32")


class Baselines:
    """The medians that speed-ups of some rows refer to, looked up and not searched for: rows may be thousands."""

    def __init__(self, rows: Iterable[Row], settings: RowSettings | None = None) -> None:
        """Find them.

        Args:
            rows: among which the baselines are.
            settings: of these rows, for who asks for them anyway.
        """
        self._setting = setting if settings is None else settings.of
        self._medians: dict[tuple[Any, ...], float] = {}
        for row in rows:
            if median := (row.get("latency") or {}).get("median_s"):
                self._medians.setdefault((row["model"], row["target"], row["variant"], self._setting(row)), median)

    def speedup(self, row: Row) -> float | None:
        """As the function `speedup`."""
        own = (row.get("latency") or {}).get("median_s")
        base = self._medians.get((row["model"], row["target"], baseline(row), self._setting(row)))
        return float(base / own) if base and own else None


def speedup(row: Row, rows: Iterable[Row]) -> float | None:
    """Median of the baseline over this row's median: of the same model, target and `setting`; None without either."""
    base = row["model"], row["target"], baseline(row)
    return Baselines(one for one in rows if (one["model"], one["target"], one["variant"]) == base).speedup(row)


def _weights(row: Row) -> str | None:
    return (row.get("weights") or {}).get("digest")
