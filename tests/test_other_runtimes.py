"""Runtimes that are not an onnxruntime, plugins, and releases that are too old: how each is written and served."""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from onnx import reference

from harness import runtime_spec, sealed, zoo
from harness.errors import UsageError, WorkerRefusal, ZooError
from harness.flow import remarks
from harness.flow.execute import Job, conclude
from harness.flow.plan import Selection, plan
from harness.flow.preview import SweepSettings
from harness.flow.progress import Progress
from harness.measure import coordinator
from harness.records import Status, Target, wire
from harness.records.values import ValueEntry
from harness.runtimes import environments, kept, languages, protocol
from harness.runtimes.client import Client, lacking
from harness.runtimes.clients import FOLDER, client_factory, torch_command
from harness.runtimes.genai import worker as genai
from harness.runtimes.litert import convert
from harness.runtimes.onnxruntime import versions
from harness.runtimes.resolve import resolve_other
from tests import outcomes
from tests.conftest import Project
from tests.installers import fake_uv
from tests.specs import torch_model
from tests.workers import HELLO, worker


def with_targets(project: Project, *lines: str) -> Path:
    """The project's zoo with further targets."""
    path = project.root / "model_zoo.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("targets:\n", "targets:\n" + "".join(f"  {line}\n" for line in lines), 1), "utf-8")
    return path


def test_a_zoo_names_other_runtimes_and_plugins(project: Project) -> None:
    """Another runtime's provider is its device; a plugin's is its own name, and paths are taken from the zoo."""
    path = with_targets(
        project,
        "eager: {provider: cpu, runtime: torch}",
        "vino: {provider: GPU, runtime: openvino==2026.4.1}",
        "plug: {provider: {plugin: onnxruntime_ep.openvino, device: npu}}",
        "mine: {provider: {plugin: build/ep.so, name: MyExecutionProvider}}",
    )
    found = zoo.load(path).targets
    seen = {name: (found[name].provider, found[name].plugin, found[name].device) for name in ("eager", "vino", "plug")}
    assert {
        "eager": ("cpu", "", ""),
        "vino": ("gpu", "", ""),
        "plug": ("OpenVINOExecutionProvider", "onnxruntime-ep-openvino", "npu"),
    } == seen
    assert str(project.root / "build/ep.so") == found["mine"].plugin
    assert ("MyExecutionProvider", "cpu") == (found["mine"].provider, found["mine"].device)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{provider: openvino, runtime: torch}", "torch runs on cpu or cuda"),
        ("{provider: cpu, runtime: torch==2.5}", "write `torch`"),
        ("{provider: cpu, runtime: torch, provider_options: {a: b}}", "torch takes none"),
        ("{provider: cpu, runtime: tvm, provider_options: {a: b}}", "tvm takes none"),
        ("{provider: cpu, runtime: TVM==0.27.0}", "write `tvm==0.27.0`"),
        ("{provider: cpu, runtime: tvm==not a version}", "what follows `tvm` is a release"),
        (
            "{provider: cpu, runtime: openvino, session_config: {session.disable_prepacking: 1}}",
            "settings of onnxruntime",
        ),
        ("{provider: {plugin: onnxruntime-ep-openvin}}", "did you mean 'onnxruntime-ep-openvino'?"),
        ("{provider: {plugin: onnxruntime-ep-openvino}, runtime: openvino}", "loads no plugin of one"),
        ("{provider: {name: cpu, device: gpu}}", "belongs to a `plugin`"),
        ("{provider: {device: gpu}}", "names neither a provider nor a plugin"),
    ],
)
def test_what_does_not_fit_together(project: Project, line: str, words: str) -> None:
    """Each mistake is named, with what would be right."""
    with pytest.raises(ZooError, match=r"(?s).*") as caught:
        zoo.load(with_targets(project, f"wrong: {line}"))
    assert words in str(caught.value)


