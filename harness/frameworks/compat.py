"""torchvision from PyPI beside a CPU-only torch: make it importable.

Its compiled operators do not load there, and then `import torchvision` (and timm, and transformers' model classes)
fails on two operators whose schemas are missing. Declaring the schemas is enough:
no model of the zoo calls the operators.
"""

from __future__ import annotations

from typing import Any

OPERATORS = ("nms", "qnms")
_kept: list[Any] = []
"""torch forgets the declarations when the library object goes."""


def declare_missing_operators() -> None:
    """Declare the schemas of torchvision's `nms` and `qnms`, only where torchvision is there and they are missing."""
    import importlib.util

    import torch

    if _kept or importlib.util.find_spec("torchvision") is None:
        return
    try:
        import torchvision  # noqa: F401 # a torchvision that fits its torch brings its own operators
    except (RuntimeError, OSError, AttributeError):
        import sys

        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]  # what the failed import left half done
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in OPERATORS:
            if not hasattr(torch.ops.torchvision, name):
                library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(library)
