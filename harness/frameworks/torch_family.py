"""What torch and everything built on it share: modules as loaded models, their weights and their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import reasons
from harness.data import base as data
from harness.errors import BuildError, Skip
from harness.frameworks import base, hub
from harness.records import Json, ModelSpec, Weights
from harness.special_files import special

if TYPE_CHECKING:
    from harness.frameworks.base import Array

EXPORT_PACKAGES = ("torch", "onnx")
EXPORTER_PACKAGES = {"dynamo": ("onnxscript",)}
"""What has a part in a file that torch's exporters write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchModel(base.Loaded):
    """A torch module in evaluation mode that takes the inputs in the zoo's order."""

    module: Any

    def run(self, feed: Mapping[str, Array]) -> list[Array]:
        """The outputs on one thread, so that the reference is the same everywhere."""
        import numpy as np
        import torch

        torch.set_num_threads(1)
        tensors = [torch.from_numpy(np.asarray(feed[spec.name], order="C")) for spec in self.model.inputs]
        return [tensor.numpy() for tensor in self.call(tensors)]

    def call(self, tensors: Sequence[Any]) -> list[Any]:
        """The outputs on a list of tensors, as a flat list of tensors."""
        import torch

        with torch.no_grad():
            return flatten(self.module(*tensors))

    def folded(self) -> tuple[TorchModel, int]:
        """With what torch.fx can fold: batch norms right behind a convolution.

        Raises:
            Skip: torch.fx finds none.
            BuildError: torch.fx cannot trace the module.
        """
        from harness.frameworks import torch_fold

        try:
            module, count = torch_fold.folded(self.module)
        except Exception as error:
            raise BuildError(
                f"export: torch.fx cannot trace {self.model.id}: {reasons.reason_of(error, tool=True)}"
            ) from error
        if not count:
            raise Skip("export: torch.fx finds no batch norm of torch's own right behind a convolution.")
        return replace(self, module=module), count

    def export(self, options: Mapping[str, Json], folder: Path) -> None:
        """Write the module with torch's own exporters.

        Raises:
            BuildError: the exporter failed.
        """
        from harness.frameworks import torch_export

        torch_export.export(self, options, folder)


def flatten(outputs: Any) -> list[Any]:
    """The tensors of whatever a module returns, in order."""
    import torch

    if isinstance(outputs, torch.Tensor):
        return [outputs]
    parts = outputs.values() if isinstance(outputs, dict) else outputs if isinstance(outputs, list | tuple) else ()
    return [tensor for part in parts for tensor in flatten(part)]


def output_names(module: Any, model: ModelSpec, first: str = "output") -> tuple[str, ...]:
    """`output` for one output and `output0`, `output1`, ... for more, counted by running the module once."""
    import torch

    with torch.no_grad():
        count = len(flatten(module(*[torch.from_numpy(array) for array in data.first_rows(model)])))
    if not count:
        raise BuildError(f"{model.source}: {model.id} returns no tensor.")
    return (first,) if count == 1 else tuple(f"output{place}" for place in range(count))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How a model's weights were chosen: the module, what they are, and why not what was asked for."""

    module: Any
    kind: str
    reason: str = ""


def choose(
    model: ModelSpec,
    *,
    seeded: Callable[[], Any],
    pretrained: Callable[[], Any] | None,
    hub_url: str | None,
) -> Choice:
    """Pretrained weights where they can be had, else seeded ones with the reason.

    `pretrained` is tried even where the hub cannot be reached, because a local cache may hold the weights; the child
    is set to stay offline first, so that it answers at once.

    Raises:
        BuildError: the weights are required and cannot be had.
    """
    import torch

    if model.weights.kind == "pretrained":
        why = unreachable = hub.unreachable(hub_url) if hub_url is not None and model.weights.path is None else ""
        if unreachable:
            hub.stay_offline()
        if pretrained is None:
            why = f"the source `{model.source}` has no hub; name a file with `weights: {{path: ...}}`"
        else:
            try:
                return Choice(module=pretrained(), kind="pretrained")
            except ImportError:
                raise
            except Exception as error:  # noqa: BLE001 # hubs raise anything; the reason is kept with the weights
                text = str(error).strip().splitlines() or [""]
                why = unreachable or f"{type(error).__name__}: {text[0]}"
        if model.weights.require or model.weights.path is not None:
            raise BuildError(
                f"{model.name}: the weights of {model.weights.path or model.id} are required and cannot be had: {why}."
            )
        reason = f"pretrained weights of {model.id} cannot be had here: {why}"
    else:
        reason = ""
    torch.manual_seed(model.weights.seed)
    return Choice(module=seeded(), kind="seeded", reason=reason)


def finish(
    choice: Choice, model: ModelSpec, *, head: str = "output", wrap: Any = None, facts: Any = None
) -> TorchModel:
    """Evaluation mode, settled statistics for seeded weights, digest, names.

    Args:
        choice: the network and what its weights are.
        model: the zoo entry.
        head: what a single output is called.
        wrap: makes the callable that takes the inputs in order, where the module itself does not.
        facts: see `base.Loaded`.
    """
    import torch

    from harness.frameworks.settle import settle

    torch.set_num_threads(1)  # sums in another order give other last bits, and another digest
    module = choice.module.eval()
    called = module if wrap is None else wrap(module).eval()
    if choice.kind == "seeded":
        settle(module, called, model)
    return TorchModel(
        weights=Weights(kind=choice.kind, digest=state_digest(module), reason=choice.reason),
        origin=f"torch {torch.__version__.partition('+')[0]}",
        outputs=output_names(called, model, head),
        model=model,
        module=called,
        facts=facts or {},
    )


def state_digest(module: Any) -> str:
    """The SHA-256 of the names, types, shapes and bytes of all parameters and buffers."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {list(plain.shape)}\n".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def state_from_file(path: str) -> dict[str, Any]:
    """A state dict from a local file, without executing anything that the file says.

    Raises:
        BuildError: there is no such file, or it is neither safetensors nor a plain state dict.
    """
    place = Path(path)
    if what := special(place):
        raise BuildError(f"weights: {path} is {what}; give a plain file")
    if not place.is_file():
        raise BuildError(f"weights: {path} is not a file. Give `path` a .safetensors file or one of torch.save.")
    import torch

    if place.suffix == ".safetensors":
        from safetensors.torch import load_file

        return dict(load_file(place))
    try:
        content = torch.load(place, map_location="cpu", weights_only=True)
    except Exception as error:
        raise BuildError(
            f"weights: {path} is not a plain state dict ({str(error).splitlines()[0]}). Save it again with "
            f"safetensors, or with torch.save(module.state_dict(), ...)."
        ) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise BuildError(f"weights: {path} holds no state dict.")
    return state
