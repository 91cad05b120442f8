"""The rules of the house that a linter does not know: what is private, names of classes, and plain words."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("harness", "tests", "benchmarks")
DENIED = {
    "nobody can tell": "inconclusive",
    r"mend(?:s|ed|ing)?": "fix",
    r"(?:leave|leaves|leaving|left) away": "omit",
    r"stands? twice": "appears twice",
    r"(?:leave|leaves|left) alone": "not written",
    r"fate": "exit reason",
    r"last words": "last stderr lines",
    r"(?<!there )(?<!there's )(?:is|are|was|were) no (?!longer\b|more\b|such\b)[a-z]+": "is not a ...",
    r"told(?! apart\b)": "called, named, given or known",
    r"anatomy|anatomies": "signature",
    r"crew": "worker pool",
    r"thinned": "downsampled",
    r"(?:is|are|was|were|been) drawn from": "sampled from",
}
"""Words that a reader has to guess at, as regular expressions -> what to write instead."""

LONGEST = 520
"""Lines of a module; most have a third of it."""

PROSE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")


@cache
def modules() -> dict[str, Path]:
    """Dotted name -> file, of everything that is written in Python here."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def source(path: Path) -> str:
    """What a file says."""
    return path.read_text(encoding="utf-8")


def is_private(name: str) -> bool:
    """One leading underscore; names such as `__version__` are Python's."""
    return name.startswith("_") and not name.startswith("__")


def modules_named(content: ast.Module, known: frozenset[str]) -> dict[str, str]:
    """Under which name a file has imported which module."""
    found: dict[str, str] = {}
    for node in ast.walk(content):
        if isinstance(node, ast.Import):
            found |= {one.asname: one.name for one in node.names if one.asname and one.name in known}
        elif isinstance(node, ast.ImportFrom):
            whole = {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
            found |= {name: module for name, module in whole.items() if module in known}
    return found


def last_name(function: ast.expr) -> str:
    """What a call names last: `c` of `a.b.c()`."""
    return str(getattr(function, "attr", getattr(function, "id", "")))


PRIVATE = re.compile(
    r"(?<!\bself)(?<!\bcls)\._(?!_)|\bimport\b[^#\n]*\b_(?!_)|\bimport \([^)]*\b_(?!_)|setattr\([^,]*,\s*[\"']_(?!_)"
)
"""What a text holds that uses a private name of another one; only these are parsed, which takes seconds for all."""


def private_uses(name: str, text: str, known: frozenset[str]) -> Iterator[str]:
    """Where a module uses what another one's underscore keeps to itself."""
    if not PRIVATE.search(text):
        return
    content = ast.parse(text)
    imported = modules_named(content, known)
    for node in ast.walk(content):
        uses: list[tuple[str, str]] = []
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.ImportFrom) and node.module:
            uses = [(node.module, one.name) for one in node.names]
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = ast.unparse(node.value)
            uses = [(imported.get(owner, owner), node.attr)]
        elif isinstance(node, ast.Call) and last_name(node.func) == "setattr":
            # A patch names what it replaces by a text: `(module, "name", ...)` or `("module.name", ...)`.
            texts = [one.value if isinstance(one, ast.Constant) else ast.unparse(one) for one in node.args[:2]]
            owner, _, last = str(texts[0]).rpartition(".")
            uses = [(imported.get(str(texts[0]), ""), str(texts[-1])), (owner, last)]
        for module, used in uses:
            if module in known and module != name and is_private(used):
                yield f"{name}:{line} uses {module}.{used}"


def test_nobody_uses_what_another_module_keeps_to_itself() -> None:
    """A leading underscore marks what only the module itself uses."""
    known = frozenset(modules())
    found = [use for name, path in modules().items() for use in private_uses(name, source(path), known)]
    assert [] == found


