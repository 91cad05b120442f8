"""Any importable callable `module:callable` that returns a flax nnx module or a plain function of JAX arrays.

The zoo's `options` are its keyword arguments, and `weights.seed` is given as `seed` where it takes one: JAX has no seed
of its own. What it returns takes the inputs in the zoo's order, channels last where they are images, and is exported by
jax2onnx. With `weights: {kind: trained}` it is taken as it is; else batch norms of a module get the statistics of the
calibration examples. A `weights.path` is an .npz or .safetensors file of the module's state, by its paths.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import importable
from harness.data import base as data
from harness.data import npz
from harness.errors import BuildError
from harness.frameworks import base
from harness.frameworks.batches import JITTER, SHIFT, batches
from harness.records import Json, Weights
from harness.special_files import special

if TYPE_CHECKING:
    import numpy as np

    from harness.frameworks.base import Array
    from harness.records import ModelSpec

RANDOM = ("count", "key")
"""What variables of random number generators are called: no weights."""

DEFAULT_OPSET = 23
"""The newest that jax2onnx writes by default, and that harness's oldest onnxruntime reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JaxFunction(base.Loaded):
    """A function of JAX arrays; a module is one too, in evaluation mode."""

    function: Callable[..., Any]

    def run(self, feed: Mapping[str, Array]) -> list[Array]:
        """The outputs in full precision."""
        return [_array(one) for one in flatten(self.function(*[feed[spec.name] for spec in self.model.inputs]))]

    def export(self, options: Mapping[str, Json], folder: Path) -> None:
        """Write the function with jax2onnx.

        Raises:
            BuildError: it failed.
        """
        import jax2onnx

        opset = int(options.get("opset") or DEFAULT_OPSET)
        path = folder / "model.onnx"
        try:
            jax2onnx.to_onnx(
                self.function,
                inputs=_declared(self.model),
                input_names=[spec.name for spec in self.model.inputs],
                output_names=list(self.outputs),
                model_name="model",
                opset=opset,
                return_mode="file",
                output_path=str(path),
            )
        except Exception as error:
            # Its operators refuse arguments that are given another way (`window_shape` by place) with a TypeError.
            lines = str(error).strip().splitlines() or [""]
            raise BuildError(f"export: jax2onnx failed at opset {opset}: {type(error).__name__}: {lines[0]}") from error


def load(model: ModelSpec) -> JaxFunction:
    """Call the callable, and give a module its weights.

    Raises:
        MissingExtra: JAX or flax is not installed.
        BuildError: the callable cannot be imported, fails, or returns nothing that can be called; or its weights cannot
            be had.
    """
    try:
        import jax
        from flax import nnx
    except ImportError as error:
        raise FRAMEWORK.missing(error) from error
    jax.config.update("jax_default_matmul_precision", "highest")
    build = importable.target(model.id, "jax")
    takes = inspect.signature(build).parameters
    seed = {"seed": model.weights.seed} if "seed" in takes and "seed" not in model.options else {}
    try:
        built = build(**model.options, **seed)
    except Exception as error:
        raise BuildError(f"jax: calling {model.id} failed: {type(error).__name__}: {error}.") from error
    if not callable(built):
        raise BuildError(
            f"jax: {model.id} returned {type(built).__name__}; it must return a flax nnx module or a function."
        )
    if isinstance(built, nnx.Module):
        if model.weights.path:
            _set_state(built, Path(model.weights.path))
        built.eval()
        if model.weights.kind == "seeded":
            _settle(built, model)
    elif model.weights.path:
        raise BuildError(f"jax: {model.id} returned a function, which takes no weights from {model.weights.path}.")
    names = _output_names(built, model)
    return JaxFunction(
        weights=Weights(kind=model.weights.kind, digest=_digest(built, model)),
        origin=f"jax {jax.__version__}",
        outputs=names,
        model=model,
        function=built,
    )


def flatten(outputs: Any) -> list[Any]:
    """The arrays of whatever a function returns, in JAX's order."""
    import jax

    return list(jax.tree_util.tree_leaves(outputs))


def _array(value: Any) -> Array:
    import numpy as np

    return np.asarray(value)


def _output_names(function: Any, model: ModelSpec) -> tuple[str, ...]:
    """`output`, or `output0`, `output1`, ... for more, counted by running the function once.

    Raises:
        BuildError: it fails on the first examples, or returns no array.
    """
    try:
        count = len(flatten(function(*data.first_rows(model))))
    except BuildError:
        raise
    except Exception as error:
        raise BuildError(f"jax: {model.id} fails on the first examples: {type(error).__name__}: {error}.") from error
    if not count:
        raise BuildError(f"jax: {model.id} returns no array.")
    return ("output",) if count == 1 else tuple(f"output{place}" for place in range(count))


def _declared(model: ModelSpec) -> list[Any]:
    """The inputs as jax2onnx takes them: a dynamic axis is one symbol, whichever inputs have it."""
    import jax
    from jax import export

    scope = export.SymbolicScope()
    found = []
    for spec in model.inputs:
        shape: Any = spec.shape
        if any(isinstance(axis, str) for axis in shape):
            shape = export.symbolic_shape(", ".join(map(str, shape)), scope=scope)
        found.append(jax.ShapeDtypeStruct(shape, jax.numpy.dtype(spec.dtype)))
    return found


