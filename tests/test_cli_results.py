"""`harness results`: which rows, which columns, in which order and format."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness import units, zoo
from harness.cli import result_columns
from tests import outcomes, report_stores
from tests.conftest import Project


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two models of two variants on two thread counts, from 8 ms downwards, and a case that failed."""
    root = tmp_path_factory.mktemp("stored")
    cases = [*report_stores.matrix("digits_cnn"), *report_stores.matrix("tiny")]
    found = [report_stores.measured(one, 8.0 - place) for place, one in enumerate(cases)]
    broken = outcomes.refused(outcomes.case("tiny", "int4"))
    report_stores.write(root / "results", report_stores.run(), [*found, broken])
    return Project(root)


def csv_of(text: str) -> list[dict[str, str]]:
    """The lines of a CSV file."""
    return list(csv.DictReader(io.StringIO(text)))


def test_the_answer_stands_last(stored: Project) -> None:
    """What has no number is above the builds to ship, which are one block for all models."""
    out = stored.run("results")
    assert out.index("failed tiny/int4/cpu-t1-b1: it broke") < out.index("Builds to ship")
    heads, *ship = out.partition("Builds to ship: the fastest inside the budget\n")[2].splitlines()
    assert ["case", "p50", "speed-up", "state", "against", "good enough by"] == re.split(" {2,}", heads)
    assert 4 == len(ship)
    assert {line.split()[0] for line in ship} == {
        f"{model}/int8-static/cpu-t{threads}-b1" for model in ("digits_cnn", "tiny") for threads in (1, 2)
    }


@pytest.mark.parametrize("columns", ["60", "80", "100"])
def test_lines_of_tables_fit(stored: Project, columns: str) -> None:
    """On a pipe, `COLUMNS` is what there is room for; the columns that are left out are named."""
    lines = replace(stored, columns=columns).run("results").splitlines()
    rows = [line for line in lines if " ms" in line or line.startswith(("variant", "case"))]
    assert 15 == len(rows)
    assert all(len(line) <= int(columns) for line in rows)
    (said,) = [line for line in lines if line.startswith("no room for: ")]
    assert "throughput" in said


def test_a_pipe_has_room_for_all(stored: Project) -> None:
    """Nothing is left out for a width that nobody has."""
    out = replace(stored, columns="").run("results")
    assert "no room for" not in out
    heads = next(line for line in out.splitlines() if line.startswith("variant"))
    assert all(name in heads for name in ("throughput", "processes", "date", "run"))
    assert "125/s" in out


def test_chosen_columns_in_a_chosen_order(stored: Project) -> None:
    """One table with the columns that were named; what has no value stands last, in both directions."""
    asked = ("results", "--columns", "case,p50,throughput,latency.n", "--sort")
    out = stored.run(*asked, "p50").splitlines()
    assert ["case", "p50", "[95%", "interval]", "throughput", "latency.n"] == out[0].split()
    assert "tiny/int8-static/cpu-t2-b1" == out[1].split()[0]
    assert "tiny/int4/cpu-t1-b1" == out[-1].split()[0]
    out = stored.run(*asked, "-p50").splitlines()
    assert "digits_cnn/fp32/cpu-t1-b1" == out[1].split()[0]
    assert "tiny/int4/cpu-t1-b1" == out[-1].split()[0]


def test_chosen_columns_hold_numbers_for_programs(stored: Project) -> None:
    """CSV and JSON have what tables show, as plain numbers; Markdown has the table."""
    asked = ("results", "--columns", "case,p50,throughput,speed-up", "--models", "tiny", "--sort", "p50")
    first = json.loads(stored.run(*asked, "--json"))[0]
    assert {"case": "tiny/int8-static/cpu-t2-b1", "p50": 0.001, "throughput": 1000.0, "speed-up": 3.0} == first
    assert {name: str(value) for name, value in first.items()} == csv_of(stored.run(*asked, "--format", "csv"))[0]
    assert stored.run(*asked, "--json") == stored.run(*asked, "--format", "json")
    lines = stored.run(*asked, "--format", "markdown").splitlines()
    assert "| case | p50 \\[95% interval\\] | throughput | speed-up |" == lines[0]
    assert "| --- | ---: | ---: | ---: |" == lines[1]
    assert lines[2].startswith("| tiny/int8-static/cpu-t2-b1 | 1.00 ms ")


