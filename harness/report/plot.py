"""One chart for a paper or a slide: which kinds there are, and the data that each takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.report import histories, thin
from harness.report.data import Data, load
from harness.report.figures import across, inside, samples
from harness.report.figures import history as lines
from harness.report.figures import model as charts
from harness.report.figures.base import Figure
from harness.report.pages import compare, history, insides, model
from harness.report.palette import marks
from harness.store import query
from harness.store.rows import Row
from harness.suggest import suggest


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a chart is to show.

    Attributes:
        models, variants, targets: names or globs; none takes all. Targets are labels such as `cpu-t1-b1`.
        metric: of a history.
        compare: two runs or revisions, for `changes` and `ratios`; None takes the newest two runs.
        host: a fingerprint or the beginning of one; empty takes the newest run's.
    """

    results: Path
    repo: Path | None = None
    models: Sequence[str] = ()
    variants: Sequence[str] = ()
    targets: Sequence[str] = ()
    metric: str = "latency"
    compare: tuple[str, str] | None = None
    since: str = ""
    host: str = ""


def plot(kind: str, wish: Wish) -> Figure:
    """A figure.

    Args:
        kind: one of `KINDS`.
        wish: what to show.

    Raises:
        UsageError: if the kind is not known, or nothing stored fits the wish.
        StoreError: if the results cannot be read.
    """
    if kind not in KINDS:
        raise UsageError(f"plot {kind}: no such kind of chart; {suggest(kind, KINDS)}")
    data = load(wish.results, repo=wish.repo, since=wish.since)
    if data.rows.empty:
        raise UsageError(f"no results under {wish.results}; make some with: harness sweep --models digits_cnn")
    found = KINDS[kind](data, wish)
    if found is None or not found["data"]:
        raise UsageError(f"plot {kind}: nothing to draw for that choice; `harness results` lists what is stored")
    return found


def chosen(data: Data, wish: Wish) -> list[Row]:
    """The newest rows that fit.

    Raises:
        UsageError: if none does.
    """
    hosts = [host for host in data.hosts if host.startswith(wish.host)]
    if not hosts:
        raise UsageError(f"--host {wish.host}: {suggest(wish.host, data.hosts)}")
    rows = [row for row in data.latest if row["fingerprint"] == hosts[0]]
    for option, key, patterns in (
        ("--models", "model", wish.models),
        ("--variants", "variant", wish.variants),
        ("--targets", "target", wish.targets),
    ):
        kept = [row for row in rows if not patterns or any(fnmatchcase(row[key], pattern) for pattern in patterns)]
        if not kept:
            names = sorted({row[key] for row in rows}, key=query.natural)
            raise UsageError(f"{option} {','.join(patterns)}: {suggest(patterns[0], names)}")
        rows = kept
    return rows


def _of_model(draw: Callable[[Any, Any], Figure | None]) -> Callable[[Data, Wish], Figure | None]:
    def drawn(data: Data, wish: Wish) -> Figure | None:
        rows = chosen(data, wish)
        models = sorted({row["model"] for row in rows})
        if len(models) > 1:
            raise UsageError(f"this chart shows one model: choose with --models; {suggest('', models)}")
        frame = model.table(rows, [(model.NEWEST,)] * len(rows))
        return draw(frame[frame["latency_median_s"].notna()], marks(data.rows["variant"].cat.categories))

    return drawn


def _fusion(data: Data, wish: Wish) -> Figure | None:
    import pandas as pd

    for row in chosen(data, wish):
        fusion = row["fusion"] or {}
        if fusion.get("before"):
            before, after = fusion["before"], fusion.get("after") or {}
            counts = [(name, before.get(name, 0), after.get(name, 0)) for name in sorted({*before, *after})]
            return inside.fusion(pd.DataFrame(counts, columns=["operator", "before", "after"]))
    return None


def _placement(data: Data, wish: Wish) -> Figure | None:
    rows = chosen(data, wish)
    chart = insides.placement(rows, list(range(len(rows))))
    return chart.figure if chart else None


def _coverage(data: Data, wish: Wish) -> Figure:
    import pandas as pd

    names = ("case", "model", "variant", "target", "status", "reason")
    return across.coverage(
        pd.DataFrame([{name: row[name] for name in names} | {"host": row["fingerprint"]} for row in chosen(data, wish)])
    )


