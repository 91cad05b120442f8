"""Text from outside as it is shown: one function per medium, and in none of them is it ever control.

Names of nodes and axes, model ids, rows of other tools, paths, commit subjects and what libraries say come from
outside. Each function here takes any text and returns what shows it: an escape sequence, a line break, a mark that
turns the direction of writing, markup, a workflow command and a formula are seen, and do nothing. Nothing else of the
text is changed, so that a name that needs no care can be searched for and copied.

`text` is what all others begin with. Standard library only, and no medium knows another one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.text import Text

_SPACE: Final = "\\t\\n\\r"
_UNSEEN: Final = (
    "\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f"  # C0, DEL and C1: terminals act on them
    "\\u00ad\\u061c\\u180e\\u200b\\u200e\\u200f\\u2028-\\u202e"  # unseen: directions of writing, line breaks
    "\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb"
    "\\ud800-\\udfff"  # halves of pairs, which no encoding can hold: paths have them
    "\\ufdd0-\\ufdef\\ufffe\\uffff\\U000e0000-\\U000e0fff"  # no characters, and tags
)
CONTROL: Final = re.compile(f"[{_SPACE}{_UNSEEN}]")
"""What is never written as it is. Joiners (U+200C, U+200D) stay: languages and emoji need them."""

_CONTROL_OF_LINES: Final = re.compile(f"[\t\r{_UNSEEN}]")

COMMAND: Final = re.compile(r"(?:^|(?<=[\s]))::|##(?=\[)", re.MULTILINE)
"""What runners of GitHub and Azure take for a command: `::name::` at the start of a line, `##[name]` anywhere."""

FORMULA: Final = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")

NAMED: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def text(given: str) -> str:
    r"""One line of text without a control character: each is spelled as Python does, such as `\\x1b` or `\\u202e`."""
    return CONTROL.sub(_spelled, given) if CONTROL.search(given) else given


def terminal(given: str) -> str:
    """For a terminal, a log or a pipe: `text`, and no runner of a CI takes it for a command."""
    found = text(given)
    return COMMAND.sub(_broken_up, found) if "::" in found or "##[" in found else found


def lines(given: str) -> str:
    """The same for a message of several lines of our own: line breaks stay, and later lines are indented.

    Text from outside inside such a message may bring line breaks, too; indented, they claim to be nothing else.
    """
    return COMMAND.sub(_broken_up, re.sub(r"\n(?=\S)", "\n  ", block(given)))


def block(given: str) -> str:
    """Several lines of text: line breaks stay, and every other control character is spelled."""
    return _CONTROL_OF_LINES.sub(_spelled, given.replace("\r\n", "\n")) if CONTROL.search(given) else given


def one_line(given: str | None) -> str:
    """For a terminal, with every run of white space as one blank: what libraries say is broken into lines at random."""
    return terminal(" ".join((given or "").split()))


def markup(given: str) -> str:
    """For a string in which rich reads markup: `terminal`, and brackets are brackets.

    rich halves backslashes in front of a tag and nowhere else: those at the end are doubled, and an empty tag follows,
    so that they are the same wherever our own markup puts the text.
    """
    from rich.markup import escape

    plain = terminal(given)
    before = plain.rstrip("\\")
    # Backslashes at the end would escape whatever tag follows: they are doubled, and an empty tag follows at once.
    ending = (len(plain) - len(before)) * "\\\\"
    return f"{escape(before)}{ending}[none][/none]" if ending else escape(plain)


def cell(given: str, style: str = "") -> Text:
    """For a table of rich's: `terminal`, without markup."""
    from rich.text import Text

    return Text(terminal(given), style=style)


def csv(given: str) -> str:
    """For a cell of a CSV file: `terminal`, and no spreadsheet takes it for a formula (a leading apostrophe says so).

    Numbers stay numbers. The quotes around a cell are the CSV writer's.
    """
    plain = terminal(given)
    return f"'{plain}" if FORMULA.match(plain) and not NUMBER.fullmatch(plain) else plain


