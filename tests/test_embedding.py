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
from gsdd_runtime.networks.embedding import classified, embedded
from gsdd_runtime.networks.norm_relu_pool import norm_relu_pool


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
    layer = nn.Conv2d(64, 64, 3, padding=1).requires_grad_(False)
    assert winograd.takes(layer, images_of(1, 64, (8, 8)))
    assert not winograd.takes(layer, images_of(1, 64, (8, 10)))
    other = nn.Conv2d(64, 64, 3, **({"padding": 1} | options)).requires_grad_(False)
    assert not winograd.takes(other, images_of(1, 64, (8, 8)))
    assert not winograd.takes(nn.Conv2d(64, 64, 3, padding=1), images_of(1, 64, (8, 8)))
    narrow = nn.Conv2d(winograd.LEAST_CHANNELS - 1, 64, 3, padding=1).requires_grad_(False)
    assert not winograd.takes(narrow, images_of(1, winograd.LEAST_CHANNELS - 1, (8, 8)))


@pytest.mark.parametrize("channels", [(32, 33), (48, 72), (65, 40)])
def test_winograd_s_gradient_is_the_convolution_s_whatever_the_channels(channels: tuple[int, int]) -> None:
    layer = nn.Conv2d(*channels, 3, padding=1, bias=False).requires_grad_(False)
    x = images_of(3, channels[0], (8, 12)).requires_grad_()
    plain = nn.functional.conv2d(x.double(), layer.weight.double(), padding=1)
    toward = images_of(3, channels[1], (8, 12)).double()
    expected = torch.autograd.grad(plain, x, toward)[0]
    result = winograd.convolved(layer, x)
    # Measured: 2e-6.
    assert (result - plain).norm() < 1e-5 * plain.norm()
    gradient = torch.autograd.grad(result, x, toward.float())[0]
    assert (gradient - expected).norm() < 1e-5 * expected.norm()


def test_a_gradient_of_changed_weights_is_refused() -> None:
    layer = nn.Conv2d(32, 32, 3, padding=1).requires_grad_(False)
    result = winograd.convolved(layer, images_of(1, 32, (4, 4)).requires_grad_())
    layer.weight.mul_(2)
    with pytest.raises(RuntimeError, match="have changed"):
        result.sum().backward()


@pytest.mark.parametrize("channels", [1, 5, 16, 40, 67, 128])
@pytest.mark.parametrize("size", [(2, 2), (6, 4), (16, 14)])
def test_norm_relu_and_pool_in_one_are_the_three(channels: int, size: tuple[int, int]) -> None:
    norm = nn.GroupNorm(channels, channels).requires_grad_(False)
    generator = torch.Generator().manual_seed(channels)
    norm.weight.copy_(torch.randn(channels, generator=generator))
    norm.bias.copy_(torch.randn(channels, generator=generator))
    norm.weight[0] = 0
    x = (images_of(3, channels, size) * 3 + 20).requires_grad_()
    double = nn.GroupNorm(channels, channels).double().requires_grad_(False)
    double.load_state_dict(norm.state_dict())
    toward = images_of(3, channels, (size[0] // 2, size[1] // 2))
    double.requires_grad_(True)
    norm.requires_grad_(True)
    plain = nn.functional.avg_pool2d(double(x.double()).relu(), 2)
    expected = torch.autograd.grad(plain, (x, double.weight, double.bias), toward.double())
    result = norm_relu_pool(x, norm)
    gradients = torch.autograd.grad(result, (x, norm.weight, norm.bias), toward)
    # Measured: 2e-6 and 4e-6, of maps whose mean is 7 deviations away from 0.
    assert (result - plain).abs().max() < 1e-5 * plain.abs().max()
    for gradient, right in zip(gradients, expected, strict=True):
        assert (gradient - right).abs().max() < 2e-5 * right.abs().max().clamp_min(1)


@pytest.mark.parametrize(
    ("name", "size"),
    [("convnet3-w32", (16, 16)), ("convnet3-w8", (28, 28)), ("convnet2-w8-batch", (16, 16)), ("lenet", (28, 28))],
)
@pytest.mark.parametrize("cached_bytes", [embedding.CACHED_BYTES, 1], ids=["whole", "one by one"])
def test_a_network_trains_by_the_faster_steps_as_by_its_own(
    name: str, size: tuple[int, int], cached_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "CACHED_BYTES", cached_bytes)
    network = networks.build(name, 3, 4, size, seed=1)
    images = images_of(6, 3, size)
    twin = copy.deepcopy(network).double()
    toward = images_of(1, 1, (6, 4)).view(6, 4)
    logits, expected = embedding.classified(network, images), twin(images.double())
    logits.backward(toward)
    expected.backward(toward.double())
    assert (logits - expected).norm() < 1e-5 * expected.norm()
    for ours, theirs in zip(network.parameters(), twin.parameters(), strict=True):
        # The gradient of a bias before an instance norm is 0, but for rounding. Measured: 3e-6.
        assert (ours.grad - theirs.grad).norm() < 1e-5 * theirs.grad.norm().clamp_min(1)


def test_a_module_that_is_none_of_ours_is_called_itself() -> None:
    own = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 2))
    images = images_of(2, 3, (4, 4))
    assert torch.equal(embedding.classified(own, images), own(images))

    class Doubled(Network):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    doubled = Doubled(network_of("convnet2-w8").features, 8 * 4 * 4, 4)
    assert torch.equal(embedding.classified(doubled, images_of(2)), doubled(images_of(2)))


