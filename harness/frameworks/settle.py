"""Make a randomly initialised network answer its input.

Fresh weights leave batch norm with statistics that fit nothing and a classifier whose answer is one constant: every
input gets the same class, and one precision cannot be distinguished from another. So, with the calibration examples:

1. Batch norm gets their mean and variance, and a positive shift. Without the shift half of all units sit at the bend of
   their activation, where a stack of random layers blows up the smallest rounding (int8 resnet50 came out at 4 dB).
2. A classifier reads what differs among the examples, as a trained one does, rather than what they share.

The numbers that come of it are still those of seeded weights, and are labelled so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.frameworks.batches import JITTER, SHIFT, batches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.records import ModelSpec


def settle(module: Any, called: Any, model: ModelSpec) -> None:
    """Give batch norms the statistics of the calibration examples, and a classifier what differs among them.

    Only batch norm is in training mode meanwhile, so nothing random happens but what the seed decides. Deterministic on
    one thread.

    Args:
        module: the network whose parameters are changed, in evaluation mode.
        called: what takes the inputs in order.
        model: the zoo entry, for its data and its seed.
    """
    import torch

    generator = torch.Generator().manual_seed(model.weights.seed)
    norms = [part for part in module.modules() if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)]  # noqa: SLF001 # the only common base of the batch norms
    norms = [norm for norm in norms if norm.track_running_stats]
    with torch.no_grad():
        if norms:
            momenta = [norm.momentum for norm in norms]
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # a plain average over all batches
                norm.train()
                if norm.affine:
                    norm.bias.copy_(SHIFT + JITTER * torch.randn(norm.bias.shape, generator=generator))
            for feed in _batches(model):
                called(*feed)
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
                norm.eval()
        if model.task == "classification":
            _fit_classifier(module, called, model, generator)


def _fit_classifier(module: Any, called: Any, model: ModelSpec, generator: Any) -> None:
    """Make the last linear layer a random mix of the centred features of the calibration examples, with mean zero."""
    import torch

    linears = [part for part in module.modules() if isinstance(part, torch.nn.Linear) and part.bias is not None]
    if not linears:
        return
    last, seen = linears[-1], []
    hook = last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for feed in _batches(model):
        called(*feed)
    hook.remove()
    features = torch.cat(seen).reshape(-1, last.in_features) if seen else torch.empty(0, last.in_features)
    mean = features.mean(dim=0)
    mix = torch.randn(last.out_features, len(features), generator=generator) @ (features - mean)
    length = mix.norm(dim=1, keepdim=True)
    if not len(features) or not bool((length > 0).all()):
        return  # the examples do not differ at all: there is nothing to read
    last.weight.copy_(mix / length)
    last.bias.copy_(-(last.weight @ mean))


def _batches(model: ModelSpec) -> Iterator[list[Any]]:
    """The calibration examples as tensors in the order of the inputs."""
    import torch

    for arrays in batches(model):
        yield [torch.from_numpy(array) for array in arrays]
