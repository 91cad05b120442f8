"""What a person asked to compare -> two sides, ready to build and to measure.

A side is a commit, the working tree, an interpreter, a zoo file, a case or a model file. Commits become
worktrees. Where two sides depend on another onnxruntime, each is measured on its own; where one depends on packages
that the other does not, and the interpreter at hand does not have them, it is built in an environment of its own; where
only the code differs, each side's artifacts go into a cache of its own, because an artifact's digest does not cover all
code that may have made it.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness import provenance
from harness.build import packages
from harness.errors import UsageError, WorkerError
from harness.flavours import FLAVOURS, normal
from harness.gate.model import Side
from harness.gate.sides import code, worktrees
from harness.gate.sides.dependencies import unmet
from harness.gate.sides.matching import FILE
from harness.gate.sides.spec import WORKING_TREE, SideSpec, read_spec, working_tree
from harness.init import bare
from harness.init.bare import Refinements
from harness.runtimes import environments
from harness.runtimes import resolve as runtimes
from harness.runtimes.client import Client
from harness.runtimes.environments import Say, silent
from harness.runtimes.resolve import Runtime

ENVIRONMENTS = "environments"
SIDES = "sides"
"""Folders of the cache: environments of commits, and the artifacts of code that differs between sides."""

NEEDS = ("numpy", "onnx", "pydantic>=2.9", "pyyaml", "platformdirs", "packaging")
"""What building needs beside a project's own requirements."""


def resolve(
    *,
    base: str | None,
    head: str | None = None,
    base_runtime: str | None = None,
    head_runtime: str | None = None,
    base_python: str | None = None,
    head_python: str | None = None,
    zoo: Path,
    cache: Path,
    own: Sequence[Path] = (),
    refine: Refinements | None = None,
    say: Say = silent,
    runtime: Callable[..., Runtime] = runtimes.resolve,
) -> tuple[Side, Side]:
    """The two sides of a gate.

    Args:
        base: a revision, a zoo file, a case or a model file (see `spec.read_spec`); None is the working tree.
        head: likewise.
        base_runtime: what measures the base (`harness.runtimes.resolve`); None leaves it to what the tree depends on.
        head_runtime: likewise.
        base_python: an interpreter that builds and measures the base, which is then the working tree.
        head_python: likewise.
        zoo: the zoo file of the working tree.
        cache: root of the cache.
        own: files and folders that the command itself writes, such as the results: no change of a tree, and no code.
        refine: what is said of sides that are files.
        say: hears what takes time.
        runtime: finds what measures, by its spec.

    Raises:
        UsageError: one of them is none of these, cannot be had, or both are the same thing.
        StoreError: the cache cannot be written.
    """
    if not any((base, base_runtime, head_runtime, base_python, head_python)):
        raise UsageError(
            "There is nothing to compare with: give --base (a commit or branch such as main, a zoo file, a case), "
            "--base-runtime and --head-runtime (such as onnxruntime==1.23.0), or --base-python (an interpreter)"
        )
    zoo = zoo.absolute()
    own = (*own, cache)
    here = working_tree(zoo, own)
    given = refine or bare.Refinements()
    second = read_spec("head", head, here, cache, refine=given, python=head_python)
    first = read_spec("base", base, here, cache, against=second, refine=given, python=base_python)
    places = [first, second]
    kinds = {one.kind for one in places}
    if given != bare.Refinements() and FILE not in kinds:
        raise UsageError("--data, --input and --budget go with sides that are files; a zoo says these things itself")
    if "case" in kinds and kinds != {"case"}:
        raise UsageError(
            f"{base} against {head or WORKING_TREE}: a case can only be set against a case; give --head a case as "
            f"well, or choose cases of two commits with --models and --variants"
        )
    if FILE in kinds and kinds != {FILE}:
        raise UsageError(
            f"{base or WORKING_TREE} against {head or WORKING_TREE}: a file can only be set against a file; name one "
            f"with --base and the other with --head, such as --base old.onnx --head new.onnx"
        )
    specs = _specs(places, (base_runtime, head_runtime))
    measuring = {spec: runtime(spec, cache, say=say) for spec in dict.fromkeys(specs)}
    said = {spec: _hello(runtime) for spec, runtime in measuring.items()}
    sides = [
        _side(one, other, measuring[spec], said[spec], cache.absolute(), say)
        for one, other, spec in zip(places, reversed(places), specs, strict=True)
    ]
    return _apart(sides, cache.absolute(), provenance.inside(here.tree, own) if here.tree else ())


def _specs(places: list[SideSpec], asked: tuple[str | None, str | None]) -> list[str]:
    """The runtime spec that measures each side.

    A side that is an interpreter says it itself. Else both are measured on the onnxruntime beside harness
    where it satisfies what both depend on, and each on its own where it does not.
    """
    named = [one.depends.runtime for one in places]
    apart = not any(asked) and bool(unmet(filter(None, named), _installed()))
    specs = []
    for one, given in zip(places, asked, strict=True):
        if one.kind == "interpreter":
            if given:
                raise UsageError(f"--{one.role}-python {one.asked} measures itself: omit --{one.role}-runtime")
            specs.append(one.asked)
        else:
            specs.append(given or (one.depends.runtime if apart and one.depends.runtime else runtimes.CURRENT))
    return specs


