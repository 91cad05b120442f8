"""The dashboard as a person sees it: Chromium on sites of a real sweep, and of histories with a known regression."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.report import links
from harness.report.pages import tables
from harness.report.serve import Site, server
from harness.report.site import SiteRequest
from tests import conftest, outcomes, report_stores
from tests.browser.conftest import CHROMIUM, PATIENCE_S, eventually

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is missing: apt-get install chromium")


@dataclass(slots=True)
class Visit:
    """A page in a browser, and what went wrong on it."""

    page: Any
    wrong: list[str] = field(default_factory=list)
    away: list[str] = field(default_factory=list)

    def open(self, path: Path, fragment: str = "") -> Any:
        """Open a file and wait until its scripts have run."""
        self.page.goto(path.as_uri() + fragment, wait_until="load")
        return self.page

    def chart(self, name: str) -> list[dict[str, Any]]:
        """The traces of a chart as they are drawn now."""
        box = self.page.locator(f'[data-chart="{name}"]')
        box.scroll_into_view_if_needed()
        self.page.wait_for_selector(f'[data-chart="{name}"][data-drawn]')
        found: list[dict[str, Any]] = box.locator(".plot").evaluate(
            "plot => plot.data.map(t => ({name: t.name, x: t.x, y: t.y, visible: t.visible}))"
        )
        return found


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    """A page that may neither complain nor leave the machine."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(1000 * PATIENCE_S)
    found = Visit(page=page)
    page.on(
        "console", lambda message: found.wrong.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: found.wrong.append(str(error)))
    own = ("file:", "data:", "blob:", "http://127.0.0.1")
    page.on("request", lambda request: None if request.url.startswith(own) else found.away.append(request.url))
    yield found
    page.close()
    assert [] == found.wrong
    assert [] == found.away


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, built: Path) -> Path:
    """The site of a real sweep over two variants, two threads and two batches."""
    root = tmp_path_factory.mktemp("swept")
    project = conftest.write_project(root)
    conftest.take_over(built, root)
    project.run(
        "sweep",
        "--variants",
        "fp32,fp32-fused",
        "--targets",
        "cpu,qnn",
        "--threads",
        "1,2",
        "--batch",
        "1,2",
        "--time-per-case",
        "0.1",
        "--processes",
        "1",
    )
    project.run("report", "--out", "site")
    return root / "site"


@pytest.fixture(scope="module")
def regressed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of a history in which int8-static got half as slow again."""
    root = tmp_path_factory.mktemp("regressed")
    report_stores.history(root / "results", days=14, slower_from=13)
    report_stores.site(root / "results", root / "site", commit_url="https://example.org/commit/")
    return root / "site"


def test_every_page_opens_without_a_complaint(swept: Path, visit: Visit) -> None:
    """No console message, no request off the machine, and every chart that comes into sight is drawn."""
    # Of the cases those at one batch, measured and refused: what the pages of the others hold is as theirs.
    pages = [path for path in sorted(swept.rglob("*.html")) if "cases" not in path.parts or "-b1" in path.name]
    assert 6 < len(pages) < len(list(swept.rglob("*.html")))
    assert {"cpu", "qnn"} <= {name for path in pages for name in ("cpu", "qnn") if f"-{name}-t" in path.name}
    for path in pages:
        page = visit.open(path)
        for box in page.locator("[data-chart]:has(script.figure)").all():
            if box.is_visible():
                box.scroll_into_view_if_needed()
                box.locator(".main-svg").first.wait_for()
        while asks := page.locator("button.ask").count():
            page.locator("button.ask").first.click()
            page.wait_for_function(f"document.querySelectorAll('button.ask').length < {asks}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path.name} is too wide"


def test_filters_change_charts_and_tables(swept: Path, visit: Visit) -> None:
    """One choice reaches every chart of the page, and the address remembers it."""
    page = visit.open(swept / links.model("tiny"))

    def drawn() -> set[str]:
        return {target for trace in visit.chart("latency") for target in trace["y"][0]}

    def points() -> set[int]:
        return {len(trace["x"]) for trace in visit.chart("pareto-fidelity") if trace["name"] != "Pareto front"}

    eventually(page, {"cpu-t1-b1"}, drawn)
    page.select_option('select[data-facet="threads"]', "")
    eventually(page, {"cpu-t1-b1", "cpu-t2-b1"}, drawn)
    eventually(page, {2}, points)
    page.select_option('select[data-facet="threads"]', "2")
    eventually(page, {"cpu-t2-b1"}, drawn)
    eventually(page, {1}, points)
    page.select_option('select[data-facet="batch"]', "2")
    eventually(page, {"cpu-t2-b2"}, drawn)
    shown = page.locator("tr[data-at]:visible td:nth-child(2)")
    eventually(page, {"cpu-t2-b2"}, lambda: set(shown.all_inner_texts()))
    page.reload()
    eventually(page, "2", lambda: page.input_value('select[data-facet="batch"]'))


def test_the_table_under_a_chart_is_made_when_it_is_opened(swept: Path, visit: Visit) -> None:
    """It has the chart's numbers, sorts by them, and follows the filters, those chosen before and after."""
    page = visit.open(swept / links.model("tiny"))
    box = page.locator('[data-chart="latency"] details')
    assert 0 == box.locator("table").count()
    page.select_option("select[data-facet=batch]", "2")
    box.locator("summary").click()
    rows = box.locator("tbody tr:visible")
    eventually(page, 2, rows.count)
    assert {"cpu-t1-b2"} == {cells.split("\t")[1] for cells in rows.all_inner_texts()}
    page.select_option("select[data-facet=threads]", "")
    eventually(page, 4, rows.count)
    cells = "cells => cells.map(cell => Number(cell.dataset.sort))"
    sizes = sorted(box.locator("tbody tr:visible td:nth-child(3)").evaluate_all(cells))
    assert len(set(sizes)) > 1
    box.locator("th button", has_text="median").click()
    eventually(page, sizes, lambda: box.locator("tbody tr:visible td:nth-child(3)").evaluate_all(cells))


