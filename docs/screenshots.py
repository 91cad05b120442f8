# ruff: noqa: INP001  (a script, no package)
"""Photograph three pages of a results folder's dashboard for the README.

python docs/screenshots.py results

writes docs/overview.png, docs/model.png and docs/history.png. `--model` names the model that is shown (at first the
one with most cases), `--case` the history (at first one with a change of level, else the one with most points). Pages
that a results folder has nothing for are left as they are, and named.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness.cli.report import report
from harness.report import links

CHROMIUM = "/usr/bin/chromium"
WIDTH, HEIGHT = 1200, 860
FOLDER = Path(__file__).resolve().parent


def main() -> None:
    """The first page, a model's page and a history."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", default=Path("results"))
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the images are written")
    parser.add_argument("--model", help="the model whose page is shown")
    parser.add_argument("--case", default="", help="words that the history's case contains")
    parser.add_argument("--dark", action="store_true", help="in dark colours")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = Path(folder) / "site"
        report(results=options.results, out=site)
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        pages = {
            "overview": site / "index.html",
            "model": _model(site, options.model),
            "history": site / "history.html",
        }
        for name, path in pages.items():
            if path is None or not path.exists():
                sys.stderr.write(f"{name}: {options.results} has nothing to show on it\n")
                continue
            page = browser.new_page(
                viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="dark" if options.dark else "light"
            )
            page.goto(path.as_uri())
            if name == "history":
                _choose(page, options.case)
            page.wait_for_function("window.harness && harness.charts")
            # What is in the picture is drawn once the charts at its top are.
            for box in page.locator("[data-chart]:has(script.figure), #series-view [data-chart]").all():
                place = box.bounding_box()
                if place and place["y"] < HEIGHT:
                    box.locator(".main-svg").first.wait_for()
            page.evaluate("scrollTo(0, 0)")
            page.wait_for_timeout(500)
            page.screenshot(path=options.out / f"{name}.png")
            page.close()
        browser.close()


def _model(site: Path, name: str | None) -> Path | None:
    """The page of a model: the one that was asked for, else the largest."""
    if name is not None:
        return site / links.model(name)
    return max(site.glob("models/*.html"), key=lambda path: path.stat().st_size, default=None)


def _choose(page: Any, words: str) -> None:
    """Open the series that says most: one with a change of level, else the one with most points."""
    rows = page.locator("#history-table tbody tr")
    rows.first.wait_for()
    page.fill("#history-search", words)
    page.check("#history-changed")
    if not rows.count():
        page.uncheck("#history-changed")
        for _ in range(2):  # most points on top
            page.locator('#history-table th[data-key="points"] button').click()
    rows.first.locator("button").click()


if __name__ == "__main__":
    main()
