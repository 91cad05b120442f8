"""The site on this machine's own address, made anew when results change; any two sides are compared on demand."""

from __future__ import annotations

import errno
import glob
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from harness.errors import HarnessError, UsageError
from harness.report import links, pairs
from harness.report.data import Data
from harness.report.pages import compare
from harness.report.parts import assign, script_json
from harness.report.site import Built, SiteRequest, build
from harness.store import stored_files

HOST: Final = "127.0.0.1"
LOOK_S: Final = 2.0
"""How often the results folder is looked at."""

RETRY_S: Final = 30.0
"""When a build that failed is tried again though results are the same: a disk may have been full."""

MOST_PAIRS: Final = 50
"""Comparisons that are kept in memory."""

IDLE_S: Final = 20.0
"""How long a connection may say nothing."""

MOST_REQUESTS: Final = 64
"""Requests that are answered at once; a browser has six."""

LONGEST_PATH: Final = 2000
"""Characters; the site's own paths have some hundred."""

HOSTS: Final = re.compile(rf"(?:{re.escape(HOST)}|localhost)(?::\d{{1,5}})?")
"""What a request to this machine names as its host."""

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer. Styles are set by plotly, and its pictures are data."""

VERSION: Final = "/-/version"
APART: Final = re.compile(r"/-/models/([\w.-]+)(/.*)")
"""A file of a site that is about one model which the site itself left out."""

PAIR: Final = re.compile(r"/data/compare/([0-9a-f]{8}-[0-9a-f]{8})\.js")


class Site:
    """A site that follows its results.

    Attributes:
        version: changes with every build; pages reload when it does.
        error: why the last build failed; empty where it did not.
    """

    def __init__(self, request: SiteRequest, said: Callable[[str], None], *, retry_s: float = RETRY_S) -> None:
        """Nothing is built yet.

        Args:
            request: what it shows.
            said: hears what came of every change of the results.
            retry_s: how long after a build that failed another one is tried, where nothing has changed.
        """
        self.request = request
        self.said = said
        self._retry_s = retry_s
        self.version = 0
        self.error = ""
        self._seen: object = None
        self._tried = 0.0
        self._told: set[str] = set()
        self._lock = threading.Lock()
        self._data: Data | None = None
        self._made: dict[str, str] = {}
        self._more: dict[str, str] = {}
        self._apart: dict[str, int] = {}
        self._making = threading.Lock()

    def refresh(self) -> Built | None:
        """Build, if results have changed since the last time; what came of it, or None.

        Only finished runs count: making a site beside a sweep would disturb what it measures.

        Raises:
            UsageError, StoreError: as `harness.report.site.build`.
        """
        now = state(self.request.results)
        again = bool(self.error) and time.monotonic() - self._tried > self._retry_s
        if now == self._seen and not again:
            return None
        self._seen, self._tried = now, time.monotonic()
        built = build(self.request)
        with self._lock:
            self._data = None
            self._made.clear()
            self._more = {links.slug(name): name for name in built.more}
        if not self.version:
            self._told = set(built.problems)  # whoever started this says them
        self.version += 1
        self.error = ""
        return built

    def watch(self, stop: threading.Event) -> None:
        """Follow the results until `stop` is set; a build that fails leaves the site as it was."""
        while not stop.wait(LOOK_S):
            self.follow_once()

    def follow_once(self) -> None:
        """Look at the results, and say what came of it."""
        try:
            built = self.refresh()
        except HarnessError as error:
            if self.error != str(error):
                self.said(f"the site stays as it was: {error}")
            self.error = str(error)
            return
        if built is not None:
            self.said("results have changed: the site was made anew")
            self._tell(built)

    def _tell(self, built: Built) -> None:
        """Say what was left out and was not said before."""
        for problem in built.problems:
            if problem not in self._told:
                self.said(f"left out: {problem}")
        self._told = set(built.problems)

    def pair(self, identity: str) -> str:
        """The script of a pair that was not made ahead, or one that says why there is none."""
        with self._lock:
            if identity not in self._made:
                try:
                    made = self._compared(identity)
                except HarnessError as error:
                    return assign("pairs", identity, {"problem": str(error)})
                if len(self._made) >= MOST_PAIRS:
                    self._made.clear()
                self._made[identity] = made
            return self._made[identity]

    def apart(self, slug: str) -> Path | None:
        """The folder of the site of a model that was left out, made of the results as they are; None for any other.

        Raises:
            UsageError, StoreError: as `harness.report.site.build`.
        """
        name = self._more.get(slug)
        if name is None:
            return None
        out = self.request.out.parent / "models" / slug
        with self._making:
            version = self.version
            if self._apart.get(slug) != version:
                build(replace(self.request, out=out, models=(glob.escape(name),), compare=(), live=False))
                self._apart[slug] = version
        return out

    def _compared(self, identity: str) -> str:
        request = self.request
        if self._data is None:
            self._data = request.read()
        pair = pairs.pair_of(self._data, identity)
        if pair is None:
            raise UsageError("one of the two is no longer stored: load this page again")
        return compare.script(self._data, pair)


def state(results: Path) -> tuple[tuple[str, int, int], ...]:
    """What tells one state of the results from another: names, sizes and times of finished runs and asv's files."""
    found = []
    for path in sorted([*stored_files.finished_files(results), *results.glob("*/*.json"), *results.glob("*.json")]):
        try:
            stat = path.stat()
        except OSError:
            continue
        found.append((str(path), stat.st_size, stat.st_mtime_ns))
    return tuple(found)


