"""``gsdd-rt relabel``: a set with a teacher's soft labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsdd_runtime import ranks
from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.progress_lines import progress_bar
from gsdd_runtime.commands.shared import DeviceOption, OverwriteOption, SetArgument
from gsdd_runtime.wording import counted, percent


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
    temperature: Annotated[float, typer.Option(help="Divides the teacher's logits: above 1, labels are softer.")] = 1.0,
    device: DeviceOption = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Write a set with the soft labels that a teacher gives its images."""
    from gsdd_runtime.experts.teaching import load_teacher, teacher_path
    from gsdd_runtime.sets.distilled_set import DistilledSet
    from gsdd_runtime.training.relabeling import relabel

    place = outputs.Output("--out", out, outputs.SET)
    with outputs.claim([place], reads=[path, teacher_path(teacher)], overwrite=overwrite), progress_bar() as progress:
        original = DistilledSet.load(path)
        known = load_teacher(teacher, original.preparation)
        made = relabel(original, known, temperature=temperature, device=device, progress=progress)
        if not ranks.joined().first:
            return
        made.save(out)
    agree = float((made.hard_labels == original.hard_labels).float().mean())
    print(
        f"{out}: {counted(len(made), 'image')} labelled by {counted(len(known), 'network')}, "
        f"{made.nbytes} bytes after {original.nbytes}"
    )
    print(f"  {percent(agree, 0.0, 1)} have the likeliest class that they had")
