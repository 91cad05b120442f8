"""OpenVINO by itself: it reads the .onnx file, without ONNX Runtime."""
