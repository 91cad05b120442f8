"""Image models of timm, by name, such as `mobilenetv3_large_100`.

The zoo's `options` go to `timm.create_model`. Pretrained weights come from its hub (safetensors where the hub
has them), or from a state dict at `weights.path`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import BuildError
from harness.frameworks import base, hub, torch_family
from harness.frameworks.compat import declare_missing_operators
from harness.suggest import similar

if TYPE_CHECKING:
    from harness.records import ModelSpec


def load(model: ModelSpec) -> torch_family.TorchModel:
    """Build the network and give it its weights.

    Raises:
        MissingExtra: torch or timm is not installed.
        BuildError: timm has no such model, or required weights cannot be had.
    """
    try:
        declare_missing_operators()
        if (url := FRAMEWORK.hub_url()) and model.weights.kind == "pretrained" and hub.unreachable(url):
            hub.stay_offline()  # before huggingface_hub is imported: it reads the variable once
        import timm
    except ImportError as error:
        raise FRAMEWORK.missing(error) from error
    if not timm.is_model(model.id.partition(".")[0]):
        raise BuildError(f"timm has no model `{model.id}`{similar(model.id, timm.list_models())}.")

    def create(*, pretrained: bool) -> Any:
        return timm.create_model(model.id, pretrained=pretrained, exportable=True, **model.options)

    def pretrained() -> Any:
        if not model.weights.path:
            return create(pretrained=True)
        network = create(pretrained=False)
        network.load_state_dict(torch_family.state_from_file(model.weights.path))
        return network

    choice = torch_family.choose(
        model, seeded=lambda: create(pretrained=False), pretrained=pretrained, hub_url=FRAMEWORK.hub_url()
    )
    return torch_family.finish(choice, model)


FRAMEWORK = base.Framework(
    name="timm",
    doc="image models of timm",
    id_doc="its name there, such as `mobilenetv3_large_100`",
    options_doc="arguments of `timm.create_model`",
    load=load,
    packages={"torch": "torch", "timm": "timm"},
    export_packages=torch_family.EXPORT_PACKAGES,
    exporter_packages=torch_family.EXPORTER_PACKAGES,
    extra="zoo",
    hub=hub.HUGGING_FACE,
    licence="timm is Apache-2.0; pretrained weights have licences of their own, which their cards on the hub state.",
    hub_variable=hub.HUGGING_FACE_VARIABLE,
    environment=hub.HUGGING_FACE_QUIET,
    prepare=declare_missing_operators,
)
