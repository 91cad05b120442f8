"""What this host can do, measured with small models of one node through onnxruntime itself. Runs in the child alone.

Every number is the best of many short inferences: what the host can do, not what it did while something else ran.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

OPSET: Final = 21
CHAIN: Final = 64
"""Nodes that do next to nothing, one after another: what a node costs beyond its work."""

LAYERS: Final = 4
BLOCKED: Final = ("conv/float32", "depthwise/float32")
"""Convolutions that a session at level `all` does in a layout of its own."""

LEAST: Final = 5
"""Inferences at least."""

SIDE: Final = 384
"""Of the matrices that are multiplied."""

PICTURE: Final = (1, 64, 28, 28)
SMALL: Final = 1 << 18
SIZES: Final = (1 << 16, 1 << 18, 1 << 19, 1 << 20, 1 << 21, 1 << 22)
"""Elements of float32: those that a cache holds are copied at least half as fast as the fastest."""

LARGE: Final = 4096
"""Rows and columns of a matrix that no cache holds: 64 MB."""

Arrays = Mapping[str, np.ndarray[Any, Any]]


def measured(threads: int, budget_s: float) -> dict[str, Any]:
    """What one core can do, and how much more `threads` of them do.

    Returns:
        `flops`, `rates`, `launch_s`, `call_s`, `bandwidth`, `cache`, `cache_bandwidth`, `speedup` and `bandwidth_all`.
    """
    each = budget_s / 20
    rates: dict[str, float] = {}
    for label, (make, work) in _probes().items():
        model, feed = make()
        took = best(model, feed, 1, each, level="ORT_ENABLE_ALL" if label in BLOCKED else "ORT_DISABLE_ALL")
        if took is not None:
            rates[label] = work / took
    speeds = {count: _copy(count, 1, each / 2) for count in SIZES}
    near = max(speeds.values())
    held = max(count for count, speed in speeds.items() if speed >= near / 2)
    far = _stream(1, each)
    flops: dict[str, float] = {}
    for label, rate in rates.items():
        kind, _, type_ = label.partition("/")
        if kind in ("conv", "product"):
            flops[type_] = max(flops.get(type_, 0.0), rate)
    found: dict[str, Any] = {
        "flops": flops,
        "rates": rates,
        **_starts(each),
        "bandwidth": far,
        "cache": held * 8,
        "cache_bandwidth": max(near, far),
    }
    if threads > 1:
        model, feed = _product("float32")
        one, all_ = (best(model, feed, n, each) for n in (1, threads))
        if one and all_:
            found["speedup"] = {str(threads): max(one / all_, 1.0)}
        found["bandwidth_all"] = max(_stream(threads, each), far)
    return found


def best(model: Any, feed: Arrays, threads: int, budget_s: float, *, level: str = "ORT_DISABLE_ALL") -> float | None:
    """The shortest inference, in seconds; None where onnxruntime has no kernel for it."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001 # its own errors have no common base
        return None
    binding = session.io_binding()
    for name, value in feed.items():
        binding.bind_cpu_input(name, value)
    binding.bind_output("y")
    session.run_with_iobinding(binding)
    shortest, over, runs = float("inf"), time.perf_counter() + budget_s, 0
    while runs < LEAST or time.perf_counter() < over:
        start = time.perf_counter()
        session.run_with_iobinding(binding)
        shortest = min(shortest, time.perf_counter() - start)
        runs += 1
    return shortest


