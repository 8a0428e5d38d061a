"""The option of a method that needs a trained network with batch norms, and the teacher that it names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from gsdd_runtime.distillation.declared import option
from gsdd_runtime.distillation.problem import Setting
from gsdd_runtime.distillation.starts.start import content_digest
from gsdd_runtime.errors import InputError
from gsdd_runtime.experts.teaching import load_teacher, teacher_path
from gsdd_runtime.networks.outside import without_file
from gsdd_runtime.training.teacher import Teacher, check_classes


@dataclass(frozen=True)
class TeacherOption:
    """For a method's options to inherit from.

    Attributes:
        teacher: the file. It is not recorded: what it holds decides.
        teacher_fingerprint: of what it holds; filled in by :func:`with_teacher`.
    """

    teacher: str | None = option(
        None, "The trained network that is matched, of gsdd-rt train; it has batch norms.", shown="none", place=True
    )  # fmt: skip
    teacher_fingerprint: str | None = None


def opened_teacher(options: Any, setting: Setting, method: str) -> Teacher:
    """The teacher of a run, which takes images as the run's data prepares them.

    Raises:
        InputError: none is named or there; it is another network than the run's, has no batch norms, or is of other
            classes or images.
    """
    if options.teacher is None:
        raise InputError(
            f"method {method} needs a trained network with batch norms: make one with `gsdd-rt train SET --network "
            "NAME-batch`, then give --teacher MODEL"
        )
    data = setting.data
    teacher = load_teacher(Path(options.teacher), data.preparation)
    if not norms_of(teacher):
        raise InputError(
            f"method {method} matches the running statistics of batch norms, and {options.teacher} has none: train "
            "a network with them, such as convnet3-batch"
        )
    if teacher.network != without_file(setting.network):
        raise InputError(
            f"the teacher {teacher.name} is a {teacher.network}, and the run's network {setting.network}: give "
            f"--network {teacher.network}"
        )
    check_classes(teacher, data.classes, data.class_names)
    return teacher.for_training(data.preparation, (data.height, data.width))


def norms_of(teacher: Teacher) -> list[nn.BatchNorm2d]:
    """The batch norms of its network that keep statistics, in their order."""
    return [
        layer for layer in teacher.members[0].modules()
        if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None
    ]  # fmt: skip


def with_teacher(options: Any) -> Any:
    """``options`` with what the teacher's file holds: a run goes on with the same one alone."""
    return replace(options, teacher_fingerprint=content_digest(teacher_path(Path(options.teacher))))
