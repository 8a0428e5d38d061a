"""Small experts for the tests, trained in moments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from easy_data import easy_data

from gsdd_runtime.datasets import RealData
from gsdd_runtime.experts import ExpertFolder, make_experts
from gsdd_runtime.experts.subject import Subject

NETWORK, SEED, EPOCHS = "convnet1-w4", 5, 3
DATA = easy_data()
SMALL: dict[str, Any] = {
    "network": NETWORK, "count": 2, "epochs": EPOCHS, "seed": SEED, "batch_size": 7, "device": "cpu",
}  # fmt: skip
FILES = ["trajectory-0000.safetensors", "trajectory-0001.safetensors"]
LENGTH = Subject.of(NETWORK, DATA).length


def made(folder: Path, data: RealData = DATA, **changes: Any) -> ExpertFolder:
    """Experts on easy data in ``folder``."""
    return make_experts(data, folder, **{**SMALL, **changes})


def contents(folder: Path) -> dict[str, bytes]:
    """What each file holds, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
