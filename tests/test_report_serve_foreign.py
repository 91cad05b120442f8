"""The served site against everybody who is not the browser of its own machine."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.report import serve
from harness.report.serve import HEADERS, Site, malformed, server
from harness.report.site import SiteRequest

HIDDEN = "measured on a secret model"
PAIR = "/data/compare/00000000-11111111.js"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of a server of a site that was made by hand, with a file beside its folder that nobody may read."""
    root = tmp_path_factory.mktemp("served")
    site = root / "site"
    (site / "data").mkdir(parents=True)
    (site / "index.html").write_text(f"<h1>{HIDDEN}</h1>", encoding="utf-8")
    (site / "data" / "site.js").write_text(f'harness.site = {{"name": "{HIDDEN}"}};', encoding="utf-8")
    (root / "outside.txt").write_text(HIDDEN, encoding="utf-8")
    made = Site(SiteRequest(results=root / "results", out=site, live=True), lambda _: None)
    listening = server(made, 0)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield listening.server_port
    listening.shutdown()
    thread.join()
    listening.server_close()


def ask(port: int, path: str, *, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of an answer; `Host` is right where it is not given."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": f"127.0.0.1:{port}", **headers}.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return (
            answer.status,
            {name.title(): value for name, value in answer.getheaders()},
            answer.read().decode("utf-8", "replace"),
        )
    finally:
        connection.close()


def raw(port: int, request: bytes) -> bytes:
    """What comes back for bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while part := connection.recv(65536):
            found += part
    return found


@pytest.mark.parametrize("path", ["/", "/index.html", "/data/site.js", serve.VERSION, PAIR])
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "script"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "of the future"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Host": "127.0.0.1:80@evil.example"},
        {"Host": ""},
        {"Host": "localhost.evil"},
        {"Host": "[::1]"},
    ],
    ids=lambda one: "-".join(one.values()) or "none",
)
def test_other_sites_read_nothing(port: int, path: str, headers: dict[str, str]) -> None:
    """Whatever they ask for, by whichever way a browser does it."""
    for method in ("GET", "HEAD", "POST"):
        status, answered, body = ask(port, path, method=method, **headers)
        assert 403 == status
        assert HIDDEN not in body
        assert "same-origin" == answered["Cross-Origin-Resource-Policy"]


@pytest.mark.parametrize("headers", [{}, {"Sec_Fetch_Site": "none"}, {"Sec_Fetch_Site": "same-origin"}])
@pytest.mark.parametrize("origin", [False, True])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost:9000"])
def test_its_own_pages_do(port: int, headers: dict[str, str], origin: bool, host: str) -> None:
    """Typed, followed inside the site, through a tunnel, or by something else than a browser."""
    headers = headers | ({"Origin": f"http://{host}"} if origin else {})
    status, answered, body = ask(port, "/data/site.js", Host=host, **headers)
    assert (200, True) == (status, HIDDEN in body)
    assert "text/javascript; charset=utf-8" == answered["Content-Type"]
    assert HEADERS.items() <= answered.items()


@pytest.mark.parametrize(
    "path",
    [
        "/%00", "/data/%00.js", "/%0d%0aX-Evil:1", "/%ff", "/%c0%af", "/../outside.txt", "/%2e%2e/outside.txt",
        "/data/..%2f..%2foutside.txt", "/..%2f", "/..%5coutside.txt", "http://evil.example/", "*",
        f"/{'a' * 3000}", "/%1b[31m", "/%E2%80%AE",
    ],
)  # fmt: skip
def test_malformed_paths_are_bad_requests(port: int, path: str) -> None:
    """In plain words, with nothing of the path in the answer, and the server goes on."""
    status, answered, body = ask(port, path)
    assert 400 == status
    assert HIDDEN not in body
    assert "X-Evil" not in answered
    assert 200 == ask(port, "/")[0]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60))
def test_any_path_is_a_page_or_a_mistake(port: int, tail: bytes) -> None:
    """No bytes end the server, list a folder or leave it."""
    path = b"/" + tail.replace(b" ", b"").replace(b"\r", b"").replace(b"\n", b"")
    found = raw(port, b"GET " + path + b" HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
    status = int(found.split(b" ", 2)[1])
    assert status in (200, 301, 400, 403, 404, 414)
    assert status == 200 or HIDDEN.encode() not in found


@given(st.text(max_size=40))
def test_what_is_malformed_is_known_without_a_server(text: str) -> None:
    """Only printable text without a way up is a path."""
    assert malformed(text) or text.startswith("/")
    assert malformed(f"/{text}\0")
    assert malformed(f"/{text}/../x")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(port: int, method: str) -> None:
    """Methods that would are not allowed."""
    assert 405 == ask(port, "/", method=method)[0]


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "get", "<script>"])
def test_methods_that_nobody_has(port: int, method: str) -> None:
    """They are unknown, and not repeated as markup."""
    status, _, body = ask(port, "/", method=method)
    assert 501 == status
    assert "<script>" not in body


@pytest.mark.parametrize("path", ["/", "/data/site.js", serve.VERSION, PAIR, "/nothing"])
def test_head_is_get_without_a_body(port: int, path: str) -> None:
    """The same status and length."""
    got, asked = ask(port, path), ask(port, path, method="HEAD")
    assert got[0] == asked[0]
    assert "" == asked[2]
    assert got[1].get("Content-Length") == asked[1].get("Content-Length")
    assert got[1]["Content-Type"] == asked[1]["Content-Type"]


@pytest.mark.parametrize("wanted", ["bytes=0-3", "bytes=-1", "bytes=9-1", "bytes=0-0,2-2", "lines=1"])
def test_a_part_is_answered_with_the_whole(port: int, wanted: str) -> None:
    """As HTTP allows; never with a wrong part."""
    status, _, body = ask(port, "/", Range=wanted)
    assert (200, f"<h1>{HIDDEN}</h1>") == (status, body)


def test_folders_are_not_listed(port: int) -> None:
    """What is in them is nobody's business."""
    assert 404 == ask(port, "/data/")[0]


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9\r\n\r\n",
        b"\x16\x03\x01\x02",
        b"GET /" + b"a" * 70_000,
        b"GET /\r\n",
    ],
)
def test_what_is_not_http_reads_nothing(port: int, request_: bytes) -> None:
    """Nor does it end the server."""
    assert HIDDEN.encode() not in raw(port, request_)
    assert 200 == ask(port, "/")[0]


