"""The site on this machine's own address."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.report import pairs, serve, sides
from harness.report.data import load
from harness.report.pages import compare
from harness.report.serve import VERSION, Site, server, state
from harness.report.site import SiteRequest
from tests import outcomes, report_stores


def built(folder: Path) -> Site:
    """A site of one run, built."""
    report_stores.history(folder / "results", days=1)
    found = Site(SiteRequest(results=folder / "results", out=folder / "site", live=True), lambda _: None)
    found.refresh()
    return found


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site of one run."""
    return built(tmp_path)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, str]]:
    """One that no test changes, and where it is served."""
    found = built(tmp_path_factory.mktemp("standing"))
    with served(found) as at:
        yield found, at


class AfterLooks(threading.Event):
    """An end that comes after so many looks, none of which is waited for."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._left = looks

    def wait(self, _: float | None = None) -> bool:
        """Whether it has come."""
        self._left -= 1
        return self._left < 0


@contextlib.contextmanager
def served(site: Site) -> Iterator[str]:
    """Where a site is served."""
    listening = server(site, 0)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    thread.join()
    listening.server_close()


@pytest.fixture
def address(site: Site) -> Iterator[str]:
    """Where it is served."""
    with served(site) as at:
        yield at


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


def test_foreign_names_are_turned_away(standing: tuple[Site, str]) -> None:
    """A web page that has its own name resolve to this machine reads nothing."""
    _, address = standing
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get(f"{address}/", host="evil.example:80")


def test_a_taken_port_is_a_clear_error(standing: tuple[Site, str]) -> None:
    """The message names the port and what to do."""
    site, address = standing
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


def test_a_build_that_fails_keeps_the_site(tmp_path: Path) -> None:
    """What is wrong is said, and the pages stay."""
    said: list[str] = []
    report_stores.history(tmp_path / "results", days=1)
    site = Site(
        SiteRequest(results=tmp_path / "results", out=tmp_path / "site", compare=(("nope", "nope"),)), said.append
    )
    site.watch(AfterLooks(1))
    assert "the site stays as it was" in said[0]


def test_a_build_that_fails_is_said_once_and_tried_again(site: Site, tmp_path: Path) -> None:
    """The pages show why, and a later try that works clears it."""
    said: list[str] = []
    where = tmp_path / "place" / "site"
    where.parent.write_text("a file, where a folder is needed", encoding="utf-8")
    other = Site(dataclasses.replace(site.request, out=where), said.append, retry_s=0.0)
    other.watch(AfterLooks(2))
    (line,) = said
    assert other.error
    assert f"the site stays as it was: {other.error}" == line
    where.parent.unlink()
    assert other.refresh() is not None
    assert "" == other.error


def test_any_two_sides_are_compared_on_demand(site: Site, address: str) -> None:
    """What was not made ahead is made by the same code, once, and anew when results change."""
    results = site.request.results
    for day in (1, 2):
        cases = [report_stores.measured(case, 9.0) for case in report_stores.matrix()]
        report_stores.write(results, report_stores.run(day), cases)
    site.refresh()
    first, _, last = (sides.find(load(results), report_stores.run(day).id) for day in range(3))
    path = f"data/compare/{first.id}-{last.id}.js"
    assert not (site.request.out / path).exists()
    made = get(f"{address}/{path}")
    assert compare.script(load(results), pairs.ComparedPair(before=first, after=last)) == made
    assert "could" not in made
    report_stores.write(results, report_stores.run(2), [report_stores.measured(report_stores.matrix()[0], 9.0)])
    assert made == get(f"{address}/{path}")
    site.refresh()
    assert made != get(f"{address}/{path}")


def test_sides_that_are_gone_are_said(standing: tuple[Site, str]) -> None:
    """The page that asks is older than the results."""
    assert "no longer stored" in get(f"{standing[1]}/data/compare/00000000-11111111.js")


def test_a_page_knows_which_build_it_is_of(standing: tuple[Site, str]) -> None:
    """So that a build between loading it and its first look for news is not missed."""
    _, address = standing
    version = get(address + VERSION).splitlines()[0]
    assert f'harness.site.version="{version}";' in get(f"{address}/data/site.js")


def test_a_results_folder_that_is_missing_may_come(tmp_path: Path) -> None:
    """The first page says what to run; the first run fills it."""
    site = Site(SiteRequest(results=tmp_path / "results", out=tmp_path / "site", live=True), lambda _: None)
    site.refresh()
    index = tmp_path / "site" / "index.html"
    assert "No results yet" in index.read_text(encoding="utf-8")
    report_stores.history(tmp_path / "results", days=1)
    assert site.refresh() is not None
    assert "<h1>Overview</h1>" in index.read_text(encoding="utf-8")


def test_a_mistake_of_ours_ends_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site that no longer follows its results must not look as if it did."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Site, "watch", broken)
    with pytest.raises(ZeroDivisionError):
        serve.serve(
            SiteRequest(results=tmp_path / "results", out=tmp_path / "site"), 0, lambda *_: None, lambda _: None
        )


def test_what_a_rebuilt_site_leaves_out_is_said_once(tmp_path: Path) -> None:
    """A file that cannot be read turns up while the site is served: it is named, and not again with the next run."""
    report_stores.write(tmp_path / "results", report_stores.run(), [report_stores.measured(outcomes.case(), 5.0)])
    said: list[str] = []
    site = Site(SiteRequest(results=tmp_path / "results", out=tmp_path / "site", live=True), said.append)
    site.refresh()
    site.follow_once()
    assert [] == said
    (tmp_path / "results" / "samples" / "20260101T100000Z-bad.parquet").write_bytes(b"no parquet")
    site.follow_once()
    assert 1 == sum(line.startswith("left out: ") and "bad.parquet" in line for line in said)
    report_stores.write(tmp_path / "results", report_stores.run(1), [report_stores.measured(outcomes.case(), 5.0)])
    site.follow_once()
    assert ["results have changed: the site was made anew"] * 2 == [line for line in said if "changed" in line]
    assert 1 == sum(line.startswith("left out: ") for line in said)
    assert "index.html#left-out" in next((tmp_path / "site" / "models").glob("*.html")).read_text(encoding="utf-8")


def test_a_model_that_was_left_out_is_made_when_it_is_asked_for(site: Site, address: str) -> None:
    """The first page leads to it, and to nothing else; its pages are made then, whatever it is called."""
    site.request = dataclasses.replace(site.request, most_cases=1)
    newest = report_stores.measured(outcomes.case("other[1]"), 1.0)
    report_stores.write(site.request.results, report_stores.run(5), [newest])
    site.refresh()
    (href,) = set(re.findall(r'href="(/-/models/[^"]+)"', get(f"{address}/")))
    apart = get(address + href)
    assert "<h1>Overview</h1>" in apart
    assert "digits_cnn" in apart
    assert "other[1]" not in apart
    assert "/-/models" not in apart
    slug = href.split("/")[3]
    made = site.apart(slug)
    assert made is not None
    (made / "index.html").write_text("as it was")
    assert "as it was" == get(address + href)
    report_stores.write(site.request.results, report_stores.run(6), [newest])
    site.refresh()
    assert "<h1>Overview</h1>" in get(address + href)
    for wrong, code in (("/-/models/none-00000000/index.html", 404), (f"/-/models/{slug}/%2e%2e/x.html", 400)):
        with pytest.raises(urllib.error.HTTPError, match=str(code)):
            get(address + wrong)
