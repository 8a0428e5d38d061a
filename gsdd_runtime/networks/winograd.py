"""3 x 3 convolutions of many channels with a quarter of the products: Winograd's F(4 x 4, 3 x 3).

From Lavin and Gray, arXiv 1509.09308, section 4.3. A tile of 4 x 4 results comes of 36 products a channel instead of
144. The sums are longer: the result is off by 2e-6 of its size in float32, a plain convolution's by 4e-7.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Below so many channels the way there and back takes longer than the products that are saved.
LEAST_CHANNELS = 64
TILE, READ = 4, 6

_B = ((4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0), (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0),
      (0, 4, 0, -5, 0, 1))  # fmt: skip
_G = ((6, 0, 0), (-4, -4, -4), (-4, 4, -4), (1, 2, 4), (1, -2, 4), (0, 0, 24))
_A = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
# Of both sides of a tile at once.
_READ = torch.kron(torch.tensor(_B, dtype=torch.float32), torch.tensor(_B, dtype=torch.float32))
_WRITE = torch.kron(torch.tensor(_A, dtype=torch.float32), torch.tensor(_A, dtype=torch.float32))
_WEIGHT = torch.tensor(_G, dtype=torch.float64) / 24


def takes(layer: nn.Module, x: Tensor) -> bool:
    """Whether :func:`convolved` does what ``layer`` does to ``x``, and sooner."""
    return (
        isinstance(layer, nn.Conv2d)
        and (layer.kernel_size, layer.stride, layer.padding) == ((3, 3), (1, 1), (1, 1))
        and (layer.dilation, layer.groups, layer.padding_mode) == ((1, 1), 1, "zeros")
        and min(layer.in_channels, layer.out_channels) >= LEAST_CHANNELS
        and x.shape[2] % TILE == x.shape[3] % TILE == 0
    )


def convolved(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """``layer(x)`` without its bias; no gradient.

    Args:
        layer: one that :func:`takes`.
        x: float32 ``[B, C, H, W]`` on the CPU, channels last.

    Returns:
        float32 ``[B, O, H, W]``, channels last.
    """
    batch, channels, height, width = x.shape
    padded = functional.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    image, row, column, _ = padded.stride()
    down, across = height // TILE, width // TILE
    tiles = padded.as_strided(
        (READ, READ, batch, down, across, channels), (row, column, image, TILE * row, TILE * column, 1)
    )
    read = _READ @ tiles.reshape(READ * READ, -1)
    products = torch.bmm(read.view(READ * READ, -1, channels), _transformed(layer))
    written = _WRITE @ products.view(READ * READ, -1)
    placed = written.view(TILE, TILE, batch, down, across, -1).permute(2, 3, 0, 4, 1, 5)
    return placed.reshape(batch, height, width, -1).permute(0, 3, 1, 2)


def _transformed(layer: nn.Conv2d) -> Tensor:
    """The weights as the products take them, ``[36, C, O]``; kept with the layer until its weights change."""
    weight = layer.weight
    kept: tuple[int, Tensor] | None = layer.__dict__.get("winograd")
    if kept is None or kept[0] != weight._version:
        turned = torch.einsum("ui,vj,ocij->uvco", _WEIGHT, _WEIGHT, weight.detach().double())
        kept = (weight._version, turned.flatten(0, 1).float().contiguous())
        layer.__dict__["winograd"] = kept
    return kept[1]
