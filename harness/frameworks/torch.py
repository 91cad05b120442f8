"""Any importable callable `module:callable` that returns a torch module.

The zoo's `options` are its keyword arguments. It runs with torch seeded from `weights.seed`. With
`weights: {kind: trained}` what it returns is taken as it is; with a `weights.path` a state dict is loaded into it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness import importable
from harness.errors import BuildError
from harness.frameworks import base, torch_family

if TYPE_CHECKING:
    from harness.records import ModelSpec


def load(model: ModelSpec) -> torch_family.TorchModel:
    """Call the callable and give the module its weights.

    Raises:
        MissingExtra: torch is not installed.
        BuildError: the callable cannot be imported, fails, or returns no module.
    """
    try:
        import torch
    except ImportError as error:
        raise FRAMEWORK.missing(error) from error

    def call() -> Any:
        torch.manual_seed(model.weights.seed)
        torch.set_num_threads(1)
        try:
            module = importable.target(model.id, "torch")(**model.options)
        except (BuildError, ImportError):
            raise
        except Exception as error:
            raise BuildError(f"torch: calling {model.id} failed: {type(error).__name__}: {error}.") from error
        if not isinstance(module, torch.nn.Module):
            raise BuildError(f"torch: {model.id} returned {type(module).__name__}; it must return a torch.nn.Module.")
        return module

    def from_path() -> Any:
        module = call()
        module.load_state_dict(torch_family.state_from_file(model.weights.path or ""))
        return module

    if model.weights.kind == "trained":
        choice = torch_family.Choice(module=call(), kind="trained")
    else:
        choice = torch_family.choose(
            model, seeded=call, pretrained=from_path if model.weights.path else None, hub_url=None
        )
    return torch_family.finish(choice, model)


FRAMEWORK = base.Framework(
    name="torch",
    doc="any callable that returns a torch module",
    id_doc="an importable `module:callable`",
    options_doc="its keyword arguments",
    load=load,
    packages={"torch": "torch"},
    export_packages=torch_family.EXPORT_PACKAGES,
    exporter_packages=torch_family.EXPORTER_PACKAGES,
    extra="zoo",
    weights=("pretrained", "seeded", "trained"),
    runs_user_code=True,
    id_pattern=importable.PATTERN,
    id_expected="module:attribute, such as mypackage.nets:build",
)
