"""The file of accepted changes: read with line numbers, written whole under a lock, sorted, so that diffs are small."""

from __future__ import annotations

import datetime as dt
import getpass
import hashlib
import json
import math
import re
import tempfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.gate.accepted import Accepted, Contains, merged
from harness.provenance import git
from harness.store import files
from harness.suggest import suggest

FILE = "gate_accepted.yaml"
"""Its name; it stands beside the zoo."""

VERSION = 1

HEADER = """\
# Changes that `harness gate` found and somebody accepted. Each stays visible in every report, and fails nothing.
# An entry covers the change between its two commits up to its size, and no later one. Remove it, or add one with:
#   harness gate --accept CASE --reason "why"
"""

ORDER = ("case", "metric", "finding", "up_to", "worst", "before", "after", "reason", "who", "when", "until")
"""Keys of an entry as they are written."""

NUMBERS = frozenset({"up_to", "worst"})
OPTIONAL = NUMBERS | {"until"}
DATES = frozenset({"when", "until"})
HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def read(path: Path) -> tuple[Accepted, ...]:
    """The entries of the file; none where it is missing.

    Raises:
        UsageError: if it cannot be read or is malformed; every mistake with its line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error}); mend or remove it") from error
    return parse(text, path)


def parse(text: str, path: Path) -> tuple[Accepted, ...]:
    """As `read`, of a text that stood in `path`.

    Raises:
        UsageError: if it is malformed.
    """
    root = _root(text, path)
    if root is None:
        return ()
    problems: list[str] = []
    top = _mapping(root, path, problems)
    if "version" not in top:
        problems.append(f"{path}:1: the key `version` is missing; write `version: {VERSION}`")
    elif top["version"].value != str(VERSION):
        problems.append(f"{_at(top['version'], path)}: version {top['version'].value!r}; this harness reads {VERSION}")
    for name, node in top.items():
        if name not in ("version", "accepted"):
            problems.append(f"{_at(node, path)}: unknown key {name!r}; {suggest(name, ('version', 'accepted'))}")
    listed = top.get("accepted")
    nodes: list[Any] = []
    if listed is not None and listed.id == "sequence":
        nodes = listed.value
    elif listed is not None and listed.value:
        problems.append(f"{_at(listed, path)}: `accepted` must be a list of entries, each beginning with `- case:`")
    found = [_entry(node, path, problems) for node in nodes]
    if problems:
        raise UsageError("\n".join(problems))
    return tuple(entry for entry in found if entry is not None)


def render(entries: Sequence[Accepted]) -> str:
    """The file's whole text. Texts are quoted as JSON, which is YAML as well, so that no hash reads as a number."""
    lines = [HEADER, f"version: {VERSION}\n", "accepted:" + ("\n" if entries else " []\n")]
    for entry in merged((), entries):
        values = [(name, getattr(entry, name)) for name in ORDER if getattr(entry, name) is not None]
        for place, (name, value) in enumerate(values):
            shown = repr(float(value)) if name in NUMBERS else json.dumps(_printable(value), ensure_ascii=False)
            lines.append(f"{'- ' if place == 0 else '  '}{name}: {shown}\n")
    return "".join(lines)


def add(path: Path, new: Sequence[Accepted]) -> tuple[Accepted, ...]:
    """Add entries to the file, keeping what others add at the same moment.

    Returns:
        Everything that the file now holds.

    Raises:
        UsageError: if what is there is malformed; it is left as it is.
        StoreError: if it cannot be written; what is there stays.
    """
    with files.Lock.wait(_lock_of(path)):
        entries = merged(read(path), new)
        files.write(path, render(entries).encode())
    return entries


def author(folder: Path) -> str:
    """Who accepts: git's user of this checkout, else the system's."""
    name, mail = git(folder, "config", "user.name"), git(folder, "config", "user.email")
    if name:
        return f"{name} <{mail}>" if mail else name
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "unknown"


