"""How much of what onnxruntime runs by hand this product measures, and whether the outputs are the expected ones.

Every node test of the onnx package that onnxruntime runs with the test's own inputs (and those of the sets `simple`,
`pytorch-*` and `light` whose files the package has) becomes a model with its test data beside it. They go through
`harness init` and `harness sweep` at minimal time, or, with --build, through the build and the worker in this process.

    python benchmarks/onnx_backend.py                 # every test by command: zoos of --chunk models
    python benchmarks/onnx_backend.py --build --sample 150
    python benchmarks/onnx_backend.py --drawn         # without the tests' inputs: random ones that must fit
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import importlib
import itertools
import json
import pkgutil
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnx.backend.test.case import node

from harness import zoo
from harness.build.builder import Maker
from harness.build.cache import Cache
from harness.build.lookup import lookup
from harness.errors import HarnessError
from harness.flow.execute import workload
from harness.records import Artifact, Case, ModelSpec, Target
from harness.runtimes.onnxruntime import worker

AS_EXPECTED = "the outputs are those that the data expects"
NUMBERS = ("measured", "emulated", "mixed", "unverified")
SWEEP = ("--variants", "as-is", "--threads", "1", "--processes", "1", "--time-per-case")


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One test of the onnx package, with the inputs and outputs of each of its data sets as it keeps them."""

    name: str
    model: Any
    sets: tuple[tuple[tuple[Any, ...], tuple[Any, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a test: no reason where it was measured, no difference where it answered what is expected.

    `own` says that a difference is onnxruntime's own: fed the test's inputs by hand, it does not answer what the test
    expects either.
    """

    name: str
    reason: str = ""
    difference: str = ""
    own: bool = False


def operators() -> list[str]:
    """The modules of the package that make node tests as they are imported; most have those of one operator."""
    return sorted(one.name for one in pkgutil.walk_packages(node.__path__, f"{node.__name__}.") if not one.ispkg)


def tests(modules: Sequence[str] | None) -> Iterator[Test]:
    """Every test of the package that comes with its model; of the node tests those of some modules, or all."""
    from onnx.backend.test.loader import DATA_DIR, load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in operators() if modules is None else modules:
            importlib.import_module(name)
    for one in node._NodeTestCases:  # noqa: SLF001  # the package's own function makes all of them, which takes seconds
        yield Test(name=one.name, model=one.model, sets=tuple((tuple(a), tuple(b)) for a, b in one.data_sets))
    for kind in ("simple", "pytorch-converted", "pytorch-operator"):
        for case in load_model_tests(kind=kind):
            folder = Path(case.model_dir or "")
            if (folder / "model.onnx").is_file():
                yield Test(name=f"{kind}-{case.name}", model=onnx.load(folder / "model.onnx"), sets=_read(folder))

    yield from _light(Path(DATA_DIR) / "light")


def _light(folder: Path) -> Iterator[Test]:
    """Whole networks whose weights are constants that they make themselves, so that a file of them is small.

    Of each there is the file and what it answers; onnx's own test feeds an input of n elements 0, 1/n, 2/n, ...
    """
    for path in sorted(folder.glob("*.onnx")):
        model = onnx.load(path)
        outputs = [
            onnx.TensorProto.FromString(path.with_name(f"{path.stem}_output_{place}.pb").read_bytes())
            for place in range(len(model.graph.output))
        ]
        yield Test(name=path.stem, model=model, sets=((tuple(map(_ramp, _fed(model))), tuple(outputs)),))


def _fed(model: Any) -> list[Any]:
    """The inputs that a caller gives a value; below IR 4 weights are inputs as well."""
    held = {one.name for one in model.graph.initializer}
    return [one for one in model.graph.input if one.name not in held]


def _ramp(stated: Any) -> Any:
    """What onnx's runner feeds to an input of a `light` network."""
    shape = [one.dim_value or 1 for one in stated.type.tensor_type.shape.dim]
    count = int(np.prod(shape))
    return numpy_helper.from_array((np.arange(count).reshape(shape) / count).astype(np.float32), stated.name)


def _read(folder: Path) -> tuple[tuple[tuple[Any, ...], tuple[Any, ...]], ...]:
    """The data sets in a folder; tensors alone, which is all that those tests have."""

    def values(home: Path, word: str) -> tuple[Any, ...]:
        files = sorted(home.glob(f"{word}_*.pb"), key=lambda one: int(re.findall(r"\d+", one.stem)[-1]))
        return tuple(onnx.TensorProto.FromString(one.read_bytes()) for one in files)

    return tuple((values(home, "input"), values(home, "output")) for home in sorted(folder.glob("test_data_set_*")))


def plain(value: Any) -> Any:
    """A value of a test as onnxruntime is fed it by hand."""
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return numpy_helper.to_list(value) if isinstance(value, onnx.SequenceProto) else value


def answers(test: Test, place: int = 0) -> list[Any]:
    """What onnxruntime answers by hand to one of the test's own data sets."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(test.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [one.name for one in _fed(test.model)]
    answered: list[Any] = session.run(None, dict(zip(names, map(plain, test.sets[place][0]), strict=False)))
    return answered


def by_hand(test: Test) -> bool:
    """Whether onnxruntime runs the test with its own inputs."""
    try:
        answers(test)
    except Exception:  # noqa: BLE001 # whatever it is, onnxruntime does not run it
        return False
    return True


def differs_by_hand(test: Test) -> bool:
    """Whether onnxruntime by hand, without this product, gives other outputs than the test expects, in any data set."""

    def differs(place: int) -> bool:
        # A list or an optional is compared by what it holds; None is what an empty optional is on both sides.
        pairs = zip(answers(test, place), map(plain, test.sets[place][1]), strict=False)
        return any((got is None) != (want is None) or (got is not None and other(got, want)) for got, want in pairs)

    def other(got: Any, want: Any) -> bool:
        if isinstance(want, list) or isinstance(got, list):
            return len(got) != len(want) or any(itertools.starmap(other, zip(got, want, strict=True)))
        one, two = np.asarray(got), np.asarray(want)
        if one.shape != two.shape:
            return True
        if one.dtype.kind in "OUS" or isinstance(want, dict):
            return not np.array_equal(one.astype(str), two.astype(str))
        return not np.allclose(one.astype(np.float64), two.astype(np.float64), rtol=1e-3, atol=1e-5, equal_nan=True)

    return any(map(differs, range(len(test.sets))))


def write(test: Test, folder: Path, *, drawn: bool) -> Path:
    """The model, with its data sets beside it unless random inputs are wanted."""
    home = folder / re.sub(r"[^\w.-]", "_", test.name)
    home.mkdir(parents=True)
    onnx.save(test.model, home / "model.onnx")
    for number, (inputs, outputs) in enumerate(() if drawn else test.sets):
        data = home / f"test_data_set_{number}"
        data.mkdir()
        for word, values, stated in (
            ("input", inputs, _fed(test.model)),
            ("output", outputs, test.model.graph.output),
        ):
            for place, value in enumerate(values):
                held = _held(value, stated[place].type if place < len(stated) else None)
                (data / f"{word}_{place}.pb").write_bytes(held.SerializeToString())
    return home / "model.onnx"


def _held(value: Any, kind: Any) -> Any:
    """A value of a test as ONNX keeps it in a file; `kind` is its type in the graph, which an optional needs."""
    if kind is not None and kind.WhichOneof("value") == "optional_type":
        return numpy_helper.from_optional(plain(value))
    if hasattr(value, "SerializeToString"):
        return value
    if isinstance(value, list):
        return numpy_helper.from_list(value)
    return numpy_helper.from_dict(value) if isinstance(value, dict) else numpy_helper.from_array(np.asarray(value))


def built(files: dict[str, Path], root: Path) -> list[Result]:
    """Every model built, run and answered in this process."""
    entries = {name: {"source": "onnx", "id": str(path)} for name, path in files.items()}
    start = "version: 1\nvariants: {as-is: {steps: [export]}}\ntargets: {cpu: {provider: cpu}}\nmodels: "
    (root / "zoo.yaml").write_text(start + json.dumps(entries), encoding="utf-8")
    models, cache = zoo.load(root / "zoo.yaml").models, Cache(root / "cache")
    return [_built(name, model, cache, root) for name, model in models.items()]


def _built(name: str, model: ModelSpec, cache: Cache, root: Path) -> Result:
    """One model."""
    recipe = model.recipes["as-is"]
    try:
        Maker(cache, model, lambda *_: None).make(recipe)
        artifact = lookup(cache, model, recipe)
        if not isinstance(artifact, Artifact):
            return Result(name=name, reason=str(artifact))
        case = Case(model=model, recipe=recipe, target=Target(name="cpu", provider="CPUExecutionProvider"))
        work, process = workload(case, artifact, cache), worker.Worker()
        process.open(work.request())
        process.burst({"n": 2})
        with tempfile.TemporaryDirectory(dir=root) as folder:
            process.outputs(work.all_examples(artifact.reference.examples, Path(folder)))
    except Exception as error:  # noqa: BLE001 # what a sweep would show as the reason
        text = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
        return Result(name=name, reason=text)
    return Result(name=name, difference=_difference(artifact.notes))


def _difference(notes: Sequence[str]) -> str:
    """How outputs differ from the expected ones, as the row's notes say."""
    return next((one for one in notes if "is not what the data expects" in one), "")


def swept(files: dict[str, Path], root: Path, seconds: float) -> list[Result]:
    """Every model through `harness init` and `harness sweep`."""

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(arguments, cwd=root, capture_output=True, text=True, check=False)

    command("git", "init", "--quiet", ".")
    for name, path in files.items():  # a model is called like its file
        shutil.move(path, path.with_name(f"{name}.onnx"))
    named = [part for name, path in files.items() for part in ("--model", str(path.with_name(f"{name}.onnx")))]
    made = command("harness", "init", *named)
    if made.returncode:
        raise SystemExit(f"harness init: {made.stderr or made.stdout}")
    done = command("harness", "sweep", *SWEEP, str(seconds))
    rows = json.loads(command("harness", "results", "--format", "json").stdout or "[]")
    known = {row["model"]: row for row in rows}
    results = []
    for name in files:
        row = known.get(name)
        if row is None:
            results.append(Result(name=name, reason=f"no row: {(done.stderr or done.stdout).strip()[-200:]}"))
        elif row["status"] not in NUMBERS:
            results.append(Result(name=name, reason=f"{row['status']}: {row['reason']}"))
        else:
            results.append(Result(name=name, difference=_difference(row.get("notes") or ())))
    return results


def show(results: Sequence[Result], seconds: float) -> None:
    """The share that was measured, and every rest by its reason."""
    bad = [one for one in results if one.reason]
    other = [one for one in results if one.difference]
    reasons = collections.Counter(re.sub(r"`[^`]*`|\d+(\.\d+)?|/\S+", "_", one.reason)[:120] for one in bad)
    for reason, count in reasons.most_common():
        print(f"{count:5} {reason}")
    for one in bad:
        print(f"not measured: {one.name}: {one.reason[-200:]}")
    for one in other:
        whose = "onnxruntime itself gives other outputs" if one.own else "other outputs"
        print(f"{whose}: {one.name}: {one.difference}")
    share = 1 - len(bad) / len(results)
    measured = f"{len(results) - len(bad)} of {len(results)} measured ({share:.1%}) in {seconds:.0f} s"
    own = sum(one.own for one in other)
    print(f"{measured}, {len(other) - own} with other outputs, {own} where onnxruntime itself gives other outputs")


def main() -> int:
    """Measure, print, and exit with 1 below the share that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", action="store_true", help="in this process, without a sweep")
    parser.add_argument("--drawn", action="store_true", help="random inputs instead of the tests' own")
    parser.add_argument("--sample", type=int, default=0, help="so many tests, drawn by --seed; all if not given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", metavar="PATTERN", help="tests whose names match a regular expression")
    parser.add_argument("--chunk", type=int, default=300, help="models in one zoo")
    parser.add_argument("--time-per-case", type=float, default=0.1)
    parser.add_argument("--least", type=float, default=0.99, help="the share that must be measured")
    given = parser.parse_args()
    onnxruntime.set_default_logger_severity(4)
    chosen = [test for test in tests(None) if re.search(given.only, test.name)]
    if given.sample:
        random.Random(given.seed).shuffle(chosen)  # noqa: S311 # a sample, not a secret
    runs: list[Test] = []
    for test in chosen:
        if given.sample and len(runs) == given.sample:
            break
        if by_hand(test):
            runs.append(test)
    results: list[Result] = []
    started = time.perf_counter()
    for first in range(0, len(runs), given.chunk):
        with tempfile.TemporaryDirectory(prefix="harness-backend-") as name:
            root = Path(name)
            written = {
                test.name: write(test, root / "models", drawn=given.drawn) for test in runs[first:][: given.chunk]
            }
            known = {path.parent.name: test for test in runs if (path := written.get(test.name))}
            files = {path.parent.name: path for path in written.values()}
            found = built(files, root) if given.build else swept(files, root, given.time_per_case)
            results += [
                dataclasses.replace(one, own=differs_by_hand(known[one.name])) if one.difference else one
                for one in found
            ]
    show(results, time.perf_counter() - started)
    return 0 if sum(not one.reason for one in results) >= given.least * len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
