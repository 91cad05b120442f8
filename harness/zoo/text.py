"""The bytes of a zoo file -> plain mappings, lists and scalars that remember where they stood.

Works on YAML events rather than on a loader's objects, for four reasons: nothing is ever constructed but text,
numbers, lists and mappings; a duplicate key is seen (PyYAML keeps the last one silently); every value keeps its line;
and aliases that would expand to millions of nodes are counted, never expanded. Plain scalars follow the YAML 1.2 core
schema, as editors do, so that `on`, `1:30` and `012` are not read as true, 90 and 10.

The limits on size and depth are this module's own, with words of its own: releases of the parser have different ones.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import ZooError
from harness.special_files import lost_link, require_plain, special

MAX_BYTES = 1_000_000
MAX_NODES = 100_000
MAX_DEPTH = 64
TOO_DEEP = f"nested more than {MAX_DEPTH} deep"
MAX_TEXT = 10_000
"""Characters of one value or key."""

MAX_DIGITS = 18
"""Digits of a whole number: every one of them fits 64 bits."""

MAX_HEX = len("0x") + 15
SHORTENED = 20
"""Characters of a number that a message shows."""

_INT = re.compile(r"[-+]?[0-9]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_ZERO_FIRST = re.compile(r"[-+]?0[0-9]")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
"""What YAML allows in no file: control characters, NUL among them. Naming what it allows compiles ten times as long."""

_FLOW = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"\\]|\\.)*\"|(?<=\s)#.*|[][{}]", re.DOTALL)
"""Brackets, and what may hold brackets that mean nothing."""

_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_CORE = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "seq", "map")}
_STR = {"tag:yaml.org,2002:str", "!"}


class Position(NamedTuple):
    """A place in the file; both count from 1."""

    line: int
    column: int


class Map(dict[str, Any]):
    """A mapping that knows where it stood (`mark`) and where each of its keys did (`at`)."""

    def __init__(self, mark: Position) -> None:
        super().__init__()
        self.mark = mark
        self.at: dict[str, Position] = {}

    def put(self, key: str, value: Any, mark: Position) -> None:
        """Set a key together with its place."""
        self[key] = value
        self.at[key] = mark


class Seq(list[Any]):
    """A list that knows where it stood (`mark`) and where each of its items did (`at`)."""

    def __init__(self, mark: Position) -> None:
        super().__init__()
        self.mark = mark
        self.at: list[Position] = []

    def put(self, value: Any, mark: Position) -> None:
        """Append an item together with its place."""
        self.append(value)
        self.at.append(mark)


def plain(value: Any) -> Any:
    """Return a value without its places: dict, list and scalars."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def locate(root: Map, path: tuple[Hashable, ...]) -> Position:
    """Return the place of the deepest part of `path` that the file really has."""
    mark: Position = root.mark
    node: Any = root
    for key in path:
        found = _places(node)
        if key not in found:
            break
        mark, node = found[key], node[key]
    return mark


def _places(node: Any) -> dict[Hashable, Position]:
    if isinstance(node, Map):
        return dict(node.at.items())
    return dict(enumerate(node.at)) if isinstance(node, Seq) else {}


def read(path: Path) -> bytes:
    """Return the bytes of a zoo file.

    Raises:
        ZooError: it is missing, not a regular file, not readable, or over `MAX_BYTES`.
    """
    try:
        if lost := lost_link(path):
            raise ZooError([f"{path}: is {lost}; name a zoo with --zoo FILE"])
        if not path.exists():
            raise ZooError([f"{path}: no such file; name it with --zoo FILE, or let `harness init` write one"])
        if not path.is_file():
            kind = "a folder" if path.is_dir() else special(path) or "not a regular file"
            such = path / "model_zoo.yaml" if path.is_dir() else path.with_name("model_zoo.yaml")
            raise ZooError([f"{path}: is {kind}; give a YAML file such as {such}"])
        require_plain(path)
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ZooError([f"{path}: cannot be read: {error}"]) from error
    if len(raw) > MAX_BYTES:
        raise ZooError([f"{path}: larger than {MAX_BYTES // 10**6} MB; a zoo names models, it does not hold them"])
    return raw


def decode(raw: bytes, path: Path) -> str:
    """Return the text of a zoo file.

    Raises:
        ZooError: it is not UTF-8.
    """
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{raw[error.start]:02x}"
        raise ZooError([f"{path}:{line}: not UTF-8: found {found}; save the file in UTF-8"]) from error


