"""Sites of all kinds of stores, read as files; `tests/browser` looks at them as a person does."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from plotly.graph_objects import Figure

from harness.errors import UsageError
from harness.records import Status
from harness.report import links
from harness.store.columns import SCHEMA_KEY
from harness.store.rows import Row
from tests import outcomes, report_stores
from tests.report_stores import measured, pages, run, site, write

HOSTILE = "</script><script>alert(1)</script>\"'&{{7*7}}"


def figures(value: Any) -> Iterator[dict[str, Any]]:
    """Every figure inside a JSON value."""
    if isinstance(value, dict):
        if "data" in value and "layout" in value:
            yield value
        else:
            for entry in value.values():
                yield from figures(entry)


def strict(text: str) -> Any:
    """JSON as every browser reads it: without NaN and infinities, which Python's parser takes."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def drawn(out: Path) -> list[dict[str, Any]]:
    """Every figure of a site."""
    found = []
    for path, content in pages(out).items():
        if path.endswith(".html"):
            scripts = re.findall(r'<script type="application/json" class="figure">(.*?)</script>', content, re.DOTALL)
            found += [strict(text) for text in scripts]
        elif content.startswith("harness.receive("):
            found += figures(strict(f"[{content.removeprefix('harness.receive(').strip().removesuffix(');')}]")[2])
            if path.startswith("data/compare/"):
                body = strict(f"[{content[16:].strip().removesuffix(');')}]")[2]["html"]
                scripts = re.findall(r'class="figure">(.*?)</script>', body, re.DOTALL)
                found += [strict(text) for text in scripts]
    return found


@pytest.fixture(scope="module")
def slower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of two weeks in which a level changed on the tenth day; only to be read."""
    root = tmp_path_factory.mktemp("slower")
    report_stores.history(root / "results", days=14, slower_from=9)
    site(root / "results", root / "site")
    return root / "site"


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of one run; only to be read."""
    root = tmp_path_factory.mktemp("single")
    write(root / "results", run(), [measured(case, 5.0) for case in report_stores.matrix()])
    site(root / "results", root / "site")
    return root / "site"


def test_every_figure_is_one_that_plotly_accepts(slower: Path) -> None:
    """Charts are plain dicts; plotly's own validation finds misspelt keys in every kind of them."""
    found = drawn(slower)
    assert len(found) > 30
    for figure in found:
        Figure(figure)


def test_no_results_yet(tmp_path: Path) -> None:
    """A page says what to run."""
    site(tmp_path / "results", tmp_path / "site")
    assert "harness sweep --results" in pages(tmp_path / "site")["index.html"]


def test_a_damaged_asv_file_is_named(tmp_path: Path) -> None:
    """Nothing can be shown, and the page says which file was left out."""
    (tmp_path / "results" / "vm").mkdir(parents=True)
    (tmp_path / "results" / "vm" / "12345678-env.json").write_text("{}", encoding="utf-8")
    built = site(tmp_path / "results", tmp_path / "site")
    assert "12345678-env.json" in built.problems[0]
    assert "12345678-env.json" in pages(tmp_path / "site")["index.html"]


def test_many_cases_are_made_by_several_processes(tmp_path: Path) -> None:
    """The site is the same file by file, and a second build finds nothing to do."""
    for day in range(2):
        cases = [case for name in ("one", "two", "three") for case in report_stores.matrix(name)[::2]]
        found = [report_stores.measured(case, 5.0 + day) for case in cases]
        report_stores.write(tmp_path / "results", report_stores.run(day), found)
    site(tmp_path / "results", tmp_path / "alone")
    built = site(tmp_path / "results", tmp_path / "site", processes=2, large=1)
    alone, together = pages(tmp_path / "alone"), pages(tmp_path / "site")
    del alone["data/site.js"], together["data/site.js"]  # when it was made
    assert alone == together
    again = site(tmp_path / "results", tmp_path / "site", processes=2, large=1)
    assert built.written + built.kept == again.kept + again.written
    assert again.written <= 1


