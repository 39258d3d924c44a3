"""A run as one ONNX graph, and a server for it. The server's half (`serving.server`) loads neither torch nor Arrow."""
