"""`harness init`: a zoo, asv's configuration and suite, and a workflow, for somebody else's repository.

What is there stays as it is: a file is made or not written at all, and only .gitignore is added to.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import frameworks, provenance, zoo
from harness.errors import UsageError
from harness.frameworks import surroundings
from harness.init import document, models, requirement, settings, workflows
from harness.store.files import guarded

ZOO = "model_zoo.yaml"
CONFIGURATION = "asv.conf.json"
IGNORED = ("__pycache__/", "/.asv/", "/html/", "/results/.lock", "/results/samples/*.parts/")
"""What asv and harness leave behind that is not a result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InitRequest:
    """What a person asked for.

    Attributes:
        folder: gets the files; inside a git checkout.
        models: .onnx files and `module:callable`s; none looks for .onnx files, and else writes an example.
        inputs: of the torch models, such as `image=float32[batch,3,224,224]`.
        harness: what pip installs harness from; None takes where this one came from.
        ci: workflows, keys of `workflows.FILES`, or `none`.
    """

    folder: Path
    models: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    harness: str | None = None
    ci: tuple[str, ...] = (workflows.SWEEP,)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFiles:
    """What became of each file, and how to go on.

    Attributes:
        made, kept: paths from the folder, in the order in which they were looked at.
        ignored: lines that were added to .gitignore.
        notes: what a person should know, one sentence each.
        commands: what to type next, from the folder.
    """

    made: tuple[str, ...]
    kept: tuple[str, ...]
    ignored: tuple[str, ...]
    notes: tuple[str, ...]
    commands: tuple[str, ...]


def init(request: InitRequest) -> WrittenFiles:
    """Write what is missing.

    Raises:
        UsageError: the folder is in no git checkout, a model cannot be used, or a file that is there cannot be read;
            nothing was written.
        StoreError: a file cannot be written.
    """
    folder = request.folder
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: make it, or name another one")
    ci = workflows.chosen(request.ci)
    top = provenance.checkout(folder, ignore=folder).top
    if top is None:
        raise UsageError(f"{folder.resolve()} is in no git checkout, and asv measures commits: run `git init` first")
    known = zoo.load(folder / ZOO) if (folder / ZOO).exists() else None
    chosen = models.choose(folder, request.models, request.inputs) if known is None else None
    own = requirement.own(request.harness)
    requirements = [own, *requirement.for_torch()] if chosen and chosen.torch else [own]
    beside = [one for one in known.models.values() if not surroundings.is_apart(one)] if known else []
    extras = {frameworks.get(model.source).extra for model in beside}
    if needed := sorted(filter(None, extras)):
        requirements = [requirement.with_extra(own, ",".join(needed))]
    there = settings.read(folder / CONFIGURATION) if (folder / CONFIGURATION).exists() else None
    conf = there if there is not None else settings.configuration(folder, requirements)

    wanted = texts(folder, top, conf, requirements, ci)
    if chosen is not None:
        wanted[ZOO] = document.template().replace(document.MODELS, chosen.text)
        if chosen.example:
            wanted[models.EXAMPLE_FILE] = workflows.template("tiny_model.py")
    made = tuple(name for name, text in wanted.items() if make(folder / name, text))
    ignored = ignore(folder / ".gitignore")
    notes = list(chosen.notes) if chosen else []
    if known and request.models:
        notes.append(f"{ZOO} was there already: add {', '.join(request.models)} to its models by hand")
    if there is not None and settings.PLUGIN not in there.get("plugins", []):
        notes.append(f'{CONFIGURATION} was there already: add "plugins": ["{settings.PLUGIN}"] to it by hand')
    installing = [name for name in made if name == CONFIGURATION or name.endswith(tuple(workflows.FILES.values()))]
    if requirement.is_local(own) and installing:
        notes.append(
            f"harness is installed from {own}, which no other machine has: for them, put what pip can install into "
            f"{' and '.join(name.removeprefix('../') for name in installing)}, or start again with --harness"
        )
    if any(name.endswith(workflows.FILES[workflows.GATE]) for name in made):
        notes.append(
            "gate.yml fails a pull request that got slower or worse; for the first weeks let it only warn: put `never` "
            "for `regression` there"
        )
    add = [*made, *([".gitignore"] if ignored else []), *(chosen.files if chosen else ())]
    return WrittenFiles(
        made=made,
        kept=tuple(name for name in [*([ZOO] if known else []), *wanted] if name not in made),
        ignored=ignored,
        notes=tuple(notes),
        commands=following(add),
    )


def texts(
    folder: Path, top: Path, conf: Mapping[str, Any], requirements: Sequence[str], ci: Sequence[str]
) -> dict[str, str]:
    """Every file but the zoo's own, by its path from the folder."""
    suite = Path(str(conf.get("benchmark_dir", "benchmarks")))
    inside = folder.resolve().relative_to(top.resolve()).as_posix()
    words = workflows.words(
        branch=settings.branch(folder),
        inside=inside,
        packages=[*(["."] if settings.is_package(folder) else []), *requirements],
        requirement=requirements[0],
        zoo=ZOO,
    )
    own = {relative(top / workflows.FILES[name], folder): workflows.text(name, words) for name in ci}
    return {
        CONFIGURATION: json.dumps(conf, indent=4) + "\n",
        (suite / "__init__.py").as_posix(): "",
        (suite / "sweep.py").as_posix(): workflows.template("sweep.py"),
        **own,
    }


def relative(path: Path, folder: Path) -> str:
    """A path as it is written from a folder."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def make(path: Path, text: str) -> bool:
    """Write a file unless there is one; say whether it was written.

    Raises:
        StoreError: it cannot be written.
    """
    if path.exists() or path.is_symlink():
        return False
    with guarded("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    return True


def ignore(path: Path) -> tuple[str, ...]:
    """Append what is missing of `IGNORED` to a .gitignore, and say what that was.

    Raises:
        StoreError: the file cannot be read or written.
    """
    with guarded("write", path):
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        there = {line.strip().strip("/") for line in text.splitlines()}
        missing = tuple(line for line in IGNORED if line.strip("/") not in there)
        if missing:
            start = "\n" if text and not text.endswith("\n") else ""
            with path.open("a", encoding="utf-8") as file:
                file.write(start + "".join(f"{line}\n" for line in missing))
    return missing


def following(add: Sequence[str]) -> tuple[str, ...]:
    """What to type next, up to a chart; committing only where there is something new."""
    commit = [f"git add {shlex.join(dict.fromkeys(add))}", "git commit -m 'Measure with onnx-harness'"] if add else []
    return (
        *commit,
        "asv machine --yes",
        "asv run --environment existing:same --set-commit-hash HEAD",
        "asv publish",
        "asv preview",
    )
