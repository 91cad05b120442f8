"""What CONTRIBUTING promises: a framework, a data source or a step is one file, and nothing else changes.

The package is copied into a folder of its own, one file of each kind is added there, and tests work with that copy from
the command line, build children included. A metric is an entry of a list, a verb a function and a line, a runtime a
program.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import harness
from harness.measure.coordinator import Workload, observe, time_process
from harness.measure.pacing import Pace
from harness.records import Target
from harness.runtimes.clients import WorkerStarter
from tests import builders

FRAMEWORK = '''\
"""Networks of one matrix, which need nothing but NumPy."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from harness.frameworks import base
from harness.records import Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense(base.Loaded):
    matrix: Any

    def run(self, feed):
        (array,) = feed.values()
        return [array @ self.matrix]

    def export(self, options, folder):
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        (spec,) = self.model.inputs
        inputs = [helper.make_tensor_value_info(spec.name, TensorProto.FLOAT, list(spec.shape))]
        outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [spec.shape[0], self.matrix.shape[1]])]
        node = helper.make_node("MatMul", [spec.name, "w"], ["y"], "product")
        graph = helper.make_graph([node], "dense", inputs, outputs, [numpy_helper.from_array(self.matrix, "w")])
        opset = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / "model.onnx")


def load(model):
    import numpy as np

    shape = (model.inputs[0].shape[1], int(model.options.get("width", 2)))
    matrix = np.random.default_rng(model.weights.seed).standard_normal(shape).astype(np.float32)
    weights = Weights(kind="seeded", digest=hashlib.sha256(matrix.tobytes()).hexdigest())
    return Dense(weights=weights, origin=f"numpy {np.__version__}", outputs=("y",), model=model, matrix=matrix)


FRAMEWORK = base.Framework(
    name="dense",
    doc="networks of one matrix",
    id_doc="anything",
    load=load,
    packages={"numpy": "numpy"},
    export_packages=("onnx",),
    weights=("seeded",),
    id_pattern=r"[a-z]+",
    id_expected="a word",
)
'''

SOURCE = '''\
"""Numbers that rise from one example to the next."""

from __future__ import annotations

from harness.data import base
from harness.options import Option

OPTIONS = (
    Option(name="step", type=float, required=True, more_than=0, doc="how much one example is above the one before"),
)
PACKAGES = {"numpy": "numpy"}


def examples(request, split):
    import numpy as np

    step = base.option(request, "step")
    for place in range(request.counts[split]):
        shapes = {spec: base.row_shape(spec, request) for spec in request.inputs}
        yield base.Row(
            feed={spec.name: np.full(shape, place * step).astype(spec.dtype) for spec, shape in shapes.items()}
        )


def digest(request):
    return base.versions(*PACKAGES)
'''

STEP = '''\
"""The sign step: what a network gives is turned round."""

from __future__ import annotations

from harness import graphs
from harness.build.steps.base import Done, StepKind
from harness.errors import Skip
from harness.options import Option


def sign(work, options):
    from onnx import helper

    model = graphs.load(work.source)
    if not options["twice"]:
        raise Skip("sign: once would change the function.")
    output = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["inner" if name == output else name for name in node.output]
    model.graph.node.append(helper.make_node("Neg", ["inner"], ["turned"], "once"))
    model.graph.node.append(helper.make_node("Neg", ["turned"], [output], "again"))
    graphs.save(model, work.folder / "model.onnx")
    return Done(notes=("the sign was turned twice",))


STEP = StepKind(
    name="sign",
    doc="The sign turned round",
    options=(Option(name="twice", type=bool, default=True, doc="so that the function stays the same"),),
    run=sign,
    packages={"onnx": "onnx"},
)
'''


METRIC = """
TAIL: Final = Metric(
    name="tail",
    unit="seconds",
    meaning="The 99th percentile of one inference.",
    column="latency.p99_s",
    reads=("latency.p99_s",),
    noisy=True,
    option="max_slowdown",
    margin=0.0,
    threshold=0.05,
    label="tail",
    subject="tail ",
)
"""

VERB = '''\
"""`harness count`."""

from __future__ import annotations

import typer

