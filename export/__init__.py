"""Sets and modules as graphs for other runtimes, one module a target."""

from gsdd_runtime.export.translations import attach_functions, onnx_translations

__all__ = ["attach_functions", "onnx_translations"]
