"""Benchmark ONNX Runtime builds of a model zoo, and track their latency and accuracy across commits."""

__version__ = "0.1.0"
