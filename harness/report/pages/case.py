"""Everything that is known of one case."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

from harness import budget
from harness.report import downsample, links, wording
from harness.report.data import Data, StoredRun
from harness.report.figures import samples as charts
from harness.report.histories import ChartedSeries
from harness.report.pages import examples, insides
from harness.report.pages.tables import budget_word
from harness.report.parts import Chart, Page, Table, num, status, text
from harness.store.rows import Row

PROVENANCE: Final = (
    "artifact",
    "weights",
    "reference",
    "operators",
    "kernels",
    "placement",
    "time_share",
    "arithmetic",
    "computation",
)
SESSION: Final = (
    "runtime", "provider", "plugin", "device", "provider_options", "intra_threads", "inter_threads", "batch",
    "scenario", "optimization", "session_config", "limits", "precision",
)  # fmt: skip


Facts = list[tuple[str, list[tuple[str, str]]]]
"""Provenance in groups: (heading, (name, value) ...)."""


def page(
    data: Data,
    row: Row,
    others: Sequence[Row],
    processes: Sequence[Mapping[str, Any]],
    series: Sequence[ChartedSeries],
    of_run: str,
    *,
    explained: bool = False,
) -> Page:
    """A case's page.

    Args:
        data: what is stored.
        row: its newest row.
        others: its newest rows on every host, this one included.
        processes: of `row`, with their samples.
        series: one per host, runtime and weights.
        of_run: the groups of `of_run` as HTML, made once for all cases of a run.
        explained: whether there is a page of where its time and accuracy go.
    """
    return Page(
        path=links.case(row["case"]),
        template="case.html.j2",
        title=row["case"],
        context={
            "row": row,
            "model": {"name": row["model"], "href": "../" + links.model(row["model"])},
            "latency": wording.latency(row),
            "budget": budget_word(budget.excess(row)) if row["latency"] else "no numbers",
            "accuracy": wording.accuracy(row),
            "fidelity": wording.fidelity(row),
            "faults": (row["fidelity"] or {}).get("faults") or [],
            "parts": parts_table(row),
            "examples": examples.of(data.results, row),
            "when": wording.when(row["started_at"]),
            "host": data.host(row["fingerprint"]),
            "timeline": _timeline(processes),
            "processes": _processes(processes),
            "hosts": _hosts(data, others) if len(others) > 1 else None,
            "inspections": _inspections(row),
            "facts": _facts(row),
            "of_run": of_run,
            "commands": commands(row),
            "explained": "../" + links.explained(row["case"]) if explained else "",
            "histories": [
                {
                    "src": "../" + links.series(one.id),
                    "key": links.slug(one.id),
                    "label": f"{data.host(one.fingerprint)}, {one.runtime}",
                }
                for one in series
            ],
        },
    )


def commands(row: Row) -> list[tuple[str, str]]:
    """What reproduces a case, and what shows its artifact."""
    settings = row["settings"] or {}
    sweep = [
        "harness", "sweep", "--models", row["model"], "--variants", row["variant"], "--targets", row["target_name"],
        "--threads", str(row["intra_threads"]), "--batch", str(row["batch"]),
    ]  # fmt: skip
    for option, key in (("--processes", "processes"), ("--time-per-case", "time_per_case"), ("--ci-width", "ci_width")):
        if settings.get(key) is not None:
            sweep += [option, f"{settings[key]:g}"]
    found = [("measure it again", shlex.join([*sweep, "--fresh"]))]
    if row["artifact"]:
        found.append(("see where its time and accuracy go", shlex.join(["harness", "explain", row["case"]])))
        found.append(("inspect the artifact", shlex.join(["harness", "inspect", f"{row['model']}/{row['variant']}"])))
    if row["commit"]:
        found.insert(0, ("at the same commit", shlex.join(["git", "checkout", row["commit"]])))
    return found


def _inspections(row: Row) -> list[tuple[str, str]]:
    """Where the model's page shows what is inside the artifact: (what, address) ..."""
    page, digest = "../" + links.model(row["model"]), (row["artifact"] or {}).get("digest") or ""
    found = []
    if (row["fusion"] or {}).get("before"):
        found.append(("operators before and after fusion", f"{page}#{insides.anchor(row['variant'], digest)}"))
    if row["placement"]:
        found.append(("where its nodes run", f"{page}#placement"))
    return found


