"""`[tool.harness]` of a project's pyproject.toml: defaults of options, for every verb or for one.

    [tool.harness]
    zoo = "bench/model_zoo.yaml"

    [tool.harness.sweep]
    threads = [1, 2]
    time-per-case = 2
    confirm = false

The command line comes first, then the environment, then this file, then the option's own default. A path is relative to
the file that names it.
"""

from __future__ import annotations

import inspect
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin

from typer.models import OptionInfo

from harness import foreign
from harness.errors import UsageError
from harness.suggest import suggest

FILE: Final = "pyproject.toml"
TABLE: Final = "tool.harness"
MAY_HOLD: Final = re.compile(
    rb"""\[\s*["']?tool["']?\s*(?:\]|\.\s*["']?harness\b)|^\s*["']?tool["']?\s*[.=]""", re.MULTILINE
)
"""Every way to begin `TABLE`: its own head, that of `tool`, and keys with dots."""

NEVER: Final = ("prune", "compare")
"""Options that no file sets: one deletes, one takes two words each time."""

Verb = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionDefault:
    """An option as a file can set it.

    Attributes:
        name: as it is typed, without dashes.
        parameter: of the verb's function.
        kind: `bool`, `int`, `float`, `str`, `Path` or `list`.
        least, most: its range; None has no end.
    """

    name: str
    parameter: str
    kind: type
    least: float | None
    most: float | None


def defaults(verbs: Mapping[str, Verb], running: str, start: Path | None = None) -> dict[str, dict[str, Any]]:
    """What pyproject.toml says of the verb that runs, as click takes it: verb -> parameter -> value.

    Args:
        verbs: all of them.
        running: the one whose options are wanted; of others only the names are looked at.
        start: where to begin to look for the file, upwards to the first one; the working directory where not given.

    Raises:
        UsageError: if the file cannot be read, or says what no option takes.
    """
    path = _file(start or Path.cwd())
    table = table_of(path) if path is not None else {}
    if path is None or not table or running not in verbs:
        return {}
    own = {one.name: one for one in options(verbs[running])}
    found: dict[str, Any] = {}
    of_verbs = {name: value for name, value in table.items() if isinstance(value, dict)}
    for name in table.keys() - of_verbs.keys() - own.keys():
        every = {one.name for verb in verbs.values() for one in options(verb)}
        if _plain(name) not in every:
            raise UsageError(f"{path}: [{TABLE}] {name}: no such option or verb; {suggest(name, [*every, *verbs])}")
    for name in of_verbs:
        if name not in verbs:
            raise UsageError(f"{path}: [{TABLE}.{name}]: no such verb; {suggest(name, verbs)}")
    for where, values, strict in ((TABLE, table, False), (f"{TABLE}.{running}", of_verbs.get(running, {}), True)):
        for key, value in values.items():
            if (option := own.get(_plain(key))) is not None:
                found[option.parameter] = _value(option, value, f"{path}: [{where}] {key}", path.parent)
            elif strict:
                raise UsageError(f"{path}: [{where}] {key}: {running} has no such option; {suggest(key, own)}")
    return {running: found}


def stated(start: Path | None = None) -> tuple[Path | None, dict[str, Any]]:
    """What the project's file sets, whatever verb it is for: the file, and `results` or `sweep.threads` -> value.

    Raises:
        UsageError: if the file cannot be read.
    """
    path = _file(start or Path.cwd())
    table = table_of(path) if path is not None else {}
    own = {name: value for name, value in table.items() if not isinstance(value, dict)}
    of_verbs = {f"{verb}.{name}": one for verb, some in table.items() if verb not in own for name, one in some.items()}
    return (path if table else None), own | of_verbs


def options(verb: Verb) -> Iterator[OptionDefault]:
    """The options of a verb that a file can set."""
    for name, parameter in inspect.signature(verb, eval_str=True).parameters.items():
        if get_origin(parameter.annotation) is not Annotated:
            continue
        hint, *more = get_args(parameter.annotation)
        info = next((one for one in more if isinstance(one, OptionInfo)), None)
        if info is None:
            continue
        # In `Annotated`, typer takes the first name for a default.
        decls = [one for one in (info.default, *(info.param_decls or ())) if isinstance(one, str) and one[:2] == "--"]
        said = _plain((decls[0] if decls else name).lstrip("-").partition("/")[0])
        if said not in NEVER:
            yield OptionDefault(name=said, parameter=name, kind=_kind(hint), least=info.min, most=info.max)


def _plain(name: str) -> str:
    return name.replace("_", "-")


def _kind(hint: Any) -> type:
    """The type behind `X | None` and `list[X]`."""
    if get_origin(hint) is list:
        return list
    inner = [one for one in get_args(hint) if one is not type(None)]
    return _kind(inner[0]) if inner else hint


def _file(start: Path) -> Path | None:
    """The nearest file, upwards as far as the repository reaches."""
    for folder in (start, *start.parents):
        if (folder / FILE).is_file():
            return folder / FILE
        if (folder / ".git").exists():
            return None
    return None


def table_of(path: Path) -> dict[str, Any]:
    """`[tool.harness]`; empty where there is none.

    Raises:
        UsageError: if the file is not TOML, and speaks of harness.
    """
    content = b""
    try:
        content = foreign.content(path)
        if not MAY_HOLD.search(content):  # a reader of TOML takes longer than all else that `--help` does
            return {}
        import tomllib

        found = tomllib.loads(content.decode("utf-8")).get("tool", {})
    except (OSError, ValueError, RecursionError) as error:
        if TABLE.encode() not in content:
            return {}
        raise UsageError(f"{path} cannot be read: {error}") from error
    table = found.get("harness", {}) if isinstance(found, dict) else {}
    if not isinstance(table, dict):
        raise UsageError(f"{path}: {TABLE} is not a table: write [{TABLE}]")
    return table


def _value(option: OptionDefault, value: Any, where: str, folder: Path) -> Any:
    """A value as the command line would give it.

    Raises:
        UsageError: if the option takes no such value.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if option.kind is list:
        many = value if isinstance(value, list) else [value]
        if all(isinstance(one, str) for one in many):
            return many
        raise UsageError(f"{where}: expected a text or a list of texts, found {value!r}")
    if option.kind is bool:
        if isinstance(value, bool):
            return value
        raise UsageError(f"{where}: expected true or false, found {value!r}")
    if option.kind in (int, float):
        return _number(option, value if number else None, f"{where}: expected", f"found {value!r}")
    if isinstance(value, list) and option.kind is str:
        return ",".join(map(str, value))
    if option.kind is Path and isinstance(value, str):
        path = (folder / Path(value).expanduser()).absolute()
        return os.path.relpath(path) if folder == Path.cwd() and not Path(value).is_absolute() else str(path)
    if isinstance(value, str) or (number and option.kind is str):
        return str(value)
    raise UsageError(f"{where}: expected a text, found {value!r}")


def _number(option: OptionDefault, value: float | None, expected: str, found: str) -> Any:
    """A number of the option's range.

    Raises:
        UsageError: if it is not one.
    """
    if value is None or not math.isfinite(value) or (option.kind is int and value != int(value)):
        raise UsageError(f"{expected} a{' whole' if option.kind is int else ''} number, {found}")
    low = -math.inf if option.least is None else option.least
    high = math.inf if option.most is None else option.most
    if not low <= value <= high:
        raise UsageError(f"{expected} a number from {low} to {high}, {found}")
    return option.kind(value)
