"""What there is to say of experts, for people and for ``gsdd-rt info --json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gsdd_runtime.experts.folder import ExpertFolder
from gsdd_runtime.experts.trajectory import About, Trajectory, Unfinished


def experts_description(folder: ExpertFolder) -> dict[str, Any]:
    """Facts of all experts of a folder by name, JSON values; ``accuracy`` is their mean at the end, 0 to 1."""
    first = folder.about[0]
    return {"experts": len(folder), "accuracy": folder.accuracy, "seed": first.seed, **_shared(first)}


def trajectory_description(path: Path) -> dict[str, Any]:
    """As :func:`experts_description`, of the file of one expert.

    Raises:
        InputError: it cannot be read, or is no such file.
    """
    return _of_one(Trajectory(path).about)


def unfinished_description(path: Path) -> dict[str, Any]:
    """As :func:`trajectory_description`, of one that is being trained.

    Raises:
        InputError: it cannot be read, or is no such file.
    """
    found = Unfinished.load(path, momentum=None)
    return {"epochs_done": len(found.rows) - 1, **_of_one(found.about)}


def _of_one(about: About) -> dict[str, Any]:
    accuracies = {str(epoch): share for epoch, share in about.accuracies}
    return {"number": about.number, "accuracies": accuracies, "seed": about.seed, **_shared(about)}


def _shared(about: About) -> dict[str, Any]:
    subject = about.subject
    return {
        "epochs": about.epochs,
        "network": subject.network,
        "parameters": subject.length,
        "channels": subject.channels,
        "height": subject.height,
        "width": subject.width,
        "classes": subject.classes,
        "class_names": list(subject.class_names),
        "dataset": subject.dataset,
        "fingerprint": subject.fingerprint,
        "mean": None if subject.mean is None else list(subject.mean),
        "std": None if subject.std is None else list(subject.std),
        "zca": subject.zca is not None,
        "protocol": dict(about.protocol),
        "versions": dict(about.versions),
    }
