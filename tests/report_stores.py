"""Results folders of chosen numbers, for the tests of the dashboard."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.records import Case, Outcome, Run
from harness.report.site import Built, SiteRequest, build
from harness.store import samples
from harness.store.rows import Row, to_row
from tests import outcomes

MS = 1_000_000


def run(day: int = 0, **changes: Any) -> Run:
    """The run of a day's commit."""
    started = dt.datetime(2026, 1, 1, 10, tzinfo=dt.UTC) + dt.timedelta(days=day)
    base = {
        "id": f"{started:%Y%m%dT%H%M%SZ}-{day:06x}",
        "started_at": started.isoformat(),
        "commit": f"{day:08x}" + "0" * 32,
        "commit_time": int(started.timestamp() * 1000) - 60_000,
    }
    return outcomes.run(**(base | changes))


def measured(case: Case, median_ms: float, **changes: Any) -> Outcome:
    """A case with three processes, 1% apart."""
    medians = tuple(int(median_ms * MS * factor) for factor in (0.99, 1.0, 1.01))
    return outcomes.measured(case, medians, **changes)


def write(results: Path, of: Run, found: Sequence[Outcome], edit: Callable[[Row], None] | None = None) -> Path:
    """Store a run; `edit` may change each row beforehand."""
    rows = [to_row(of, replace(outcome, started_at=of.started_at)) for outcome in found]
    for row in rows:
        row["budget"] = dict.fromkeys(row["budget"]) | {"accuracy_drop": 0.02}
        if edit is not None:
            edit(row)
    path = results / "samples" / f"{of.id}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(samples.encode(rows))
    return path


def matrix(model: str = "digits_cnn") -> list[Case]:
    """Two variants on one and two threads."""
    return [outcomes.case(model, variant, intra_threads=t) for variant in ("fp32", "int8-static") for t in (1, 2)]


def history(results: Path, days: int = 12, slower_from: int = 9, factor: float = 1.5) -> None:
    """A history in which int8-static gets slower on one day, with 0.3% of movement that is not a pattern."""
    for day in range(days):
        found = []
        for place, case in enumerate(matrix()):
            moved = 1 + 0.003 * ((day * 7 + place * 3) % 5 - 2)
            level = 10.0 if case.recipe.name == "fp32" else 5.0 * (factor if day >= slower_from else 1.0)
            found.append(measured(case, level * moved))
        write(results, run(day), found)


def site(results: Path, out: Path, **more: Any) -> Built:
    """The site of a results folder."""
    return build(SiteRequest(results=results, out=out, **more))


def pages(out: Path) -> dict[str, str]:
    """Every file of a site but the libraries, as text."""
    return {
        path.relative_to(out).as_posix(): path.read_text(encoding="utf-8")
        for path in out.rglob("*")
        if path.is_file() and path.suffix in {".html", ".js"} and path.parent.name != "static"
    }