def test_several_threads_embed_as_one_does() -> None:
    images = images_of(40)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            x = images.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1).contiguous()
            results.append(torch.ops.gsdd.norm_relu_pool(x, torch.ones(3), torch.zeros(3), 1e-5)[0])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


@pytest.mark.parametrize(
    ("x", "weight", "words"),
    [
        (torch.zeros(1, 2, 2), torch.zeros(2), "must be a contiguous float32"),
        (torch.zeros(1, 2, 2, 4).double(), torch.zeros(4), "must be a contiguous float32"),
        (torch.zeros(1, 4, 2, 2).permute(0, 2, 3, 1), torch.zeros(4), "must be a contiguous float32"),
        (torch.zeros(1, 3, 2, 4), torch.zeros(4), "multiples of 2, got 3 x 2"),
        (torch.zeros(1, 2, 2, 4), torch.zeros(5), "weight must be 4 contiguous"),
    ],
)
def test_native_steps_refuse_what_they_cannot_walk(x: torch.Tensor, weight: torch.Tensor, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        torch.ops.gsdd.norm_relu_pool(x, weight, weight, 1e-5)


def test_native_steps_take_no_images_at_all() -> None:
    pooled, mean, _ = torch.ops.gsdd.norm_relu_pool(torch.zeros(0, 4, 4, 8), torch.ones(8), torch.zeros(8), 1e-5)
    assert pooled.shape == (0, 2, 2, 8)
    assert mean.shape == (0, 8)
    assert torch.ops.gsdd.winograd_read(torch.zeros(0, 4, 4, 8)).shape == (36, 0, 8)
    assert torch.ops.gsdd.winograd_write(torch.zeros(36, 0, 8), 0, 4, 4).shape == (0, 4, 4, 8)


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


def test_a_network_that_is_trained_sees_larger_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = network_of("convnet1-w8").requires_grad_(), images_of(9)
    sizes: list[int] = []
    honest = embedding._embed
    monkeypatch.setattr(embedding, "_embed", lambda net, part: sizes.append(len(part)) or honest(net, part))
    monkeypatch.setattr(embedding, "CACHED_BYTES", 4 * 8 * 16 * 16 // torch.get_num_threads() + 1)
    classified(network, images)
    assert sizes == [4, 4, 1]
    sizes.clear()
    embedded(network.requires_grad_(False), images.requires_grad_())
    assert sizes == [1] * 9


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


def test_gray_images_are_walked_channels_last_without_a_copy() -> None:
    gray = images_of(3, 1)
    walked = embedding._channels_last(gray)
    assert torch.equal(walked, gray)
    assert walked.data_ptr() == gray.data_ptr()
    layer = nn.Conv2d(1, 8, 3, padding=1)
    assert layer(walked).permute(0, 2, 3, 1).is_contiguous()
    # Such as it would be taken for otherwise.
    assert not layer(gray).permute(0, 2, 3, 1).is_contiguous()
