"""Experts that another program made: a ``.pt`` buffer of trajectories, read without unpickling arbitrary objects.

The buffers of trajectory matching's published code (``replay_buffer_0.pt``) hold a list of trajectories, each a list
of epochs, each the list of a network's parameters in the order of its modules.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gsdd_runtime import networks
from gsdd_runtime.atomic import check_room, sole_writer
from gsdd_runtime.datasets import RealData
from gsdd_runtime.datasets.real_data import check_real_data
from gsdd_runtime.devices import resolve_device
from gsdd_runtime.errors import InputError
from gsdd_runtime.experts.folder import ExpertFolder
from gsdd_runtime.experts.making import prepare_folder, versions_of
from gsdd_runtime.experts.subject import Subject
from gsdd_runtime.experts.trajectory import About, save_trajectory, trajectory_path
from gsdd_runtime.networks.outside import without_file
from gsdd_runtime.progress import Progress, Reporter, say_once, silent
from gsdd_runtime.sets.foreign_tensors import read_tensors
from gsdd_runtime.training.real_images import RealTest
from gsdd_runtime.wording import counted, percent

# Of chance, below which an imported expert is said not to fit the data.
_SUSPICIOUS = 1.5


def import_experts(
    files: Sequence[str | os.PathLike[str]],
    data: RealData,
    out: str | os.PathLike[str],
    *,
    network: str | None = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: Reporter = silent,
) -> ExpertFolder:
    """Writes the trajectories of foreign buffers as experts of ours.

    A buffer does not say what it was trained on: the shapes of its parameters have to be those of ``network`` for
    ``data``, and the last weights of each trajectory are tested on the test images of ``data``; where they get
    hardly more right than chance, stderr says that other data or another preparation (ZCA) is likely.

    Args:
        files: ``.pt`` buffers; their trajectories are numbered in order.
        data: that the experts were trained on.
        out: the folder, new or empty.
        network: that the experts are of; that of ``networks.default_network`` if None.
        device: that tests them.
        overwrite: remove the experts that are in the folder first.
        progress: told after every trajectory; the phase is ``"import"``.

    Raises:
        InputError: a file cannot be read, holds something else than lists of tensors, or parameters of another
            network; the folder cannot be used.
    """
    check_real_data(data)
    where = resolve_device(device)
    subject = Subject.of(without_file(networks.chosen(network, (data.height, data.width))), data)
    folder = Path(out)
    test = RealTest(data.preparation, data, where) if len(data.test_labels) else None
    prepared, number = False, 0
    for name in files:
        path = Path(name)
        trajectories = read_buffer(path, subject)
        for index, rows in enumerate(rows_of(path, trajectories, subject)):
            about = About(
                subject, {"imported": _printable(path.name), "epochs": len(rows) - 1}, None, number, (),
                versions_of(where),
            )  # fmt: skip
            if not prepared:
                # Not before: a file that cannot be used leaves no folder behind.
                prepare_folder(folder, about, resume=False, overwrite=overwrite)
                prepared = True
            accuracy = None if test is None else test.accuracy(subject.build(rows[-1]).to(where))
            if accuracy is not None:
                about = replace(about, accuracies=((about.epochs, accuracy),))
                _warn_of_chance(path, accuracy, data)
            target = trajectory_path(folder, number)
            check_room(target, rows.numel() * 4)
            with sole_writer(target):
                save_trajectory(target, about, rows)
            number += 1
            progress(Progress("import", index + 1, len(trajectories)))
    return ExpertFolder(folder)


def read_buffer(path: Path, subject: Subject) -> list[list[list[Tensor]]]:
    """The trajectories in a foreign buffer, whose tensors are those of ``subject``'s network.

    Raises:
        InputError: as :func:`import_experts`, naming the trajectory, the epoch and the parameter.
    """
    content = read_tensors(
        path, holds="lists of tensors", kind="a .pt buffer of trajectories",
        give="give a .pt buffer of trajectories, saved with torch.save",
        larger="import its trajectories on a larger machine",
    )  # fmt: skip
    if not isinstance(content, list) or not content:
        raise InputError(f"{path} holds {type(content).__name__}, not a list of trajectories: give another file")
    for index, trajectory in enumerate(content):
        if not isinstance(trajectory, list) or len(trajectory) < 2:
            raise InputError(f"{path}: trajectory {index} must be a list of at least two epochs: give another file")
        for epoch, parameters in enumerate(trajectory):
            _check_parameters(f"{path}: trajectory {index}, epoch {epoch}", parameters, subject)
    return content


def rows_of(path: Path, trajectories: list[list[list[Tensor]]], subject: Subject) -> Iterator[Tensor]:
    """Each trajectory as float32 ``[epochs + 1, parameters]``.

    Raises:
        InputError: a weight is not finite.
    """
    for index, trajectory in enumerate(trajectories):
        rows = torch.empty(len(trajectory), subject.length)
        for row, parameters in zip(rows, trajectory, strict=True):
            torch.cat([part.detach().reshape(-1).float() for part in parameters], out=row)
        if not bool(torch.isfinite(rows).all()):
            raise InputError(f"{path}: trajectory {index} holds a NaN or an infinity: leave it out of the buffer")
        yield rows


def _check_parameters(where: str, parameters: Any, subject: Subject) -> None:
    if not isinstance(parameters, (list, tuple)) or not all(
        isinstance(part, Tensor) and part.is_floating_point() for part in parameters
    ):
        raise InputError(f"{where}: must be a list of the network's parameters, tensors of floats: give another file")
    expected = [shape for _, shape in subject.parameters]
    if len(parameters) != len(expected):
        raise InputError(
            f"{where} has {counted(len(parameters), 'parameter')}, {subject.network} has {len(expected)}: "
            "name the network that it is of (--network)"
        )
    for (name, shape), part in zip(subject.parameters, parameters, strict=True):
        if tuple(part.shape) != shape:
            raise InputError(
                f"{where}: parameter {name} is {list(part.shape)}, {subject.network} for "
                f"{counted(subject.channels, 'channel')} of {subject.height}x{subject.width} has {list(shape)}: "
                "name its network, dataset and size"
            )


def _warn_of_chance(path: Path, accuracy: float, data: RealData) -> None:
    if accuracy < _SUSPICIOUS / data.classes:
        share = percent(accuracy, 0.0, 1, digits=1)
        say_once(
            f"an expert of {path} gets {share} of the test images of {data.name} right, hardly more than chance: "
            "it was likely trained on other data, or on images prepared otherwise (ZCA)"
        )


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)
