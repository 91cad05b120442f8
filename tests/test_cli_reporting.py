"""`harness report`, `harness serve` and `harness plot` as they are typed."""

from __future__ import annotations

import signal
import socket
import urllib.request
from pathlib import Path

import pytest

from tests import report_stores
from tests.conftest import Project


def test_report_and_plot(project: Project) -> None:
    """The page's path is printed; choices that cannot be are errors with exit code 2."""
    report_stores.history(project.root / "results", days=3)
    assert "site/index.html\n" == project.run("report")
    assert (project.root / "site" / "static" / "plotly-cartesian.min.js").is_file()
    first, second, third = (report_stores.run(day).id for day in range(3))
    asked = ("--compare", first, second, f"--compare={first}", third)
    assert "pages/compare.html\n" == project.run("report", "--out", "pages", *asked)
    page = (project.root / "pages" / "compare.html").read_text(encoding="utf-8")
    links = [page.index(f"#before={first}&amp;after={other}") for other in (second, third)]
    assert sorted(links) == links
    assert "no run, commit, runtime or host" in project.error("report", "--compare", "a", "b")
    assert "holds the results" in project.error("report", "--out", ".")
    assert "available: accuracy" in project.error("plot", "nothing", "--out", "chart.svg")
    assert "must end with" in project.error("plot", "latency", "--out", "chart.bmp")


def test_wrong_values_are_said(project: Project) -> None:
    """What is wrong, and what would do; nothing is written."""
    (project.root / "file").touch()
    (project.root / "full").mkdir()
    (project.root / "full" / "mine.txt").touch()
    (project.root / "results" / "samples").mkdir(parents=True)
    assert "--compare takes two, BEFORE and AFTER" in project.error("report", "--compare", "a", "--open")
    assert "--compare takes two, BEFORE and AFTER" in project.error("report", "--compare")
    assert "--compare: there are no results under results" in project.error("report", "--compare", "a", "b")
    assert "--out file/site: " in (said := project.error("report", "--out", "file/site"))
    assert "is a file; choose a folder" in said
    assert "holds files that are not a report" in project.error("report", "--out", "full")
    assert "--since v1: " in project.error("report", "--since", "v1")
    assert "--asv-html full has no index.html" in project.error("report", "--asv-html", "full")
    twice = ("--compare", "a", "b", "--compare", "c", "d")
    assert "a chart shows one pair, and 2 were given" in project.error("plot", "ratios", "--out", "a.svg", *twice)
    assert ["mine.txt"] == [path.name for path in (project.root / "full").iterdir()]


@pytest.mark.parametrize(
    "command",
    [
        ("results",),
        ("history", "digits_cnn"),
        ("report",),
        ("compare",),
        ("gate", "--history"),
        ("sweep", "net.onnx"),
        ("examples", "digits_cnn/fp32@cpu-t1-b1"),
        ("plot", "latency", "--out", "chart.svg"),
    ],
)
def test_a_file_is_no_place_for_results(project: Project, command: tuple[str, ...]) -> None:
    """Whatever reads or writes results says so, rather than that there are none."""
    (project.root / "file").touch()
    assert "--results file is a file: give the folder" in project.error(*command, "--results", "file")


def test_serve(project: Project) -> None:
    """It says where it is, answers, and Ctrl-C ends it without a trace; a taken port is named."""
    process = project.start("serve", "--port", "0")
    assert process.stdout is not None
    address = process.stdout.readline().split()[0]
    with urllib.request.urlopen(address) as answer:  # noqa: S310  (our own server)
        assert b"No results yet" in answer.read()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert (130, "") == (process.returncode, out)
    assert "Traceback" not in err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"--port {port} is taken by another program" in project.error("serve", "--port", port)


def test_without_a_browser_an_image_says_what_to_install(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither kaleido nor a Chromium on the PATH; HTML still works."""
    report_stores.history(project.root / "results", days=1)
    hidden = tmp_path / "hidden"
    (hidden / "kaleido").mkdir(parents=True)
    (hidden / "kaleido" / "__init__.py").write_text("raise ImportError('hidden')", encoding="utf-8")
    for name, value in (("PATH", str(hidden)), ("PYTHONPATH", str(hidden)), ("BROWSER_PATH", "")):
        monkeypatch.setenv(name, value)
    arguments = ("plot", "latency", "--models", "digits_cnn", "--out")
    process = project.start(*arguments, "chart.png")  # what is hidden here is hidden from a new process only
    _, said = process.communicate(timeout=300)
    assert 2 == process.returncode
    assert "a png needs something that draws it" in said
    assert "write an .html file, which needs neither" in said
    assert not (project.root / "chart.png").exists()
    assert "chart.html\n" == project.run(*arguments, "chart.html")