def test_a_network_is_measured_once(project: Project) -> None:
    """Variants of the artifact make no difference to torch: one float32 variant stands for it, the others are named."""
    loaded = zoo.load(with_targets(project, "eager: {provider: cpu, runtime: torch}"))
    found = plan(loaded, Selection(targets=("eager",), variants=tuple(loaded.variants), threads=(2,)))
    kinds = {(case.model.name, case.target.intra_threads): case.recipe.precision for case in found.cases}
    assert len(found.cases) == len(kinds)
    assert {"float32"} == set(kinds.values())
    assert {2} == {threads for _, threads in kinds}
    assert len(loaded.variants) > 1
    assert [True] == ["runs the network as its framework has it" in one for one in found.pruned]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Unsupported model IR version: 14, max supported IR version: 10", "onnxruntime 1.32 and later read it"),
        ("Opset 23 is under development and so on. Current official support for domain ai.onnx is till opset 22.",
         "opset 23, and this release reads up to 22: onnxruntime 1.23 and later read it"),
        ("Opset 99 is under development. Current official support for domain ai.onnx is till opset 26.",
         "no release that harness knows reads it"),
        ("Load model failed: something else", ""),
    ],
)  # fmt: skip
def test_the_release_that_reads_a_file(text: str, words: str) -> None:
    """From onnxruntime's own words for a file that is too new; any other error says nothing of it."""
    found = versions.needed(text)
    assert words in found
    assert bool(words) == bool(found)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The worker's module on plugins, which finds `protocol` as the worker does, with nothing registered."""
    monkeypatch.setitem(sys.modules, "protocol", protocol)
    module = importlib.import_module("harness.runtimes.onnxruntime.plugins")
    module.registered.clear()
    return module


def fake_ort(*devices: tuple[str, str], broken: bool = False) -> Any:
    """An onnxruntime whose plugins offer these devices: pairs of provider and kind."""
    listed = [
        SimpleNamespace(ep_name=name, device=SimpleNamespace(type=SimpleNamespace(name=kind), vendor="AMD"))
        for name, kind in devices
    ]
    calls: list[tuple[str, str]] = []

    def register(name: str, path: str) -> None:
        if broken:
            raise RuntimeError("undefined symbol")
        calls.append((name, path))

    return SimpleNamespace(
        register_execution_provider_library=register, get_ep_devices=lambda: listed, calls=calls, __version__="1.31.1"
    )


def test_a_plugin_is_registered_once(plugins: Any, tmp_path: Path) -> None:
    """And the device of the kind that was asked for is taken."""
    library = tmp_path / "ep.so"
    library.touch()
    ort = fake_ort(("CPUExecutionProvider", "CPU"), ("My", "CPU"), ("My", "NPU"))
    for kind in ("npu", "cpu"):
        (found,) = plugins.devices(ort, str(library), "My", kind)
        assert ("My", kind.upper()) == (found.ep_name, found.device.type.name)
    assert [("My", str(library))] == ort.calls


@pytest.mark.parametrize(
    ("ort", "name", "words"),
    [
        (fake_ort(("CPUExecutionProvider", "CPU")), "ep.so", "gpu device here (it offers none; the host has"),
        (fake_ort(("My", "NPU")), "ep.so", "it offers npu"),
        (fake_ort(broken=True), "ep.so", "does not load: undefined symbol"),
        (fake_ort(), "gone.so", "no such file"),
        (SimpleNamespace(__version__="1.19.2"), "ep.so", "1.19.2 loads no providers from plugins; 1.23 and later do"),
    ],
)  # fmt: skip
def test_a_plugin_that_cannot_run(plugins: Any, tmp_path: Path, ort: Any, name: str, words: str) -> None:
    """It says what is missing, as a provider that cannot be used here."""
    (tmp_path / "ep.so").touch()
    with pytest.raises(protocol.Refused) as caught:
        plugins.devices(ort, str(tmp_path / name), "My", "gpu")
    assert "provider" == caught.value.kind
    assert words in str(caught.value)


