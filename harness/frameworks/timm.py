"""Image models of timm, by name, such as `mobilenetv3_large_100`.

The zoo's `options` go to `timm.create_model`. Pretrained weights come from its hub (safetensors where the hub
has them), or from a state dict at `weights.path`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import BuildError
from harness.frameworks import base, hub
from harness.suggest import similar

if TYPE_CHECKING:
    from harness.records import ModelSpec


def load(model: ModelSpec) -> base.Loaded:
    """Build the network and give it its weights.

    Raises:
        MissingExtra: torch or timm is not installed.
        BuildError: timm has no such model, or required weights cannot be had.
    """
    try:
        from harness.frameworks.compat import declare_missing_operators

        declare_missing_operators()
        if (url := hub.url_of("timm")) and model.weights.kind == "pretrained" and hub.unreachable(url):
            hub.stay_offline()  # before huggingface_hub is imported: it reads the variable once
        import timm
    except ImportError as error:
        raise base.missing("timm", model, error) from error
    if not timm.is_model(model.id.partition(".")[0]):
        raise BuildError(f"timm has no model `{model.id}`{similar(model.id, timm.list_models())}.")

    def create(*, pretrained: bool) -> Any:
        return timm.create_model(model.id, pretrained=pretrained, exportable=True, **model.options)

    def pretrained() -> Any:
        if not model.weights.path:
            return create(pretrained=True)
        network = create(pretrained=False)
        network.load_state_dict(base.state_from_file(model.weights.path))
        return network

    choice = base.choose(
        model, seeded=lambda: create(pretrained=False), pretrained=pretrained, hub_url=hub.url_of("timm")
    )
    return base.finish(choice, model)
