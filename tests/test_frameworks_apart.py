"""harness.frameworks.apart: a framework in an interpreter of its own gives and takes what every other one does."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from harness import frameworks, interpreters, values, zoo
from harness.build import keys, pipeline
from harness.build.cache import Cache
from harness.build.lookup import lookup
from harness.build.recipes import resolve_recipe
from harness.data import base as data
from harness.errors import BuildError, UsageError
from harness.flow import availability
from harness.flow.preview import SweepRequest, preview
from harness.frameworks import apart, exported, served, serving, surroundings
from harness.records import DataSpec, FrameworkEnv, InputSpec, ModelSpec, Refusal, Status, WeightsSpec, wire
from harness.runtimes import framework_environments, kept
from tests import builders, specs
from tests.installers import fake_uv
from tests.waiting import wait_for, zombie

CACHE = "HARNESS_TEST_FRAMEWORKS"
"""Names a cache that holds the frameworks' environments, such as a sweep leaves there; no test downloads any."""

HERE = interpreters.Environment(python=sys.executable, installed={"numpy": "2"}, digest="d" * 64)


def model_of(source: str, target: str, *inputs: InputSpec, kind: str = "seeded", **more: Any) -> ModelSpec:
    """A model of a framework on random rows."""
    taken = inputs or (InputSpec(name="x", dtype="float32", shape=("batch", 6)),)
    return ModelSpec(
        name="m",
        source=source,
        id=target,
        task=None,
        weights=WeightsSpec(kind=kind, path=more.pop("path", None)),
        inputs=taken,
        dims={},
        data=DataSpec(name="random", source="random", calibration=8, evaluation=4),
        **more,
    )


def stand_in(path: Path, special: str = ":") -> Path:
    """An interpreter that is this one by another name, and does something else when a framework is to be served."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\ncase "$*" in *served.py*) {special};; esac\nexec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return path


@contextlib.contextmanager
def ended(model: apart.ModelApart) -> Iterator[None]:
    """The process of a model, gone afterwards."""
    try:
        yield
    finally:
        model.process.end()


@pytest.mark.long
def test_a_model_of_another_interpreter_runs_exports_and_says_what_is_wrong(tmp_path: Path) -> None:
    """Arrays there and back, the file that it writes, an error in its own words, and the death of its process."""
    path = builders.one_node(tmp_path / "a.onnx")
    model = specs.file_model(path, InputSpec(name="x", dtype="float32", shape=("batch", 4)))
    loaded = apart.load(model, HERE)
    with ended(loaded):
        own = frameworks.get("onnx").load(model)
        assert (own.weights, own.outputs) == (loaded.weights, loaded.outputs)
        assert own.origin in loaded.origin
        (answer,) = loaded.run({"x": np.array([[-1.0, 2.0, -3.0, 4.0]], np.float32)})
        assert [[0.0, 2.0, 0.0, 4.0]] == answer.tolist()
        (tmp_path / "out").mkdir()
        loaded.export({}, tmp_path / "out")
        assert path.read_bytes() == (tmp_path / "out" / "model.onnx").read_bytes()
        with pytest.raises(BuildError, match="Invalid rank for input: x"):
            loaded.run({"x": np.zeros((1, 2, 3), np.float64)})
        loaded.process.end()
        with pytest.raises(BuildError, match=r"onnx: the framework's process died of SIGKILL during `run`"):
            loaded.run({"x": np.zeros((1, 4), np.float32)})


def test_what_a_framework_prints_is_not_an_answer(tmp_path: Path) -> None:
    """Not even where it looks like one; and a process that ends by itself is named with what it said last."""
    python = stand_in(tmp_path / "python", 'echo \'{"note": 1}\'; echo "no such library" >&2; exit 3')
    around = replace(HERE, python=str(python))
    with pytest.raises(BuildError, match=r"process ended with exit code 3 during `load`: no such library"):
        apart.load(specs.file_model(builders.one_node(tmp_path / "a.onnx")), around)


def test_what_the_users_code_wants_beside_the_framework_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the key of the zoo that brings it; an error is an answer, and the next request is served."""
    (tmp_path / "wanting.py").write_text("import einops_that_is_absent\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    server = serving.FrameworkServer()
    model = wire.model_to_json(model_of("torch", "wanting:net"))
    answer = server.answer({"do": "load", "model": model, "unreachable": {}, "paths": []})
    assert "BuildError" == answer["error"]
    assert "`framework_env: {packages: [einops_that_is_absent]}`" in answer["text"]
    assert "no model was loaded" in server.answer({"do": "run", "folder": str(tmp_path), "kinds": []})["text"]


def test_an_interpreter_that_is_too_old_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is imported that it could not read."""
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    with pytest.raises(SystemExit, match=r"harness needs Python 3.11 or newer, and this is Python 3.9"):
        served.main()


@pytest.mark.long
def test_a_framework_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of a step holds for the framework's process too, which is gone afterwards."""
    monkeypatch.setenv("HARNESS_STEP_DEADLINE", "6s")
    mark = tmp_path / "pid"
    python = stand_in(tmp_path / "bin" / "python", f"echo $$ > {mark}; exec sleep 600")
    model = model_of("dense", "x")
    model = replace(model, source="onnx", id=str(builders.one_node(tmp_path / "a.onnx")), inputs=())
    model = replace(model, framework_env=FrameworkEnv(place=str(python)))
    built = pipeline.build(Cache(tmp_path / "cache"), [(model, [specs.FP32])], on_event=lambda _: None)
    end = built["m", specs.FP32.name]
    assert isinstance(end, Refusal)
    assert "was ended after 6 s without a word" in end.reason
    assert "during the step `load`" in end.reason
    pid = int(mark.read_text())
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or zombie(pid))


