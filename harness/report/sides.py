"""What can be set against something else: runs, commits, runtimes and hosts, by the names that a person types."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from harness.errors import UsageError
from harness.flavours import version_in
from harness.metrics import FIDELITY_LOSS, LATENCY, METRICS
from harness.records import case_id
from harness.report import links, wording
from harness.report.data import NAMES, Data
from harness.store.asv.reconcile import runtime
from harness.store.query import natural
from harness.store.series import epoch_ms
from harness.suggest import similar

if TYPE_CHECKING:
    import pandas as pd

KINDS: Final = ("run", "commit", "runtime", "host")
SHORTEST: Final = 4
"""Characters that the beginning of an id or a hash must have."""

UNKNOWN: Final = float("nan")
TAKEN: Final = (
    "case", "model", "variant", "target", "run", "commit", "fingerprint", "weights", "weights_kind", "median_s",
    "low_s", "high_s", "processes", "model_bytes", "inputs", "size_bytes", "fidelity_db", "fidelity_max_abs",
    "accuracy", "accuracy_drop",
)  # fmt: skip
"""Columns of `Data.rows` that a comparison needs."""

OF_ASV: Final = {
    metric.name: NAMES[metric.column] for metric in METRICS if NAMES[metric.column] in TAKEN and metric is not LATENCY
} | {FIDELITY_LOSS.name: "loss"}
"""Metrics of asv's files -> the columns that they become."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedSide:
    """One side of a comparison.

    Attributes:
        kind: one of `KINDS`.
        key: the run's id, the commit's full hash, the runtime, or the host's fingerprint.
        name: what is typed to choose it.
        label: what it is called on the page.
    """

    kind: str
    key: str
    name: str
    label: str

    @property
    def id(self) -> str:
        """A digest that is fit for file names."""
        return links.slug(f"{self.kind}\n{self.key}")[-8:]

    @property
    def typed(self) -> str:
        """Its name as a shell takes it."""
        return shlex.quote(self.name)


def every(data: Data) -> list[ComparedSide]:
    """All sides that there are, by kind, newest first."""
    return data.once(_every)


def of_kind(data: Data, kind: str) -> list[ComparedSide]:
    """The sides of one kind, newest first."""
    return [side for side in every(data) if side.kind == kind]


def find(data: Data, asked: str, where: str = "--compare ") -> ComparedSide:
    """A side by what a person types.

    Args:
        data: what is stored.
        asked: a run's id or the beginning of one; a commit's hash, its beginning, or what git makes of the name; a
            runtime such as `onnxruntime==1.30.0`, or its version; a host's name, its fingerprint or the beginning. One
            of `KINDS` and a colon before it leave out the others, as in `commit:main`.
        where: what a message begins with, before what was asked for.

    Raises:
        UsageError: if nothing or more than one thing is called so.
    """
    kind, colon, text = asked.partition(":")
    kinds, text = ((kind,), text) if colon and kind in KINDS else (KINDS, asked)
    offered = [side for side in every(data) if side.kind in kinds]
    found = [side for side in offered if text in (side.name, side.key)]
    found = found or [side for side in offered if _fits(data, side, text)]
    # A revision is what git resolves: a run, a runtime or a host of its name never takes its place.
    commit = data.resolve(text) if "commit" in kinds else ""
    found += [side for side in offered if side.kind == "commit" and side.key == commit and side not in found]
    if commit and (others := [side for side in found if side.key != commit]):
        some = " or ".join(
            f"the {side.kind} {side.name}, written {side.kind}:{side.name}" for side in others[:SHORTEST]
        )
        raise UsageError(f"{where}{asked}: can be commit {commit[:8]}, written commit:{text}, or {some}: say which")
    if len(found) == 1:
        return found[0]
    if found:
        some = ", ".join(f"{side.kind} {side.name}" for side in found[:SHORTEST])
        more = f" and {len(found) - SHORTEST} more" if len(found) > SHORTEST else ""
        raise UsageError(f"{where}{asked}: may be {some}{more}; give one of these names in full (or as kind:name)")
    names = [side.name for side in offered]
    if commit:
        known = [side.name for side in offered if side.kind == "commit"]
        raise UsageError(
            f"{where}{asked}: that is commit {commit[:8]}, of which {data.results} holds nothing; measured commits: "
            f"{', '.join(known[:8]) or 'none'}{', ...' if len(known) > 8 else ''}"  # noqa: PLR2004  (a line of them)
        )
    raise UsageError(
        f"{where}{asked}: no run, commit, runtime or host of {data.results}{similar(asked, names)}; "
        "`harness compare` lists them all"
    )


def rows(data: Data, side: ComparedSide) -> pd.DataFrame:
    """What was measured on a side, oldest first: its stored rows, and values that only asv's files hold.

    Columns are `TAKEN`, and `runtime`, `source` (asv's environment; empty for samples), `around` (that environment
    without the runtime), `code` (what tells one state of the code from another) and `moment`.
    """
    import pandas as pd

    parts = [part for part in (_stored(data, side), values(data, side)) if not part.empty]
    if not parts:
        return pd.DataFrame({name: [] for name in (*TAKEN, "runtime", "source", "around", "code", "moment")})
    if len(parts) == 1:
        return parts[0]
    return pd.concat(parts, ignore_index=True).sort_values("moment", kind="stable").reset_index(drop=True)


