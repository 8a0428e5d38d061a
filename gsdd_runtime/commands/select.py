"""``gsdd-rt select``: a set of some of the classes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.shared import OverwriteOption, SetArgument
from gsdd_runtime.wording import counted


def command(
    path: SetArgument,
    classes: Annotated[
        str, typer.Option(metavar="A,B,...", help="Names or positions from 0; they are numbered in this order.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="SET", help="The file to write (.safetensors).")],
    overwrite: OverwriteOption = False,
) -> None:
    """Write a set of some of the classes of another."""
    from gsdd_runtime.sets.distilled_set import DistilledSet
    from gsdd_runtime.sets.selection import select_classes

    with outputs.claim([outputs.Output("--out", out, outputs.SET)], reads=[path], overwrite=overwrite):
        chosen = [name.strip() for name in classes.split(",") if name.strip()]
        made = select_classes(DistilledSet.load(path), chosen)
        made.save(out)
    print(f"{out}: {counted(len(made), 'image')} of {counted(made.classes, 'class')}")
