"""One line on what runs here, for the end of the demo."""

from __future__ import annotations

import statistics
from pathlib import Path

import torch

from gsdd_runtime.bench.timing import Timed, interleaved_rounds
from gsdd_runtime.commands import examination
from gsdd_runtime.decoders.onnxruntime import OnnxRuntimeDecoder, require_onnxruntime
from gsdd_runtime.devices import resolve_device
from gsdd_runtime.errors import LibraryNotBuiltError
from gsdd_runtime.splatting.native import load_torch_library, plugin_library

ROUNDS = 3


def what_runs(decoder: Path) -> str:
    """What decodes on this machine: torch and its device, ``decoder`` in onnxruntime by which way, TensorRT.

    Args:
        decoder: an ONNX model that ``export_onnx`` wrote; all of its images are decoded by every way, a few times.

    Raises:
        GsddError: onnxruntime is not installed.
        LibraryNotBuiltError: the torch library is not built, or onnxruntime cannot load its own.
    """
    return f"runs here: {_torch()}; {_onnxruntime(decoder)}; {_tensorrt()}"


def _torch() -> str:
    load_torch_library()
    cpu = f"the CPU ({torch.ops.gsdd.cpu_kernel()} kernel)"
    device = resolve_device("auto")
    if device.type == "cpu":
        return f"torch on {cpu}"
    return f"torch on {torch.cuda.get_device_name(device)}, and on {cpu}"


def _onnxruntime(decoder: Path) -> str:
    name = f"onnxruntime {require_onnxruntime().__version__}"
    try:
        plugin_library("onnxruntime")
    except LibraryNotBuiltError as error:
        return f"{name} by the model's function ({error})"
    return f"{name} by library, {_gain(decoder):.3g} times as fast as by the model's function"


def _gain(decoder: Path) -> float:
    """How many times as fast the library decodes as the function does: median of interleaved rounds."""
    ways = {"library": True, "function": False}
    subjects = {name: _timed(OnnxRuntimeDecoder(decoder, library=library)) for name, library in ways.items()}
    speeds = interleaved_rounds(subjects, ROUNDS, lambda: None)
    return statistics.median(fast / slow for fast, slow in zip(speeds["library"], speeds["function"], strict=True))


def _timed(decoder: OnnxRuntimeDecoder) -> Timed:
    return Timed(lambda: decoder.decode(range(len(decoder))), len(decoder))


def _tensorrt() -> str:
    finding = examination.tensorrt_engine()
    return f"TensorRT: {finding.detail}" if finding.status == "ok" else f"TensorRT not: {finding.detail}"
