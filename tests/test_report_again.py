"""A site that is brought up to date is the site that a build from nothing makes, whatever happened to the results."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.records import Status
from harness.report.output import MARK
from harness.report.site import SiteRequest, build
from harness.store.compaction_folder import compact
from harness.store.rows import Row
from tests import outcomes
from tests.report_stores import matrix, measured, run, write

MORE = [outcomes.case("resnet50", variant) for variant in ("fp32", "int8-static")]
SIDE = "fedcba987654"


def files(site: Path) -> dict[str, bytes]:
    """What a site holds but when it was made, and the list of its files."""
    return {
        path.relative_to(site).as_posix(): path.read_bytes()
        for path in site.rglob("*")
        if path.is_file() and path.name != MARK and path != site / "data" / "site.js"
    }


def a_run(results: Path) -> None:
    """Everything again, and one case slower."""
    write(results, run(20), [measured(case, 5.0 + 3 * place) for place, case in enumerate(matrix())])


def a_small_run(results: Path) -> None:
    """One case of one model."""
    write(results, run(21), [measured(matrix()[0], 7.0)])


def a_failure(results: Path) -> None:
    """What had numbers fails: they stand, with a note."""
    write(results, run(22), [outcomes.refused(matrix()[1], Status.FAILED, "out of memory")])


def more_runs(results: Path) -> None:
    """So many that an earlier run is no longer one of the recent ones."""
    for day in range(23, 30):
        write(results, run(day), [measured(matrix()[0], 7.0 + day / 100)])


def a_removed_run(results: Path) -> None:
    """The failure was not one."""
    (results / "samples" / f"{run(22).id}.parquet").unlink()


def a_host(results: Path) -> None:
    """The same cases on another machine, and later."""
    write(results, run(31, fingerprint=SIDE), [measured(case, 4.0) for case in matrix()])


def a_variant(results: Path) -> None:
    """A name of one's own that comes before those of other models: their marks move."""
    write(results, run(32), [measured(outcomes.case("digits_cnn", "a-variant"), 3.0)])


def a_renamed_host(results: Path) -> None:
    """The newest row of a host has another name for it."""

    def renamed(row: Row) -> None:
        row["host"] = {**row["host"], "name": "rack-2"}

    write(results, run(33), [measured(matrix()[2], 9.0)], renamed)


def merged(results: Path) -> None:
    """Small files become one."""
    compact(results, grace_s=0)


def nothing(results: Path) -> None:
    """The same results."""


EVENTS: tuple[Callable[[Path], None], ...] = (
    a_run, a_small_run, a_failure, more_runs, a_removed_run, a_host, a_variant, a_renamed_host, merged, nothing,
)  # fmt: skip


def a_store(results: Path) -> Path:
    """Three runs of each of two models."""
    own = [*MORE, outcomes.case("resnet50", "z-variant")]
    for day in range(3):
        write(results, run(day), [measured(case, 5.0 + day) for case in matrix()])
        write(results, run(day + 10), [measured(case, 9.0) for case in own])
    return results


def different(results: Path, site: Path, **request: Any) -> set[str]:
    """Bring a site up to date; the files in which it differs from one that is made from nothing."""
    anew = site.with_name("anew")
    for out in (site, anew):
        build(SiteRequest(results=results, out=out, **request))
    found, expected = files(site), files(anew)
    shutil.rmtree(anew)
    return {name for name in {*found, *expected} if found.get(name) != expected.get(name)}


def test_it_is_the_site_of_a_build_from_nothing(tmp_path: Path) -> None:
    """Byte for byte, after a variant that moves others' marks, and numbers that are no longer followed by a failure."""
    results = a_store(tmp_path / "results")
    a_failure(results)
    more_runs(results)
    build(SiteRequest(results=results, out=tmp_path / "again"))
    a_removed_run(results)
    a_variant(results)
    assert set() == different(results, tmp_path / "again")


@pytest.mark.long
def test_it_is_after_everything_that_may_happen(tmp_path: Path) -> None:
    """After each of several events in turn."""
    results = a_store(tmp_path / "results")
    build(SiteRequest(results=results, out=tmp_path / "again"))
    for event in EVENTS:
        event(results)
        assert (event.__name__, set()) == (event.__name__, different(results, tmp_path / "again"))


@pytest.mark.long
@pytest.mark.parametrize(
    "first", [{"models": ("resnet50",)}, {"most_cases": 3}, {"live": True}, {"commit_url": "https://example.org/"}]
)
def test_another_request_leaves_nothing_behind(tmp_path: Path, first: dict[str, Any]) -> None:
    """Options of a former build are not seen in the next."""
    results = a_store(tmp_path / "results")
    build(SiteRequest(results=results, out=tmp_path / "again", **first))
    for more in ({"models": ("digits_cnn",)}, {}):
        assert set() == different(results, tmp_path / "again", **more)
