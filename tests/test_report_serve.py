"""The site on this machine's own address."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.report.serve import VERSION, Site, server, state
from harness.report.site import Request
from tests import outcomes, report_stores


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site of one run, built."""
    report_stores.history(tmp_path / "results", days=1)
    found = Site(Request(results=tmp_path / "results", out=tmp_path / "site", live=True), lambda _: None)
    found.refresh()
    return found


@pytest.fixture
def address(site: Site) -> Iterator[str]:
    """Where it is served."""
    listening = server(site, 0)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    thread.join()
    listening.server_close()


def get(address: str, host: str | None = None) -> str:
    """A page."""
    request = urllib.request.Request(address, headers={} if host is None else {"Host": host})  # noqa: S310  (our own server)
    with urllib.request.urlopen(request) as answer:  # noqa: S310  (ditto)
        found: bytes = answer.read()
    return found.decode()


def test_it_serves_the_site_and_its_version(site: Site, address: str) -> None:
    """The version changes with the results, and only then."""
    assert "<h1>Overview</h1>" in get(f"{address}/")
    before = get(address + VERSION)
    assert site.refresh() is None
    assert before == get(address + VERSION)
    report_stores.write(site.request.results, report_stores.run(3), [report_stores.measured(outcomes.case(), 9.0)])
    assert site.refresh() is not None
    assert before != get(address + VERSION)


def test_foreign_names_are_turned_away(address: str) -> None:
    """A web page that has its own name resolve to this machine reads nothing."""
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get(f"{address}/", host="evil.example:80")


def test_a_taken_port_is_a_clear_error(site: Site, address: str) -> None:
    """The message names the port and what to do."""
    port = int(address.rpartition(":")[2])
    with pytest.raises(UsageError, match=f"--port {port} is taken.*or 0"):
        server(site, port)


def test_a_sweep_that_runs_is_not_disturbed(site: Site) -> None:
    """Cases of an unfinished run make no new build."""
    before = state(site.request.results)
    parts = site.request.results / "samples" / "run.parts"
    parts.mkdir()
    (parts / "0.parquet").write_bytes(b"x")
    assert before == state(site.request.results)


def test_a_build_that_fails_keeps_the_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong is said, and the pages stay."""
    said: list[str] = []
    report_stores.history(tmp_path / "results", days=1)
    site = Site(Request(results=tmp_path / "results", out=tmp_path / "site", compare=("nope", "nope")), said.append)
    turns = iter([False, True])
    stop = threading.Event()
    monkeypatch.setattr(stop, "wait", lambda _: next(turns))
    site.watch(stop)
    assert "the site stays as it was" in said[0]