def test_an_environment_that_cannot_be_made_refuses_its_models_once(tmp_path: Path) -> None:
    """One attempt for all models and variants of it, with the installer's reason; other models are built."""
    first = model_of("jax", "a:b")
    second = replace(first, name="n")
    tried: list[tuple[str, Path]] = []
    events: list[pipeline.BuildEvent] = []

    def install(model: ModelSpec, root: Path, say: Any) -> None:
        say("installing jax")
        tried.append((model.name, root))
        raise UsageError("framework jax: there is no jaxlib for Python 3.99. Choose one of these.")

    built = pipeline.build(
        Cache(tmp_path),
        [(first, [specs.FP32, specs.FUSED]), (second, [specs.FP32])],
        on_event=events.append,
        surround=install,
    )
    assert [("m", tmp_path)] == tried
    assert {("m", "export"), ("m", "fused"), ("n", "export")} == {
        (model, "export" if variant == specs.FP32.name else "fused") for model, variant in built
    }
    for end in built.values():
        assert isinstance(end, Refusal)
        assert Status.FAILED is end.status
        assert "there is no jaxlib for Python 3.99" in end.reason
    assert ["environment", "", "", ""] == [event.step for event in events]


def test_without_an_installer_nothing_is_installed(tmp_path: Path) -> None:
    """A build that was given none says what is missing."""
    built = pipeline.build(Cache(tmp_path), [(model_of("jax", "a:b"), [specs.FP32])], on_event=lambda _: None)
    (end,) = built.values()
    assert isinstance(end, Refusal)
    assert "the environment of jax is not in the cache yet" in end.reason


