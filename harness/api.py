"""harness from Python: what is stored, compared and judged, as pandas frames; `harness.results()` and the others.

Importing this is light: pandas, and whatever reads, is imported by the functions. A number that is not there is NA.
What was left out of a frame, and why, is a warning and in `frame.attrs["notes"]`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import StoreError, UsageError
from harness.paths import typed

if TYPE_CHECKING:
    import pandas as pd

    from harness.gate.gate import GateWatcher
    from harness.gate.model import GateSettings, Report
    from harness.store.rows import Row

__all__ = ["LeftOutWarning", "compare", "gate", "history", "results"]

Names = str | Sequence[str]
"""One name or glob, or several."""

COMPARED = (
    "case", "model", "variant", "target", "fingerprint", "runtime", "verdict", "ratio", "low", "high", "confidence",
    "quality", "median_s_before", "low_s_before", "high_s_before", "median_s", "low_s", "high_s", "size_bytes_before",
    "size_bytes", "fidelity_db_before", "fidelity_db", "accuracy_before", "accuracy", "fingerprint_before",
    "runtime_before", "run_before", "run", "commit_before", "commit", "source",
)  # fmt: skip
"""The columns of `compare`."""


class LeftOutWarning(UserWarning):
    """Some of what is stored is not in a frame, or has to be read with care; the message says why."""


def results(folder: str | Path = "results", *, models: Names = (), all_runs: bool = False) -> pd.DataFrame:
    """What is stored, one line per case: that of the newest run that has it.

    Args:
        folder: the results folder.
        models: names or globs; none takes all.
        all_runs: every run's lines.

    Returns:
        The columns of `harness results --format csv` (such as `case`, `status`, `latency_median_s`), and `speedup`
        (times as fast as the baseline of the same run, host, runtime and weights), `inside` (`inside`, `outside`,
        `cannot tell` or `unknown`: the case and its model's budget) and `ship` (whether it is the build to ship of its
        model and target; with `all_runs` in the run that says so).

    Raises:
        UsageError: if nothing is stored of a name.
        StoreError: if there is no such folder, or it cannot be listed.
    """
    from harness import budget
    from harness.store import frames, query

    found = query.query(_stored(folder), all_runs=all_runs)
    rows = _of_models(found.rows, _names(models))
    frame = frames.frame(rows)
    among = _of_models(found.among, _names(models))
    base = budget.Baselines(among)
    # The choice may rest on an earlier run than the newest row of its case, which then stands for it.
    best = {(row["case"], row["run"] if all_runs else "") for row in budget.fastest(among).values() if row}
    return _noted(
        frame.assign(
            speedup=_column([base.speedup(row) for row in rows], "Float64"),
            inside=_column([_inside(row) for row in rows], "string"),
            ship=_column([(row["case"], row["run"] if all_runs else "") in best for row in rows], "boolean"),
        ),
        (*(f"left out: {problem}" for problem in found.problems), *found.notes),
    )


def compare(
    before: str, after: str, folder: str | Path = "results", *, models: Names = (), repo: str | Path | None = "."
) -> pd.DataFrame:
    """Two runs, commits, runtimes or hosts against each other, as the page and the verb `compare` have it.

    The sides were measured one after the other. To decide, measure pairs: `gate`.

    Args:
        before: one side: a run's id, a commit or what git resolves to one, a runtime (`onnxruntime==1.31.1`) or a
            host; `kind:name` where that could be two things.
        after: the other side.
        folder: the results folder.
        models: names or globs; none takes all.
        repo: a folder of the clone whose commits are meant; None asks no git.

    Returns:
        One line per case that both sides measured on the same weights, the worst first. `ratio` is after over before
        with its interval `low` to `high` at `confidence`; `verdict` is slower, faster, same or unjudged; `quality` is
        -1 where accuracy or fidelity got worse, 1 where better. Times are in seconds, sizes in bytes. `attrs["notes"]`
        says what the two sides differ by beside their names.

    Raises:
        UsageError: if a side is not known or both are the same, or nothing is stored of a model.
        StoreError: if there is no such folder, or it cannot be listed.
    """
    from harness.report import data, pairs

    known = data.load(_stored(folder), repo=None if repo is None else Path(repo), models=_names(models))
    found = pairs.compared(known, pairs.asked(known, (before, after), ""))
    frame = found.moved[[name for name in COMPARED if name in found.moved]].reset_index(drop=True)
    return _noted(_typed(frame), (*(f"left out: {problem}" for problem in known.problems), *found.notes))


def history(
    case: Names = (),
    folder: str | Path = "results",
    *,
    metric: Names = (),
    since: str | None = None,
    repo: str | Path | None = ".",
) -> pd.DataFrame:
    """Every number that was stored, over commits.

    Args:
        case: cases, beginnings of them such as `resnet50/int8`, or globs; none takes all.
        folder: the results folder.
        metric: names or globs, such as `latency`; none takes all.
        since: a revision; older commits are left out.
        repo: a folder of the clone whose order of commits counts; None orders by time.

    Returns:
        One line per point, series after series, in git's order. Lines of one series share `case`, `metric`, `unit`,
        `host`, `runtime`, `weights` and `environment`; the other columns are those of a point: `commit`, `value` (in
        the series' unit; NA where the case failed), `low`, `high`, `confidence`, `n`, `started_at`, and so on.

    Raises:
        UsageError: if git does not know `since`, or nothing is stored of a name.
        StoreError: if there is no such folder, or it cannot be listed.
    """
    import pandas as pd

    from harness.store.history import history as read
    from harness.store.series import POINT_FIELDS, SERIES_FIELDS

    cases, metrics = _names(case), _names(metric)
    wanted = tuple(pattern for one in cases for pattern in _beginning(one))
    found = read(_stored(folder), repo=None if repo is None else Path(repo), cases=wanted, metrics=metrics, since=since)
    if (cases or metrics) and not found.series:
        raise UsageError(_no_history(Path(folder), cases, metrics))
    lines = [
        [getattr(one, name) for name in SERIES_FIELDS] + [getattr(point, name) for name in POINT_FIELDS]
        for one in found.series
        for point in one.points
    ]
    frame = pd.DataFrame(lines, columns=[*SERIES_FIELDS, *POINT_FIELDS])
    numbers = {"value": "Float64", "low": "Float64", "high": "Float64", "confidence": "Float64", "n": "Int64"}
    whole = {"commit_time": "Int64", "position": "Int64", "reference_ns": "Float64"}
    return _noted(
        _typed(frame.astype(numbers | whole)), (*(f"left out: {problem}" for problem in found.problems), *found.notes)
    )


def gate(
    base: str | None = None,
    head: str | None = None,
    *,
    base_runtime: str | None = None,
    head_runtime: str | None = None,
    models: Names = (),
    variants: Names = (),
    targets: Names = (),
    zoo: str | Path = "model_zoo.yaml",
    folder: str | Path = "results",
    cache: str | Path | None = None,
    settings: GateSettings | None = None,
    watch: GateWatcher | None = None,
    report: str | Path | None = None,
) -> pd.DataFrame:
    """Measure two sides in pairs of processes, or read what `harness gate --json-file` wrote; minutes, or nothing.

    Args:
        base: a commit, a zoo, an .onnx file or a case, as `harness gate --base` takes it.
        head: the same of the other side; None is this tree.
        base_runtime: such as `onnxruntime==1.30.0`.
        head_runtime: the same of the other side.
        models: names or globs; none takes all.
        variants: the same.
        targets: the same.
        zoo: the zoo of the sides.
        folder: where the pairs' numbers are kept.
        cache: root of the cache; None takes the user's.
        settings: margins and pairs (`harness.gate.model.GateSettings`); None takes the verb's own.
        watch: hears of what happens; None is nobody.
        report: read this file, and measure nothing.

    Returns:
        One line per finding, the gravest cases first: `case`, `case_verdict`, `metric`, `verdict`, `ratio` (head over
        base) with `low` and `high`, `base` and `head` (in `unit`), `n`, `p`, `detectable`, `accepted` and `sentence`. A
        case without findings has one line, whose sentence says why. `attrs` has `verdict`, `exit_code`, `headline` and
        `notes`.

    Raises:
        UsageError: if a side, the zoo or the selection is wrong, or a report is read and sides are given.
        StoreError: if the report cannot be read, or a folder not be written.
    """
    from harness.gate.outputs import as_json

    if report is not None:
        if any((base, head, base_runtime, head_runtime)):
            raise UsageError("gate(report=...) reads what was measured: omit the sides")
        return _findings(as_json.load(Path(report)))
    from harness.build.cache import default_root
    from harness.flow.plan import Selection
    from harness.gate import accepted_changes
    from harness.gate.gate import GateRequest
    from harness.gate.gate import gate as run
    from harness.gate.model import GateSettings
    from harness.gate.outputs import delivery

    request = GateRequest(
        zoo=Path(zoo),
        results=Path(folder),
        cache=default_root() if cache is None else Path(cache),
        base=base,
        head=head,
        base_runtime=base_runtime,
        head_runtime=head_runtime,
        selection=Selection(models=_names(models), variants=_names(variants), targets=_names(targets)),
        settings=settings or GateSettings(),
    )
    measured = run(request, watch or _Nobody())
    delivery.keep(measured, request.results)
    return _findings(delivery.with_accepted(measured, accepted_changes.beside(request.zoo)))


class _Nobody:
    """A watcher of a gate that does not look."""

    def say(self, text: str) -> None: ...
    def sides(self, base: Any, head: Any) -> None: ...
    def building(self, event: Any) -> None: ...
    def matched(self, matches: Any, to_measure: Any, settings: Any) -> None: ...
    def evaluating(self, case: str) -> None: ...
    def phase(self, name: str, cases: Sequence[str], pairs: int) -> None: ...
    def tick(self) -> None: ...
    def paired(self, case: str, pair: Any) -> None: ...
    def broke(self, case: str, reason: str) -> None: ...


FOUND = ("metric", "verdict", "ratio", "low", "high", "base", "head", "unit", "n", "p", "detectable", "accepted")
"""What a line of `gate` has of a finding, beside its sentence."""


def _findings(report: Report) -> pd.DataFrame:
    import pandas as pd

    from harness.gate.model import exit_code
    from harness.gate.text import summary

    lines: list[dict[str, Any]] = []
    for case in summary.ordered(report.cases):
        own = {"case": case.name, "case_verdict": case.verdict.value}
        for finding in case.findings:
            known = {name: getattr(finding, name) for name in FOUND} | {"verdict": finding.verdict.value}
            lines.append(own | known | {"sentence": finding.sentence})
        if not case.findings:
            lines.append(own | {"metric": "", "verdict": case.verdict.value, "sentence": summary.sentence(case)})
    frame = pd.DataFrame(lines, columns=["case", "case_verdict", *FOUND, "sentence"])
    numbers = dict.fromkeys(("ratio", "low", "high", "base", "head", "p", "detectable"), "Float64")
    frame = _typed(frame.astype({**numbers, "n": "Int64"}))
    frame.attrs.update(
        verdict=summary.overall(report).value,
        exit_code=exit_code(report),
        headline=summary.headline(report),
        notes=list(report.notes),
    )
    return frame


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame whose columns all have types that hold NA, as those of `results` have."""
    import pandas as pd

    types: dict[str, Any] = {}
    for name, column in frame.items():
        kind = pd.api.types
        if kind.is_extension_array_dtype(column.dtype) and column.dtype != "str":
            continue
        if kind.is_bool_dtype(column):
            types[str(name)] = "boolean"
        elif kind.is_integer_dtype(column):
            types[str(name)] = "Int64"
        elif kind.is_float_dtype(column):
            types[str(name)] = "Float64"
        elif all(isinstance(one, str) for one in column.dropna()):
            types[str(name)] = "string"
    return frame.astype(types)


def _no_history(folder: Path, cases: Sequence[str], metrics: Sequence[str]) -> str:
    """What to say where nothing is stored of some names: those that are near."""
    from harness.store.history import history as read
    from harness.suggest import suggest

    every = read(folder, repo=None, metrics=metrics).series
    if metrics and not every:
        known = list(dict.fromkeys(one.metric for one in read(folder, repo=None).series))
        return f"metric={metrics[0]!r}: nothing is stored of it in {folder}; {suggest(metrics[0], known)}"
    known = list(dict.fromkeys(one.case for one in every))
    asked = next(iter(cases), "")
    return f"{asked}: no such case in {folder}; {suggest(asked, known, also={name.split('/')[0] for name in known})}"


def _names(given: Names) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _beginning(case: str) -> tuple[str, ...]:
    """The globs that a case stands for, as for the verb: itself, and what begins with it where it is not a glob."""
    import glob

    return (case,) if glob.has_magic(case) else (case, f"{glob.escape(case)}*")


def _stored(folder: str | Path) -> Path:
    """The results folder.

    Raises:
        StoreError: if it is none: a name that is mistyped must not look like a store with nothing in it.
    """
    path = typed(folder)
    if not path.is_dir():
        raise StoreError(f"{path} is not a folder: give the results folder of a project, or make one: harness sweep")
    return path


def _of_models(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """The rows of the models that are wanted.

    Raises:
        UsageError: if a name fits none.
    """
    from fnmatch import fnmatchcase

    from harness.suggest import suggest

    known = list(dict.fromkeys(row["model"] for row in rows))
    for name in names:
        if not any(fnmatchcase(model, name) for model in known):
            raise UsageError(f"models={name!r}: nothing is stored of it; {suggest(name, known)}")
    return [row for row in rows if not names or any(fnmatchcase(row["model"], name) for name in names)]


def _inside(row: Mapping[str, Any]) -> str | None:
    """The verdict of the budget on a measured row."""
    from harness import budget

    return budget.judged(row).verdict if (row.get("latency") or {}).get("median_s") is not None else None


def _column(values: Iterable[Any], dtype: str) -> Any:
    import pandas as pd

    return pd.array(list(values), dtype=dtype)  # type: ignore[call-overload]  # a dtype by its name


def _noted(frame: pd.DataFrame, notes: Iterable[str]) -> pd.DataFrame:
    """The frame with what has to be known of it, of which files that were left out are a warning."""
    frame.attrs["notes"] = list(notes)
    for note in frame.attrs["notes"]:
        if note.startswith("left out: "):
            warnings.warn(note, LeftOutWarning, stacklevel=3)
    return frame