@pytest.mark.parametrize("format_", ["csv", "json", "markdown", "table"])
def test_rows_are_chosen_in_every_format(stored: Project, format_: str) -> None:
    """By model, variant and target, by name or glob."""
    out = stored.run("results", "-m", "ti*", "--variants", "int8-*", "--targets", "*-t2-*", "--format", format_)
    assert "tiny" in out
    assert not any(word in out for word in ("digits_cnn", "fp32/", "cpu-t1-b1", "it broke"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-m", "nothing*"), "--models nothing*: no such model in results; available: digits_cnn, tiny"),
        (("-m", "digits_cn"), "did you mean 'digits_cnn'?"),
        (("--variants", "int8_static"), "did you mean 'int8-static'?"),
        (("--targets", "cpu"), "--targets cpu: no such target in results; "),
        (("-m", "digits_cnn", "--variants", "int4"), "--models digits_cnn --variants int4: nothing in results is all"),
        (("--columns", "p5"), "--columns: no column 'p5'; did you mean 'p50'?"),
        (("--columns", "latency.median"), "did you mean 'latency.median_s'?"),
        (("--columns", "processes.samples_ns"), "--columns: no column"),
        (("--columns", "case,case"), "case stands there twice"),
        (("--sort", "fast"), "--sort: no column 'fast'"),
        (("--format", "xml"), "--format xml: available: table, csv, json, markdown"),
        (("--json", "--format", "csv"), "--json is short for --format json"),
    ],
)
def test_names_that_fit_nothing_are_an_error(stored: Project, arguments: tuple[str, ...], said: str) -> None:
    """With exit code 2, and the names that are near."""
    assert said in stored.error("results", *arguments)


def test_a_selection_has_the_speedups_and_choices_of_the_whole(stored: Project) -> None:
    """Without the baseline's row the speed-up stays, and a slower build is not called the one to ship."""
    asked = ("results", "--models", "tiny", "--targets", "cpu-t1-b1", "--columns", "variant,speed-up", "--format")
    (whole,) = [row for row in csv_of(stored.run(*asked, "csv")) if row["variant"] == "int8-static"]
    (alone,) = csv_of(stored.run(*asked, "csv", "--variants", "int8-static"))
    assert whole == alone
    assert alone["speed-up"]
    for format_ in ("table", "markdown"):
        out = stored.run("results", "--models", "tiny", "--variants", "fp32", "--format", format_)
        assert "int8-static" in out
        assert "digits_cnn" not in out


@pytest.mark.parametrize("option", ["--columns", "--sort"])
def test_a_column_of_several_values_is_refused_where_one_is_needed(stored: Project, option: str) -> None:
    """Neither a dictionary in a cell nor an order by its text; JSON has it whole."""
    assert "that holds several values; choose one of latency.median_s, " in stored.error("results", option, "latency")
    (first, *_) = json.loads(stored.run("results", "--columns", "latency", "--format", "json"))
    assert {"median_s", "n"} <= first["latency"].keys()


def test_an_empty_store_is_not_an_error(tmp_path: Path) -> None:
    """There is nothing to misspell."""
    assert "no results under" in Project(tmp_path).run("results", "-m", "anything")
    assert "harness history" not in Project(tmp_path).run("results")
    host = tmp_path / "results" / "host"
    host.mkdir(parents=True)
    (host / "01234567-existing-py.json").write_text("{}")
    assert "earlier commits: harness history shows them" in Project(tmp_path).run("results")
    assert "[]" == Project(tmp_path).run("results", "-m", "anything", "--columns", "case", "--json").strip()


def test_throughput_counts_examples() -> None:
    """A batch is so many examples."""
    assert 800.0 == result_columns.throughput({"batch": 8, "latency": {"median_s": 0.01}})
    assert result_columns.throughput({"batch": 8, "latency": None}) is None


def test_a_decoder_has_tokens_per_second() -> None:
    """Those of one example, which the zoo's axes say, times the throughput; nothing for a model that reads none."""
    loaded = zoo.load(Path(__file__).parents[1] / "model_zoo.yaml").models
    assert [64, 1, None] == [loaded[name].tokens for name in ("gpt2_prefill", "gpt2_decode", "digits_cnn")]
    row = {"batch": 2, "latency": {"median_s": 0.01}, "tokens": 64}
    assert "200/s, 12,800 tokens/s" == result_columns.rates(row)
    assert ("200/s", None) == (
        result_columns.rates({**row, "tokens": None}),
        result_columns.token_rate({**row, "tokens": None}),
    )
    assert units.NONE == result_columns.rates({**row, "latency": None})


def test_compact(tmp_path: Path) -> None:
    """Small files become one, which is said; the tables stay as they are."""
    one = Project(tmp_path)
    for day in (1, 2):
        found = [report_stores.measured(outcomes.case(), 8.0)]
        report_stores.write(one.root / "results", report_stores.run(day), found)
    before = one.run("results", "--all", "--json")
    assert "2 files would be merged into 1: readers take 1 file in place of 2" in one.run(
        "results", "compact", "--dry-run"
    )
    out = one.run("results", "compact")
    assert "2 files merged into 1" in out
    assert "2 replaced files kept" in out
    assert before == one.run("results", "--all", "--json")
    facts = json.loads(one.run("results", "compact", "--grace", "0s", "--json"))
    assert (1, 1, 2, 0) == tuple(facts[name] for name in ("files_before", "files_after", "removed", "kept"))
    assert before == one.run("results", "--all", "--json")
    for arguments, said in (
        (["compcat"], "did you mean 'compact'"),
        (["compact", "--models", "x"], "leave out what chooses"),
        (["--grace", "1h"], "belongs to `harness results compact`"),
        (["compact", "--grace", "soon"], "a time from 0 to 365d"),
        (["compact", "--results", "none"], "there is no such folder"),
    ):
        assert said in one.error("results", *arguments)
