"""Everything that the pages know, read once: the one query layer of the dashboard.

Histories stay columns (a DataFrame with one line per stored row); only the newest row of each case and host, and the
rows of a few recent runs, become the dicts that `harness.budget` judges.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness import flavours, git
from harness.metrics import METRICS
from harness.records import Status
from harness.report import limits, wording
from harness.report.rows import BRIEF, ordered, picked
from harness.store import earlier, query, standing
from harness.store.asv import reconcile as asv_values
from harness.store.asv.reconcile import Values
from harness.store.clock import ahead, settled
from harness.store.commits import commits
from harness.store.rows import Row, runtime_of
from harness.store.series import epoch_ms

if TYPE_CHECKING:
    import pandas as pd

_NAMED: Final[Mapping[str, str]] = {
    "filename": "filename",
    "case": '"case"',
    "model": "model",
    "variant": "variant",
    "target": "target",
    "status": "status",
    "run": "run",
    "run_started_at": "run_started_at",
    "commit": '"commit"',
    "dirty": "dirty",
    "commit_time": "commit_time",
    "fingerprint": "fingerprint",
    "asked": "runtime",
    "measured_name": 'measured_by."name"',
    "measured_version": 'measured_by."version"',
    "measured_package": 'measured_by."package"',
    "weights": "weights.digest",
    "weights_kind": "weights.kind",
    "median_s": "latency.median_s",
    "low_s": "latency.ci95_low_s",
    "high_s": "latency.ci95_high_s",
    "processes": "latency.processes",
    "inputs": "CASE WHEN timed_inputs.examples > 1 THEN timed_inputs.mode ELSE 'fixed' END",
    "inputs_known": "timed_inputs.mode IS NOT NULL",
    "size_bytes": "artifact.bytes",
    "artifact": "artifact.digest",
    "fidelity_db": "fidelity.centred_sqnr_db",
    "fidelity_max_abs": "fidelity.max_abs",
    "accuracy": "accuracy.value",
    "accuracy_drop": "accuracy.drop",
}
_READ: Final = {column for metric in METRICS for column in metric.reads}
COLUMNS: Final[Mapping[str, str]] = {
    **_NAMED,
    **{column.replace(".", "_"): column for column in sorted(_READ - {*_NAMED.values()})},
}
"""The columns of `Data.rows`, each from what is stored: what every metric is made of is among them."""

NAMES: Final[Mapping[str, str]] = {column: name for name, column in COLUMNS.items()}
"""Stored column -> its name in `Data.rows`."""

MEASURED: Final = ("asked", "measured_name", "measured_version", "measured_package")
"""Columns that only `runtime` and `tag` are made from."""

MEASURED_BY: Final = ("name", "version", "package")
"""What of the runtime that measured a row decides what it is called."""

CATEGORIES: Final = (
    "case", "model", "variant", "target", "status", "run", "commit", "fingerprint", "filename", *MEASURED
)  # fmt: skip
"""Of them those that are categories."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """One sweep as the pages name it.

    Attributes:
        fingerprint, host: of the host that coordinated it.
        hosts: fingerprints of the hosts that measured its rows.
        runtimes: what measured its rows, that of most rows first.
        label: start and commit in short.
    """

    id: str
    started_at: str
    commit: str | None
    dirty: bool
    commit_time: int | None
    fingerprint: str
    host: Mapping[str, Any]
    versions: Mapping[str, str]
    settings: Mapping[str, Any]
    cases: int
    hosts: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()

    @property
    def runtime(self) -> str:
        """The distributions that measured, with their versions: as its rows say, else as its packages do."""
        if self.runtimes:
            return ", ".join(self.runtimes)
        found = flavours.chosen(self.versions)
        return flavours.label(*found) if found else flavours.UNKNOWN_VERSION

    @property
    def revision(self) -> str:
        """The commit in short; an asterisk marks a tree that differed from it."""
        return (self.commit[:8] + ("*" if self.dirty else "")) if self.commit else "no commit"

    @property
    def label(self) -> str:
        """Start and commit."""
        return f"{wording.when(self.started_at)} {self.revision}"


@dataclass(frozen=True, kw_only=True)
class Data:
    """What a site is made of.

    Attributes:
        rows: every stored row, by the columns of `COLUMNS`, oldest run first; and `runtime`, what measured it, as a
            label, and `tag`, the same as asv's files name it.
        latest: the newest row of each case on each host, as far as lists and charts show it (`rows.BRIEF`).
        among: those, and such rows of earlier runs on which a choice may rest (`harness.store.earlier`).
        runs: newest first.
        machines: fingerprint -> facts of that host, by its newest row; the host of the newest row first.
        subjects: commit -> first line of its message, where the repository knows it.
        commit_url: what stands before a commit's hash in a link; empty where there is none.
        problems: files that were left out, and why.
        more: models of which cases were left out because a site holds only so many.
        since: the revision that the history begins with, as it was given.
        positions: commit -> its place in git's order.
        asv: what asv's files hold beside the samples.
    """

    results: Path
    rows: pd.DataFrame
    latest: tuple[Row, ...]
    among: tuple[Row, ...]
    runs: tuple[StoredRun, ...]
    machines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    subjects: Mapping[str, str] = field(default_factory=dict)
    commit_url: str = ""
    problems: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    since: str = ""
    positions: Mapping[str, int] = field(default_factory=dict)
    repo: Path | None = None
    asv: Values = field(default_factory=Values)

    @cached_property
    def newest(self) -> pd.DataFrame:
        """Of `rows` the newest of each case on each host: those of `latest`."""
        return _newest(self.rows)

    @cached_property
    def _by_id(self) -> dict[str, StoredRun]:
        return {run.id: run for run in self.runs}

    def run(self, name: str) -> StoredRun:
        """The run of that id."""
        return self._by_id[name]

    def host(self, fingerprint: str) -> str:
        """A host as a person would call it, with as much of the fingerprint as tells hosts apart."""
        host = self.machines.get(fingerprint)
        if host is None:
            return self.asv.hosts.get(fingerprint, fingerprint)
        parts = (host.get("name"), host.get("cpu"), fingerprint[:6])
        return " · ".join(str(part) for part in parts if part)

    def resolve(self, revision: str) -> str:
        """The full hash that git knows a revision by; empty where it knows none, an error where it knows several."""
        return git.one_commit(self.repo, revision) if self.repo is not None else ""

    def newest_run(self, fingerprint: str) -> str:
        """The id of a host's newest run."""
        return next(run.id for run in self.runs if fingerprint in run.hosts)

    @cached_property
    def run_numbers(self) -> Any:
        """For each of `rows` the number of its run, oldest first."""
        return self.rows["run"].astype(object).map(self._numbers).to_numpy(int)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {run.id: number for number, run in enumerate(reversed(self.runs))}

    def number(self, run: str) -> int:
        """The number of a run, oldest first."""
        return self._numbers[run]

    def revision(self, number: int) -> str:
        """A commit in short, by the number of its run; those of `asv` follow the runs."""
        runs = len(self.runs)
        return self.runs[runs - 1 - number].revision if number < runs else self.asv.commits[number - runs].hash[:8]

    def once(self, describe: Callable[[Data], list[Any]]) -> list[Any]:
        """What a function says of the runs, computed once."""
        if describe not in self._described:
            self._described[describe] = describe(self)
        return self._described[describe]

    @cached_property
    def _described(self) -> dict[Any, list[Any]]:
        return {}

    @property
    def hosts(self) -> tuple[str, ...]:
        """Fingerprints of the hosts that measured, that of the newest row first."""
        return tuple(self.machines)

    @property
    def every_host(self) -> tuple[str, ...]:
        """`hosts`, and those of `asv`."""
        return tuple(dict.fromkeys((*self.hosts, *self.asv.hosts)))

    @cached_property
    def cases(self) -> frozenset[str]:
        """Cases that have a page."""
        return frozenset() if self.rows.empty else frozenset(self.rows["case"].cat.categories)


