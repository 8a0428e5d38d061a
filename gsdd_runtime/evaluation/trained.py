"""How good is a trained network, read from its file: tested on real images as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from gsdd_runtime.datasets import RealData
from gsdd_runtime.datasets.real_data import check_real_data
from gsdd_runtime.devices import resolve_device
from gsdd_runtime.errors import check_type
from gsdd_runtime.evaluation.real_test import check_fit, data_facts
from gsdd_runtime.networks.model_file import TrainedModel, model_description
from gsdd_runtime.training.real_images import RealTest
from gsdd_runtime.versions import VERSION


@dataclass(frozen=True)
class ModelResult:
    """The test accuracy of one network.

    Attributes:
        accuracy: the share of the test images that it got right, from 0 to 1.
        device: it ran on.
        model, data, versions: which network, on which real data, by which programs.
    """

    accuracy: float
    device: str
    model: dict[str, Any]
    data: dict[str, Any]
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "accuracy": self.accuracy,
            "device": self.device,
            "model": self.model,
            "data": self.data,
            "versions": self.versions,
        }


def evaluate_model(model: TrainedModel, data: RealData, *, device: str = "auto") -> ModelResult:
    """Tests a trained network on the real test images, prepared as its file says.

    Args:
        model: read by :func:`gsdd_runtime.networks.model_file.load_model`; moved to the device.
        data: its test part, of the size that the network takes.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        InputError: a network and data that do not fit together, or an unknown device.
    """
    check_type("model", model, TrainedModel, "a TrainedModel", "read a file with gsdd.load_model(PATH)")
    check_real_data(data)
    where = resolve_device(device)
    check_fit(model, data, model.size, what="network")
    test = RealTest(model.preparation, data, where)
    return ModelResult(
        accuracy=test.accuracy(model.network.to(where)),
        device=str(where) if where.type == "cpu" else torch.cuda.get_device_name(where),
        model=model_description(model),
        data=data_facts(data),
        versions={"gsdd-rt": VERSION, "torch": torch.__version__},
    )
