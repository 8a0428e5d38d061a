"""``gsdd-rt decode``: turn a set back into pictures or an array."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.parsing import parse_range, parse_size
from gsdd_runtime.commands.shared import OverwriteOption, SetArgument, SizeOption
from gsdd_runtime.wording import counted


def command(
    path: SetArgument,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="OUT", help="A folder of pictures, a .npz, a .npy, or one .png of all images."),
    ],
    indices: Annotated[str | None, typer.Option("--indices", metavar="A:B", help="Only these images.")] = None,
    size: SizeOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Decode a set to pictures, to arrays of images and labels (.npz; a .npy has no labels), or to one picture."""
    from gsdd_runtime.reports.pictures import write_decoded
    from gsdd_runtime.sets.distilled_set import DistilledSet

    place = outputs.Output("--out", out, outputs.kind_of_decoded(out))
    with outputs.claim([place], reads=[path], overwrite=overwrite):
        distilled = DistilledSet.load(path)
        chosen = parse_range(indices, len(distilled))
        write_decoded(distilled, out, indices=chosen, size=parse_size(size))
    if place.kind is outputs.ARRAY:
        print(f"gsdd-rt: {out} holds the images without their labels: name it .npz to have both", file=sys.stderr)
    print(f"{out}: {counted(len(chosen), 'image')}")
