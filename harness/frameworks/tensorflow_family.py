"""What Keras and plain TensorFlow share: how TensorFlow is set up, and what its environment has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data import base as data
from harness.errors import BuildError
from harness.special_files import special

if TYPE_CHECKING:
    import numpy as np

    from harness.records import ModelSpec

REQUIREMENTS = ("tensorflow-cpu>=2.18", "keras>=3.10", "tf2onnx>=1.17", "onnx>=1.18")
"""Keras exports to ONNX since 3.10; tf2onnx's releases before 1.17 know neither NumPy 2 nor today's protobuf."""

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "KERAS_BACKEND": "tensorflow"}
"""oneDNN's kernels add up in other orders from one CPU to the next, and the reference shall not."""


def set_up() -> Any:
    """TensorFlow on one thread of the CPU, so that the reference is the same everywhere.

    Raises:
        ImportError: it is not installed.
    """
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:
        pass  # it is already at work, and stays as it is
    return tf


def require_folder_or_file(path: Path, what: str) -> None:
    """Refuse a path of weights that is not there, or that blocks whoever reads it.

    Raises:
        BuildError: it is.
    """
    if found := special(path):
        raise BuildError(f"weights: {path} is {found}; give {what}")
    if not path.exists():
        raise BuildError(f"weights: there is no {path}. Give `path` {what}.")


def digest_of(arrays: Iterable[tuple[str, np.ndarray[Any, Any]]]) -> str:
    """The SHA-256 of the names, types, shapes and bytes of arrays, in their order."""
    import numpy as np

    digest = hashlib.sha256()
    for name, array in arrays:
        digest.update(f"{name} {array.dtype} {list(array.shape)}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def output_names(count: int, model: ModelSpec) -> tuple[str, ...]:
    """`output`, or `output0`, `output1`, ... for more.

    Raises:
        BuildError: there is none.
    """
    if not count:
        raise BuildError(f"{model.source}: {model.id} returns no tensor.")
    return ("output",) if count == 1 else tuple(f"output{place}" for place in range(count))


def first_answers(call: Any, model: ModelSpec) -> list[Any]:
    """What a network answers to the first examples, which shows that it takes the inputs of the zoo.

    Raises:
        BuildError: it does not.
    """
    arrays = data.first_rows(model)
    try:
        return list(call(arrays))
    except BuildError:
        raise
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Exception enc")]
        shapes = ", ".join(f"{one.name} {list(one.shape)}" for one in model.inputs)
        raise BuildError(
            f"{model.source}: {model.id} fails on the first examples, whose inputs are {shapes} (images have their "
            f"channels last here): {type(error).__name__}: {(lines or [''])[0].rstrip('.')}."
        ) from error
