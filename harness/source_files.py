"""The files that a callable's code lives in, found without importing any of them. Standard library only.

Imports are read from the syntax trees and followed as far as they stay in the project that the callable belongs to:
modules that lie under the same root, or in the same package where that root is `site-packages`. What is imported by
a computed name is not seen.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path


def digest(target: str) -> str | None:
    """What the code of `module:callable` is known by; None when it has no plain file."""
    found = closure(target)
    if not found:
        return None
    whole = hashlib.sha256()
    for name, path in sorted(found.items()):
        whole.update(f"{name}:{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def closure(target: str) -> dict[str, Path]:
    """Module name -> file of the callable's module and of everything of its project that it imports.

    A callable of harness itself is its own file alone: the rest of harness is covered by `keys.REVISION`.
    """
    start = target.partition(":")[0]
    first = module_file(target)
    if first is None:
        return {}
    root = _root(start, first)
    package = start.partition(".")[0]
    found, todo = {start: first}, [start]
    while todo and package != "harness":
        module = todo.pop()
        for name in (*chain(start), *imports(module, found[module])):
            if name in found or (installed(root) and name.partition(".")[0] != package):
                continue
            path = below(root, name.split("."))
            if path is not None:
                found[name] = path
                todo.append(name)
    return found


def root_of(target: str) -> Path | None:
    """The folder from which `module:callable` is imported; None when it has no plain file."""
    first = module_file(target)
    return None if first is None else _root(target.partition(":")[0], first.absolute())


def _root(module: str, file: Path) -> Path:
    return file.parents[len(module.split(".")) - (file.name != "__init__.py")]


def imports(module: str, path: Path) -> Iterator[str]:
    """Every module that a file may import, packages above them included; nothing for a file that is not Python."""
    own = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return iter(_imported(own, path.read_bytes()))


@lru_cache(maxsize=2048)
def _imported(own: str, content: bytes) -> tuple[str, ...]:
    """The same of what a file of a package holds; the callables of a zoo have most of their files in common."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return ()
    found: list[str] = []
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found += chain(alias.name)
        elif isinstance(node, ast.ImportFrom):
            above = own.split(".")[: len(own.split(".")) - node.level + 1] if node.level else []
            base = ".".join(part for part in (*above, node.module) if part)
            found += chain(base)
            found += (f"{base}.{alias.name}".lstrip(".") for alias in node.names)
    return tuple(dict.fromkeys(found))


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Every statement, however deep: imports are in no expression, and those are most of a tree."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            todo += getattr(node, part, ())


def chain(name: str) -> Iterator[str]:
    """`a.b.c` as `a`, `a.b` and `a.b.c`: importing the last runs them all."""
    parts = name.split(".") if name else []
    return (".".join(parts[: n + 1]) for n in range(len(parts)))


def module_file(target: str) -> Path | None:
    """The file of `module:callable`, found without importing any package above it; None when it is not plain."""
    parts = target.partition(":")[0].split(".")
    for folder in (*sys.path, "."):
        path = below(Path(folder or "."), parts)
        if path is not None:
            return path
    try:
        spec = importlib.util.find_spec(parts[0])  # the top package alone is located, not executed
    except (ImportError, ValueError):
        return None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = below(Path(folder), parts[1:])
        if path is not None:
            return path
    return None


def below(root: Path, parts: list[str]) -> Path | None:
    """The file of a module under a folder."""
    base = root.joinpath(*parts)
    if parts and base.with_suffix(".py").is_file():
        return base.with_suffix(".py")
    return base / "__init__.py" if (base / "__init__.py").is_file() else None


def installed(root: Path) -> bool:
    """Whether a folder holds other people's packages, whose versions are in the digest already."""
    return root.name in ("site-packages", "dist-packages") or root == Path(ast.__file__).parent
