"""A decoder for whatever is at hand: a set and the name of a runtime, or an exported file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gsdd_runtime.decoders import Decoder
from gsdd_runtime.devices import send
from gsdd_runtime.errors import InputError
from gsdd_runtime.loading.exported import remaining_preparation
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.preparation import Preparation
from gsdd_runtime.sets.rows import Indices
from gsdd_runtime.splatting.gaussians import KERNEL_DTYPES

if TYPE_CHECKING:
    from gsdd_runtime.decoders.onnxruntime import OnnxRuntimeDecoder
    from gsdd_runtime.decoders.tensorrt import TensorRTDecoder

DECODERS = ("auto", "torch", "onnxruntime", "tensorrt")
# What runs an exported file, by its suffix.
EXPORTED_SUFFIXES = {".onnx": "onnxruntime", ".engine": "tensorrt"}


def open_decoder(
    name: str,
    distilled_set: DistilledSet,
    *,
    device: torch.device,
    normalize: bool = False,
    size: tuple[int, int] | None = None,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
) -> Decoder:
    """A decoder of a set on one runtime; all but torch export the set first, into a temporary file.

    Args:
        name: ``"torch"``, ``"onnxruntime"``, ``"tensorrt"``, or ``"auto"``: torch, which needs no export and decodes on
            every device.
        distilled_set: what to decode.
        device: where images and labels are wanted.
        normalize, size, dtype, channels_last: of the images, as :meth:`DistilledSet.decode` takes them.

    Raises:
        InputError: no such decoder, or a set that it cannot decode.
        GsddError: the runtime or its library is not installed; the message says how to get it.
    """
    if name not in DECODERS:
        raise InputError(f"decoder {name!r} is not known: choose one of {', '.join(DECODERS)}")
    if name in ("auto", "torch"):
        from gsdd_runtime.decoders.torch import TorchDecoder

        return TorchDecoder(
            distilled_set, device=device, normalize=normalize, size=size, dtype=dtype, channels_last=channels_last
        )
    with tempfile.TemporaryDirectory(prefix="gsdd-") as folder:
        if name == "onnxruntime":
            from gsdd_runtime.export.onnx import export_onnx

            exported = export_onnx(
                distilled_set, Path(folder, "decoder.onnx"), normalize=normalize, size=size, dtype=dtype
            )
        else:
            from gsdd_runtime.export.tensorrt import export_tensorrt

            exported = export_tensorrt(
                distilled_set, Path(folder, "decoder.engine"), normalize=normalize, size=size, dtype=dtype
            )
        return PlacedDecoder(_open_exported(exported, device), device, channels_last)


def open_exported(
    path: str | os.PathLike[str],
    *,
    device: torch.device,
    decoder: str = "auto",
    normalize: bool = False,
    size: tuple[int, int] | None = None,
    dtype: torch.dtype | None = None,
    channels_last: bool = False,
) -> Decoder:
    """A decoder of an exported ``.onnx`` or ``.engine`` file, with its images on ``device``.

    Args:
        path: the file.
        device: where images and labels are wanted.
        decoder: ``"auto"``, or the runtime of the file.
        normalize: the images are what a network takes; done to plain ones by the mean and std in the file.
        size: ``(height, width)``; that of the file, or None for it.
        dtype: float32, float16 or bfloat16, which the images are converted to; None leaves that of the file.
        channels_last: lay the images out channels last.

    Raises:
        InputError: another suffix, a file that is no decoder of ours, or one whose images cannot be had as asked: the
            message says how it was exported.
        GsddError: the runtime or its library is not installed; the message says how to get it.
    """
    path = Path(path)
    runtime = EXPORTED_SUFFIXES.get(path.suffix)
    if runtime is not None and decoder not in ("auto", runtime):
        raise InputError(f"{path} is decoded by {runtime}, not by {decoder}: leave decoder out, or give the set itself")
    if dtype is not None and dtype not in KERNEL_DTYPES:
        raise InputError(f"images can be float32, float16 or bfloat16, not {str(dtype).removeprefix('torch.')}")
    opened = _open_exported(path, device)
    preparation = remaining_preparation(path, opened.description, normalize, size)
    return PlacedDecoder(opened, device, channels_last, dtype, preparation)


def _open_exported(path: Path, device: torch.device) -> OnnxRuntimeDecoder | TensorRTDecoder:
    if path.suffix == ".onnx":
        from gsdd_runtime.decoders.onnxruntime import OnnxRuntimeDecoder

        return OnnxRuntimeDecoder(path, device=device)
    if path.suffix == ".engine":
        from gsdd_runtime.decoders.tensorrt import TensorRTDecoder

        return TensorRTDecoder(path, device=device)
    raise InputError(f"{path} is no exported decoder: give a file with the suffix {' or '.join(EXPORTED_SUFFIXES)}")


class PlacedDecoder:
    """A decoder with its images prepared, and brought with their labels to a device, a dtype and a layout."""

    def __init__(
        self,
        decoder: Decoder,
        device: torch.device,
        channels_last: bool,
        dtype: torch.dtype | None = None,
        preparation: Preparation | None = None,
    ) -> None:
        self._decoder = decoder
        self._preparation = preparation
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        self.channels, self.classes, self.dtype = decoder.channels, decoder.classes, dtype or decoder.dtype
        self.height, self.width = decoder.height, decoder.width
        self.device = device

    def __len__(self) -> int:
        return len(self._decoder)

    def decode(self, indices: Indices) -> tuple[Tensor, Tensor]:
        images, labels = self._decoder.decode(indices)
        images = send(images, self.device)
        if self._preparation is not None:
            images = self._preparation.apply(images.float())
        return images.to(self.dtype).contiguous(memory_format=self._layout), send(labels, self.device)
