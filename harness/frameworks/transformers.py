"""Encoders of transformers, by hub id, such as `sentence-transformers/all-MiniLM-L6-v2`.

Options: `config` (for seeded weights, where the hub cannot be asked; with `model_type`) and `auto_class`
(`AutoModel` by default). Weights are safetensors only, from the hub or from a local folder at `weights.path`; code
from the hub is never run.
"""

from __future__ import annotations

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
    return torch_family.finish(choice, model, head=_head(choice.module), wrap=_wrapper(names), facts=facts)


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
    doc="encoders of transformers",
    id_doc="its id on the hub, such as `sentence-transformers/all-MiniLM-L6-v2`",
    options_doc="`config` of seeded weights, with its `model_type`; `auto_class`, by default `AutoModel`",
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
