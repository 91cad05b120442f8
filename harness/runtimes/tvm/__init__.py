"""The worker of TVM, which compiles the .onnx file through Relax."""
