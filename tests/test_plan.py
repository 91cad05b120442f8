"""Planning: which cases a selection makes, in which order, and what is left out."""

from __future__ import annotations

import cProfile
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from onnx import helper

from harness import frameworks
from harness.build.builder import Maker
from harness.build.cache import Cache
from harness.cli.console import Console
from harness.errors import UsageError
from harness.flow.plan import Plan, Selection, plan, plan_digest
from harness.flow.preview import Preview, SweepRequest, SweepSettings, preview
from harness.records import DataSpec, InputSpec, ModelSpec, Recipe, Step, WeightsSpec
from harness.session_options import EXECUTION_MODE, PARALLEL
from harness.zoo import Defaults, TargetSpec, Zoo
from tests import builders

RECIPES = {
    "int8": Recipe(name="int8", steps=(Step(kind="export"), Step(kind="quantize")), precision="int8"),
    "fp32": Recipe(name="fp32", steps=(Step(kind="export"),), optimization="disabled"),
    "fp32-fused": Recipe(name="fp32-fused", steps=(Step(kind="export"), Step(kind="fuse"))),
}


def model(name: str, batch: str | int = "batch") -> ModelSpec:
    """Return a model with one input of shape (batch, 3)."""
    return ModelSpec(
        name=name,
        source="onnx",
        id=f"/{name}.onnx",
        task=None,
        weights=WeightsSpec(),
        inputs=(InputSpec(name="x", dtype="float32", shape=(batch, 3)),),
        dims={},
        data=DataSpec(name="random", source="random"),
        recipes=RECIPES,
    )


CPU = TargetSpec(name="cpu", provider="CPUExecutionProvider")
CUDA = TargetSpec(name="cuda", provider="CUDAExecutionProvider")
ZOO = Zoo(
    path=Path("/zoo.yaml"),
    digest="",
    models={name: model(name) for name in ("yolov8n", "resnet50", "resnet18")},
    variants=RECIPES,
    targets={"cpu": CPU, "cuda": CUDA},
    defaults=Defaults(
        variants=("int8", "fp32"),
        targets=("cpu",),
        threads=(1, 2),
        batch=(1,),
        processes=5,
        time_per_case_s=15.0,
        ci_width=0.02,
    ),
)


def with_target(**changes: object) -> Zoo:
    """Return the zoo with one target, the CPU one changed."""
    return replace(ZOO, targets={"cpu": replace(CPU, **changes)})  # type: ignore[arg-type]


def labels(made: Plan) -> list[str]:
    """Return the distinct targets of a plan, in order."""
    return list(dict.fromkeys(case.target.label for case in made.cases))


def test_order_is_model_target_variant_with_the_baseline_first() -> None:
    """fp32 stands right before what is compared with it, though the defaults name it last."""
    made = plan(ZOO, Selection(models=("yolov8n", "resnet50")))
    assert [
        "yolov8n/fp32/cpu-t1-b1",
        "yolov8n/int8/cpu-t1-b1",
        "yolov8n/fp32/cpu-t2-b1",
        "yolov8n/int8/cpu-t2-b1",
        "resnet50/fp32/cpu-t1-b1",
        "resnet50/int8/cpu-t1-b1",
        "resnet50/fp32/cpu-t2-b1",
        "resnet50/int8/cpu-t2-b1",
    ] == [case.id for case in made.cases]
    assert () == made.pruned


def test_empty_selection_takes_all_models_and_the_defaults() -> None:
    """No arguments: every model, the default variants and targets."""
    made = plan(ZOO, Selection())
    assert ["yolov8n", "resnet50", "resnet18"] == list(dict.fromkeys(case.model.name for case in made.cases))
    assert 3 * 2 * 2 == len(made.cases)


def test_globs_match_in_zoo_order_and_each_name_once() -> None:
    """`resnet*` after `resnet18` does not plan it twice."""
    made = plan(ZOO, Selection(models=("resnet18", "resnet*"), variants=("fp32*",), threads=(1,)))
    assert ["resnet18", "resnet18", "resnet50", "resnet50"] == [case.model.name for case in made.cases]
    assert ["fp32", "fp32-fused"] * 2 == [case.recipe.name for case in made.cases]


def test_unknown_names_are_all_reported() -> None:
    """Every name or glob without a match is named, with the nearest and all that there are."""
    with pytest.raises(UsageError) as caught:
        plan(ZOO, Selection(models=("yolo8n", "vgg*"), variants=("int9",), targets=("gpu",), threads=(-1,), batch=(0,)))
    lines = str(caught.value).splitlines()
    assert "no model matches 'yolo8n'; did you mean 'yolov8n'? available: yolov8n, resnet50, resnet18" == lines[0]
    assert [
        "no model matches 'vgg*'",
        "no variant matches 'int9'",
        "no target matches 'gpu'",
        "threads: expected whole numbers from 0 to 4096, found -1",
        "batch: expected whole numbers from 1 to 65536, found 0",
    ] == [line.split(";")[0] for line in lines[1:]]


