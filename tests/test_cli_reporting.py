"""`harness report` and `harness plot` as they are typed."""

from __future__ import annotations

from tests import report_stores
from tests.conftest import Project


def test_report_and_plot(project: Project) -> None:
    """The page's path is printed; choices that cannot be are errors with exit code 2."""
    report_stores.history(project.root / "results", days=2)
    assert "site/index.html\n" == project.run("report")
    assert (project.root / "site" / "static" / "plotly.min.js").is_file()
    assert "pages/compare.html\n" == project.run(
        "report", "--out", "pages", "--compare", report_stores.run(0).id, report_stores.run(1).id
    )
    assert "no run and no commit" in project.error("report", "--compare", "a", "b")
    assert "holds the results" in project.error("report", "--out", ".")
    assert "available: accuracy" in project.error("plot", "nothing", "--out", "chart.svg")
    assert "must end with" in project.error("plot", "latency", "--out", "chart.bmp")