@pytest.mark.parametrize(
    ("lines", "used"),
    [
        ("import harness.a\nharness.a._x", "2 uses harness.a._x"),
        ("import harness.a as short\nshort._x", "2 uses harness.a._x"),
        ("from harness import a\na._y", "2 uses harness.a._y"),
        ("from harness import a, b as other\nother._z", "2 uses harness.b._z"),
        ("from harness.a import _x, y", "1 uses harness.a._x"),
        ("from harness.a import (\n    y,\n    _x,\n)", "1 uses harness.a._x"),
        ("from harness import a\nmonkeypatch.setattr(a, '_v', 1)", "2 uses harness.a._v"),
        ("from harness import a\nmonkeypatch.setattr(\n    a,\n    '_v', 1)", "2 uses harness.a._v"),
        ("monkeypatch.setattr('harness.b._u', 1)", "1 uses harness.b._u"),
        ("from harness import a\nself._fine\na.__file__\na.fine", None),
        ("from harness.c import _own", None),
    ],
)
def test_uses_of_private_names_are_seen(lines: str, used: str | None) -> None:
    """Imported, by way of the module, under another name, and in a patch."""
    known = frozenset({"harness.a", "harness.b", "harness.c"})
    assert ([] if used is None else [f"harness.c:{used}"]) == list(private_uses("harness.c", lines, known))


def test_a_class_name_appears_once() -> None:
    """Two classes of one name are two meanings of one word."""
    places = defaultdict(list)
    for name, path in modules().items():
        if name.partition(".")[0] == "harness":
            for found in re.findall(r"^class _?(\w+)", source(path), re.MULTILINE):
                places[found].append(name)
    assert places
    assert {} == {name: where for name, where in places.items() if len(where) > 1}


def written() -> list[Path]:
    """Everything whose words people read: the package with its messages and pages, and the documentation."""
    package = [path for kind in ("*.py", "*.j2", "*.txt") for path in (ROOT / "harness").rglob(kind)]
    tests = [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    return [*package, *tests, *(ROOT / "docs").glob("*.md"), *(ROOT / name for name in PROSE)]


@cache
def texts() -> dict[str, str]:
    """What is in each of them, by its path from the root."""
    return {str(path.relative_to(ROOT)): source(path) for path in written()}


@pytest.mark.parametrize("words", DENIED)
def test_words_are_plain(words: str) -> None:
    """None of these is in a message, a comment, a docstring or the documentation; the key's value says what is."""
    pattern = re.compile(rf"\b{words}\b", re.IGNORECASE)
    found = [
        f"{path}:{text.count(chr(10), 0, match.start()) + 1}: write {DENIED[words]!r} instead: {match[0]}"
        for path, text in texts().items()
        for match in pattern.finditer(text)
    ]
    assert [] == found


def folders() -> set[str]:
    """The packages of harness, as the map writes them."""
    found = (path.parent.relative_to(ROOT / "harness") for path in (ROOT / "harness").rglob("__init__.py"))
    return {f"{folder.as_posix()}/" for folder in found if folder.parts}


def test_the_map_has_every_package_once() -> None:
    """docs/design.md: a line for each package, none for what is gone, and every module beside them."""
    text = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| `([\w/]+/)` \|", text, re.MULTILINE)
    assert sorted(folders()) == sorted(lines)
    beside = text.partition("The modules beside the packages:")[2].partition("\n\n")[0]
    modules_beside = {path.name for path in (ROOT / "harness").glob("*.py")} - {"__init__.py"}
    assert modules_beside == {*re.findall(r"`(\w+\.py)`", beside), "asv_suite.py", "asv_plugin.py"}


@pytest.mark.parametrize("page", [*PROSE, *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))])
def test_files_that_are_named_exist(page: str) -> None:
    """A path in the documentation that starts in a folder of this repository leads to a file or a folder."""
    if page == "CHANGELOG.md":
        pytest.skip("speaks of what was")
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:harness|tests|benchmarks|docs)/[\w./-]+)`", text)
    theirs = "benchmarks/sweep.py"  # in the project of somebody who uses harness
    assert [] == [path for path in named if path != theirs and not (ROOT / path).exists()]


def test_every_package_says_what_it_is_for() -> None:
    """The first line of its docstring is what a newcomer reads first."""
    assert [] == [
        name
        for name, path in modules().items()
        if path.name == "__init__.py" and name.startswith("harness") and not ast.get_docstring(ast.parse(source(path)))
    ]


def test_files_are_short() -> None:
    """One concept each; longer than this, a file has two."""
    long = {name: len(source(path).splitlines()) for name, path in modules().items()}
    assert {} == {name: lines for name, lines in long.items() if lines > LONGEST and name.startswith("harness")}
