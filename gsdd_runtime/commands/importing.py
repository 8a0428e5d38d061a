"""``gsdd-rt import``: a set that another repository released, as one of ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.parsing import parse_numbers
from gsdd_runtime.commands.shared import MeanOption, OverwriteOption, StdOption
from gsdd_runtime.errors import InputError
from gsdd_runtime.wording import counted

if TYPE_CHECKING:
    from torch import Tensor

    from gsdd_runtime.sets.distilled_set import DistilledSet
    from gsdd_runtime.sets.preparation import Preparation


def command(
    path: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="A .pt, .npz or .npy of tensors, or a folder of class folders.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="SET", help="The file to write (.safetensors).")],
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="FILE", help="Of labels, where they are not with the images.")
    ] = None,
    mean: MeanOption = None,
    std: StdOption = None,
    normalized_by: Annotated[
        str | None, typer.Option(metavar="NAME", help="The published mean and std of this dataset, such as cifar10.")
    ] = None,
    whitened_by: Annotated[
        Path | None, typer.Option("--whitened-by", metavar="SET", help="The images are whitened as this set says.")
    ] = None,
    pixel_units: Annotated[
        bool, typer.Option("--pixel-units", help="Images are 0 to 1 as they are: mean and std are what networks take.")
    ] = False,
    formation: Annotated[
        int, typer.Option(min=1, help="Images along each side of a stored one: 2 for IDC, NCFM and DANCE.")
    ] = 1,
    class_names: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Names of the classes, in order; or a file, a name a line.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="That was learned with the images.")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write a pixel set of what another repository released; what its images were normalised by is undone."""
    from gsdd_runtime.sets.foreign import foreign_set, images_and_labels

    place = outputs.Output("--out", out, outputs.SET)
    with outputs.claim([place], reads=[path, labels, whitened_by], overwrite=overwrite):
        names = _names(class_names)
        if path.is_dir():
            if labels is not None or whitened_by is not None or formation != 1:
                raise InputError(f"{path} is a folder of pictures: leave --labels, --whitened-by and --formation out")
            made = _pictures(path, names, _statistics(mean, std, normalized_by), learning_rate)
        else:
            images, targets = images_and_labels(path, labels)
            statistics = _statistics(mean, std, normalized_by)
            given = _given(images, None if pixel_units else statistics, whitened_by)
            made = foreign_set(
                images, targets, given=given, formation=formation, class_names=names, learned_rate=learning_rate,
                source=ascii(path.name)[1:-1],
            )  # fmt: skip
            if pixel_units and statistics is not None:
                made = made.changed(mean=statistics[0], std=statistics[1])
        made.save(out)
    size = f"{made.height}x{made.width}"
    print(f"{out}: {counted(len(made), 'image')} of {counted(made.classes, 'class')}, {size}")
    if made.mean is None and made.zca is None:
        print("  no mean and std: networks take the images by those of the data that they are tested on")


def _names(text: str | None) -> list[str] | None:
    """Of classes: those with commas between them, or the lines of a file."""
    if text is None:
        return None
    file = Path(text)
    try:
        listed = file.read_text(encoding="utf-8").splitlines() if file.is_file() else text.split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--class-names: {text} cannot be read: give text, a name a line") from error
    return [name.strip() for name in listed if name.strip()]


def _statistics(mean: str | None, std: str | None, normalized_by: str | None) -> tuple[list[float], list[float]] | None:
    from gsdd_runtime.datasets.catalog import DATASETS, IMAGENET

    values = parse_numbers("--mean", mean), parse_numbers("--std", std)
    if normalized_by is None:
        if (values[0] is None) != (values[1] is None):
            raise InputError("--mean and --std come together: give both or neither")
        return None if values[0] is None or values[1] is None else (values[0], values[1])
    if values != (None, None):
        raise InputError("--normalized-by says mean and std: leave --mean and --std out")
    known = {**{name: one.published for name, one in DATASETS.items()}, "imagenet": IMAGENET}
    if normalized_by not in known:
        raise InputError(f"--normalized-by: no published mean and std of {normalized_by!r}, but of {', '.join(known)}")
    return list(known[normalized_by][0]), list(known[normalized_by][1])


def _given(
    images: Tensor, statistics: tuple[list[float], list[float]] | None, whitened_by: Path | None
) -> Preparation | None:
    """What the tensors were prepared by."""
    from gsdd_runtime.sets.checks import check_normalization
    from gsdd_runtime.sets.distilled_set import DistilledSet
    from gsdd_runtime.sets.foreign import channels_first
    from gsdd_runtime.sets.preparation import Preparation

    shape = tuple(channels_first(images).shape[1:])
    if whitened_by is not None:
        if statistics is not None:
            raise InputError("--whitened-by takes the place of mean and std: leave those out")
        given = DistilledSet.load(whitened_by).preparation
        if given.zca is None or given.shape != shape:
            raise InputError(f"--whitened-by: {whitened_by} does not whiten images of {'x'.join(map(str, shape))}")
        return given
    if statistics is None:
        return None
    check_normalization("--mean, --std", *statistics, shape[0])
    return Preparation("the images", (shape[0], shape[1], shape[2]), tuple(statistics[0]), tuple(statistics[1]))


def _pictures(
    path: Path,
    names: list[str] | None,
    statistics: tuple[list[float], list[float]] | None,
    learning_rate: float | None,
) -> DistilledSet:
    """A set of a folder of pictures; mean and std are what networks take them by, not undone."""
    from gsdd_runtime.datasets import load_dataset
    from gsdd_runtime.sets.foreign import foreign_set

    data = load_dataset(f"imagefolder:{path}", test_part=0)
    made = foreign_set(
        data.train_images, data.train_labels, class_names=names or data.class_names, learned_rate=learning_rate,
        source=ascii(path.name)[1:-1],
    )  # fmt: skip
    return made if statistics is None else made.changed(mean=statistics[0], std=statistics[1])
