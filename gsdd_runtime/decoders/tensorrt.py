"""Decoding with an engine that ``export_tensorrt`` has built. Runs on a CUDA device alone."""

from __future__ import annotations

import hashlib
import json
import os
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime.decoders import check_batch_memory
from gsdd_runtime.decoders.tensorrt_plugins import load_plugin_library, make_logger, reason, require_module
from gsdd_runtime.devices import cuda_index, send
from gsdd_runtime.errors import GsddError, InputError
from gsdd_runtime.sets.rows import Indices, select

SIDECAR_FORMAT = 1

_DESCRIBED = ("images", "channels", "height", "width", "classes")
_INDICES, _IMAGES, _LABELS = "indices", "images", "labels"
_DTYPES = {"FLOAT": torch.float32, "HALF": torch.float16, "BF16": torch.bfloat16, "INT64": torch.int64}


class TensorRTDecoder:
    """Runs an engine that ``export_tensorrt`` wrote from a set; its description stands beside it.

    Args:
        engine: the file.
        device: the CUDA device; if left out, that of :func:`gsdd_runtime.devices.cuda_index`.
        channels_last: lay the images out channels last.

    Raises:
        InputError: the file or its description cannot be read, or is of another engine, is no decoder, or is
            not for this TensorRT or this device.
        LibraryNotBuiltError: the plugin library is missing.
        GsddError: there is no CUDA device, or the TensorRT that built the engine is not installed.
    """

    def __init__(
        self,
        engine: str | os.PathLike[str],
        *,
        device: torch.device | str | None = None,
        channels_last: bool = False,
    ) -> None:
        self.device = _cuda_device(device)
        content, sidecar = read_engine(engine)
        self.description = decoder_description(engine, sidecar)
        _, module = require_module(sidecar["builder"])
        trt = import_module(module)
        self._logger = make_logger(trt)
        with torch.cuda.device(self.device):
            self._engine, self._runtime = deserialize(trt, self._logger, engine, content, sidecar)
            self._context = self._engine.create_execution_context()
        if self._context is None:
            raise GsddError(f"TensorRT cannot run {engine}: {reason(self._logger)}")
        self.channels = int(self.description["channels"])
        self.height, self.width = int(self.description["height"]), int(self.description["width"])
        self.classes = int(self.description["classes"])
        self.dtype = _DTYPES[self._engine.get_tensor_dtype(_IMAGES).name]
        minimum, _, maximum = self._engine.get_tensor_profile_shape(_INDICES, 0)
        self.min_batch, self.max_batch = int(minimum[0]), int(maximum[0])
        self._layout = torch.channels_last if channels_last else torch.contiguous_format

    def __len__(self) -> int:
        return int(self.description["images"])

    def decode(self, indices: Indices) -> tuple[Tensor, Tensor]:
        """Images ``[B, C, H, W]`` and labels, int64 ``[B]`` or float16 ``[B, classes]``, on the device.

        Works on the device's current stream and does not wait for it. A batch over ``max_batch`` is decoded
        in parts, one under ``min_batch`` is filled up.

        Raises:
            InputError: an index that is no whole number, or out of 0 to M - 1; images larger than the device's memory.
            GsddError: TensorRT refused the launch.
        """
        chosen = select(indices, len(self))
        if isinstance(chosen, slice):
            chosen = torch.arange(chosen.start, chosen.stop)
        check_batch_memory(self, len(chosen))
        with torch.cuda.device(self.device):
            chosen = send(chosen, self.device)
            parts = [self._decode(part) for part in chosen.split(self.max_batch)]
        images, labels = parts[0] if len(parts) == 1 else map(torch.cat, zip(*parts, strict=True))
        return images.contiguous(memory_format=self._layout), labels

    def _decode(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        wanted = indices.shape[0]
        missing = max(self.min_batch - wanted, 0)
        if missing:
            indices = torch.cat([indices, indices.new_zeros(missing)])
        if not self._context.set_input_shape(_INDICES, tuple(indices.shape)):
            raise GsddError(f"TensorRT refused a batch of {wanted}: {reason(self._logger)}")
        indices = indices.contiguous()
        images, labels = self._output(_IMAGES), self._output(_LABELS)
        for name, value in ((_INDICES, indices), (_IMAGES, images), (_LABELS, labels)):
            self._context.set_tensor_address(name, value.data_ptr())
        if not self._context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise GsddError(f"TensorRT could not decode: {reason(self._logger)}")
        return images[:wanted], labels[:wanted]

    def _output(self, name: str) -> Tensor:
        dtype = _DTYPES[self._engine.get_tensor_dtype(name).name]
        return torch.empty(tuple(self._context.get_tensor_shape(name)), dtype=dtype, device=self.device)


def sidecar_path(engine: str | os.PathLike[str]) -> Path:
    """Where the description of an engine stands: beside it, with ``.json`` added to its name."""
    return Path(f"{os.fspath(engine)}.json")


def read_engine(engine: str | os.PathLike[str]) -> tuple[bytes, dict[str, Any]]:
    """An engine's content, and what it was built for, by the description beside it.

    Raises:
        InputError: one of the two cannot be read; the description is damaged, of a newer version, or of
            another engine.
    """
    path = sidecar_path(engine)
    try:
        content = Path(engine).read_bytes()
        text = path.read_text()
    except OSError as error:
        raise InputError(f"cannot read {error.filename or engine}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no description of an engine: export the engine again") from error
    try:
        sidecar = json.loads(text)
        version, digest = int(sidecar["format"]), sidecar["engine_sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error!r}): export the engine again") from error
    if version > SIDECAR_FORMAT:
        raise InputError(f"{path} is of a newer version of gsdd-rt: upgrade gsdd-rt")
    if hashlib.sha256(content).hexdigest() != digest:
        raise InputError(f"{engine} is not the engine that {path} describes: export it again")
    return content, sidecar


def decoder_description(engine: str | os.PathLike[str], sidecar: dict[str, Any]) -> dict[str, Any]:
    """What the engine's images are, as the exported set said.

    Raises:
        InputError: the engine is no decoder of a set, or its description lacks something.
    """
    try:
        tensors = {tensor["name"] for tensor in (*sidecar["inputs"], *sidecar["outputs"])}
        description = sidecar["description"] or {}
        texts = [sidecar["builder"], sidecar["builder_version"]]
        numbers = [description.get(name) for name in _DESCRIBED]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{sidecar_path(engine)} is damaged ({error!r}): export the engine again") from error
    if tensors != {_INDICES, _IMAGES, _LABELS}:
        raise InputError(f"{engine} is no decoder of a set: its tensors are {', '.join(sorted(tensors))}")
    if not all(isinstance(n, int) for n in numbers) or not all(isinstance(t, str) for t in texts):
        raise InputError(f"{sidecar_path(engine)} does not describe a decoder: export the engine again")
    return description


def deserialize(
    trt: ModuleType,
    logger: Any,
    engine: str | os.PathLike[str],
    content: bytes,
    sidecar: dict[str, Any],
) -> tuple[Any, Any]:
    """The engine in ``content`` and the runtime that it needs alive. Loads the plugin library first.

    Raises:
        InputError: the engine is not for this TensorRT or this device.
        LibraryNotBuiltError: the plugin library is missing.
    """
    load_plugin_library(trt, logger)
    runtime = trt.Runtime(logger)
    deserialized = runtime.deserialize_cuda_engine(content)
    if deserialized is not None:
        return deserialized, runtime
    capabilities = ", ".join(map(str, sidecar.get("compute_capabilities", ())))
    raise InputError(
        f"{trt.__name__} {trt.__version__} cannot use {engine}, built by {sidecar['builder']} "
        f"{sidecar['builder_version']} for compute capability {capabilities}: {reason(logger)}. "
        "Export it again"
    )


def _cuda_device(device: torch.device | str | None) -> torch.device:
    if not torch.cuda.is_available():
        raise GsddError(
            f"a TensorRT engine runs on a CUDA device and torch {torch.__version__} sees none: "
            "decode with torch or onnxruntime here"
        )
    chosen = torch.device("cuda" if device is None else device)
    if chosen.type != "cuda":
        raise InputError(f"a TensorRT engine runs on a CUDA device, not on {chosen}")
    return chosen if chosen.index is not None else torch.device("cuda", cuda_index())
