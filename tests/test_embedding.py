"""Embedding in pieces by faster steps, against the network itself in float64."""

from __future__ import annotations

import copy
import resource

import pytest
import torch
from torch import Tensor, nn

from gsdd_runtime import networks
from gsdd_runtime.memory import keep_freed_memory
from gsdd_runtime.networks import Network, embedding, winograd
from gsdd_runtime.networks.embedding import embedded


def network_of(
    name: str, channels: int = 3, size: tuple[int, int] = (16, 16), *, trained: bool = False, biased: bool = True
) -> Network:
    network = networks.build(name, channels, 4, size, seed=1)
    if trained:
        generator = torch.Generator().manual_seed(2)
        for layer in network.modules():
            if isinstance(layer, nn.GroupNorm):
                # Of either sign: a fresh network has ones and zeros.
                nn.init.normal_(layer.weight, generator=generator)
                if biased:
                    nn.init.normal_(layer.bias, generator=generator)
    return network.requires_grad_(False)


def images_of(count: int, channels: int = 3, size: tuple[int, int] = (16, 16)) -> Tensor:
    return torch.randn(count, channels, *size, generator=torch.Generator().manual_seed(3))


def exact(network: Network, images: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Features and the gradient of their weighted sum, in float64, by the network's own layers."""
    images = images.double().requires_grad_()
    features = copy.deepcopy(network).double().embed(images)
    (gradient,) = torch.autograd.grad((features * weights).sum(), images)
    return features.detach(), gradient


def check(network: Network, images: Tensor, tolerance: float = 5e-6) -> None:
    weights = torch.randn(network.embed(images).shape, generator=torch.Generator().manual_seed(4)).double()
    features, gradient = exact(network, images, weights)
    with torch.no_grad():
        assert (embedded(network, images) - features).norm() < tolerance * features.norm()
    leaf = images.clone().requires_grad_()
    found = embedded(network, leaf)
    assert (found - features).norm() < tolerance * features.norm()
    (found * weights.float()).sum().backward()
    assert leaf.grad is not None
    assert (leaf.grad - gradient).norm() < tolerance * gradient.norm()


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize(
    ("name", "channels", "size"),
    [
        ("convnet2-w8", 3, (16, 24)),
        # Gray images are padded by 3; 20 becomes 24, 12, 6, 3.
        ("convnet3-w8", 1, (20, 20)),
        # Odd maps are pooled by the layers themselves.
        ("convnet2-w8", 3, (10, 14)),
        ("convnet2-w64", 3, (16, 16)),
        ("convnet2-w8-batch", 3, (16, 16)),
        ("convnet2-w8-maxpool", 3, (16, 16)),
        ("alexnet", 3, (32, 32)),
    ],
)
def test_features_and_gradients_are_those_of_the_network(
    name: str, channels: int, size: tuple[int, int], trained: bool
) -> None:
    # Measured: 3e-7, and 2e-6 where Winograd's sums are taken.
    check(network_of(name, channels, size, trained=trained), images_of(5, channels, size))
    if trained:
        check(network_of(name, channels, size, trained=True, biased=False), images_of(5, channels, size))


def test_images_are_left_as_they_are() -> None:
    network, images = network_of("convnet1-w8"), images_of(3)
    before = images.clone()
    with torch.no_grad():
        embedded(network, images.contiguous(memory_format=torch.channels_last))
        embedded(network, images)
    assert torch.equal(images, before)
    first = nn.Sequential(nn.Identity(), nn.GroupNorm(3, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(3, 4, 3))
    own = Network(first, 4 * 6 * 6, 4).requires_grad_(False)
    channels_last = before.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(embedded(own, channels_last), own.embed(before))
    assert torch.equal(channels_last, before)


def test_winograd_gives_what_the_convolution_gives_and_follows_its_weights() -> None:
    layer = nn.Conv2d(64, 72, 3, padding=1, bias=False).requires_grad_(False)
    for seed in range(2):
        nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(seed))
        x = images_of(2, 64, (8, 12)).contiguous(memory_format=torch.channels_last)
        assert winograd.takes(layer, x)
        expected = nn.functional.conv2d(x.double(), layer.weight.double(), padding=1)
        # Measured: 2e-6.
        assert (winograd.convolved(layer, x) - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize("options", [{"stride": 2}, {"padding": 0}, {"dilation": 2}, {"groups": 2}])
def test_winograd_takes_no_other_convolution(options: dict[str, int]) -> None:
    layer = nn.Conv2d(64, 64, 3, **({"padding": 1} | options))
    assert not winograd.takes(layer, images_of(1, 64, (8, 8)))
    assert not winograd.takes(nn.Conv2d(64, 64, 3, padding=1), images_of(1, 64, (8, 10)))
    assert not winograd.takes(nn.Conv2d(32, 64, 3, padding=1), images_of(1, 32, (8, 8)))


def test_pieces_are_those_of_the_cache_and_add_up_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = network_of("convnet1-w8"), images_of(7)
    whole = embedded(network, images)
    sizes: list[int] = []
    honest = embedding._embed
    monkeypatch.setattr(embedding, "_embed", lambda net, part: sizes.append(len(part)) or honest(net, part))
    # Three images of 8 maps of 16 x 16 in float32.
    monkeypatch.setattr(embedding, "CACHED_BYTES", 3 * 4 * 8 * 16 * 16 // torch.get_num_threads() + 1)
    pieces = embedded(network, images)
    assert sizes == [3, 3, 1]
    torch.testing.assert_close(pieces, whole)


def test_statistics_of_a_batch_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "CACHED_BYTES", 1)
    network, images = network_of("convnet1-w8-batch"), images_of(7)
    assert torch.equal(embedded(network, images), network.embed(images))
    network.eval()
    torch.testing.assert_close(embedded(network, images), network.embed(images))


def test_a_bounded_graph_gives_the_same_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    network, weights = network_of("convnet1-w8"), images_of(7, 8, (8, 8)).flatten(1)
    monkeypatch.setattr(embedding, "CACHED_BYTES", 3 * 4 * 8 * 16 * 16 // torch.get_num_threads() + 1)
    gradients = []
    for room in (1, 2**30):
        monkeypatch.setattr(embedding, "GRAPH_BYTES", room)
        images = images_of(7).requires_grad_()
        (embedded(network, images) * weights).sum().backward()
        assert images.grad is not None
        gradients.append(images.grad)
    assert torch.equal(*gradients)


def test_freed_tensors_are_of_pages_that_stay() -> None:
    keep_freed_memory()
    x = torch.zeros(1 << 20)

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            first = x + 1
            second = first + 1
            del first, second
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    faults()
    # Two tensors of 1024 pages, ten times: 20000 where they go back to the system.
    assert faults() < 3000
