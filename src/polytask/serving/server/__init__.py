"""An exported graph -> HTTP. Nothing here loads torch, Arrow or pydantic: numpy, onnxruntime, Starlette, orjson."""