def load(
    results: Path,
    *,
    repo: Path | None = None,
    since: str = "",
    commit_url: str = "",
    models: Sequence[str] = (),
    most_cases: int | None = None,
) -> Data:
    """Read what is stored.

    Args:
        results: the results folder; one that is missing holds nothing.
        repo: the git repository that commits belong to, for their subjects and for `since`.
        since: leave runs of commits before this revision out of everything.
        commit_url: what stands before a commit's hash in a link.
        models: names or globs of those that are wanted; none takes all.
        most_cases: leave out all but so many cases, and say so (`harness.report.limits`); None takes all.

    Raises:
        UsageError: if git does not know `since`, or nothing is stored of a model.
        StoreError: if the folder cannot be listed.
    """
    known = None if since or most_cases is None else query.measured_cases(results)
    wanted, left_out = (None, "") if known is None else limits.chosen(known, models, most_cases or len(known))
    found = query.table(results, COLUMNS, CATEGORIES, case=None if wanted is None else wanted.__contains__)
    rows = found.frame
    runs, rows = _runs(rows)
    order = commits(repo, since or None)
    before = len(runs)
    if since and not rows.empty:
        kept = {run.id for run in runs if order.wants(run.commit, _moment(run))}
        rows = rows[rows["run"].isin(kept)].reset_index(drop=True)
        runs = tuple(run for run in runs if run.id in kept)
    older = before - len(runs)
    values = asv_values.load(results, order, rows)
    every = rows
    if wanted is None:
        rows, left_out = limits.newest(limits.of_models(rows, models), len(rows) if most_cases is None else most_cases)
    else:
        rows = rows[rows["case"].isin(wanted)]
    stored = every if known is None else known
    gone = set(stored["case"]) - set(rows["case"])
    more = stored.loc[stored["case"].isin(gone), "model"].astype(str).unique() if left_out else ()
    if len(rows) < len(every):
        rows = rows.reset_index(drop=True)
        kept = set(rows["run"])
        runs = tuple(run for run in runs if run.id in kept)
    if len(rows) < len(every) or gone:
        values = limits.values_of(values, models, gone)
    if since or rows is not every:
        for name in ({*CATEGORIES} - {*MEASURED}) | {"runtime", "tag"}:
            rows[name] = rows[name].cat.remove_unused_categories()
    newest = _newest(rows)
    of = {run.commit for run in runs if run.commit} | {one.hash for one in values.commits}
    latest = ordered(_noted(rows, newest, picked(newest, BRIEF)))
    return Data(
        results=results,
        rows=rows,
        latest=tuple(latest),
        among=(*latest, *ordered(picked(earlier.keys(rows, newest), BRIEF))),
        runs=runs,
        machines=_machines(rows),
        subjects=git.subjects(repo, sorted(of)) if repo is not None else {},
        commit_url=commit_url,
        problems=tuple(
            dict.fromkeys(
                (
                    *filter(None, [left_out]),
                    *([f"{wording.plural(older, 'run')} before {since}, as --since asks"] if older else []),
                    *(str(problem) for problem in found.problems),
                    *values.problems,
                    *ahead((run.id, run.started_at) for run in runs),
                )
            )
        ),
        more=tuple(sorted(more, key=query.natural)),
        since=since,
        positions=order.positions,
        repo=repo,
        asv=values,
    )