def test_requirements_are_the_frameworks_and_the_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another list is another environment; the order of the list is not."""
    uv = fake_uv(tmp_path / "uv", monkeypatch, {"jax": "0.5"})
    model = model_of("jax", "a:b", framework_env=FrameworkEnv(packages=("optax", "einops>=0.7")))
    framework_environments.ensure(model, tmp_path)
    (requirements,) = uv.asked
    place = Path(uv.made[0]).parent
    assert {"flax>=0.11", "numpy", "optax", "einops>=0.7"} < set(requirements)
    assert surroundings.folder("jax", ("einops >= 0.7", "optax"), tmp_path) == place
    assert surroundings.folder("jax", (), tmp_path) != place
    assert {"jax", "flax", "jax2onnx", "numpy"} <= set(re.findall(r"^import (\w+)$", uv.proved, re.MULTILINE))
    assert ["framework jax with optax with einops>=0.7"] == [one.name for one in kept.everything(tmp_path)]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("nowhere/python", "is not a file; give the path of a Python interpreter"),
        ("empty", "is not a Python interpreter that runs"),
        ("python", "lacks jax and flax and jax2onnx: install it there with its pip"),
    ],
)
def test_an_interpreter_that_lacks_something_is_refused(tmp_path: Path, place: str, words: str) -> None:
    """Each says what is wrong with it."""
    stand_in(tmp_path / "python")
    (tmp_path / "empty").write_text("", encoding="utf-8")
    (tmp_path / "empty").chmod(0o755)
    model = model_of("jax", "a:b", framework_env=FrameworkEnv(place=str(tmp_path / place)))
    with pytest.raises(UsageError, match=words):
        framework_environments.ensure(model, tmp_path)
    assert None is lookup(Cache(tmp_path / "cache"), model, specs.FP32)


def test_digests_follow_what_is_installed_where_the_framework_runs() -> None:
    """Other versions there are other weights, references and files; a distribution is written in many ways."""
    model = model_of("keras", "MobileNetV2")
    around = interpreters.Environment(
        python="p", installed={"tensorflow_cpu": "2.21.0", "keras": "3.15.1", "tf2onnx": "1.17.0"}, digest="a"
    )
    other = replace(around, digest="b")
    assert {"tensorflow-cpu": "2.21.0", "onnx": "1.0"} == surroundings.versions(
        ("tensorflow-cpu", "onnx", "absent"), replace(around, installed={**around.installed, "ONNX": "1.0"})
    )
    for key in (
        lambda env: keys.source_key(model, env),
        lambda env: keys.reference_key(model, "w", env),
        lambda env: keys.step_keys(model, resolve_recipe(specs.FP32), "w", env),
    ):
        assert key(around) == key(replace(around))
        assert key(around) != key(other)
        assert key(around) != key(None)


def test_data_are_handed_over_as_files(tmp_path: Path) -> None:
    """The calibration examples with their labels, and two to trace with: the same arrays as the source's own."""
    held = np.arange(96, dtype=np.float32).reshape(8, 12)
    np.savez(tmp_path / "rows.npz", rows=held, labels=np.arange(8))
    model = replace(
        model_of("jax", "a:b", InputSpec(name="rows", dtype="float32", shape=("batch", 12))),
        data=DataSpec(
            name="mine", source="npz", calibration=3, evaluation=5, options={"path": str(tmp_path / "rows.npz")}
        ),
    )
    (tmp_path / "out").mkdir()
    handed = apart.handed_over(model, tmp_path / "out")
    request, files = data.DataRequest.of(model), data.DataRequest.of(handed)
    for split, count in (("calibration", 3), ("evaluation", 2)):
        own, theirs = (list(data.stream(one, split)) for one in (request, files))  # type: ignore[arg-type]
        assert count == len(theirs)
        for one, other in zip(own, theirs, strict=False):
            assert one.feed["rows"].tolist() == other.feed["rows"].tolist()
            assert one.label == other.label
    assert handed == wire.model_from_json(wire.model_to_json(handed))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("framework_env: owm", "found 'owm'; did you mean 'own'"),
        ("framework_env: {place: beside, packages: [optax]}", "has an effect in an environment of its own alone"),
        ("framework_env: {packages: ['--index-url=x']}", "is not a requirement as pip takes them"),
        ("framework_env: {pakages: [optax]}", "pakages"),
    ],
)
def test_mistakes_in_the_zoo_say_what_is_valid(tmp_path: Path, text: str, words: str) -> None:
    """With the key that is wrong."""
    path = tmp_path / "zoo.yaml"
    path.write_text(ZOO.format(more=text), encoding="utf-8")
    with pytest.raises(UsageError, match="framework_env") as error:
        zoo.load(path)
    assert words in str(error.value)


def test_a_zoo_says_where_a_framework_runs(tmp_path: Path) -> None:
    """Its own environment is the default of some; paths start at the zoo's folder."""
    path = tmp_path / "zoo.yaml"
    for text, place in (("", "own"), ("framework_env: beside", "beside"), ("framework_env: ./p", f"{tmp_path}/p")):
        path.write_text(ZOO.format(more=text), encoding="utf-8")
        model = zoo.load(path).models["m"]
        assert place == surroundings.place_of(model)
        assert model.framework_env == wire.model_from_json(wire.model_to_json(model)).framework_env
    assert "beside" == surroundings.place_of(model_of("torch", "a:b"))
    assert "own" == surroundings.place_of(
        model_of("torch", "a:b", framework_env=FrameworkEnv(packages=("torch==2.9",)))
    )