def contains_in(folder: Path) -> Contains:
    """How the commits of the clone around `folder` follow one another, for `harness.gate.accepted.apply`.

    What is no full hash (a runtime) follows nothing. A commit that this clone does not have, or a "no" from a shallow
    clone, which does not see far enough, is None.
    """
    shallow = git(folder, "rev-parse", "--is-shallow-repository") != "false"

    def contains(commit: str, other: str) -> bool | None:
        if commit == other:
            return True
        if not (HASH.fullmatch(commit) and HASH.fullmatch(other)):
            return False
        if any(git(folder, "cat-file", "-t", name) != "commit" for name in (commit, other)):
            return None
        if git(folder, "merge-base", commit, other) == other:
            return True
        return None if shallow else False

    return contains


def today() -> str:
    """The present day in UTC, ISO 8601."""
    return dt.datetime.now(dt.UTC).date().isoformat()


def beside(zoo: Path) -> Path:
    """Where the accepted changes of a zoo are kept."""
    return zoo.parent / FILE


def _is_day(text: str) -> bool:
    try:
        return dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _lock_of(path: Path) -> Path:
    """A lock that nobody commits: in git's own folder, or outside git among the system's temporary files."""
    inside = git(path.parent, "rev-parse", "--absolute-git-dir")
    if inside:
        return Path(inside) / "harness-accepted.lock"
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"harness-accepted-{getpass.getuser()}-{name}.lock"


def _printable(text: str) -> str:
    """One line without what YAML cannot hold."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def _root(text: str, path: Path) -> Any:
    """The document as YAML's nodes, which know their lines and leave every scalar as it was written."""
    import yaml

    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(f"{path}:{mark.line + 1 if mark else 1}: not YAML: {said}") from error
    except RecursionError:
        raise UsageError(f"{path}:1: nested too deeply to be a list of accepted changes") from None


def _entry(node: Any, path: Path, problems: list[str]) -> Accepted | None:
    before = len(problems)
    keys = _mapping(node, path, problems)
    if len(problems) > before:
        return None
    names = tuple(field.name for field in fields(Accepted))
    values: dict[str, Any] = {}
    for name, found in keys.items():
        where = _at(found, path)
        if name not in names:
            problems.append(f"{where}: unknown key {name!r}; {suggest(name, ORDER)}")
        elif not isinstance(found.value, str) or not found.value.strip():
            problems.append(f"{where}: {name}: expected {'a number' if name in NUMBERS else 'text'} on one line")
        elif name in NUMBERS:
            values[name] = _number(found.value, f"{where}: {name}", problems)
        elif name in DATES and not _is_day(found.value):
            problems.append(f"{where}: {name}: expected a day such as 2026-01-31, found {found.value!r}")
        else:
            values[name] = found.value
    missing = [name for name in ORDER if name not in OPTIONAL and name not in keys]
    if missing:
        problems.append(f"{_at(node, path)}: the entry lacks {', '.join(missing)}")
    return Accepted(**values) if len(problems) == before else None


def _number(text: str, what: str, problems: list[str]) -> float | None:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value):
        return value
    problems.append(f"{what}: expected a number such as 1.05, found {text!r}")
    return None


def _mapping(node: Any, path: Path, problems: list[str]) -> dict[str, Any]:
    """A mapping's nodes by key; a duplicate or a key that is no text is a problem."""
    pairs = node.value if node.id == "mapping" else None
    if pairs is None:
        problems.append(f"{_at(node, path)}: expected keys with values, such as `case: ...`")
        return {}
    found: dict[str, Any] = {}
    for key, value in pairs:
        if not isinstance(key.value, str):
            problems.append(f"{_at(key, path)}: a key must be text")
        elif key.value in found:
            problems.append(f"{_at(key, path)}: duplicate key {key.value!r}")
        else:
            found[key.value] = value
    return found


def _at(node: Any, path: Path) -> str:
    return f"{path}:{node.start_mark.line + 1}"