def _leaves(module: Any) -> dict[str, Any]:
    """The variables of a module by their paths, such as `conv.kernel`."""
    from flax import nnx

    graph = nnx.graph.iter_graph(module)
    return {".".join(map(str, path)): node for path, node in graph if isinstance(node, nnx.Variable)}


def _digest(function: Any, model: ModelSpec) -> str:
    """The names, types, shapes and bytes of a module's variables; of a function, its code and options."""
    import numpy as np
    from flax import nnx

    digest = hashlib.sha256()
    if isinstance(function, nnx.Module):
        for name, leaf in sorted(_leaves(function).items()):
            array = _plain(leaf)
            digest.update(f"{name} {array.dtype} {list(array.shape)}\n".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()
    # What a function closes over is not seen: its answers are what it is known by, beside its code.
    for array in flatten(function(*data.first_rows(model))):
        digest.update(np.asarray(array).tobytes())
    return digest.hexdigest()


def _plain(leaf: Any) -> np.ndarray[Any, Any]:
    """A variable as NumPy holds it; a key of random numbers as its words."""
    import jax
    import numpy as np

    value = leaf.get_value()
    if jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    return np.asarray(value)


def _set_state(module: Any, path: Path) -> None:
    """Give a module the variables of a file.

    Raises:
        BuildError: there is no such file, it is of another kind, or what it holds is not what the module has.
    """
    held = _arrays(path)
    leaves = _leaves(module)
    missing = [name for name in leaves if name not in held and not name.endswith(RANDOM)]
    unknown = [name for name in held if name not in leaves]
    if missing or unknown:
        wrong = f"lacks {missing[0]}" if missing else f"holds {unknown[0]}, which the module has not"
        raise BuildError(f"weights: {path} {wrong}. Its arrays are called by the module's paths, such as conv.kernel.")
    for name, array in held.items():
        if array.shape != leaves[name].get_value().shape:
            raise BuildError(
                f"weights: {name} of {path} has the shape {list(array.shape)}; the module has "
                f"{list(leaves[name].get_value().shape)}."
            )
        leaves[name].set_value(jax_array(array))


def jax_array(array: np.ndarray[Any, Any]) -> Any:
    """An array in JAX's memory."""
    import jax

    return jax.numpy.asarray(array)


def _arrays(path: Path) -> Mapping[str, np.ndarray[Any, Any]]:
    """The arrays of a file by their names, without unpickling anything."""
    if what := special(path):
        raise BuildError(f"weights: {path} is {what}; give a plain file")
    if not path.is_file() or path.suffix not in (".npz", ".safetensors"):
        raise BuildError(f"weights: {path} is not a file that ends in .npz or .safetensors.")
    if path.suffix == ".npz":
        return npz.read(path)
    try:
        from safetensors.numpy import load_file
    except ImportError as error:
        raise BuildError(
            f"weights: {path} needs safetensors in the framework's environment: `framework_env: {{packages: "
            f"[safetensors]}}`."
        ) from error
    try:
        held: Mapping[str, np.ndarray[Any, Any]] = load_file(path)
    except Exception as error:
        raise BuildError(f"weights: {path} cannot be read as safetensors: {error}.") from error
    return held


def _settle(module: Any, model: ModelSpec) -> None:
    """Give batch norms the statistics of the calibration examples and a positive shift, as `frameworks.settle` does.

    Only batch norms work as in training meanwhile. The average over all batches is plain: batch k counts 1 / k.
    """
    import numpy as np
    from flax import nnx

    norms = [part for _, part in nnx.iter_modules(module) if isinstance(part, nnx.BatchNorm)]
    if not norms:
        return
    generator = np.random.default_rng(model.weights.seed)
    for norm in norms:
        if norm.bias is not None:
            shape = norm.bias.get_value().shape
            norm.bias.set_value(jax_array((SHIFT + JITTER * generator.standard_normal(shape)).astype(np.float32)))
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.use_running_average = False
    for place, arrays in enumerate(batches(model)):
        for norm in norms:
            norm.momentum = place / (place + 1)
        module(*arrays)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum, norm.use_running_average = momentum, True


FRAMEWORK = base.Framework(
    name="jax",
    doc="flax nnx modules and plain functions of JAX",
    id_doc="an importable `module:callable` that returns one",
    options_doc="its keyword arguments; `seed` is `weights.seed`",
    load=load,
    packages={"jax": "jax", "flax": "flax", "jax2onnx": "jax2onnx"},
    export_packages=("jax2onnx", "onnx"),
    extra="jax",
    weights=("seeded", "trained", "pretrained"),
    runs_user_code=True,
    id_pattern=importable.PATTERN,
    id_expected="module:attribute, such as mypackage.nets:build",
    build_s=60.0,
    environment={"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "2"},
    licence="JAX and flax are Apache-2.0.",
    apart=True,
    requirements=("jax>=0.5", "flax>=0.11", "jax2onnx>=0.10", "onnx>=1.18"),
)
