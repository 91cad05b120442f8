"""Frameworks: what each states of itself, its weights, and why they are not those that were asked for."""

from __future__ import annotations

import pickle
import socket
import threading
import tomllib
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness import frameworks, zoo
from harness.errors import BuildError, Skip
from harness.frameworks import hub, torch_family
from harness.records import DataSpec, InputSpec, ModelSpec, WeightsSpec
from tests import builders, specs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.records import Json

UNREACHABLE = "HF_HUB_OFFLINE is set"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub can be reached, and this process's own variables are put back afterwards."""
    for name in ("HF_HUB_OFFLINE", "YOLO_OFFLINE"):
        monkeypatch.setenv(name, "1")


@pytest.fixture
def torch() -> Iterator[Any]:
    """Torch, with its number of threads put back."""
    module = pytest.importorskip("torch")
    threads = module.get_num_threads()
    yield module
    module.set_num_threads(threads)


def zoo_model(
    source: str,
    name: str,
    inputs: tuple[InputSpec, ...],
    data: str,
    *,
    task: str | None,
    options: dict[str, Json] | None = None,
    require: bool = False,
) -> ModelSpec:
    """A zoo entry that asks for pretrained weights."""
    return ModelSpec(
        name=name,
        source=source,
        id=name,
        task=task,
        weights=WeightsSpec(require=require),
        inputs=inputs,
        dims={"sequence": 12},
        data=DataSpec(name=data, source=data, calibration=4, evaluation=2),
        options=options or {},
    )


def image(size: int) -> tuple[InputSpec, ...]:
    """One square image."""
    return (InputSpec(name="input", dtype="float32", shape=("batch", 3, size, size)),)


def load(model: ModelSpec) -> torch_family.TorchModel:
    """Load through the framework that the model names, one of torch's family."""
    loaded = frameworks.get(model.source).load(model)
    assert isinstance(loaded, torch_family.TorchModel)
    return loaded


def test_unknown_source_gets_a_hint() -> None:
    """A misspelt source is met with the real ones; helpers are not sources."""
    with pytest.raises(BuildError, match=r"did you mean 'torchvision'.*available: jax, keras, onnx, sklearn, "):
        frameworks.get("torchvison")
    with pytest.raises(BuildError, match="no source `hub`"):
        frameworks.get("hub")


def test_seeded_weights_follow_the_seed(torch: Any) -> None:
    """The same seed gives the same digest, another seed another; several inputs get several classes."""
    model = specs.torch_model("tests.nets:small")
    one, two = load(model), load(model)
    other = load(replace(model, weights=WeightsSpec(kind="seeded", seed=1)))
    images = np.random.default_rng(0).standard_normal((64, 3, 8, 8)).astype(np.float32)
    (outputs,) = one.run({model.inputs[0].name: images})

    assert ("seeded", "") == (one.weights.kind, one.weights.reason)
    assert one.weights.digest == two.weights.digest
    assert one.weights.digest != other.weights.digest
    assert len(set(outputs.argmax(axis=1).tolist())) >= 4
    assert not one.module.training


def test_weights_from_a_local_file(torch: Any, tmp_path: Path) -> None:
    """Safetensors and plain state dicts are loaded, options reach the callable, and the kind says pretrained."""
    from safetensors.torch import save_file

    from tests.nets import small

    wanted = small(width=4).state_dict()
    save_file(wanted, tmp_path / "w.safetensors")
    torch.save(wanted, tmp_path / "w.pt")
    for name in ("w.safetensors", "w.pt"):
        path = str(tmp_path / name)
        loaded = load(specs.torch_model("tests.nets:small", kind="pretrained", path=path, options={"width": 4}))
        assert "pretrained" == loaded.weights.kind
        assert torch_family.state_digest(loaded.module) == loaded.weights.digest
        assert torch.equal(wanted["5.weight"], loaded.module.state_dict()["5.weight"])


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self.path, "w"))


def test_pickles_are_never_executed(torch: Any, tmp_path: Path) -> None:
    """A weights file that carries code is refused before the code runs."""
    torch.save({"state_dict": Bomb(tmp_path / "exploded")}, tmp_path / "w.pt")
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    for name in ("w.pt", "raw.pt", "none.pt"):
        with pytest.raises(BuildError, match=r"cannot be had|is not a file"):
            load(specs.torch_model("tests.nets:small", kind="pretrained", path=str(tmp_path / name)))
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("tests.nets", "not of the form"),
        ("tests.nowhere:small", "cannot be imported"),
        ("tests.nets:smal", "did you mean `small`"),
        ("tests.nets:not_a_module", "returned int"),
    ],
)
def test_wrong_callables_say_so(torch: Any, target: str, message: str) -> None:
    """A callable that cannot be found, or returns no module, is told apart."""
    with pytest.raises(BuildError, match=message):
        load(specs.torch_model(target))


