# ruff: noqa: INP001  (a script, no package)
"""Photograph three pages of a site for the README.

harness report --out site && python docs/screenshots.py site
"""

from __future__ import annotations

import sys
from pathlib import Path

CHROMIUM = "/usr/bin/chromium"
WIDTH, HEIGHT = 1200, 860
FOLDER = Path(__file__).resolve().parent


def main() -> None:
    """The first page, a model's page and a history, each as docs/<name>.png."""
    from playwright.sync_api import sync_playwright

    site = Path(sys.argv[1]).resolve()
    model = next(iter(sorted(site.glob("models/*.html"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        for name, path in (("overview", site / "index.html"), ("model", model), ("history", site / "history.html")):
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            page.goto(path.as_uri())
            if name == "history":
                page.check("#history-changed")
                if not page.locator("#history-table tbody tr").count():
                    page.uncheck("#history-changed")
                page.locator("#history-table tbody button").first.click()
            # What is in the picture is drawn once the charts at its top are.
            page.locator("[data-drawn]").first.wait_for()
            page.wait_for_load_state("networkidle")
            page.evaluate("scrollTo(0, 0)")
            page.wait_for_timeout(500)
            page.screenshot(path=FOLDER / f"{name}.png")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