ZOO = """\
version: 1
variants:
  fp32: {{steps: [export]}}
targets:
  cpu: {{provider: cpu}}
models:
  m:
    source: jax
    id: mine:net
    weights: seeded
    data: random
    inputs: {{x: {{dtype: float32, shape: [batch, 4]}}}}
    {more}
"""


def test_plans_and_lists_say_what_is_installed_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan names the environment that is not there; the list of frameworks says so, until it is there."""
    path, cache = tmp_path / "zoo.yaml", tmp_path / "cache"
    path.write_text(ZOO.format(more="framework_env: {packages: [optax]}"), encoding="utf-8")
    request = SweepRequest(zoo=path, cache=cache, results=tmp_path / "results")
    assert ("jax",) == preview(request).to_install

    def found() -> availability.Item:
        return next(one for one in availability.framework_items(zoo.load(path), cache) if one.name == "jax")

    assert "no environment of it in the cache yet: the first build of a model installs jax>=0.5" in found().why_not
    assert found().what.endswith("; runs in an environment of its own (m)")
    assert "" == availability.model_problem(zoo.load(path).models["m"], cache)
    fake_uv(tmp_path / "uv", monkeypatch, {"jax": "1", "numpy": "2"})
    framework_environments.install("jax", cache, ["optax"])
    environment = surroundings.folder("jax", ["optax"], cache)
    python = interpreters.interpreter(environment / "venv")
    python.rename(python.with_name("away"))
    assert None is surroundings.known(zoo.load(path).models["m"], cache)  # without an interpreter it is not believed
    python.with_name("away").rename(python)
    assert () == preview(request).to_install
    assert "" == found().why_not
    ((name, packages),) = [(one.name, one.packages) for one in kept.everything(cache)]
    assert ("framework jax with optax", {"jax": "1"}) == (name, packages)


def test_what_a_gate_keeps_apart_shares_the_environments(tmp_path: Path) -> None:
    """Gigabytes are installed once, not once for each commit whose code has a part in a build."""
    asked: list[Path] = []
    cache = Cache(tmp_path / "own", tmp_path / "shared")

    def install(_: ModelSpec, root: Path, __: Any) -> None:
        asked.append(root)
        raise UsageError("not today")

    pipeline.build(cache, [(model_of("jax", "a:b"), [specs.FP32])], on_event=lambda _: None, surround=install)
    assert [tmp_path / "shared"] == asked


def test_exporters_names_become_the_zoos(tmp_path: Path) -> None:
    """Inputs, outputs and axes, inside subgraphs as well; a name that is taken already gets out of the way."""
    content = onnx.load(builders.one_node(tmp_path / "a.onnx"))
    content.graph.node[0].output[0] = "z"
    content.graph.output[0].name = "z"
    content.graph.node.add(op_type="Neg", input=["z"], output=["output"], name="n")
    content.opset_import.add(domain="", version=7)
    model = model_of("jax", "a:b", InputSpec(name="rows", dtype="float32", shape=("batch", 4)))
    found = exported.tidied(content, model, ("output",))
    onnx.checker.check_model(found)
    assert ["rows"] == [one.name for one in found.graph.input]
    assert ["output"] == [one.name for one in found.graph.output]
    assert [["rows"], ["output"]] == [list(one.input) for one in found.graph.node]
    assert "batch" == found.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert 1 == len(found.opset_import)
    with pytest.raises(BuildError, match=r"1 inputs .* and the zoo says 2"):
        exported.tidied(found, replace(model, inputs=model.inputs * 2), ("output",))
    with pytest.raises(BuildError, match="has 1 outputs, the framework's 2"):
        exported.tidied(found, model, ("a", "b"))


def environment_of(source: str) -> interpreters.Environment:
    """The environment of a framework in the cache that the tests may use."""
    root = os.environ.get(CACHE)
    if not root:
        pytest.skip(f"{CACHE} names no cache with the environment of {source}")
    for more in ((), ("scikit-learn",)):
        found = interpreters.known(surroundings.folder(source, more, Path(root)))
        if found is not None:
            return found
    pytest.skip(f"the cache {root} has no environment of {source}: a sweep or build with a model of it makes one")


def equal(loaded: apart.ModelApart, folder: Path) -> None:
    """The exported file gives what the framework itself gives, on whole feeds."""
    import onnxruntime

    folder.mkdir()
    loaded.export({"opset": None}, folder)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    assert [one.name for one in loaded.model.inputs] == [one.name for one in session.get_inputs()]
    assert list(loaded.outputs) == [one.name for one in session.get_outputs()]
    for example in data.stream(data.DataRequest.of(loaded.model), "evaluation"):
        for ours, theirs in zip(loaded.run(example.feed), session.run(None, dict(example.feed)), strict=True):
            np.testing.assert_allclose(values.flat(theirs), ours, rtol=1e-4, atol=1e-5)


TWO = tuple(InputSpec(name=name, dtype="float32", shape=("batch", 6)) for name in ("first", "second"))


@pytest.mark.long
@pytest.mark.parametrize(
    ("source", "target", "inputs"),
    [
        ("keras", "tests.framework_nets:keras_dense", ()),
        ("tensorflow", "tests.framework_nets:tensorflow_two", TWO),
        ("jax", "tests.framework_nets:flax_dense", ()),
        ("jax", "tests.framework_nets:jax_two", TWO),
    ],
)
def test_each_framework_exports_what_it_computes(
    source: str, target: str, inputs: tuple[InputSpec, ...], tmp_path: Path
) -> None:
    """The user's own code is found from there, prints or not."""
    loaded = apart.load(model_of(source, target, *inputs), environment_of(source))
    with ended(loaded):
        equal(loaded, tmp_path / "out")
        digest = loaded.weights.digest
    assert 64 == len(digest)


