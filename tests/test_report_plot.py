"""Single charts as files."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from plotly.graph_objects import Figure

from harness.errors import UsageError
from harness.report import export
from harness.report.choice import PlotRequest
from harness.report.data import Data, load
from harness.report.plot import KINDS, plot
from harness.store.asv import results as asv
from harness.store.rows import Row, to_row
from tests import report_stores

ONE = {"timeline", "history"}
"""Kinds that show a single case."""

ALL = report_stores.matrix()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history with a change in its last run."""
    found = tmp_path_factory.mktemp("store") / "results"
    report_stores.history(found, days=10, slower_from=9)
    return found


@pytest.fixture(scope="module")
def read(results: Path) -> Data:
    """What is read of that history."""
    return load(results)


def test_what_can_be_drawn_instead_is_named(tmp_path: Path) -> None:
    """A model without labels has a fidelity and no accuracy."""

    def unlabelled(row: Row) -> None:
        row["accuracy"] = None

    report_stores.write(
        tmp_path, report_stores.run(), [report_stores.measured(report_stores.matrix()[0], 1.0)], unlabelled
    )
    with pytest.raises(UsageError, match="has no accuracy, and can be drawn by: harness plot fidelity"):
        plot("accuracy", PlotRequest(results=tmp_path))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in {"fusion", "batch"}])
def test_every_kind_is_a_figure(results: Path, read: Data, kind: str) -> None:
    """Drawn from what is stored, and accepted by plotly."""
    request = PlotRequest(
        results=results,
        variants=("int8-static",) if kind in ONE else (),
        targets=("cpu-t1-b1",) if kind in ONE else (),
    )
    found = KINDS[kind](read, request)
    assert found is not None
    assert found["data"]
    Figure(found)


def test_nothing_to_draw_is_said(results: Path) -> None:
    """A batch that was never varied, a kind, model or metric that is not there."""
    for kind, request, said in (
        ("batch", PlotRequest(results=results), "nothing to draw"),
        ("parato", PlotRequest(results=results), "no such kind"),
        ("latency", PlotRequest(results=results, models=("digit_cnn",)), "did you mean 'digits_cnn'"),
        ("history", PlotRequest(results=results, metric="latncy"), "did you mean 'latency'"),
        ("timeline", PlotRequest(results=results), "shows one case"),
        ("latency", PlotRequest(results=results / "none"), "harness sweep"),
    ):
        with pytest.raises(UsageError, match=said):
            plot(kind, request)


def test_a_suffix_chooses_the_format(results: Path, tmp_path: Path) -> None:
    """Others are refused before anything is drawn."""
    with pytest.raises(UsageError, match=r"\.png, \.svg, \.pdf, \.html"):
        export.suffix(tmp_path / "chart.gif")
    figure = plot("latency", PlotRequest(results=results))
    export.export(figure, tmp_path / "new" / "chart.html", width=800, height=None, scale=1)
    assert "Plotly.newPlot" in (tmp_path / "new" / "chart.html").read_text(encoding="utf-8")


