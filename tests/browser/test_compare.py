"""The comparison as a person uses it: two lists, a link that can be sent, and any two sides where it is served."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.report.serve import Site, server
from harness.report.site import SiteRequest
from tests import report_stores
from tests.browser.conftest import CHROMIUM, PATIENCE_S, eventually

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is missing: apt-get install chromium")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six runs; int8-static gets half as slow again in the last one."""
    found = tmp_path_factory.mktemp("store") / "results"
    report_stores.history(found, days=6, slower_from=5)
    return found


@pytest.fixture(scope="module")
def made(results: Path) -> Path:
    """Its site."""
    report_stores.site(results, results.parent / "site")
    return results.parent / "site" / "compare.html"


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that may not complain."""
    wrong: list[str] = []
    found = browser.new_page(viewport={"width": 1280, "height": 900})
    found.set_default_timeout(1000 * PATIENCE_S)
    found.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    found.on("pageerror", lambda error: wrong.append(str(error)))
    yield found
    found.close()
    assert [] == wrong


def sides(page: Any) -> str:
    """What the comparison that is shown says it is of."""
    page.wait_for_selector("#pair-body .sides")
    found: str = page.locator("#pair-body .sides dd").first.inner_text()
    return found


def test_two_lists_a_swap_and_a_link(made: Path, page: Any) -> None:
    """The newest run against the one before is shown; swapped, and by its address again; the heat map is drawn."""
    page.goto(made.as_uri())
    assert report_stores.run(4).id in sides(page)
    page.wait_for_selector('[data-chart="heat"][data-drawn]')
    assert "2 slower" == " ".join(page.locator("#pair-body .tiles .bad").inner_text().split())
    first = page.locator("#pair-body tbody tr").first.inner_text()
    assert "int8-static" in first
    assert "+50.9%" in first
    page.click("#swap")
    # Swapped, the pair was not made ahead.
    old, new = (report_stores.run(day).id for day in (4, 5))
    page.locator("#compare-said code", has_text=f"--compare {new} {old}").wait_for()
    eventually(page, "", lambda: page.inner_text("#pair-body"))
    page.wait_for_url(f"**before={new}&after={old}*")
    page.goto(f"{made.as_uri()}#before={old}&after={new}")
    eventually(page, True, lambda: old in sides(page))
    page.evaluate("location.hash = '#before=nothing&after=nowhere'")
    page.locator("#compare-said", has_text="Nothing here is called").wait_for()


def test_what_was_not_made_ahead_says_how_to_make_it(made: Path, page: Any) -> None:
    """The command is exact: it makes the pair that was chosen."""
    page.goto(made.as_uri())
    page.select_option("#before", label=page.locator('#before option[data-name="00000001"]').inner_text())
    page.select_option("#after", label=page.locator('#after option[data-name="00000005"]').inner_text())
    command = page.locator("#compare-said code").first
    eventually(page, True, lambda: command.inner_text().endswith(" --compare 00000001 00000005"))
    assert command.inner_text().startswith("harness report --results ")
    page.select_option("#after", label=page.locator('#after option[data-name="00000001"]').inner_text())
    eventually(page, True, lambda: "Both sides are the same" in page.inner_text("#compare-said"))


def test_served_any_two_are_compared_and_the_page_follows_its_results(results: Path, tmp_path: Path, page: Any) -> None:
    """The choice stays when a run is finished, and a build that fails is said on the page."""
    site = Site(SiteRequest(results=results, out=tmp_path / "site", live=True), lambda _: None)
    site.refresh()
    listening = server(site, 0)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    try:
        page.goto(f"http://127.0.0.1:{listening.server_port}/compare.html#before=00000000&after=00000005")
        eventually(page, True, lambda: "00000000" in sides(page))
        assert page.locator("#pair-body .tiles .bad").inner_text().startswith("2")
        page.click("#swap")
        page.locator("#pair-body .sides dd").first.filter(has_text="00000005").wait_for()
        eventually(page, True, lambda: page.locator("#pair-body .tiles .good").inner_text().startswith("2"))
        options = page.locator("#before option").count()
        case = report_stores.matrix()[0]
        report_stores.write(results, report_stores.run(9), [report_stores.measured(case, 10.0)])
        site.refresh()
        eventually(page, options + 2, lambda: page.locator("#before option").count())
        eventually(page, True, lambda: "00000005" in sides(page))
        page.wait_for_url("**before=00000005&after=00000000*")
        site.error = "the disk is full"
        page.locator(".stale:visible", has_text="the disk is full").wait_for()
        page.goto("about:blank")  # a page that still asks complains of a server that stops
    finally:
        listening.shutdown()
        listening.server_close()


def test_values_of_asv_alone_are_compared(tmp_path: Path, page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh clone without samples: two commits with asv's intervals, their table, and no link to nowhere."""
    from dataclasses import replace

    from harness.store.asv import results as asv
    from harness.store.rows import to_row

    monkeypatch.setenv("HOME", str(tmp_path))
    for day, level in enumerate((5.0, 8.0)):
        of = report_stores.run(day)
        found = [
            replace(report_stores.measured(case, level), started_at=of.started_at) for case in report_stores.matrix()
        ]
        asv.write(tmp_path / "results", of, [to_row(of, outcome) for outcome in found])
    report_stores.site(tmp_path / "results", tmp_path / "site")
    page.goto((tmp_path / "site" / "compare.html").as_uri())
    assert "00000000" in sides(page)
    assert "99% intervals" in page.inner_text("#pair-body .notes")
    assert 4 == page.locator("#pair-body tbody tr").count()
    assert 0 == page.locator("#pair-body tbody a").count()


def test_names_are_only_names(tmp_path: Path, page: Any) -> None:
    """Markup in hosts, versions and models is text in the lists, the command and the comparison; links still work."""
    hostile = "</script><img src=x onerror=alert(1)>\"'&#=%"
    page.on("dialog", lambda _: pytest.fail("a name ran as a script"))
    from tests import outcomes

    for day, version in enumerate(("1.0", hostile)):
        of = report_stores.run(day, host={"name": hostile}, versions={"onnxruntime": version})
        report_stores.write(tmp_path / "results", of, [report_stores.measured(outcomes.case(hostile), 5.0 + day)])
    report_stores.site(tmp_path / "results", tmp_path / "site")
    address = (tmp_path / "site" / "compare.html").as_uri()
    page.goto(address)
    assert report_stores.run(0).id in sides(page)
    page.click('.pairs a:has-text("runtime")')
    page.locator("#pair-body .sides dd").first.filter(has_text="runtime").wait_for()
    eventually(page, True, lambda: hostile in page.locator("#pair-body .sides dd").nth(1).inner_text())
    assert 0 == page.locator("main img").count()


def test_a_phone(made: Path, page: Any) -> None:
    """Nothing is wider than the screen."""
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(made.as_uri())
    sides(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
