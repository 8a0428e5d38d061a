"""The decoder as a torch module: what TorchScript, torch.export and AOTInductor make their files of."""

# TorchScript reads the annotations as they are: no `from __future__ import annotations` here.
import json

import torch
from torch import Tensor, nn

from gsdd_runtime.errors import InputError
from gsdd_runtime.export.description import check_gaussians, check_preparation, check_size, describe
from gsdd_runtime.sets.distilled_set import DistilledSet
from gsdd_runtime.sets.preparation import whitened
from gsdd_runtime.splatting.gaussians import DEFAULT_SUPERSAMPLE, KERNEL_DTYPES
from gsdd_runtime.splatting.native import load_torch_library


class DecoderModule(nn.Module):
    """``indices`` int64 ``[batch]`` to images ``[batch, C, H, W]`` and labels, from bfloat16 parameters.

    Indices are from -M to M - 1, the negative ones counting from the end; on the CPU torch raises IndexError on others.

    Raises:
        InputError: a set of pixels, a size or dtype out of range, no mean to normalise with, a ``zca`` of another
            size.
        LibraryNotBuiltError: the native library is not installed.
    """

    gaussians: Tensor
    labels: Tensor
    mean: Tensor | None
    inverse_std: Tensor | None
    zca: Tensor | None

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
        # Whitened in float32, and rounded once.
        self.drawn_dtype = dtype if distilled_set.zca is None or not normalize else torch.float32
        preparation = check_preparation(distilled_set, normalize, self.height, self.width)
        optional: dict[str, Tensor | None] = {"mean": None, "inverse_std": None, "zca": None}
        if preparation is not None and preparation.zca is not None:
            optional["zca"] = preparation.zca
        elif preparation is not None:
            mean, std = preparation.statistics(torch.device("cpu"))
            optional |= {"mean": mean, "inverse_std": std.reciprocal()}
        self.register_buffer("gaussians", check_gaussians(distilled_set))
        self.register_buffer("labels", distilled_set.labels)
        # Those that are None last: torch.export (2.13) takes one before another for a buffer that it has not got.
        for name, value in sorted(optional.items(), key=lambda pair: pair[1] is None):
            self.register_buffer(name, value)

    def forward(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        images = torch.ops.gsdd.splat(
            self.gaussians[indices], self.height, self.width, self.native_height, self.native_width,
            self.supersample, self.mean, self.inverse_std, self.drawn_dtype, False,
        )  # fmt: skip
        zca = self.zca
        if zca is not None:
            images = whitened(images, zca).to(self.dtype)
        return images, self.labels[indices]


def description_json(distilled_set: DistilledSet, normalize: bool, module: DecoderModule) -> str:
    """What a reader of the file may want to know of the set, as JSON."""
    return json.dumps(describe(distilled_set, normalize, module.height, module.width), sort_keys=True)
