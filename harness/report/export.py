"""A figure as a file: HTML by plotly, images by kaleido or by a browser that is installed."""

from __future__ import annotations

import base64
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

from harness import processes
from harness.errors import UsageError
from harness.report.figures.base import Figure
from harness.report.parts import script_json, spelled
from harness.report.render import plotly

FORMATS: Final = ("png", "svg", "pdf", "html")
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
TIMEOUT_S: Final = 120

LIGHT: Final = {
    "paper_bgcolor": "#ffffff",
    "plot_bgcolor": "#ffffff",
    "font": {"color": "#1c2128"},
}
AXIS: Final = {"gridcolor": "#e8ebef", "linecolor": "#d5dae1", "zerolinecolor": "#d5dae1"}


def suffix(path: Path) -> str:
    """The format that a file's name asks for.

    Raises:
        UsageError: if it is none of `FORMATS`.
    """
    found = path.suffix.lower().removeprefix(".")
    if found not in FORMATS:
        raise UsageError(f"--out {path}: its name must end with one of {', '.join('.' + name for name in FORMATS)}")
    return found


def export(figure: Figure, path: Path, *, width: int, height: int | None, scale: float) -> None:
    """Write a figure.

    Args:
        figure: as the chart functions return it.
        path: its suffix chooses the format.
        width: in pixels.
        height: in pixels; None takes the figure's own.
        scale: pixels of a png per pixel of the figure.

    Raises:
        UsageError: if the format is not known, nothing can draw an image, or the file cannot be written.
    """
    kind = suffix(path)
    ready = printable(figure, width, height)
    data = html(ready) if kind == "html" else image(ready, kind, scale)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(
            f"--out {path} cannot be written: {error.strerror or error}; give a file in a folder that can be written"
        ) from error


def printable(figure: Figure, width: int, height: int | None) -> Figure:
    """The figure with colours for paper, of a fixed size, every trace shown once in the legend, and no buttons."""
    layout = {**figure["layout"], **LIGHT, "width": width}
    layout["font"] = figure["layout"].get("font", {}) | LIGHT["font"]
    layout["height"] = height or layout["height"]
    layout.pop("updatemenus", None)
    layout |= {name: AXIS | value for name, value in layout.items() if re.fullmatch(r"[xy]axis\d*", name)}
    named: set[str] = set()
    traces = []
    for trace in figure["data"]:
        group = (trace.get("meta") or {}).get("legend")
        traces.append(trace if group is None else trace | {"showlegend": group not in named})
        named |= {group} if group else set()
    return {"data": traces, "layout": layout}


def html(figure: Figure) -> bytes:
    """One file with the library inside, which opens without a network."""
    from plotly.graph_objects import Figure as Validated

    text: str = Validated(spelled(figure)).to_html(include_plotlyjs=True, config={"displaylogo": False})
    return text.encode()


def image(figure: Figure, kind: str, scale: float) -> bytes:
    """A png, svg or pdf.

    Raises:
        UsageError: if neither kaleido nor a browser can draw it.
    """
    import logging

    problem = "kaleido is not installed"
    # What its driver of the browser logs beside a drawing that succeeds is not worth a line; what fails is raised.
    logging.getLogger("choreographer").setLevel(logging.CRITICAL)
    try:
        from plotly.graph_objects import Figure as Validated

        drawn: bytes = Validated(spelled(figure)).to_image(format=kind, scale=scale)
    except ImportError:
        pass
    except (ValueError, RuntimeError, OSError) as error:
        problem = f"kaleido: {' '.join(str(error).split())[:200]}"
    else:
        return drawn
    browser = find_browser()
    if browser is None:
        raise UsageError(
            f"--out: a {kind} needs something that draws it ({problem}): `pip install kaleido` and install Chromium or "
            "Chrome (Debian: apt-get install chromium), or write an .html file, which needs neither"
        )
    return by_browser(browser, figure, kind, scale)


def find_browser() -> str | None:
    """A Chromium-like browser on this machine; `BROWSER_PATH` names another one."""
    named = os.environ.get("BROWSER_PATH")
    return named if named and Path(named).is_file() else next(filter(None, map(shutil.which, BROWSERS)), None)


def by_browser(browser: str, figure: Figure, kind: str, scale: float) -> bytes:
    """The same from a headless browser alone.

    Raises:
        UsageError: if it does not answer with an image.
    """
    width, height = figure["layout"]["width"], figure["layout"]["height"]
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "figure.html"
        (Path(folder) / "plotly.min.js").write_bytes(plotly())
        # The image takes the page's place as text, because --dump-dom is the one way out that needs no protocol.
        wanted = "png" if kind == "png" else "svg"
        after = (
            "document.body.textContent=url"
            if kind != "pdf"
            else "document.body.innerHTML='<img style=\"display:block\">';document.images[0].src=url"
        )
        page.write_text(
            f"<!doctype html><meta charset='utf-8'><style>@page{{size:{width}px {height}px;margin:0}}body{{margin:0}}"
            f"</style><body><div id='f'></div><script src='plotly.min.js'></script><script>"
            f"Plotly.newPlot('f',{script_json(figure)}).then(f=>Plotly.toImage(f,{{format:'{wanted}',"
            f"width:{width},height:{height},scale:{scale}}})).then(url=>{{{after}}})</script>",
            encoding="utf-8",
        )
        pdf = Path(folder) / "figure.pdf"
        way = ["--dump-dom"] if kind != "pdf" else [f"--print-to-pdf={pdf}", "--no-pdf-header-footer"]
        root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        command = [browser, "--headless", "--disable-gpu", *root, "--virtual-time-budget=20000", *way, page.as_uri()]
        done = processes.run(command, deadline_s=TIMEOUT_S)
        if done.returncode in (processes.TIMED_OUT, processes.NOT_STARTED):
            why = done.stderr.decode(errors="replace")
            raise UsageError(f"--out: {browser} could not draw the figure: {why}")
        if kind == "pdf":
            if not pdf.is_file():
                raise UsageError(f"--out: {browser} made no pdf: {done.stderr.decode(errors='replace')[-300:]}")
            return pdf.read_bytes()
        return _decoded(done.stdout.decode(errors="replace"), browser)


def _decoded(page: str, browser: str) -> bytes:
    from html import unescape
    from urllib.parse import unquote_to_bytes

    found = re.search(r"data:image/(png;base64|svg\+xml),([^<]+)", page)
    if not found:
        raise UsageError(f"--out: {browser} did not draw the figure; write an .html file and save it from there")
    text = unescape(found[2]).strip()
    return base64.b64decode(text) if "base64" in found[1] else unquote_to_bytes(text)