def test_a_worker_says_what_it_lacks(tmp_path: Path) -> None:
    """Then it is not asked for a profile, and the reason is kept; anything but a mapping says nothing."""
    assert {} == lacking({"lacks": ["profile"]})
    hello = HELLO.replace("'runtime': runtime}", "'runtime': runtime, 'lacks': {'profile': 'it has none'}}")
    client = worker(
        tmp_path,
        "if cmd == 'burst': send({'ok': True, 'durations_ns': [1000] * request['n'], 'preempted': 0}); continue\n"
        "if cmd == 'outputs': send({'ok': True, 'outputs': []}); continue\n"
        "sys.exit('asked for ' + cmd)",
        hello=hello,
    )
    target = Target(name="cpu", provider="CPUExecutionProvider")
    work = coordinator.Workload(model=tmp_path / "m.onnx", target=target, optimization="all", feeds={}, dims={})
    seen = coordinator.observe(work, examples=1, folder=tmp_path, client=client)
    assert {"profile": "it has none"} == seen.lacks
    assert () == seen.nodes


def opening(tmp_path: Path, network: Mapping[str, Any] | None, images: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The arguments of `open` for a network with one input `image`."""
    np.save(tmp_path / "image.npy", images)
    return {
        "artifact": {"path": "unused.onnx"},
        "feeds": {"image": {"stacked": str(tmp_path / "image.npy")}},
        "batch": 2,
        "batch_axes": {"image": 0},
        "threads": {"intra": 1, "inter": 1},
        "options": {"provider": "cpu", "network": network},
    }


def test_torch_runs_the_network_of_the_artifact(tmp_path: Path) -> None:
    """The outputs are those of the framework, and a network with other weights is refused before it is timed."""
    pytest.importorskip("torch")
    from harness.frameworks import get

    model = torch_model("tests.nets:small")
    loaded = get("torch").load(model)
    images = np.random.default_rng(0).random((3, 1, 3, 8, 8), dtype=np.float32)
    network = {"model": wire.model_to_json(model), "weights": dataclasses.asdict(loaded.weights)}
    with Client(torch_command(tmp_path)) as client:
        asked = opening(tmp_path, network, images)
        opened = client.ask("open", 60.0, **asked)
        assert ["torch", {}] == [client.runtime.name, opened["runtime"]["placement"]]
        assert 5 == len(client.ask("burst", 60.0, n=5)["durations_ns"])
        client.ask("open", 60.0, **asked, streams=2)
        served = client.ask("load", 60.0, n=9, streams=2)
        assert (9, "") == (len(served["durations_ns"]), served["ended"])
        assert 40 == len(client.ask("load", 60.0, n=40, streams=2, rate=1e4, seed=1)["durations_ns"])
        client.ask("outputs", 60.0, feeds=asked["feeds"], examples=3, folder=str(tmp_path))
        expected = np.stack([loaded.run({"image": image})[0] for image in images])
        np.testing.assert_allclose(np.load(tmp_path / "0.npy"), expected, rtol=1e-5, atol=1e-6)
        other = {**network, "weights": {**network["weights"], "digest": "0" * 64}}
        with pytest.raises(WorkerRefusal, match="other weights"):
            client.ask("open", 60.0, **opening(tmp_path, other, images))
        assert {"profile", "placement"} == set(client.lacks)


@pytest.mark.parametrize(
    ("spec", "requirements", "version"),
    [
        ("iree", ["iree-base-compiler[onnx]", "iree-base-runtime", "numpy"], "3.13.0"),
        ("iree==3.13.0", ["iree-base-compiler[onnx]==3.13.0", "iree-base-runtime==3.13.0", "numpy"], "3.13.0"),
        ("litert==2.1.0", ["onnx2tf", "ai-edge-litert==2.1.0", "numpy"], "2.1.0"),
        ("genai", ["onnxruntime-genai", "onnx", "numpy"], "0.18.0"),
        ("tvm", ["apache-tvm", "onnx", "numpy"], "0.27.0"),
        ("openvino==2026.4.1", ["openvino==2026.4.1", "numpy"], "2026.4.1"),
    ],
)
def test_what_another_runtime_is_installed_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, requirements: list[str], version: str
) -> None:
    """Its distributions, all of the version that was asked for; a target of it starts its own worker."""
    installed = {"openvino": "2026.4.1", "iree_base_runtime": "3.13.0", "ai_edge_litert": "2.1.0"}
    uv = fake_uv(tmp_path / "uv", monkeypatch, installed | {"apache-tvm": "0.27.0", "onnxruntime_genai": "0.18.0"})
    assert version == resolve_other(spec, tmp_path).version
    assert [requirements] == uv.asked
    name = spec.partition("==")[0]
    start = client_factory(Target(name=name, provider="cpu", runtime=spec), tmp_path)
    assert (uv.python, name, "worker.py") == (start.command[0], *Path(start.command[1]).parts[-2:])


@pytest.mark.parametrize(
    ("name", "features"),
    [("iree", ["rotate"]), ("litert", ["rotate", "load"]), ("tvm", ["rotate"])],
)  # fmt: skip
def test_a_compiler_runs_a_file_and_says_why_it_cannot(tmp_path: Path, name: str, features: list[str]) -> None:
    """Where HARNESS_TEST_IREE and so on name an interpreter that has it: compiling takes seconds."""
    if not (python := os.environ.get(f"HARNESS_TEST_{name.upper()}")):
        pytest.skip(f"HARNESS_TEST_{name.upper()} names no interpreter with {name}")
    np.save(tmp_path / "x.npy", np.array([-1.0, 2.0], np.float32)[:, None])
    target = Target(name=name, provider="cpu", runtime=name)
    feeds = {"x": ValueEntry(name="x", stacked=str(tmp_path / "x.npy"))}
    work = coordinator.Workload(model=coordinator.FLOOR_MODEL, target=target, optimization="all", feeds=feeds, dims={})
    with Client([python, str(FOLDER / name / "worker.py")]) as client:
        assert [name, features] == [client.runtime.name, client.hello["features"]]
        client.ask("open", 300.0, **work.request())
        assert 5 == len(client.ask("burst", 60.0, n=5)["durations_ns"])
        client.ask("outputs", 60.0, **work.all_examples(2, tmp_path))
        assert [[0.0], [2.0]] == np.load(tmp_path / "0.npy").tolist()
        (tmp_path / "broken.onnx").write_bytes(b"no model")
        broken = dataclasses.replace(work, model=tmp_path / "broken.onnx")
        with pytest.raises(WorkerRefusal):
            client.ask("open", 300.0, **broken.request())
        odd = dataclasses.replace(work, target=dataclasses.replace(target, provider_options={"speed": "11"}))
        with pytest.raises(WorkerRefusal, match="takes no provider options, found speed"):
            client.ask("open", 300.0, **odd.request())


def test_a_file_for_litert_keeps_its_inputs_and_the_order_of_its_outputs(tmp_path: Path) -> None:
    """Open axes get sizes, and an output of three axes or more leaves as a row; what has no known shape is refused."""
    from onnx import TensorProto, helper, save

    made = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["y"], ["z"])],
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, "side"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("y", "z")],
    )
    path = str(tmp_path / "two.onnx")
    save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)]), path)
    model = convert.with_shapes(path, {"x": [2, 3, 4]})
    outputs = convert.outputs_of(model)
    assert [["y", "float32", [2, 3, 4]], ["z", "float32", [2, 3, 4]]] == outputs
    x = np.arange(-12, 12, dtype=np.float32).reshape(2, 3, 4)
    found = reference.ReferenceEvaluator(convert.flatten(model, outputs)).run(None, {"x": x})
    for one, right in zip(found, (np.maximum(x, 0), -np.maximum(x, 0)), strict=True):
        np.testing.assert_array_equal(right.reshape(-1), one)
    with pytest.raises(ValueError, match="the shape of output 'y' does not follow"):
        convert.outputs_of(convert.with_shapes(path, {}))


def decoder(path: Path, *, given: str = "input_ids") -> Path:
    """A file with the inputs and outputs of a decoder of one layer, two heads and three words: scores are word + 1."""
    from onnx import TensorProto, helper, numpy_helper, save

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
        return helper.make_node(kind, inputs, [output], **attributes)

    text = ["batch", "sequence"]
    constants = {"words": np.ones((1, 1, 3), np.float32), "kept": np.ones((1, 2, 1, 2), np.float32)}
    made = helper.make_graph(
        [
            node("Cast", [given], "ids", to=TensorProto.FLOAT),
            node("Unsqueeze", ["ids", "two"], "wide"),
            node("Add", ["wide", "words"], "logits"),
            node("Unsqueeze", ["ids", "ends"], "cell"),
            node("Add", ["cell", "kept"], "present.0.key"),
            node("Identity", ["present.0.key"], "present.0.value"),
        ],
        "decoder",
        [helper.make_tensor_value_info(given, TensorProto.INT64, text)],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, [*text, 3]),
            *(
                helper.make_tensor_value_info(f"present.0.{kind}", TensorProto.FLOAT, ["batch", 2, "sequence", 2])
                for kind in ("key", "value")
            ),
        ],
        [
            *(numpy_helper.from_array(value, name) for name, value in constants.items()),
            numpy_helper.from_array(np.array([2]), "two"),
            numpy_helper.from_array(np.array([1, 3]), "ends"),
        ],
    )
    save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_genai_is_told_what_the_graph_of_a_decoder_says(tmp_path: Path) -> None:
    """Heads, sizes, words and names; a file that is given keys and values, or gives none, is refused."""
    found = genai.configuration(str(decoder(tmp_path / "model.onnx")), 2, 9)
    assert (3, 9) == (found["model"]["vocab_size"], found["model"]["context_length"])
    said = found["model"]["decoder"]
    assert (1, 2, 2, 4) == tuple(
        said[key] for key in ("num_hidden_layers", "num_attention_heads", "head_size", "hidden_size")
    )
    assert "present.%d.key" == said["outputs"]["present_key_names"]
    assert {"provider_options": [], "intra_op_num_threads": 2} == said["session_options"]
    ids, past = (SimpleNamespace(name=name) for name in ("input_ids", "past_key_values.0.key"))
    for specs, names, words in (
        ([ids, past], ["logits", "present.0.key"], "of which tokens those of the examples are is not known"),
        ([past], ["logits", "present.0.key"], "whose inputs are 'input_ids' and keys and values"),
        ([ids], ["logits"], "needs the outputs 'logits' and keys and values"),
        ([ids], ["present.0.key"], "needs the outputs 'logits' and keys and values"),
    ):
        with pytest.raises(Exception, match=words):
            genai.refuse_unless_decoder(specs, names)


def test_genai_reads_the_tokens_of_a_decoder(tmp_path: Path) -> None:
    """Where HARNESS_TEST_GENAI names an interpreter that has it: outputs are the file's."""
    if not (python := os.environ.get("HARNESS_TEST_GENAI")):
        pytest.skip("HARNESS_TEST_GENAI names no interpreter with genai")
    np.save(tmp_path / "ids.npy", np.array([[[0, 1, 2]], [[2, 1, 1]]]))
    feeds = {"input_ids": ValueEntry(name="input_ids", stacked=str(tmp_path / "ids.npy"))}
    target = Target(name="genai", provider="cpu", runtime="genai")
    path = decoder(tmp_path / "model.onnx")
    work = coordinator.Workload(model=path, target=target, optimization="all", feeds=feeds, dims={})
    with Client([python, str(FOLDER / "genai" / "worker.py")]) as client:
        client.ask("open", 300.0, **work.request())
        assert 5 == len(client.ask("burst", 60.0, n=5)["durations_ns"])
        client.ask("outputs", 60.0, **work.all_examples(2, tmp_path))
        assert [[1.0, 2.0, 3.0], [3.0, 2.0, 2.0]] == np.load(tmp_path / "0.npy")[:, 0, :, 0].tolist()
        with pytest.raises(WorkerRefusal, match="whose inputs are"):
            client.ask("open", 300.0, **dataclasses.replace(work, model=coordinator.FLOOR_MODEL).request())


@pytest.mark.parametrize(
    ("runtime", "precision", "db", "wrong"),
    [
        ("tvm", "float32", -0.4, True),
        ("node", "float32", 2.9, True),
        ("openvino", "float32", 20.0, False),  # in bfloat16
        ("tvm", "float32", None, False),
        ("tvm", "int8", -0.4, False),
        ("onnxruntime==1.23.0", "float32", -0.4, False),
    ],
)
def test_what_answers_otherwise_has_no_number(runtime: str, precision: str, db: float | None, wrong: bool) -> None:
    """A float32 file in a runtime that reads or converts it by itself; how far a recipe changed one is its fidelity."""
    measured = outcomes.measured()
    assert measured.evaluation is not None
    assert measured.evaluation.fidelity is not None
    fidelity = dataclasses.replace(measured.evaluation.fidelity, centred_sqnr_db=db, worst="output0")
    seen = dataclasses.replace(measured.evaluation, precision=precision, fidelity=fidelity)
    said = remarks.wrong_answers(Target(name="t", provider="cpu", runtime=runtime), seen)
    assert (f"{runtime} answers otherwise than the reference: fidelity {db} dB (output0)" if wrong else "") == said


def test_a_case_that_answers_otherwise_fails() -> None:
    """It was timed, and its latency is not shown; the evaluation that says why stays."""
    measured = outcomes.measured()
    assert measured.evaluation is not None
    assert measured.evaluation.fidelity is not None
    far = dataclasses.replace(measured.evaluation.fidelity, centred_sqnr_db=-3.0)
    measured = dataclasses.replace(
        measured, evaluation=dataclasses.replace(measured.evaluation, fidelity=far, precision="float32")
    )
    job = Job(
        case=dataclasses.replace(measured.case, target=dataclasses.replace(measured.case.target, runtime="tvm")),
        built=outcomes.artifact(measured.case),
        settings=SweepSettings(processes=2, time_per_case=1.0, ci_width=0.1),
        cache=Path("cache"),
    )
    progress = Progress(started_at=measured.started_at, processes=measured.processes, evaluation=measured.evaluation)
    found = conclude(job, progress)
    why = "tvm answers otherwise than the reference: fidelity -3.0 dB"
    assert (Status.FAILED, why, None) == (found.status, found.reason, found.latency)
    assert measured.evaluation is found.evaluation


def test_another_language_is_installed_ahead(tmp_path: Path) -> None:
    """As a sweep does it, with what its worker is started with; it loads no plugin."""
    program = languages.WorkerProgram(command=("node", "worker.mjs", "/place"), package="onnxruntime-node")
    found = kept.install("node==1.30.0", tmp_path, find=lambda *_, **__: program)
    assert ("onnxruntime-node", "1.30.0", "/place") == (found.package, found.version, found.python)
    with pytest.raises(UsageError, match="loads no plugin here"):
        kept.install("node", tmp_path, plugins=("onnxruntime-ep-openvino",))
    with pytest.raises(UsageError, match="write `tvm`"):
        kept.install("TVM", tmp_path)


def test_what_is_no_python_environment_is_not_damaged(tmp_path: Path) -> None:
    """Packages of npm and workers that harness compiled have no Python to lose; an empty folder is not whole."""
    folder = tmp_path / "runtimes"
    for name in ("c" * 32 + "/worker-cccc", "d" * 32 + "/classes/Worker.class", "headers-1/onnxruntime_c_api.h"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).touch()
    (folder / ("e" * 32)).mkdir()
    npm = folder / ("f" * 32)
    npm.mkdir()
    content = {"made_by": "onnxruntime-node 1.30.0", "package": "onnxruntime-node", "version": "1.30.0"}
    (npm / environments.META).write_bytes(sealed.seal(sealed.place_entry(npm), content))
    found = {one.digest[0]: (one.name, dict(one.packages), one.damage) for one in kept.everything(tmp_path)}
    assert ("worker in C++", {}, "") == found["c"]
    assert ("worker in Java", {}, "") == found["d"]
    assert ("headers of onnxruntime", {}, "") == found["h"]
    assert "is not whole" in found["e"][2]
    assert ("onnxruntime-node 1.30.0", {"onnxruntime-node": "1.30.0"}, "") == found["f"]
    with pytest.raises(UsageError, match=f"available: .*{'e' * 32}"):
        kept.remove(["nonsense"], tmp_path)


def test_what_is_kept_can_be_named(tmp_path: Path) -> None:
    """A name that fits nothing removes nothing, and what is installed beside harness is not installed again."""
    assert [] == kept.everything(tmp_path)
    with pytest.raises(UsageError, match="no runtime onnxruntime==9"):
        kept.remove(["onnxruntime==9"], tmp_path)
    for spec in (runtime_spec.TORCH, "current"):
        with pytest.raises(UsageError, match="install it with pip"):
            kept.install(spec, tmp_path)
