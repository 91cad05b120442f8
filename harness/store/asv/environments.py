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
from harness.store.rows import Row, runtime_of

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


def environments(rows: Sequence[Row]) -> dict[str, tuple[AsvEnvironment, list[Row]]]:
    """Rows of a run by environment; what measured a row and where is the row's own, since a run may hold several.

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
        environment = _environment(row, weights)
        out.setdefault(environment.name, (environment, []))[1].append(row)
    return out


WEIGHTS_OF = "harness_weights"
"""Key of a result file's header: model -> the label of the weights it was built with, in files that hold several."""


def weights_label(model: str, kind: str, digest: str) -> str:
    """What a model's weights are called wherever series are told apart: by what was built, not by what was asked."""
    return f"{model}-{kind}-{digest[:8]}"


_OF_A_FILE = re.compile(r"(-file)-[0-9a-f]{8}$")
"""The end of a label of weights that lie in a file of the user's own."""


def page_label(label: str) -> str:
    """What asv's pages call a label: of a file without the digest, so that a file keeps its line when it changes."""
    return _OF_A_FILE.sub(r"\1", label)


def _weights(row: Row) -> str:
    weights = row["weights"]
    return weights_label(row["model"], **_of(weights)) if weights else f"{row['model']}-unknown"


def _of(weights: Row) -> dict[str, str]:
    return {"kind": weights["kind"], "digest": weights["digest"]}


def dimensions(row: Row) -> dict[str, str]:
    """What besides the weights starts a new series, as asv's pages show it: python, onnxruntime and host."""
    runtime = runtime_of(row)
    return {
        "python": ".".join((row["versions"] or {}).get("python", platform.python_version()).split(".")[:2]),
        "onnxruntime": flavours.tag(runtime.package or runtime.name, runtime.version),
        "host": row["fingerprint"],
    }


def _environment(row: Row, weights: str) -> AsvEnvironment:
    params = dimensions(row)
    runtime = runtime_of(row)
    package, version = runtime.package or runtime.name, runtime.version
    return AsvEnvironment(
        name=environment_name(params["python"], f"{package}{version}", weights, params["host"]),
        params={**params, "weights": weights},
        requirements={package: version},
    )


def environment_name(python: str, runtime: str, weights: str, host: str) -> str:
    """What an environment is called: short enough for asv, and fit for a file name.

    Args:
        python: such as `3.11`.
        runtime: package and version, such as `onnxruntime-gpu1.31.1`.
        weights: as `weights_label` has them.
        host: a fingerprint.
    """
    name = f"harness-py{python}-{runtime}-{weights}-host{host}"
    if len(name) >= LONGEST:
        name = f"harness-{hashlib.sha256(name.encode()).hexdigest()[:32]}"
    return re.sub(r"[^\w.+-]", "_", name)
