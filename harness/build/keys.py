"""Digests: what an artifact, a reference and a resolution of weights are known by.

Everything here is computed without importing a framework, so that the coordinator can tell what is already
built. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import platform
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness import frameworks, source_files
from harness.build import steps
from harness.data import base as data
from harness.frameworks import surroundings
from harness.installed import versions
from harness.records import wire

if TYPE_CHECKING:
    from harness.interpreters import Environment
    from harness.records import Json, ModelSpec, Recipe, Step

REVISION = 3
"""Raised by hand whenever the code of a step, a source or a data set starts to give a different result."""

REFERENCE_FORMAT = 3
"""How a reference lies in its folder (`records.Reference`): 2 since examples are whole feeds, 3 since batch axes are
proven and structures are kept."""

ISA_PREFIXES = ("avx", "fma", "sse4", "amx", "asimd", "sve", "bf16", "i8mm", "neon", "vnni", "f16c")
"""The CPU flags that choose among onnxruntime's kernels, and so what its hardware-specific optimizer writes."""


def digest_of(content: Json) -> str:
    """The SHA-256 of canonical JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@cache
def isa() -> tuple[str, ...]:
    """The machine and its instruction set flags, sorted; only the machine where /proc/cpuinfo does not exist."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), [])
    return (platform.machine(), *sorted(flag for flag in flags if flag.startswith(ISA_PREFIXES)))


def stat_of(path: Path) -> Json:
    """Name, size and modification time of a file, or of every file below a folder; None when there is none."""
    if path.is_dir():
        return [stat_of(one) for one in sorted(path.rglob("*")) if one.is_file()]
    try:
        status = path.stat()
    except OSError:
        return None
    return [path.name, status.st_size, status.st_mtime_ns]


def content_of(path: Path) -> Json:
    """Name and digest of a file, or of every file below a folder; None when there is none."""
    if path.is_dir():
        return [content_of(one) for one in sorted(path.rglob("*")) if one.is_file()]
    try:
        with path.open("rb") as file:
            return [path.name, hashlib.file_digest(file, "sha256").hexdigest()]
    except OSError:
        return None


def code_of(model: ModelSpec) -> str | None:
    """The digest of a user's callable, and of what it imports of its project; None where no user's code is run."""
    return source_files.digest(model.id) if frameworks.get(model.source).runs_user_code else None


def source_key(model: ModelSpec, around: Environment | None = None, *, anywhere: bool = False) -> str:
    """What a request for weights is known by: everything that decides which weights it gets.

    Args:
        model: the zoo entry.
        around: where its framework runs, if not beside harness.
        anywhere: the key that other hosts compute, too: of a local file, its content counts and not where it lies.
    """
    spec, framework = wire.model_to_json(model), frameworks.get(model.source)
    request = data.DataRequest.of(model)
    local = model.id if framework.file else model.weights.path
    look = content_of if anywhere else stat_of
    if anywhere and local:
        spec |= {"id": None} if framework.file else {"weights": {**spec["weights"], "path": None}}
    return digest_of(
        {
            "revision": REVISION,
            **{name: spec[name] for name in ("source", "id", "weights", "inputs", "dims", "options")},
            "local": look(Path(local)) if local else None,
            "code": code_of(model),
            # Seeded weights are settled on the calibration examples, and trained ones may use the data source.
            "calibration": data.calibration_digest(request)
            if framework.fits
            else data.request_digest(request, "calibration"),
            **_framework_versions(model, around),
        }
    )


def _versions(names: tuple[str, ...], around: Environment | None) -> dict[str, str]:
    """Those that are installed beside harness, or where the framework runs."""
    return versions(names) if around is None else surroundings.versions(names, around)


def _framework_versions(model: ModelSpec, around: Environment | None) -> dict[str, Json]:
    """The versions of what loads a model; of another interpreter, all that is installed there."""
    framework = frameworks.get(model.source)
    found = _versions((*framework.packages, *framework.optional_packages), around)
    return {"versions": found, **({"environment": around.digest} if around else {})}


def _subject(model: ModelSpec, weights_digest: str, around: Environment | None) -> dict[str, Json]:
    """The model as everything built from it depends on it. A file is its content, wherever it lies."""
    spec, framework = wire.model_to_json(model), frameworks.get(model.source)
    return {
        "revision": REVISION,
        "weights": weights_digest,
        **{name: spec[name] for name in ("source", "task", "inputs", "dims", "options")},
        "id": None if framework.file else model.id,
        "code": code_of(model),
        **_framework_versions(model, around),
    }


def reference_key(model: ModelSpec, weights_digest: str, around: Environment | None = None) -> str:
    """What the evaluation examples and the reference outputs on them are known by."""
    return digest_of(
        {
            **_subject(model, weights_digest, around),
            "format": REFERENCE_FORMAT,
            "evaluation": data.request_digest(data.DataRequest.of(model), "evaluation"),
            "runtime": _versions(frameworks.get(model.source).reference_packages, around),
        }
    )


def step_keys(
    model: ModelSpec, recipe: Recipe, weights_digest: str, around: Environment | None = None
) -> tuple[str, ...]:
    """The digest after each step of a resolved recipe; the last one is the artifact's."""
    subject = _subject(model, weights_digest, around)
    contents = [_step(model, step, around) for step in recipe.steps]
    return tuple(digest_of({**subject, "steps": contents[: place + 1]}) for place in range(len(contents)))


def _step(model: ModelSpec, step: Step, around: Environment | None) -> dict[str, Json]:
    """One step: its options, the tools it uses, and where they matter the calibration data and the CPU."""
    kind = steps.get(step.kind)
    exported, calibrated = step.kind == steps.FIRST, kind.calibrated(step.options)
    tools = (
        frameworks.get(model.source).exported_with(str(step.options["exporter"]))
        if exported
        else (*kind.packages, *kind.chosen_packages(step.options))
    )
    return {
        "kind": step.kind,
        "options": dict(step.options),
        "versions": _versions(tuple(tools), around if exported else None),
        "calibration": data.calibration_digest(data.DataRequest.of(model)) if calibrated else None,
        "isa": list(isa()) if kind.hardware(step.options) else None,
    }
