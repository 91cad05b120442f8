"""Base and head, case by case: what belongs together, what cannot be compared, and what cannot differ."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness import foreign, sealed
from harness.build.cache import Cache
from harness.gate.model import Contender, Match, Side
from harness.records import Artifact, Reference, wire
from harness.records.scenario import SINGLE
from harness.runtime_spec import is_own
from harness.values import arrays

SHORT = 10
"""Characters of a digest in sentences."""

FIELDS = ("data", "inputs", "dims", "batch", "scenario", "provider", "device", "runtime", "limits")
"""What two contenders must share for their numbers to be set against each other."""

FILE = "file"
"""The kind of a side that is a model file and nothing else."""


def match(base: Sequence[Contender], head: Sequence[Contender], *, overlook: Collection[str] = ()) -> tuple[Match, ...]:
    """Pair the contenders of two sides by case, in the head's order, those that only the base has at the end.

    Args:
        base: the base's contenders.
        head: the head's.
        overlook: `FIELDS` that may differ all the same; what differs in them becomes a note.

    Returns:
        One match per case. A case that one side alone has is not a mistake: it is new, or was removed, and says so.
        Of two files, cases meet whatever the files are called.
    """
    if base and head and base[0].side.kind == head[0].side.kind == "case":
        one, other = base[0], head[0]
        return (_judged(f"{one.case.id} vs {other.case.id}", one, other, overlook),)
    theirs = {_place(one): one for one in base}
    mine = {_place(one) for one in head}
    found = []
    for one in head:
        before = theirs.get(_place(one))
        if before is None:
            note = f"new: {one.side.asked} has it, {_asked(base, 'the base')} does not"
            found.append(Match(name=one.case.id, base=None, head=one, notes=(note,)))
        else:
            name = one.case.id if one.case.id == before.case.id else f"{before.case.id} vs {one.case.id}"
            found.append(_judged(name, before, one, overlook))
    for one in base:
        if _place(one) not in mine:
            note = f"removed: {one.side.asked} has it, {_asked(head, 'the head')} does not"
            found.append(Match(name=one.case.id, base=one, head=None, notes=(note,)))
    return tuple(found)


def _place(one: Contender) -> str:
    """What a contender meets its other side by: the case, or its place in the plan of a file, whatever it is called."""
    return f"{one.case.recipe.name}/{one.case.target.label}" if one.side.kind == FILE else one.case.id


def files_digest(cache: Cache, kind: str, digest: str, keep: Callable[[str], bool] = lambda _: True) -> str | None:
    """The digest of an entry's files, by their content; None where the cache does not have it any more.

    The digest that an entry is known by covers what was asked for; this one covers what came of it.
    """
    meta = _stated(cache, kind, digest)
    if meta is None:
        return None
    held = sorted((one["name"], one["sha256"]) for one in meta["files"] if keep(one["name"]))
    return hashlib.sha256(json.dumps(held).encode()).hexdigest()


def data_digest(cache: Cache, reference: Reference) -> str | None:
    """The digest of evaluation examples and labels by their values, however they are stored; None where they are gone.

    A side of an earlier commit may have stored the same arrays in other files.
    """
    meta = _stated(cache, "references", reference.digest)
    if meta is None:
        return None
    entries = json.dumps({"files": meta["files"], **wire.reference_to_json(reference)})
    return _values_digest(cache.reference_dir(reference.digest), entries)


def _stated(cache: Cache, kind: str, digest: str) -> dict[str, Any] | None:
    """What is written of an entry; a side of an earlier commit wrote it without a checksum, just now."""
    if (meta := cache.meta(kind, digest)) is not None:
        return meta
    try:
        found = foreign.mapping(foreign.content(cache.text(kind, digest)))
    except (OSError, ValueError):
        return None
    return found if sealed.SHA not in found and isinstance(found.get("files"), list) else None


@lru_cache(maxsize=1024)
def _values_digest(folder: Path, entries: str) -> str:
    reference, digest = wire.reference_from_json(json.loads(entries)), hashlib.sha256()
    for entry in sorted((*reference.feeds, *reference.labels), key=lambda one: one.name):
        for array in arrays(folder, entry, reference.examples):
            digest.update(f"{entry.name} {array.dtype.str} {list(array.shape)}\n".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def _asked(contenders: Sequence[Contender], otherwise: str) -> str:
    return contenders[0].side.asked if contenders else otherwise


def _judged(name: str, base: Contender, head: Contender, overlook: Collection[str]) -> Match:
    """A match with what is the same and what differs in it."""
    if not isinstance(base.built, Artifact) or not isinstance(head.built, Artifact):
        return Match(name=name, base=base, head=head)
    differs: list[str] = []
    notes: list[str] = []
    one, other = _weights(base.built), _weights(head.built)
    if changed_file(base.built, head.built):
        notes.append(
            f"the .onnx file changed (weights: base {one}, head {other}): fidelity is against the base's outputs"
        )
    elif other_weights(base.built, head.built):
        notes.append(f"weights: base {one}, head {other}: fidelity between different weights is not compared")
    for field, values in _values(base, head, base.built, head.built).items():
        if values[0] != values[1]:
            (notes if field in overlook else differs).append(f"{field}: base {values[0]}, head {values[1]}")
    notes += _on_purpose(base, head)
    same = "" if differs or notes else _same(base, head, base.built, head.built)
    asked = base.case.model.timed_inputs, head.case.model.timed_inputs
    if asked[0] != asked[1]:
        notes.append(f"timed_inputs: base {asked[0]}, head {asked[1]}: both are timed as the head asks")
    return Match(name=name, base=base, head=head, differs=tuple(differs), same=same, notes=tuple(notes))


def changed_file(first: Artifact, second: Artifact) -> bool:
    """Whether both come as .onnx files, of other content: then the file is the change that is looked at."""
    kinds = {first.weights.kind, second.weights.kind}
    return kinds == {"file"} and first.weights.digest != second.weights.digest


def other_weights(first: Artifact, second: Artifact) -> bool:
    """Whether the two compute with different weights: a model trained again, or one with another layer."""
    return first.weights.digest != second.weights.digest


def retrained(match: Match) -> bool:
    """Whether the sides of a match have different weights, other than by a changed .onnx file."""
    built = [one.built for one in (match.base, match.head) if one is not None]
    found = [one for one in built if isinstance(one, Artifact)]
    both = len(found) == 2  # noqa: PLR2004  (a side each)
    return both and other_weights(*found) and not changed_file(*found)


def _values(base: Contender, head: Contender, first: Artifact, second: Artifact) -> Mapping[str, tuple[str, str]]:
    """Field -> what it is on either side, as a person reads it."""
    pairs: dict[str, tuple[str, str]] = {
        "data": (_data(base, first.reference), _data(head, second.reference)),
        "inputs": (", ".join(first.reference.inputs), ", ".join(second.reference.inputs)),
        "batch": (str(base.case.target.batch), str(head.case.target.batch)),
        "scenario": (_scenario(base), _scenario(head)),
        "limits": (_plain(base.case.target.limits), _plain(head.case.target.limits)),
        "runtime": (str(base.side.runtime.get("name")), str(head.side.runtime.get("name"))),
    }
    if base.side.kind != FILE:  # what a file calls its axes is its own affair: their sizes are the data's
        pairs["dims"] = (_plain(base.case.model.dims), _plain(head.case.model.dims))
    if base.side.kind != "case":  # whoever sets two cases against each other has named both providers
        pairs["provider"] = (base.case.target.provider, head.case.target.provider)
        pairs["device"] = (base.case.target.device, head.case.target.device)
    return pairs


def _scenario(one: Contender) -> str:
    return one.case.target.scenario or SINGLE


def _weights(artifact: Artifact) -> str:
    return f"{artifact.weights.kind} {artifact.weights.digest[:SHORT]}"


def _data(one: Contender, reference: Reference) -> str:
    """The evaluation examples and labels, by their content: the reference's outputs are not part of the data."""
    found = data_digest(Cache(one.cache), reference)
    spec = one.case.model.data
    content = "missing in the cache" if found is None else found[:SHORT]
    return f"{reference.examples} examples of {spec.name} ({content})"


