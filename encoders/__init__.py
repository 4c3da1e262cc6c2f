"""Image or text to vector. Knows nothing of search."""

import os

# Since 1.29 ONNX Runtime reports every process to its makers unless this is set before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
