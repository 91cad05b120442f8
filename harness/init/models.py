"""Which models a new zoo gets: those that were named, else an .onnx file that is found, else an example."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import foreign, git, provenance
from harness.data import beside
from harness.errors import BuildError, UsageError
from harness.init import document
from harness.records import DataSpec, InputSpec, ModelSpec, WeightsSpec

EXAMPLE_FILE = "tiny_model.py"
EXAMPLE_INPUT = InputSpec(name="image", dtype="float32", shape=("batch", 3, 32, 32))

GUESS = 16
"""The size of a dynamic axis that nobody has named: small enough to be quick, and said to be a guess."""

INPUT = re.compile(r"(?P<name>[^=]+)=(?P<dtype>[a-z]+\d*)\[(?P<shape>[^]]*)\]")
AXIS = re.compile(r"[A-Za-z_]\w*")
LISTED = 5
PLAIN_KEY = re.compile(r"(?!(?:true|false|null|yes|no|on|off|y|n)$)[A-Za-z_][\w.-]*", re.ASCII | re.IGNORECASE)
"""Names that are text in YAML without quotes."""

DTYPES = (
    "bool",
    *(f"float{bits}" for bits in (16, 32, 64)),
    *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
)
"""Element types that the zoo has a name for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What a zoo's `models` hold.

    Attributes:
        text: of the entries, indented as they stand in the file.
        torch: whether torch is needed to build them.
        example: whether they need the example's file.
        files: that the entries name, from the folder; asv needs them committed.
        notes: what a person should know, one sentence each.
    """

    text: str
    torch: bool
    example: bool = False
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def choose(folder: Path, models: Sequence[str], inputs: Sequence[str]) -> Chosen:
    """Entries for the models that were named, or for what is there.

    Args:
        folder: where the zoo is going to be; inside a git checkout.
        models: .onnx files and `module:callable`s.
        inputs: the torch models' inputs, such as `image=float32[batch,3,224,224]`.

    Raises:
        UsageError: a model cannot be found or read, lies outside the checkout, or its inputs are not known.
    """
    specs = [parse_input(text) for text in inputs]
    if models:
        alone = len(models) == 1
        sized = _sizes(folder, [model for model in models if model.endswith(".onnx")])
        parts = [
            _onnx(folder, model, sized, alone=alone) if model.endswith(".onnx") else _torch(folder, model, specs)
            for model in models
        ]
        if specs and all(model.endswith(".onnx") for model in models):
            raise UsageError("--input is for a torch model; an .onnx file says itself what it takes")
        names = [entry_name(model) for model in models]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise UsageError(
                f"two models would be called {twice!r}: name one of them with --model, and add the other by hand"
            )
        return Chosen(
            text="\n\n".join(part.text for part in parts),
            torch=any(part.torch for part in parts),
            files=tuple(file for part in parts for file in part.files),
            notes=tuple(note for part in parts for note in part.notes),
        )
    found = git.listed_files(folder, "*.onnx")
    if not found:
        text = _entry("tiny", "torch", f"{Path(EXAMPLE_FILE).stem}:build", [EXAMPLE_INPUT], "seeded")
        return Chosen(text=text, torch=True, example=True, notes=("no .onnx file is here, so an example was written",))
    first = str(folder / found[0])
    chosen = _onnx(folder, first, _sizes(folder, [first]))
    others = found[1 : 1 + LISTED]
    listed = "".join(f"\n  # {entry_name(name)}: {{source: onnx, id: {json.dumps(name)}}}" for name in others)
    more = f"{len(found) - 1} more .onnx files are here; add those that you ship" if len(found) > 1 else ""
    return Chosen(
        text=chosen.text + ("\n" + listed if listed else ""),
        torch=False,
        files=chosen.files,
        notes=(*chosen.notes, *filter(None, [more])),
    )


def entry_name(model: str) -> str:
    """What a model is called in the zoo."""
    stem = Path(model).stem if model.endswith(".onnx") else model.partition(":")[0].rpartition(".")[2]
    return re.sub(r"[^\w.-]", "_", stem, flags=re.ASCII).lstrip(".-") or "model"


def parse_input(text: str) -> InputSpec:
    """`name=dtype[axis,axis]`, sizes and names of axes alike.

    Raises:
        UsageError: it is something else.
    """
    match = INPUT.fullmatch(text.replace(" ", ""))
    axes = match["shape"].split(",") if match and match["shape"] else []
    if not match or not all(AXIS.fullmatch(axis) or (axis.isdecimal() and foreign.whole(axis)) for axis in axes):
        raise UsageError(f"--input {text}: expected name=dtype[axes], such as image=float32[batch,3,224,224]")
    shape = tuple(foreign.whole(axis) if axis.isdecimal() else axis for axis in axes)
    return InputSpec(name=match["name"], dtype=match["dtype"], shape=shape)


def _place(folder: Path, model: str) -> Path | None:
    """Where a file lies that was named; None where there is none."""
    return next((one.resolve() for one in (Path(model), folder / model) if one.is_file()), None)


def _sizes(folder: Path, models: Sequence[str]) -> Mapping[Path, Mapping[str, int] | None]:
    """Sizes for the open axes of the files among these."""
    from harness.init import sizes

    return sizes.find([path for model in models if (path := _place(folder, model)) is not None])


def _onnx(folder: Path, model: str, sized: Mapping[Path, Mapping[str, int] | None], *, alone: bool = True) -> Chosen:
    from harness.frameworks import onnx

    path = _place(folder, model)
    if path is None:
        raise UsageError(f"--model {model}: there is no file {model}, neither here nor in {folder}")
    top = provenance.checkout(folder, ignore=folder).top or folder
    if not path.is_relative_to(top.resolve()):
        raise UsageError(f"{path} lies outside the checkout {top}: asv measures what is committed, so copy it there")
    relative = Path(os.path.relpath(path, folder.resolve())).as_posix()
    try:
        content = onnx.parse(path)
        outside = onnx.external_files(content, path)
        inputs = file_inputs(path)
    except BuildError as error:
        # One strange file does not stop the others: it gets its row in every sweep, with the reason.
        if alone:
            raise UsageError(str(error)) from error
        return Chosen(text=_entry(entry_name(path.name), "onnx", relative, ()), torch=False, notes=(str(error),))
    ignored = git.is_ignored(folder, path)
    notes = [f"git ignores {path.name}: asv measures what is committed, so add it with `git add -f`"] if ignored else []
    if guessed(inputs):
        notes.append(f"{path.name} has dynamic axes: look at `dims` in model_zoo.yaml, their sizes are guesses")
    dims = sized.get(path)
    if dims is None and guessed(inputs):
        inputs = ()  # none of the usual sizes is known to fit: the build looks, and says what it met
    files = [relative, *(os.path.relpath(file, folder.resolve()) for file in outside)]
    data = not beside.of_file(path)
    text = _entry(entry_name(path.name), "onnx", relative, inputs, data=data, sizes=dims)
    if document.refused(document.template().replace(document.MODELS, text)):
        # What a zoo cannot say of an input, the file says itself when it is built.
        text = _entry(entry_name(path.name), "onnx", relative, (), data=data)
    return Chosen(text=text, torch=False, files=() if ignored else tuple(files), notes=tuple(notes))


def _plain(one: InputSpec) -> bool:
    """Whether the zoo can say what an input is; else it is left to the file."""
    sizes = [axis for axis in one.shape if isinstance(axis, int)]
    return one.dtype in DTYPES and all(size > 0 for size in sizes)


def _torch(folder: Path, model: str, inputs: Sequence[InputSpec]) -> Chosen:
    module, _, attribute = model.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), attribute]):
        raise UsageError(f"--model {model}: expected a file that ends in .onnx, or module:callable for torch")
    parts = module.split(".")
    places = [folder.joinpath(*parts[:-1], name) for name in (f"{parts[-1]}.py", f"{parts[-1]}/__init__.py")]
    here = [place.relative_to(folder).as_posix() for place in places if place.is_file()]
    if not here and importlib.util.find_spec(parts[0]) is None:
        raise UsageError(f"--model {model}: there is no module {module}, neither in {folder} nor installed")
    if not inputs:
        raise UsageError(
            f"--model {model}: nothing says what it takes; add --input for each of its inputs, such as "
            f"--input image=float32[batch,3,224,224]"
        )
    return Chosen(text=_entry(entry_name(model), "torch", model, inputs, "trained"), torch=True, files=tuple(here))


def file_inputs(path: Path, said: Collection[str] = ()) -> tuple[InputSpec, ...]:
    """What an .onnx file takes, with axes that a zoo can name; nothing where a zoo cannot say it, which the file does.

    Args:
        path: the file.
        said: inputs whose shape a person gives, so that the file need not.

    Raises:
        BuildError: it cannot be read, or has nothing that can be fed.
    """
    from harness.frameworks import onnx, onnx_inputs

    if onnx_inputs.read(onnx.parse(path), path, needs=False).shapeless - set(said):
        return ()  # the number of axes is tried out when it is built
    found = onnx.with_inputs(file_model(path), path).inputs
    return tuple(_renamed(found)) if all(map(_plain, found)) else ()


def file_model(path: Path) -> ModelSpec:
    """A model that is a file, of which nothing else is said; random numbers are its data."""
    return ModelSpec(
        name="model", source="onnx", id=str(path), task=None, weights=WeightsSpec(), inputs=(), dims={},
        data=DataSpec(name="examples", source="random"),
    )  # fmt: skip


def _renamed(inputs: Sequence[InputSpec]) -> list[InputSpec]:
    """Inputs with axes that a zoo can name: an open first axis is the batch, the others keep a name that is plain."""
    known: dict[str, str] = {}

    def axis(value: int | str, place: int) -> int | str:
        if isinstance(value, int):
            return value
        if place == 0:
            return known.setdefault(value, "batch")
        plain = AXIS.fullmatch(value) is not None and value != "batch"
        return known.setdefault(value, value if plain else f"axis{len(known)}")

    return [
        InputSpec(name=one.name, dtype=one.dtype, shape=tuple(axis(v, place) for place, v in enumerate(one.shape)))
        for one in inputs
    ]


def guessed(inputs: Sequence[InputSpec], sizes: Mapping[str, int] | None = None) -> dict[str, int]:
    """A size for every dynamic axis but the batch: the one that is known to fit, else the usual one."""
    names = [axis for one in inputs for axis in one.shape if isinstance(axis, str) and axis != "batch"]
    return {**dict.fromkeys(names, GUESS), **(sizes or {})}


def _entry(
    name: str,
    source: str,
    target: str,
    inputs: Sequence[InputSpec],
    weights: str | None = None,
    *,
    data: bool = True,
    sizes: Mapping[str, int] | None = None,
) -> str:
    """One model as YAML; JSON's quoting is YAML's."""
    meaning = {
        "trained": "what the callable returns is measured as it is",
        "seeded": "random, the same ones every time",
    }
    key = name if PLAIN_KEY.fullmatch(name) else json.dumps(name)
    lines = [f"  {key}:", f"    source: {source}", f"    id: {json.dumps(target)}"]
    if weights:
        lines.append(f"    weights: {{kind: {weights}}}    # {meaning[weights]}")
    # Test inputs that lie beside a file are found without being named.
    lines += ["    data: examples"] if data else []
    lines += ["    inputs:"] if inputs else []
    for one in inputs:
        lines.append(f"      {json.dumps(one.name)}: {{dtype: {one.dtype}, shape: [{', '.join(map(str, one.shape))}]}}")
    if dims := guessed(inputs, sizes):
        listed = ", ".join(f"{axis}: {size}" for axis, size in dims.items())
        lines.append(f"    dims: {{{listed}}}    # guesses: set the sizes that you ship")
    lines.append("    budget: {fidelity_db: 20}    # what a build may cost; `latency: 20ms` and `size: 10MB` as well")
    return "\n".join(lines)
