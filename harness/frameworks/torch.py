"""Any importable callable `module:callable` that returns a torch module.

The zoo's `options` are its keyword arguments. It runs with torch seeded from `weights.seed`. With
`weights: {kind: trained}` what it returns is taken as it is; with a `weights.path` a state dict is loaded into it.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BuildError
from harness.frameworks import base, torch_family
from harness.suggest import similar

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
            module = _target(model.id)(**model.options)
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


def _target(name: str) -> Any:
    """The callable, from an importable module; the working folder is looked at last, so that it shadows nothing."""
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise BuildError(f"torch: `{name}` is not of the form `module:callable`.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise BuildError(f"torch: the module `{module_name}` of `{name}` cannot be imported: {error}.") from error
    target = getattr(module, attribute, None)
    if not callable(target):
        names = [one for one in vars(module) if not one.startswith("_") and callable(getattr(module, one))]
        raise BuildError(f"torch: {module_name} has no callable `{attribute}`{similar(attribute, names)}.")
    return target


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
    id_pattern=r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*",
    id_expected="module:attribute, such as mypackage.nets:build",
)
