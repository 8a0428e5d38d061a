"""Dropout whose masks follow from the network's seed, not from PyTorch's global generator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gsdd_runtime.seeds import derived_seed


class Dropout(nn.Module):
    """Sets a share of the values to 0 and scales the rest up, while training.

    The masks are those of a seed that is drawn where the network is built, and of the number of masks before:
    networks that train side by side do not mix their draws, and the seed of a run fixes them.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self._share = share
        # On the CPU also where a network is built without memory.
        self._seed = int(torch.randint(2**62, (), device="cpu"))
        self._masks = 0

    def restart(self, seed: int) -> None:
        """Begins the masks of ``seed`` anew."""
        self._seed = seed
        self._masks = 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        generator = torch.Generator(x.device).manual_seed(derived_seed(self._seed, "dropout", self._masks))
        self._masks += 1
        kept = torch.rand(x.shape, generator=generator, device=x.device) >= self._share
        return x * kept / (1 - self._share)

    def extra_repr(self) -> str:
        return f"{self._share}"


def restart_dropout(network: nn.Module, seed: int) -> None:
    """Begins the masks of all the dropout of ``network`` anew, from ``seed``: what trains in steps that have seeds of
    their own does so at each, and a run that is resumed draws what it would have drawn."""
    for index, layer in enumerate(module for module in network.modules() if isinstance(module, Dropout)):
        layer.restart(derived_seed(seed, "dropout", index))
