"""One case on one host: what it would take, how wrong such predictions are, and what was measured, where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.build.cache import Cache
from harness.errors import UsageError
from harness.explain import cases
from harness.flow.session import BuildAll
from harness.predict import calibrate, counted, devices, roofline
from harness.predict.calibrate import HeldOut, MeasuredCase
from harness.predict.devices import Distributed
from harness.predict.host import HostSpec
from harness.predict.roofline import NodePrediction
from harness.records import Artifact, Case, CaseId, Status, wire
from harness.runtime_spec import is_own
from harness.zoo import Zoo

Row = Mapping[str, Any]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictRequest:
    """What is asked for.

    Attributes:
        host: where the case would run.
        like: the host whose measured rows calibrate it; `host` itself where it was measured.
        builds: makes the case's artifact where it is missing; this host does where it is not given.
        fetch: brings what a stored row is of into the cache, which lacks it, as far as it can be had.
        devices, split, microbatches: see `harness.predict.devices`; no split for one device.
    """

    zoo: Zoo
    case: CaseId
    host: HostSpec
    like: HostSpec | None
    rows: Sequence[Row]
    cache: Path
    results: Path
    builds: BuildAll | None = None
    fetch: Callable[[Row], None] = lambda _: None
    devices: int = 1
    split: str = "batch"
    microbatches: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What is said of a case that may never have run there.

    Attributes:
        seconds: of one inference of the whole batch.
        held_out: how wrong it is to be taken for; without errors where no rows were measured.
        calibrated_on: the host whose rows these were; empty where none were.
        left_out: why rows that were stored say nothing here.
        measured_s: the median of this very case on this very host; None where it was not measured.
        live_bytes, live_at: the most bytes of tensors at once, and at which node.
        fits: whether weights and tensors fit a device's memory; None where the host says nothing of it.
    """

    case: str
    host: str
    provider: str
    threads: int
    seconds: float
    nodes: tuple[NodePrediction, ...]
    held_out: HeldOut
    calibrated_on: str
    left_out: tuple[str, ...]
    measured_s: float | None
    distributed: Distributed | None
    weights: float
    live_bytes: float
    live_at: str
    fits: bool | None

    def to_json(self) -> dict[str, Any]:
        """For other programs; nothing in it looks like a stored row."""
        return {
            "case": self.case,
            "host": self.host,
            "provider": self.provider,
            "threads": self.threads,
            "predicted_s": self.seconds,
            "held_out_median_error": self.held_out.median,
            "held_out_nine_tenths_error": self.held_out.worst_tenth,
            "held_out_cases": len(self.held_out.errors),
            "held_out_models": self.held_out.models,
            "calibrated_on": self.calibrated_on or None,
            "left_out": list(self.left_out),
            "measured_s": self.measured_s,
            "error": None if self.measured_s is None else self.seconds / self.measured_s - 1,
            "weights_bytes": self.weights,
            "live_bytes": self.live_bytes,
            "live_at": self.live_at,
            "fits": self.fits,
            "distributed": None if self.distributed is None else asdict(self.distributed),
            "nodes": [as_record(one) for one in self.nodes],
        }


def as_record(one: NodePrediction) -> dict[str, Any]:
    """One node, flat."""
    cost = one.cost
    return {
        "node": cost.name,
        "operator": cost.operator,
        "kind": cost.kind,
        "type": cost.type,
        "predicted_s": one.seconds,
        "bound": one.bound,
        "flops": cost.flops,
        "bytes": cost.moved,
        "weights_bytes": cost.weights,
    }