class Handler(SimpleHTTPRequestHandler):
    """Files of the site, its version, and pairs on demand; to nobody but this machine, and to no other site in it.

    Data are scripts with names that can be guessed, and a script may be loaded from anywhere: what another site asks
    for is refused by what the browser says of the request, and what it may do with an answer by the answer's headers.
    """

    extensions_map = {  # noqa: RUF012  (http.server's own way; what the system thinks of .js is not asked)
        **SimpleHTTPRequestHandler.extensions_map,
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".json": "application/json",
        ".svg": "image/svg+xml",
    }

    def __init__(self, *arguments: Any, site: Site, idle_s: float = IDLE_S, **more: Any) -> None:
        """For one request."""
        self.site, self._idle_s = site, idle_s
        super().__init__(*arguments, directory=str(site.request.out), **more)

    def setup(self) -> None:
        """Before the request is read."""
        super().setup()
        self.connection.settimeout(self._idle_s)

    def do_GET(self) -> None:
        """Answer."""
        self._answer(super().do_GET)

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self._answer(super().do_HEAD)

    def _only_get(self) -> None:
        """Nothing here can be changed."""
        if self._own():
            self.send_error(405, "this site is only read: GET and HEAD")

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _only_get  # noqa: N815  (the names that http.server calls)

    def end_headers(self) -> None:
        """Nothing is kept by the browser: the next build may differ; and nothing is for other sites."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def list_directory(self, path: Any) -> None:  # noqa: ARG002
        """A folder without a page has nothing to show."""
        self.send_error(404, "there is no such page")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the name that http.server calls)
        """Requests are nobody's news."""

    def _answer(self, file: Callable[[], None]) -> None:
        """Answer with what is made on demand, or with a file."""
        if not self._own():
            return
        path = self.path.partition("?")[0]
        if why := malformed(path):
            self.send_error(400, why)
            return
        pair, of_model = PAIR.fullmatch(path), APART.fullmatch(path)
        if of_model:
            self._answer_apart(of_model[1], of_model[2], file)
        elif path == VERSION:
            self._say(f"{self.site.version}\n{self.site.error}", "text/plain")
        elif path == "/data/site.js":
            known = (self.site.request.out / "data" / "site.js").read_text(encoding="utf-8")
            self._say(f"{known}harness.site.version={script_json(str(self.site.version))};\n", "text/javascript")
        elif pair and not (self.site.request.out / path[1:]).is_file():
            self._say(self.site.pair(pair[1]), "text/javascript")
        else:
            file()

    def _answer_apart(self, slug: str, path: str, file: Callable[[], None]) -> None:
        """Answer with a file of the site of one model."""
        try:
            folder = self.site.apart(slug)
        except HarnessError as error:
            self.site.said(f"the site of {slug} was not made: {error}")
            self.send_error(503, "this site could not be made; the terminal says why")
            return
        if folder is None:
            self.send_error(404, "there is no such page")
            return
        self.directory, self.path = str(folder), path
        file()

    def _own(self) -> bool:
        """Whether the request came by this machine's own name, and from no other site.

        A foreign name that resolves to us is an attack. Old browsers do not say where a request comes from; their
        scripts are kept from an answer by its headers.
        """
        host, *more = self.headers.get_all("Host") or [""]
        if more or HOSTS.fullmatch(host) is None:
            self.send_error(403, "this site is for its own machine")
            return False
        origin = self.headers.get("Origin")
        foreign = origin is not None and origin != f"http://{host}"  # another port is another site
        if foreign or self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            self.send_error(403, "another site asked for this; type the address to see it")
            return False
        return True

    def _say(self, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def malformed(path: str) -> str:
    """Why a path, as it was sent, can be of no file of a site; empty where it may be."""
    if len(path) > LONGEST_PATH:
        return "this path is too long"
    try:
        names = unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return "this path is not UTF-8"
    if not path.startswith("/"):
        return "a path begins with /"
    if not names.isprintable() or "\\" in names or ".." in names.split("/"):
        return "this path is of no page"
    return ""


class Server(ThreadingHTTPServer):
    """Answers every request in a thread of its own, so many of them at once."""

    def __init__(self, *arguments: Any, most: int = MOST_REQUESTS) -> None:
        """Listen."""
        self._free = threading.BoundedSemaphore(most)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer, or end a connection that is one too many."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer in this thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves before its answer is there, or never asks for one, is not an error."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def server(site: Site, port: int, *, idle_s: float = IDLE_S, most: int = MOST_REQUESTS) -> Server:
    """A server that is ready to answer.

    Args:
        site: what it shows.
        port: 0 takes any free one.
        idle_s: how long a connection may say nothing.
        most: requests that are answered at once.

    Raises:
        UsageError: if the port is taken or not allowed.
    """
    try:
        return Server((HOST, port), partial(Handler, site=site, idle_s=idle_s), most=most)
    except OSError as error:
        why = "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise UsageError(f"--port {port} {why}; choose another, or 0 for any free one") from error


def serve(request: SiteRequest, port: int, ready: Callable[[str, Built], None], said: Callable[[str], None]) -> None:
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
    wrong: list[BaseException] = []

    def follow() -> None:
        try:
            site.watch(stop)
        except BaseException as error:  # noqa: BLE001  (raised again where it is seen: a site that follows no more lies)
            wrong.append(error)
            listening.shutdown()

    try:
        built = site.refresh()
        assert built is not None  # noqa: S101  (nothing was seen before)
        ready(f"http://{HOST}:{listening.server_port}/", built)
        threading.Thread(target=follow, daemon=True).start()
        listening.serve_forever()
    finally:
        stop.set()
        listening.server_close()
    if wrong:
        raise wrong[0]


def browse(address: str) -> None:
    """Open an address in the user's browser, where there is one."""
    import webbrowser

    if not webbrowser.open(address):
        sys.stderr.write(f"harness: no browser was found; open {address}\n")