def _on_purpose(base: Contender, head: Contender) -> list[str]:
    """Settings that differ under one name, which is a change like any other: it is what gets measured."""
    settings: dict[str, tuple[Any, Any]] = {
        "optimization": (base.case.recipe.optimization, head.case.recipe.optimization),
        "precision": (base.case.recipe.precision, head.case.recipe.precision),
        "provider": (base.case.target.provider, head.case.target.provider) if base.side.kind == "case" else ("", ""),
        "plugin": (base.case.target.plugin, head.case.target.plugin),
        "device": (base.case.target.device, head.case.target.device) if base.side.kind == "case" else ("", ""),
        "threads": (base.case.target.intra_threads, head.case.target.intra_threads),
        "inter_threads": (base.case.target.inter_threads, head.case.target.inter_threads),
        "provider_options": (base.case.target.provider_options, head.case.target.provider_options),
        "runtime of the target": (base.case.target.runtime, head.case.target.runtime),
        "session_config": (base.case.target.session_config, head.case.target.session_config),
    }
    return [
        f"{name}: base {_plain(one)}, head {_plain(other)}"
        for name, (one, other) in settings.items()
        if _plain(one) != _plain(other)
    ]


def _same(base: Contender, head: Contender, first: Artifact, second: Artifact) -> str:
    """Why both would be the same program on the same file; empty where anything could differ."""
    target = dataclasses.replace(base.case.target, name=""), dataclasses.replace(head.case.target, name="")
    own = is_own(target[0].runtime)
    if target[0] != target[1] or (own and not _one_runtime(base.side, head.side)):
        return ""
    one = files_digest(Cache(base.cache), "artifacts", first.digest)
    if one is None or one != files_digest(Cache(head.cache), "artifacts", second.digest):
        return ""
    named = f"{base.side.runtime.get('package', 'onnxruntime')} {base.side.runtime.get('version', '')}".strip()
    runtime = named if own else target[0].runtime
    return f"both sides are the same file ({one[:SHORT]}) on the same {runtime} and the same target"


def _one_runtime(base: Side, head: Side) -> bool:
    if base.worker and base.worker == head.worker:
        return True
    return bool(base.runtime.get("digest")) and base.runtime.get("digest") == head.runtime.get("digest")


def _plain(value: Any) -> str:
    return json.dumps(dict(value), sort_keys=True) if isinstance(value, Mapping) else str(value)