def predict(request: PredictRequest, say: Say) -> Prediction:
    """What a case would take; its artifact is built where it is not there.

    Raises:
        UsageError: there is no such case or build, its shapes do not tell it, or the host does not know its types.
        StoreError: the cache cannot be written.
    """
    case, host = cases.find(request.zoo, request.case), request.host
    if case.target.provider != host.provider:
        raise UsageError(
            f"{case.id} runs on {case.target.provider}, and host {host.name!r} says what {host.provider} does"
        )
    if case.target.scenario:
        raise UsageError(f"{case.id}: single-stream alone is predicted, not how requests arrive")
    if case.target.limits:
        raise UsageError(f"{case.id}: a host as a whole is predicted, not a worker within limits")
    batch, microbatches = case.target.batch, 1
    if request.devices > 1:
        batch, microbatches = devices.shares(batch, request.devices, request.split, request.microbatches)
    session = cases.open_session(
        request.zoo, case, cache=request.cache, results=request.results, say=say, builds=request.builds
    )
    artifact = cases.built(session, case, say)
    found = _costs(Cache(request.cache), case, artifact, batch)
    threads = case.target.intra_threads
    known: list[MeasuredCase] = []
    why: tuple[str, ...] = ()
    if request.like is not None:
        known, why = measured(request.zoo, request.like, request.rows, request.cache, say, fetch=request.fetch)
    # This model's own rows are left out, as the errors beside it are those of models that were.
    factors = calibrate.factors([row for row in known if row.model != case.model.name])
    nodes = roofline.predict(found, host, threads, factors)
    seconds = sum(one.seconds for one in nodes) + roofline.call(host, factors)
    over = None
    if request.devices > 1:
        over = devices.simulate(nodes, host, devices=request.devices, split=request.split, microbatches=microbatches)
        seconds = over.seconds
    live, where = devices.live_bytes(found)
    weights = sum(one.weights for one in found)
    each = max((one.weights for one in over.parts), default=0.0) if over else weights
    own = next((row.seconds for row in known if (row.case, row.digest) == (case.id, artifact.digest)), None)
    same = request.like is not None and host.fingerprint == request.like.fingerprint and request.devices == 1
    return Prediction(
        case=case.id,
        host=host.name,
        provider=host.provider,
        threads=threads,
        seconds=seconds,
        nodes=nodes,
        held_out=calibrate.held_out(known),
        calibrated_on=request.like.name if request.like is not None and factors else "",
        left_out=why,
        measured_s=own if same else None,
        distributed=over,
        weights=weights,
        live_bytes=live,
        live_at=where,
        fits=None if host.memory is None else each + live <= host.memory,
    )


def _costs(cache: Cache, case: Case, artifact: Artifact, batch: int) -> tuple[Any, ...]:
    sizes = {**case.model.dims, "batch": batch}
    axes = case.model.batch_axes or artifact.reference.batch_axes
    return counted.of_artifact(
        cache, artifact.digest, optimization=case.recipe.optimization, sizes=sizes, batch=batch, axes=axes
    )


def measured(
    zoo: Zoo,
    host: HostSpec,
    rows: Iterable[Row],
    cache: Path,
    say: Say,
    *,
    fetch: Callable[[Row], None] = lambda _: None,
) -> tuple[list[MeasuredCase], tuple[str, ...]]:
    """Stored rows that calibrate a host, and why others do not, a line for each reason.

    They are of the onnxruntime for Python on its provider, one stream, with their artifact in the cache.

    Raises:
        StoreError: the cache cannot be written.
    """
    store, found, why = Cache(cache), [], dict[str, int]()
    asked: set[str] = set()

    def without(reason: str) -> None:
        why[reason] = why.get(reason, 0) + 1

    for row in rows:
        if row.get("fingerprint") != host.fingerprint or (row.get("latency") or {}).get("median_s") is None:
            continue
        if reason := _unsuitable(zoo, host, row):
            without(reason)
            continue
        digest = (row.get("artifact") or {}).get("digest") or ""
        if digest and digest not in asked and store.meta("artifacts", digest) is None:
            asked.add(digest)
            fetch(row)
        if not digest or store.meta("artifacts", digest) is None:
            without("their artifact is no longer in the cache")
            continue
        model = zoo.models[row["model"]]
        meta = store.meta("references", (row.get("reference") or {}).get("digest") or "")
        stated = dict(wire.reference_from_json(meta).batch_axes) if meta else {}
        try:
            costs = counted.of_artifact(
                store,
                digest,
                optimization=row.get("optimization") or "all",
                sizes={**model.dims, "batch": row["batch"]},
                batch=row["batch"],
                axes=model.batch_axes or stated,
            )
            parts = roofline.parts(costs, host, row["intra_threads"])
        except UsageError as error:
            say(f"{row['case']}: {error}")
            without("their shapes do not tell what they compute")
            continue
        found.append(
            MeasuredCase(
                case=row["case"], model=row["model"], digest=digest, seconds=row["latency"]["median_s"], parts=parts
            )
        )
    return found, tuple(f"{count} rows: {reason}" for reason, count in why.items())


def _unsuitable(zoo: Zoo, host: HostSpec, row: Row) -> str:
    """Why a row says nothing of a host's roofline; empty where it does."""
    by = row.get("measured_by") or {}
    if row.get("provider") != host.provider:
        return f"not on {host.provider}"
    if not is_own(row.get("runtime") or "onnxruntime") or by.get("language", "python") != "python":
        return "of another runtime or language"
    if row.get("scenario") or row.get("limits"):
        return "of another scenario than single-stream" if row.get("scenario") else "of a worker within limits"
    if row["status"] not in (Status.MEASURED, Status.MIXED, Status.UNVERIFIED, Status.EMULATED):
        return "without a number"
    if row["model"] not in zoo.models:
        return "of models that are not in this zoo"
    return ""
