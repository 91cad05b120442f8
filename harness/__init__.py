"""Benchmark ONNX Runtime builds of a model zoo, and track their latency and accuracy across commits.

From Python, `results`, `compare`, `history` and `gate` are what the verbs of these names show, as pandas frames.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import LeftOutWarning, compare, gate, history, results

__all__ = ["LeftOutWarning", "compare", "gate", "history", "results"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """A name of `harness.api`, imported once one is asked for: every module of this package begins with this one."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from harness import api

    return getattr(api, name)


def __dir__() -> list[str]:
    """What completion offers: names that are imported once one is asked for are not in the module before."""
    return sorted({*__all__, "__version__", "__doc__", "__name__", "__path__"})
