"""The worker of LiteRT, and what makes its .tflite file of an .onnx file."""