def parse(text: str, path: Path) -> tuple[Map, list[tuple[Position, str]]]:
    """Return the zoo's root mapping, and the mistakes that still leave it readable (such as duplicate keys).

    Raises:
        ZooError: not YAML, empty, not a mapping, too deep, or too large once its aliases are expanded.
    """
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if found := _UNPRINTABLE.search(text):
        what = f"control character U+{ord(found[0]):04X}; remove it"
        raise ZooError([f"{path}:{_line(text, found.start())}: not YAML: {what}"])
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
    except _Fatal as fatal:
        raise ZooError([f"{path}:{fatal.mark.line}: {fatal}"]) from None
    except (ValueError, OverflowError) as error:  # the parser in Python lets `chr` complain
        bad = "not YAML: an escape that is not a character"
        raise ZooError([f"{path}:{_line(text, builder.read_to)}: {bad}"]) from error
    except yaml.YAMLError as error:
        deep = _too_deep(text, builder, error)
        said = _not_yaml(error, text, path) if deep is None else f"{path}:{_line(text, deep)}: {TOO_DEEP}"
        raise ZooError([said]) from error
    if builder.root is None:
        raise ZooError([f"{path}: empty; a zoo has at least the keys version, variants, targets and models"])
    if not isinstance(builder.root, Map):
        other = "a list" if isinstance(builder.root, Seq) else f"{builder.root!r}"
        raise ZooError([f"{path}:1: not a mapping: found {other}; a zoo starts with keys such as `version: 1`"])
    return builder.root, builder.problems


def _line(text: str, index: int) -> int:
    return text.count("\n", 0, index) + 1


def _too_deep(text: str, builder: _Builder, error: Exception) -> int | None:
    """Where the brackets that the parser read ahead of its last event nest too deep; None where they do not.

    A parser reads a thousand characters ahead for the colon of a possible key, and may have a limit of its own.
    """
    mark = getattr(error, "problem_mark", None)
    depth, end = builder.depth, len(text) if mark is None else mark.index + 1
    for found in _FLOW.finditer(text, builder.read_to, end):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth > MAX_DEPTH:
            return found.start()
    return None


def _not_yaml(error: Exception, text: str, path: Path) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = mark.line + 1 if mark else _line(text, getattr(error, "position", None) or 0)
    said = [getattr(error, name, None) for name in ("context", "problem", "reason")]
    return f"{path}:{line}: not YAML: {', '.join(str(part) for part in said if part) or error}"


class _Fatal(Exception):
    def __init__(self, mark: Position, text: str) -> None:
        self.mark = mark
        super().__init__(text)


class _Frame:
    """A collection under construction."""

    def __init__(self, node: Map | Seq, anchor: str | None) -> None:
        self.node = node
        self.anchor = anchor
        self.size = 1
        self.key: tuple[str | None, Position] | None = (
            None  # the key that waits for its value; its text is None if unusable
        )
        self.merges: list[tuple[Any, Position]] = []


