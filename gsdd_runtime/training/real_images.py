"""Real images as a network takes them: to train on, batch by batch, and to be tested on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gsdd_runtime.datasets import RealData
from gsdd_runtime.devices import send
from gsdd_runtime.networks.embedding import classified
from gsdd_runtime.sets.preparation import Preparation

_BATCH = 256
# Images of more bytes, or of more than a share of the device's memory, stay where they are, which may be mapped from a
# file, and go to the device batch by batch.
ON_DEVICE_BYTES = 1 << 32
ON_DEVICE_SHARE = 8


def near(images: Tensor, device: torch.device) -> Tensor:
    """Real images, uint8 ``[N, C, H, W]``, on ``device``; where they are unless they are few enough for that."""
    most = ON_DEVICE_BYTES
    if device.type == "cuda":
        most = min(most, torch.cuda.get_device_properties(device).total_memory // ON_DEVICE_SHARE)
    return images.to(device) if images.numel() <= most else images


class RealExamples:
    """The training images of real data, for :func:`gsdd_runtime.training.trainer.train_epoch`.

    Images stay bytes, on the device that trains unless there are too many, and are prepared when their batch comes.

    Args:
        data: its training part, prepared as ``data.preparation`` says.
        device: that trains.
    """

    def __init__(self, data: RealData, device: torch.device) -> None:
        self._preparation = data.preparation.to(device)
        self._images = near(data.train_images, device)
        self._labels = data.train_labels.to(device)

    def __len__(self) -> int:
        return len(self._labels)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images float32 ``[B, C, H, W]``, prepared, and labels int64 ``[B]``."""
        device = self._labels.device
        chosen = send(indices, device)
        images = self._images[chosen.to(self._images.device)]
        return self._preparation.apply(send(images, device).float() / 255), self._labels[chosen]


class RealTest:
    """The test images of real data, as a network takes them.

    Args:
        preparation: that makes the network's input.
        data: its test part.
        device: of the networks.
    """

    def __init__(self, preparation: Preparation, data: RealData, device: torch.device) -> None:
        self._preparation = preparation.to(device)
        self._images = data.test_images
        self._labels = data.test_labels
        self._classes = data.classes
        self._device = device

    def accuracy(self, network: nn.Module) -> float:
        """The share of the test images, from 0 to 1, that ``network`` gets right."""
        return self.accuracies(network)[0]

    @torch.no_grad()
    def accuracies(self, network: nn.Module) -> tuple[float, tuple[float, ...]]:
        """That share, and that of each class's test images; of a class that has none, 0."""
        network.eval()
        right = torch.zeros(self._classes, dtype=torch.int64, device=self._device)
        pairs = zip(self._images.split(_BATCH), self._labels.split(_BATCH), strict=True)
        for images, labels in pairs:
            prepared = self._preparation.apply(send(images, self._device).float() / 255)
            expected = send(labels, self._device)
            right += expected[classified(network, prepared).argmax(dim=1) == expected].bincount(minlength=self._classes)
        counts = self._labels.bincount(minlength=self._classes).clamp_min(1)
        return int(right.sum()) / len(self._labels), tuple((right.cpu().double() / counts).tolist())
