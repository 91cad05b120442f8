"""Files without a zoo: the zoo that is assumed for them, which is what `harness init` would write.

The files are read in a child process: nothing that runs beside a timing imports a framework, and a file that takes its
reader down costs only what would have been read of it. What cannot be read still gets an entry: whatever is wrong
with it is its own cases' failure, and the other files go on.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import importable, jobs, units
from harness.data import beside
from harness.errors import UsageError
from harness.init import assume, models
from harness.paths import typed
from harness.special_files import lost_link, special
from harness.store import files
from harness.suggest import similar

ENDINGS = (".onnx", ".ort")
PREFIX = "file:"
FOLDER = "assumed"
"""Of the cache: the zoo files, each by the digest of its content, so that an interrupted sweep finds its own again."""

LONGEST_NAME = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Refinements:
    """What a person says of files that have no zoo.

    Attributes:
        inputs: `NAME=DTYPE[axes]`, instead of what the file says of that input.
        data: an .npz file, a folder of .npz files (one per example), of test_data_set_N folders or of images, or a
            function that yields feeds, as `module:function`; None takes random numbers.
        budget: such as `20dB`, `1%`, `20ms` or `10MB`, several separated by commas; None takes the usual one.
        labels: the array of an .npz file that holds the classes that are right; None where it is not said.
    """

    inputs: tuple[str, ...] = ()
    data: str | None = None
    budget: str | None = None
    labels: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssumedZoo:
    """The zoo file that was written for some files.

    Attributes:
        path: of the zoo file, in the cache.
        notes: what was assumed, one line each.
    """

    path: Path
    notes: tuple[str, ...]


def is_file(text: str) -> bool:
    """Whether a text on the command line names a model file: by its prefix, or by its ending."""
    return text.startswith(PREFIX) or text.lower().endswith(ENDINGS)


def assumed(
    paths: Sequence[str], refine: Refinements, *, cache: Path, variants: Sequence[str] = assume.VARIANTS
) -> AssumedZoo:
    """Write the zoo that is assumed for some files.

    Args:
        paths: the files, which may be anything: what is not a model fails by itself when it is built.
        refine: what a person says of them.
        cache: root of the cache.
        variants: what is measured where the command line names none.

    Raises:
        UsageError: a file is not there, or a refinement makes no sense.
        StoreError: the cache cannot be written.
    """
    found = [typed(text.removeprefix(PREFIX)) for text in paths]
    for path in found:
        if what := special(path):
            raise UsageError(f"{path} is {what}; give a plain file")
        if what := lost_link(path):
            raise UsageError(f"{path} is {what}")
    if folder := next((path for path in found if path.is_dir()), None):
        inside = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in ENDINGS)[:3]
        raise UsageError(
            f"{folder} is a folder; give its files" + (f", such as {folder / inside[0]}" if inside else "")
        )
    if missing := [str(path) for path in found if not path.is_file()]:
        zoo = next((name for name in missing if name.endswith((".yaml", ".yml"))), None)
        way = f"; a zoo is given with --zoo {zoo}" if zoo else similar_files(missing[0])
        raise UsageError(f"there is no file {', '.join(missing)}{way}")
    for path in found:
        if path.suffix in (".yaml", ".yml"):
            raise UsageError(f"{path} is a zoo and no model: give it with --zoo {path}")
    specs = [asdict(models.parse_input(text)) for text in refine.inputs]
    request = {
        "models": dict(zip(names(found), (str(path.absolute()) for path in found), strict=True)),
        "inputs": specs,
        "data": labelled(data_entry(refine.data), refine.labels),
        "budget": budget_entry(refine.budget),
        "variants": list(variants),
    }
    said = ask(request)
    text = json.dumps(said["zoo"], indent=1)
    place = cache.absolute() / FOLDER / hashlib.sha256(text.encode()).hexdigest()[:32] / "model_zoo.yaml"
    files.write(place, text.encode())
    return AssumedZoo(path=place, notes=tuple(said["notes"]))


def names(paths: Sequence[Path]) -> list[str]:
    """A name for each file: its stem, with a number where another one is called so, in whatever case."""
    found: list[str] = []
    for path in paths:
        stem = models.entry_name(f"{path.stem}.onnx")[:LONGEST_NAME]
        name, count = stem, 1
        while name.lower() in {other.lower() for other in found}:
            count += 1
            name = f"{stem}-{count}"
        found.append(name)
    return found


def ask(request: Mapping[str, Any]) -> dict[str, Any]:
    """The zoo and the notes, from a child that reads the files; without it, from their names alone.

    Raises:
        UsageError: a refinement does not fit any of the files.
    """
    answer: dict[str, Any] | None = None
    command = (sys.executable, "-P", "-m", assume.__name__)
    with jobs.child(command, request, environment=os.environ) as reader:
        for message in reader.messages():
            answer = message
    if answer is None:  # a file took its reader down
        answer = assume.answer({**request, "unread": True})
    if "error" in answer:
        raise UsageError(answer["error"])
    return answer


def data_entry(text: str | None) -> dict[str, Any] | None:
    """The zoo's data entry for what `--data` names.

    Raises:
        UsageError: it is not a file or folder of examples, and not the name of a function.
    """
    if text is None:
        return None
    path = typed(text)
    if path.is_dir():
        whole = str(path.resolve())
        if any(path.glob("*.npz")):
            return {"source": "npz", "path": whole}
        if beside.sets(path):
            return {"source": "test_sets", "sets": whole}
        return {"source": "images", "folder": whole}
    if path.is_file() and path.suffix.lower() == ".npz":
        return {"source": "npz", "path": str(path.resolve())}
    if not path.exists() and re.fullmatch(importable.PATTERN, text, re.ASCII):
        return {"source": "callable", "function": text}
    what = (
        "is neither an .npz file nor a folder of .npz files, test_data_set_N folders or images"
        if path.exists()
        else "does not exist, and is not a module:function"
    )
    raise UsageError(f"--data {text}: {what}; any other data belongs in a zoo (`harness init` writes one)")


def labelled(data: dict[str, Any] | None, labels: str | None) -> dict[str, Any] | None:
    """A data entry with the array that holds labels.

    Raises:
        UsageError: the data is no .npz file or folder of such.
    """
    if labels is None:
        return data
    if data is None or data["source"] != "npz":
        raise UsageError(f"--labels {labels[:80]}: names an array of an .npz file; give that with --data FILE.npz")
    return {**data, "labels": labels}


LIMITS = {
    "dB": "fidelity_db",
    "%": "accuracy_drop",
    **dict.fromkeys(("us", "µs", f"{units.MU}s", "ms", "s"), "latency"),
    **dict.fromkeys(("uJ", "µJ", f"{units.MU}J", "mJ", "J", "kJ"), "energy"),
}
"""Unit -> the limit that it means where none is named; any unit of bytes means `size`."""

NAMED = ("accuracy_drop", "accuracy_share", "fidelity_db", "fidelity_equal", "latency", "size", "memory", "energy")
"""Limits that can be named, as a zoo names them."""


def budget_entry(text: str | None) -> dict[str, Any] | None:
    """The zoo's budget for what `--budget` says.

    Raises:
        UsageError: a part of it is not a limit of a build.
    """
    if text is None:
        return None
    budget: dict[str, Any] = {}
    for part in text.split(","):
        name, named, value = part.rpartition("=")
        match = re.fullmatch(r"([0-9]{1,20}(?:\.[0-9]{1,20})?|\.[0-9]{1,20})\s*(\S{1,4})", value.strip())
        key = LIMITS.get(match[2], "size" if match[2].endswith("B") else "") if match else ""
        if named and key:
            key = _named(name.strip(), key)
        if not match or not key or key in budget:
            raise UsageError(
                f"--budget {text[:80]}: expected what a build may cost, such as 20dB (fidelity), 1% (accuracy), 20ms "
                f"(latency), 10MB (size), memory=256MB or 5mJ (energy of an inference), each once, separated by commas"
            )
        budget[key] = float(match[1]) if match[2] == "dB" else f"{match[1]}{match[2]}"
    return budget


def _named(name: str, of_unit: str) -> str:
    """The limit of this name, where such a unit suits it; else empty."""
    alike = {"size": ("size", "memory"), "accuracy_drop": ("accuracy_drop", "accuracy_share", "fidelity_equal")}
    return name if name in NAMED and name in alike.get(of_unit, (of_unit,)) else ""


def similar_files(missing: str) -> str:
    """What a person may have meant."""
    folder = Path(missing).parent
    there = [path.name for path in folder.glob("*") if path.suffix in ENDINGS] if folder.is_dir() else []
    return similar(Path(missing).name, there)
