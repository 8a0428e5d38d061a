"""Embedding many images with a network whose weights stay: in pieces that a cache holds, with a bounded graph."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from gsdd_runtime.networks import convolved_block, norm_relu_pool, planes, winograd
from gsdd_runtime.networks.device_steps import have_device_steps
from gsdd_runtime.networks.dropout import Dropout
from gsdd_runtime.networks.native_steps import have_native_steps
from gsdd_runtime.networks.network import Network

# Bytes of the largest map of a piece, for each thread of the CPU: what its cache keeps from one layer to the next.
CACHED_BYTES = 2 * 2**20
# The same on other devices: 1024 images of 32 x 32 with 128 filters.
DEVICE_BYTES = 512 * 2**20
# So many times as much on the CPU where weights are trained: each piece adds a gradient of all of them.
TRAINED_PIECES = 4
# Bytes of the largest maps of all images up to which a graph keeps what it needs; it keeps about three times as much.
GRAPH_BYTES = 512 * 2**20


def embedded(network: Network, images: Tensor) -> Tensor:
    """``network.embed(images)``, piece by piece where what it makes of an image depends on no other.

    Where the images ask for a gradient and are many, a piece is embedded anew for its gradient, and its graph freed
    before the next one's.

    Args:
        network: whose weights are left alone.
        images: as it takes them, float32 ``[B, C, H, W]``.

    Returns:
        ``[B, F]``, differentiable in the images.
    """
    if not _apart(network):
        return network.embed(images)
    again = torch.is_grad_enabled() and images.requires_grad
    again = again and 4 * _largest_map(network, images) * len(images) > GRAPH_BYTES
    features = []
    for piece in _pieces(network, images):
        if again:
            features.append(checkpoint(_embed, network, piece, use_reentrant=False, preserve_rng_state=False))
        else:
            features.append(_embed(network, piece))
    return features[0] if len(features) == 1 else torch.cat(features)


def classified(network: nn.Module, images: Tensor) -> Tensor:
    """``network(images)``, with its gradients, by faster steps of the same arithmetic where there are some.

    Args:
        network: any; a :class:`Network` with a convolution, an instance norm, a ReLU and a pool in a row has such
            steps, on the CPU and on CUDA devices.
        images: as it takes them, float32 ``[B, C, H, W]``.

    Returns:
        Logits ``[B, classes]``, differentiable once in the images and the weights.
    """
    if not isinstance(network, Network) or type(network).forward is not Network.forward:
        result: Tensor = network(images)
        return result
    pieces = _pieces(network, images) if _apart(network) else [images]
    return network.classifier(torch.cat([_embed(network, piece) for piece in pieces]))


def _embed(network: Network, images: Tensor) -> Tensor:
    """``network.embed(images)``, by faster steps of the same arithmetic where there are some."""
    if images.device.type == "cuda":
        return _embed_on_device(network, images)
    layers = _layers(network, images)
    if not any(norm_relu_pool.fits(layers[at : at + 3]) for at in range(len(layers))):
        return network.embed(images)
    without_graph = not _has_graph(network, images)
    x, at = images, 0
    while at < len(layers):
        if without_graph and convolved_block.takes(layers[at : at + 4], x):
            x = convolved_block.convolved_block(layers[at : at + 4], x)
            at += 4
            continue
        layer, after = layers[at], layers[at + 1 : at + 4]
        # An instance norm takes away the bias that comes before it.
        before_norm = norm_relu_pool.fits(after)
        if norm_relu_pool.fits(layers[at : at + 3]) and x.shape[2] % 2 == x.shape[3] % 2 == 0:
            x = norm_relu_pool.norm_relu_pool(x, cast(nn.GroupNorm, layer))
            at += 3
            continue
        if before_norm and planes.takes(layer, x):
            x = planes.convolved(layer, x)
        elif before_norm and winograd.takes(layer, x):
            x = winograd.convolved(cast(nn.Conv2d, layer), x)
        else:
            x = layer(_channels_last(x) if x.dim() == 4 else x)
        at += 1
    return x.flatten(1)


def _embed_on_device(network: Network, images: Tensor) -> Tensor:
    """The same on a CUDA device, which has one such step."""
    own, features = type(network).embed is Network.embed, network.features
    if not (own and isinstance(features, nn.Sequential) and have_device_steps(images.device)):
        return network.embed(images)
    layers, x, at = list(features), images, 0
    while at < len(layers):
        even = x.dim() == 4 and x.shape[2] % 2 == x.shape[3] % 2 == 0
        # Under autocast a convolution makes narrower numbers.
        if even and x.dtype == torch.float32 and norm_relu_pool.fits(layers[at : at + 3]):
            x = norm_relu_pool.norm_relu_pool_planes(x, cast(nn.GroupNorm, layers[at]))
            at += 3
        else:
            x = layers[at](x)
            at += 1
    return x.flatten(1)


def _layers(network: Network, images: Tensor) -> list[nn.Module]:
    """The layers that embed, where native steps may stand for some of them; else none."""
    on_cpu = images.device.type == "cpu" and images.dtype == torch.float32
    own, features = type(network).embed is Network.embed, network.features
    return list(features) if on_cpu and own and isinstance(features, nn.Sequential) and have_native_steps() else []


def _has_graph(network: Network, images: Tensor) -> bool:
    return _is_trained(network) or (torch.is_grad_enabled() and images.requires_grad)


def _is_trained(network: Network) -> bool:
    return torch.is_grad_enabled() and any(weight.requires_grad for weight in network.parameters())


def _pieces(network: Network, images: Tensor) -> tuple[Tensor, ...]:
    room = CACHED_BYTES * torch.get_num_threads() if images.device.type == "cpu" else DEVICE_BYTES
    if images.device.type == "cpu" and _is_trained(network):
        room *= TRAINED_PIECES
    elif not _has_graph(network, images) and convolved_block.fits(_layers(network, images)[:4]):
        room *= 4  # of a map that is pooled at once only a quarter is kept
    return images.split(max(1, room // (4 * _largest_map(network, images))))


def _channels_last(images: Tensor) -> Tensor:
    """Of one channel, too, whose strides say so: PyTorch takes its usual ones for those of no order."""
    _, channels, height, width = images.shape
    if channels > 1:
        return images.contiguous(memory_format=torch.channels_last)
    return images.contiguous().as_strided(images.shape, (height * width, 1, width, 1))


def _apart(network: Network) -> bool:
    """Whether each image is embedded by itself: no statistics of a batch, no masks that go on from call to call."""
    joint = (_BatchNorm, Dropout, nn.Dropout)
    return not any(isinstance(layer, joint) and layer.training for layer in network.modules())


def _largest_map(network: Network, images: Tensor) -> int:
    """Numbers in the largest map that a convolution makes of one image; kept with the network."""
    known: dict[torch.Size, int] = network.__dict__.setdefault("largest_maps", {})
    if images.shape[1:] not in known:
        sizes = [images.shape[1:].numel()]
        watches = [
            layer.register_forward_hook(lambda _, __, result: sizes.append(result.numel()))
            for layer in network.modules()
            if isinstance(layer, nn.Conv2d)
        ]
        with torch.no_grad():
            network.embed(images[:1])
        for watch in watches:
            watch.remove()
        known[images.shape[1:]] = max(sizes)
    return known[images.shape[1:]]
