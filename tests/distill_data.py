"""Small real-data stand-ins for the tests of distilling: classes that differ in where they are bright."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from gsdd_runtime.datasets import RealData
from gsdd_runtime.distillation.batches import RealImages
from gsdd_runtime.distillation.engine import Told
from gsdd_runtime.distillation.images import SyntheticImages
from gsdd_runtime.distillation.matching import Matching
from gsdd_runtime.distillation.options import ResolvedOptions, resolve
from gsdd_runtime.distillation.problem import Problem, Setting
from gsdd_runtime.distillation.representations import PixelRepresentation, Representation

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


def problem_of(
    data: RealData, representation: Representation | None = None, **options: Any
) -> tuple[Problem, ResolvedOptions]:
    """What a method is given for a run with ``options``, over ``representation``, or over pixels of noise."""
    resolved = resolve({"device": "cpu", "representation": "pixels", **options}, data)
    if representation is None:
        shape = (data.classes * resolved.gpc, data.channels, data.height, data.width)
        representation = PixelRepresentation(torch.rand(shape, generator=torch.Generator().manual_seed(4)))
    setting = Setting(data, resolved.ipc, resolved.gpc, resolved.device, resolved.network)
    real = RealImages(data, resolved.seed, torch.device(resolved.device))
    problem = Problem(setting, real, augment=resolved.augment, seed=resolved.seed)
    problem.images = SyntheticImages(representation, data.preparation)
    return problem, resolved


def matching_of(
    data: RealData, representation: Representation | None = None, **options: Any
) -> tuple[Matching, Problem]:
    """The matching of a run with ``options``, as :func:`problem_of` makes it."""
    problem, resolved = problem_of(data, representation, **options)
    objective = resolved.objective_type(problem, resolved.method_options)
    return Matching(objective, problem.images, resolved), problem


def break_loss(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Makes the loss of matching no number at ``step``."""
    honest = Matching.updates

    def broken(self: Matching, now: int) -> Iterator[Told]:
        for told in honest(self, now):
            yield Told(told.loss * math.nan) if now == step else told

    monkeypatch.setattr(Matching, "updates", broken)