def test_without_anything_that_draws_the_message_says_what_to_install(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither kaleido nor a browser: HTML still works, and that is said."""

    def missing(*_: object, **__: object) -> bytes:
        raise ValueError("Image export requires the Kaleido package")

    monkeypatch.setattr(Figure, "to_image", missing)
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    monkeypatch.setenv("PATH", os.devnull)  # where no browser lies
    figure = plot("latency", PlotRequest(results=results))
    with pytest.raises(UsageError, match=r"pip install kaleido.*\.html"):
        export.export(figure, tmp_path / "chart.png", width=800, height=None, scale=1)
    assert not (tmp_path / "chart.png").exists()


@pytest.mark.skipif(export.find_browser() is None, reason="no Chromium is installed: apt-get install chromium")
@pytest.mark.parametrize(("kind", "begins"), [("png", b"\x89PNG"), ("svg", b"<svg"), ("pdf", b"%PDF")])
def test_a_browser_alone_is_enough(results: Path, kind: str, begins: bytes) -> None:
    """Without kaleido a headless browser draws every format."""
    browser = export.find_browser()
    assert browser is not None
    figure = export.printable(plot("latency", PlotRequest(results=results)), 640, 400)
    assert export.by_browser(browser, figure, kind, 1.0).startswith(begins)


def test_on_paper_a_legend_names_each_once(results: Path) -> None:
    """Lines of one variant in several settings share an entry, and buttons are left out."""
    figure = export.printable(plot("threads", PlotRequest(results=results)), 640, None)
    named = [trace["name"] for trace in figure["data"] if trace.get("showlegend")]
    assert ["fp32", "int8-static"] == sorted(named)
    timeline = PlotRequest(results=results, variants=("fp32",), targets=("cpu-t1-b1",))
    assert "updatemenus" not in export.printable(plot("timeline", timeline), 640, None)["layout"]


def test_options_that_a_kind_does_not_take_are_refused(results: Path) -> None:
    """What would be ignored in silence is a mistake, and the message says which kinds take it."""
    for kind, request, said in (
        ("latency", PlotRequest(results=results, compare=("a", "b")), "changes and ratios show two"),
        ("latency", PlotRequest(results=results, metric="artifact_size"), "--metric: .*history does"),
        ("ratios", PlotRequest(results=results, compare=("a", "b")), "--compare a: no run, commit, runtime or host"),
        (
            "ratios",
            PlotRequest(
                results=results,
                runtime="1.0",
            ),
            r"--runtime 1\.0: .*available: onnxruntime-gpu==1\.31\.1",
        ),
        ("history", PlotRequest(results=results, host="f"), "--host f: available: 0123456789ab"),
        ("history", PlotRequest(results=results), "shows one case: .*4 fit"),
        ("ratios", PlotRequest(results=results, variants=("fp16",)), "--variants fp16: .*available: fp32, int8-static"),
    ):
        with pytest.raises(UsageError, match=said):
            plot(kind, request)


def test_nothing_changed_is_said(tmp_path: Path) -> None:
    """There is nothing to draw, and another kind draws every ratio; with one run there is nothing at all."""
    report_stores.history(tmp_path, days=1)
    with pytest.raises(UsageError, match="has one run only: choose two sides with --compare"):
        plot("ratios", PlotRequest(results=tmp_path))
    report_stores.history(tmp_path, days=2)
    with pytest.raises(UsageError, match=r"none of 4 cases changed .*plot ratios"):
        plot("changes", PlotRequest(results=tmp_path))


def test_values_of_asv_alone_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Histories and ratios of a fresh clone; kinds that need samples say so."""
    monkeypatch.setenv("HOME", str(tmp_path))
    results = tmp_path / "results"
    for day, level in enumerate((5.0, 8.0)):
        of = report_stores.run(day)
        found = [replace(report_stores.measured(case, level), started_at=of.started_at) for case in ALL]
        asv.write(results, of, [to_row(of, outcome) for outcome in found])
    one = PlotRequest(results=results, variants=("fp32",), targets=("cpu-t1-*",))
    (trace,) = plot("history", one)["data"]
    assert [5.0, 8.0] == pytest.approx(trace["y"])
    assert "error_y" in trace
    assert len(plot("ratios", PlotRequest(results=results))["data"][0]["z"]) == 2
    assert plot("changes", PlotRequest(results=results))["data"]
    with pytest.raises(UsageError, match="values in asv's files and no samples; from those history, changes, ratios"):
        plot("latency", PlotRequest(results=results))


def test_the_newest_runtime_is_drawn_or_the_one_that_is_asked_for(tmp_path: Path) -> None:
    """Never two runtimes in one line."""
    for day, version in enumerate(("1.30.0", "1.31.0", "1.30.0", "1.31.0")):
        of = report_stores.run(day, versions={"onnxruntime": version})
        report_stores.write(tmp_path, of, [report_stores.measured(ALL[0], 5.0 + day)])
    assert [6.0, 8.0] == pytest.approx(plot("history", PlotRequest(results=tmp_path))["data"][-1]["y"])
    older = PlotRequest(results=tmp_path, runtime="onnxruntime==1.30.0")
    assert [5.0, 7.0] == pytest.approx(plot("history", older)["data"][-1]["y"])


def test_a_file_that_cannot_be_written_is_said(results: Path, tmp_path: Path) -> None:
    """The message names --out, and what would do."""
    (tmp_path / "file").touch()
    (tmp_path / "folder.html").mkdir()
    figure = plot("latency", PlotRequest(results=results))
    for path in (tmp_path / "file" / "chart.html", tmp_path / "folder.html"):
        with pytest.raises(UsageError, match=r"--out .* cannot be written: .*; give a file in a folder"):
            export.export(figure, path, width=800, height=None, scale=1)


@pytest.mark.parametrize("kind", ["spread", "ecdf", "placement", "latency"])
def test_models_are_never_mixed_under_one_name(tmp_path: Path, kind: str) -> None:
    """Lines are named by variant and target, so a chart shows one model."""
    cases = [*report_stores.matrix("one"), *report_stores.matrix("two")]
    report_stores.write(tmp_path, report_stores.run(), [report_stores.measured(case, 5.0) for case in cases])
    with pytest.raises(UsageError, match="shows one model: choose with --models; available: one, two"):
        plot(kind, PlotRequest(results=tmp_path))
    assert plot(kind, PlotRequest(results=tmp_path, models=("one",)))["data"]


def test_a_fusion_is_of_one_artifact(tmp_path: Path) -> None:
    """The first of several would be drawn without a word."""

    def fused(row: Row) -> None:
        row["fusion"] = {"before": {"Conv": 2, "Relu": 1}, "after": {"Conv": 2}, "patterns": {}}

    found = [report_stores.measured(case, 5.0) for case in ALL]
    report_stores.write(tmp_path, report_stores.run(), found, fused)
    with pytest.raises(UsageError, match=r"shows one artifact: .*digits_cnn/fp32, digits_cnn/int8-static"):
        plot("fusion", PlotRequest(results=tmp_path))
    assert plot("fusion", PlotRequest(results=tmp_path, variants=("fp32",)))["data"]
