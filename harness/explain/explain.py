"""`explain`: build, look closely, read the graphs, compare tensors, leave the worst layers in float and see.

Read `explain` from top to bottom. Builds, evaluations and live pairs are the flow's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness import scratch
from harness.errors import BuildError, WorkerError
from harness.explain import cases, leaving, nodes
from harness.explain.asking import GraphReader, reading
from harness.explain.cases import Say
from harness.explain.model import Explanation, FusionPlace, LayerLoss, Losses, NodeTime, TensorLoss
from harness.flow.execute import workload
from harness.flow.session import BuildAll, Session
from harness.measure import closely
from harness.measure.closely import CloseLook
from harness.measure.coordinator import utc_now
from harness.records import Artifact, Case, CaseId
from harness.zoo import Zoo

CONFIRMED = 10
"""So many of the worst layers are left in float, one at a time."""

EXAMPLES = 16
"""Tensors are compared on so many evaluation examples at most."""

UNFUSED, FUSED = "disabled", "extended"
"""The levels between which fusion is all that changes: above the second weights are laid out for the processor too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainRequest:
    """What is to be explained, and how thoroughly.

    Attributes:
        confirm: so many layers are left in float, one at a time.
        examples: on how many tensors are compared, at most.
        seconds: of inference for each stretch of a profile.
        blocks: live groups in which what a layer in float costs is measured; 0 for none.
        builds: builds what is missing; this host does where it is not given.
    """

    zoo: Zoo
    case: CaseId
    cache: Path
    results: Path
    confirm: int = CONFIRMED
    examples: int = EXAMPLES
    seconds: float = closely.SECONDS
    blocks: int = leaving.BLOCKS
    builds: BuildAll | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A build that was looked at closely."""

    case: Case
    artifact: Artifact
    seen: CloseLook
    found: tuple[NodeTime, ...]


def explain(request: ExplainRequest, say: Say) -> Explanation:
    """Look at one case closely.

    Args:
        request: what is asked for.
        say: hears of what takes a while.

    Raises:
        UsageError: there is no such case, or it cannot be built.
        WorkerError, WorkerRefusal: the runtime cannot run it.
        StoreError: the cache cannot be written.
    """
    case = cases.find(request.zoo, request.case)
    session = cases.open_session(
        request.zoo, case, cache=request.cache, results=request.results, say=say, builds=request.builds
    )
    artifact = cases.built(session, case, say)
    with scratch.folder("explain") as folder, reading() as reader:
        look = Looking(session=session, reader=reader, seconds=request.seconds)
        say(f"profiling {case.id}")
        own = look.at(case, artifact, folder / "ran.onnx")
        notes = [own.seen.disagreement, own.seen.lacks]
        places, said = fusions(look, own, folder, say)
        notes.append(said)
        losses = None
        if cases.quantizing(case.recipe) is not None:
            losses = _losses(look, own, folder, request, say)
    return Explanation(
        case=case.id,
        made_at=utc_now(),
        artifact=artifact.digest,
        runtime=own.seen.runtime.label,
        fingerprint=session.run.fingerprint,
        latency_s=own.seen.latency_s,
        nodes_s=own.seen.nodes_s,
        runs=own.seen.runs,
        nodes=own.found,
        providers=own.seen.providers,
        places=places,
        losses=losses,
        notes=tuple(filter(None, [*notes, losses.problem if losses else ""])),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """What looking at builds takes.

    Attributes:
        seconds: of inference for each stretch of a profile.
    """

    session: Session
    reader: GraphReader
    seconds: float = closely.SECONDS

    def at(self, case: Case, artifact: Artifact, graph: Path) -> Looked:
        """Profile a build, and say which of its nodes each node of the graph that was run is.

        Args:
            case: how to run it.
            artifact: the build.
            graph: where the graph that is run shall be written.

        Raises:
            WorkerError, WorkerRefusal: the runtime cannot run it.
        """
        job = replace(self.session.job(self.session.cases[0]), case=case, built=artifact)
        if job.absent or job.unusable:
            raise WorkerError(job.absent or job.unusable)
        work = workload(case, artifact, self.session.cache)
        client = {"client": job.client} if job.client else {}
        seen = closely.look(work, graph=graph, seconds=self.seconds, **client)
        try:
            listed = self.reader.nodes({"own": work.model, **({"ran": seen.graph} if seen.graph else {})})
        except BuildError:
            listed = {}
        found = nodes.times(seen.nodes, seen.runs, listed.get("ran"), listed.get("own", ()))
        return Looked(case=case, artifact=artifact, seen=seen, found=found)


def fusions(look: Looking, own: Looked, folder: Path, say: Say) -> tuple[tuple[FusionPlace, ...], str]:
    """What became of every named pattern, and what fusing it saved; and why that cannot be said, where it cannot.

    What is saved is the difference of two profiles of the network as it was exported, at levels between which fusion is
    all that changes.
    """
    case = own.case
    if own.seen.graph is None:
        return (), f"fusions are not known: {case.target.runtime} does not write the graph that it runs"
    artifact = cases.built(look.session, cases.exported(case, UNFUSED), say)
    path = look.session.cache.artifact_path(artifact.digest)
    try:
        found = look.reader.ask(_placing(path, own.seen.graph, case.recipe.optimization, case.target.provider))[
            "places"
        ]
        say(f"profiling {case.model.name} as it was exported, without fusions and with them")
        spent = [look.at(cases.exported(case, level), artifact, folder / f"{level}.onnx") for level in (UNFUSED, FUSED)]
        before, after = (nodes.by_layer(one.found) for one in spent)
        fused = _fused_alone(look.reader, path, spent[1].seen.graph, case)
    except BuildError as error:
        return (), f"fusions are not known: {error}"
    return tuple(_place(one, before, after, fused) for one in found), ""


def _placing(exported: Path, ran: Path, optimization: str, provider: str) -> dict[str, str]:
    return {
        "what": "places",
        "exported": str(exported),
        "ran": str(ran),
        "optimization": optimization,
        "provider": provider,
    }


def _fused_alone(reader: GraphReader, exported: Path, ran: Path | None, case: Case) -> set[tuple[str, ...]]:
    """The places that are fused where the network as it was exported is run at `FUSED`."""
    if ran is None:
        return set()
    found = reader.ask(_placing(exported, ran, FUSED, case.target.provider))["places"]
    return {tuple(one["nodes"]) for one in found if one["status"] == "fused"}


def _place(
    one: Mapping[str, Any], before: Mapping[str, float], after: Mapping[str, float], fused: set[tuple[str, ...]]
) -> FusionPlace:
    """A place with its time before and after, where it is one that fusion alone makes one node of."""
    names = tuple(one["nodes"])
    known = names in fused and any(name in before for name in names)
    return FusionPlace(
        pattern=one["pattern"],
        nodes=names,
        status=one["status"],
        why=one["why"],
        before_s=sum(before.get(name, 0.0) for name in names) if known else None,
        after_s=sum(after.get(name, 0.0) for name in names) if known else None,
    )


def _losses(look: Looking, own: Looked, folder: Path, request: ExplainRequest, say: Say) -> Losses:
    """Where a quantized build loses closeness, and which of its worst layers is worth leaving in float."""
    session, twin = look.session, cases.before_quantizing(own.case)
    float_artifact = cases.built(session, twin, say)
    say(f"profiling {own.case.model.name}/{twin.recipe.name}, what it was quantized from")
    float_times = nodes.by_layer(look.at(twin, float_artifact, folder / "float.onnx").found)
    quality = leaving.quality(session, own.case, own.artifact)
    base = Losses(closeness_db=quality.finite_db, metric=quality.metric, value=quality.value)
    say(f"comparing the tensors of {own.case.id} with those of float32")
    try:
        found = compared(look.reader, session, own.artifact, float_artifact, request.examples)
    except BuildError as error:
        return replace(base, problem=f"tensors could not be compared with those of float32: {error}")
    times = nodes.by_layer(own.found)
    layers = tuple(
        replace(one, seconds=nodes.of_layer(times, one.layer), float_seconds=float_times.get(one.layer))
        for one in layers_of(found)
    )
    losses = replace(base, examples=found["examples"], tensors=_tensors(found["tensors"]), layers=layers)
    worst = [one.layer for one in layers if one.score > 0][: request.confirm]
    confirmed = leaving.one_by_one(session, own.case, own.artifact, worst, blocks=request.blocks, say=say)
    return replace(losses, confirmed=confirmed)


def compared(
    reader: GraphReader, session: Session, narrow: Artifact, plain: Artifact, examples: int = EXAMPLES
) -> dict[str, Any]:
    """What `losses.losses` finds of two builds.

    Raises:
        BuildError: their tensors cannot be compared.
    """
    cache, reference = session.cache, narrow.reference
    return reader.ask(
        {
            "what": "losses",
            "plain": str(cache.artifact_path(plain.digest)),
            "narrow": str(cache.artifact_path(narrow.digest)),
            "feeds": [one.to_json() for one in reference.feeds],
            "folder": str(cache.reference_dir(reference.digest)),
            "examples": min(examples, reference.examples),
            "dims": {**session.cases[0].model.dims, "batch": 1},
        }
    )


def layers_of(found: Mapping[str, Any]) -> list[LayerLoss]:
    """The layers of a child's answer, the worst first."""
    return [
        LayerLoss(**{**one, "weights": tuple(one["weights"]), "inputs": tuple(one["inputs"])})
        for one in found["layers"]
    ]


def _tensors(found: Sequence[Mapping[str, Any]]) -> tuple[TensorLoss, ...]:
    return tuple(TensorLoss(**one) for one in found)


def as_records(found: Explanation) -> list[dict[str, Any]]:
    """One mapping for each node, for CSV."""
    return [asdict(one) for one in found.nodes]
