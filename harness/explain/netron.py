"""Netron's pages on this machine alone: the files of its Python package, and one model.

Netron's own server is not used, because its pages ask other hosts and the user about cookies: here every answer forbids
the page to ask anybody but this server, and says that the question about cookies is answered.
"""

from __future__ import annotations

import datetime as dt
import errno
import importlib.util
import re
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

from harness.errors import MissingExtra, UsageError

HOST = "127.0.0.1"
HOSTS = re.compile(rf"(?:{re.escape(HOST)}|localhost)(?::\d{{1,5}})?")
"""What a request to this machine names as its host; a page of another site that resolves here names its own."""

KINDS = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".png": "image/png",
    ".ico": "image/x-icon", ".json": "application/json", ".svg": "image/svg+xml", ".pb": "application/octet-stream",
}  # fmt: skip

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' blob:; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; object-src 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer."""

MODEL = "/data/model.onnx"


def folder() -> Path:
    """Where Netron's pages are.

    Raises:
        MissingExtra: it is not installed.
    """
    found = importlib.util.find_spec("netron")
    places = list(found.submodule_search_locations or ()) if found else []
    if not places or not (Path(places[0]) / "index.html").is_file():
        raise MissingExtra("harness view needs Netron: pip install 'onnx-harness[view]'")
    return Path(places[0])


def index(page: str, name: str) -> str:
    """Netron's first page, which opens the model by itself, however old the package is."""
    meta = [
        '<meta name="type" content="Python">',
        '<meta name="version" content="0.0.0">',  # of what is not packaged: Netron then reports to nobody
        f'<meta name="file" content="{MODEL}">',
        f'<meta name="name" content="{name}.onnx">',
    ]
    today = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
    page = re.sub(r'<meta name="date" content=".*?">', f'<meta name="date" content="{today}">', page, count=1)
    return re.sub(r'<meta name="version" content=".*?">', lambda _: "\n".join(meta), page, count=1)


class NetronHandler(BaseHTTPRequestHandler):
    """Answers with Netron's files and the model."""

    def __init__(self, *given: object, pages: Path, model: Path, name: str) -> None:
        self._pages, self._model, self._name = pages, model, name
        super().__init__(*given)  # type: ignore[arg-type]

    def do_GET(self) -> None:  # the name that http.server calls
        """Answer."""
        if not HOSTS.fullmatch(self.headers.get("Host") or ""):
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"this server answers 127.0.0.1 alone")
            return
        path = unquote(urlparse(self.path).path)
        if path == MODEL:
            self._send(HTTPStatus.OK, "application/octet-stream", self._model.read_bytes())
            return
        name = "index.html" if path == "/" else path.removeprefix("/")
        file = self._pages / name
        kind = KINDS.get(file.suffix)
        if "/" in name or "\\" in name or kind is None or not file.is_file():
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"404")
            return
        content = file.read_bytes()
        if name == "index.html":
            content = index(content.decode(), self._name).encode()
        self._send(HTTPStatus.OK, kind, content)

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        for key, value in HEADERS.items():
            self.send_header(key, value)
        self.send_header("Set-Cookie", "consent=answered; SameSite=Strict; Path=/")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *given: object) -> None:
        """Nothing is logged."""


def server(model: Path, name: str, port: int, *, pages: Path | None = None) -> ThreadingHTTPServer:
    """A server that is ready to answer.

    Args:
        model: the file to show.
        name: what Netron calls it.
        port: 0 takes any free one.
        pages: the folder of Netron's own; where none is given, it is looked for.

    Raises:
        MissingExtra: Netron is not installed.
        UsageError: the port is taken or not allowed.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name)
    try:
        handler = partial(NetronHandler, pages=pages or folder(), model=model, name=plain)
        return ThreadingHTTPServer((HOST, port), handler)
    except OSError as error:
        why = "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise UsageError(f"--port {port} {why}; choose another, or 0 for any free one") from error


def show(model: Path, name: str, port: int, ready: Callable[[str], None]) -> None:
    """Show a model until Ctrl-C.

    Raises:
        MissingExtra, UsageError: as `server`.
    """
    listening = server(model, name, port)
    try:
        ready(f"http://{HOST}:{listening.server_port}/")
        listening.serve_forever()
    finally:
        listening.server_close()
