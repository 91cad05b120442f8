"""Any text at all: a zoo file gives a `Zoo` or a `ZooError`, and no other exception."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ZooError
from harness.units import parse_zoo_duration as duration
from harness.units import parse_zoo_share as percent
from harness.units import parse_zoo_size as size
from harness.zoo import Zoo, load, text
from tests.test_zoo import GOOD

PIECES = (
    *GOOD.replace("\n", " \n ").split(" "), *GOOD.splitlines(keepends=True), "{", "}", "[", "]", ": ", "- ", ", ", "? ",
    "&a ", "*a", "<<: ", "!!str ", "!x ", "---\n", "...\n", "%YAML 9.9\n", "|\n", ">-\n", "'", '"', "#", "\n", "\t",
    " ", "\0", "\\0", "\\uD800", "\\U00110000", "\ufeff", "\x85", "\u2028", "~", "on", "012", "0x1f", "1e999", "1e9999",
    "9" * 400, "9" * 5000, "0x" + "f" * 400, f"{'9' * 400}MB", f"{'9' * 400}s", f"{'9' * 400}%", "1.5e3", "-7", ".inf",
    "[" * 70, "{a: " * 70, "[" * 1200, "x" * 1100, "x" * 11_000, "extends: ", "steps: ", "options: ", "version: 1\n",
    "budget: ", "max_size: ", "session_config: ", "weights: ", "dims: ", "threads: ", "batch: ", "processes: ",
    "time_per_case: ", "path: ",
)  # fmt: skip


def outcome(content: bytes) -> Zoo | ZooError:
    """What loading a file of this content gives."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "zoo.yaml"
        path.write_bytes(content)
        try:
            return load(path)
        except ZooError as error:
            return error


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda found: found.encode("utf-8", "surrogatepass")))
def test_any_bytes(content: bytes) -> None:
    """Nearly all of them are not YAML."""
    assert isinstance(outcome(content), Zoo | ZooError)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_any_pieces_of_yaml(content: str) -> None:
    """Indicators, anchors, tags, escapes and large numbers in any order."""
    assert isinstance(outcome(content.encode()), Zoo | ZooError)


@settings(deadline=None, max_examples=500)
@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), st.sampled_from(PIECES)), max_size=3))
def test_a_good_zoo_with_mistakes(edits: list[tuple[int, int, str]]) -> None:
    """A few characters replaced, so that what is wrong is found late."""
    content = GOOD
    for place, length, piece in edits:
        content = content[:place] + piece + content[place + length :]
    found = outcome(content.encode())
    assert isinstance(found, Zoo if content == GOOD else Zoo | ZooError)


@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
@pytest.mark.parametrize("depth", [64, 65, 500, 1020, 5000])
def test_depth_is_limited_here_and_not_by_the_parser(depth: int, loader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same words from the parser in C, which has a limit of its own, and from the one in Python."""
    import yaml

    monkeypatch.setattr(yaml, "CSafeLoader", getattr(yaml, loader))
    content = "version: 1\na: " + "[" * (depth - 1) + "]" * (depth - 1)
    if depth <= text.MAX_DEPTH:
        assert "version" in text.parse(content, Path("z"))[0]
    else:
        with pytest.raises(ZooError, match=r"^z:2: nested more than 64 deep$"):
            text.parse(content, Path("z"))


@pytest.mark.parametrize("escape", ["\\uD800", "\\U00110000", "\\UFFFFFFFF"])
@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
def test_escapes_that_are_no_characters(escape: str, loader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused with their line, whichever parser reads them."""
    import yaml

    monkeypatch.setattr(yaml, "CSafeLoader", getattr(yaml, loader))
    try:
        _, found = text.parse(f'version: 1\na: "{escape}"\n', Path("z"))
        problems = [f"z:{mark.line}: {said}" for mark, said in found]
    except ZooError as error:
        problems = list(error.problems)
    (said,) = problems
    assert said.startswith(("z:2: not YAML: ", "z:2: text with the control character U+D800; leave it out"))


@pytest.mark.parametrize(("read", "unit"), [(size, "MB"), (duration, "s"), (percent, "%")])
def test_quantities_beyond_every_number(read: object, unit: str) -> None:
    """Refused as any other wrong quantity."""
    assert callable(read)
    with pytest.raises(ValueError, match="expected a"):
        read("9" * 400 + unit)
