"""Whether the native library has the steps of networks that ``plugins/layers`` makes faster on the CPU."""

from __future__ import annotations

from functools import lru_cache

import torch

from gsdd_runtime.errors import LibraryNotBuiltError
from gsdd_runtime.splatting.native import load_torch_library


@lru_cache(maxsize=1)
def have_native_steps() -> bool:
    """Whether ``torch.ops.gsdd`` has them; without, PyTorch's own layers do the same arithmetic, slower."""
    try:
        load_torch_library()
    except LibraryNotBuiltError:
        return False
    return hasattr(torch.ops.gsdd, "convolved_block")
