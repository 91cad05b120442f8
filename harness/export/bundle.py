"""The folder of an export: model file, settings, samples, provenance, and a program that uses them.

It is written beside its place and moved there when it is whole. `session.json` has what a program of any language
needs: how the session is opened, which files feed it, and what it is to give.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import harness
from harness import frameworks, scratch, values
from harness.build.cache import MODEL, Cache
from harness.errors import BuildError, StoreError, UsageError, WorkerError
from harness.export import examples, ort_format, processing
from harness.export.choose import ExportChoice
from harness.export.described import described
from harness.export.text import readme
from harness.export.trust import check_numbers, why_not_run
from harness.measure.bursts import OPEN_DEADLINE_S
from harness.measure.coordinator import Workload, utc_now, written
from harness.records import ModelSpec, Reference, Target, ValueEntry, wire
from harness.runtimes.clients import client_factory
from harness.store.rows import Row, public

SAMPLES: Final = 3
"""Batches of sample inputs that go along."""

TOLERANCES: Final = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 3e-2, "int8": 3e-2, "int4": 1e-2}
"""How far outputs may lie from those that were recorded, as a share of the largest of them: other processors round in
another order, and choose other kernels."""

DIGITS: Final = "harness's code is Apache-2.0, and the digits of scikit-learn are UCI's, CC BY 4.0."

SESSION, PROVENANCE, README, EXPECTED = "session.json", "provenance.json", "README.md", "expected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export left.

    Attributes:
        folder: where it lies.
        case: which case it is.
        files: their names.
        unchecked: why there are no expected outputs; empty where there are.
    """

    folder: Path
    case: str
    files: tuple[str, ...]
    unchecked: str = ""