def test_one_run(single: Path) -> None:
    """There is nothing to compare with, and the pages say so."""
    found = pages(single)
    assert "There is no earlier run" in found["index.html"]
    assert "There is one run only" in found["compare.html"]
    assert "int8-static" in found["index.html"]


def test_only_failures(tmp_path: Path) -> None:
    """Reasons stand in the pages, and nothing is recommended."""
    found = [outcomes.refused(case, Status.FAILED, "the graph does not load") for case in report_stores.matrix()]
    write(tmp_path / "results", run(), found)
    site(tmp_path / "results", tmp_path / "site")
    made = pages(tmp_path / "site")
    assert "the graph does not load" in made["index.html"]
    assert "<b>4</b> failed of 4 cases" in made["index.html"]
    assert "No case has numbers yet" in made["history.html"]
    assert "No case of this model has numbers" in made[links.model("digits_cnn")]


def test_names_are_only_names(tmp_path: Path) -> None:
    """Markup, template syntax, very long, foreign and path-like names arrive as text, in files of the site's own."""
    names = [HOSTILE, "x" * 600, "모델-网络-🚀-ñ", "../../etc/passwd", "a\nb"]
    cases = [outcomes.case(name, variant) for name in names for variant in ("fp32", name)]
    for day in range(2):
        write(tmp_path / "results", run(day), [measured(case, 5.0 + 3 * day) for case in cases])
    site(tmp_path / "results", tmp_path / "site")
    assert not (tmp_path / "etc").exists()
    made = pages(tmp_path / "site")
    assert {*map(links.model, names)} <= made.keys()
    assert not [path for path, content in made.items() if "<script>alert" in content]
    assert "{{7*7}}" in made[links.model(HOSTILE)]


def test_reasons_and_hosts_are_escaped_too(tmp_path: Path) -> None:
    """Whatever a runtime says in an error, or a machine is called."""
    of = run(host={"name": HOSTILE, "cpu": HOSTILE}, versions={"onnxruntime": HOSTILE})
    found = [
        outcomes.refused(report_stores.matrix()[0], Status.FAILED, HOSTILE),
        measured(report_stores.matrix()[1], 5.0),
    ]
    write(tmp_path / "results", of, found)
    site(tmp_path / "results", tmp_path / "site")
    assert not [path for path, content in pages(tmp_path / "site").items() if "<script>alert" in content]


def test_results_of_a_newer_schema_are_named(tmp_path: Path) -> None:
    """The file is left out and the first page says so."""
    import pyarrow.parquet as pq

    write(tmp_path / "results", run(0), [measured(report_stores.matrix()[0], 5.0)])
    newer = write(tmp_path / "results", run(1), [measured(report_stores.matrix()[1], 5.0)])
    table = pq.read_table(newer)
    pq.write_table(table.replace_schema_metadata({SCHEMA_KEY: "99"}), newer)
    built = site(tmp_path / "results", tmp_path / "site")
    assert ["schema version 99" in problem for problem in built.problems] == [True]
    assert "schema version 99" in pages(tmp_path / "site")["index.html"]


def test_a_damaged_file_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    """One broken file does not hide the others."""
    write(tmp_path / "results", run(0), [measured(report_stores.matrix()[0], 5.0)])
    broken = write(tmp_path / "results", run(1), [measured(report_stores.matrix()[1], 5.0)])
    broken.write_bytes(broken.read_bytes()[:200])
    assert "is damaged" in " ".join(site(tmp_path / "results", tmp_path / "site").problems)
    assert links.case(report_stores.matrix()[0].id) in pages(tmp_path / "site")


