"""What int8 costs a model that is really trained: plainly, as the zoo ships it, as `tune` finds it, and by other tools.

Plain is one scale per tensor and everything quantized, the head included. Every build is evaluated on the same labelled
examples, and all that are named run beside float32 in live groups, so that the speeds are of one run.

    python benchmarks/int8_losses.py                                    # yolov8n_shapes, of the shipped zoo
    python benchmarks/int8_losses.py --model minilm --shipped int8-dynamic
    python benchmarks/int8_losses.py --file olive=olive/model.onnx      # what another tool made of the same network
"""

from __future__ import annotations

import argparse
import random
import tempfile
from dataclasses import replace
from pathlib import Path

from common import ROOT, host

from harness import zoo as zoos
from harness.build.cache import default_root
from harness.cli.tune import default_case, starting_from, with_budget
from harness.confirmation import BLOCKS, log_ratios
from harness.explain import cases, leaving
from harness.flow.execute import workload
from harness.flow.session import Session, key
from harness.measure.pairs import GroupSpec, measure_block
from harness.records import Artifact, Case, Recipe, Step, WeightsSpec
from harness.runtimes.client import Client
from harness.stats import paired
from harness.tune.model import TriedBuild
from harness.tune.request import TuneRequest
from harness.tune.tune import tune

PLAIN = Recipe(
    name="int8-plain",
    precision="int8",
    steps=(
        Step(kind="export"),
        Step(kind="fuse", options={"level": "basic"}),
        Step(kind="quantize", options={"method": "static", "per_channel": False}),
    ),
)
AS_IS = Recipe(name="as-is", steps=(Step(kind="export"),))


class Watch:
    """Prints what takes a while, and every build that was evaluated."""

    def saying(self, text: str) -> None:
        """Something that takes a while."""
        print(f"  {text}", flush=True)

    def building(self, event: object) -> None:
        """A build step."""

    def tried(self, found: TriedBuild) -> None:
        """A build was evaluated."""
        print(f"  {found.candidate.case.recipe.name}: {found.value} {found.reason or found.excess}", flush=True)

    def timing(self, text: str, candidates: int) -> None:
        """A race begins."""
        print(f"  timing {text}: {candidates}", flush=True)

    def timed(self, row: object) -> None:
        """A process was timed."""


def other_file(default: Case, name: str, path: str) -> Case:
    """What another tool made, on the model's own data and task."""
    model = replace(
        default.model,
        name=f"{default.model.name}.{name}",
        source="onnx",
        id=str(Path(path).resolve()),
        weights=WeightsSpec(),
        options={},
    )
    return replace(default, model=model, recipe=AS_IS)


def main() -> None:
    """Evaluate every build, run them beside each other, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="yolov8n_shapes")
    parser.add_argument("--target", default="cpu-t1")
    parser.add_argument("--shipped", default="int8-static", help="the zoo's variant")
    parser.add_argument("--budget", help="of tune; the model's own where none is given")
    parser.add_argument("--time-limit", type=float, default=900, help="of tune, in seconds; 0 leaves it out")
    parser.add_argument("--file", action="append", default=[], metavar="NAME=FILE.onnx")
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="live groups")
    asked = parser.parse_args()
    print(host())
    the_zoo = zoos.load(ROOT / "model_zoo.yaml")
    default, fixed = default_case(the_zoo, asked.model, asked.target)
    if asked.budget:
        default = with_budget(default, asked.budget)
    with tempfile.TemporaryDirectory() as name:
        session = cases.open_session(the_zoo, default, cache=default_root(), results=Path(name), say=lambda _: None)
        shipped = next(one for one in starting_from(the_zoo, default, (asked.shipped,)) if one.name == asked.shipped)
        members = {
            "float32": default,
            "plain int8": replace(default, recipe=PLAIN),
            f"shipped {shipped.name}": replace(default, recipe=shipped),
        }
        for one in asked.file:
            tool, _, path = one.partition("=")
            members[tool] = other_file(default, tool, path)
        if asked.time_limit:
            request = TuneRequest(
                zoo=the_zoo,
                default=default,
                variants=starting_from(the_zoo, default, ()),
                cache=default_root(),
                results=Path(name),
                fixed_threads=fixed,
                time_limit=asked.time_limit,
            )
            found = tune(request, Watch())
            if found.best is None:
                print("tune: nothing keeps the budget")
            else:
                members[f"tune: {found.best.name}"] = found.best.case
        report(session, members, asked.blocks)


def report(session: Session, members: dict[str, Case], count: int) -> None:
    """A line for each build: its metric with what it loses, and its speed over float32."""
    built = {name: session.build([case])[key(case)] for name, case in members.items()}
    there = {name: one for name, one in built.items() if isinstance(one, Artifact)}
    works = {name: workload(members[name], one, session.cache) for name, one in there.items()}
    client = session.job(members["float32"]).client or Client
    spec = GroupSpec(workloads=works, clients=dict.fromkeys(works, client))
    rng = random.Random(1)  # noqa: S311  # an order, no secret
    blocks = [measure_block(spec, rng=rng) for _ in range(count)]
    whole = None
    for name, one in built.items():
        if not isinstance(one, Artifact):
            print(f"{name}: {one.status}: {one.reason}")
            continue
        accuracy = leaving.evaluated(session, members[name], one).accuracy
        assert accuracy is not None, "the model has labels"
        whole = accuracy.value if whole is None else whole
        text = f"{accuracy.metric} {accuracy.value:.4f}, {accuracy.value / whole:.1%} of float32's, n={accuracy.n}"
        if name != "float32":
            ratio = paired.ratio_interval(log_ratios(blocks, name, "float32"), 0.95)
            text += f"; {ratio.ratio:.2f}x as fast [{ratio.low:.2f}, {ratio.high:.2f}], {len(blocks)} live groups"
        print(f"{name}: {text}", flush=True)


if __name__ == "__main__":
    main()
