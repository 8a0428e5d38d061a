"""Fitting images: Gaussians that reproduce given images, by mean squared error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gsdd_runtime import ranks
from gsdd_runtime.devices import resolve_device
from gsdd_runtime.distillation.declared import check_number, check_whole_number
from gsdd_runtime.distillation.division import Division
from gsdd_runtime.distillation.engine import Phase, Told, run_phase
from gsdd_runtime.distillation.options import DEFAULT_FIT_LEARNING_RATE, DEFAULT_FIT_STEPS
from gsdd_runtime.distillation.placement import placed_at_edges
from gsdd_runtime.distillation.representations import GaussianRepresentation, Representation
from gsdd_runtime.distillation.representations.gaussian import DEFAULT_BOUNDARY_WEIGHT
from gsdd_runtime.distillation.targets import Targets
from gsdd_runtime.errors import InputError, check_type
from gsdd_runtime.progress import Reporter, silent
from gsdd_runtime.seeds import derived_generator
from gsdd_runtime.splatting.gaussians import initial_gaussians

# Pixels times channels that one pass renders at most: 256 MB of float32.
PASS_VALUES = 1 << 26
# The phase's name.
FIT = "fit"


@dataclass(frozen=True)
class FitResult:
    """Gaussians that reproduce images.

    Attributes:
        gaussians: float32 masters, ``[M, N, 6 + C]``.
        psnr: of each image as its bfloat16 rounding draws it, in dB for a range of 1, float32 ``[M]``.
    """

    gaussians: Tensor
    psnr: Tensor


def fit_images(
    images: Tensor,
    count: int,
    *,
    steps: int = DEFAULT_FIT_STEPS,
    learning_rate: float = DEFAULT_FIT_LEARNING_RATE,
    boundary_weight: float = DEFAULT_BOUNDARY_WEIGHT,
    seed: int = 0,
    device: str = "auto",
    progress: Reporter = silent,
) -> FitResult:
    """Fits ``count`` Gaussians to each image, all images at once (GSDD, arXiv 2509.26219, section 3).

    Args:
        images: ``[M, C, H, W]``, uint8, or a float type in [0, 1].
        count: Gaussians per image.
        steps: of Adam, with a cosine schedule down to 0.
        learning_rate: at the first step.
        boundary_weight: of the penalty that keeps centres off the edge.
        seed: of the initial values.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        progress: told after every step.

    Raises:
        InputError: images of another shape, type or range, or an option out of range.
        GsddError: the loss is not finite.
    """
    check_whole_number("count", count, 1)
    check_whole_number("steps", steps, 1)
    check_number("learning_rate", learning_rate)
    check_number("boundary_weight", boundary_weight, zero=True)
    targets = check_images(images).to(resolve_device(device))
    total, channels, height, width = targets.shape
    start = initial_gaussians(total, count, channels, height, width, derived_generator(seed, "fit", "initial"))
    start = placed_at_edges(start, targets)
    representation = GaussianRepresentation(start.to(targets.device), height, width, boundary_weight=boundary_weight)
    # These images are this process's own, whatever others do.
    with ranks.alone():
        run_phase(fit_phase(representation, targets, steps, learning_rate), representation, progress=progress)
    return FitResult(representation.masters.detach().cpu(), psnr(representation, targets).cpu())


def fit_phase(
    representation: Representation,
    targets: Targets,
    steps: int,
    learning_rate: float,
    division: Division | None = None,
) -> Phase:
    """Matches the images of ``representation`` to ``targets``.

    The loss is the squared error summed over an image, averaged over images, plus the penalty: averaged over
    pixels it would be small beside the penalty and leave the images 2 to 3 dB worse. The processes of a run share the
    images; where they are divided, ``representation`` and ``targets`` are those of this one.
    """
    own = ranks.joined().own(len(targets)) if division is None else range(len(targets))
    images = len(targets) if division is None else division.images
    passes = torch.tensor(own, device=targets.device).split(_images_per_pass(representation))

    def updates(step: int) -> Iterator[Told]:
        total = torch.zeros((), device=targets.device)
        for k, indices in enumerate(passes):
            difference = representation.render(indices, k) - targets[indices]
            loss = difference.square().sum() / images
            loss.backward()
            total += loss.detach()
        yield Told(total, images=len(own))

    return Phase(FIT, steps, learning_rate, "cosine", updates)


@torch.no_grad()
def psnr(representation: Representation, targets: Targets) -> Tensor:
    """Peak signal to noise ratio of each image in dB for a range of 1, float32 ``[M]``."""
    errors = [
        (representation.render(indices) - targets[indices]).square().mean(dim=(1, 2, 3))
        for indices in torch.arange(len(targets), device=targets.device).split(_images_per_pass(representation))
    ]
    return -10 * torch.cat(errors).clamp_min(1e-20).log10()


def check_images(images: Tensor) -> Tensor:
    """``images`` as float32 in [0, 1].

    Raises:
        InputError: another shape or type, no image, or numbers out of range.
    """
    check_type("images", images, Tensor, "a torch.Tensor", "convert them with torch.as_tensor")
    if images.dim() != 4 or 0 in images.shape:
        raise InputError(f"images must be [images, channels, height, width], none 0, got shape {tuple(images.shape)}")
    if images.dtype == torch.uint8:
        return images.float() / 255
    if not images.is_floating_point():
        raise InputError(f"images must be uint8 or a float type, got {images.dtype}")
    low, high = float(images.min()), float(images.max())
    # Written so that NaN fails it.
    if not (low >= 0 and high <= 1):
        raise InputError(f"float images must lie in [0, 1], got {low:g} to {high:g}: divide bytes by 255")
    return images.float()


def _images_per_pass(representation: Representation) -> int:
    return max(1, PASS_VALUES // representation.image_values)
