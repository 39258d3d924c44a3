"""A run -> one ONNX graph, from raw columns to predictions in the label's own unit."""