@pytest.mark.parametrize(
    ("column", "changed"),
    [
        ("latency", {"median_s": math.nan, "ci95_high_s": math.inf}),
        ("latency", {"ci95_low_s": -math.inf}),
        ("fidelity", {"centred_sqnr_db": math.nan}),
        ("session_s", math.inf),
    ],
)
def test_values_that_are_not_finite(tmp_path: Path, column: str, changed: Any) -> None:
    """A file with NaN or infinity, as another tool might store them, is named; what other files hold is shown."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    write(tmp_path / "results", run(0), [measured(case, 5.0) for case in report_stores.matrix()])
    path = write(tmp_path / "results", run(1), [measured(case, 7.0) for case in report_stores.matrix()])
    table = pq.read_table(path)
    records = table.to_pylist()
    records[0][column] = records[0][column] | changed if isinstance(changed, dict) else changed
    pq.write_table(pa.Table.from_pylist(records, schema=table.schema), path)
    (problem,) = site(tmp_path / "results", tmp_path / "site").problems
    assert path.name in problem
    assert f"{column}" in problem
    assert "finite" in problem
    shown = {
        path_: re.sub(r"<script.*?</script>|<[^>]*>", " ", content, flags=re.DOTALL)
        for path_, content in pages(tmp_path / "site").items()
        if path_.endswith(".html")
    }
    assert any("int8-static" in content for content in shown.values())
    for path_, content in shown.items():
        found = re.findall(r"(?i)[^\n]*\b(?:nan|infinity|inf)\b[^\n]*", content)
        assert [] == found, path_
    assert len(drawn(tmp_path / "site")) > 5


def test_nine_hosts(tmp_path: Path) -> None:
    """Every host can be chosen, and hosts are compared with each other, each with one."""
    for host in range(9):
        of = run(host, fingerprint=f"{host:012x}", host={"name": f"host{host}", "cpu": "a CPU"})
        write(tmp_path / "results", of, [measured(case, 5.0 + host) for case in report_stores.matrix()])
    site(tmp_path / "results", tmp_path / "site")
    made = pages(tmp_path / "site")
    assert all(f"host{host} · a CPU" in made["index.html"] for host in range(9))
    assert ">host7 · a CPU" in made["compare.html"]
    assert 9 + 3 > len([path for path in made if path.startswith("data/compare/")])
    assert "There is no earlier run" in made["index.html"]


def test_the_host_that_regressed_is_shown_first(tmp_path: Path) -> None:
    """Also where another host has the newest run."""
    for day, host, level in ((0, "aaa", 5.0), (1, "aaa", 9.0), (2, "bbb", 5.0), (3, "bbb", 5.0)):
        of = run(day, fingerprint=host * 4, host={"name": host})
        write(tmp_path / "results", of, [measured(case, level) for case in report_stores.matrix()])
    site(tmp_path / "results", tmp_path / "site")
    index = pages(tmp_path / "site")["index.html"]
    assert re.search(r'<option value="aaaaaaaaaaaa" selected>aaa[^<]*\(4 slower\)', index)
    tiles = re.findall(
        r'<ul class="tiles" data-facet-host="(\w+)">.*?<b>(\d+)</b> slower.*?<b>0</b> failed of (\d+)', index, re.DOTALL
    )
    assert {("aaaaaaaaaaaa", "4", "4"), ("bbbbbbbbbbbb", "0", "4")} == {*tiles}


def test_a_regression_is_on_the_first_page(slower: Path, tmp_path: Path) -> None:
    """As a change since the run before while it is new, and as a change of level from its third run on."""
    report_stores.history(tmp_path / "new", days=10, slower_from=9)
    site(tmp_path / "new", tmp_path / "a")
    index = pages(tmp_path / "a")["index.html"]
    assert "<b>2</b> slower than the run before" in index
    index = pages(slower)["index.html"]
    assert "<b>0</b> slower than the run before" in index
    assert re.search(
        r"digits_cnn/int8-static/cpu-t1-b1.*?latency.*?\+\d+\.\d%.*?00000008 to 00000009", index, re.DOTALL
    )


def test_seeded_weights_are_always_said(single: Path) -> None:
    """On the first page, the model's and the case's."""
    made = pages(single)
    for path in ("index.html", links.model("digits_cnn"), links.case(report_stores.matrix()[0].id)):
        assert "seeded" in made[path].replace('class="seeded"', ""), path


def test_a_case_outside_its_budget_is_not_recommended(tmp_path: Path) -> None:
    """The fastest build that loses too much is passed over; where all do, the page says why."""

    def worse(row: Row) -> None:
        row["accuracy"] |= {"drop": 0.5 if row["variant"] == "int8-static" else 0.0}

    found = [measured(case, 2.0 if case.recipe.name == "int8-static" else 5.0) for case in report_stores.matrix()]
    write(tmp_path / "results", run(), found, worse)
    site(tmp_path / "results", tmp_path / "site")
    shipped = re.findall(r'<td class="best[^"]*"><a[^>]*>([^<]*)', pages(tmp_path / "site")["index.html"])
    assert ["fp32", "fp32"] == shipped


def test_the_second_build_writes_what_is_new(tmp_path: Path) -> None:
    """Without a new run only the time of making changes; a run whose file was removed is gone, pages included."""
    report_stores.history(tmp_path / "results", days=3)
    first = site(tmp_path / "results", tmp_path / "site")
    second = site(tmp_path / "results", tmp_path / "site")
    assert first.written > 15
    assert second.written <= 1
    gone = write(tmp_path / "results", run(9), [measured(outcomes.case("other"), 5.0)])
    third = site(tmp_path / "results", tmp_path / "site")
    assert 1 < third.written
    assert links.model("other") in pages(tmp_path / "site")
    gone.unlink()
    site(tmp_path / "results", tmp_path / "site")
    made = pages(tmp_path / "site")
    assert links.model("other") not in made
    assert "other" not in made["index.html"]


def test_chosen_sides_come_first(tmp_path: Path) -> None:
    """`--compare` takes commits and runs, several times; others are named with what to do."""
    report_stores.history(tmp_path / "results", days=5)
    old, new = run(1).commit, run(2)
    assert old is not None
    site(tmp_path / "results", tmp_path / "site", compare=[(old[:8], new.id), ("00000003", "00000004")])
    found = re.findall(r'<a href="#before=([^&]*)&amp;after=([^"]*)"', pages(tmp_path / "site")["compare.html"])
    assert [("00000001", new.id), ("00000003", "00000004"), (run(3).id, run(4).id)] == found
    with pytest.raises(UsageError, match="no run, commit"):
        site(tmp_path / "results", tmp_path / "site", compare=[("nonsense", new.id)])


def test_commits_link_to_the_web_only(tmp_path: Path) -> None:
    """A configured address is used; one that would run a script is not."""
    report_stores.history(tmp_path / "results", days=2)
    site(tmp_path / "results", tmp_path / "site", commit_url="https://example.org/commit/")
    assert f'href="https://example.org/commit/{run(1).commit}"' in pages(tmp_path / "site")["index.html"]
    site(tmp_path / "results", tmp_path / "site", commit_url="javascript:alert(1)//")
    assert not [path for path, content in pages(tmp_path / "site").items() if "javascript:" in content]


def test_asv_pages_are_linked_where_they_are(tmp_path: Path) -> None:
    """By a way that stays right when both folders move together."""
    report_stores.history(tmp_path / "results", days=1)
    site(tmp_path / "results", tmp_path / "site", asv=tmp_path / "html")
    assert "own pages" not in pages(tmp_path / "site")["index.html"]
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "index.html").touch()
    site(tmp_path / "results", tmp_path / "site", asv=tmp_path / "html")
    assert 'href="../html/index.html"' in pages(tmp_path / "site")["index.html"]
    assert "own pages" in pages(tmp_path / "site")["index.html"]


def test_nothing_is_loaded_from_elsewhere(slower: Path) -> None:
    """Every script, style sheet and image is the site's own, by a relative way."""
    for path, content in pages(slower).items():
        if path.endswith(".html"):
            loaded = re.findall(r'(?:src|<link[^>]* href)="([^"]+)"', content)
            assert {".js", ".css"} <= {Path(address).suffix for address in loaded}, path
            for address in loaded:
                own = address.startswith("data:,") or ((slower / path).parent / address).is_file()
                assert own, (path, address)
