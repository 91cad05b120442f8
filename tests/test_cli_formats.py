"""harness.cli.formats: every verb prints the same four formats, chosen in the same way."""

from __future__ import annotations

import csv
import io
import json
import typing

import pytest

from harness.cli import VERBS, formats, options
from harness.cli.sweep import print_list
from harness.errors import UsageError
from harness.layout import TextColumn, TextTable
from tests.conftest import Project

WRITERS = {"export", "init", "import", "report", "serve", "plot", "selftest", "bisect", "view"}
"""Verbs that print no table of data."""


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_the_options_are_the_same_of_every_verb(verb: str) -> None:
    """`--json` is short for `--format json` and takes a file nowhere; whoever prints data has both."""
    hints = typing.get_type_hints(VERBS[verb], include_extras=True)
    assert hints.get("as_json", options.AsJson) == options.AsJson
    assert hints.get("format_", options.Format) == options.Format
    assert {"as_json", "format_"} <= hints.keys() or verb in WRITERS


@pytest.mark.parametrize(
    ("given", "as_json", "chosen"),
    [(None, False, "table"), (None, True, "json"), ("csv", False, "csv"), ("json", True, "json")],
)
def test_the_format_that_was_chosen(given: str | None, as_json: bool, chosen: str) -> None:
    """A table where nothing was said."""
    assert chosen == options.chosen_format(given, as_json=as_json)


@pytest.mark.parametrize(
    ("given", "as_json", "said"),
    [("jsn", False, "did you mean 'json'"), ("", False, "available: table"), ("csv", True, "short for --format json")],
)
def test_a_format_that_is_none(given: str, as_json: bool, said: str) -> None:
    """What was meant, or what there is."""
    with pytest.raises(UsageError, match=said):
        options.chosen_format(given, as_json=as_json)


def test_csv_has_a_column_for_every_value(capsys: pytest.CaptureFixture[str]) -> None:
    """Nested values too; an absent one is an empty cell, and a formula is text."""
    formats.write_csv([{"a": 1, "b": {"c": 0.5, "d": [1, "x"]}}, {"a": "=1+1", "e": None}])
    first, second = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert {"a": "1", "b.c": "0.5", "b.d": '[1, "x"]', "e": ""} == first
    assert {"a": "'=1+1", "b.c": "", "b.d": "", "e": ""} == second
    formats.write_csv([])
    assert "" == capsys.readouterr().out


def test_markdown_has_a_table_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    """Under its title, its cells without markup; those without rows are left out."""
    columns = (TextColumn(name="name"), TextColumn(name="size", right=True))
    tables = [TextTable(title="kinds", columns=columns, rows=[("a|b", "1 kB")]), TextTable(columns=columns, rows=[])]
    assert "### kinds\n\n| name | size |\n| --- | ---: |\n| a\\|b | 1 kB |\n" == formats.markdown(tables)
    formats.emit("markdown", value=[], records=[], grids=tables[1:], empty="nothing is cached")
    assert "nothing is cached\n" == capsys.readouterr().out


def test_inspect_says_the_same_in_every_format(project: Project) -> None:
    """CSV and Markdown have a line for every fact of the JSON."""
    found = json.loads(project.run("inspect", "tiny.onnx", "--json"))
    lines = {
        one["name"]: one["value"]
        for one in csv.DictReader(io.StringIO(project.run("inspect", "tiny.onnx", "--format", "csv")))
    }
    assert str(found["bytes"]) == lines["bytes"]
    assert str(found["opsets"]["ai.onnx"]) == lines["opsets.ai.onnx"]
    assert f"| bytes | {found['bytes']} |" in project.run("inspect", "tiny.onnx", "--format", "markdown")


def test_an_empty_cache_in_every_format(project: Project) -> None:
    """Nothing, said in each format's own way."""
    printed = [project.run("cache", "--format", one) for one in ("json", "csv", "markdown")]
    assert ["[]\n", "", "nothing is cached\n"] == printed


def test_a_plan_in_every_format(project: Project) -> None:
    """The cases alone; JSON is a list of them."""
    plan = ("sweep", "--dry-run", "--variants", "fp32", "--format")
    printed = [project.run(*plan, one) for one in ("json", "csv", "markdown")]
    case = "tiny/fp32/cpu-t1-b1"
    assert [case] == json.loads(printed[0])
    assert [f"case\n{case}\n", f"| case |\n| --- |\n| {case} |\n"] == printed[1:]
    error = project.error("sweep", "--format", "csv", "--markdown", "-")
    assert "--markdown - --format csv: only one of them can have standard output" in error


def test_numbers_that_json_has_no_word_for_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    """What others stored may be infinite in a column that is open to anything."""
    print_list([{"metrics": [{"value": float("inf")}], "floor_s": {"cpu": float("nan"), "n": 1.5}}] * 30)
    assert [{"metrics": [{"value": None}], "floor_s": {"cpu": None, "n": 1.5}}] * 30 == json.loads(
        capsys.readouterr().out
    )
