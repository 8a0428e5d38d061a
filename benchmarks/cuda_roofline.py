"""The least time that a GPU needs for a batch, from counts: what a measured time is compared with.

Two limits, and the larger counts:

- memory: the images' bytes written (read, for the gradient), at the rate that a plain fill of the same size was
  measured at on this GPU;
- issue: instructions, at 128 a clock on each multiprocessor: what the compiled kernels have for each touched sample,
  colours and moments included (cuda_instructions.py).

The kernels may go below the second, because one evaluation a pixel serves all samples where a Gaussian is wide.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

import torch
from cuda_instructions import backward_sample, forward_sample
from cuda_timing import DEVICE, seconds_of
from torch import Tensor

from gsdd_runtime.splatting import reference
from gsdd_runtime.splatting.gaussians import ALPHA_THRESHOLD

_LANES = 128
_COUNTED_IMAGES = 16


@dataclass(frozen=True)
class Gpu:
    name: str
    multiprocessors: int
    clock_hertz: float
    driver: str


def describe_gpu() -> Gpu:
    """The current device; the clock is the highest that its multiprocessors may run at."""
    if DEVICE == "cpu":
        return Gpu("the CPU, in a rehearsal", 1, 1e9, "none")
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    query = ["nvidia-smi", "--query-gpu=clocks.max.sm,driver_version", "--format=csv,noheader,nounits"]
    query += ["-i", str(torch.cuda.current_device())]
    clock, driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip().split(", ")
    return Gpu(properties.name, properties.multi_processor_count, float(clock) * 1e6, driver)


def touched_samples(gaussians: Tensor, side: int) -> float:
    """Samples with an alpha of 1/255 or more, all Gaussians together, mean of some images."""
    some = gaussians[:_COUNTED_IMAGES].float()
    ones = torch.ones(2, device=some.device)
    total = 0
    for image in some:
        for part in image.split(16):
            alpha = reference.sample_alphas(part[None], ones, ones * side, 0, 2 * side, 2 * side, 2, clipped=False)
            total += int((alpha >= ALPHA_THRESHOLD).sum())
    return total / len(some)


def roofline_seconds(gpu: Gpu, samples: float, images: int, image_bytes: int, *, backward: bool) -> dict[str, float]:
    """Seconds for ``images`` images by each limit, and the larger of them."""
    filled = torch.empty(images * image_bytes, dtype=torch.uint8, device=DEVICE)
    memory = seconds_of(lambda: filled.fill_(1), 20)
    instructions = samples * (forward_sample() + (backward_sample() if backward else 0.0)) * images
    issue = instructions / (gpu.multiprocessors * _LANES * gpu.clock_hertz)
    memory *= 2 if backward else 1
    return {"memory": memory, "issue": issue, "roofline": max(memory, issue)}
