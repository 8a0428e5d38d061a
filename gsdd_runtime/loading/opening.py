"""A decoder for whatever is at hand: a set and the name of a runtime, or an exported file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from gsdd_runtime.decoders import Decoder
from gsdd_runtime.errors import InputError
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.rows import Indices

DECODERS = ("auto", "torch", "onnxruntime", "tensorrt")
EXPORTED_SUFFIXES = (".onnx", ".engine")


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


def open_exported(path: str | os.PathLike[str], *, device: torch.device, channels_last: bool = False) -> Decoder:
    """A decoder of an exported ``.onnx`` or ``.engine`` file, with its images on ``device``.

    Raises:
        InputError: another suffix, or a file that is no decoder of ours.
        GsddError: the runtime or its library is not installed; the message says how to get it.
    """
    return PlacedDecoder(_open_exported(Path(path), device), device, channels_last)


def _open_exported(path: Path, device: torch.device) -> Decoder:
    if path.suffix == ".onnx":
        from gsdd_runtime.decoders.onnxruntime import OnnxRuntimeDecoder

        return OnnxRuntimeDecoder(path)
    if path.suffix == ".engine":
        from gsdd_runtime.decoders.tensorrt import TensorRTDecoder

        return TensorRTDecoder(path, device=device)
    raise InputError(f"{path} is no exported decoder: give a file with the suffix {' or '.join(EXPORTED_SUFFIXES)}")


class PlacedDecoder:
    """A decoder with its images and labels brought to a device and a layout."""

    def __init__(self, decoder: Decoder, device: torch.device, channels_last: bool) -> None:
        self._decoder = decoder
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        self.channels, self.classes, self.dtype = decoder.channels, decoder.classes, decoder.dtype
        self.height, self.width = decoder.height, decoder.width
        self.device = device

    def __len__(self) -> int:
        return len(self._decoder)

    def decode(self, indices: Indices) -> tuple[Tensor, Tensor]:
        images, labels = self._decoder.decode(indices)
        return images.to(self.device, memory_format=self._layout), labels.to(self.device)