def _probes() -> dict[str, tuple[Callable[[], tuple[Any, Arrays]], float]]:
    """Label of a cost -> what makes a model of it, and the FLOPs or bytes that it takes."""
    _, channels, height, width = PICTURE
    product = 2.0 * SIDE**3
    conv = 2.0 * height * width * channels * channels * 9
    depthwise = 2.0 * height * width * channels * 9
    both = SMALL * 8.0
    return {
        "product/float32": (lambda: _product("float32"), product),
        "product/int8": (_product_int8, product),
        "product/int4": (_product_int4, product),
        "product/float16": (lambda: _product("float16"), product),
        "conv/float32": (lambda: _conv(1, LAYERS), conv * LAYERS),
        "depthwise/float32": (lambda: _conv(channels, LAYERS), depthwise * LAYERS),
        "plain-conv/float32": (lambda: _conv(1), conv),
        "plain-depthwise/float32": (lambda: _conv(channels), depthwise),
        "conv/int8": (lambda: _conv_int8(1), conv),
        "depthwise/int8": (lambda: _conv_int8(channels), depthwise),
        "elementwise/float32": (lambda: _unary("Relu"), both),
        "math/float32": (lambda: _unary("Erf"), both),
        "move/float32": (lambda: _unary("Transpose", shape=(512, SMALL // 512), perm=[1, 0]), both),
        "cast/float32": (lambda: _unary("Cast", to=10), SMALL * 6.0),
        "cast/int8": (_quantize, SMALL * 5.0),
        "pool/float32": (lambda: _unary("ReduceMean", shape=(512, SMALL // 512)), SMALL * 4.0),
    }


def _model(nodes: Sequence[Any], inputs: Mapping[str, Any], held: Arrays, made: int = 1) -> tuple[Any, Arrays]:
    import onnx
    from onnx import helper, numpy_helper

    graph = helper.make_graph(
        list(nodes),
        "probe",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in inputs.items()
        ],
        [helper.make_tensor_value_info("y", made, None)],
        [numpy_helper.from_array(value, name) for name, value in held.items()],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=10, producer_name=f"onnx {onnx.__version__}"
    ), dict(inputs)


def _node(op: str, inputs: Sequence[str], output: str = "y", **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(op, list(inputs), [output], **attributes)


def _random(shape: Sequence[int], dtype: str = "float32") -> Any:
    return np.random.default_rng(0).uniform(0.1, 1, shape).astype(dtype)


def _product(dtype: str) -> tuple[Any, Arrays]:
    square = (SIDE, SIDE)
    made = {"float32": 1, "float16": 10}[dtype]
    return _model([_node("MatMul", "xw")], {"x": _random(square, dtype)}, {"w": _random(square, dtype)}, made)


def _product_int8() -> tuple[Any, Arrays]:
    square = (SIDE, SIDE)
    return _model(
        [_node("MatMulInteger", "xw")], {"x": np.full(square, 3, "uint8")}, {"w": np.full(square, 2, "int8")}, 6
    )


def _product_int4() -> tuple[Any, Arrays]:
    blocks = SIDE // 32
    node = _node("MatMulNBits", "xws", K=SIDE, N=SIDE, bits=4, block_size=32, domain="com.microsoft")
    held = {"w": np.full((SIDE, blocks, 16), 0x37, "uint8"), "s": _random((SIDE * blocks,))}
    return _model([node], {"x": _random((SIDE, SIDE))}, held)


def _conv(group: int, layers: int = 1) -> tuple[Any, Arrays]:
    """Convolutions one behind another, which a session brings into their layout once."""
    channels = PICTURE[1]
    weight = _random((channels, channels // group, 3, 3)) / 1000
    names = ["x", *(f"t{place}" for place in range(layers - 1)), "y"]
    nodes = [_node("Conv", [a, "w"], b, group=group, pads=[1] * 4) for a, b in itertools.pairwise(names)]
    return _model(nodes, {"x": _random(PICTURE)}, {"w": weight})


def _conv_int8(group: int) -> tuple[Any, Arrays]:
    channels = PICTURE[1]
    scale, zero = np.float32(0.1), np.uint8(0)
    held: dict[str, Any] = {
        "a": np.asarray(scale), "z": np.asarray(zero), "v": np.asarray(np.int8(0)),
        "w": np.full((channels, channels // group, 3, 3), 2, "int8"),
    }  # fmt: skip
    node = _node("QLinearConv", "xazwavaz", group=group, pads=[1] * 4)
    return _model([node], {"x": np.full(PICTURE, 3, "uint8")}, held, 2)


def _unary(op: str, shape: Sequence[int] = (SMALL,), **attributes: Any) -> tuple[Any, Arrays]:
    return _model([_node(op, "x", **attributes)], {"x": _random(shape)}, {}, attributes.get("to", 1))


def _quantize() -> tuple[Any, Arrays]:
    held: dict[str, Any] = {"a": np.asarray(np.float32(0.1)), "z": np.asarray(np.uint8(0))}
    return _model([_node("QuantizeLinear", "xaz")], {"x": _random((SMALL,))}, held, 2)


def _copy(count: int, threads: int, budget_s: float) -> float:
    """Bytes per second that reading and writing so many elements moves."""
    model, feed = _model([_node("Neg", "x")], {"x": _random((count,))}, {})
    took = best(model, feed, threads, budget_s)
    return 8.0 * count / took if took else 0.0


def _stream(threads: int, budget_s: float) -> float:
    """Bytes per second of weights that no cache holds: a matrix that is read once."""
    model, feed = _model([_node("MatMul", "xw")], {"x": _random((1, LARGE))}, {"w": _random((LARGE, LARGE))})
    took = best(model, feed, threads, budget_s)
    return 4.0 * LARGE**2 / took if took else 0.0


def _starts(budget_s: float) -> dict[str, float]:
    """What starting a node costs, one with weights, and an inference beside its nodes."""
    feed = {"x": _random((1,))}
    plain = [best(*_chain("Neg", n, feed, {}), 1, budget_s) or 0.0 for n in (1, CHAIN)]
    tiny = {"x": _random((1, 1, 1, 1))}
    heavy = [best(*_chain("Conv", n, tiny, {"w": _random((1, 1, 1, 1))}), 1, budget_s) or 0.0 for n in (1, CHAIN)]
    node, layer = (max((many - one) / (CHAIN - 1), 1e-8) for one, many in (plain, heavy))
    return {"launch_s": node, "layer_s": max(layer, node), "call_s": max(plain[0] - node, 1e-8)}


def _chain(op: str, count: int, feed: Arrays, held: Arrays) -> tuple[Any, Arrays]:
    names = ["x", *(f"t{place}" for place in range(count - 1)), "y"]
    return _model([_node(op, [a, *held], b) for a, b in itertools.pairwise(names)], feed, held)
