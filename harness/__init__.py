"""Benchmark ONNX Runtime builds of a model zoo, and track their latency and accuracy across commits.

From Python, `results`, `compare`, `history` and `gate` are what the verbs of these names show, as pandas frames.
"""

from harness.api import LeftOutWarning, compare, gate, history, results

__all__ = ["LeftOutWarning", "compare", "gate", "history", "results"]
__version__ = "0.1.0"
