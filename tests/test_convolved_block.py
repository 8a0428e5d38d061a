"""A convolution, instance norm, ReLU and pool in one, and convolutions of planes, against PyTorch's own in float64."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from gsdd_runtime import networks
from gsdd_runtime.networks import convolved_block, embedding, planes
from gsdd_runtime.networks.native_steps import have_native_steps


@pytest.fixture(autouse=True, scope="module")
def native_steps() -> None:
    assert have_native_steps()


def block_of(channels: int, filters: int, padding: int = 1) -> list[nn.Module]:
    generator = torch.Generator().manual_seed(filters)
    layers = [
        nn.Conv2d(channels, filters, 3, padding=padding),
        nn.GroupNorm(filters, filters),
        nn.ReLU(),
        nn.AvgPool2d(2),
    ]
    for layer in layers[:2]:
        for weight in layer.parameters():
            nn.init.normal_(weight, generator=generator).requires_grad_(False)
    return layers


def images_of(count: int, channels: int, size: tuple[int, int]) -> Tensor:
    return torch.randn(count, channels, *size, generator=torch.Generator().manual_seed(3))


def exact(layers: list[nn.Module], x: Tensor) -> Tensor:
    """The four, in float64."""
    convolution, norm = layers[0], layers[1]
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.GroupNorm)
    bias = None if convolution.bias is None else convolution.bias.double()
    made = nn.functional.conv2d(x.double(), convolution.weight.double(), bias, padding=convolution.padding)
    normed = nn.functional.group_norm(made, norm.num_groups, norm.weight.double(), norm.bias.double(), norm.eps)
    return nn.functional.avg_pool2d(normed.relu(), 2)


@pytest.mark.parametrize(
    ("channels", "filters", "padding"),
    [(1, 16, 3), (3, 32, 1), (3, 48, 0), (5, 128, 1), (31, 16, 2), (32, 32, 1), (48, 64, 1), (64, 48, 1)],
)
@pytest.mark.parametrize("size", [(4, 4), (7, 7), (28, 10), (5, 18)])
def test_a_block_is_its_four_layers(channels: int, filters: int, padding: int, size: tuple[int, int]) -> None:
    layers, x = block_of(channels, filters, padding), images_of(7, channels, size)
    assert convolved_block.takes(layers, x)
    expected = exact(layers, x)
    found = convolved_block.convolved_block(layers, x)
    assert found.shape == expected.shape
    # Measured: 3e-7, and 2e-6 by Winograd's tiles.
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    again = convolved_block.convolved_block(layers, x.contiguous(memory_format=torch.channels_last))
    assert torch.equal(again, found)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("channels", [3, 32])
def test_the_bits_follow_from_an_image_alone(channels: int) -> None:
    layers, x = block_of(channels, 32), images_of(11, channels, (8, 8))
    torch.set_num_threads(1)
    whole = convolved_block.convolved_block(layers, x)
    alone = torch.cat([convolved_block.convolved_block(layers, x[at : at + 1]) for at in range(len(x))])
    torch.set_num_threads(3)
    assert torch.equal(convolved_block.convolved_block(layers, x), whole)
    assert torch.equal(alone, whole)


@pytest.mark.parametrize(("channels", "filters", "padding"), [(1, 16, 3), (3, 32, 1), (4, 48, 0), (20, 16, 2)])
@pytest.mark.parametrize("size", [(3, 3), (6, 11), (12, 8)])
def test_planes_and_their_gradient_are_the_convolution_s(
    channels: int, filters: int, padding: int, size: tuple[int, int]
) -> None:
    layer, x = block_of(channels, filters, padding)[0], images_of(3, channels, size).requires_grad_()
    assert isinstance(layer, nn.Conv2d)
    assert planes.takes(layer, x)
    expected = nn.functional.conv2d(x.double(), layer.weight.double(), padding=padding)
    toward = images_of(3, filters, (int(expected.shape[2]), int(expected.shape[3])))
    (right,) = torch.autograd.grad(expected, x, toward.double())
    found = planes.convolved(layer, x)
    # Measured: 4e-7 and 6e-7.
    assert (found - expected).abs().max() < 2e-6 * expected.abs().max()
    (gradient,) = torch.autograd.grad(found, x, toward)
    assert (gradient - right).abs().max() < 3e-6 * right.abs().max()


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 2}, {"dilation": 2}, {"groups": 3}, {"padding": (1, 2)}, {"padding": "same"}, {"padding": 17},
        {"padding_mode": "circular"}, {"out_channels": 24}, {"kernel_size": 5},
    ],
)  # fmt: skip
def test_no_other_convolution_is_taken(options: dict[str, object]) -> None:
    settings = {"in_channels": 3, "out_channels": 48, "kernel_size": 3, "padding": 1} | options
    layer = nn.Conv2d(**settings).requires_grad_(False)  # type: ignore[arg-type]
    filters = layer.out_channels
    assert not planes.fits(layer)
    assert not convolved_block.fits([layer, nn.GroupNorm(filters, filters), nn.ReLU(), nn.AvgPool2d(2)])


def test_no_other_block_is_taken() -> None:
    layers = block_of(3, 32)
    assert convolved_block.fits(layers)
    assert not convolved_block.fits(layers[:3])
    assert not convolved_block.fits([*layers[:1], nn.GroupNorm(1, 32), *layers[2:]])
    assert not convolved_block.fits([*layers[:3], nn.AvgPool2d(3)])
    assert not convolved_block.fits([*layers[:3], nn.MaxPool2d(2)])
    assert not convolved_block.takes(layers, images_of(1, 3, (1, 8)))
    # Wider kernels by tiles leave the cache.
    assert not convolved_block.fits(block_of(64, 80))
    # A weight that asks for a gradient has none from here.
    assert not planes.takes(nn.Conv2d(3, 32, 3, padding=1), images_of(1, 3, (8, 8)))


@pytest.mark.parametrize("learns", [False, True])
def test_a_network_without_a_graph_is_embedded_by_blocks(learns: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    network = networks.build("convnet3-w32", 3, 4, (16, 16), seed=1).requires_grad_(learns)
    images, taken = images_of(5, 3, (16, 16)), []
    honest = convolved_block.convolved_block
    monkeypatch.setattr(convolved_block, "convolved_block", lambda *a: taken.append(len(a[1])) or honest(*a))
    with_graph = embedding.embedded(network, images.clone().requires_grad_()).detach()
    assert taken == []
    with torch.no_grad():
        features = embedding.embedded(network, images)
        logits = embedding.classified(network, images)
    assert taken == [5] * 6
    expected = network.double().embed(images.double())
    for found in (features, with_graph):
        assert (found - expected).norm() < 5e-6 * expected.norm()
    assert (logits - network.classifier(expected)).norm() < 5e-6 * logits.norm()


def test_a_block_follows_its_weights_wherever_they_lie() -> None:
    layers, x = block_of(32, 32), images_of(2, 32, (8, 8))
    layer = layers[0]
    assert isinstance(layer, nn.Conv2d)
    for change in range(3):
        if change == 1:
            layer.weight.mul_(torch.rand(32, 32, 3, 3, generator=torch.Generator().manual_seed(1)))
        if change == 2:
            changes = layer.weight._version
            layer.weight = nn.Parameter(layer.weight.flip(0), requires_grad=False)
            while layer.weight._version < changes:
                layer.weight.add_(0)
        expected = exact(layers, x)
        assert (convolved_block.convolved_block(layers, x) - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize(
    ("x", "kernel", "filters", "padding", "by_tiles", "words"),
    [
        ((2, 3, 8), 27 * 16, 16, 1, False, "four dimensions"),
        ((2, 3, 8, 8), 27 * 24, 24, 1, False, "a multiple of 16, got 24"),
        ((2, 3, 8, 8), 27 * 16 + 1, 16, 1, False, "kernel must be 432 contiguous"),
        ((2, 3, 8, 8), 27 * 16, 16, 17, False, "padding must be 0 to 16, got 17"),
        ((2, 3, 8, 8), 27 * 16, 16, -1, False, "padding must be 0 to 16, got -1"),
        ((2, 3, 2, 8), 27 * 16, 16, 0, False, "smaller than a kernel"),
        ((2, 8, 8, 32), 36 * 32 * 16, 16, 2, True, "by tiles the padding must be 1, got 2"),
        ((2, 8, 8, 32), 9 * 32 * 16, 16, 1, True, "kernel must be 18432 contiguous"),
    ],
)
def test_a_block_refuses_what_it_cannot_walk(
    x: tuple[int, ...], kernel: int, filters: int, padding: int, by_tiles: bool, words: str
) -> None:
    ones = torch.ones(filters)
    with pytest.raises(RuntimeError, match=words):
        torch.ops.gsdd.convolved_block(torch.zeros(x), torch.zeros(kernel), ones, ones, 1e-5, padding, by_tiles)


def test_planes_refuse_what_they_cannot_walk() -> None:
    x, kernel = torch.zeros(2, 3, 8, 8), torch.zeros(3, 3, 3, 16)
    for wrong, words in ((torch.zeros(3, 3, 16), "kernel must be"), (torch.zeros(4, 3, 3, 16), "432 contiguous")):
        with pytest.raises(RuntimeError, match=words):
            torch.ops.gsdd.convolved_planes(x, wrong, 1)
    with pytest.raises(RuntimeError, match="contiguous float32"):
        torch.ops.gsdd.convolved_planes(x.double(), kernel, 1)
    with pytest.raises(RuntimeError, match="the gradient must be 2048 contiguous"):
        torch.ops.gsdd.convolved_planes_backward(torch.zeros(2, 8, 7, 16), kernel, 8, 8, 1)


def test_no_images_make_none() -> None:
    layers = block_of(3, 32)
    assert convolved_block.convolved_block(layers, torch.zeros(0, 3, 8, 8)).shape == (0, 32, 4, 4)
    assert planes.convolved(layers[0], torch.zeros(0, 3, 8, 8)).shape == (0, 32, 8, 8)
    assert convolved_block.convolved_block(block_of(32, 32), torch.zeros(0, 32, 8, 8)).shape == (0, 32, 4, 4)
