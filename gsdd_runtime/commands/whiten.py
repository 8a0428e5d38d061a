"""``gsdd-rt whiten``: leave the whitening matrix out of a set's file, or fit it again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.progress_lines import progress_bar
from gsdd_runtime.commands.shared import (
    DataOptions,
    OverwriteOption,
    SetArgument,
    load_data,
    takes_data,
)
from gsdd_runtime.errors import InputError
from gsdd_runtime.wording import bytes_in_words

FittedOption = Annotated[
    str | None,
    typer.Option("--dataset", help="Fit the matrix on it, the data of the set. [default: leave the matrix out]"),
]


@takes_data(dataset=FittedOption, without=("size", "normalization", "zca"))
def command(
    path: SetArgument,
    out: Annotated[Path, typer.Option("--out", metavar="SET", help="The file to write (.safetensors).")],
    *,
    data: DataOptions,
    overwrite: OverwriteOption = False,
) -> None:
    """Leave the matrix of a set distilled with --zca out of its file; with --dataset, fit it again and put it in."""
    from gsdd_runtime.evaluation.accuracy import with_statistics
    from gsdd_runtime.sets.distilled_set import DistilledSet
    from gsdd_runtime.sets.whitening import is_left_out, without_matrix

    place = outputs.Output("--out", out, outputs.SET)
    with outputs.claim([place], reads=[path, *data.folders()], overwrite=overwrite), progress_bar() as progress:
        distilled = DistilledSet.load(path)
        if data.dataset is None:
            given = data.given()
            if given:
                raise InputError(f"{given[0]} needs --dataset: name the data too")
            made = without_matrix(distilled)
        else:
            if not is_left_out(distilled):
                raise InputError(f"{path} lacks no whitening matrix: leave --dataset out")
            real = load_data(data, (distilled.height, distilled.width), progress)
            made = with_statistics(distilled, real)
        made.save(out)
    state = "without" if made.zca is None else "with"
    size, before = (bytes_in_words(file.stat().st_size) for file in (out, path))
    print(f"{out}: {state} its whitening matrix, {size} (before: {before})")