def _raw(draw: Callable[[Any, Any], Figure]) -> Callable[[Data, Wish], Figure | None]:
    def drawn(data: Data, wish: Wish) -> Figure | None:
        import pandas as pd

        found: list[dict[str, Any]] = []
        for row, processes in _samples(data, chosen(data, wish)):
            if own := thin.quantiles(processes):
                found.append({"case": row["case"], "variant": row["variant"], "row": len(found), "quantiles": own})
        return draw(pd.DataFrame(found), marks(data.rows["variant"].cat.categories)) if found else None

    return drawn


def _timeline(data: Data, wish: Wish) -> Figure | None:
    rows = [row for row in chosen(data, wish) if row["latency"]]
    if len(rows) > 1:
        raise UsageError(f"this chart shows one case: choose with --models, --variants and --targets; {len(rows)} fit")
    return next((samples.timeline(thin.timeline(processes)) for _, processes in _samples(data, rows)), None)


def _samples(data: Data, rows: Sequence[Row]) -> list[tuple[Row, list[Mapping[str, Any]]]]:
    keys = {(row["run"], row["case"]): row for row in rows}
    index = data.rows.set_index(["run", "case"]).index
    picked = query.pick(data.rows[index.isin(list(keys))], ("case", "run", "processes"))
    found = {(row["run"], row["case"]): row["processes"] or [] for row in picked}
    return [(row, found[key]) for key, row in keys.items() if key in found]


def _history(data: Data, wish: Wish) -> Figure | None:
    if wish.metric not in histories.UNITS:
        raise UsageError(f"--metric {wish.metric}: {suggest(wish.metric, histories.UNITS)}")
    cases = {(row["case"], row["fingerprint"]) for row in chosen(data, wish)}
    series = histories.collect(data, data.positions)
    found = [
        one
        for group in series.values()
        for one in group
        if one.metric == wish.metric and (one.case, one.fingerprint) in cases
    ]
    if not found:
        return None
    if len({one.case for one in found}) > 1:
        raise UsageError(f"this chart shows one case: choose with --models, --variants and --targets; {len(found)} fit")
    one = max(found, key=lambda one: len(one.numbers))
    scans = histories.scans(series)
    look = marks(data.rows["variant"].cat.categories)
    variant = next(row["variant"] for row in data.latest if row["case"] == one.case)
    return lines.history(
        history.points(data, one),
        scans[one.id, one.metric].changes,
        unit=one.unit,
        title=one.title,
        colour=look[variant].colour,
    )


def _pair(draw: Callable[[Any], Figure]) -> Callable[[Data, Wish], Figure | None]:
    def drawn(data: Data, wish: Wish) -> Figure | None:
        found = compare.pairs(data, wish.compare)
        if not found:
            raise UsageError("there is one run only; choose two with --compare once there are more")
        moved = found[0].moved
        names = {row["case"] for row in chosen(data, wish)} if wish.models or wish.variants or wish.targets else None
        return draw(moved if names is None else moved[moved["case"].isin(names)])

    return drawn


def _moved(moved: Any) -> Figure:
    return across.changes(moved[moved["verdict"].isin(["slower", "faster"])])


KINDS: Mapping[str, Callable[[Data, Wish], Figure | None]] = {
    "accuracy": _of_model(lambda frame, look: charts.pareto(frame, look, "accuracy")),
    "fidelity": _of_model(lambda frame, look: charts.pareto(frame, look, "fidelity")),
    "latency": _of_model(charts.latency),
    "threads": _of_model(lambda frame, look: charts.scaling(frame, look, "intra_threads")),
    "batch": _of_model(lambda frame, look: charts.scaling(frame, look, "batch")),
    "size": _of_model(lambda frame, look: charts.footprint(frame, look, "artifact_bytes")),
    "memory": _of_model(lambda frame, look: charts.footprint(frame, look, "peak_rss_bytes")),
    "session": _of_model(lambda frame, look: charts.footprint(frame, look, "session_s")),
    "first-inference": _of_model(lambda frame, look: charts.footprint(frame, look, "first_inference_s")),
    "violin": _raw(samples.violin),
    "ecdf": _raw(samples.ecdf),
    "timeline": _timeline,
    "fusion": _fusion,
    "placement": _placement,
    "coverage": _coverage,
    "history": _history,
    "changes": _pair(_moved),
    "ratios": _pair(across.ratios),
}
"""Kinds of charts."""
