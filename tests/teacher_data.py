"""Small teachers with batch norms for the tests, trained in moments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gsdd_runtime.datasets import RealData
from gsdd_runtime.evaluation.baselines import random_real_set
from gsdd_runtime.networks.model_file import save_model
from gsdd_runtime.training.trainer import train


def teacher_of(path: Path, data: RealData, network: str, **changes: Any) -> str:
    """The file of a network that has learned ten images a class of ``data``, and has seen their statistics.

    Args:
        changes: of the set that it learns from, such as its mean and std.
    """
    learned_from = random_real_set(data, per_class=10).changed(**changes)
    made = train(learned_from, network=network, epochs=30, learning_rate=0.05, augment=None, device="cpu")
    save_model(made, path, network=network, distilled_set=learned_from)
    return str(path)
