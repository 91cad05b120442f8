"""Values of any type into onnxruntime and out of it: types that NumPy lacks, text, sequences, maps, optionals.

Needs NumPy alone, and no other file of harness: the worker loads it by its path, under any Python from 3.8. Arrays are
*raw* here: a type that NumPy has no name for is kept as unsigned integers of the same bits, one per element.
"""

from __future__ import annotations

import ctypes
import json
from typing import Any

import numpy as np

NUMBERS = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    **{f"tensor({kind}{bits})": f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
}
"""onnxruntime's name of a type -> NumPy's."""

RAW = {
    "tensor(bfloat16)": ("bfloat16", 16, 2),
    "tensor(float8e4m3fn)": ("float8_e4m3fn", 17, 1),
    "tensor(float8e4m3fnuz)": ("float8_e4m3fnuz", 18, 1),
    "tensor(float8e5m2)": ("float8_e5m2", 19, 1),
    "tensor(float8e5m2fnuz)": ("float8_e5m2fnuz", 20, 1),
    "tensor(uint4)": ("uint4", 21, 1),
    "tensor(int4)": ("int4", 22, 1),
}
"""onnxruntime's name of a type that NumPy lacks -> ml_dtypes' name, ONNX's number, bytes per raw element."""

PACKED = ("tensor(uint4)", "tensor(int4)")
"""Types of which onnxruntime keeps two in one byte."""

TEXT = "tensor(string)"
NESTED = "nested"
"""What a value entry's `type` is where an example is a sequence, a map or an optional, as `pack` writes it."""


class Unfit(Exception):
    """A value cannot be given to onnxruntime, or taken from it."""


def is_tensor(kind: str) -> bool:
    """Whether a type of onnxruntime is a dense tensor."""
    return kind.startswith("tensor(")


def bindable(kind: str) -> bool:
    """Whether an input of this type can be bound before a run: a tensor of numbers or booleans."""
    return kind in NUMBERS or kind in RAW


def type_of(kind: str) -> str:
    """The `type` of a value entry for an input or output of this type; empty where NumPy has the type."""
    if kind in RAW:
        return RAW[kind][0]
    return "" if is_tensor(kind) else NESTED


def fitting(value: Any, kind: str, given: str, name: str) -> Any:
    """A stored value as an input takes it: its own type, in one piece.

    Args:
        value: a raw array, or what `unpack` gave.
        kind: onnxruntime's name of the input's type.
        given: the `type` that the value was stored with.
        name: of the input, for the message.

    Raises:
        Unfit: the value was stored as another type.
    """
    if not is_tensor(kind):
        return value
    if given == NESTED:
        raise Unfit(f"input {name!r} takes {kind}, and its feed is a structure")
    if kind in RAW:
        wanted, _, size = RAW[kind]
        if given != wanted or value.dtype != np.dtype(f"uint{8 * size}"):
            raise Unfit(f"input {name!r} takes {wanted}, and its feed is {given or value.dtype}")
        return np.asarray(value, order="C")
    if given:
        raise Unfit(f"input {name!r} takes {kind}, and its feed is {given}")
    if kind == TEXT:
        if value.dtype.kind not in "UO":
            raise Unfit(f"input {name!r} takes {kind}, and its feed is {value.dtype}")
        return np.asarray(value, dtype=object)
    if kind not in NUMBERS:
        raise Unfit(f"input {name!r} has type {kind}, which cannot be fed from NumPy arrays")
    return np.asarray(value, dtype=NUMBERS[kind], order="C")


def bound(ort: Any, array: Any, kind: str, device: str = "cpu", which: int = 0) -> Any:
    """A fitting array as a value of onnxruntime on a device, `which` of them.

    Raises:
        Unfit: this onnxruntime cannot be fed the type.
    """
    if kind in NUMBERS:
        return ort.OrtValue.ortvalue_from_numpy(array, device, which)
    if not hasattr(ort.OrtValue, "ortvalue_from_numpy_with_onnx_type"):
        raise Unfit(f"onnxruntime {ort.__version__} cannot be fed {RAW[kind][0]} from Python")
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(
        packed_pairs(array) if kind in PACKED else array, RAW[kind][1]
    )


