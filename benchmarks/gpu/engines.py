"""Exported decoders on the device: ONNX Runtime with our library and with the model's own function, and TensorRT."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from training import make_set
from writing import DEVICE, Result, arguments, rate

import gsdd_runtime as gsdd
from gsdd_runtime.decoders.onnxruntime import OnnxRuntimeDecoder
from gsdd_runtime.decoders.tensorrt import TensorRTDecoder
from gsdd_runtime.decoders.torch import TorchDecoder
from gsdd_runtime.errors import GsddError


def checked_rate(decoder: Any, distilled: gsdd.DistilledSet, batch: int) -> dict[str, Any]:
    """Images a second, and how far they are from those of the CPU."""
    indices = torch.arange(batch) % len(distilled)
    images, _ = decoder.decode(indices)
    error = (torch.as_tensor(images).float().cpu() - distilled.decode(indices, normalize=True)).abs().max().item()
    if not error < 1e-2:
        raise ValueError(f"its images are {error:.1e} away from those of the CPU")
    return {**rate(lambda: decoder.decode(indices), batch, 0.05), "error": error}


def onnx_decoder(distilled: gsdd.DistilledSet, folder: Path, library: bool) -> OnnxRuntimeDecoder:
    from gsdd_runtime.export.onnx import export_onnx

    path = folder / "decoder.onnx"
    path.unlink(missing_ok=True)
    return OnnxRuntimeDecoder(
        export_onnx(distilled, path, normalize=True), device=torch.device(DEVICE), library=library
    )


def engine(distilled: gsdd.DistilledSet, folder: Path, batch: int) -> TensorRTDecoder:
    from gsdd_runtime.export.tensorrt import export_tensorrt

    path = folder / "decoder.engine"
    path.unlink(missing_ok=True)
    if DEVICE == "cpu":
        raise GsddError("an engine runs on a GPU alone")
    return TensorRTDecoder(export_tensorrt(distilled, path, normalize=True, max_batch=batch), device=DEVICE)


def main() -> int:
    options = arguments(__doc__)
    result, folder = Result(options.out, strict=options.rehearse), options.out
    images, batch, side = (8, 4, 16) if options.rehearse else (1024, 256, 128)
    distilled = make_set(images, 54, side)
    makers: dict[str, Callable[[], Any]] = {
        "torch": lambda: TorchDecoder(distilled, device=torch.device(DEVICE), normalize=True),
        "onnxruntime, our library": lambda: onnx_decoder(distilled, folder, True),
        "onnxruntime, the model's function": lambda: onnx_decoder(distilled, folder, False),
        "tensorrt": lambda: engine(distilled, folder, batch),
    }
    for name, make in makers.items():
        result.measure(name, lambda make=make: checked_rate(make(), distilled, batch))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
