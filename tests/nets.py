"""Networks that tests of the source `torch` name as `tests.nets:...`."""

from __future__ import annotations

from typing import Any


def small(*, width: int = 8, fail: bool = False) -> Any:
    """A convolution with batch norm and a classifier of six classes, for [batch, 3, 8, 8]."""
    from torch import nn

    if fail:
        raise RuntimeError("asked to fail")
    body = [nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(width, 6))


def not_a_module() -> int:
    """Something that is not a module."""
    return 3
