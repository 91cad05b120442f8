"""Encoders and decoders of transformers, by hub id, such as `sentence-transformers/all-MiniLM-L6-v2`.

Options: `config` (for seeded weights, where the hub cannot be asked; with `model_type`) and `auto_class`
(`AutoModel` by default). Weights are safetensors only, from the hub or from a local folder at `weights.path`; code
from the hub is never run.

A decoder (`auto_class: AutoModelForCausalLM`) whose input is `input_ids` alone reads a whole text at once. With inputs
`past_key_values.0.key`, `past_key_values.0.value` and so on, [batch, heads, past, width] each, it goes on from there,
and gives `present.0.key` and so on beside its logits; with the option `cache` it gives them without taking any.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from harness import packaged
from harness.errors import BuildError
from harness.frameworks import base, hub, torch_family
from harness.frameworks.compat import declare_missing_operators

if TYPE_CHECKING:
    from harness.records import ModelSpec

ATTENTION = "eager"
"""Attention as plain MatMul and Softmax: the form that exporters write and onnxruntime's optimizer knows."""

PREFERRED = ("last_hidden_state", "logits")
PAST, PARTS = "past_key_values.", ("key", "value")
"""What exporters call the keys and values of the tokens that a decoder has read."""


def load(model: ModelSpec) -> torch_family.TorchModel:
    """Build the network and give it its weights.

    Raises:
        MissingExtra: torch or transformers is not installed.
        BuildError: no configuration can be had, or required weights cannot.
    """
    try:
        declare_missing_operators()
        if (url := FRAMEWORK.hub_url()) and model.weights.kind == "pretrained" and hub.unreachable(url):
            hub.stay_offline()  # before huggingface_hub is imported: it reads the variable once
        import transformers
    except ImportError as error:
        raise FRAMEWORK.missing(error) from error
    name = str(model.options.get("auto_class", "AutoModel"))
    auto: Any = getattr(transformers, name, None) if name.startswith("AutoModel") else None
    if auto is None:
        raise BuildError(f"transformers has no `{name}`. `auto_class` is AutoModel or one of its kind.")

    def fresh() -> Any:
        config = model.options.get("config")
        if not isinstance(config, dict) or "model_type" not in config:
            raise BuildError(
                f"{model.name}: seeded weights need the configuration of the network. Add "
                f"`options: {{config: {{model_type: bert, hidden_size: ...}}}}` to the zoo."
            )
        settings = {key: value for key, value in config.items() if key != "model_type"}
        built = transformers.AutoConfig.for_model(str(config["model_type"]), **settings)
        return auto.from_config(built, attn_implementation=ATTENTION)

    def pretrained() -> Any:
        place = model.weights.path
        if place and packaged.is_packaged(place):  # which is not installed; the same weights may lie on the hub
            if hub.unreachable(FRAMEWORK.hub_url() or ""):
                packaged.required(place)
            place = None
        return auto.from_pretrained(
            place or model.id,
            attn_implementation=ATTENTION,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=bool(place or hub.unreachable(FRAMEWORK.hub_url() or "")),
        )

    choice = torch_family.choose(model, seeded=fresh, pretrained=pretrained, hub_url=FRAMEWORK.hub_url())
    config = choice.module.config
    facts = {
        "model_type": config.model_type,
        "heads": getattr(config, "num_attention_heads", 0),
        "hidden": getattr(config, "hidden_size", 0),
    }
    names = [spec.name for spec in model.inputs]
    cached = bool(model.options.get("cache")) or any(name.startswith(PAST) for name in names)
    if not cached and not name.endswith("ForCausalLM"):
        return torch_family.finish(choice, model, head=_head(choice.module), wrap=_wrapper(names), facts=facts)
    _check_past(model, names, int(config.num_hidden_layers))
    loaded = torch_family.finish(
        choice, model, head="logits", wrap=lambda network: _decoder(network, names, cached=cached), facts=facts
    )
    return dataclasses.replace(loaded, outputs=_decoder_outputs(len(loaded.outputs)))


def _check_past(model: ModelSpec, names: list[str], layers: int) -> None:
    """Refuse past keys and values that are not those of every layer.

    Raises:
        BuildError: they are not.
    """
    given = {name for name in names if name.startswith(PAST)}
    wanted = {f"{PAST}{layer}.{part}" for layer in range(layers) for part in PARTS}
    if given and given != wanted:
        wrong = sorted(given ^ wanted)
        raise BuildError(
            f"{model.name}: a decoder of {layers} layers takes {PAST}0.key, {PAST}0.value and so on up to "
            f"{PAST}{layers - 1}.value, or none of them; missing or unknown: {', '.join(wrong)}."
        )


def _decoder_outputs(count: int) -> tuple[str, ...]:
    """The logits, then the keys and values of each layer."""
    present = [f"present.{place // 2}.{PARTS[place % 2]}" for place in range(count - 1)]
    return ("logits", *present)


def _decoder(network: Any, names: list[str], *, cached: bool) -> Any:
    """A module that takes the inputs in order, and gives the logits and, if `cached`, every layer's keys and values."""
    import inspect

    import torch
    from transformers import DynamicCache

    takes = inspect.signature(network.forward).parameters
    keyword = next(one for one in ("cache", "past_key_values") if one in takes)

    class Decoder(torch.nn.Module):  # type: ignore[misc]  # torch is not type-checked here
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, *inputs: Any) -> Any:
            given = dict(zip(names, inputs, strict=True))
            past = {name: given.pop(name) for name in list(given) if name.startswith(PAST)}
            memory = DynamicCache()  # an empty one as well: without any, masks are made in ways that do not export
            for layer in range(len(past) // len(PARTS)):
                memory.update(*(past[f"{PAST}{layer}.{part}"] for part in PARTS), layer)
            outputs = self.network(**given, **{keyword: memory}, use_cache=True)
            if not cached:
                return outputs.logits
            return (outputs.logits, *(part for layer in memory.layers for part in (layer.keys, layer.values)))

    return Decoder()


def _head(module: Any) -> str:
    """The name of the output that is exported: the hidden state of an encoder, else the logits."""
    return "logits" if hasattr(module, "classifier") or hasattr(module, "lm_head") else "last_hidden_state"


def _wrapper(names: list[str]) -> Any:
    """A module that takes the inputs in order and gives back the one output that matters."""
    import torch

    class Positional(torch.nn.Module):  # type: ignore[misc]  # torch is not type-checked here
        def __init__(self, network: Any) -> None:
            super().__init__()
            self.network = network

        def forward(self, *inputs: Any) -> Any:
            outputs = self.network(**dict(zip(names, inputs, strict=True)))
            return next((outputs[name] for name in PREFERRED if name in outputs), outputs[0])

    return Positional


FRAMEWORK = base.Framework(
    name="transformers",
    doc="encoders and decoders of transformers",
    id_doc="its id on the hub, such as `sentence-transformers/all-MiniLM-L6-v2`",
    options_doc="`config` of seeded weights, with `model_type`; `auto_class`, else `AutoModel`; `cache` of decoders",
    load=load,
    packages={"torch": "torch", "transformers": "transformers"},
    export_packages=torch_family.EXPORT_PACKAGES,
    exporter_packages=torch_family.EXPORTER_PACKAGES,
    extra="zoo",
    hub=hub.HUGGING_FACE,
    licence="transformers is Apache-2.0; pretrained weights have licences of their own, which the model's card states.",
    hub_variable=hub.HUGGING_FACE_VARIABLE,
    environment=hub.HUGGING_FACE_QUIET,
    prepare=declare_missing_operators,
)