def taken(value: Any, kind: str) -> Any:
    """A tensor of onnxruntime as a raw array."""
    if kind not in RAW:
        return kept(value.numpy(), kind)
    shape, size = value.shape(), RAW[kind][2]
    count = int(np.prod(shape, dtype=np.int64))
    held = (count + 1) // 2 if kind in PACKED else count
    if not count:
        return np.zeros(shape, dtype=f"uint{8 * size}")
    whole = ctypes.c_uint16 if size == 2 else ctypes.c_uint8  # noqa: PLR2004 # bytes
    raw = np.array((whole * held).from_address(value.data_ptr()), dtype=f"uint{8 * size}")
    return (single_values(raw, count) if kind in PACKED else raw).reshape(shape)


def packed_pairs(array: Any) -> Any:
    """Four-bit values, one per byte, as onnxruntime keeps them: two per byte, in memory of the same shape."""
    flat = np.zeros(array.size + 1, dtype=np.uint8)
    flat[: array.size] = array.reshape(-1) & 0xF
    pairs = flat[0 : array.size : 2] | (flat[1 : array.size + 1 : 2] << 4)
    memory = np.zeros(array.size, dtype=np.uint8)
    memory[: pairs.size] = pairs
    return memory.reshape(array.shape)


def single_values(pairs: Any, count: int) -> Any:
    """The inverse of `packed_pairs`, flat."""
    both = np.empty(2 * pairs.size, dtype=np.uint8)
    both[0::2], both[1::2] = pairs & 0xF, pairs >> 4
    return both[:count]


def kept(value: Any, kind: str) -> Any:
    """An output as it is kept: an array that needs no pickling; sequences, maps and nothing at all as they are."""
    if value is None or isinstance(value, (dict, list)):
        return value
    array = np.asarray(value)
    if kind == TEXT or (array.dtype.hasobject and all(isinstance(one, str) for one in array.flat)):
        return array.astype(str)
    if array.dtype.hasobject:
        raise Unfit(f"an output has type {kind}, which is not a tensor of numbers or text")
    return array


def run(ort: Any, session: Any, feed: dict[str, Any]) -> list[Any]:
    """The outputs for one feed of fitting values, raw.

    Raises:
        Unfit: onnxruntime's Python cannot pass such values.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if not any(one.type in RAW for one in [*inputs, *outputs]):
        return [kept(value, one.type) for value, one in zip(session.run(None, feed), outputs)]
    strange = [one for one in inputs if not bindable(one.type)] + [one for one in outputs if not is_tensor(one.type)]
    if strange:
        raise Unfit(f"onnxruntime's Python cannot pass {strange[0].type} beside types that NumPy lacks")
    values = {one.name: bound(ort, feed[one.name], one.type) for one in inputs}
    found = session.run_with_ort_values([one.name for one in outputs], values)
    return [taken(value, one.type) for value, one in zip(found, outputs)]


def pack(value: Any) -> dict[str, Any]:
    """A sequence, map or optional as arrays for one .npz file; `structure` says in JSON how they belong together.

    The structure is null, {"array": name of an array}, {"sequence": [structures]} or {"keys": structure, "values":
    structure}.
    """
    arrays: dict[str, Any] = {}

    def described(one: Any) -> Any:
        if one is None:
            return None
        if isinstance(one, (list, tuple)):
            return {"sequence": [described(each) for each in one]}
        if isinstance(one, dict):
            found = list(one.values())
            plain = not any(isinstance(each, (dict, list, tuple, np.ndarray)) or each is None for each in found)
            return {"keys": described(np.array(list(one))), "values": described(np.array(found) if plain else found)}
        name = str(len(arrays))
        arrays[name] = kept(one, "")
        return {"array": name}

    structure = json.dumps(described(value))
    return {"structure": np.array(structure), **arrays}


def unpack(held: Any) -> Any:
    """The inverse of `pack`, from an opened .npz file."""

    def made(one: Any) -> Any:
        if one is None:
            return None
        if "array" in one:
            return held[one["array"]]
        if "sequence" in one:
            return [made(each) for each in one["sequence"]]
        found = made(one["values"])
        return dict(zip(made(one["keys"]).tolist(), found.tolist() if isinstance(found, np.ndarray) else found))

    return made(json.loads(str(held["structure"])))
