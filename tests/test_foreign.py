"""harness.foreign: JSON and bytes that others wrote, within limits."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import foreign
from harness.cli.console import Console
from harness.errors import NewerSchema
from harness.init import models
from harness.store import samples
from harness.store.asv import merge
from harness.store.columns import SCHEMA_KEY
from harness.store.query import natural

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_what_fits_is_read_as_it_is(value: Any) -> None:
    """Whole numbers of 64 bits stay whole, brackets inside of texts do not count."""
    found = foreign.parsed(json.dumps(value))
    assert json.dumps(value) == json.dumps(found)


@pytest.mark.parametrize("text", ["[" * 65 + "]" * 65, '{"a":' * 65 + "1" + "}" * 65, "[" * 100_000, '["' + "[" * 99])
def test_deep_nesting_is_refused(text: str) -> None:
    """With an error of the one kind that readers know, however deep."""
    with pytest.raises(ValueError, match=r"nested|Unterminated"):
        foreign.parsed(text)


def test_nesting_up_to_the_limit_is_read() -> None:
    """Exactly as deep as stated, with brackets in a text beside it."""
    text = "[" * (foreign.DEEPEST - 1) + '["]]]["]' + "]" * (foreign.DEEPEST - 1)
    assert text == json.dumps(foreign.parsed(text))


@pytest.mark.parametrize(
    ("digits", "expected"),
    [("9" * 5000, float("inf")), ("1764318834000000123", 1764318834000000123), (str(2**63), float(2**63)),
     (str(-(2**63)), -(2**63)), ("1" * 20, float("1" * 20))],
)  # fmt: skip
def test_numbers_beyond_64_bits_are_floats(digits: str, expected: float) -> None:
    """No count of digits is too much, and what fits is exact."""
    found = foreign.parsed(f"[{digits}]")
    assert ([expected], type(expected)) == (found, type(found[0]))


@pytest.mark.parametrize("text", [b"\xff", b"[1", b"", b"\xed\xa0\x80"])
def test_what_is_not_json_is_an_error_of_one_kind(text: bytes) -> None:
    """Not UTF-8, cut or empty."""
    with pytest.raises(ValueError):  # noqa: PT011  (the decoder's words)
        foreign.parsed(text)


@pytest.mark.parametrize(("text", "said"), [("[]", "a list"), ("5", "a number"), ("null", "null"), ('"a"', "a text")])
def test_an_object_is_asked_for(text: str, said: str) -> None:
    """Anything else is named."""
    with pytest.raises(ValueError, match=f"it holds {said} and not an object"):
        foreign.mapping(text)


def test_content_is_that_of_regular_files(tmp_path: Path) -> None:
    """A pipe would block for ever, a device has no end; a folder is named, too."""
    (tmp_path / "small").write_bytes(b"12345")
    assert b"12345" == foreign.content(tmp_path / "small", 5)
    with pytest.raises(ValueError, match="more than the 4 that are read"):
        foreign.content(tmp_path / "small", 4)
    os.mkfifo(tmp_path / "pipe")
    for path, what in ((tmp_path / "pipe", "a named pipe"), (tmp_path, "a folder"), (Path("/dev/zero"), "a device")):
        with pytest.raises(ValueError, match=f"it is {what}"):
            foreign.content(path)


@dataclass(frozen=True, kw_only=True)
class Written:
    """A field of every kind that records of others' files have."""

    name: str = ""
    count: int = 0
    share: float | None = None
    pair: tuple[str, str] | None = None
    several: tuple[int, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"name": "a", "count": 5, "share": 1, "pair": ("a", "b"), "several": (1, 2), "facts": {"a": [1]}},
        {"share": 0.5, "versions": {"a": "1"}},
    ],
)
def test_fields_of_their_types(values: dict[str, Any]) -> None:
    """A whole number is a share as well; what a mapping of anything holds is not looked at."""
    assert Written(**values) == foreign.checked(Written(**values))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", None), ("name", ["a"]), ("count", 1.5), ("count", True), ("count", "1"), ("share", "1"),
        ("share", False), ("pair", ("a",)), ("pair", ("a", "b", "c")), ("pair", ("a", 1)), ("pair", "ab"),
        ("several", (1, "2")), ("several", [1]), ("facts", []), ("facts", {1: 2}), ("versions", {"a": 1}),
    ],
)  # fmt: skip
def test_fields_of_other_types(name: str, value: Any) -> None:
    """The error names the field."""
    with pytest.raises(TypeError, match=f"{name} is of another type"):
        foreign.checked(Written(**{name: value}))


@pytest.mark.parametrize(
    ("digits", "number"),
    [
        ("", 0),
        ("0", 0),
        ("007", 7),
        ("\u0663", 3),
        ("9" * 18, 10**18 - 1),
        ("9" * 19, 10**18),
        ("9" * 5000, 10**18),
        ("0" * 5000 + "1", 1),
    ],
)
def test_numbers_of_thousands_of_digits(digits: str, number: int) -> None:
    """Python refuses to make them; whoever compares or sorts them goes on."""
    assert number == foreign.whole(digits)


def test_who_reads_digits_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names in tables, versions of formats, the width of a terminal, axes."""
    many = "9" * 5000
    assert ["t2", "t10", f"t{many}"] == sorted([f"t{many}", "t10", "t2"], key=natural)
    with pytest.raises(NewerSchema, match="has schema version 999"):
        samples.check_schema(tmp_path, {SCHEMA_KEY: many})
    with pytest.raises(NewerSchema, match=r"holds sweep.track_latency in version 999"):
        merge.benchmarks(
            tmp_path,
            {"sweep.track_latency": {"version": many, "param_names": []}},
            {"sweep.track_latency": {"version": "2", "param_names": []}},
        )
    for width in (many, "\u00b2"):
        monkeypatch.setenv("COLUMNS", width)
        assert Console().out.width >= 80
    assert (10**18,) == models.parse_input(f"x=float32[{many}]").shape
