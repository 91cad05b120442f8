"""The site on this machine's own address, made anew when results change."""

from __future__ import annotations

import errno
import sys
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from harness.errors import HarnessError, UsageError
from harness.report.site import Built, Request, build

HOST: Final = "127.0.0.1"
LOOK_S: Final = 2.0
"""How often the results folder is looked at."""

VERSION: Final = "/-/version"


class Site:
    """A site that follows its results.

    Attributes:
        version: changes with every build; pages reload when it does.
        error: why the last build failed; empty where it did not.
    """

    def __init__(self, request: Request, said: Callable[[str], None]) -> None:
        self.request = request
        self.said = said
        self.version = 0
        self.error = ""
        self.seen: object = None

    def refresh(self) -> Built | None:
        """Build, if results have changed since the last time; what came of it, or None.

        Only finished runs count: making a site beside a sweep would disturb what it measures.
        """
        now = state(self.request.results)
        if now == self.seen:
            return None
        self.seen = now
        built = build(self.request)
        self.version += 1
        return built

    def watch(self, stop: threading.Event) -> None:
        """Follow the results until `stop` is set; a build that fails leaves the site as it was."""
        while not stop.wait(LOOK_S):
            try:
                if self.refresh() is not None:
                    self.said("results have changed: the site was made anew")
            except HarnessError as error:
                self.said(f"the site stays as it was: {error}")


def state(results: Path) -> tuple[tuple[str, int, int], ...]:
    """What tells one state of the results from another: names, sizes and times of finished runs and asv's files."""
    found = []
    for path in sorted([*results.glob("samples/*.parquet"), *results.glob("*/*.json"), *results.glob("*.json")]):
        try:
            stat = path.stat()
        except OSError:
            continue
        found.append((str(path), stat.st_size, stat.st_mtime_ns))
    return tuple(found)


class Handler(SimpleHTTPRequestHandler):
    """Files of the site, and its version; to nobody but this machine."""

    def __init__(self, *arguments: Any, site: Site, **more: Any) -> None:
        self.site = site
        super().__init__(*arguments, directory=str(site.request.out), **more)

    def do_GET(self) -> None:
        """Answer."""
        host = (self.headers.get("Host") or "").rpartition(":")[0]
        if host not in {HOST, "localhost"}:
            self.send_error(403, "this site is for its own machine")  # a foreign name that resolves to us is an attack
            return
        if self.path != VERSION:
            super().do_GET()
            return
        body = str(self.site.version).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        """Nothing is kept by the browser: the next build may differ."""
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the name that http.server calls)
        """Requests are nobody's news."""


def server(site: Site, port: int) -> ThreadingHTTPServer:
    """A server that is ready to answer.

    Args:
        site: what it shows.
        port: 0 takes any free one.

    Raises:
        UsageError: if the port is taken or not allowed.
    """
    try:
        return ThreadingHTTPServer((HOST, port), partial(Handler, site=site))
    except OSError as error:
        why = "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise UsageError(f"--port {port} {why}; choose another, or 0 for any free one") from error


def serve(request: Request, port: int, ready: Callable[[str, Built], None], said: Callable[[str], None]) -> None:
    """Show the site until Ctrl-C.

    Args:
        request: with `live`.
        port: 0 takes any free one.
        ready: called with the address and the first build.
        said: called with news.

    Raises:
        UsageError, StoreError: as `harness.report.site.build`, or if the port is taken.
    """
    site = Site(request, said)
    listening = server(site, port)
    stop = threading.Event()
    try:
        built = site.refresh()
        assert built is not None  # noqa: S101  (nothing was seen before)
        ready(f"http://{HOST}:{listening.server_port}/", built)
        threading.Thread(target=site.watch, args=(stop,), daemon=True).start()
        listening.serve_forever()
    finally:
        stop.set()
        listening.server_close()


def browse(address: str) -> None:
    """Open an address in the user's browser, where there is one."""
    import webbrowser

    if not webbrowser.open(address):
        sys.stderr.write(f"harness: no browser was found; open {address}\n")