def test_a_scaling_chart_ignores_its_own_filter(swept: Path, visit: Visit) -> None:
    """Throughput over threads keeps its lines where one number of threads is chosen."""
    page = visit.open(swept / links.model("tiny"))
    page.select_option('select[data-facet="threads"]', "1")
    eventually(page, {(1, 2)}, lambda: {tuple(trace["x"]) for trace in visit.chart("scaling-threads")})


def test_a_regression_is_seen_first(regressed: Path, visit: Visit) -> None:
    """On the first page, without scrolling and without a click, in number; and in the chart with its size."""
    page = visit.open(regressed / "index.html")
    tile = page.locator(".tiles .bad").first
    assert "2 slower than the run before" == " ".join(tile.inner_text().split())
    assert tile.bounding_box()["y"] < 600
    slower = next(trace for trace in visit.chart("moved") if trace["name"] == "slower")
    assert ["digits_cnn/int8-static/cpu-t1-b1", "digits_cnn/int8-static/cpu-t2-b1"] == sorted(slower["y"])
    assert all(1.4 < ratio < 1.6 for ratio in slower["x"])


def test_histories_open_from_the_table(regressed: Path, visit: Visit) -> None:
    """Search, choose, see the points; relative to a commit; the table names the commits with links."""
    page = visit.open(regressed / "history.html")
    page.fill("#history-search", "int8 t2")
    eventually(page, "1 of 4 series", lambda: page.inner_text("#history-count"))
    page.click("#history-table tbody button")
    eventually(page, 14, lambda: len(visit.chart("series")[-1]["y"]))
    absolute = visit.chart("series")[-1]
    page.select_option("[data-baseline]", "0")
    eventually(page, 1.0, lambda: visit.chart("series")[-1]["y"][0])
    relative = visit.chart("series")[-1]
    assert abs(relative["y"][13] - absolute["y"][13] / absolute["y"][0]) < 1e-9
    page.click("#series-view summary")
    assert page.locator("#series-view tbody a").first.get_attribute("href").startswith("https://example.org/commit/0")
    page.click("text=log")
    plot = page.locator("#series-view .plot")
    eventually(page, "log", lambda: plot.evaluate("plot => plot.layout.yaxis.type"))


