"""The decoder as a torch module: what TorchScript, torch.export and AOTInductor make their files of."""

# TorchScript reads the annotations as they are: no `from __future__ import annotations` here.
import json

import torch
from torch import Tensor, nn

from gsdd_runtime.errors import InputError
from gsdd_runtime.export.description import check_gaussians, check_size, describe, normalization
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.splatting.gaussians import DEFAULT_SUPERSAMPLE, KERNEL_DTYPES
from gsdd_runtime.splatting.native import load_torch_library


class DecoderModule(nn.Module):
    """``indices`` int64 ``[batch]`` to images ``[batch, C, H, W]`` and labels, from bfloat16 parameters.

    Indices are from -M to M - 1, the negative ones counting from the end; on the CPU torch raises IndexError on others.

    Raises:
        InputError: a set of pixels, a size or dtype out of range, or no mean to normalise with.
        LibraryNotBuiltError: the native library is not installed.
    """

    gaussians: Tensor
    labels: Tensor
    mean: Tensor | None
    inverse_std: Tensor | None

    def __init__(
        self,
        distilled_set: DistilledSet,
        *,
        normalize: bool = False,
        size: tuple[int, int] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        # Importing it registers the fake kernels that torch.export traces with.
        import gsdd_runtime.splatting.op  # noqa: F401

        load_torch_library()
        if dtype not in KERNEL_DTYPES:
            raise InputError(f"images can be float32, float16 or bfloat16, not {str(dtype).removeprefix('torch.')}")
        self.height, self.width = check_size(distilled_set, size)
        self.native_height, self.native_width = distilled_set.height, distilled_set.width
        self.supersample = DEFAULT_SUPERSAMPLE
        self.dtype = dtype
        values = normalization(distilled_set, normalize)
        self.register_buffer("gaussians", check_gaussians(distilled_set))
        self.register_buffer("labels", distilled_set.labels)
        self.register_buffer("mean", values["mean"] if values else None)
        self.register_buffer("inverse_std", values["std"].reciprocal() if values else None)

    def forward(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        images = torch.ops.gsdd.splat(
            self.gaussians[indices], self.height, self.width, self.native_height, self.native_width,
            self.supersample, self.mean, self.inverse_std, self.dtype, False,
        )  # fmt: skip
        return images, self.labels[indices]


def description_json(distilled_set: DistilledSet, normalize: bool, module: DecoderModule) -> str:
    """What a reader of the file may want to know of the set, as JSON."""
    return json.dumps(describe(distilled_set, normalize, module.height, module.width), sort_keys=True)