class _Builder:
    """Takes the events one by one; never recurses, so depth cannot exhaust the stack."""

    def __init__(self) -> None:
        self.root: Any = None
        self.problems: list[tuple[Position, str]] = []
        self._frames: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._documents = 0
        self.read_to = 0
        """The place in the text where the last event ended."""

    @property
    def depth(self) -> int:
        """How many collections are open."""
        return len(self._frames)

    def take(self, event: Any) -> None:
        """Add one event of `yaml.parse`."""
        mark = Position(event.start_mark.line + 1, event.start_mark.column + 1)
        self.read_to = event.end_mark.index
        kind = type(event).__name__
        if kind == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 1:
                raise _Fatal(mark, "a second document starts with '---'; a zoo is one document")
        elif kind == "ScalarEvent":
            self._check_text(event.value, mark)
            # A key is its text as written, so that `on:` and `1:` name what they seem to name.
            value = event.value if self._expects_key() else self._scalar(event, mark)
            self._done(value, mark, event.anchor, size=1)
        elif kind == "AliasEvent":
            if event.anchor not in self._anchors:
                defined = any(frame.anchor == event.anchor for frame in self._frames)
                why = "refers to what contains it" if defined else "has no anchor before it"
                raise _Fatal(mark, f"alias *{event.anchor} {why}")
            value, size = self._anchors[event.anchor]
            self._done(value, mark, None, size)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            if len(self._frames) >= MAX_DEPTH:
                raise _Fatal(mark, TOO_DEEP)
            self._check_tag(event.tag, mark)
            node = Map(mark) if kind == "MappingStartEvent" else Seq(mark)
            self._frames.append(_Frame(node, event.anchor))
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            frame = self._frames.pop()
            self._merge(frame)
            self._done(frame.node, frame.node.mark, frame.anchor, frame.size)

    def _done(self, value: Any, mark: Position, anchor: str | None, size: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = (value, size)
        if not self._frames:
            self.root = value
            return
        frame = self._frames[-1]
        frame.size += size
        if frame.size > MAX_NODES:
            raise _Fatal(mark, f"more than {MAX_NODES} values, each alias counted with all that it stands for")
        if isinstance(frame.node, Seq):
            frame.node.put(value, mark)
        elif frame.key is None:
            if not isinstance(value, str):
                self.problems.append((mark, "a key must be text"))
            frame.key = (value if isinstance(value, str) else None, mark)
        else:
            (key, key_mark), frame.key = frame.key, None
            self._put(frame, key, value, key_mark)

    def _expects_key(self) -> bool:
        return bool(self._frames) and isinstance(self._frames[-1].node, Map) and self._frames[-1].key is None

    def _put(self, frame: _Frame, key: str | None, value: Any, mark: Position) -> None:
        node = frame.node
        if key is None or not isinstance(node, Map):
            return
        if key == "<<":
            frame.merges.append((value, mark))
        elif key in node:
            self.problems.append((mark, f"duplicate key {key!r}; it is already on line {node.at[key].line}"))
        else:
            node.put(key, value, mark)

    def _merge(self, frame: _Frame) -> None:
        for value, mark in frame.merges:
            for source in value if isinstance(value, Seq) else [value]:
                if not isinstance(source, Map):
                    self.problems.append((mark, "`<<` takes an alias of a mapping, or a list of such"))
                    continue
                for key, item in source.items():
                    if isinstance(frame.node, Map) and key not in frame.node:
                        frame.node.put(key, item, source.at[key])

    def _check_tag(self, tag: str | None, mark: Position) -> None:
        if tag is not None and tag not in _CORE and tag not in _STR:
            self.problems.append((mark, f"tag {tag!r} is not allowed; a zoo holds only text, numbers, lists, mappings"))

    def _check_text(self, value: str, mark: Position) -> None:
        if len(value) > MAX_TEXT:
            raise _Fatal(mark, f"text of {len(value)} characters; at most {MAX_TEXT} are taken")
        if found := _UNPRINTABLE.search(value):  # from an escape such as "\\0"
            self.problems.append((mark, f"text with the control character U+{ord(found[0]):04X}; leave it out"))

    def _scalar(self, event: Any, mark: Position) -> Any:
        self._check_tag(event.tag, mark)
        if event.tag in _STR or (event.tag is None and not event.implicit[0]):
            return event.value
        value = _plain_scalar(event.value)
        if isinstance(value, float) and not math.isfinite(value):
            self.problems.append((mark, f"{_short(event.value)} is not a finite number"))
        if isinstance(value, str) and (found := _is_too_long(value)):
            self.problems.append((mark, found))
        return value


def _plain_scalar(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return text if _ZERO_FIRST.match(text) or len(text.lstrip("+-")) > MAX_DIGITS else int(text)
    if _HEX.fullmatch(text):
        return text if len(text) > MAX_HEX else int(text, 16)
    return float(text) if _FLOAT.fullmatch(text) else text


def _is_too_long(text: str) -> str:
    """Why a plain scalar that was not read as a number looks like one all the same; empty where it does not."""
    if _INT.fullmatch(text) and not _ZERO_FIRST.match(text):
        return f"{_short(text)} has {len(text.lstrip('+-'))} digits; a number has at most {MAX_DIGITS}; quote text"
    if _HEX.fullmatch(text):
        return f"{_short(text)} has {len(text) - 2} digits; a hexadecimal number has at most {MAX_HEX - 2}; quote text"
    return ""


def _short(text: str) -> str:
    return text if len(text) <= SHORTENED else f"{text[:SHORTENED]}..."
