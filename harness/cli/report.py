"""`harness report`, `harness serve` and `harness plot`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand

from harness import bounds, scratch, shown, special_files
from harness.cli import ending, options
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.report.site import Built, SiteRequest

COMPARE: Final = "--compare"
BETWEEN: Final = "\x1f"
"""Stands between the two sides of a comparison on their way through typer, which knows no list of pairs."""

Compare = Annotated[
    list[str] | None,
    typer.Option(
        COMPARE,
        metavar="BEFORE AFTER",
        help="Compare two runs, revisions, runtimes or hosts; may be given several times.",
        show_default=False,
    ),
]
Since = Annotated[
    str, typer.Option("--since", metavar="REV", help="Leave out what is older than this revision.", show_default=False)
]
Open = Annotated[bool, typer.Option("--open", help="Open it in a browser.")]
HTML = Annotated[
    Path | None,
    typer.Option(
        "--asv-html", metavar="DIR", help="asv's published pages, to link to.", show_default="asv.conf.json's"
    ),
]

SITE = Path("site")
PORT = 8778


class Command(TyperCommand):
    """A verb whose `--compare` takes two words each time."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Bring each pair into one word, which `pairs` takes apart again."""
        found: list[str] = super().parse_args(ctx, list(_joined(args)))
        return found


def report(
    results: options.Results = options.RESULTS,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the site is written.")] = SITE,
    models: options.Models = None,
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

    _check(out, results)
    built = build(_request(results, out, compare, since, asv_html, models=options.names(models)))
    _say(built)
    page = _page(built, compare, results)
    sys.stdout.write(f"{shown.terminal(str(page))}\n")
    if open_:
        browse(page.resolve().as_uri())


def serve(
    results: options.Results = options.RESULTS,
    port: Annotated[
        int,
        typer.Option(
            "--port", min=bounds.PORT.least, max=bounds.PORT.most, help="Port of 127.0.0.1; 0 takes a free one."
        ),
    ] = PORT,
    models: options.Models = None,
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
        page = _page(built, compare, results)
        sys.stdout.write(f"{address}  (Ctrl-C ends it)\n")
        sys.stdout.flush()
        if open_:
            browse(address + (page.name if compare else ""))

    def said(news: str) -> None:
        ending.say(news)

    with scratch.folder("site") as folder:
        listen(
            _request(results, Path(folder) / "site", compare, since, asv_html, models=options.names(models), live=True),
            port,
            ready,
            said,
        )


def plot(
    kind: Annotated[str, typer.Argument(help="What to draw; an unknown kind lists them all.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A .png, .svg, .pdf or .html file.")],
    results: options.Results = options.RESULTS,
    models: options.Models = None,
    variants: options.Variants = None,
    targets: Annotated[
        str | None, typer.Option("--targets", metavar="A,B", help="Targets with threads and batch, or globs: cpu-t1-*.")
    ] = None,
    metric: Annotated[
        str,
        typer.Option(metavar="NAME", help="Of a history: latency, artifact_size, ...", show_default="latency"),
    ] = "",
    host: Annotated[str, typer.Option(metavar="FINGERPRINT", help="Which host.", show_default="the newest run's")] = "",
    runtime: Annotated[
        str,
        typer.Option(
            metavar="RUNTIME",
            help="Of a history or comparison with several: onnxruntime==1.31.1, or 1.31.1.",
            show_default="the newest",
        ),
    ] = "",
    compare: Compare = None,
    since: Since = "",
    width: Annotated[int, typer.Option(min=bounds.PIXELS.least, max=bounds.PIXELS.most, help="Pixels.")] = 900,
    height: Annotated[
        int | None,
        typer.Option(min=bounds.PIXELS.least, max=bounds.PIXELS.most, help="Pixels.", show_default="the chart's own"),
    ] = None,
    scale: Annotated[float, typer.Option(help=f"Pixels of a png per pixel, at most {bounds.SCALE.most}.")] = 2.0,
) -> None:
    """Write one chart for a paper or a slide.

    Example: harness plot accuracy --models digits_cnn --targets cpu-t1-b1 --out pareto.svg
    """
    from harness.report import choice, export
    from harness.report import plot as plots

    export.suffix(out)
    asked = _pairs(compare)
    if len(asked) > 1:
        raise UsageError(f"{COMPARE}: a chart shows one pair, and {len(asked)} were given")
    options.within(scale, "--scale", bounds.SCALE)
    found = plots.plot(
        kind,
        choice.PlotRequest(
            results=results,
            repo=Path.cwd(),
            models=options.names(models),
            variants=options.names(variants),
            targets=options.names(targets),
            metric=metric,
            compare=asked[0] if asked else None,
            since=since,
            host=host,
            runtime=runtime,
        ),
    )
    export.export(found, out, width=width, height=height, scale=scale)
    sys.stdout.write(f"{shown.terminal(str(out))}\n")


def _joined(args: Sequence[str]) -> Iterator[str]:
    rest = iter(args)
    for arg in rest:
        if arg == "--":
            yield arg
            yield from rest
        elif arg == COMPARE or arg.startswith(f"{COMPARE}="):
            sides = [arg.partition("=")[2]] if "=" in arg else []
            while len(sides) < 2:  # noqa: PLR2004  (before and after)
                side = next(rest, "--")
                if side.startswith("--") or not side:
                    raise UsageError(
                        f"{COMPARE} takes two, BEFORE and AFTER: runs, revisions, runtimes or hosts, such as "
                        f"{COMPARE} v1.0 HEAD"
                    )
                sides.append(side)
            yield f"{COMPARE}={BETWEEN.join(sides)}"
        else:
            yield arg


def _pairs(compare: Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    found = (pair.partition(BETWEEN) for pair in compare or ())
    return tuple((before, after) for before, _, after in found)


def _request(
    results: Path,
    out: Path,
    compare: Sequence[str] | None,
    since: str,
    asv_html: Path | None,
    *,
    models: Sequence[str],
    live: bool = False,
) -> SiteRequest:
    from harness.report.repository import configuration
    from harness.report.site import SiteRequest

    if asv_html is not None and not (asv_html / "index.html").is_file():
        raise UsageError(f"--asv-html {asv_html} has no index.html: give the folder that `asv publish` wrote")
    url, html = configuration(Path.cwd())
    return SiteRequest(
        results=results,
        out=out,
        repo=Path.cwd(),
        commit_url=url,
        asv=asv_html or (Path(html) if html else None),
        compare=_pairs(compare),
        since=since,
        live=live,
        models=models,
        processes=os.cpu_count() or 1,
    )


def _check(out: Path, results: Path) -> None:
    """Refuse a place for the site before the work is done.

    Raises:
        UsageError: if it holds the results, or cannot be written.
    """
    if special_files.circle(out):
        raise UsageError(f"--out {out} is a link that leads back to itself: give a folder")
    if out.resolve() == results.resolve() or results.resolve().is_relative_to(out.resolve()):
        raise UsageError(f"--out {out} holds the results: choose another folder")
    there = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        why = "cannot be written" if there.is_dir() else "is a file"
        raise UsageError(f"--out {out}: {there} {why}; choose a folder that can be made and written")


def _page(built: Built, compare: Sequence[str] | None, results: Path) -> Path:
    """What is opened.

    Raises:
        UsageError: if a comparison was asked for and there is nothing to compare.
    """
    page = built.index.with_name("compare.html") if compare else built.index
    if not page.exists():
        raise UsageError(f"{COMPARE}: there are no results under {results}; make some with: harness sweep")
    return page


def _say(built: Built) -> None:
    for problem in built.problems:
        ending.say(f"left out: {problem}")
