"""Decoding an exported ONNX model with onnxruntime, by our operator library or by the model's own function."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from gsdd_runtime.decoders import check_batch_memory
from gsdd_runtime.devices import resolve_device
from gsdd_runtime.errors import GsddError, InputError, LibraryNotBuiltError
from gsdd_runtime.progress import say_once
from gsdd_runtime.sets.rows import Indices, select
from gsdd_runtime.splatting.native import plugin_library

if TYPE_CHECKING:
    import onnxruntime

_METADATA_KEY = "gsdd"
_DESCRIBED = ("images", "channels", "height", "width", "classes")
_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_DTYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16, "tensor(bfloat16)": torch.bfloat16,
           "tensor(int64)": torch.int64}  # fmt: skip


def require_onnxruntime() -> Any:
    """The module.

    Raises:
        GsddError: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise GsddError("this needs onnxruntime: pip install 'gsdd-rt[onnxruntime]', or [onnxruntime-gpu]") from error
    return onnxruntime


def session_options(*, library: bool | None = None, threads: int = 0) -> onnxruntime.SessionOptions:
    """Options with our operators registered.

    Args:
        library: True registers our operators, False leaves the model's function to run, None takes what is there.
        threads: inside an operator; 0 leaves it to onnxruntime.

    Raises:
        LibraryNotBuiltError: ``library=True`` and it is not there, or this onnxruntime cannot load it.
        GsddError: onnxruntime is not installed.
    """
    runtime = require_onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    if library is False:
        return options
    try:
        path = plugin_library("onnxruntime")
    except LibraryNotBuiltError:
        if library:
            raise
        return options
    try:
        options.register_custom_ops_library(str(path))
    except Exception as error:
        message = " ".join(str(error).split())
        raise LibraryNotBuiltError(f"onnxruntime {runtime.__version__} cannot load {path}: {message}") from error
    return options


class OnnxRuntimeDecoder:
    """Runs a model that ``export_onnx`` wrote.

    Args:
        model: its file.
        library, threads: see :func:`session_options`.
        device: where it decodes and hands images and labels over, as
            :func:`gsdd_runtime.devices.resolve_device` takes it. Where onnxruntime's provider of a CUDA device is not
            installed or does not start, it is the CPU, and stderr says once what to do.
        providers: of onnxruntime, in order of preference, in place of ``device``; images and labels are then handed
            over in host memory.

    Raises:
        InputError: no such file, or it is not one of our decoders; both providers and a device.
        LibraryNotBuiltError: ``library=True`` without the library.
        GsddError: onnxruntime is not installed.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        library: bool | None = None,
        threads: int = 0,
        device: str | torch.device = "cpu",
        providers: Sequence[str] | None = None,
    ) -> None:
        where = str(model)
        if not Path(model).is_file():
            raise InputError(f"{where} is not a file: write the decoder with `gsdd-rt export SET --onnx {where}`")
        wanted = resolve_device(device)
        if providers is not None and wanted.type != "cpu":
            raise InputError("give providers or a device, not both")
        self._runtime = require_onnxruntime()
        options = session_options(library=library, threads=threads)
        chosen = _providers(self._runtime, wanted) if providers is None else list(providers)
        try:
            self._session = self._runtime.InferenceSession(where, options, providers=chosen)
        except Exception as error:
            message = " ".join(str(error).split())
            raise InputError(f"onnxruntime {self._runtime.__version__} cannot load {where}: {message}") from error
        self.device = self._started(wanted, chosen)
        self.description = self._describe(where)
        self.channels = int(self.description["channels"])
        self.height, self.width = int(self.description["height"]), int(self.description["width"])
        self.classes = int(self.description["classes"])
        self.dtype = _DTYPES[self._session.get_outputs()[0].type]

    def _started(self, wanted: torch.device, chosen: list[Any]) -> torch.device:
        """The device that the session runs on: onnxruntime goes on without a provider that does not start."""
        if wanted.type == "cpu" or len(chosen) == 1:
            return torch.device("cpu")
        if _CUDA in self._session.get_providers():
            return wanted
        say_once(
            f"onnxruntime {self._runtime.__version__} decodes on the CPU, its {_CUDA} does not start (it says why "
            "above): most often CUDA or cuDNN of the version that it was built for is missing"
        )
        return torch.device("cpu")

    def _describe(self, where: str) -> dict[str, Any]:
        text = self._session.get_modelmeta().custom_metadata_map.get(_METADATA_KEY)
        inputs = [value.name for value in self._session.get_inputs()]
        outputs = [value.name for value in self._session.get_outputs()]
        if text is None or inputs != ["indices"] or outputs != ["images", "labels"]:
            raise InputError(f"{where} is no decoder of gsdd-rt: write one with `gsdd-rt export SET --onnx`")
        try:
            description = dict(json.loads(text))
            if not all(isinstance(description[name], int) for name in _DESCRIBED):
                raise TypeError(f"{', '.join(_DESCRIBED)} must be whole numbers")
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{where}: the metadata {_METADATA_KEY!r} is damaged ({error!r}): export it again"
            ) from error
        return description

    def __len__(self) -> int:
        return int(self.description["images"])

    def decode(self, indices: Indices) -> tuple[Tensor, Tensor]:
        """Images ``[B, C, H, W]`` and labels, int64 ``[B]`` or float16 ``[B, classes]``.

        Raises:
            InputError: an index that is no whole number, or out of 0 to M - 1; images larger than the memory that is
                free.
        """
        chosen = select(indices, len(self))
        if isinstance(chosen, slice):
            chosen = torch.arange(len(self))[chosen]
        check_batch_memory(self, len(chosen))
        fed = self._runtime.OrtValue.ortvalue_from_numpy(chosen.cpu().numpy())
        if self.device.type == "cpu":
            images, labels = self._session.run_with_ort_values(["images", "labels"], {"indices": fed})
        else:
            images, labels = self._run_on_device(fed)
        return _tensor(images, self.device), _tensor(labels, self.device)

    def _run_on_device(self, indices: Any) -> tuple[Any, Any]:
        """Leaves the outputs in device memory; they are complete when it returns."""
        binding = self._session.io_binding()
        binding.bind_ortvalue_input("indices", indices)
        for name in ("images", "labels"):
            binding.bind_output(name, self.device.type, self.device.index)
        self._session.run_with_iobinding(binding)
        images, labels = binding.get_outputs()
        return images, labels


def _providers(runtime: Any, device: torch.device) -> list[Any]:
    """Of a device, in order of preference."""
    if device.type == "cpu":
        return [_CPU]
    if _CUDA in runtime.get_available_providers():
        return [(_CUDA, {"device_id": device.index}), _CPU]
    say_once(
        f"onnxruntime {runtime.__version__} decodes on the CPU, it has no {_CUDA}: "
        "pip uninstall -y onnxruntime, then pip install 'gsdd-rt[onnxruntime-gpu]'"
    )
    return [_CPU]


def _tensor(value: Any, device: torch.device) -> Tensor:
    """A tensor that shares memory with the OrtValue where DLPack can hand it over, else a copy."""
    kind = value.data_type()
    if 0 in value.shape():
        return torch.empty(tuple(value.shape()), dtype=_DTYPES[kind], device=device)
    if kind == "tensor(bfloat16)" or device.type != "cpu":
        return from_dlpack(value._ortvalue.to_dlpack())
    return torch.from_numpy(value.numpy())
