"""Teachers by the path that names them: a trained network's file, or a folder of experts."""

from __future__ import annotations

from pathlib import Path

from gsdd_runtime.errors import InputError
from gsdd_runtime.experts.folder import ExpertFolder
from gsdd_runtime.networks.model_file import load_model
from gsdd_runtime.networks.outside import own_code
from gsdd_runtime.sets.container import is_of_kind
from gsdd_runtime.sets.preparation import Preparation
from gsdd_runtime.training.teacher import Teacher
from gsdd_runtime.training.view_labels import KIND as VIEW_LABELS
from gsdd_runtime.training.view_labels import ViewLabels, load_view_labels


def teacher_path(teacher: Path) -> Path:
    """The file or folder of a teacher, as :func:`load_teacher` takes it."""
    return Path(own_code(str(teacher))[0])


def load_labels(path: Path, preparation: Preparation | None = None) -> Teacher | ViewLabels:
    """What a training takes its labels from: as :func:`load_teacher`, or the file of what a teacher said of views."""
    return load_view_labels(path) if is_of_kind(path, VIEW_LABELS) else load_teacher(path, preparation)


def load_teacher(path: Path, preparation: Preparation | None = None) -> Teacher:
    """A trained network, or the experts of a folder at their last epoch, whose answers are averaged.

    Args:
        path: of the file or folder; ``module:Class@FILE`` for a file with the weights of the user's own class, which
            is run.
        preparation: of the set that is to be labelled: experts that take whitened images keep no matrix, and are
            taken where they were whitened as the set's are.

    Raises:
        InputError: it cannot be read, or is neither; experts that whiten as the set does not.
    """
    file, own_class = own_code(str(path))
    path = Path(file)
    name = path.name if path.name.isprintable() else ascii(path.name)
    if not path.is_dir():
        model = load_model(path, network=own_class, naming=f"--teacher {{}}@{path}")
        if own_class not in (None, model.name):
            raise InputError(f"{path} holds weights of {model.name}, not of {own_class}: name that")
        return Teacher(name, [model.network], model.preparation, model.classes, model.class_names, network=model.name)
    folder = ExpertFolder(path)
    subject = folder.subject
    shape = (subject.channels, *subject.size)
    own = Preparation(f"the experts in {path}", shape, subject.mean, subject.std)
    if subject.zca is not None:
        if preparation is None or preparation.zca is None:
            raise InputError(f"the experts in {path} take whitened images, and the set does not whiten: take others")
        folder.check_preparation(preparation)
        own = preparation
    return Teacher(
        name, [folder.network(number) for number in range(len(folder))], own, subject.classes, subject.class_names,
        network=subject.network,
    )  # fmt: skip
