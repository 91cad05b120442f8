"""Single charts as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from plotly.graph_objects import Figure

from harness.errors import UsageError
from harness.report import export
from harness.report.plot import KINDS, Wish, plot
from tests import report_stores

ONE = {"timeline", "history"}
"""Kinds that show a single case."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history with a change in its last run."""
    found = tmp_path_factory.mktemp("store") / "results"
    report_stores.history(found, days=10, slower_from=9)
    return found


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in {"fusion", "batch"}])
def test_every_kind_is_a_figure(results: Path, kind: str) -> None:
    """Drawn from what is stored, and accepted by plotly."""
    wish = Wish(
        results=results,
        variants=("int8-static",) if kind in ONE else (),
        targets=("cpu-t1-b1",) if kind in ONE else (),
    )
    found = plot(kind, wish)
    assert found["data"]
    Figure(found)


def test_nothing_to_draw_is_said(results: Path) -> None:
    """A batch that was never varied, a kind, model or metric that is not there."""
    for kind, wish, said in (
        ("batch", Wish(results=results), "nothing to draw"),
        ("parato", Wish(results=results), "no such kind"),
        ("latency", Wish(results=results, models=("digit_cnn",)), "did you mean 'digits_cnn'"),
        ("history", Wish(results=results, metric="latncy"), "did you mean 'latency'"),
        ("timeline", Wish(results=results), "shows one case"),
        ("latency", Wish(results=results / "none"), "harness sweep"),
    ):
        with pytest.raises(UsageError, match=said):
            plot(kind, wish)


def test_a_suffix_chooses_the_format(results: Path, tmp_path: Path) -> None:
    """Others are refused before anything is drawn."""
    with pytest.raises(UsageError, match=r"\.png, \.svg, \.pdf, \.html"):
        export.suffix(tmp_path / "chart.gif")
    figure = plot("latency", Wish(results=results))
    export.export(figure, tmp_path / "new" / "chart.html", width=800, height=None, scale=1)
    assert "Plotly.newPlot" in (tmp_path / "new" / "chart.html").read_text(encoding="utf-8")


def test_without_anything_that_draws_the_message_says_what_to_install(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither kaleido nor a browser: HTML still works, and that is said."""

    def missing(*_: object, **__: object) -> bytes:
        raise ValueError("Image export requires the Kaleido package")

    monkeypatch.setattr(Figure, "to_image", missing)
    monkeypatch.setattr(export, "find_browser", lambda: None)
    figure = plot("latency", Wish(results=results))
    with pytest.raises(UsageError, match=r"pip install kaleido.*\.html"):
        export.export(figure, tmp_path / "chart.png", width=800, height=None, scale=1)
    assert not (tmp_path / "chart.png").exists()


@pytest.mark.skipif(export.find_browser() is None, reason="no Chromium is installed: apt-get install chromium")
@pytest.mark.parametrize(("kind", "begins"), [("png", b"\x89PNG"), ("svg", b"<svg"), ("pdf", b"%PDF")])
def test_a_browser_alone_is_enough(results: Path, kind: str, begins: bytes) -> None:
    """Without kaleido a headless browser draws every format."""
    browser = export.find_browser()
    assert browser is not None
    figure = export.printable(plot("latency", Wish(results=results)), 640, 400)
    assert export.by_browser(browser, figure, kind, 1.0).startswith(begins)


def test_on_paper_a_legend_names_each_once(results: Path) -> None:
    """Lines of one variant in several settings share an entry, and buttons are left out."""
    figure = export.printable(plot("threads", Wish(results=results)), 640, None)
    named = [trace["name"] for trace in figure["data"] if trace.get("showlegend")]
    assert ["fp32", "int8-static"] == sorted(named)
    timeline = Wish(results=results, variants=("fp32",), targets=("cpu-t1-b1",))
    assert "updatemenus" not in export.printable(plot("timeline", timeline), 640, None)["layout"]
