"""The reference against the specification's text, written a second time in numpy, and its own habits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from awkward import ordinary
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gsdd_runtime import InputError, reference


def by_hand(gaussians: np.ndarray, height: int, width: int, native: tuple[int, int], samples: int) -> np.ndarray:
    """docs/render-spec.md, "Image value", sample by sample; ``[N, 6 + C]`` to ``[C, H, W]``."""
    channels = gaussians.shape[1] - 6
    sy, sx = height / native[0], width / native[1]
    image = np.zeros((channels, height, width))
    for x, y, l11, l21, l22, *color, o in gaussians.tolist():
        cx, cy = (x + 1) / 2 * width, (y + 1) / 2 * height
        factor = np.array([[sx * (l11 + 0.5), 0.0], [sy * l21, sy * (l22 + 0.5)]])
        inverse = np.linalg.inv(factor @ factor.T + np.eye(2) / 12)
        for i in range(height):
            for j in range(width):
                for t in range(samples):
                    for s in range(samples):
                        d = np.array([j + (s + 0.5) / samples - cx, i + (t + 0.5) / samples - cy])
                        value = o * np.exp(-0.5 * d @ inverse @ d)
                        alpha = min(1.0, value) if value >= 1 / 255 else 0.0
                        image[:, i, j] += alpha * np.array(color) / samples**2
    return image


@pytest.mark.parametrize(
    ("channels", "height", "width", "native", "samples"),
    [
        (1, 5, 4, (5, 4), 1),
        (3, 4, 7, (4, 7), 2),
        (3, 6, 5, (3, 10), 2),
        (2, 3, 3, (12, 6), 3),
        (4, 1, 1, (1, 1), 2),
    ],
)
def test_it_is_the_specification(channels: int, height: int, width: int, native: tuple[int, int], samples: int) -> None:
    gaussians = ordinary(2, 6, channels, max(native), 70 + channels).double()
    gaussians[:, 0, -1] = 3.0
    gaussians[:, 1, -1] = -0.5
    gaussians[:, 2, 2:5] = torch.tensor([-0.5, 4.0, -0.5])
    images = reference.splat(gaussians, height, width, native_size=native, supersample=samples)
    expected = np.stack([by_hand(g, height, width, native, samples) for g in gaussians.numpy()])
    # Worst measured: 6e-16.
    np.testing.assert_allclose(images.numpy(), expected, rtol=0, atol=1e-13)


def test_the_gradient_is_the_derivative() -> None:
    gaussians = ordinary(2, 4, 3, 8, 80).double()
    gaussians[:, 0, -1] = 2.5
    gaussians[:, 1, 2:5] = torch.tensor([-0.49, 5.0, -0.51])
    gaussians.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda g: reference.splat(g, 6, 7, native_size=(8, 5), supersample=2), gaussians, fast_mode=False
    )


def test_a_clipped_alpha_passes_no_gradient_to_the_opacity() -> None:
    # One sample at the very centre of a wide Gaussian of opacity 2: alpha is 1, and stays so.
    gaussians = torch.tensor([[[0.0, 0.0, 9.0, 0.0, 9.0, 0.7, 2.0]]], dtype=torch.float64, requires_grad=True)
    image = reference.splat(gaussians, 1, 1, native_size=(1, 1), supersample=1)
    image.sum().backward()
    assert image.item() == pytest.approx(0.7, abs=1e-15)
    assert gaussians.grad is not None
    assert gaussians.grad[0, 0].tolist() == [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def values_and_gradients(gaussians: Tensor) -> tuple[Tensor, Tensor]:
    gaussians = gaussians.detach().requires_grad_()
    images = reference.splat(gaussians, 13, 9)
    weights = torch.randn(images.shape, dtype=images.dtype, generator=torch.Generator().manual_seed(1))
    return images.detach(), torch.autograd.grad(images, gaussians, weights)[0]


@pytest.mark.parametrize("part", [1, 50, 1000, 5000])
def test_the_size_of_a_part_does_not_change_the_result(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    gaussians = ordinary(3, 7, 3, 13, 81).double()
    whole = values_and_gradients(gaussians)
    monkeypatch.setattr(reference, "_PART", part)
    # Worst measured: 4e-15; only the order of the sums differs.
    for value, expected in zip(values_and_gradients(gaussians), whole, strict=True):
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-13)


def test_the_order_of_the_gaussians_does_not_change_the_image() -> None:
    gaussians = ordinary(2, 30, 3, 16, 82).double()
    order = torch.randperm(30, generator=torch.Generator().manual_seed(2))
    image, permuted = reference.splat(gaussians, 16, 16), reference.splat(gaussians[:, order], 16, 16)
    # Worst measured: 1e-15.
    torch.testing.assert_close(permuted, image, rtol=0, atol=1e-13)


def test_images_add() -> None:
    gaussians = ordinary(2, 30, 3, 16, 83).double()
    halves = reference.splat(gaussians[:, :11], 16, 16) + reference.splat(gaussians[:, 11:], 16, 16)
    torch.testing.assert_close(reference.splat(gaussians, 16, 16), halves, rtol=0, atol=1e-13)


class LargestTensor(TorchDispatchMode):
    """Elements of the largest tensor that any operation returned."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.elements = max(self.elements, leaf.untyped_storage().nbytes() // leaf.element_size())
        return result


def test_memory_is_bounded_by_the_part(monkeypatch: pytest.MonkeyPatch) -> None:
    part = 1 << 14
    monkeypatch.setattr(reference, "_PART", part)
    gaussians = ordinary(2, 150, 3, 32, 84).requires_grad_()
    saved = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal saved
        saved += tensor.numel()
        return tensor

    with LargestTensor() as largest:
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            images = reference.splat(gaussians, 32, 32)
        images.sum().backward()
    # All samples at once would be 2 * 150 * 64 * 64 = 1.2 million.
    assert largest.elements <= part
    # What is kept between the passes grows with the parameters and not with the samples.
    assert saved < 2 * gaussians.numel() + part


def test_nothing_to_draw_is_zero() -> None:
    assert torch.equal(reference.splat(torch.empty(2, 0, 9), 3, 4), torch.zeros(2, 3, 3, 4))
    assert reference.splat(torch.empty(0, 5, 7), 3, 4).shape == (0, 1, 3, 4)


def test_output_options() -> None:
    gaussians = ordinary(2, 9, 3, 12, 85).double()
    mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 0.25, 2.0])
    plain = reference.splat(gaussians, 12, 10)
    images = reference.splat(gaussians, 12, 10, dtype=torch.float32, channels_last=True, mean=mean, std=std)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    expected = (plain - mean.double().view(1, 3, 1, 1)) / std.double().view(1, 3, 1, 1)
    torch.testing.assert_close(images.double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("sizes", [(0, 8), (8, 16385), (-1, 8)])
def test_sizes_out_of_range_are_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="must be 1 to 16384"):
        reference.splat(torch.zeros(1, 1, 9), *sizes)


@pytest.mark.parametrize("shape", [(4, 9), (1, 4, 6), (1, 4, 11), (1, 1, 4, 9)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="6 \\+ channels"):
        reference.splat(torch.zeros(shape), 8, 8)