@pytest.mark.long
@pytest.mark.parametrize(
    ("source", "target", "name", "code", "wrong"),
    [
        ("keras", "tests.framework_nets:keras_dense", "m.keras", "nets.keras_dense().save('{path}')", "m.txt"),
        ("keras", "tests.framework_nets:keras_dense", "m.weights.h5", "nets.keras_dense().save_weights('{path}')", "x"),
        ("tensorflow", "serving_default", "saved", "nets.keras_dense().export('{path}', verbose=False)", "none"),
        (
            "jax",
            "tests.framework_nets:flax_dense",
            "m.npz",
            "import numpy as np\nfrom harness_state import state\nnp.savez('{path}', **state(nets.flax_dense(5)))",
            "m.pkl",
        ),
    ],
)
def test_pretrained_weights_from_a_local_path(
    source: str, target: str, name: str, code: str, wrong: str, tmp_path: Path
) -> None:
    """Each framework's own format is read, exported and equal; another file is refused by name."""
    around = environment_of(source)
    path = tmp_path / name
    code = code.replace("from harness_state import state", FLAX_STATE)
    program = f"import sys; sys.path.append({str(Path.cwd())!r})\nfrom tests import framework_nets as nets\n"
    done = interpreters.ask(around.python, program + code.replace("{path}", str(path)))
    assert done.returncode == 0, done.stderr
    inputs = (InputSpec(name="keras_tensor", dtype="float32", shape=("batch", 6)),) if source == "tensorflow" else ()
    loaded = apart.load(model_of(source, target, *inputs, kind="pretrained", path=str(path)), around)
    with ended(loaded):
        assert "pretrained" == loaded.weights.kind
        equal(loaded, tmp_path / "out")
        with pytest.raises(BuildError, match=wrong):
            again = model_of(source, target, *inputs, kind="pretrained", path=str(tmp_path / wrong))
            loaded.process.ask("load", model=wire.model_to_json(again), unreachable={}, paths=[str(Path.cwd())])


FLAX_STATE = """
from flax import nnx
def state(module):
    return {".".join(map(str, path)): leaf.get_value() for path, leaf in nnx.to_flat_state(nnx.state(module))}
"""