from harness.errors import UsageError


def count(upto: int) -> None:
    """Count up to a number.

    Example: harness count 3
    """
    if upto < 1:
        raise UsageError(f"count {upto}: expected a number from 1 on")
    typer.echo(" ".join(map(str, range(1, upto + 1))))
'''

RUNTIME = '''\
"""A worker that runs models of one Relu with nothing but NumPy."""

import os
import platform
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, sys.argv[1])  # where harness lies
from harness.runtimes import protocol

ANSWERS, REQUESTS = sys.stdout.buffer, sys.stdin.buffer
NAME = "CPUExecutionProvider"


def opened(request):
    """Prepare what is timed."""
    (entry,) = request["feeds"].values()
    batch = np.load(entry.get("stacked") or entry["concatenated"])[: request["batch"]]
    return lambda: np.maximum(batch, 0)


runtime = {"name": "numpy", "version": np.__version__, "build": "", "language": platform.python_implementation()}
hello = {"ok": True, "protocol": protocol.PROTOCOL, "pid": os.getpid(), "runtime": runtime | {"providers": [NAME]}}
protocol.send(ANSWERS, hello)
run = None
while (request := protocol.receive(REQUESTS)) is not None and request["cmd"] != "close":
    if request["cmd"] == "open":
        start = time.perf_counter_ns()
        run = opened(request)
        answer = {
            "session_ns": time.perf_counter_ns() - start,
            "inputs": [["x", "tensor(float)", ["batch", 4]]],
            "outputs": [["y", "tensor(float)", ["batch", 4]]],
            "runtime": {"providers": [NAME], "placement": {NAME: 1}},
        }
    elif request["cmd"] == "burst":
        durations = []
        for _ in range(request["n"]):
            start = time.perf_counter_ns()
            run()
            durations.append(time.perf_counter_ns() - start)
        answer = {"durations_ns": durations, "preempted": 0}
    elif request["cmd"] == "outputs":
        (entry,) = request["feeds"].values()
        examples = np.load(entry.get("stacked") or entry["concatenated"])[: request["examples"]]
        np.save(Path(request["folder"]) / "0.npy", np.maximum(examples, 0))
        kind = "stacked" if "stacked" in entry else "concatenated"
        answer = {"outputs": [{"name": "y", kind: str(Path(request["folder"]) / "0.npy")}]}
    elif request["cmd"] == "profile":
        answer = {"nodes": [["relu", "Relu", NAME, ["float"], 1, 1.0]]}
    protocol.send(ANSWERS, {"ok": True, **answer})
