"""The CPU kernel: the same bits on any number of threads, every instruction set, memory that does not grow."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from awkward import ordinary
from torch import Tensor

import gsdd_runtime as gsdd
from gsdd_runtime import reference

# Batch, Gaussians, channels, height, width: one small image, one large, one with more Gaussians than are placed at a
# time, a large batch, and widths and heights that no panel divides.
SHAPES = [
    (1, 5, 3, 8, 8),
    (1, 40, 3, 150, 203),
    (1, 1500, 1, 40, 40),
    (64, 12, 3, 16, 16),
    (3, 20, 4, 131, 17),
]


def images_and_gradients(gaussians: Tensor, height: int, width: int, threads: int) -> tuple[Tensor, Tensor]:
    torch.set_num_threads(threads)
    gaussians = gaussians.clone().requires_grad_()
    images = gsdd.splat(gaussians, height, width)
    weights = torch.linspace(-1.0, 1.0, images.numel()).view_as(images)
    (gradients,) = torch.autograd.grad((images * weights).sum(), gaussians)
    return images.detach(), gradients


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_results_do_not_depend_on_threads(shape: tuple[int, int, int, int, int]) -> None:
    batch, count, channels, height, width = shape
    gaussians = ordinary(batch, count, channels, max(height, width), 1)
    images, gradients = images_and_gradients(gaussians, height, width, 1)
    for threads in (2, 3, 5):
        again = images_and_gradients(gaussians, height, width, threads)
        assert torch.equal(again[0], images)
        assert torch.equal(again[1], gradients)


def test_an_image_does_not_depend_on_its_batch() -> None:
    gaussians = ordinary(9, 30, 3, 50, 2)
    images, gradients = images_and_gradients(gaussians, 50, 50, 2)
    for index in (0, 4, 8):
        torch.set_num_threads(1)
        assert torch.equal(gsdd.splat(gaussians[index : index + 1], 50, 50)[0], images[index])
    assert torch.isfinite(gradients).all()


def test_gray_equals_each_channel_of_color() -> None:
    color = ordinary(2, 25, 3, 40, 3)
    images = gsdd.splat(color, 40, 40)
    for channel in range(3):
        gray = torch.cat([color[..., :5], color[..., 5 + channel, None], color[..., -1:]], dim=-1)
        assert torch.equal(gsdd.splat(gray, 40, 40)[:, 0], images[:, channel])


def test_no_gradient_through_the_limit_of_alpha() -> None:
    # One wide Gaussian whose alpha passes 1 over the whole image.
    gaussians = torch.tensor([[[0.0, 0.0, 200.0, 0.0, 200.0, 0.5, -0.5, 0.25, 3.0]]])
    images, gradients = images_and_gradients(gaussians, 20, 20, 1)
    assert torch.allclose(images, torch.tensor([0.5, -0.5, 0.25]).view(1, 3, 1, 1).expand_as(images))
    assert gradients[..., :5].abs().max() == 0
    assert gradients[..., -1] == 0
    assert gradients[..., 5:8].abs().min() > 0


def test_the_caller_keeps_its_subnormal_numbers() -> None:
    """The kernel works without them, and puts the processor's setting back."""
    images_and_gradients(ordinary(4, 10, 3, 40, 5), 40, 40, 2)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        assert (torch.full((1 << 17,), 1e-30) * 1e-12).min() > 0


_ONE_SET = """
import sys, torch
import gsdd_runtime as gsdd
from awkward import CASES
inputs = CASES["fitted-color-32"]()
images = gsdd.splat(inputs.gaussians, inputs.height, inputs.width)
torch.save((torch.ops.gsdd.cpu_kernel(), images), sys.argv[1])
"""


@pytest.mark.parametrize("wanted", ["baseline", "avx2", "avx512", ""])
def test_an_instruction_set_can_be_asked_for(wanted: str, tmp_path: os.PathLike[str]) -> None:
    """``GSDD_CPU_ISA`` asks for a lower kernel; one that the processor lacks, or nothing, changes nothing."""
    from awkward import CASES

    out = os.path.join(tmp_path, "images.pt")
    environment = {**os.environ, "GSDD_CPU_ISA": wanted, "PYTHONPATH": os.path.dirname(__file__)}
    subprocess.run([sys.executable, "-c", _ONE_SET, out], env=environment, check=True)
    kernel, images = torch.load(out, weights_only=True)
    assert kernel in ("baseline", "avx2", "avx512")
    if wanted == "baseline":
        assert kernel == "baseline"
    inputs = CASES["fitted-color-32"]()
    expected = reference.splat(inputs.gaussians.double(), inputs.height, inputs.width)
    # Measured: 2e-4, beside samples within rounding of the threshold, worth a quarter of 1/255 of a colour each.
    assert (images.double() - expected).abs().max() <= 1.5e-3


_UNKNOWN_SET = """
import torch
import gsdd_runtime as gsdd
gaussians = torch.zeros(1, 1, 9, requires_grad=True)
for call in (
    lambda: gsdd.splat(gaussians, 8, 8),
    lambda: torch.ops.gsdd.splat_backward(torch.zeros(1, 3, 8, 8), gaussians.detach(), 8, 8),
    lambda: torch.ops.gsdd.cpu_kernel(),
):
    try:
        call()
    except RuntimeError as error:
        print(str(error).splitlines()[0])
"""


def test_an_unknown_instruction_set_is_refused() -> None:
    environment = {**os.environ, "GSDD_CPU_ISA": "avx-512"}
    done = subprocess.run(
        [sys.executable, "-c", _UNKNOWN_SET], env=environment, check=True, capture_output=True, text=True
    )
    messages = done.stdout.splitlines()
    assert len(messages) == 3
    for message in messages:
        assert "GSDD_CPU_ISA" in message
        assert all(name in message for name in ("baseline", "avx2", "avx512"))


_PEAK = """
import resource, torch
import gsdd_runtime as gsdd
from awkward import ordinary
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
gaussians = ordinary(96, 20, 3, 256, 4)
gsdd.splat(gaussians[:1], 256, 256)
before = peak()
images = gsdd.splat(gaussians, 256, 256)
print(peak() - before - images.nbytes)
"""


def test_memory_does_not_grow_with_the_batch() -> None:
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(__file__)}
    done = subprocess.run([sys.executable, "-c", _PEAK], env=environment, check=True, capture_output=True, text=True)
    # 75 MB of images; beside them, measured: below 1 MB.
    assert int(done.stdout) < 8 * 1024 * 1024