def test_values_of_asv_alone_are_drawn(tmp_path: Path, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh clone without samples: the first page lists the values, and each leads to its chart."""
    from dataclasses import replace

    from harness.store.asv import results as asv
    from harness.store.rows import to_row

    monkeypatch.setenv("HOME", str(tmp_path))
    for day in range(3):
        of = report_stores.run(day)
        found = [report_stores.measured(case, 5.0 + day) for case in report_stores.matrix()]
        asv.write(
            tmp_path / "results", of, [to_row(of, replace(outcome, started_at=of.started_at)) for outcome in found]
        )
    report_stores.site(tmp_path / "results", tmp_path / "site")
    page = visit.open(tmp_path / "site" / "index.html")
    page.click("#newest tbody a >> nth=0")
    page.wait_for_url("**/history.html#**")
    eventually(page, [3], lambda: [len(line["y"]) for line in visit.chart("series")])
    page.click("#series-view summary")
    page.locator("#series-view th", has_text="99% interval").wait_for()


def test_light_and_dark(regressed: Path, visit: Visit) -> None:
    """The button switches page and charts, and the choice is kept."""
    page = visit.open(regressed / "index.html")
    visit.chart("moved")
    colour = "plot => plot.layout.font.color"
    light = page.locator('[data-chart="moved"] .plot').evaluate(colour)
    page.click("#theme")
    eventually(page, "dark", lambda: page.locator("html").get_attribute("data-theme"))
    eventually(page, True, lambda: light != page.locator('[data-chart="moved"] .plot').evaluate(colour))
    page.reload()
    eventually(page, "dark", lambda: page.locator("html").get_attribute("data-theme"))


def test_keyboard_and_tables(regressed: Path, visit: Visit) -> None:
    """The first stop skips to the content; headings sort and say so; copying gives lines of tabs."""
    page = visit.open(regressed / "compare.html")
    page.keyboard.press("Tab")
    eventually(page, "Skip to content", lambda: page.evaluate("document.activeElement.textContent"))
    heading = page.locator("#pair-body section table th", has_text="before")
    heading.locator("button").focus()
    page.keyboard.press("Enter")
    eventually(page, "ascending", lambda: heading.get_attribute("aria-sort"))
    page.keyboard.press("Enter")
    eventually(page, "descending", lambda: heading.get_attribute("aria-sort"))
    values = page.locator("#pair-body section table tbody td:nth-child(3)").all_inner_texts()
    assert sorted(values, key=lambda text: -float(text.split()[0])) == values
    copied = page.evaluate("harness.tables.text(document.querySelector('#pair-body section table'))")
    assert 5 == len(copied.splitlines())
    assert "\t" in copied


def test_phone(browser: Any, regressed: Path) -> None:
    """Nothing is wider than a phone; wide tables scroll inside their frame."""
    page = browser.new_page(viewport={"width": 360, "height": 740})
    for name in ("index.html", "history.html", "compare.html", links.model("digits_cnn")):
        page.goto((regressed / name).as_uri())
        for box in page.locator("[data-chart]:has(script.figure)").all():
            if box.is_visible():
                box.scroll_into_view_if_needed()
                box.locator(".main-svg").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name
    page.close()


def test_many_series_scroll(tmp_path: Path, visit: Visit) -> None:
    """Lines are made as far as somebody scrolls; a search goes over all of them."""
    cases = [outcomes.case(f"model{i // 100}", f"v{i % 100}") for i in range(200)]
    made = report_stores.measured(cases[0], 5.0)
    from dataclasses import replace

    report_stores.write(tmp_path / "results", report_stores.run(), [replace(made, case=case) for case in cases])
    report_stores.site(tmp_path / "results", tmp_path / "site")
    page = visit.open(tmp_path / "site" / "history.html")
    page.wait_for_function("document.getElementById('history-count').textContent === '200 of 200 series'")
    rows = page.locator("#history-table tbody tr")
    assert rows.count() < 180
    while (made_so_far := rows.count()) < 200:
        page.locator("#history-scroll").evaluate("box => box.scrollTo(0, box.scrollHeight)")
        page.wait_for_function(f"document.querySelectorAll('#history-table tbody tr').length > {made_so_far}")
    assert 200 == rows.count()
    page.fill("#history-search", "model1/v59")
    eventually(page, 1, rows.count)


def test_a_served_page_reloads_itself(tmp_path: Path, visit: Visit) -> None:
    """A run that is finished while the page is open appears on it."""
    import threading

    report_stores.history(tmp_path / "results", days=2)
    site = Site(SiteRequest(results=tmp_path / "results", out=tmp_path / "site", live=True), lambda _: None)
    site.refresh()
    listening = server(site, 0)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    try:
        page = visit.page
        # It has looked once, and found nothing new.
        with page.expect_response(lambda answer: "/-/version" in answer.url):
            page.goto(f"http://127.0.0.1:{listening.server_port}/")
        eventually(page, 2, page.locator("#runs tbody tr").count)
        report_stores.write(tmp_path / "results", report_stores.run(5), [report_stores.measured(outcomes.case(), 9.0)])
        site.refresh()
        eventually(page, 3, page.locator("#runs tbody tr").count)
        page.wait_for_load_state("networkidle")
        # Charts are drawn under the policy that keeps other sites out, which `visit` hears complaints of.
        model = next((tmp_path / "site" / "models").glob("*.html")).name
        page.goto(f"http://127.0.0.1:{listening.server_port}/models/{model}")
        page.wait_for_selector("[data-chart][data-drawn]")
        page.wait_for_load_state("networkidle")
        page.goto("about:blank")  # a page that still loads complains of a server that stops
    finally:
        listening.shutdown()
        listening.server_close()


def test_every_chart_and_table_follows_every_filter(visit: Visit, tmp_path: Path) -> None:
    """Target, threads, batch, run and host: what is drawn and listed are the rows that fit, fusion included."""
    from dataclasses import replace

    fused = {"before": {"Erf": 2}, "after": {"Gelu": 2}, "patterns": {"gelu": 2}}
    for day, host in ((0, "aaa"), (1, "bbb"), (2, "bbb")):
        found = []
        for provider in ("cpu", "other"):
            for threads in (1, 2):
                for batch in (1, 8):
                    case = outcomes.case("m", "fp32-fused", name=provider, intra_threads=threads, batch=batch)
                    one = report_stores.measured(case, 5.0 + day)
                    assert one.artifact is not None
                    found.append(replace(one, artifact=replace(one.artifact, digest=f"build{day}", fusion=fused)))
        report_stores.write(
            tmp_path / "results", report_stores.run(day, fingerprint=host * 4, host={"name": host}), found
        )
    report_stores.site(tmp_path / "results", tmp_path / "site")
    page = visit.open(tmp_path / "site" / links.model("m"))

    def seen() -> tuple[set[str], set[str], int]:
        drawn = {target for trace in visit.chart("latency") for target in trace["y"][0]}
        listed = {row.split("\t")[1] for row in page.locator("section tr[data-at]:visible").all_inner_texts()}
        return (
            drawn,
            {target for target in listed if "-t" in target},
            page.locator("details[data-rows]:visible").count(),
        )

    eventually(page, ({"cpu-t1-b1", "other-t1-b1"},) * 2, lambda: seen()[:2])
    page.select_option('select[data-facet="target"]', "other")
    page.select_option('select[data-facet="threads"]', "2")
    page.select_option('select[data-facet="batch"]', "8")
    eventually(page, ({"other-t2-b8"}, {"other-t2-b8"}, 1), seen)
    summary = page.locator("details[data-rows]:visible summary").first
    eventually(page, True, lambda: "build2" in summary.inner_text())
    page.select_option('select[data-facet="host"]', "aaa" * 4)
    eventually(page, True, lambda: "build0" in summary.inner_text())
    page.select_option('select[data-facet="run"]', report_stores.run(1).id)
    page.wait_for_selector('[data-chart="latency"] .plot.empty')
    page.locator(".table-box.nothing:visible").first.wait_for()
    eventually(page, True, lambda: page.inner_text("#filter-count").startswith("0 of "))


def test_charts_are_saved_by_keyboard(regressed: Path, visit: Visit) -> None:
    """PNG and SVG, named after page and chart, on a ground of the page's colour."""
    page = visit.open(regressed / links.model("digits_cnn"))
    visit.chart("latency")
    for format_, start in (("png", b"\x89PNG"), ("svg", b"<svg")):
        button = page.locator(f'[data-chart="latency"] button[data-save="{format_}"]')
        button.focus()
        with page.expect_download() as waiting:
            page.keyboard.press("Enter")
        assert f"digits_cnn-latency.{format_}" == waiting.value.suggested_filename
        assert Path(waiting.value.path()).read_bytes().startswith(start)
    assert b"fill: rgb(255, 255, 255)" in Path(waiting.value.path()).read_bytes()


def test_a_search_that_finds_nothing_says_so(visit: Visit, tmp_path: Path) -> None:
    """And what is copied are the lines that are seen."""
    reasons = [f"reason {i}" for i in range(tables.SEARCHABLE + 1)]
    found = [outcomes.refused(outcomes.case("m", said.replace(" ", "")), reason=said) for said in reasons]
    report_stores.write(tmp_path / "results", report_stores.run(), found)
    report_stores.site(tmp_path / "results", tmp_path / "site")
    page = visit.open(tmp_path / "site" / "index.html")
    page.click("#covered summary")
    page.fill("#covered .table-search", "reason 17")
    copied = "harness.tables.text(document.querySelector('#covered table'))"
    eventually(page, 2, lambda: len(page.evaluate(copied).splitlines()))
    page.fill("#covered .table-search", "nonsense")
    eventually(page, 1, page.locator("#covered .table-box.nothing").count)


def test_printing_draws_every_chart(regressed: Path, visit: Visit) -> None:
    """Nobody has scrolled, and one chart has not been asked for: all are on the paper, light, as wide as it is."""
    page = visit.open(regressed / links.model("digits_cnn"))
    page.wait_for_function("Object.keys(harness.received).some(name => name.startsWith('raw/'))")
    page.click("#theme")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    charts = page.locator("[data-chart]").count()
    eventually(page, charts, page.locator("[data-chart][data-drawn] .main-svg:first-child").count)
    assert "light" == page.locator("html").get_attribute("data-theme")
    assert page.evaluate("[...document.querySelectorAll('.plot')].every(plot => plot.layout.width <= 700)")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert "dark" == page.locator("html").get_attribute("data-theme")
    eventually(page, True, lambda: page.evaluate("[...document.querySelectorAll('.plot')].every(p => !p.layout.width)"))


def test_a_host_of_values_alone_shows_them(tmp_path: Path, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a host with samples: no empty charts, but its newest values, open."""
    from dataclasses import replace

    from harness.store.asv import results as asv
    from harness.store.rows import to_row

    monkeypatch.setenv("HOME", str(tmp_path))
    report_stores.history(tmp_path / "results", days=2, slower_from=9)
    for day in range(2):
        of = report_stores.run(day, fingerprint="bbbb" * 3, host={"name": "other"})
        found = [report_stores.measured(case, 5.0) for case in report_stores.matrix()]
        rows = [to_row(of, replace(outcome, started_at=of.started_at)) for outcome in found]
        asv.write(tmp_path / "results", of, rows)
    report_stores.site(tmp_path / "results", tmp_path / "site")
    page = visit.open(tmp_path / "site" / "index.html")
    page.wait_for_selector("#ship", state="visible")
    (other,) = page.eval_on_selector_all(
        "select[data-facet=host] option", "all => all.map(one => one.value).filter(name => name !== '0123456789ab')"
    )
    page.select_option("select[data-facet=host]", other)
    page.wait_for_selector("#ship", state="hidden")
    assert not page.locator("#covered").is_visible()
    assert page.locator("#newest tbody tr:visible").count()
    assert page.get_by_text("values in asv's files only").is_visible()


def test_a_phone_shows_numbers_first(browser: Any, regressed: Path) -> None:
    """What says which row it is takes one column, the number stands beside it, and the edge says that there is more."""
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto((regressed / links.model("digits_cnn")).as_uri())
    table = page.locator("section .table-box", has=page.locator("caption", has_text="Every case"))
    page.wait_for_function("document.querySelectorAll('.scroll.more-right').length")
    number = table.locator("tbody tr:visible").first.locator("td.num").first
    box = number.bounding_box()
    assert box["x"] + box["width"] <= 390
    assert not table.locator("tbody td.lead").first.is_visible()
    assert "cpu-t1-b1" in table.locator("tbody tr:visible td").first.get_attribute("data-under")
    page.close()
