"""Small real-data stand-ins for the tests of distilling: classes that differ in where they are bright."""

from __future__ import annotations

import torch

from gsdd_runtime.datasets import RealData

# Options with which a run takes a second or two.
SMALL = {"network": "convnet1-w8", "batch_real": 8, "gpc": 3, "iterations": 12, "fit_steps": 8}


def blobs(
    classes: int = 3, per_class: int = 10, channels: int = 1, height: int = 12, width: int = 16, seed: int = 0
) -> RealData:
    """Bright spots at a place of their class, with noise."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(height).view(-1, 1)
    x = torch.arange(width).view(1, -1)
    images = []
    for index in range(classes):
        distance = (y - height * (index + 1) / (classes + 1)) ** 2 + (x - width / 2) ** 2
        spot = 200 * torch.exp(-distance / 8)
        noise = 40 * torch.rand(per_class, channels, height, width, generator=generator)
        images.append((spot + noise).to(torch.uint8))
    labels = torch.arange(classes).repeat_interleave(per_class)
    part = (torch.cat(images), labels)
    return RealData.of("blobs", part, part, tuple(f"spot {index}" for index in range(classes)))