@pytest.mark.parametrize(
    ("asked", "own", "of_model", "expected"),
    [
        (None, None, None, ["cpu-t1-b1", "cpu-t2-b1"]),
        (None, None, (3,), ["cpu-t3-b1"]),
        (None, (4, 0), (3,), ["cpu-t4-b1", "cpu-t0-b1"]),
        ((8, 8), (4,), (3,), ["cpu-t8-b1"]),
    ],
)
def test_threads_precedence(
    asked: tuple[int, ...] | None, own: tuple[int, ...] | None, of_model: tuple[int, ...] | None, expected: list[str]
) -> None:
    """Command line, then target, then model, then defaults; a repeated count is one case."""
    zoo = replace(with_target(threads=own), threads={} if of_model is None else {"yolov8n": of_model})
    assert expected == labels(plan(zoo, Selection(models=("yolov8n",), threads=asked)))


def test_batch_precedence() -> None:
    """Command line, then target, then defaults."""
    assert ["cpu-t1-b4"] == labels(plan(with_target(batch=(4,)), Selection(threads=(1,))))
    assert ["cpu-t1-b1", "cpu-t1-b8"] == labels(plan(with_target(batch=(4,)), Selection(threads=(1,), batch=(1, 8))))


def test_gpu_ignores_threads() -> None:
    """A thread count cannot change a CUDA case: one is kept, and the plan says so."""
    made = plan(ZOO, Selection(models=("yolov8n",), targets=("c*",), threads=(1, 2)))
    assert ["cpu-t1-b1", "cpu-t2-b1", "cuda-t1-b1"] == labels(made)
    assert ("cuda: threads 1, 2 -> 1: provider cuda does not use them",) == made.pruned


def test_gpu_keeps_the_first_of_its_own_threads() -> None:
    """What the target itself says stands, whatever the command line asks for."""
    zoo = replace(ZOO, targets={"cuda": replace(CUDA, threads=(4, 8))})
    made = plan(zoo, Selection(targets=("cuda",), threads=(1, 2)))
    assert ["cuda-t4-b1"] == labels(made)


def test_inter_threads_only_count_in_parallel_execution() -> None:
    """In sequential mode they do nothing: they are pruned to 1, aloud."""
    made = plan(with_target(inter_threads=(2, 4)), Selection(threads=(1,)))
    assert ["cpu-t1-b1"] == labels(made)
    assert ("cpu: inter_threads 2, 4 -> 1: sequential execution does not use them",) == made.pruned

    parallel = with_target(inter_threads=(2, 4), session_config={EXECUTION_MODE: PARALLEL})
    made = plan(parallel, Selection(threads=(1,)))
    assert ["cpu-t1-i2-b1", "cpu-t1-i4-b1"] == labels(made)
    assert () == made.pruned


def test_own_thread_pools_are_told_the_count() -> None:
    """OpenVINO does not use the session's pool: the count goes to its own option, and 0 leaves it to the provider."""
    openvino = TargetSpec(name="ov", provider="OpenVINOExecutionProvider", threads=(0, 3))
    zoo = replace(ZOO, targets={"ov": openvino})
    made = plan(zoo, Selection(models=("yolov8n",), variants=("fp32",), targets=("ov",)))
    assert [{}, {"num_of_threads": "3"}] == [case.target.provider_options for case in made.cases]

    fixed = replace(openvino, provider_options={"num_of_threads": "5"})
    made = plan(replace(ZOO, targets={"ov": fixed}), Selection(targets=("ov",)))
    assert ["ov-t1-b1"] == labels(made)
    assert ("ov: threads 0, 3 -> 1: the target's own num_of_threads=5 decides",) == made.pruned


def test_fixed_batch_axis() -> None:
    """A model whose inputs have no `batch` axis cannot be fed another batch."""
    zoo = replace(ZOO, models={"fixed": model("fixed", batch=1)})
    made = plan(zoo, Selection(threads=(1,), batch=(1, 8)))
    assert ["cpu-t1-b1"] == labels(made)
    assert ("fixed: batch 1, 8 -> 1: no input has a `batch` axis",) == made.pruned


def test_duplicate_targets_and_variants() -> None:
    """A second name for the same settings, or the same recipe, is not measured twice."""
    again = replace(RECIPES["int8"], name="again")
    twice = {**RECIPES, "again": again}
    zoo = replace(
        ZOO,
        targets={"cpu": CPU, "same": replace(CPU, name="same")},
        variants=twice,
        models={"yolov8n": replace(model("yolov8n"), recipes=twice)},
    )
    made = plan(zoo, Selection(targets=("cpu", "same"), variants=("int8", "again"), threads=(2,)))
    assert ["yolov8n/int8/cpu-t2-b1"] == [case.id for case in made.cases]
    assert ("yolov8n/again: the same recipe as int8", "same-t2-b1: the same settings as cpu-t2-b1") == made.pruned