_PLACE: Final = ["case", "fingerprint"]


def _newest(rows: pd.DataFrame) -> pd.DataFrame:
    """The newest row of each case on each host; numbers that a failure followed stand."""
    failed = rows[rows["status"] == Status.FAILED.value]
    if not failed.empty:
        others = rows.drop(failed.index).drop_duplicates(_PLACE, keep="last")
        numbers = others[others["median_s"].notna()].set_index(_PLACE).index
        rows = rows.drop(failed.index[failed.set_index(_PLACE).index.isin(numbers)])
    return rows.drop_duplicates(_PLACE, keep="last")


def _noted(rows: pd.DataFrame, newest: pd.DataFrame, latest: Sequence[Row]) -> list[Row]:
    """Rows with a note where a failure followed them."""
    last = rows.drop_duplicates(_PLACE, keep="last")
    since = last[~last.index.isin(newest.index)]
    if since.empty:
        return list(latest)
    names = ("case", "fingerprint", "run_started_at", "reason")
    failures = {(row["case"], row["fingerprint"]): row for row in query.pick(since, names)}
    return [
        standing.noted(row, failures[row["case"], row["fingerprint"]])
        if (row["case"], row["fingerprint"]) in failures
        else row
        for row in latest
    ]


def _runs(rows: pd.DataFrame) -> tuple[tuple[StoredRun, ...], pd.DataFrame]:
    """One record per run, and the rows with what measured them.

    Host, versions and settings of a run are read once for each, not once per row.
    """
    if rows.empty:
        return (), rows.assign(runtime=rows["run"], tag=rows["run"])
    counts = rows["run"].value_counts()
    firsts = rows.drop_duplicates("run")
    names = ("run", "run_started_at", "commit", "dirty", "commit_time", "fingerprint", "host", "versions", "settings")
    found = {row["run"]: row for row in query.pick(firsts, names)}
    rows = _with_runtimes(rows, {run: row["versions"] for run, row in found.items()})
    hosts, runtimes = _by_run(rows, "fingerprint"), _by_run(rows, "runtime")
    runs = [
        StoredRun(
            id=row["run"],
            started_at=row["run_started_at"],
            commit=row["commit"],
            dirty=bool(row["dirty"]),
            commit_time=row["commit_time"],
            fingerprint=row["fingerprint"],
            host=row["host"] or {},
            versions=row["versions"] or {},
            settings=row["settings"] or {},
            cases=int(counts[row["run"]]),
            hosts=hosts[row["run"]],
            runtimes=runtimes[row["run"]],
        )
        for row in found.values()
    ]
    return tuple(sorted(runs, key=lambda run: (settled(run.started_at), run.id), reverse=True)), rows


