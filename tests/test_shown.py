"""harness.shown: text from outside is text, in every medium."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import unicodedata
import xml.etree.ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from harness import shown
from harness.cli.terminal import Terminal
from harness.report.parts import script_json
from tests.faults.mutations import HOSTILE

PIECES = st.sampled_from(
    [
        "\x1b[31m", "\x1b]0;t\x07", "\n", "\r", "\t", "::error::", "::", "##[", "#", "[/x]",
        "[bold]", "\\", "=", "@a", "#1",
        "GH-1", "https://a.b", "www.a", "|", "`", "<b>", "<!--", "&lt;", "\u202e", "\u2066",
        "\u200b", "\u2028", "\x85", "\x9b",
        "\ud800", "\ufeff", "\U000e0041", "é", "中", "🙂", " ", "a", "-", "1.", ":", ",", "%0A", '"', "'",
    ]
)  # fmt: skip
TEXTS = st.lists(PIECES | st.text(max_size=3), max_size=8).map("".join)


def harmless(text: str, *, lines: bool = False) -> bool:
    """Whether nothing in it acts: neither a control, an unseen mark of direction, nor half a character."""
    kept = text.replace("\n", "") if lines else text
    return not any(
        unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(one) in BIDI for one in kept
    )


BIDI = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


@given(TEXTS)
@example("\x1b[31m")
def test_a_terminal_gets_one_line_without_control(text: str) -> None:
    """Nothing that acts, no command of a CI's runner, and shown twice it is the same."""
    found = shown.terminal(text)
    assert harmless(found)
    assert "##[" not in found
    assert not re.match(r"\s*::", found)
    assert found == shown.terminal(found)


@given(st.text(st.characters(categories=("L", "N", "P", "S"))))
def test_plain_text_stays_as_it_is(text: str) -> None:
    """Letters of any language, so that names can be searched for and copied."""
    assert text == shown.text(text)


@given(TEXTS)
def test_a_message_has_lines_and_nothing_else(text: str) -> None:
    """Later lines are indented: they cannot pass for another message."""
    first, *more = shown.lines(text).split("\n")
    assert harmless(first)
    assert all(harmless(line) and (line[:1].isspace() or not line) for line in more)
    assert not re.search(r"^\s*::|##\[", shown.lines(text), re.MULTILINE)


@given(TEXTS)
@example("\\")
@example("a\\\\")
@example("[b]\\\\\\")
def test_markup_is_read_back_as_text(text: str) -> None:
    """What rich makes of it is what a terminal would get, alone and between our own tags."""
    for around in ("{}", "[bold]{}[/bold]", "{}{}"):
        out = io.StringIO()
        console = Console(file=out, width=10_000, highlight=False, emoji=False)
        console.print(around.replace("{}", shown.markup(text)), soft_wrap=True)
        assert shown.terminal(text) * around.count("{}") == out.getvalue()[:-1]


@given(TEXTS)
def test_a_console_prints_no_control(text: str) -> None:
    """Also where a verb hands it on as it is, in a table, and where a long word is folded."""
    from rich.table import Table
    from rich.text import Text

    out = io.StringIO()
    console = Terminal(file=out, width=20, highlight=False)
    table = Table("a")
    table.add_row(Text(text))
    table.add_row(shown.cell(text))
    console.print(table)
    console.print(text, markup=False)
    console.print(Text(f"{'x' * 20}{text}"))
    assert harmless(out.getvalue(), lines=True)
    assert not re.search(r"^\s*::", out.getvalue(), re.MULTILINE)


@given(TEXTS)
def test_a_cell_is_no_formula(text: str) -> None:
    """A spreadsheet computes what begins with one of four signs; a reader of CSV gets the text, in one line."""
    written = io.StringIO()
    csv.writer(written).writerow([shown.csv(text)])
    ((found,),) = csv.reader(io.StringIO(written.getvalue())) if shown.csv(text) else (("",),)
    assert shown.csv(text) == found
    assert harmless(found)
    assert not re.match(r"\s*[=+\-@]", found) or re.fullmatch(r"[+-]?[\d.eE+-]+", found)


