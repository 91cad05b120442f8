"""The runtimes that lie in the cache: what each is, and its removal."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import frameworks, runtime_spec, sealed
from harness.build.cache import Cache
from harness.errors import UsageError
from harness.flavours import is_flavour, normal
from harness.providers import PLUGINS
from harness.runtimes import environments, framework_environments, languages
from harness.runtimes.environments import Say, silent
from harness.runtimes.resolve import KIND, MADE_OF, Runtime, resolve, resolve_other
from harness.suggest import suggest

OTHERS = frozenset(parts.own[-1] for parts in MADE_OF.values())
"""Distributions of runtimes that are not an onnxruntime."""

BUILT: Mapping[str, str] = {
    "worker-*": "worker in C++",
    "classes": "worker in Java",
    "onnxruntime_c_api.h": "headers of onnxruntime",
}
"""What lies in a folder that needs no description -> what is said of it."""

LEAST_DIGITS = 6
"""Of a digest that is given to name a runtime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One runtime in the cache.

    Attributes:
        name: as it was asked for, such as `onnxruntime==1.23.0`.
        digest: its folder's name.
        python: its interpreter.
        packages: the distributions that make it a runtime -> version.
        bytes: of everything in its folder.
        damage: why it will be made again; else empty.
        yanked: why its publisher had withdrawn it from the index when it was installed; else empty.
    """

    name: str
    digest: str
    python: str
    packages: Mapping[str, str]
    bytes: int
    damage: str = ""
    yanked: str = ""


def everything(root: Path) -> list[Kept]:
    """All runtimes in a cache, by name; nothing is marked as used."""
    folder = root / KIND
    places = (
        [one for one in folder.iterdir() if one.is_dir() and not one.name.startswith(".")] if folder.is_dir() else []
    )
    return sorted((_kept(place) for place in places), key=lambda one: (one.name, one.digest))


def install(
    spec: str,
    root: Path,
    *,
    plugins: Sequence[str] = (),
    say: Say = silent,
    find: Callable[..., languages.WorkerProgram] = languages.find,
) -> Runtime:
    """Make a runtime now, where the cache does not have it; `find` makes that of another language.

    Raises:
        UsageError: it cannot be had, or is none that is installed apart.
        StoreError: the cache cannot be written.
    """
    if runtime_spec.runs_network(spec) or runtime_spec.is_own(spec):
        raise UsageError(f"{spec} is what is installed beside harness: install it with pip")
    if found := runtime_spec.language(spec):
        if plugins:
            raise UsageError(f"{spec} loads no plugin here: plugins are for onnxruntime in Python")
        program = find(spec, root, say=say)
        # What is started has no interpreter of Python: the file that its command ends with stands for it.
        return Runtime(
            spec=spec,
            python=program.command[-1],
            package=program.package or found[0],
            version=found[1],
            installed={},
            digest=program.digest,
        )
    if runtime_spec.other(spec):
        if wrong := runtime_spec.problem_of_target(spec):
            raise UsageError(f"runtime {wrong}")
        if plugins:
            raise UsageError(f"{spec} is not an onnxruntime and loads no plugin of one")
        return resolve_other(spec, root, say=say)
    return resolve(spec, root, say=say, beside=tuple(plugins))


def remove(names: Sequence[str], root: Path) -> list[Kept]:
    """Take runtimes out of the cache, by their names or the first digits of their digests; all of them or none.

    Raises:
        UsageError: a name fits none.
        StoreError: the cache cannot be written.
    """
    held = everything(root)
    chosen: dict[str, Kept] = {}
    for name in names:
        fit = [
            one
            for one in held
            if name.replace(" ", "") == one.name.replace(" ", "")
            or (len(name) >= LEAST_DIGITS and one.digest.startswith(name))
        ]
        if not fit:
            raise UsageError(
                f"no runtime {name} in {root / KIND}; {suggest(name, [one.name or one.digest for one in held])}"
            )
        chosen |= {one.digest: one for one in fit}
    cache = Cache(root)
    with cache.writing():
        for one in chosen.values():
            cache.discard(root / KIND / one.digest)
    return list(chosen.values())


def _kept(place: Path) -> Kept:
    found = sealed.opened(place / environments.META, f"{KIND}/{place.name}")
    content = found.content or {}
    said = content.get("installed")
    installed = {str(name): str(version) for name, version in said.items()} if isinstance(said, dict) else {}
    python = environments.interpreter(place / "venv")
    made_by = str(content.get("made_by", ""))
    of_frameworks = _of_frameworks() if made_by.startswith(framework_environments.WHAT) else frozenset()
    if isinstance(package := content.get("package"), str):
        installed = {package: str(content.get("version", ""))}  # of npm, which brings no Python
    built = "" if content or found.damage else _built(place)
    damage = found.damage or ("" if content or built else "is not whole")
    if not damage and not built and not isinstance(package, str) and not python.exists():
        damage = "has lost its Python"
    return Kept(
        name=made_by or built,
        digest=place.name,
        python=str(python),
        packages={
            name: version
            for name, version in installed.items()
            if name == package or is_flavour(name) or name in PLUGINS or normal(name) in OTHERS or name in of_frameworks
        },
        bytes=_size(place),
        damage=damage,
        yanked=str(content.get("yanked", "")),
    )


def _built(place: Path) -> str:
    """What a folder without a description holds, which harness compiled or fetched for a language; else empty."""
    for pattern, name in BUILT.items():
        if any(place.parent.glob(f"{place.name}/{pattern}")):
            return name
    return ""


@functools.cache
def _of_frameworks() -> frozenset[str]:
    """The distributions that make an environment a framework's, as they call themselves."""
    apart = [one for one in map(frameworks.get, frameworks.names()) if one.apart]
    names = {name for one in apart for name in one.packages}
    return frozenset({*names, *(name.replace("-", "_") for name in names)})


def _size(place: Path) -> int:
    """Bytes of the files below a folder; what goes away meanwhile counts for nothing."""
    total = 0
    for path in place.rglob("*"):
        try:
            total += 0 if path.is_symlink() or not path.is_file() else path.stat().st_size
        except OSError:
            continue
    return total