def _with_runtimes(rows: pd.DataFrame, versions: Mapping[str, Mapping[str, str] | None]) -> pd.DataFrame:
    """Rows with `runtime` and `tag`: what measured each, by what it says itself, else by its run's packages."""
    import numpy as np
    import pandas as pd

    names = ("run", *MEASURED)
    # One number per combination: there are few, and rows are many.
    codes = np.zeros(len(rows), dtype=np.int64)
    for name in names:
        codes = codes * (len(rows[name].cat.categories) + 1) + rows[name].cat.codes.to_numpy() + 1
    _, firsts, places = np.unique(codes, return_index=True, return_inverse=True)
    found = []
    for flat in rows.iloc[firsts][list(names)].astype(object).to_dict("records"):
        said = {name: None if pd.isna(flat[f"measured_{name}"]) else flat[f"measured_{name}"] for name in MEASURED_BY}
        row = {"measured_by": said if any(said.values()) else None, "runtime": flat["asked"]}
        found.append(runtime_of({**row, "versions": versions[flat["run"]]}))
    labels = [one.label if one.version else flavours.UNKNOWN_VERSION for one in found]
    tags = [flavours.tag(one.package or one.name, one.version) for one in found]
    columns = {}
    for name, texts in (("runtime", labels), ("tag", tags)):
        every = sorted(set(texts))
        columns[name] = pd.Categorical.from_codes([every.index(text) for text in texts], pd.Index(every))[places]
    return rows.drop(columns=list(MEASURED)).assign(**columns)


def _by_run(rows: pd.DataFrame, name: str) -> dict[str, tuple[str, ...]]:
    """Run -> the different values that its rows have, the most frequent first."""
    counts = rows.groupby(["run", name], observed=True, sort=False).size().sort_values(ascending=False, kind="stable")
    found: dict[str, list[str]] = {}
    for run, value in counts.index:
        found.setdefault(str(run), []).append(str(value))
    return {run: tuple(values) for run, values in found.items()}


def _machines(rows: pd.DataFrame) -> dict[str, Mapping[str, Any]]:
    """Facts of every host, as its newest row has them; the host of the newest row first."""
    newest = rows.drop_duplicates("fingerprint", keep="last")
    facts = {row["fingerprint"]: row["host"] or {} for row in query.pick(newest, ("fingerprint", "host"))}
    return {str(host): facts[host] for host in reversed([*newest["fingerprint"]])}


def _moment(run: StoredRun) -> float:
    """When a run's commit was made, else when it started; milliseconds since the epoch."""
    return float(run.commit_time) if run.commit_time is not None else epoch_ms(run.started_at)