def _side(one: SideSpec, other: SideSpec, runtime: Runtime, said: Mapping[str, object], cache: Path, say: Say) -> Side:
    """A place with what builds it and what measures it."""
    notes = list(one.notes)
    if runtime.spec != runtimes.CURRENT and runtime.spec == one.depends.runtime:
        notes.append(f"{one.role}: measured on {runtime.package} {runtime.version}, as its {one.depends.source} says")
    python, build = sys.executable, provenance.versions(packages.distributions())
    if one.kind == "interpreter":
        python, build = runtime.python, on_the_path(runtime.installed)
    elif missing := _missing(one, other):
        environment = _environment(one, cache, say)
        python, build = environment.python, on_the_path(environment.installed)
        notes.append(
            f"{one.role}: built with packages of its own, because {one.depends.source} asks for {', '.join(missing)}"
        )
    changed = sorted({name for name, _ in set(one.depends.locks) ^ set(other.depends.locks)})
    if changed and one.role == "head":
        notes.append(
            f"{', '.join(changed)} differs between the sides; nothing is installed from lock files: pin in "
            f"{one.depends.source or 'requirements.txt'} what has to differ"
        )
    unnamed = runtime.spec in (runtimes.CURRENT, one.depends.runtime) and one.depends.runtime == other.depends.runtime
    if one.role == "head" and unnamed:
        notes += _unread(one, other, f"{runtime.package} {runtime.version}")
    versions = {name: value for name, value in build.items() if name not in FLAVOURS}
    return Side(
        role=one.role,
        asked=one.asked,
        kind=one.kind,
        zoo=one.zoo,
        python=python,
        worker=runtime.worker,
        spec=runtime.spec,
        runtime=said,
        commit=one.commit,
        dirty=bool(one.changed),
        versions={**versions, runtime.package: runtime.version},
        tree=one.tree,
        path=_path(one, cache),
        cache=cache,
        case=one.case,
        notes=tuple(notes),
    )


def _unread(one: SideSpec, other: SideSpec, measured: str) -> list[str]:
    """Notes where the sides name other versions of ONNX Runtime in files that nobody reads: silence would hide it."""
    head, base = dict(one.depends.pins), dict(other.depends.pins)
    none = "no onnxruntime"
    return [
        f"{name} names {base.get(name, none)} in base and {head.get(name, none)} in head, and is not read: both run on "
        f"{measured} here. To compare the two, give --base-runtime and --head-runtime"
        for name in sorted({*head, *base})
        if head.get(name) != base.get(name)
    ]


def _missing(one: SideSpec, other: SideSpec) -> tuple[str, ...]:
    """What a side depends on, the other does not, and the interpreter at hand does not have."""
    if one.kind not in ("commit", "tree"):
        return ()
    return unmet(sorted(set(one.depends.requirements) - set(other.depends.requirements)), _installed())


def _installed() -> Mapping[str, str]:
    return environments.describe(sys.executable).installed


def _environment(one: SideSpec, cache: Path, say: Say) -> environments.Environment:
    """An environment with what a commit depends on; its runtime only builds."""
    needs: tuple[str, ...] = () if code.is_harness(one.tree) else NEEDS
    if not one.depends.runtime and not code.is_harness(one.tree):
        current = runtimes.of_interpreter(sys.executable, runtimes.CURRENT)
        needs = (*needs, f"{current.package}=={current.version}")
    named = {normal(runtimes.name_of(text)) for text in one.depends.arguments}
    arguments = [*one.depends.arguments, *(need for need in needs if runtimes.name_of(need) not in named)]
    where = cache / ENVIRONMENTS / environments.key_of({"requirements": sorted(arguments)})
    what = f"the packages of {one.asked} ({(one.commit or '')[: worktrees.SHORT]})"
    return environments.ensure(where, arguments, what=what, prove=("numpy", "onnx"), say=say)


def on_the_path(installed: Mapping[str, str]) -> dict[str, str]:
    """Of what is installed, what can change a number."""
    return {name: installed[name] for name in packages.distributions() if name in installed}


def _hello(runtime: Runtime) -> dict[str, object]:
    """What a worker says of its runtime; `package` and `digest` tell builds of one version apart."""
    try:
        said = _own_hello() if runtime.python == sys.executable else _asked(runtime.worker)
    except WorkerError as error:
        raise UsageError(f"runtime {runtime.spec}: no worker starts on {runtime.python}: {error}") from error
    return {**said, "package": runtime.package, "digest": runtime.digest}


@functools.cache
def _own_hello() -> Mapping[str, object]:
    """What a worker on this interpreter says, asked once."""
    return _asked(runtimes.worker(sys.executable))


def _asked(command: tuple[str, ...]) -> Mapping[str, object]:
    """What the worker of a command says of its runtime."""
    with Client(command) as worker:
        return dict(worker.hello["runtime"])


def _path(one: SideSpec, cache: Path) -> tuple[str, ...]:
    """Where a side's build finds modules: its own tree before all else, and harness where the tree is not harness."""
    folders = [one.zoo.parent]
    if one.tree is not None:
        folders += [one.tree, one.tree / "src"]
    found = [str(folder) for folder in dict.fromkeys(folders) if folder.is_dir()]
    return tuple(found) if code.is_harness(one.tree) else (*found, str(code.copy_of_harness(cache)))


def _apart(sides: list[Side], cache: Path, own: Sequence[str]) -> tuple[Side, Side]:
    """Give each side a cache of its own where the code or the packages that build differ."""
    base, head = sides
    same_tree = base.tree == head.tree
    digests = [
        hashlib.sha256(f"{'' if same_tree else code.digest(s.tree, s.zoo, own)}\n{s.python}".encode()).hexdigest()
        for s in sides
    ]
    if digests[0] == digests[1]:
        return base, head
    first, second = (dataclasses.replace(s, cache=cache / SIDES / d[:32]) for s, d in zip(sides, digests, strict=True))
    return first, second
