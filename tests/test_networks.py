"""The field's networks: their shapes, their initial weights, and what they refuse."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gsdd_runtime.errors import InputError
from gsdd_runtime.networks import build
from gsdd_runtime.networks.catalog import listed_names
from gsdd_runtime.networks.dropout import Dropout, restart_dropout

NAMES = ["convnet1-w8", "convnet3-w16", "convnet4-w8-batch", "convnet2-w8-layer-swish-maxpool",
         "convnet2-w4-group-leakyrelu-nopool", "convnet2-w8-nonorm-sigmoid", "mlp", "lenet", "alexnet",
         "alexnet-batch", "vgg11", "vgg11-batch", "vgg11-imagenet", "resnet18", "resnet18-batch", "resnetap10",
         "resnetap10-batch"]  # fmt: skip
PATCHED = ["vit", "vit-cifar"]


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("channels", "size"), [(1, (28, 28)), (3, (32, 32)), (3, (64, 40)), (2, (33, 47))])
def test_logits_are_the_classifier_of_the_embedding(name: str, channels: int, size: tuple[int, int]) -> None:
    network = build(name, channels, 7, size, seed=1)
    images = noise(2, channels, *size)
    embedding = network.embed(images)
    assert embedding.shape == (2, network.classifier.in_features)
    assert network(images).shape == (2, 7)
    assert torch.equal(network(images), network.classifier(embedding))


@pytest.mark.parametrize("side", [28, 32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_network_takes_the_sizes_that_it_can(channels: int, side: int) -> None:
    large = {"resnet18-imagenet", "resnet18-imagenet-batch"}
    cannot = {28: {"vit"} | large, 32: large, 64: set(), 128: set()}[side]
    if (channels, side) == (3, 28):
        cannot |= {"convnet5", "vgg11", "vgg11-batch", "vgg11-imagenet"}
    refused = set()
    for name in listed_names():
        try:
            with torch.device("meta"):
                network = build(name, channels, 5, (side, side), seed=0).eval()
                images = torch.empty(2, channels, side, side)
        except InputError:
            refused.add(name)
            continue
        # Shapes alone, without arithmetic.
        assert network.classifier(network.embed(images)).shape == (2, 5)
    assert refused == cannot


@pytest.mark.parametrize("name", PATCHED)
@pytest.mark.parametrize(("channels", "size"), [(1, (32, 48)), (3, (64, 32))])
def test_transformers_take_what_divides_into_patches(name: str, channels: int, size: tuple[int, int]) -> None:
    network = build(name, channels, 7, size, seed=1).eval()
    images = noise(2, channels, *size)
    assert torch.equal(network(images), network.classifier(network.embed(images)))


def test_what_does_not_divide_into_patches_is_refused() -> None:
    with pytest.raises(InputError, match=r"28x32 do not divide into the 16x16 patches of vit: .*vit-cifar"):
        build("vit", 3, 10, (28, 32), seed=0)
    with pytest.raises(InputError, match=r"33x32 do not divide into the 4x4 patches of vit-cifar: choose another"):
        build("vit-cifar", 3, 10, (33, 32), seed=0)
    with pytest.raises(InputError, match="too large for vit-cifar"):
        build("vit-cifar", 3, 10, (16384, 16384), seed=0)


def test_patches_are_seen_where_they_are() -> None:
    """A change to one patch moves one token: rows and columns are not mixed up where the image is no square."""
    tokens = build("vit", 2, 3, (32, 48), seed=0).features.double()
    seen: list[Tensor] = []
    tokens.embedding.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = torch.zeros(1, 2, 32, 48, dtype=torch.float64)
    images[0, :, 16:, 32:] = noise(2, 16, 16, dtype=torch.float64)
    tokens.eval()(images)
    # The last of 2 x 3 patches, its values by row, column and channel.
    assert bool((seen[0][0, :5] == 0).all())
    assert torch.equal(seen[0][0, 5], images[0, :, 16:, 32:].permute(1, 2, 0).flatten())


# Weights counted from the published definitions (with biases; two numbers a channel for each norm).
CONVNET3 = 3 * 128 * 2


@pytest.mark.parametrize(
    ("name", "channels", "size", "count"),
    [
        ("convnet3", 1, (28, 28), 1280 + 2 * 147584 + CONVNET3 + 2048 * 10 + 10),
        ("convnet3", 3, (32, 32), 3584 + 2 * 147584 + CONVNET3 + 2048 * 10 + 10),
        ("convnet3-w32", 1, (28, 28), 320 + 2 * 9248 + 3 * 32 * 2 + 512 * 10 + 10),
        ("mlp", 1, (28, 28), 784 * 128 + 128 + 128 * 128 + 128 + 128 * 10 + 10),
        ("lenet", 1, (28, 28), 156 + 2416 + 400 * 120 + 120 + 120 * 84 + 84 + 84 * 10 + 10),
        ("lenet", 3, (32, 32), 456 + 2416 + 400 * 120 + 120 + 120 * 84 + 84 + 84 * 10 + 10),
        ("alexnet", 3, (32, 32), 9728 + 614592 + 442624 + 442560 + 331968 + 3072 * 10 + 10),
        ("vgg11", 3, (32, 32), 9231114),
        ("resnet18", 3, (32, 32), 11173962),
        ("resnet18-imagenet-batch", 3, (64, 64), 11181642),
        ("convnet3-layer", 3, (32, 32), 320010 - CONVNET3 + 2 * 128 * (32**2 + 16**2 + 8**2)),
        ("convnet3-nonorm", 3, (32, 32), 320010 - CONVNET3),
    ],
)  # fmt: skip
def test_sizes_are_those_of_the_field(name: str, channels: int, size: tuple[int, int], count: int) -> None:
    assert parameters(build(name, channels, 10, size, seed=0)) == count


def plain_convnet(network: nn.Module, images: Tensor, padding: int) -> Tensor:
    """The ConvNet as the protocol words it, from the weights of ``network``."""
    x = images
    convolutions = [layer for layer in network.features if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in network.features if isinstance(layer, nn.GroupNorm)]
    for layer, norm in zip(convolutions, norms, strict=True):
        x = torch.conv2d(x, layer.weight, layer.bias, padding=padding)
        padding = 1
        mean = x.mean(dim=(2, 3), keepdim=True)
        variance = ((x - mean) ** 2).mean(dim=(2, 3), keepdim=True)
        x = (x - mean) / (variance + 1e-5).sqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]
        x = x.clamp(min=0)
        batch, channels, height, width = x.shape
        x = x[:, :, : height // 2 * 2, : width // 2 * 2]
        x = x.reshape(batch, channels, height // 2, 2, width // 2, 2).mean(dim=(3, 5))
    return x.flatten(1) @ network.classifier.weight.T + network.classifier.bias


@pytest.mark.parametrize(("channels", "size", "padding"), [(1, (28, 28), 3), (3, (32, 32), 1), (3, (25, 38), 1)])
def test_convnet_computes_what_the_protocol_says(channels: int, size: tuple[int, int], padding: int) -> None:
    network = build("convnet3-w8", channels, 10, size, seed=3).double()
    with torch.no_grad():
        for layer in network.features:
            if isinstance(layer, nn.GroupNorm):
                layer.weight.copy_(noise(8, dtype=torch.float64))
                layer.bias.copy_(noise(8, dtype=torch.float64))
    images = noise(3, channels, *size, dtype=torch.float64)
    # Worst difference measured: 4e-16.
    torch.testing.assert_close(network(images), plain_convnet(network, images, padding), rtol=0, atol=1e-13)


def test_one_channel_makes_28_into_32() -> None:
    network = build("convnet3", 1, 10, (28, 28), seed=0)
    assert network.features[0](noise(1, 1, 28, 28)).shape == (1, 128, 32, 32)
    assert network.embed(noise(1, 1, 28, 28)).shape == (1, 128 * 4 * 4)


def test_gradient_matching_can_differentiate_twice() -> None:
    network = build("convnet1-w2", 1, 2, (4, 4), seed=0).double()
    weight = network.features[0].weight
    other = {name: value.detach() for name, value in network.named_parameters() if name != "features.0.weight"}

    def logits(kernel: Tensor, images: Tensor) -> Tensor:
        return torch.func.functional_call(network, {**other, "features.0.weight": kernel}, (images,))

    inputs = (weight.detach().requires_grad_(), noise(2, 1, 4, 4, dtype=torch.float64).requires_grad_())
    assert torch.autograd.gradgradcheck(logits, inputs)


NARROW = ["convnet1-w2", "convnet2-w2-batch-swish", "convnet1-w4-layer", "convnet1-w4-group-nopool"]


@pytest.mark.parametrize("name", [*NARROW, "resnetap10", "vit-cifar"])
def test_every_family_runs_with_other_weights_and_has_second_derivatives(name: str) -> None:
    side = 16 if name == "resnetap10" else 4
    network = build(name, 1, 2, (side, side), seed=0).eval()
    others = build(name, 1, 2, (side, side), seed=1).named_parameters()
    weights = {key: value.detach().requires_grad_() for key, value in others}
    images = noise(2, 1, side, side).requires_grad_()
    logits = torch.func.functional_call(network, weights, (images,))
    assert not torch.allclose(logits, network(images))
    gradients = torch.autograd.grad(logits.square().sum(), list(weights.values()), create_graph=True)
    squares = torch.stack([gradient.square().sum() for gradient in gradients]).sum()
    (of_images,) = torch.autograd.grad(squares, images)
    assert bool(torch.isfinite(of_images).all())
    assert float(of_images.abs().sum()) > 0


@pytest.mark.parametrize("name", ["vit-cifar", "resnetap10", "convnet2-w4-batch", "convnet2-w4-layer"])
def test_the_seed_fixes_every_network(name: str) -> None:
    first, second = (build(name, 1, 2, (16, 16), seed=4).state_dict() for _ in range(2))
    other = build(name, 1, 2, (16, 16), seed=5).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    # Norms start at 1 and 0 whatever the seed.
    constant = [key for key, value in first.items() if bool((value == value.flatten()[0]).all())]
    assert len(constant) < len(first)
    assert not any(torch.equal(first[key], other[key]) for key in first if key not in constant)


def test_dropout_draws_from_the_network_s_seed_and_not_from_pytorch_s() -> None:
    images = noise(4, 1, 8, 8)

    def passes(count: int) -> list[Tensor]:
        network = build("vit-cifar", 1, 2, (8, 8), seed=3)
        return [network(images).detach() for _ in range(count)]

    before = torch.get_rng_state()
    first = passes(2)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    assert all(torch.equal(*pair) for pair in zip(first, passes(2), strict=True))
    assert not torch.equal(first[0], first[1])


def test_dropout_can_be_started_anew() -> None:
    images = noise(4, 1, 8, 8)
    network = build("vit-cifar", 1, 2, (8, 8), seed=3)
    assert torch.equal(network.eval()(images), network(images))
    network.train()
    restart_dropout(network, 11)
    first = network(images)
    network(images)
    restart_dropout(network, 11)
    assert torch.equal(network(images), first)
    restart_dropout(network, 12)
    assert not torch.equal(network(images), first)


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    layer = Dropout(0.1)
    ones = layer(torch.ones(40000))
    assert (ones == 0).float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert float(ones.max()) == pytest.approx(1 / 0.9)
    assert not torch.equal(ones, layer(torch.ones(40000)))


def test_the_seed_fixes_the_weights_and_nothing_else_changes() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = build("convnet3-w16", 1, 10, (28, 28), seed=4).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    second = build("convnet3-w16", 1, 10, (28, 28), seed=4).state_dict()
    other = build("convnet3-w16", 1, 10, (28, 28), seed=5).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["features.0.weight"], other["features.0.weight"])


def test_a_generator_gives_fresh_weights_each_time() -> None:
    def weights(generator: torch.Generator) -> list[Tensor]:
        return [build("convnet1-w4", 1, 2, (8, 8), generator).classifier.weight for _ in range(2)]

    first, second = weights(torch.Generator().manual_seed(1)), weights(torch.Generator().manual_seed(1))
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_initial_weights_are_pytorch_s_default() -> None:
    network = build("convnet3", 3, 10, (32, 32), seed=0)
    for layer, inputs in ((network.features[0], 27), (network.features[4], 1152), (network.classifier, 2048)):
        bound = 1 / math.sqrt(inputs)
        assert layer.weight.abs().max() <= bound
        # Uniform in +-bound; 3456 weights or more put the deviation within 3 % of bound / sqrt(3).
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)
    assert torch.equal(network.features[1].weight, torch.ones(128))
    assert torch.equal(network.features[1].bias, torch.zeros(128))


@pytest.mark.parametrize("name", ["resnetap10", "resnet18-imagenet"])
def test_initial_weights_are_he_s_where_they_are_published_so(name: str) -> None:
    for layer in build(name, 3, 10, (64, 64), seed=0).features.modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 50000:
            deviation = math.sqrt(2 / (layer.out_channels * layer.kernel_size[0] ** 2))
            assert layer.weight.std().item() == pytest.approx(deviation, rel=0.02)


@pytest.mark.parametrize(
    ("name", "channels", "least"),
    [
        ("convnet1", 1, 1), ("convnet3-w4", 1, 4), ("convnet3-w4", 3, 8), ("convnet6-w4", 3, 64),
        ("lenet", 1, 12), ("lenet", 3, 16), ("alexnet", 1, 4), ("alexnet", 3, 8), ("vgg11", 1, 28),
        ("vgg11", 3, 32), ("resnet18", 3, 9), ("mlp", 1, 1), ("convnet1-w4-nopool", 3, 2),
        ("vgg11-imagenet", 3, 32), ("resnet18-batch", 3, 9), ("resnet18-imagenet", 3, 33), ("resnetap10", 1, 16),
    ],
)  # fmt: skip
def test_smallest_images(name: str, channels: int, least: int) -> None:
    network = build(name, channels, 2, (least, least + 1), seed=0)
    logits = network(noise(1, channels, least, least + 1))
    assert bool(torch.isfinite(logits).all())
    if least > 1:
        with pytest.raises(InputError, match="too small"):
            build(name, channels, 2, (least + 1, least - 1), seed=0)


@pytest.mark.parametrize(
    "name",
    ["", "convnet", "convnet0", "convnet17", "convnet3-w0", "convnet3-w99999", "convnet3-w", "convnet3 ", "ConvNet3",
     "convnet3-batch-w8", "convnet3-instance", "convnet3-batch-group", "resnet18-group", "vit-batch"],
)  # fmt: skip
def test_unknown_names_list_the_known(name: str) -> None:
    with pytest.raises(
        InputError, match=r"unknown network .*convnet1 to convnet16.*mlp, lenet, alexnet, .*vgg11, .*gsdd-rt networks"
    ):
        build(name, 1, 10, (28, 28), seed=0)


@pytest.mark.parametrize(
    ("channels", "classes", "size"),
    [(0, 10, (28, 28)), (5, 10, (28, 28)), (1, 0, (28, 28)), (1, 10, (0, 28)), (1, 10, (28, 20000))],
)
def test_impossible_images_are_refused(channels: int, classes: int, size: tuple[int, int]) -> None:
    with pytest.raises(InputError):
        build("convnet3", channels, classes, size, seed=0)


@pytest.mark.parametrize(("size", "kernel"), [((64, 32), 3), ((128, 40), 3), ((64, 129), 7)])
def test_the_longer_side_chooses_the_stem(size: tuple[int, int], kernel: int) -> None:
    features = build("resnetap10", 3, 2, size, seed=0).features
    assert features[0].kernel_size == (kernel, kernel)
    pools = [layer.kernel_size for layer in features if isinstance(layer, nn.AvgPool2d)]
    assert pools == {64: [], 128: [2], 129: [4]}[max(size)]


def test_group_norm_needs_groups() -> None:
    with pytest.raises(InputError, match="multiple of 4"):
        build("convnet3-w6-group", 3, 10, (32, 32), seed=0)


def test_a_network_that_no_memory_holds_is_refused() -> None:
    with pytest.raises(InputError, match="too large"):
        build("mlp", 4, 10, (16384, 16384), seed=0)


def test_chance_must_be_given_once() -> None:
    with pytest.raises(InputError, match="a generator or a seed"):
        build("mlp", 1, 10, (28, 28))
    with pytest.raises(InputError, match="a generator or a seed"):
        build("mlp", 1, 10, (28, 28), torch.Generator(), seed=0)
