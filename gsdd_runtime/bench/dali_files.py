"""JPEG files through a pipeline of NVIDIA DALI, decoded by its own decoders: what feeds training on NVIDIA machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gsdd_runtime.decoders.dali_operator import dali_problem
from gsdd_runtime.loading.prefetch import Batch

PREFETCH = 2


def can_decode_files() -> bool:
    """Whether DALI is installed, and the decoders that it calls (``make dali`` installs both)."""
    return dali_problem() is None and find_spec("nvidia.nvimgcodec") is not None


class DaliFiles:
    """Batches of stored files, shuffled, decoded and normalised in DALI's threads; on CUDA by its mixed decoder.

    Args:
        paths, labels: a file and a class an image.
        mean, std: a number a channel, in pixel units.
        batch_size, device: of the batches.
        threads: of DALI's pool.
    """

    name = "JPEG files, DALI"
    ahead = PREFETCH

    def __init__(
        self, paths: Sequence[Path], labels: Sequence[int], mean: Sequence[float], std: Sequence[float],
        batch_size: int, device: torch.device, threads: int,
    ) -> None:  # fmt: skip
        from nvidia import dali

        self._device = device
        gray = len(mean) == 1
        made: Any = dali.Pipeline(
            batch_size=batch_size, num_threads=max(1, threads), seed=0, prefetch_queue_depth=PREFETCH,
            device_id=(device.index or 0) if device.type == "cuda" else None,
        )  # fmt: skip
        with made:
            files, numbers = dali.fn.readers.file(
                files=[str(path) for path in paths], labels=list(labels), random_shuffle=True,
                initial_fill=len(paths),
            )  # fmt: skip
            images = dali.fn.decoders.image(
                files, device="mixed" if device.type == "cuda" else "cpu",
                output_type=dali.types.GRAY if gray else dali.types.RGB,
            )  # fmt: skip
            normalized = dali.fn.crop_mirror_normalize(
                images, mean=[255 * value for value in mean], std=[255 * value for value in std],
                dtype=dali.types.FLOAT, output_layout="CHW",
            )  # fmt: skip
            made.set_outputs(normalized, numbers)
        made.build()
        self._pipeline = made

    def batches(self) -> Iterator[Batch]:
        while True:
            images, labels = self._pipeline.run()
            # DALI takes its buffers back.
            pictures = torch.utils.dlpack.from_dlpack(images.as_tensor()).clone()
            numbers = torch.from_numpy(np.array(labels.as_array())).flatten().long()
            yield pictures.to(self._device), numbers.to(self._device)
