"""Mutations of embedding images: the native steps of networks."""

from __future__ import annotations

from mutation import Mutation

EMBEDDING = "gsdd_runtime/networks/embedding.py"
NORM_RELU_POOL = "gsdd_runtime/networks/norm_relu_pool.py"
DEVICE_STEPS = "gsdd_runtime/networks/device_steps.py"
WINOGRAD = "gsdd_runtime/networks/winograd.py"

MUTATIONS = [
    Mutation(
        "takes a device's steps without a look at what they give",
        DEVICE_STEPS,
        '_known[index] = there and _agree(torch.device("cuda", index))',
        "_known[index] = there",
        ("test_cuda_layers.py::test_a_device_is_asked_once_and_not_while_a_graph_is_captured",),
    ),
    Mutation(
        "passes a layer by after a device's norm, ReLU and pool",
        EMBEDDING,
        "x = norm_relu_pool.norm_relu_pool_planes(x, cast(nn.GroupNorm, layers[at]))\n            at += 3",
        "x = norm_relu_pool.norm_relu_pool_planes(x, cast(nn.GroupNorm, layers[at]))\n            at += 4",
        ("test_cuda_layers.py::test_a_network_is_embedded_on_a_device_as_by_its_own_layers",),
    ),
    Mutation(
        "gives a device's steps numbers of half the width",
        EMBEDDING,
        "if even and x.dtype == torch.float32 and norm_relu_pool",
        "if even and norm_relu_pool",
        ("test_cuda_layers.py::test_under_autocast_a_network_keeps_its_own_layers",),
    ),
    Mutation(
        "gives a network that is trained no larger pieces than one that is not",
        EMBEDDING,
        "room *= TRAINED_PIECES",
        "room *= 1",
        ("test_embedding.py::test_a_network_that_is_trained_sees_larger_pieces",),
    ),
    Mutation(
        "takes the gradient of a norm's weights from one image",
        NORM_RELU_POOL,
        "g.sum(dim=0) if wanted",
        "g[0] if wanted",
        ("test_embedding.py::test_a_network_trains_by_the_faster_steps_as_by_its_own",),
        short=True,
    ),
    Mutation(
        "takes the gradient of a convolution by Winograd's products with the weights of the way there",
        WINOGRAD,
        "weight.flip(2, 3).transpose(0, 1) if backward else weight",
        "weight.transpose(0, 1) if backward else weight",
        ("test_embedding.py::test_winograd_s_gradient_is_the_convolution_s_whatever_the_channels",),
    ),
    Mutation(
        "keeps the first weights of a network for Winograd's products",
        WINOGRAD,
        "if before != now:",
        "if before is None:",
        ("test_embedding.py::test_winograd_gives_what_the_convolution_gives_and_follows_its_weights",),
    ),
    Mutation(
        "takes Winograd's products of a weight for those of one that took its place",
        WINOGRAD,
        "now = layer.weight.data_ptr(), layer.weight._version",
        "now = layer.weight._version",
        ("test_convolved_block.py::test_a_block_follows_its_weights_wherever_they_lie",),
    ),
    Mutation(
        "embeds images without a graph by layers, one after the other",
        EMBEDDING,
        "without_graph = not _has_graph(network, images)",
        "without_graph = False",
        ("test_convolved_block.py::test_a_network_without_a_graph_is_embedded_by_blocks",),
    ),
    Mutation(
        "gives images with a graph the steps that have none",
        EMBEDDING,
        "without_graph = not _has_graph(network, images)",
        "without_graph = True",
        ("test_embedding.py::test_features_and_gradients_are_those_of_the_network",),
    ),
    Mutation(
        "takes the statistics of a batch from each of its pieces",
        EMBEDDING,
        "joint = (_BatchNorm, Dropout, nn.Dropout)",
        "joint = (Dropout, nn.Dropout)",
        ("test_embedding.py::test_statistics_of_a_batch_are_those_of_the_whole",),
    ),
]