def csv_value(value: Any) -> Any:
    """A cell of a CSV file of any type; numbers and absent values stay as they are."""
    return csv(value) if isinstance(value, str) else value


def annotation(given: str) -> str:
    """For the message of a workflow command, as the runner reads it back (`@actions/core`, escapeData)."""
    return block(given).replace("%", "%25").replace("\n", "%0A")


def annotation_property(given: str) -> str:
    """For the value of one of its properties (escapeProperty)."""
    return annotation(given).replace(":", "%3A").replace(",", "%2C")


_MARKDOWN: Final = re.compile(r"([\\`*_\[\]|~#!$])")
_AT_START: Final = re.compile(r"^([-+])(?=\s|$)|^([-=])(?=[-=\s]*$)|^(\d{1,9})(?=[.)](?:\s|$))")
APART: Final = "<!-- -->"
"""Nothing to a reader; whatever GitHub would make a link of is in two pieces around it."""

_LINKED: Final = re.compile(
    r"@|(?<=\\#)|:(?=//)|(?<![^\W_])(?:(?:mailto|xmpp):|gh(?=-\d)|www(?=\.))|(?<!\d):(?=[\w+-]+:)", re.IGNORECASE
)
"""After it stands `APART`: mentions and addresses, issues, links, emoji."""


def markdown(given: str) -> str:
    """For a comment on GitHub: `text` on one line; no Markdown, HTML, table, mention or link comes of it.

    `@name`, `#12`, `GH-12`, `owner/name#12`, `https://...` and `www....` are links there even as plain words, and
    after backslashes. Hashes of commits stay links, to commits of the same repository.
    """
    line = text(" ".join(given.split()))
    safe = _MARKDOWN.sub(r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
    safe = _AT_START.sub(lambda found: f"{found[0]}\\" if found[3] else f"\\{found[0]}", safe)
    return _LINKED.sub(lambda found: found[0] + APART, safe)


def xml(given: str) -> str:
    """For XML 1.0, where the writer escapes its own signs: line breaks stay; what XML cannot hold is spelled."""
    return block(given)


def json(written: str) -> str:
    """For JSON that is printed: the same JSON, without what a runner takes for a command inside a line."""
    return written.replace("##[", "#\\u0023[")


def html(given: str) -> str:
    """For the text or a quoted attribute of a page: `page`, and no element or attribute comes of it."""
    import html as standard  # its table of entities is large, and a terminal needs none

    return standard.escape(page(given))


UNSEEN: Final = re.compile(f"[{_UNSEEN}]")


def page(given: str) -> str:
    """For something that was escaped before, such as a whole page: no unseen character.

    White space is white space there.
    """
    return UNSEEN.sub(_spelled, given) if UNSEEN.search(given) else given


_ESCAPE: Final = re.compile(r"\\(?:u00[01]|[bf])")
_ESCAPES: Final = re.compile(r"(?<!\\)((?:\\\\)*)(\\(?:u00[01][0-9a-f]|[bf]))")
"""A control character as JSON writes it: behind an even number of backslashes, which are backslashes themselves."""


def script(given: str) -> str:
    """For JSON inside a script: unseen characters are spelled for whoever reads the string that comes of it."""
    if UNSEEN.search(given):
        given = UNSEEN.sub(lambda found: "\\" + _spelled(found), given)
    return _ESCAPES.sub(_spelled_escape, given) if _ESCAPE.search(given) else given


def _spelled(found: re.Match[str]) -> str:
    return NAMED.get(found[0]) or ascii(found[0])[1:-1]


def _spelled_escape(found: re.Match[str]) -> str:
    """The same for a character that JSON has escaped."""
    character = {"b": "\b", "f": "\f"}.get(found[2][1]) or chr(int(f"0x{found[2][2:]}", 0))
    return f"{found[1]}{found[2]}" if character in NAMED else f"{found[1]}\\{ascii(character)[1:-1]}"


def _broken_up(found: re.Match[str]) -> str:
    return "\\x3a:" if found[0] == "::" else "#\\x23"
