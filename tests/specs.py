"""Specs made by hand for tests of the build: a model that comes as a file, and every variant of the shipped zoo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.records import DataSpec, InputSpec, ModelSpec, Recipe, Step, WeightsSpec

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records import Json

EXPORT, BASIC = Step(kind="export"), Step(kind="fuse", options={"level": "basic"})


def variant(name: str, *steps: Step, precision: str = "float32", optimization: str = "all") -> Recipe:
    """A recipe that exports and then takes these steps."""
    return Recipe(name=name, steps=(EXPORT, *steps), precision=precision, optimization=optimization)


def quantized(name: str, **options: Json) -> Recipe:
    """A recipe that ends with quantize."""
    return variant(name, BASIC, Step(kind="quantize", options=options), precision="int8")


FP32 = variant("fp32", optimization="disabled")
FUSED = variant("fp32-fused", Step(kind="fuse"))
FP16 = variant("fp16", BASIC, Step(kind="cast", options={"to": "float16"}), precision="float16")
BF16 = variant("bf16", BASIC, Step(kind="cast", options={"to": "bfloat16"}), precision="bfloat16")
DYNAMIC = quantized("int8-dynamic", method="dynamic")
STATIC = quantized("int8-static", method="static")
INT4 = quantized("int4-weights", method="weights")
ALL = (FP32, FUSED, FP16, BF16, DYNAMIC, STATIC, INT4)


def file_model(path: Path, *inputs: InputSpec, name: str = "tiny", calibration: int = 4) -> ModelSpec:
    """A model of the source `onnx` with random data."""
    return ModelSpec(
        name=name,
        source="onnx",
        id=str(path),
        task=None,
        weights=WeightsSpec(),
        inputs=inputs,
        dims={},
        data=DataSpec(name="random", source="random", calibration=calibration, evaluation=4),
    )


def torch_model(
    target: str, *, kind: str = "seeded", path: str | None = None, options: dict[str, Json] | None = None
) -> ModelSpec:
    """A model of the source `torch` that takes one float32 [batch, 3, 8, 8] image."""
    return ModelSpec(
        name="net",
        source="torch",
        id=target,
        task="classification",
        weights=WeightsSpec(kind=kind, path=path),
        inputs=(InputSpec(name="image", dtype="float32", shape=("batch", 3, 8, 8)),),
        dims={},
        data=DataSpec(name="random", source="random", calibration=8, evaluation=8),
        options=options or {},
    )
