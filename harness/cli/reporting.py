"""`harness report`, `harness serve` and `harness plot`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.report.site import Built, Request

Compare = Annotated[
    tuple[str, str] | None,
    typer.Option("--compare", metavar="BEFORE AFTER", help="Compare two runs or revisions.", show_default=False),
]
Since = Annotated[str, typer.Option("--since", metavar="REV", help="Leave out what is older than this revision.")]
Open = Annotated[bool, typer.Option("--open", help="Open it in a browser.")]
HTML = Annotated[
    Path | None,
    typer.Option(
        "--asv-html", metavar="DIR", help="asv's published pages, to link to.", show_default="asv.conf.json's"
    ),
]

SITE = Path("site")
PORT = 8778


def report(
    results: options.Results = options.RESULTS,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the site is written.")] = SITE,
    compare: Compare = None,
    since: Since = "",
    asv_html: HTML = None,
    open_: Open = False,
) -> None:
    """Write the dashboard: a static site that opens from a file, a CI artifact or any web server.

    Example: harness report --compare v1.0 HEAD --open
    """
    from harness.report.serve import browse
    from harness.report.site import build

    built = build(_request(results, out, compare, since, asv_html))
    _say(built)
    page = built.index.with_name("compare.html") if compare else built.index
    sys.stdout.write(f"{page}\n")
    if open_:
        browse(page.resolve().as_uri())


def serve(
    results: options.Results = options.RESULTS,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port of 127.0.0.1; 0 takes a free one.")
    ] = PORT,
    compare: Compare = None,
    since: Since = "",
    asv_html: HTML = None,
    open_: Open = False,
) -> None:
    """Show the dashboard on this machine, and make it anew whenever a run is finished.

    Example: harness serve --open
    """
    from harness.report.serve import browse
    from harness.report.serve import serve as listen

    def ready(address: str, built: Built) -> None:
        _say(built)
        sys.stdout.write(f"{address}  (Ctrl-C ends it)\n")
        sys.stdout.flush()
        if open_:
            browse(address + ("compare.html" if compare else ""))

    def said(news: str) -> None:
        sys.stderr.write(f"harness: {news}\n")

    with tempfile.TemporaryDirectory(prefix="harness-site-") as folder:
        listen(_request(results, Path(folder) / "site", compare, since, asv_html, live=True), port, ready, said)


def plot(
    kind: Annotated[str, typer.Argument(help="What to draw; an unknown kind lists them all.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A .png, .svg, .pdf or .html file.")],
    results: options.Results = options.RESULTS,
    models: options.Models = None,
    variants: options.Variants = None,
    targets: Annotated[
        str | None, typer.Option("--targets", metavar="A,B", help="Targets with threads and batch, or globs: cpu-t1-*.")
    ] = None,
    metric: Annotated[str, typer.Option(metavar="NAME", help="Of a history: latency, artifact_size, ...")] = "latency",
    host: Annotated[str, typer.Option(metavar="FINGERPRINT", help="Which host.", show_default="the newest run's")] = "",
    compare: Compare = None,
    since: Since = "",
    width: Annotated[int, typer.Option(min=100, max=10000, help="Pixels.")] = 900,
    height: Annotated[
        int | None, typer.Option(min=100, max=10000, help="Pixels.", show_default="the chart's own")
    ] = None,
    scale: Annotated[float, typer.Option(min=0.1, max=10, help="Pixels of a png per pixel.")] = 2.0,
) -> None:
    """Write one chart for a paper or a slide.

    Example: harness plot accuracy --models digits_cnn --targets cpu-t1-b1 --out pareto.svg
    """
    from harness.report import export
    from harness.report import plot as plots

    export.suffix(out)
    found = plots.plot(
        kind,
        plots.Wish(
            results=results,
            repo=Path.cwd(),
            models=options.names(models),
            variants=options.names(variants),
            targets=options.names(targets),
            metric=metric,
            compare=compare,
            since=since,
            host=host,
        ),
    )
    export.export(found, out, width=width, height=height, scale=scale)
    sys.stdout.write(f"{out}\n")


def _request(
    results: Path, out: Path, compare: tuple[str, str] | None, since: str, asv_html: Path | None, *, live: bool = False
) -> Request:
    from harness.report.repository import configuration
    from harness.report.site import Request

    if out.resolve() == results.resolve() or results.resolve().is_relative_to(out.resolve()):
        raise UsageError(f"--out {out} holds the results: choose another folder")
    url, html = configuration(Path.cwd())
    return Request(
        results=results,
        out=out,
        repo=Path.cwd(),
        commit_url=url,
        asv=asv_html or (Path(html) if html else None),
        compare=compare,
        since=since,
        live=live,
        processes=os.cpu_count() or 1,
    )


def _say(built: Built) -> None:
    for problem in built.problems:
        sys.stderr.write(f"harness: left out: {problem}\n")
