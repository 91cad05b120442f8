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


EVENTS: tuple[tuple[Callable[[Path], None], ...], ...] = (
    (a_small_run,), (a_run, a_failure), (a_removed_run,), (a_host,), (a_renamed_host,), (merged,),
)  # fmt: skip
"""What happens between two looks; what one of them would hide is not beside it."""


def a_store(results: Path) -> Path:
    """Three runs of each of two models."""
    own = [*MORE, outcomes.case("resnet50", "z-variant")]
    for day in range(3):
        write(results, run(day), [measured(case, 5.0 + day) for case in matrix()])
        write(results, run(day + 10), [measured(case, 9.0) for case in own])
    return results


def brought_up_to_date(results: Path, site: Path, **request: Any) -> dict[str, bytes]:
    """The files of a site after another build of it."""
    build(SiteRequest(results=results, out=site, **request))
    return files(site)


def different(found: dict[str, bytes], expected: dict[str, bytes]) -> set[str]:
    """The files that only one of two sites has, or has otherwise."""
    return {name for name in {*found, *expected} if found.get(name) != expected.get(name)}


def anew(results: Path, folder: Path, **request: Any) -> dict[str, bytes]:
    """The files of a site that is made from nothing."""
    try:
        return brought_up_to_date(results, folder / "anew", **request)
    finally:
        shutil.rmtree(folder / "anew")


def test_it_is_the_site_of_a_build_from_nothing(tmp_path: Path) -> None:
    """Byte for byte, after a variant that moves others' marks, and numbers that are no longer followed by a failure."""
    results = a_store(tmp_path / "results")
    a_failure(results)
    more_runs(results)
    build(SiteRequest(results=results, out=tmp_path / "again"))
    a_removed_run(results)
    a_variant(results)
    found = brought_up_to_date(results, tmp_path / "again")
    assert set() == different(found, anew(results, tmp_path))


@pytest.mark.long
def test_it_is_after_everything_that_may_happen(tmp_path: Path) -> None:
    """After each of several events in turn, and after nothing."""
    results = a_store(tmp_path / "results")
    found = brought_up_to_date(results, tmp_path / "again")
    for events in EVENTS:
        for event in events:
            event(results)
        found = brought_up_to_date(results, tmp_path / "again")
        names = [event.__name__ for event in events]
        assert (names, set()) == (names, different(found, anew(results, tmp_path)))
    assert set() == different(brought_up_to_date(results, tmp_path / "again"), found)


@pytest.mark.long
def test_another_request_leaves_nothing_behind(tmp_path: Path) -> None:
    """Options of a former build are not seen in the next."""
    results, site = a_store(tmp_path / "results"), tmp_path / "again"
    one: dict[str, Any] = {"models": ("digits_cnn",)}
    whole, part = anew(results, tmp_path), anew(results, tmp_path, **one)
    requests: tuple[tuple[dict[str, Any], dict[str, Any], dict[str, bytes]], ...] = (
        ({"models": ("resnet50",)}, one, part),
        (one, {}, whole),
        ({"most_cases": 3, "commit_url": "https://example.org/"}, {}, whole),
        ({"live": True}, one, part),
    )
    for first, then, expected in requests:
        brought_up_to_date(results, site, **first)
        assert (first, set()) == (first, different(brought_up_to_date(results, site, **then), expected))