def export(
    choice: ExportChoice,
    *,
    cache: Cache,
    out: Path,
    zoo_file: Path,
    language: str = "python",
    file_format: str = "onnx",
    say: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write the folder.

    Args:
        choice: what is exported.
        cache: where its artifact lies.
        out: the folder; it must not exist, or be empty.
        zoo_file: where the model is described, which tells sizes of axes and the licence; it may be missing.
        language: one of `harness.export.examples`.
        file_format: one of `ort_format.FORMATS`; the numbers are those of the .onnx file, whichever it is.
        say: hears what takes a while, and what did not work.

    Raises:
        UsageError: if the folder is in use, the language is not known, or the artifact is not in the cache.
        StoreError: if the folder cannot be written.
    """
    row = choice.row
    example = _example(language)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out} exists and is not empty: give another folder, or remove it first")
    check_numbers(row)
    meta, reference = _held(cache, row)
    model = described(cache, zoo_file, row)
    temporary = out.parent / f".{out.name}-{scratch.owner()}"
    try:
        inside = temporary / example.below
        inside.mkdir(parents=True)
        _copy(cache, row["artifact"]["digest"], meta, inside)
        session = _session(row, model, reference, meta)
        session |= _samples(cache, row, reference, inside)
        session["processing"] = processing.stated(model)
        unchecked, outputs = why_not_run(session, zoo_file), list[dict[str, Any]]()
        if not unchecked:
            try:
                say(f"running {row['case']} on its samples")
                outputs = _expected(cache, session, row, inside)
            except (WorkerError, UsageError) as error:
                unchecked = f"it does not run on this host: {error}"
        unchecked = unchecked and f"no expected outputs, since {unchecked}"
        session["outputs"] = outputs
        session["unchecked"] = unchecked
        if file_format == "ort":
            say("converting the model to ORT format")
            session |= ort_format.convert(inside, session)
        _write(inside / SESSION, session)
        if file_format == "ort" and not unchecked:
            ort_format.check(inside)
        example.write(temporary)
        (temporary / README).write_text(
            readme(
                choice,
                session,
                model=model,
                licence=licence(row, model),
                start=example.start(session),
                below=example.below,
            ),
            encoding="utf-8",
        )
        _write(temporary / PROVENANCE, _provenance(choice, model, temporary))
        if out.exists():
            out.rmdir()
        temporary.rename(out)
    except OSError as error:
        raise StoreError(f"Cannot write {out}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    files = tuple(sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()))
    return Exported(folder=out, case=row["case"], files=files, unchecked=unchecked)


def licence(row: Row, model: ModelSpec | None) -> str:
    """What is known of the licence of the weights, in a sentence or two; what is not known is said to be."""
    kind = (row.get("weights") or {}).get("kind", "unknown")
    framework = frameworks.get(model.source) if model is not None else None
    known = framework.licence if framework is not None else ""
    if kind == "seeded":
        own = "The weights are random numbers of harness's own: nobody's licence is on them, and no knowledge in them."
        return f"{own} The architecture's code: {known}" if known else own
    if kind == "file":
        return "The file was given to harness; its licence is whatever its author gave it, and not known to harness."
    if kind == "trained" and model is not None:
        own = f"The weights were trained in the build, by {model.id}; its data has a say in their licence."
        return f"{own} {DIGITS}" if model.id.startswith("harness.") else own
    source = f" They come from {model.source}, where they are {model.id}." if model is not None else ""
    return f"{known or 'The licence of the weights is not known to harness: ask where they come from.'}{source}"


def _example(language: str) -> examples.LanguageExample:
    try:
        return examples.get(language)
    except BuildError as error:
        raise UsageError(f"--for {language}: {error}") from error


def _held(cache: Cache, row: Row) -> tuple[Mapping[str, Any], Reference]:
    """What the cache knows of a row's artifact and of the examples that it was measured on.

    Raises:
        UsageError: if one of them is not there any more, or not what it was.
    """
    found = {}
    for kind, name in (("artifacts", "artifact"), ("references", "reference")):
        digest = (row.get(name) or {}).get("digest") or ""
        meta = cache.meta(kind, digest, deep=True) if digest else None
        if meta is None:
            variant = f"--variants {row['variant']}"
            raise UsageError(
                f"the {name} of {row['case']} ({digest[:12] or 'no digest is stored'}) is not in the cache "
                f"{cache.root}, or not as it was: build it again with `harness build {row['model']} {variant}`; where "
                f"the result has another digest, since code, versions or data have changed, measure it again with "
                f"`harness sweep --models {row['model']} {variant}`"
            )
        found[kind] = meta
    return found["artifacts"], wire.reference_from_json(found["references"])


def _copy(cache: Cache, digest: str, meta: Mapping[str, Any], folder: Path) -> None:
    source = cache.artifact_path(digest).parent
    for record in meta["files"]:
        place = folder / record["name"]
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / record["name"], place)


def _session(row: Row, model: ModelSpec | None, reference: Reference, meta: Mapping[str, Any]) -> dict[str, Any]:
    """How the session was opened when it was measured."""
    batch = {"batch": row["batch"]} if reference.batch_axes else {}
    return {
        "case": row["case"],
        "model": MODEL,
        "external": sorted(one["name"] for one in meta["files"] if one["name"] != MODEL),
        "provider": row["provider"],
        **{name: row[name] for name in ("plugin", "device") if row.get(name)},
        "provider_options": row.get("provider_options") or {},
        "optimization": row["optimization"],
        "intra_threads": row["intra_threads"],
        "inter_threads": row["inter_threads"],
        "config": row.get("session_config") or {},
        "dims": {**(model.dims if model is not None else {}), **batch},
        "batch": row["batch"],
        "runtime": row["runtime"],
        "measured_by": row.get("measured_by") or {},
        "tolerance": TOLERANCES.get(row.get("precision") or "", max(TOLERANCES.values())),
        "random": list(reference.random),
    }


def _samples(cache: Cache, row: Row, reference: Reference, folder: Path) -> dict[str, Any]:
    """Batches of the evaluation examples, as files: a whole feed each."""
    held = {
        one.name: (
            values.Stored(cache.reference_dir(reference.digest), one, reference.examples),
            0 if one.concatenated else reference.batch_axes.get(one.name),
        )
        for one in reference.feeds
    }
    batch = row["batch"] if reference.batch_axes else 1
    count = min(SAMPLES, reference.examples)
    writer = values.ValueWriter(folder / "samples", count, structured=True)
    taken = [[(number * batch + place) % reference.examples for place in range(batch)] for number in range(count)]
    for chosen in taken:
        writer.add({name: _joined(stored, chosen, axis) for name, (stored, axis) in held.items()})
    return {
        "samples": count,
        "inputs": [one.to_json() for one in values.below("samples", writer.close())],
        "labels": _labels(cache, reference, [place for chosen in taken for place in chosen], folder),
    }


def _labels(cache: Cache, reference: Reference, places: list[int], folder: Path) -> list[dict[str, Any]]:
    """What is true of the samples, example by example; nothing where the data has no labels."""
    if not reference.labels:
        return []
    held = {
        one.name: values.Stored(cache.reference_dir(reference.digest), one, reference.examples)
        for one in reference.labels
    }
    writer = values.ValueWriter(folder / "labels", len(places), structured=True)
    for place in places:
        writer.add({name: stored[place] for name, stored in held.items()})
    return [one.to_json() for one in values.below("labels", writer.close())]


def _joined(stored: values.Stored, chosen: list[int], axis: int | None) -> Any:
    import numpy as np

    if axis is None or len(chosen) == 1:
        return stored[chosen[0]]
    return np.concatenate([stored[place] for place in chosen], axis)


def _expected(cache: Cache, session: Mapping[str, Any], row: Row, folder: Path) -> list[dict[str, Any]]:
    """What the samples give, run as they were measured.

    Raises:
        WorkerError, UsageError: if that cannot be done on this host.
    """
    target = Target(
        name=row["target_name"] or "target",
        runtime=row["runtime"] or "onnxruntime",
        provider=session["provider"],
        provider_options=session["provider_options"],
        intra_threads=session["intra_threads"],
        inter_threads=session["inter_threads"],
        session_config=session["config"],
        plugin=session.get("plugin", ""),
        device=session.get("device", ""),
    )
    feeds = [ValueEntry.from_json(one).at(folder) for one in session["inputs"]]
    work = Workload(
        model=folder / MODEL,
        target=target,
        optimization=session["optimization"],
        feeds={one.name: one for one in feeds},
        dims=session["dims"],
    )
    place = folder / EXPECTED
    place.mkdir()
    starter = client_factory(target, cache.root)
    with starter() as worker:
        worker.ask("open", OPEN_DEADLINE_S, **work.request())
        answer = worker.ask("outputs", OPEN_DEADLINE_S, **work.all_examples(session["samples"], place))
    return [one.to_json() for one in values.below(EXPECTED, tuple(written(answer)))]


def _provenance(choice: ExportChoice, model: ModelSpec | None, folder: Path) -> dict[str, Any]:
    """Where everything comes from: the row as it is stored, and a digest of every file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "case": choice.row["case"],
        "why": choice.why,
        "exported_at": utc_now(),
        "harness": harness.__version__,
        "artifact": choice.row["artifact"],
        "weights": choice.row.get("weights"),
        "licence": licence(choice.row, model),
        "source": None if model is None else {"framework": model.source, "id": model.id},
        "row": public(dict(choice.row)),
        "files": {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    }


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