def test_two_hosts(port: int) -> None:
    """Nobody is to choose the one that suits."""
    hosts = b"Host: 127.0.0.1\r\nHost: evil.example\r\n"
    assert b" 403 " in raw(port, b"GET / HTTP/1.0\r\n" + hosts + b"\r\n").splitlines()[0]


def test_too_many_headers(port: int) -> None:
    """They are refused."""
    lines = b"".join(b"X-%d: 1\r\n" % number for number in range(200))
    assert b" 431 " in raw(port, b"GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n" + lines + b"\r\n").splitlines()[0]


def test_clients_that_say_nothing_leave_room_for_others(tmp_path: Path) -> None:
    """They are closed after a while, and those that are too many at once; then the site answers again."""
    (tmp_path / "index.html").write_text(HIDDEN, encoding="utf-8")
    listening = server(Site(SiteRequest(results=tmp_path, out=tmp_path), lambda _: None), 0, idle_s=0.2, most=3)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        silent = [socket.create_connection(("127.0.0.1", listening.server_port), timeout=120) for _ in range(8)]
        silent[0].sendall(b"GET / HTT")
        for one in silent:
            assert b"" == _rest(one)
        assert 200 == ask(listening.server_port, "/")[0]
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def _rest(connection: socket.socket) -> bytes:
    with connection:
        try:
            return connection.recv(100)
        except ConnectionResetError:
            return b""
