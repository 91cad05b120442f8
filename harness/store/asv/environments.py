"""Which numbers may stand in one series: the environments that a run's rows belong to.

An environment is the runtime, the host and the weights of one model, such as
`harness-py3.11-onnxruntime-gpu1.31.1-resnet50-seeded-5e6f7a8b-host0123456789ab`. asv draws one line per combination
of an environment's `params`, so another ONNX Runtime, host or set of weights begins a new series, and `asv compare`
sets no number against one of another environment. The price: on asv's graph page the weights of every model are a
button, and with all of them pressed the legend also names lines without points; values of `weights` begin with the
model's name, so that one click selects a model.
"""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness import flavours
from harness.records import Run
from harness.store.rows import Row

LONGEST = 128
"""From this many characters on asv replaces an environment's name by a hash of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsvEnvironment:
    """What one file of results holds, beside the commit.

    Attributes:
        name: unique for these params, fit for a file name.
        params: dimensions on asv's pages: python, onnxruntime, host and weights.
        requirements: the runtime's distribution and version.
    """

    name: str
    params: Mapping[str, str]
    requirements: Mapping[str, str]


def environments(run: Run, rows: Sequence[Row]) -> dict[str, tuple[AsvEnvironment, list[Row]]]:
    """Rows of a run by environment.

    A case that was never built has no weights: it belongs with the run's other cases of its model where those agree
    on the weights, else with weights `unknown`.
    """
    identities: dict[str, set[str]] = {}
    for row in rows:
        if row["weights"]:
            identities.setdefault(row["model"], set()).add(_weights(row))
    out: dict[str, tuple[AsvEnvironment, list[Row]]] = {}
    for row in rows:
        same = identities.get(row["model"], set())
        weights = _weights(row) if row["weights"] or len(same) != 1 else next(iter(same))
        environment = _environment(run, row["runtime"], weights)
        out.setdefault(environment.name, (environment, []))[1].append(row)
    return out


def _weights(row: Row) -> str:
    weights = row["weights"]
    return f"{row['model']}-{weights['kind']}-{weights['digest'][:8]}" if weights else f"{row['model']}-unknown"


def dimensions(run: Run, runtime: str = flavours.PLAIN) -> dict[str, str]:
    """What besides the weights starts a new series, as asv's pages show it: python, onnxruntime and host."""
    package, version = _runtime(run, runtime)
    return {
        "python": ".".join(run.versions.get("python", platform.python_version()).split(".")[:2]),
        "onnxruntime": flavours.tag(package, version),
        "host": run.fingerprint,
    }


def _environment(run: Run, runtime: str, weights: str) -> AsvEnvironment:
    params = dimensions(run, runtime)
    package, version = _runtime(run, runtime)
    python = params["python"]
    name = f"harness-py{python}-{package}{version}-{weights}-host{run.fingerprint}"
    if len(name) >= LONGEST:
        name = f"harness-{hashlib.sha256(name.encode()).hexdigest()[:32]}"
    return AsvEnvironment(
        name=re.sub(r"[^\w.+-]", "_", name),
        params={**params, "weights": weights},
        requirements={package: version},
    )


def _runtime(run: Run, runtime: str) -> tuple[str, str]:
    """The distribution that provides a runtime and its version; a runtime other than the own one names itself."""
    found = flavours.chosen(run.versions) if runtime == flavours.PLAIN else None
    return found or (runtime, "")
