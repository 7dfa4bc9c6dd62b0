"""What the generated code costs, measured: speed against onnxruntime, kernels, chips, and how cost grows."""