def _every(data: Data) -> list[Any]:
    several = len(data.every_host) > 1
    found = [
        ComparedSide(
            kind="run",
            key=run.id,
            name=run.id,
            label=", ".join(
                part
                for part in (
                    f"{run.label} ({run.id.rpartition('-')[2]})",  # two runs of a minute differ in it
                    run.runtime,
                    wording.plural(run.cases, "case"),
                    " and ".join(data.host(host) for host in run.hosts) if several else "",
                )
                if part
            ),
        )
        for run in data.runs
    ]
    commits = _commits(data)
    short = [commit[:8] for commit in commits]
    dirty = {run.commit for run in data.runs if run.dirty}
    dirty -= {run.commit for run in data.runs if not run.dirty} | {one.hash for one in data.asv.commits}
    for commit in commits:
        name = commit[:8] if short.count(commit[:8]) == 1 else commit
        shown = f"{commit[:8]}{'*' * (commit in dirty)} {data.subjects.get(commit, '')}".strip()
        found.append(ComparedSide(kind="commit", key=commit, name=name, label=shown))
    runtimes = {*data.rows["runtime"].unique()} | {runtime(key.runtime) for key in data.asv.series if key.runtime}
    found += [
        ComparedSide(kind="runtime", key=name, name=name.replace(" ", "==", 1), label=name)
        for name in sorted(runtimes, key=lambda name: natural(version_in(name) + name), reverse=True)
    ]
    found += [ComparedSide(kind="host", key=host, name=host, label=data.host(host)) for host in data.every_host]
    return found


def _commits(data: Data) -> list[str]:
    """Newest first: those that git does not know by their time, before the others."""
    times: dict[str, float] = {one.hash: float(one.time or 0) for one in data.asv.commits}
    for run in data.runs:
        if run.commit:
            times[run.commit] = float(run.commit_time or epoch_ms(run.started_at))
    known = data.positions
    return sorted(times, key=lambda one: (one not in known, known.get(one, 0), times[one]), reverse=True)


def _fits(data: Data, side: ComparedSide, asked: str) -> bool:
    begins = len(asked) >= SHORTEST and side.key.startswith(asked)
    if side.kind == "runtime":
        return asked == version_in(side.key)
    if side.kind == "host":
        return begins or asked == data.machines.get(side.key, {}).get("name")
    return begins


def stored(data: Data, side: ComparedSide) -> pd.DataFrame:
    """Those of `Data.rows` that belong to a side, each by what it says of itself.

    Of a commit those of a changed tree belong to it only where the commit has nothing else.
    """
    if side.kind != "commit":
        column = {"run": "run", "runtime": "runtime", "host": "fingerprint"}[side.kind]
        return data.rows[data.rows[column] == side.key]
    found = [run for run in data.runs if run.commit == side.key]
    measured = any(one.hash == side.key for one in data.asv.commits)
    runs = [run.id for run in found if not run.dirty] or [run.id for run in found if not measured]
    return data.rows[data.rows["run"].isin(runs)]


def values(data: Data, side: ComparedSide) -> pd.DataFrame:
    """The lines of a side that only asv's files hold."""
    frame: pd.DataFrame = data.once(_asv_frames)[0]
    if side.kind == "run":
        return frame.iloc[:0]
    column = {"commit": "commit", "runtime": "runtime", "host": "fingerprint"}[side.kind]
    return frame[frame[column] == side.key].reset_index(drop=True)


def _stored(data: Data, side: ComparedSide) -> pd.DataFrame:
    frame = stored(data, side)[[*TAKEN, "runtime"]].reset_index(drop=True)
    for name in ("case", "model", "variant", "target", "run", "commit", "fingerprint", "runtime"):
        frame[name] = frame[name].astype(object)
    of = {run.id: run for run in data.runs}
    code = {run.id: run.commit if run.commit and not run.dirty else f"{run.commit}*{run.id}" for run in data.runs}
    return frame.assign(
        source="",
        around="",
        code=frame["run"].map(code),
        moment=frame["run"].map({name: epoch_ms(run.started_at) for name, run in of.items()}),
    )


def _asv_frames(data: Data) -> list[Any]:
    """One frame: a line for each case, commit and environment whose latency only asv's files hold."""
    import pandas as pd

    lines: dict[tuple[Any, ...], dict[str, Any]] = {}
    for key, points in data.asv.series.items():
        model, variant, target = case_id.parts(key.case)
        if key.metric != "latency" or not variant:
            continue
        name = runtime(key.runtime)
        for point in points:
            lines[key._replace(metric="", unit=""), point.commit] = dict.fromkeys(TAKEN, UNKNOWN) | {
                "case": key.case, "model": model, "variant": variant, "target": target, "run": "",
                "commit": point.commit, "fingerprint": key.host, "weights": key.weights, "weights_kind": "",
                "median_s": point.value, "low_s": UNKNOWN if point.low is None else point.low,
                "high_s": UNKNOWN if point.high is None else point.high, "processes": point.n, "runtime": name,
                "source": key.environment, "around": key.environment.replace(name.replace(" ", ""), ""),
                "code": point.commit, "moment": epoch_ms(point.started_at) or float(point.commit_time or 0),
            }  # fmt: skip
    for key, points in data.asv.series.items():
        column = OF_ASV.get(key.metric)
        for point in points if column else ():
            line = lines.get((key._replace(metric="", unit=""), point.commit))
            if line is not None:
                line[column or ""] = point.value
    frame = pd.DataFrame(
        list(lines.values()), columns=[*TAKEN, "runtime", "source", "around", "code", "moment", "loss"]
    )
    frame["fidelity_db"] = frame["loss"].map(_decibels)
    frame["fidelity_max_abs"] = frame["loss"].map(lambda loss: 0.0 if loss == 0 else UNKNOWN)
    return [frame.drop(columns="loss").sort_values("moment", kind="stable").reset_index(drop=True)]


def _decibels(loss: float) -> float:
    """What `harness.store.asv.benchmarks` made of centred SQNR, undone; NaN for none, and for bit-equal outputs."""
    import math

    return -20 * math.log10(loss) if loss > 0 else UNKNOWN
