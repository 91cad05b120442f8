"""The worker of IREE, which compiles the .onnx file through MLIR."""
