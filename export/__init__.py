"""From `gen.pt` to one ONNX file that is proven equal to the PyTorch generator."""
