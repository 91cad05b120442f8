"""What every source shares: the loaded model, weights and their digests. Runs in the build child only."""

from __future__ import annotations

import hashlib
import importlib
import os
import pkgutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.data import base as data
from harness.errors import BuildError, MissingExtra
from harness.frameworks import hub
from harness.records import Weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from harness.records import Json, ModelSpec
from harness.suggest import suggest

HELPERS = ("base", "compat", "digits_cnn", "hub", "settle")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model in memory, ready to be exported and to compute the reference.

    Attributes:
        module: a torch module in evaluation mode that takes the inputs in the zoo's order; None for a file.
        file: the .onnx file; None for a module.
        origin: what computes the reference, such as `torch 2.13.0`.
        model: the spec, with inputs filled in where a file brings its own.
        session: runs the file; None for a module.
        facts: what later steps want to know of the network, such as the number of attention heads.
    """

    weights: Weights
    origin: str
    outputs: tuple[str, ...]
    model: ModelSpec
    module: Any = None
    file: Path | None = None
    session: Any = None
    facts: Mapping[str, Json] = field(default_factory=dict)

    def run(self, feed: Mapping[str, np.ndarray[Any, Any]]) -> list[Any]:
        """Outputs on a whole feed (input name -> array), flat and in the order of `outputs`: arrays in, arrays out.

        An output of a file that is no tensor is given as onnxruntime gives it.
        """
        if self.session is not None:
            return list(self.session.run(list(self.outputs), dict(feed)))
        import numpy as np
        import torch

        torch.set_num_threads(1)  # as for the digest in `finish`: the same sums in the same order
        with torch.no_grad():
            tensors = [torch.from_numpy(np.asarray(feed[spec.name], order="C")) for spec in self.model.inputs]
            return [tensor.numpy() for tensor in flatten(self.module(*tensors))]


class Source(Protocol):
    """A module of this package that is named in the zoo."""

    def load(self, model: ModelSpec) -> Loaded:
        """Build the network and give it its weights."""


def source(name: str) -> Source:
    """Import the source called `name`.

    Raises:
        BuildError: there is none of that name.
    """
    package = importlib.import_module("harness.frameworks")
    names = sorted(one.name for one in pkgutil.iter_modules(package.__path__) if one.name not in HELPERS)
    if name not in names:
        raise BuildError(f"There is no source `{name}`; {suggest(name, names)}.")
    module: Any = importlib.import_module(f"harness.frameworks.{name}")
    return module  # type: ignore[no-any-return]  # a module satisfies the protocol; only tests can check it


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


def missing(package: str, model: ModelSpec, error: ImportError) -> MissingExtra:
    """The error for a framework that is not installed or does not import."""
    return MissingExtra(
        f"The source `{model.source}` needs {package}, which does not import here ({error}): "
        f"pip install 'onnx-harness[zoo]'."
    )


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
    is told to stay offline first, so that it answers at once.

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


def finish(choice: Choice, model: ModelSpec, *, head: str = "output", wrap: Any = None, facts: Any = None) -> Loaded:
    """Evaluation mode, settled statistics for seeded weights, digest, names.

    Args:
        choice: the network and what its weights are.
        model: the zoo entry.
        head: what a single output is called.
        wrap: makes the callable that takes the inputs in order, where the module itself does not.
        facts: see `Loaded`.
    """
    import torch

    from harness.frameworks.settle import settle

    torch.set_num_threads(1)  # sums in another order give other last bits, and another digest
    module = choice.module.eval()
    called = module if wrap is None else wrap(module).eval()
    if choice.kind == "seeded":
        settle(module, called, model)
    return Loaded(
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
    import torch

    place = Path(path)
    if not place.is_file():
        raise BuildError(f"weights: {path} is not a file. Give `path` a .safetensors file or one of torch.save.")
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


def quiet_environment() -> None:
    """Keep frameworks from telling, installing or asking anything. The child's own environment only."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
