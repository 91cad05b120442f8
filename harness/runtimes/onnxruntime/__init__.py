"""ONNX Runtime from Python: any release, any flavour, any provider."""
