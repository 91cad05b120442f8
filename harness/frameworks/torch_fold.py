"""Batch norms folded into the convolutions before them, by torch.fx, as people do before an export."""

from __future__ import annotations

import copy
from typing import Any


def folded(module: Any) -> tuple[Any, int]:
    """A module that computes the same with fewer batch norms, and how many were folded.

    Only batch norms of torch's own classes are, right behind a convolution whose result nobody else reads: a norm of
    another library that is also an activation stays what it is.

    Args:
        module: in evaluation mode; it is not changed.

    Raises:
        Exception: torch.fx cannot trace it.
    """
    from torch import fx, nn
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    pairs = {nn.BatchNorm1d: nn.Conv1d, nn.BatchNorm2d: nn.Conv2d, nn.BatchNorm3d: nn.Conv3d}

    class Tracer(fx.Tracer):  # type: ignore[misc]  # torch is not type-checked here
        def is_leaf_module(self, part: Any, name: str) -> bool:
            return super().is_leaf_module(part, name) or isinstance(part, _BatchNorm)

    own = copy.deepcopy(module)
    traced = fx.GraphModule(own, Tracer().trace(own))
    parts, count = dict(traced.named_modules()), 0
    for node in list(traced.graph.nodes):
        before = node.args[0] if node.args else None
        if node.op != "call_module" or not isinstance(before, fx.Node) or before.op != "call_module":
            continue
        norm, convolution = parts[str(node.target)], parts[str(before.target)]
        shared = sum(other.target == before.target for other in traced.graph.nodes) > 1
        if type(convolution) is not pairs.get(type(norm)) or len(before.users) > 1 or shared:
            continue
        if norm.running_mean is None:
            continue  # it measures every batch anew
        traced.set_submodule(str(before.target), fuse_conv_bn_eval(convolution, norm))
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)
        count += 1
    traced.graph.lint()
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced.eval(), count
