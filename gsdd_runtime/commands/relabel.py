"""``gsdd-rt relabel``: a set with a teacher's soft labels, or the labels of every augmented view beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gsdd_runtime import ranks
from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.progress_lines import progress_bar
from gsdd_runtime.commands.shared import DeviceOption, OverwriteOption, SetArgument
from gsdd_runtime.errors import InputError
from gsdd_runtime.wording import bytes_in_words, counted, percent

if TYPE_CHECKING:
    from gsdd_runtime.sets.distilled_set import DistilledSet
    from gsdd_runtime.training.view_labels import ViewLabels


def command(
    path: SetArgument,
    teacher: Annotated[
        Path,
        typer.Option(
            metavar="MODEL|DIR",
            help="A trained network, or a folder of experts, taken together; module:Class@MODEL of your own.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="SET", help="The file to write (.safetensors).")],
    temperature: Annotated[
        float | None, typer.Option(help="Divides the teacher's logits: above 1, labels are softer. [default: 1]")
    ] = None,
    views: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="EPOCHS",
            help="Write no set, but the labels of its views in so many epochs of a training: what eval and train then "
            "take as --teacher.",
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of --views: that training's, as eval has them. [default: sre2l]")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size", min=1, help="Of --views: images of a step of that training. [default: the recipe's]"
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            min=1, help="Of --views: classes that are told apart, the others have the rest alike. [default: 10, or all]"
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of --views: fixes them. [default: 0]")] = None,
    device: DeviceOption = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Write a set with the soft labels that a teacher gives its images, or its labels of every augmented view."""
    from gsdd_runtime.experts.teaching import load_teacher, teacher_path
    from gsdd_runtime.sets.distilled_set import DistilledSet
    from gsdd_runtime.training.relabeling import relabel
    from gsdd_runtime.training.view_labeling import DEFAULT_RECIPE, label_views

    _check(views, temperature=temperature, recipe=recipe, batch_size=batch_size, top=top, seed=seed)
    place = outputs.Output("--out", out, outputs.SET if views is None else outputs.VIEWS)
    with outputs.claim([place], reads=[path, teacher_path(teacher)], overwrite=overwrite), progress_bar() as progress:
        original = DistilledSet.load(path)
        known = load_teacher(teacher, original.preparation)
        labels = None
        if views is None:
            made = relabel(
                original,
                known,
                temperature=1.0 if temperature is None else temperature,
                device=device,
                progress=progress,
            )
        else:
            labels = label_views(
                original, known, epochs=views, recipe=recipe or DEFAULT_RECIPE, batch_size=batch_size, top=top,
                seed=seed or 0, device=device, progress=progress,
            )  # fmt: skip
        if not ranks.joined().first:
            return
        if labels is not None:
            labels.save(out)
            _tell(out, labels, original)
            return
        made.save(out)
    agree = float((made.hard_labels == original.hard_labels).float().mean())
    print(
        f"{out}: {counted(len(made), 'image')} labelled by {counted(len(known), 'network')}, "
        f"{made.nbytes} bytes after {original.nbytes}"
    )
    print(f"  {percent(agree, 0.0, 1)} have the likeliest class that they had")


def _check(views: int | None, *, temperature: float | None, **of_views: object) -> None:
    """Refuses what the other kind of labels has no use for."""
    for name, value in of_views.items():
        if views is None and value is not None:
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{option} is of --views: give that too, or leave {option} out")
    if views is not None and temperature is not None:
        raise InputError("--temperature: views are labelled at the temperature of their recipe: leave it out")


def _tell(out: Path, labels: ViewLabels, original: DistilledSet) -> None:
    told = labels.top.shape[2]
    print(
        f"{out}: {counted(labels.epochs, 'epoch')} of {counted(len(original), 'image')} by {labels.recipe}, "
        f"{counted(told, 'class')} of {labels.classes} told apart, "
        f"{bytes_in_words(labels.nbytes)} beside {bytes_in_words(original.nbytes)} of the set"
    )