'''


MODELS = {
    "tiny": "{source: onnx, id: tiny.onnx, data: r}",
    "m": "{source: dense, id: some, data: random, inputs: {x: {dtype: float32, shape: [batch, 3]}}}",
    "wide": "{extends: m, options: {width: 5}}",
}
VARIANTS = {
    "fp32": "{optimization: disabled, steps: [export]}",
    "int8": "{steps: [export, quantize: {method: static}]}",
    "turned": "{steps: [export, sign]}",
    "spelled": "{steps: [export, sign: {twice: true}]}",
    "once": "{steps: [export, sign: {twice: false}]}",
}
RISING = "{source: rising, step: 0.5, evaluation: 3}"


def zoo_of(*, rising: str = RISING, models: Mapping[str, str] = MODELS, variants: Mapping[str, str] = VARIANTS) -> str:
    """The text of a zoo that has something of everything that is added."""
    sections = {
        "variants": variants,
        "targets": {"cpu": "{provider: cpu}"},
        "data": {"r": rising},
        "models": models,
    }
    lines = ["version: 1"]
    for name, entries in sections.items():
        lines += [f"{name}:", *(f"  {key}: {value}" for key, value in entries.items())]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the package and a project beside it, `root`/harness and `root`/model_zoo.yaml."""

    root: Path

    def write(self, place: str, text: str) -> None:
        """Add one file to the package."""
        assert not (self.root / "harness" / place).exists()
        (self.root / "harness" / place).write_text(text, encoding="utf-8")

    def change(self, place: str, *replacements: tuple[str, str]) -> None:
        """Change a file of the package."""
        path = self.root / "harness" / place
        text = path.read_text(encoding="utf-8")
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new, 1)
        path.write_text(text, encoding="utf-8")

    def run(self, *commands: str, code: int = 0) -> list[str]:
        """Run commands of the copy one after the other in one process: standard output of each, or standard error."""
        environment = os.environ | {"PYTHONPATH": str(self.root), "HARNESS_CACHE": str(self.root / "cache")}
        done = subprocess.run(
            [sys.executable, "-c", COMMANDS, json.dumps([one.split() for one in commands])],
            cwd=self.root, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert 0 == done.returncode, done.stdout + done.stderr
        ends = json.loads(done.stdout)
        assert {code} == {found for found, *_ in ends}, ends
        return [err if code else out for _, out, err in ends]

    def refused(self, *zoos: str) -> list[str]:
        """What a build says of each of these zoos."""
        for number, text in enumerate(zoos):
            (self.root / f"zoo{number}.yaml").write_text(text, encoding="utf-8")
        return self.run(*(f"build --zoo zoo{number}.yaml" for number in range(len(zoos))), code=2)

    def graph(self, built: dict[str, Any]) -> onnx.GraphProto:
        """The graph of what was built."""
        return onnx.load(self.root / "cache" / "artifacts" / built["digest"] / "model.onnx").graph


COMMANDS = """
import contextlib, io, json, sys
from harness.cli import main

ends = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["harness", *arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main()
        except SystemExit as end:
            code = end.code
    ends.append((code or 0, out.getvalue(), err.getvalue()))
print(json.dumps(ends))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy of this package with something of each kind added, and a tiny model to build."""
    folder = tmp_path_factory.mktemp("extended")
    ignored = shutil.ignore_patterns("*.pyc.*", "*-pytest-*", "static")  # bytecode that fits saves compiling it
    shutil.copytree(Path(harness.__file__).parent, folder / "harness", ignore=ignored)
    builders.tiny_conv(folder / "tiny.onnx")
    (folder / "model_zoo.yaml").write_text(zoo_of(), encoding="utf-8")
    made = Copy(folder)
    made.write("frameworks/dense.py", FRAMEWORK)
    made.write("data/rising.py", SOURCE)
    made.write("build/steps/sign.py", STEP)
    made.write("cli/count.py", VERB)
    place = '    "cache": '
    made.change("cli/__init__.py", ("    bisect,\n", "    bisect,\n    count,\n"))
    made.change("cli/__init__.py", (place, f'    "count": count.count,\n{place}'))
    metrics = "METRICS: Final = ("
    made.change("metrics.py", (metrics, f"{METRIC.strip()}\n\n{metrics}TAIL, "))
    return made


@pytest.fixture(scope="module")
def said(copy: Copy) -> dict[str, Any]:
    """What two verbs say of the zoo in JSON: of each variant of a model that was built, and of each model."""
    commands = ("build m,wide --variants fp32 --json", "build tiny --json", "list --json")
    *built, listed = map(json.loads, copy.run(*commands))
    return {
        "built": {f"{one['model']}/{one['variant']}": one for models in built for one in models},
        "models": {one["name"]: one for one in listed["models"]},
    }


def test_a_framework_is_one_file(copy: Copy, said: dict[str, Any]) -> None:
    """The zoo checks what it declares, the build proves what it exports, and `list` knows that it runs here."""
    found = said["built"]
    assert "seeded" == found["m/fp32"]["weights"]["kind"]
    assert [[3, 2], [3, 5]] == [list(copy.graph(found[name]).initializer[0].dims) for name in ("m/fp32", "wide/fp32")]
    assert said["models"]["m"]["runs_here"]

    (refusal,) = copy.refused(
        zoo_of(models=MODELS | {"m": MODELS["m"].replace("id: some", "id: '1', weights: trained")})
    )
    assert "models.m.id: expected a word, found '1'" in refusal
    able = "jax or keras or sklearn or tensorflow or torch or ultralytics"
    assert f"'trained' needs source {able}, found dense; valid: seeded" in refusal


def test_a_data_source_is_one_file(copy: Copy, said: dict[str, Any]) -> None:
    """Its options are checked as it declares them, and its examples are what a build calibrates on and is proven on."""
    found = said["built"]
    reference = copy.root / "cache" / "references" / found["tiny/fp32"]["reference"]["digest"]
    fed = np.load(reference / "feeds" / "0.npy")
    assert [0.0, 0.5, 1.0] == [float(example.max()) for example in fed]
    kinds = {node.op_type for node in copy.graph(found["tiny/int8"]).node}
    assert "QuantizeLinear" in kinds

    refusals = {
        "{source: rising}": "data.r: missing key 'step', which source 'rising' needs",
        "{source: rising, step: 0}": "data.r.step: must be more than 0",
        "{source: rising, step: 1, seed: 3}": "has no effect with source 'rising'; it belongs to: "
        "callable, file_types, photos, random, ",
    }
    for refusal, expected in zip(
        copy.refused(*(zoo_of(rising=one) for one in refusals)), refusals.values(), strict=True
    ):
        assert expected in refusal


def test_a_step_is_one_file(copy: Copy, said: dict[str, Any]) -> None:
    """Variants may have it, its options are checked, resolved and in its digest, and what it says is kept."""
    found = said["built"]
    assert found["tiny/turned"]["digest"] == found["tiny/spelled"]["digest"] != found["tiny/fp32"]["digest"]
    assert ["Neg", "Neg"] == [node.op_type for node in copy.graph(found["tiny/turned"]).node][-2:]
    assert ["the sign was turned twice"] == list(found["tiny/turned"]["notes"])
    assert ("skipped", "sign: once would change the function.") == (
        found["tiny/once"]["status"],
        found["tiny/once"]["reason"],
    )
    (refusal,) = copy.refused(zoo_of(variants=VARIANTS | {"bad": "{steps: [export, sign: {twice: 2}]}"}))
    assert "variants.bad.steps[1].sign.twice: expected true or false, found 2" in refusal


def test_a_metric_is_an_entry_of_the_list(copy: Copy) -> None:
    """Over a column that is stored already: asv has a benchmark of it, and it has a history."""
    _, history, results = copy.run(
        "sweep --models tiny --variants fp32 --time-per-case 0.2 --processes 1 --no-confirm",
        "history --metric tail --format json",
        "results --format json",
    )
    (series,), (row,) = json.loads(history), json.loads(results)
    assert [row["latency"]["p99_s"]] == [point["value"] for point in series["points"]]
    assert row["latency"]["p99_s"] is not None


def test_a_verb_is_a_function_and_a_line(copy: Copy) -> None:
    """Its help, its errors and its exit code are those of every verb."""
    counted, shown = copy.run("count 3", "count --help")
    assert "1 2 3" == counted.strip()
    assert "Example: harness count 3" in shown
    (refusal,) = copy.run("count 0", code=2)
    assert "harness: count 0: expected a number from 1 on" in refusal


def test_a_runtime_is_a_program_that_speaks_the_protocol(tmp_path: Path) -> None:
    """The coordinator times it, reads its outputs and says what it is; it knows nothing of what it runs."""
    script = tmp_path / "numpy_worker.py"
    script.write_text(RUNTIME, encoding="utf-8")
    starter = WorkerStarter(command=(sys.executable, str(script), str(Path(harness.__file__).parent.parent)))
    fed = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", fed)
    work = Workload(
        model=builders.one_node(tmp_path / "one.onnx"),
        target=Target(name="numpy", provider="CPUExecutionProvider"),
        optimization="all",
        feeds={"x": tmp_path / "x.npy"},
        dims={"batch": 1},
    )
    timed = time_process(work, Pace(budget_s=0.05, ci_width=0.05), client=starter)
    assert "numpy" == timed.runtime.name
    assert {"CPUExecutionProvider": 1.0} == dict(timed.placement)
    assert len(timed.samples.samples_ns) >= 3
    seen = observe(work, examples=3, folder=tmp_path, client=starter)
    np.testing.assert_array_equal(np.maximum(fed, 0), np.load(tmp_path / "0.npy"))
    assert {"Relu": 1} == dict(seen.kernels)
