"""Networks that are drawn anew for every step, into the same module."""

from __future__ import annotations

import torch

from gsdd_runtime import networks
from gsdd_runtime.networks import Network
from gsdd_runtime.networks.dropout import restart_dropout
from gsdd_runtime.seeds import derived_seed


class DrawnNetwork:
    """A network whose weights follow from the seed and a key.

    One module is kept, and its weights are replaced in place: memory and layout stay as they are.

    Args:
        name: as ``networks.build`` takes it.
        channels, classes, size: of the images; size is ``(height, width)``.
        seed: of the run.
        device: where the module is.
        trainable: whether its weights ask for gradients.
    """

    def __init__(
        self,
        name: str,
        channels: int,
        classes: int,
        size: tuple[int, int],
        *,
        seed: int,
        device: torch.device,
        trainable: bool = False,
    ) -> None:
        self._shape = (name, channels, classes, size)
        self._seed = seed
        self._device = device
        self._trainable = trainable
        self._module: Network | None = None

    @property
    def module(self) -> Network:
        """The module as it is; weights are those of the last draw, or of the first key."""
        return self.draw() if self._module is None else self._module

    def draw(self, *key: str | int) -> Network:
        """The module with the weights of ``key``, in training mode.

        Raises:
            InputError: a network that is not known, or that cannot take the images.
        """
        seed = derived_seed(self._seed, *key)
        fresh = networks.build(*self._shape, seed=seed)
        if self._module is None:
            # Channels last is a third faster on the CPU, and a fifth slower on an H100.
            if self._device.type == "cpu":
                fresh.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._module = fresh.to(self._device).requires_grad_(self._trainable)
        else:
            with torch.no_grad():
                for kept, drawn in zip(self._module.state_dict().values(), fresh.state_dict().values(), strict=True):
                    kept.copy_(drawn)
        # What dropout draws is no part of the weights.
        restart_dropout(self._module, seed)
        return self._module.train()