def _timeline(processes: Sequence[Mapping[str, Any]]) -> Chart | None:
    stretches = downsample.timeline(processes)
    if not stretches:
        return None
    longest = max(len(process["samples_ns"] or []) for process in processes)
    each = -(-longest // downsample.POINTS)
    note = "Throttling and drift show as a slope, another tenant as spikes."
    if each > 1:
        note += f" A point stands for up to {each} inferences in a row: their median, with a bar over their range."
    return Chart(id="timeline", title="Each process and sample over time", note=note, figure=charts.timeline(stretches))


def parts_table(row: Row) -> Table | None:
    """Closeness of every output and of every part that counts by itself; None for a single output."""
    parts = row.get("fidelity_parts") or []
    if len(parts) < 2:  # noqa: PLR2004  (the line above says it all)
        return None
    lines = []
    for part in parts:
        decibels, equal, rank = (part.get(key) for key in ("centred_sqnr_db", "equal", "rank"))
        exact = part.get("max_abs") == 0 and not part.get("unmatched")
        lines.append(
            [
                text(part["output"]),
                text(part.get("part") or "all of it"),
                num("exact" if exact else wording.number(decibels, "dB"), decibels),
                num(wording.number(equal, "percent"), equal),
                num(wording.number(rank, "percent"), rank),
                num(str(part.get("unmatched") or 0), part.get("unmatched")),
                text(part.get("status") or "", kind="bad" if part.get("status") in ("dead", "not finite") else ""),
            ]
        )
    return Table(
        columns=("output", "part", "centred SQNR#", "equal values#", "best scores kept#", "unmatched#", "status"),
        rows=lines,
        caption="Fidelity by output and part",
    )


def _processes(processes: Sequence[Mapping[str, Any]]) -> Table | None:
    if not processes:
        return None
    import statistics

    lines = []
    for number, process in enumerate(processes, start=1):
        samples = process["samples_ns"] or []
        median = statistics.median(samples) / 1e9 if samples else None
        lines.append(
            [
                num(str(number), number),
                text(wording.when(process["started_at"])),
                num(wording.number(median, "seconds"), median),
                num(f"{len(samples):,}", len(samples)),
                num(f"{len(process['warmup_ns'] or []):,}", len(process["warmup_ns"] or [])),
                text("yes" if process["steady"] else "no"),
                text(process["stop"]),
                num(wording.number(process["session_ns"] / 1e9, "seconds"), process["session_ns"]),
                num(wording.number(process["first_inference_ns"] / 1e9, "seconds"), process["first_inference_ns"]),
                num(wording.number(process["peak_rss_bytes"], "bytes"), process["peak_rss_bytes"]),
                num(wording.number(process["model_bytes"], "bytes"), process["model_bytes"]),
                num(wording.NONE if process["preempted"] is None else str(process["preempted"]), process["preempted"]),
            ]
        )
    return Table(
        columns=(
            "process#",
            "started (UTC)",
            "median#",
            "samples#",
            "warm-ups#",
            "steady",
            "stopped by",
            "session#",
            "first inference#",
            "peak memory#",
            "model memory#",
            "preempted#",
        ),
        rows=lines,
        caption="Processes",
    )


def _hosts(data: Data, others: Sequence[Row]) -> Table:
    return Table(
        columns=("host", "run (UTC)", "status", "median [95% interval]#", "accuracy", "fidelity"),
        rows=[
            [
                text(data.host(row["fingerprint"])),
                text(wording.when(row["run_started_at"])),
                status(row["status"], row["reason"] or ""),
                num(wording.latency(row), (row["latency"] or {}).get("median_s")),
                text(wording.accuracy(row)),
                text(wording.fidelity(row)),
            ]
            for row in others
        ],
        caption="On every host",
    )


def _facts(row: Row) -> Facts:
    """What is a case's own."""
    found: Facts = []
    latency = row["latency"] or {}
    if latency:
        found.append(
            (
                "Latency",
                [
                    *(
                        (name.removesuffix("_s"), wording.number(latency[name], "seconds"))
                        for name in (
                            "median_s",
                            "ci95_low_s",
                            "ci95_high_s",
                            "mean_s",
                            "min_s",
                            "p90_s",
                            "p95_s",
                            "p99_s",
                        )
                    ),
                    (
                        "samples",
                        f"{latency['n']:,} of {latency['processes']} processes, {latency['warmup_n']:,} warm-ups",
                    ),
                    ("percentiles", latency["percentile_rule"] or "plain ranks of all samples together"),
                    ("stopped by", str(latency["stop"])),
                    *([("processes", row["stopped"])] if row.get("stopped") else []),
                ],
            )
        )
    found.append(("Session", [(name, _shown(row[name])) for name in SESSION]))
    found.append(("Artifact", [(name, _shown(row[name])) for name in PROVENANCE if row[name]]))
    found.append(
        (
            "Recipe",
            [(f"{place}. {step['kind']}", _shown(step["options"])) for place, step in enumerate(row["steps"] or [], 1)],
        )
    )
    found.append(("Noise", [("while it was measured", _shown(row["noise"]))]))
    return [(heading, lines) for heading, lines in found if lines]


def of_run(run: StoredRun, row: Row) -> Facts:
    """What is the same for all cases that a host measured in a run; `row` is one of them."""
    lines = [
        ("run", run.id),
        ("commit", f"{run.commit or 'none'}{' (the tree differed from it)' if run.dirty else ''}"),
        ("fingerprint", row["fingerprint"]),
        ("settings", _shown(run.settings)),
    ]
    host = [(name, _shown(value)) for name, value in (row["host"] or {}).items()]
    versions = [(name, str(value)) for name, value in run.versions.items()]
    groups = (("Run", lines), ("Host", host), ("Versions", versions))
    return [(heading, lines) for heading, lines in groups if lines]


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_shown(entry)}" for key, entry in value.items() if entry is not None) or wording.NONE
    if isinstance(value, (list, tuple)):
        return ", ".join(_shown(entry) for entry in value) or wording.NONE
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: wording.NONE}[value]
    return value if isinstance(value, str) else json.dumps(value)
