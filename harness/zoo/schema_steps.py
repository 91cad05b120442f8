"""The shape of recipe steps and their options, as pydantic models; `harness.zoo.schema` has the rest of the file.

Which options and choices there are is the build's to say (`harness.build.options`); a test keeps the two alike.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

ABSENT: Any = None
"""The default of a key that may be left out, though it may not be null."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


class Strict(BaseModel):
    """Base of every mapping in a zoo file: no unknown keys, no conversions."""

    # Building the validator of every class on its own would double the time that a command takes to start.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)

    def given(self) -> dict[str, Any]:
        """Return the keys that the file gives, with their values."""
        return {key: getattr(self, key) for key in type(self).model_fields if key in self.model_fields_set}


class Export(Strict):
    """How the framework's model becomes ONNX; an .onnx source is taken as it is."""

    exporter: Literal["torchscript", "dynamo"] = Field(default=ABSENT, description="which of torch's exporters")
    opset: int = Field(default=ABSENT, ge=7, le=30, description="the ONNX opset to export to")


class Fuse(Strict):
    """Offline graph optimization."""

    level: Literal["basic", "extended", "all"] = Field(default=ABSENT, description="how far ONNX Runtime optimizes")


class CastOptions(Strict):
    """Changes of a cast step."""

    to: Literal["float16", "bfloat16"] = Field(default=ABSENT, description="the type to compute in")
    keep_io: bool = Field(default=ABSENT, description="keep the model's inputs and outputs in float32")
    block: list[Text] = Field(default=ABSENT, description="operators that stay in float32")


class Cast(CastOptions):
    """Conversion to a narrower float."""

    to: Literal["float16", "bfloat16"] = Field(description="the type to compute in")


Method = Literal["dynamic", "static", "weights"]


class QuantizeOptions(Strict):
    """Changes of a quantize step."""

    method: Method = Field(default=ABSENT, description="what is quantized, and when its ranges are known")
    calibration: Literal["minmax", "entropy", "percentile"] = Field(
        default=ABSENT, description="static: how ranges are taken from the calibration examples"
    )
    percentile: float = Field(default=ABSENT, gt=50, le=100, description="static: for `calibration: percentile`")
    samples: int = Field(default=ABSENT, ge=1, description="static: how many calibration examples to use")
    per_channel: bool = Field(default=ABSENT, description="dynamic, static: one weight scale per output channel")
    symmetric_activations: bool = Field(default=ABSENT, description="static: zero points of activations fixed")
    symmetric_weights: bool = Field(default=ABSENT, description="zero points of weights fixed")
    weight_type: Literal["int8", "uint8"] = Field(
        default=ABSENT, description="dynamic, static: the type of the weights"
    )
    activation_type: Literal["int8", "uint8"] = Field(default=ABSENT, description="static: the type of the activations")
    exclude: list[Text] = Field(default=ABSENT, description="node names or globs to leave in float")
    exclude_preset: Literal["yolo-head"] = Field(default=ABSENT, description="a named set of nodes to leave in float")
    reduce_range: bool = Field(default=ABSENT, description="dynamic, static: weights of 7 bits, where 8 overflow")
    op_types: list[Text] = Field(
        default=ABSENT, description="dynamic, static: operators to quantize, instead of the method's own choice"
    )
    bits: Literal[4, 8] = Field(default=ABSENT, description="weights: bits per weight")
    block_size: Literal[16, 32, 64, 128, 256] = Field(
        default=ABSENT, description="weights: weights that share one scale"
    )


class Quantize(QuantizeOptions):
    """Conversion to integers."""

    method: Method = Field(description="what is quantized, and when its ranges are known")


def _one_step(value: Any) -> Any:
    if isinstance(value, str):
        return {value: {}}
    return {kind: {} if given is None else given for kind, given in value.items()} if isinstance(value, dict) else value


def _step_schema(schema: dict[str, Any]) -> None:
    """Say in the JSON schema that a step without required options may be its name alone."""
    shape = {**schema, "minProperties": 1, "maxProperties": 1}
    schema.clear()
    schema["anyOf"] = [{"enum": ["export", "fuse"]}, shape]


class StepItem(Strict):
    """One step: its name, or its name with options."""

    model_config = ConfigDict(json_schema_extra=_step_schema)
    export: Export = Field(default=ABSENT)
    fuse: Fuse = Field(default=ABSENT)
    cast: Cast = Field(default=ABSENT)
    quantize: Quantize = Field(default=ABSENT)


class StepOptions(Strict):
    """Options by kind of step."""

    export: Export = Field(default=ABSENT)
    fuse: Fuse = Field(default=ABSENT)
    cast: CastOptions = Field(default=ABSENT)
    quantize: QuantizeOptions = Field(default=ABSENT)


Step = Annotated[StepItem, BeforeValidator(_one_step)]