@pytest.mark.parametrize("number", ["-1.5", "+2", "1e-9", "-.5", "37"])
def test_numbers_stay_numbers_in_csv(number: str) -> None:
    """A negative change is not quoted away."""
    assert number == shown.csv(number)


@given(TEXTS)
def test_an_annotation_is_one_command(text: str) -> None:
    """Its runner splits lines and unescapes afterwards, and gets the text with its line breaks back."""
    for write in (shown.annotation, shown.annotation_property):
        line = write(text)
        assert harmless(line)
        back = line.replace("%2C", ",").replace("%3A", ":").replace("%0A", "\n").replace("%25", "%")
        assert shown.block(text) == back
    assert not {":", ","} & set(shown.annotation_property(text))


@given(TEXTS)
@example("_GH-1")
@example("_www.a")
def test_markdown_has_no_markup(text: str) -> None:
    """No bare sign of Markdown, no HTML but the comments between the pieces of a link, one line."""
    found = shown.markdown(text)
    bare = re.sub(r"\\[\\`*_\[\]|~#!$]", "", found.replace(shown.APART, "\x00"))
    assert harmless(found)
    assert not set("`*_[]|~#!$<>") & set(bare)
    assert not re.search(r"@(?!\x00)|://|\bGH-\d|\bwww\.|#\d", bare, re.IGNORECASE)
    text_again = html.unescape(re.sub(r"\\([\\`*_\[\]|~#!$])", r"\1", found.replace(shown.APART, "")))
    words = " ".join(text.split())
    assert shown.text(words) == text_again or text_again.startswith(("\\", *"0123456789"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a", "\\- a"), ("1. a", "1\\. a"), ("---", "\\---"), ("-0.5%", "-0.5%"), ("10.0 ms", "10.0 ms"),
        ("a@b.c", "a@<!-- -->b.c"), ("see #12", "see \\#<!-- -->12"), ("GH-12", "GH<!-- -->-12"),
        ("http://a", "http:<!-- -->//a"), ("www.a", "www<!-- -->.a"), (":x:", ":<!-- -->x:"), ("10:30:15", "10:30:15"),
    ],
)  # fmt: skip
def test_markdown_of_what_github_links(text: str, expected: str) -> None:
    """Lists, rules, mentions, issues, addresses and emoji; numbers and times stay readable."""
    assert expected == shown.markdown(text)


@given(TEXTS)
def test_xml_holds_it(text: str) -> None:
    """A document with it can be parsed, and says what was put in, line breaks and all."""
    element = ET.Element("a", name=shown.xml(text))
    element.text = shown.xml(text)
    found = ET.fromstring(  # noqa: S314  (our own)
        ET.tostring(element, encoding="unicode")
    )
    assert shown.xml(text) == (found.text or "") == found.get("name")


@given(TEXTS)
def test_html_shows_it(text: str) -> None:
    """No element, no attribute, nothing unseen; a browser shows the text."""
    found = shown.html(text)
    assert not set("<>\"'") & set(found)
    assert shown.page(text) == html.unescape(found)
    assert harmless(found.translate({ord(one): None for one in "\t\n\r"}))


@given(TEXTS)
def test_a_script_holds_it(text: str) -> None:
    """What a browser reads from a page's data is the text with its unseen characters spelled, half pairs included."""
    written = script_json({"a": [text]})
    assert not set("<>&") & set(written)
    (found,) = json.loads(written)["a"]
    assert found == "".join(shown.page(one) for one in text)


@given(st.lists(TEXTS))
def test_printed_json_is_the_same_json(texts: list[str]) -> None:
    """And no line of it has a command of a runner."""
    written = shown.json(json.dumps(texts))
    assert texts == json.loads(written)
    assert "##[" not in written


@pytest.mark.parametrize("text", HOSTILE)
def test_one_line_is_one_line(text: str) -> None:
    """White space is a blank each."""
    assert "\n" not in shown.one_line(text)
    assert shown.one_line(text) == shown.terminal(shown.one_line(text))