def test_a_failing_callable_fails_its_model(torch: Any) -> None:
    """What the user's code raises is in the message."""
    with pytest.raises(BuildError, match="RuntimeError: asked to fail"):
        load(specs.torch_model("tests.nets:small", options={"fail": True}))


@pytest.mark.usefixtures("offline")
def test_torchvision_offline_is_seeded_with_the_reason(
    torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a hub and a cached file the weights are seeded, say why, and fail where they are required."""
    pytest.importorskip("sklearn")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    model = zoo_model("torchvision", "squeezenet1_1", image(64), "photos", task="classification")
    loaded = load(model)

    assert "seeded" == loaded.weights.kind
    assert UNREACHABLE in loaded.weights.reason
    with pytest.raises(BuildError, match="are required and cannot be had: HF_HUB_OFFLINE is set"):
        load(replace(model, weights=WeightsSpec(require=True)))
    with pytest.raises(BuildError, match="has no model `squeezenet1_2`; did you mean `squeezenet1_1`"):
        load(replace(model, id="squeezenet1_2"))


@pytest.mark.usefixtures("offline")
def test_transformers_offline_uses_the_zoos_configuration(torch: Any) -> None:
    """A seeded encoder is built from the zoo's configuration and tells its heads; without one the zoo is to blame."""
    pytest.importorskip("transformers")
    inputs = tuple(
        InputSpec(name=name, dtype="int64", shape=("batch", "sequence"))
        for name in ("input_ids", "attention_mask", "token_type_ids")
    )
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = {"model_type": "bert", "vocab_size": 3000, **sizes}
    model = zoo_model("transformers", "none/such", inputs, "tokens", task="encoder", options={"config": config})
    model = replace(model, data=replace(model.data, options={"vocabulary": 3000}))
    loaded = load(model)

    assert ("seeded", ("last_hidden_state",)) == (loaded.weights.kind, loaded.outputs)
    assert (2, 16) == (loaded.facts["heads"], loaded.facts["hidden"])
    with pytest.raises(BuildError, match="seeded weights need the configuration"):
        load(replace(model, options={}))


@pytest.mark.long
@pytest.mark.usefixtures("offline")
def test_a_decoder_goes_on_from_what_it_has_read(torch: Any, tmp_path: Path) -> None:
    """Token by token with past keys and values is the whole text at once; the exported step equals torch."""
    import onnxruntime

    pytest.importorskip("transformers")
    ids = InputSpec(name="input_ids", dtype="int64", shape=("batch", "sequence"))
    past = tuple(
        InputSpec(name=f"past_key_values.0.{part}", dtype="float32", shape=("batch", 2, "past", 8))
        for part in ("key", "value")
    )
    config = {"model_type": "gpt2", "vocab_size": 50, "n_layer": 1, "n_head": 2, "n_embd": 16, "n_positions": 32}
    options = {"config": config, "auto_class": "AutoModelForCausalLM", "cache": True}
    whole = zoo_model("transformers", "none/such", (ids,), "tokens", task=None, options=options)
    words = DataSpec(
        name="w", source="tokens", calibration=2, evaluation=2, options={"vocabulary": 50, "first": 0, "framed": False}
    )
    whole = replace(whole, data=words, dims={"sequence": 6}, weights=WeightsSpec(kind="seeded"))
    step = replace(whole, inputs=(ids, *past), dims={"sequence": 1, "past": 5})
    first, then = load(whole), load(step)
    assert ("logits", "present.0.key", "present.0.value") == first.outputs == then.outputs
    assert first.weights == then.weights

    text = np.array([[3, 1, 4, 1, 5, 9]])
    logits, *_ = first.run({"input_ids": text})
    _, *held = first.run({"input_ids": text[:, :5]})
    feed = dict(zip((one.name for one in (ids, *past)), (text[:, 5:], *held), strict=True))
    last, key, _ = then.run(feed)
    np.testing.assert_allclose(last[:, 0], logits[:, 5], rtol=1e-4, atol=1e-6)
    assert (1, 2, 6, 8) == key.shape
    then.export({"exporter": "torchscript", "opset": None}, tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for ours, theirs in zip(then.run(feed), session.run(None, feed), strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-6)
    with pytest.raises(BuildError, match=r"missing or unknown: past_key_values\.0\.value"):
        load(replace(step, inputs=(ids, past[0])))
    plain = load(replace(whole, options={**options, "cache": False}))
    assert ("logits",) == plain.outputs
    np.testing.assert_array_equal(logits, plain.run({"input_ids": text})[0])


def test_torch_folds_batch_norms_before_the_export(torch: Any, tmp_path: Path) -> None:
    """What it folds is counted, and computes the same; a network without any, or that fx cannot trace, says so."""
    import onnx
    from torch import nn

    from harness.build import recipes
    from harness.build.steps.base import Work
    from harness.records import Step

    data = DataSpec(name="r", source="random", calibration=4, evaluation=2)
    model = replace(zoo_model("torch", "x:y", image(8), "random", task=None), data=data)
    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3))
    loaded = torch_family.finish(torch_family.Choice(module=block, kind="trained"), model)
    step = recipes.resolve(Step(kind="export", options={"fold": "conv-bn"}))
    done = recipes.run(step, Work(model=model, loaded=loaded, before=None, facts={}, folder=tmp_path))
    assert ("export: torch.fx folded 1 batch norms into convolutions",) == done.notes
    assert ({"Conv+BN": 1}, ["torch.fx"]) == (done.fusion["patterns"], done.fusion["tools"])
    assert "BatchNormalization" not in {one.op_type for one in onnx.load(tmp_path / "model.onnx").graph.node}
    folded, _ = loaded.folded()
    feed = {model.inputs[0].name: np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype("f4")}
    np.testing.assert_allclose(folded.run(feed)[0], loaded.run(feed)[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(Skip, match="finds no batch norm"):
        folded.folded()

    class AlsoActs(nn.BatchNorm2d):  # type: ignore[misc]  # torch is not type-checked here
        def forward(self, image: Any) -> Any:
            return torch.relu(super().forward(image))

    convolution = nn.Conv2d(3, 3, 1)
    for kept in (
        nn.Sequential(nn.Conv2d(3, 4, 3), AlsoActs(4)),
        nn.Sequential(convolution, nn.BatchNorm2d(3), convolution, nn.ReLU()),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
    ):
        with pytest.raises(Skip, match="finds no batch norm"):
            replace(loaded, module=kept.eval()).folded()

    class Twisting(nn.Module):  # type: ignore[misc]  # torch is not type-checked here
        def forward(self, image: Any) -> Any:
            return image if image.sum() > 0 else -image

    with pytest.raises(BuildError, match=r"torch\.fx cannot trace x:y"):
        replace(loaded, module=Twisting()).folded()
    with pytest.raises(Skip, match="on torch's models alone"):
        frameworks.get("onnx").load(specs.file_model(builders.one_node(tmp_path / "a.onnx"))).folded()


@pytest.mark.long
@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("source", ["timm", "torchvision", "transformers", "ultralytics"])
def test_pretrained_weights_from_a_local_path(
    torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """Each framework of torch's family reads what its users save, and the network has those weights."""
    if find_spec(source) is None:
        pytest.skip(f"{source} is not installed")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    if source == "transformers":
        inputs = tuple(
            InputSpec(name=name, dtype="int64", shape=("batch", "sequence")) for name in ("input_ids", "attention_mask")
        )
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
        model = zoo_model(
            source, "none/such", inputs, "tokens", task="encoder",
            options={"config": {"model_type": "bert", "vocab_size": 300, **sizes}},
        )  # fmt: skip
        model = replace(model, data=replace(model.data, options={"vocabulary": 300, "first": 10, "cls": 1, "sep": 2}))
    else:
        name, size = {
            "timm": ("test_resnet.r160_in1k", 32), "torchvision": ("squeezenet1_1", 64), "ultralytics": ("yolov8n", 32),
        }[source]  # fmt: skip
        model = zoo_model(source, name, image(size), "random", task=None)
        if source == "ultralytics":
            model = replace(model, inputs=(replace(model.inputs[0], name="images"),))
    seeded = load(model)
    assert "seeded" == seeded.weights.kind
    if source == "transformers":
        import transformers

        network = transformers.BertModel(transformers.BertConfig(vocab_size=300, **sizes))
        network.save_pretrained(path := tmp_path / "saved")
    elif source == "ultralytics":
        torch.save({"model": seeded.module}, path := tmp_path / "saved.pt")
    else:
        torch.save(seeded.module.state_dict(), path := tmp_path / "saved.pt")
    loaded = load(replace(model, weights=WeightsSpec(kind="pretrained", path=str(path), seed=1, require=True)))
    assert ("pretrained", "") == (loaded.weights.kind, loaded.weights.reason)
    if source != "transformers":
        assert seeded.weights.digest == loaded.weights.digest


@pytest.mark.hub
@pytest.mark.parametrize("name", ["resnet50", "mobilenetv3", "minilm", "yolov8n"])
def test_the_shipped_models_get_their_weights_from_a_hub(torch: Any, name: str) -> None:
    """Where the hub of their framework can be reached: pretrained, and nothing falls back to random weights."""
    model = zoo.load(Path(__file__).parents[1] / "model_zoo.yaml").models[name]
    if find_spec(model.source) is None:
        pytest.skip(f"{model.source} is not installed")
    if why := hub.unreachable(frameworks.get(model.source).hub_url() or ""):
        pytest.skip(f"needs the hub of {model.source}: {why}")
    found = load(replace(model, weights=WeightsSpec(kind="pretrained", require=True)))
    assert ("pretrained", "") == (found.weights.kind, found.weights.reason)


@pytest.mark.hub
def test_pretrained_weights_come_from_a_hub(torch: Any) -> None:
    """Where one can be reached: they are the hub's, whatever the seed."""
    pytest.importorskip("timm")
    if why := hub.unreachable(hub.HUGGING_FACE):
        pytest.skip(f"needs a model hub: {why}")
    model = replace(
        zoo_model("timm", "test_resnet.r160_in1k", image(160), "photos", task="classification", require=True),
        data=DataSpec(name="r", source="random", calibration=4, evaluation=2),
    )
    one, two = (load(replace(model, weights=WeightsSpec(require=True, seed=seed))) for seed in (0, 1))
    assert ("pretrained", one.weights.digest) == (two.weights.kind, two.weights.digest)


def test_digits_cnn_is_accurate_and_deterministic(torch: Any) -> None:
    """The shipped network trains in seconds to over 97% on digits that it never saw, the same one each time."""
    pytest.importorskip("sklearn")
    from harness.data.digits import split
    from harness.frameworks.digits_cnn import build

    images, labels = split()[2:]
    network = build()
    with torch.no_grad():
        right = network(torch.from_numpy(images)).argmax(dim=1).numpy() == labels

    assert right.mean() > 0.97
    assert torch_family.state_digest(build(epochs=1)) == torch_family.state_digest(build(epochs=1))


@pytest.fixture
def fresh_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing known of any hub, and no variable in the way."""
    hub.known_answers.clear()
    for name in ("HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("fresh_answers")
def test_silent_hub_is_given_up_quickly() -> None:
    """A hub that accepts and never answers costs the limit once, however often it is asked."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        answers = {hub.unreachable(url, limit_s=0.2) for _ in range(50)}
        server.setblocking(False)
        server.accept()[0].close()
        with pytest.raises(BlockingIOError):  # nobody else is waiting: it was asked once
            server.accept()

    assert 1 == len(answers)
    assert "" not in answers


@pytest.mark.usefixtures("fresh_answers")
def test_any_answer_is_a_hub_that_can_be_reached() -> None:
    """A hub that says 404 to its bare address is there; one that refuses the connection is not."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert "" == hub.unreachable(url)
        thread.join(5)
    hub.known_answers.clear()
    assert "cannot be reached" in hub.unreachable(url)


def test_offline_by_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_HUB_OFFLINE answers without a question, and HF_ENDPOINT moves the hub."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")

    assert "HF_HUB_OFFLINE is set" == hub.unreachable("https://mirror.example/")
    assert "https://mirror.example/" == frameworks.get("timm").hub_url()


def test_descriptors_agree_with_their_modules() -> None:
    """Each is called like its file; what it needs has an extra that exists; one that needs nothing has none."""
    declared = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    extras = declared["project"]["optional-dependencies"]
    for name in frameworks.names():
        framework = frameworks.get(name)
        assert name == framework.name
        if framework.packages:
            asked = {requirement.split(">=")[0] for requirement in extras[framework.extra or ""]}
            assert set(framework.packages) <= asked
        else:
            assert framework.extra is None


def test_a_file_runs_and_exports_itself(tmp_path: Path) -> None:
    """An .onnx file: whole arrays by name, again after `close`, and a copy that is the same to the byte."""
    path = builders.one_node(tmp_path / "a.onnx")
    loaded = frameworks.get("onnx").load(specs.file_model(path))
    feed = {"x": np.array([[-1.0, 2.0, -3.0, 4.0]], np.float32)}
    for _ in range(2):
        (output,) = loaded.run(feed)
        assert [[0.0, 2.0, 0.0, 4.0]] == output.tolist()
        loaded.close()
    (tmp_path / "out").mkdir()
    loaded.export({}, tmp_path / "out")
    assert path.read_bytes() == (tmp_path / "out" / "model.onnx").read_bytes()


def test_a_module_runs_on_numpy_and_exports_itself(torch: Any, tmp_path: Path) -> None:
    """A torch callable: the exported file computes what `run` does on the same whole arrays."""
    import onnxruntime

    loaded = load(specs.torch_model("tests.nets:small"))
    feed = {"image": np.random.default_rng(1).standard_normal((3, 3, 8, 8)).astype(np.float32)}
    loaded.export({"exporter": "torchscript", "opset": None}, tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])

    (expected,) = loaded.run(feed)
    np.testing.assert_allclose(session.run(None, feed)[0], expected, rtol=1e-4, atol=1e-5)
