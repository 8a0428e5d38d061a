"""``gsdd-rt decode``: turn a set back into pictures or an array."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsdd_runtime.commands.shared import SetArgument, SizeOption, parse_range, parse_size
from gsdd_runtime.wording import counted


def command(
    path: SetArgument,
    out: Annotated[Path, typer.Option("--out", metavar="OUT", help="A folder, a .npy file, or a .png of all images.")],
    indices: Annotated[str | None, typer.Option("--indices", metavar="A:B", help="Only these images.")] = None,
    size: SizeOption = None,
) -> None:
    """Decode a set to pictures, one array, or one picture of all."""
    from gsdd_runtime.reports.pictures import write_decoded
    from gsdd_runtime.sets.distilled_set import DistilledSet

    distilled = DistilledSet.load(path)
    chosen = parse_range(indices, len(distilled))
    write_decoded(distilled, out, indices=chosen, size=parse_size(size))
    print(f"{out}: {counted(len(chosen), 'image')}")
