"""The vision transformers of the field's cross-architecture tables (GLaD, Cazenavette et al., arXiv 2305.01649)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gsdd_runtime.errors import InputError
from gsdd_runtime.networks.dropout import Dropout
from gsdd_runtime.networks.network import MAX_LINEAR_WEIGHTS, Network, Size

WIDTH = 512
HEADS = 8
DROPOUT = 0.1


class _Attention(nn.Module):
    """Written out, since PyTorch's fused attention has no second derivative, which matching gradients asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5).softmax(dim=-1)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, tokens, WIDTH))


class _Block(nn.Module):
    def __init__(self, norms: bool) -> None:
        super().__init__()

        def before() -> nn.Module:
            return nn.LayerNorm(WIDTH) if norms else nn.Identity()

        self.attention = nn.Sequential(before(), _Attention(), Dropout(DROPOUT))
        self.mlp = nn.Sequential(
            before(), nn.Linear(WIDTH, WIDTH), nn.GELU(), Dropout(DROPOUT), nn.Linear(WIDTH, WIDTH), Dropout(DROPOUT)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x)
        return x + self.mlp(x)


class _Tokens(nn.Module):
    """Square patches as tokens behind a class token, whose last state is what is given."""

    def __init__(self, channels: int, size: Size, patch: int, depth: int, norms: bool) -> None:
        super().__init__()
        count = (size[0] // patch) * (size[1] // patch)
        self.positions = nn.Parameter(torch.randn(1, count + 1, WIDTH))
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.patch = patch
        self.embedding = nn.Linear(channels * patch * patch, WIDTH)
        self.dropout = Dropout(DROPOUT)
        self.blocks = nn.Sequential(*(_Block(norms) for _ in range(depth)))
        self.norm = nn.LayerNorm(WIDTH) if norms else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        batch, channels, height, width = images.shape
        rows, columns, side = height // self.patch, width // self.patch, self.patch
        patches = images.reshape(batch, channels, rows, side, columns, side).permute(0, 2, 4, 3, 5, 1)
        x = self.embedding(patches.reshape(batch, rows * columns, -1))
        x = torch.cat((self.token.expand(batch, -1, -1), x), dim=1) + self.positions
        return self.norm(self.blocks(self.dropout(x))[:, 0])


def vit(channels: int, classes: int, size: Size) -> Network:
    """Patches of 16, 10 blocks without layer norm."""
    return _vit("vit", channels, classes, size, 16, 10, norms=False)


def vit_cifar(channels: int, classes: int, size: Size) -> Network:
    """Patches of 4, 6 blocks with layer norm before each half and before the classifier."""
    return _vit("vit-cifar", channels, classes, size, 4, 6, norms=True)


def _vit(name: str, channels: int, classes: int, size: Size, patch: int, depth: int, *, norms: bool) -> Network:
    if size[0] % patch or size[1] % patch:
        other = "; vit-cifar takes multiples of 4" if patch == 16 and not (size[0] % 4 or size[1] % 4) else ""
        raise InputError(
            f"images of {size[0]}x{size[1]} do not divide into the {patch}x{patch} patches of {name}: "
            f"choose another --size, or another network{other}"
        )
    tokens = (size[0] // patch) * (size[1] // patch) + 1
    if tokens * WIDTH > MAX_LINEAR_WEIGHTS:
        raise InputError(f"images of {size[0]}x{size[1]} are too large for {name}: {tokens} patches")
    return Network(_Tokens(channels, size, patch, depth, norms), WIDTH, classes)
