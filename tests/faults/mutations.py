"""Files that are damaged by chance, and texts that try to be more than text. Everything follows from a seed."""

from __future__ import annotations

import json
import random
from typing import Any

DEEP = "@deep@"
DIGITS = "@digits@"
RAW = {f'"{DEEP}"': "[" * 3000 + "]" * 3000, f'"{DIGITS}"': "9" * 5000}
"""What JSON's own writer cannot write is put in as text."""

HOSTILE = (
    "",
    "\x00",
    "\x1b[31mred\x1b]0;title\x07",
    "two\nlines\r::error::oops",
    "::error file=a::oops",
    "##[error]oops",
    "[/red][bold",
    "=cmd|' /C calc'!A0",
    "\u202egnp.exe\u2066",
    "<script>alert(1)</script>&amp;\"'",
    "`a` | @somebody #12 GH-12 https://example.org www.example.org <!-- --> [l](u)",
    "../../../etc/passwd",
    "x" * 300,
    "9" * 5000,
    "\ud800",
    "ünïcödé 中文 🙂",
    "nan",
    "-",
    "--help",
    "%s%n{0}${x}",
)
VALUES: tuple[Any, ...] = (
    *HOSTILE, None, True, False, 0, -1, 1, 2**63, -(2**70), 1e308, 1e-320, float("nan"), float("inf"), [], {}, [[]],
    [None], {"a": 1}, [1, "a"], DEEP, DIGITS, "2026-13-45", "0001-01-01T00:00:00+00:00",
)  # fmt: skip


def damaged_bytes(data: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, cut, doubled or put in."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at = chance.randrange(len(out) + 1)
        way = chance.randrange(6)
        if way == 0 and at < len(out):
            out[at] ^= 1 << chance.randrange(8)
        elif way == 1:
            out[at:at] = chance.choice(
                (b"\x00", b"\xff" * 8, b"{", b"]", b'"', b"\n", b"e999", b": *a", b"\xed\xa0\x80")
            )
        elif way == 2:
            del out[at : at + chance.choice((1, 8, 200))]
        elif way == 3:
            out[at:at] = out[max(0, at - chance.choice((8, 100))) : at]
        elif way == 4 and at < len(out):
            out[at] = chance.randrange(256)
        else:
            del out[at:]
    return bytes(out)


def damaged_text(text: str, chance: random.Random) -> bytes:
    """A line gone, doubled or moved, a value replaced by a hostile one, or bytes damaged."""
    lines = text.splitlines()
    at = chance.randrange(len(lines))
    way = chance.randrange(5)
    if way == 0:
        del lines[at]
    elif way == 1:
        lines.insert(chance.randrange(len(lines) + 1), lines[at])
    elif way == 2:
        key, colon, _ = lines[at].partition(":")
        lines[at] = f"{key}{colon} {json.dumps(chance.choice(HOSTILE))}"
    elif way == 3:
        before, _, after = lines[at].partition(" ")
        lines[at] = (
            f"{before} {chance.choice(('-', '{', '[', '&a', '*a', '!!python/object:os.system', '|', '1e999'))} {after}"
        )
    else:
        return damaged_bytes(text.encode(), chance)
    return "\n".join(lines).encode("utf-8", errors="surrogatepass")


def damaged_json(data: bytes, chance: random.Random) -> bytes:
    """A value of the document replaced, removed, renamed, wrapped or doubled; or its bytes damaged."""
    if chance.random() < 0.25:
        return damaged_bytes(data, chance)
    content = json.loads(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        content = edited(content, chance)
    written = json.dumps(content)
    for mark, raw in RAW.items():
        written = written.replace(mark, raw)
    return written.encode()


def edited(content: Any, chance: random.Random) -> Any:
    """A document with one place changed: renamed, removed, wrapped, doubled or of another value."""
    holder, key = _place(content, chance)
    if holder is None:
        return chance.choice(VALUES)
    way = chance.randrange(6)
    if way == 0 and isinstance(holder, dict):
        holder[chance.choice(HOSTILE)] = holder.pop(key)
    elif way == 1:
        del holder[key]
    elif way == 2:
        holder[key] = [holder[key]]
    elif way == 3 and isinstance(holder, list):
        holder.append(holder[key])
    else:
        holder[key] = chance.choice(VALUES)
    return content


def _place(content: Any, chance: random.Random) -> tuple[Any, Any]:
    """A place somewhere in a document: what holds it, and its key."""
    holder, key = None, None
    while isinstance(content, (dict, list)) and content and (holder is None or chance.random() < 0.75):
        holder, key = (
            content,
            chance.choice(list(content)) if isinstance(content, dict) else chance.randrange(len(content)),
        )
        content = holder[key]
    return holder, key
