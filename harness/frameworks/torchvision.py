"""Classifiers of torchvision, by their name in its model registry, such as `resnet50`.

The zoo's `options` go to the builder. Pretrained weights are the registry's default ones, or
a state dict at `weights.path`.
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
        MissingExtra: torch or torchvision is not installed.
        BuildError: the registry has no such model, or required weights cannot be had.
    """
    try:
        declare_missing_operators()
        import torchvision
    except ImportError as error:
        raise FRAMEWORK.missing(error) from error
    names = torchvision.models.list_models()
    if model.id not in names:
        raise BuildError(f"torchvision has no model `{model.id}`{similar(model.id, names)}.")

    def fresh() -> Any:
        return torchvision.models.get_model(model.id, weights=None, **model.options)

    def pretrained() -> Any:
        network = fresh()
        if model.weights.path:
            network.load_state_dict(torch_family.state_from_file(model.weights.path))
            return network
        weights = torchvision.models.get_model_weights(model.id).DEFAULT
        _cached_or_reachable(weights.url)
        network.load_state_dict(weights.get_state_dict(progress=False, check_hash=True, weights_only=True))
        return network

    choice = torch_family.choose(model, seeded=fresh, pretrained=pretrained, hub_url=FRAMEWORK.hub_url())
    return torch_family.finish(choice, model)


def _cached_or_reachable(url: str) -> None:
    """torch.hub retries nothing, but waits long: refuse at once where neither its cache nor the hub has the file."""
    from pathlib import Path

    import torch

    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    why = hub.unreachable(FRAMEWORK.hub_url() or url)
    if why and not file.is_file():
        raise BuildError(why)


FRAMEWORK = base.Framework(
    name="torchvision",
    doc="classifiers of torchvision",
    id_doc="its name in the model registry, such as `resnet50`",
    options_doc="arguments of the builder",
    load=load,
    packages={"torch": "torch", "torchvision": "torchvision"},
    export_packages=torch_family.EXPORT_PACKAGES,
    exporter_packages=torch_family.EXPORTER_PACKAGES,
    extra="zoo",
    hub="https://download.pytorch.org/",
    licence="torchvision is BSD-3-Clause; its pretrained weights were trained on data with terms of their own "
    "(ImageNet: research), which its documentation names.",
    prepare=declare_missing_operators,
)
