"""Pipelines of DALI around the operator alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gsdd_runtime.decoders.dali_operator import load_operator


def run_operator(
    samples: np.ndarray | Sequence[np.ndarray], *, device: str = "cpu", threads: int = 2, **arguments: Any
):
    """The TensorList, in main memory, that ``fn.gsdd.gaussian_splat`` makes of one batch."""
    dali = load_operator()
    gpu = device == "gpu"
    made = dali.Pipeline(batch_size=len(samples), num_threads=threads, device_id=0 if gpu else None)
    with made:
        gaussians = dali.fn.external_source(lambda: samples, batch=True)
        images = dali.fn.gsdd.gaussian_splat(gaussians.gpu() if gpu else gaussians, **arguments)
        made.set_outputs(images)
    made.build()
    (images,) = made.run()
    return images.as_cpu() if gpu else images


def render_with_dali(
    gaussians: Tensor, height: int, width: int, native_size: tuple[int, int] | None, supersample: int, **where: Any
) -> Tensor:
    """As the doors of ``doors.py`` render."""
    native_height, native_width = native_size or (height, width)
    images = run_operator(
        gaussians.contiguous().numpy(), height=height, width=width, native_height=native_height,
        native_width=native_width, supersample=supersample, **where,
    )  # fmt: skip
    return torch.from_numpy(np.array(images.as_array()))
