"""A distilled set as a model repository of NVIDIA's Triton Inference Server: a decoder and its configuration.

The configuration is a message ``ModelConfig`` of Triton in protobuf's text form (model_config.proto); a test reads it
with Triton's own schema, and runs the decoder by what it says.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import torch

from gsdd_runtime.atomic import atomic_folder
from gsdd_runtime.errors import InputError
from gsdd_runtime.export.description import check_gaussians, check_size
from gsdd_runtime.progress import Reporter, silent
from gsdd_runtime.sets.distilled_set import DistilledSet

# Triton's backend, and the name that it looks for in the folder of a version.
BACKENDS = {"onnxruntime": "model.onnx", "tensorrt": "model.plan"}
_TYPES = {torch.float32: "TYPE_FP32", torch.float16: "TYPE_FP16", torch.bfloat16: "TYPE_BF16"}


def export_triton(
    distilled_set: DistilledSet,
    out: str | os.PathLike[str],
    *,
    name: str = "gsdd_decoder",
    backend: str = "onnxruntime",
    library: str | None = None,
    max_batch: int = 256,
    builder: str = "auto",
    normalize: bool = False,
    size: tuple[int, int] | None = None,
    dtype: torch.dtype = torch.float32,
    progress: Reporter = silent,
) -> Path:
    """Writes a model repository, whole or not at all: ``OUT/NAME/config.pbtxt`` and ``OUT/NAME/1/model.onnx``.

    A request has ``indices``, INT64 ``[batch, 1]``; it gets ``images`` ``[batch, C, H, W]``, and ``labels``: INT64
    ``[batch, 1]``, or FP16 ``[batch, classes]`` where they are soft. Requests are batched by the server.

    Args:
        distilled_set: of Gaussians.
        out: the folder, new or empty.
        name: of the model: letters, digits, ``_``, ``-`` and dots, no dot first.
        backend: ``"onnxruntime"``: the ONNX decoder, which needs nothing of ours; or ``"tensorrt"``: an engine, for
            which the server has to load our plugin library (``--backend-config=tensorrt,plugins=LIBRARY``).
        library: where the server finds our library for ONNX Runtime, which then draws in place of the model's function.
        max_batch: images of one batch at most.
        builder: of the engine, as of :func:`gsdd_runtime.export.tensorrt.export_tensorrt`.
        normalize, size, dtype: of the images, as of :func:`gsdd_runtime.export.onnx.export_onnx`.
        progress: told of the engine's build.

    Raises:
        InputError: an option out of range, a set of pixels, a folder that has something in it.
        GsddError: what the export needs is not installed.
    """
    if backend not in BACKENDS:
        raise InputError(f"Triton's backend {backend!r} is not known: choose one of {', '.join(BACKENDS)}")
    if library is not None and backend != "onnxruntime":
        raise InputError(
            "the library is named in the configuration for onnxruntime alone: the server loads TensorRT's by "
            "--backend-config=tensorrt,plugins=LIBRARY"
        )
    if re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", name) is None:
        raise InputError(f"{name!r} is no name for a model: take letters, digits, _ and -")
    if isinstance(max_batch, bool) or not isinstance(max_batch, int) or not 1 <= max_batch < 1 << 31:
        raise InputError(f"max_batch must be a whole number of at least 1, got {max_batch!r}")
    check_gaussians(distilled_set)
    target = Path(out)
    with atomic_folder(target) as temporary:
        version = temporary / name / "1"
        version.mkdir(parents=True)
        model = version / BACKENDS[backend]
        if backend == "onnxruntime":
            from gsdd_runtime.export.onnx import export_onnx

            export_onnx(distilled_set, model, normalize=normalize, size=size, dtype=dtype)
        else:
            from gsdd_runtime.export.tensorrt import export_tensorrt

            export_tensorrt(
                distilled_set, model, max_batch=max_batch, builder=builder, normalize=normalize, size=size,
                dtype=dtype, progress=progress,
            )  # fmt: skip
        text = configuration(
            distilled_set, name, backend=backend, library=library, max_batch=max_batch, size=size, dtype=dtype
        )
        (temporary / name / "config.pbtxt").write_text(text, encoding="utf-8")
    return target


def configuration(
    distilled_set: DistilledSet,
    name: str,
    *,
    backend: str = "onnxruntime",
    library: str | None = None,
    max_batch: int = 256,
    size: tuple[int, int] | None = None,
    dtype: torch.dtype = torch.float32,
) -> str:
    """The text of ``config.pbtxt`` for such a decoder. Arguments are those of :func:`export_triton`."""
    if dtype not in _TYPES:
        raise InputError(f"images can be float32, float16 or bfloat16, not {str(dtype).removeprefix('torch.')}")
    height, width = check_size(distilled_set, size)
    soft = distilled_set.labels.dim() == 2
    # Triton has the batch in front of every tensor, and no tensor of the batch alone: the last 1 is taken off again.
    scalar = "dims: [ 1 ] reshape { shape: [ ] }"
    labels = f"TYPE_FP16 dims: [ {distilled_set.classes} ]" if soft else f"TYPE_INT64 {scalar}"
    lines = [
        f"name: {_quoted(name)}",
        f"backend: {_quoted(backend)}",
        f"max_batch_size: {max_batch}",
        f'input [ {{ name: "indices" data_type: TYPE_INT64 {scalar} }} ]',
        "output [",
        f'  {{ name: "images" data_type: {_TYPES[dtype]} dims: [ {distilled_set.channels}, {height}, {width} ] }},',
        f'  {{ name: "labels" data_type: {labels} }}',
        "]",
        "dynamic_batching { }",
    ]
    if library is not None:
        lines.append(f"model_operations {{ op_library_filename: [ {_quoted(library)} ] }}")
    elif backend == "tensorrt":
        lines.append("# The server loads our plugin: --backend-config=tensorrt,plugins=/path/to/libgsdd_tensorrt.so")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """As protobuf's text form quotes a string; JSON's escapes of ASCII are the same."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"{text!r} is no text that a configuration can hold") from error
    if any(ord(character) < 32 for character in text):
        raise InputError(f"{text!r} has control characters in it")
    return json.dumps(text, ensure_ascii=False)
