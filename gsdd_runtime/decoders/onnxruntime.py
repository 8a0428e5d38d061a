"""Decoding an exported ONNX model with onnxruntime, by our operator library or by the model's own function."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gsdd_runtime.decoders import check_batch_memory
from gsdd_runtime.errors import GsddError, InputError, LibraryNotBuiltError
from gsdd_runtime.sets.rows import Indices, select
from gsdd_runtime.splatting.native import plugin_library

if TYPE_CHECKING:
    import onnxruntime

_METADATA_KEY = "gsdd"
_DESCRIBED = ("images", "channels", "height", "width", "classes")
_DTYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16, "tensor(bfloat16)": torch.bfloat16}


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
        providers: of onnxruntime, in order of preference. Images and labels are handed over in host memory.

    Raises:
        InputError: no such file, or it is not one of our decoders.
        LibraryNotBuiltError: ``library=True`` without the library.
        GsddError: onnxruntime is not installed.
    """

    device = torch.device("cpu")

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        library: bool | None = None,
        threads: int = 0,
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        where = str(model)
        if not Path(model).is_file():
            raise InputError(f"{where} is not a file: write the decoder with `gsdd-rt export SET --onnx {where}`")
        self._runtime = require_onnxruntime()
        options = session_options(library=library, threads=threads)
        try:
            self._session = self._runtime.InferenceSession(where, options, providers=list(providers))
        except Exception as error:
            message = " ".join(str(error).split())
            raise InputError(f"onnxruntime {self._runtime.__version__} cannot load {where}: {message}") from error
        self.description = self._describe(where)
        self.channels = int(self.description["channels"])
        self.height, self.width = int(self.description["height"]), int(self.description["width"])
        self.classes = int(self.description["classes"])
        self.dtype = _DTYPES[self._session.get_outputs()[0].type]

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
        images, labels = self._session.run_with_ort_values(["images", "labels"], {"indices": fed})
        return _tensor(images), _tensor(labels)


def _tensor(value: Any) -> Tensor:
    """A tensor that shares memory with the OrtValue where DLPack can hand it over, else a copy."""
    if value.data_type() == "tensor(bfloat16)" and 0 in value.shape():
        return torch.empty(value.shape(), dtype=torch.bfloat16)
    if value.data_type() == "tensor(bfloat16)":
        return torch.from_dlpack(value._ortvalue.to_dlpack())
    return torch.from_numpy(value.numpy())
