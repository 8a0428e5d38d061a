"""A distilled set as a TorchScript module, for ``torch.jit.load`` in Python and for C++ programs with libtorch.

TorchScript works and is deprecated by PyTorch; ``export_program`` writes what follows it.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import torch

from gsdd_runtime.export.decoder_module import DecoderModule, description_json
from gsdd_runtime.export.description import METADATA_KEY, written
from gsdd_runtime.sets.distilled_set import DistilledSet


def export_torchscript(
    distilled_set: DistilledSet,
    out: str | os.PathLike[str],
    *,
    normalize: bool = False,
    size: tuple[int, int] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Writes the decoder of a set, whole or not at all: ``forward(indices) -> (images, labels)``.

    Whoever loads the file has to load our torch library first: ``import gsdd_runtime.splatting.op`` or
    ``torch.ops.load_library(gsdd.plugin_library("torch"))`` in Python, ``dlopen`` in C++. Indices and outputs are those
    of :class:`gsdd_runtime.export.decoder_module.DecoderModule`; the set's description is the extra file ``gsdd``.

    Args:
        distilled_set: of Gaussians.
        out: the file.
        normalize, size, dtype: of the images, as for ``export_onnx``.

    Raises:
        InputError: whatever the set or the options cannot give, or a file that cannot be written.
        LibraryNotBuiltError: the native library is not installed.
    """
    module = DecoderModule(distilled_set, normalize=normalize, size=size, dtype=dtype)
    extra = {METADATA_KEY: description_json(distilled_set, normalize, module)}
    target = Path(out)
    with warnings.catch_warnings(), written(target, distilled_set) as temporary:
        warnings.filterwarnings("ignore", message=".*torch.jit.*deprecated", category=DeprecationWarning)
        torch.jit.save(torch.jit.script(module), str(temporary), _extra_files=extra)
    return target
