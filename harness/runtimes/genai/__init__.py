"""The worker of ONNX Runtime GenAI, which reads the tokens of a decoder."""
