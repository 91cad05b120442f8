"""Everything that the pages know, read once: the one query layer of the dashboard.

Histories stay columns (a DataFrame with one line per stored row); only the newest row of each case and host, and the
rows of a few recent runs, become the dicts that `harness.budget` judges.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness import flavours
from harness.metrics import METRICS
from harness.report import wording
from harness.report.repository import git, subjects
from harness.report.rows import ordered, picked
from harness.store import query
from harness.store.asv import reconcile as asv_values
from harness.store.asv.reconcile import Values
from harness.store.commits import commits
from harness.store.rows import Row
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
    "weights": "weights.digest",
    "weights_kind": "weights.kind",
    "median_s": "latency.median_s",
    "low_s": "latency.ci95_low_s",
    "high_s": "latency.ci95_high_s",
    "processes": "latency.processes",
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

CATEGORIES: Final = ("case", "model", "variant", "target", "status", "run", "commit", "fingerprint", "filename")
"""Of them those that are categories."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """One sweep as the pages name it.

    Attributes:
        runtime: the onnxruntime distribution and its version.
        label: start, commit and host in short.
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

    @property
    def runtime(self) -> str:
        """The onnxruntime distribution that measured, with its version."""
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
        rows: every stored row, by the columns of `COLUMNS`, oldest run first.
        latest: whole rows: the newest of each case on each host.
        runs: newest first.
        subjects: commit -> first line of its message, where the repository knows it.
        commit_url: what stands before a commit's hash in a link; empty where there is none.
        problems: files that were left out, and why.
        since: the revision that the history begins with, as it was given.
        positions: commit -> its place in git's order.
        asv: what asv's files hold beside the samples.
    """

    results: Path
    rows: pd.DataFrame
    latest: tuple[Row, ...]
    runs: tuple[StoredRun, ...]
    subjects: Mapping[str, str] = field(default_factory=dict)
    commit_url: str = ""
    problems: tuple[str, ...] = ()
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
        run = next((run for run in self.runs if run.fingerprint == fingerprint), None)
        if run is None:
            return self.asv.hosts.get(fingerprint, fingerprint)
        host = run.host
        parts = (host.get("name"), host.get("cpu"), fingerprint[:6])
        return " · ".join(str(part) for part in parts if part)

    def resolve(self, revision: str) -> str:
        """The full hash that git knows a revision by; empty where it knows none."""
        found = git(self.repo, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        return (found or "").strip()

    def newest_run(self, fingerprint: str) -> str:
        """The id of a host's newest run."""
        return next(run.id for run in self.runs if run.fingerprint == fingerprint)

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

    def told(self, describe: Callable[[Data], list[Any]]) -> list[Any]:
        """What a function says of the runs, computed once."""
        if describe not in self._told:
            self._told[describe] = describe(self)
        return self._told[describe]

    @cached_property
    def _told(self) -> dict[Any, list[Any]]:
        return {}

    @property
    def hosts(self) -> tuple[str, ...]:
        """Fingerprints, that of the newest run first."""
        return tuple(dict.fromkeys(run.fingerprint for run in self.runs))

    @property
    def every_host(self) -> tuple[str, ...]:
        """`hosts`, and those of `asv`."""
        return tuple(dict.fromkeys((*self.hosts, *self.asv.hosts)))

    @cached_property
    def cases(self) -> frozenset[str]:
        """Cases that have a page."""
        return frozenset() if self.rows.empty else frozenset(self.rows["case"].cat.categories)


def load(results: Path, *, repo: Path | None = None, since: str = "", commit_url: str = "") -> Data:
    """Read what is stored.

    Args:
        results: the results folder; one that is missing holds nothing.
        repo: the git repository that commits belong to, for their subjects and for `since`.
        since: leave runs of commits before this revision out of everything.
        commit_url: what stands before a commit's hash in a link.

    Raises:
        UsageError: if git does not know `since`.
        StoreError: if the folder cannot be listed.
    """
    found = query.table(results, COLUMNS, CATEGORIES)
    rows = found.frame
    runs = _runs(rows)
    order = commits(repo, since or None)
    if since and not rows.empty:
        kept = {run.id for run in runs if order.wants(run.commit, _moment(run))}
        rows = rows[rows["run"].isin(kept)].reset_index(drop=True)
        runs = tuple(run for run in runs if run.id in kept)
    if since:
        for name in CATEGORIES:
            rows[name] = rows[name].cat.remove_unused_categories()
    newest = _newest(rows)
    values = asv_values.load(results, order, rows, {run.id: run.runtime for run in runs})
    of = {run.commit for run in runs if run.commit} | {one.hash for one in values.commits}
    return Data(
        results=results,
        rows=rows,
        latest=tuple(ordered(picked(newest))),
        runs=runs,
        subjects=subjects(sorted(of), repo),
        commit_url=commit_url,
        problems=tuple(dict.fromkeys((*(str(problem) for problem in found.problems), *values.problems))),
        since=since,
        positions=order.positions,
        repo=repo,
        asv=values,
    )


def _newest(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop_duplicates(["case", "fingerprint"], keep="last")


def _runs(rows: pd.DataFrame) -> tuple[StoredRun, ...]:
    """One record per run: host, versions and settings are read once for each, not once per row."""
    if rows.empty:
        return ()
    counts = rows["run"].value_counts()
    firsts = rows.drop_duplicates("run")
    names = ("run", "run_started_at", "commit", "dirty", "commit_time", "fingerprint", "host", "versions", "settings")
    found = {row["run"]: row for row in query.pick(firsts, names)}
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
        )
        for row in found.values()
    ]
    return tuple(sorted(runs, key=lambda run: (run.started_at, run.id), reverse=True))


def _moment(run: StoredRun) -> float:
    """When a run's commit was made, else when it started; milliseconds since the epoch."""
    return float(run.commit_time) if run.commit_time is not None else epoch_ms(run.started_at)