def test_case_ids_are_unique() -> None:
    """Ids name files and rows: no two cases share one."""
    made = plan(ZOO, Selection(targets=("*",), variants=("*",), threads=(0, 1, 2), batch=(1, 8)))
    assert len(made.cases) == len({case.id for case in made.cases})


def test_digest_covers_what_is_asked() -> None:
    """Anything that changes a number changes the digest; what is not among the cases does not."""
    cases = plan(ZOO, Selection(models=("yolov8n",))).cases
    digest = plan_digest(ZOO, cases, {"processes": 5})
    assert 64 == len(digest)
    assert digest == plan_digest(ZOO, plan(ZOO, Selection(models=("yolov8n",))).cases, {"processes": 5})

    fewer = {"fp32": RECIPES["fp32"], "int8": RECIPES["int8"]}
    trimmed = replace(ZOO, digest="other", models={"yolov8n": replace(model("yolov8n"), recipes=fewer)})
    assert digest == plan_digest(trimmed, plan(trimmed, Selection()).cases, {"processes": 5})

    changed = replace(ZOO, models={"yolov8n": replace(model("yolov8n"), dims={"n": 2})})
    assert digest != plan_digest(changed, plan(changed, Selection()).cases, {"processes": 5})
    assert digest != plan_digest(ZOO, cases, {"processes": 6})
    assert digest != plan_digest(ZOO, cases[:-1], {"processes": 5})
    assert digest != plan_digest(replace(ZOO, path=Path("/other.yaml")), cases, {"processes": 5})


def test_what_building_takes_is_of_the_framework() -> None:
    """A file that is there already is not exported, so a variant of it takes less than one of a network."""
    settings = SweepSettings(processes=1, time_per_case=1.0, ci_width=0.05)
    file = replace(model("file"), source="onnx")
    network = replace(model("network"), source="torch")
    zoo = replace(ZOO, models={"file": file, "network": network})
    made = Preview(
        zoo=zoo,
        plan=plan(ZOO, Selection()),
        settings=settings,
        missing=(("file", "a"), ("file", "b"), ("network", "a")),
    )
    of_file, of_network = (frameworks.get(name).build_s for name in ("onnx", "torch"))
    assert 0 < of_file < of_network
    assert 2 * of_file + of_network == made.building_s


def test_cases_that_an_earlier_build_showed_to_have_no_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A batch whose rows depend on each other is left out of the plan's time, with the reason, before anything runs."""
    mean = helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0])
    less = helper.make_node("Sub", ["x", "mean"], ["y"])
    ends = [builders.value("x", ["batch", 3])], [builders.value("y", ["batch", 3])]
    builders.save(tmp_path / "m.onnx", [mean, less], *ends)
    (tmp_path / "zoo.yaml").write_text(
        "version: 1\nvariants: {as-is: {steps: [export]}}\ntargets: {cpu: {provider: cpu}}\n"
        f"models: {{m: {{source: onnx, id: {tmp_path / 'm.onnx'}}}}}\n"
    )
    request = SweepRequest(
        zoo=tmp_path / "zoo.yaml", results=tmp_path / "r", cache=tmp_path / "c", selection=Selection(batch=(1, 2))
    )
    before = preview(request)
    assert {} == before.left_out
    (case, *_) = before.plan.cases
    Maker(Cache(tmp_path / "c"), case.model, lambda *_: None).make(case.recipe)
    after = preview(request)
    ((why, left),) = after.left_out.items()
    assert "rows depend on each other" in why
    assert ["b2"] == [one.target.label.rpartition("-")[2] for one in left]
    assert after.measuring_s == before.measuring_s / 2
    Console().plan(after, cases=False)
    assert f"no number of {left[0].id}: {why}" in capsys.readouterr().out


def calls_to_plan(models: int) -> int:
    """How many calls it takes to plan a zoo of so many models on forty targets, and to digest the plan."""
    zoo = replace(ZOO, models={f"m{index}": model(f"m{index}") for index in range(models)})
    profile = cProfile.Profile()
    made = profile.runcall(plan, zoo, Selection(variants=("*",), threads=tuple(range(20)), batch=(1, 2)))
    profile.runcall(plan_digest, zoo, made.cases, None)
    assert models * 3 * 20 * 2 == len(made.cases)
    return sum(entry.callcount for entry in profile.getstats())


def test_plans_grow_no_faster_than_their_cases() -> None:
    """Planning and its digest do not grow with the square of anything."""
    assert calls_to_plan(20) < 2.2 * calls_to_plan(10)


def test_imports_nothing_heavy() -> None:
    """The coordinator stays light: planning needs neither pydantic nor a framework."""
    code = "import sys, harness.flow.plan; print([n for n in ('pydantic','onnx','torch','numpy') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()
