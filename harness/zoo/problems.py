"""Mistakes in a zoo file, collected: each with file, line, key path, what was found and what would be valid."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

from harness.errors import ZooError
from harness.suggest import nearest, suggest
from harness.zoo.text import Map, Position, Seq, locate

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

Keys = tuple[Hashable, ...]

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text (in quotes where it looks like something else)",
    "bool_type": "true or false",
    "list_type": "a list, such as [a, b]",
    "dict_type": "a mapping, such as {key: value}",
    "model_type": "a mapping, such as {key: value}",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


class Problems:
    """Collects every mistake of one file, so that they are reported at once, in the order of the file."""

    def __init__(self, path: Path, root: Map) -> None:
        self._path = path
        self.root = root  # what key paths are looked up in; replaced once `extends` is carried out
        self._found: dict[tuple[Position, str], str] = {}

    def add(self, keys: Keys, text: str) -> None:
        """Record a mistake at a key path; one that aliases or `extends` repeat is recorded once."""
        self.add_at(locate(self.root, keys), text, keys)

    def add_at(self, mark: Position, text: str, keys: Keys = ()) -> None:
        """Record a mistake at a place."""
        where = f"{self._path}:{mark.line}: "
        self._found.setdefault((mark, text), where + (f"{dotted(keys)}: " if keys else "") + text)

    def add_unknown(self, keys: Keys, what: str, name: Any, valid: Iterable[str]) -> None:
        """Record a name that is not known, with the nearest one and all of them."""
        self.add(keys, f"unknown {what} {name!r}; {suggest(str(name), valid)}")

    def add_invalid(self, model: type[BaseModel], errors: Iterable[ErrorDetails], inherited: set[Keys]) -> list[Keys]:
        """Record pydantic's errors about `model`, and return their key paths.

        Args:
            model: the class that was validated.
            errors: `ValidationError.errors()`.
            inherited: entries whose parent could not be found, so that missing keys in them mean nothing.
        """
        paths: list[Keys] = []
        for error in errors:
            keys = tuple(key for key in error["loc"] if key != "[key]")
            paths.append(keys)
            if error["type"] == "missing":
                if keys[:-1] not in inherited:
                    self.add(keys, f"missing key {keys[-1]!r}")
            elif error["type"] == "extra_forbidden":
                self.add_unknown(keys, "step" if "steps" in keys[-3:-1] else "key", keys[-1], keys_at(model, keys[:-1]))
            else:
                self.add(keys, explained(error))
        return paths

    def raise_if_any(self) -> None:
        """Raise `ZooError` with everything recorded, in the order of the file."""
        if self._found:
            raise ZooError([line for (_, line) in sorted(self._found.items(), key=lambda item: item[0][0])])


def dotted(keys: Keys) -> str:
    """Return a key path as text, such as `targets.cpu.session_config["session.intra_op.allow_spinning"]`."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        elif re.search(r"[^\w-]", str(key)):
            text += f'["{key}"]'
        else:
            text += f".{key}"
    return text.removeprefix(".")


def keys_at(annotation: Any, keys: Keys) -> list[str]:
    """Return the keys that are valid at a key path below a type made of pydantic models, lists and mappings."""
    from pydantic import BaseModel

    while True:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if not keys:
                return list(annotation.model_fields)
            annotation, keys = annotation.model_fields[str(keys[0])].annotation, keys[1:]
        elif get_origin(annotation) in (list, dict):
            annotation, keys = get_args(annotation)[-1], keys[1:]
        else:  # Annotated: the type itself comes first
            annotation = get_args(annotation)[0]


def shown(value: Any) -> str:
    """Return a value as a message shows it, cut where it is long."""
    if isinstance(value, Map | dict):
        text = "a mapping"
    elif isinstance(value, Seq | list):
        text = "a list"
    elif value is None:
        text = "nothing"
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        text = repr(value)
    limit = 80
    return text if len(text) <= limit else text[: limit - 3] + "..."


def explained(error: ErrorDetails) -> str:
    """Return a pydantic error in this file's words: what was found, what would be valid."""
    kind, found, ctx = error["type"], shown(error["input"]), error.get("ctx", {})
    if kind in _EXPECTED:
        text = f"expected {_EXPECTED[kind]}, found {found}"
    elif kind == "literal_error":
        valid = re.findall(r"'([^']*)'", ctx["expected"]) or re.findall(r"\d+", ctx["expected"])
        near = nearest(str(error["input"]), valid)
        text = f"found {found}; " + (f"did you mean {near!r}? " if near else "") + f"valid: {', '.join(valid)}"
    elif kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        text = f"must be {words} {ctx[key]}, found {found}"
    elif kind == "string_pattern_mismatch":
        text = f"{found} is not a name: use letters, digits, '.', '_' and '-', not '.' or '-' first"
    elif kind in ("too_short", "string_too_short"):
        text = "must not be empty"
    elif kind == "value_error":
        text = str(ctx["error"])
    else:
        text = f"{error['msg']}, found {found}"
    return text
