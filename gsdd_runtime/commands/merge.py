"""``gsdd-rt merge``: several sets as one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.parsing import parse_numbers
from gsdd_runtime.commands.shared import MeanOption, OverwriteOption, StdOption
from gsdd_runtime.wording import counted


def command(
    paths: Annotated[list[Path], typer.Argument(metavar="SET SET ...", help="Distilled sets (.safetensors).")],
    out: Annotated[Path, typer.Option("--out", metavar="SET", help="The file to write (.safetensors).")],
    mean: MeanOption = None,
    std: StdOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Put sets together: of the same classes to more images a class, of others to more classes.

    --mean and --std say what networks take the images by where the sets differ in that.
    """
    from gsdd_runtime.sets.distilled_set import DistilledSet
    from gsdd_runtime.sets.selection import merge_sets

    with outputs.claim([outputs.Output("--out", out, outputs.SET)], reads=paths, overwrite=overwrite):
        sets = {str(path): DistilledSet.load(path) for path in paths}
        made = merge_sets(sets, mean=parse_numbers("--mean", mean), std=parse_numbers("--std", std))
        made.save(out)
    print(f"{out}: {counted(len(made), 'image')} of {counted(made.classes, 'class')}")
    if any(one.coded is not None for one in sets.values()):
        print(f"  not coded: gsdd-rt compress {out} --out ... makes it small again")
