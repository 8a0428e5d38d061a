"""``gsdd-rt report``: a page of sets to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.progress_lines import progress_bar
from gsdd_runtime.commands.shared import DataOptions, OverwriteOption, load_data, takes_data
from gsdd_runtime.errors import InputError
from gsdd_runtime.formats import log_path
from gsdd_runtime.wording import bytes_in_words, counted

RealOption = Annotated[
    str | None,
    typer.Option(
        "--real",
        metavar="DATASET",
        help="Show real images of each class beside the set's: small copies of them are then in the page.",
    ),
]


@takes_data(dataset=RealOption, without=("size", "normalization", "zca"))
def command(
    paths: Annotated[list[Path], typer.Argument(metavar="SET ...", help="Distilled sets, side by side.")],
    out: Annotated[Path, typer.Option("--out", metavar="PAGE", help="The page to write (.html).")],
    *,
    data: DataOptions,
    per_class: Annotated[
        int | None,
        typer.Option("--per-class", min=1, help="Images of each class in the page. [default: some hundred kB of them]"),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write a page that shows sets: what they are and what they are worth, the run's curves, and their images.

    One file without any other: the page draws the Gaussians itself, at any zoom, and asks no host for anything.
    """
    from gsdd_runtime.distillation.journal import read_log
    from gsdd_runtime.reports.page import Shown, page_document, write_page
    from gsdd_runtime.sets.distilled_set import DistilledSet

    logs = [log_path(path) for path in paths]
    reads = [*paths, *logs, *data.folders()]
    with outputs.claim([outputs.Output("--out", out, outputs.PAGE)], reads=reads, overwrite=overwrite):
        if data.dataset is None and data.given():
            raise InputError(f"{data.given()[0]} needs --real: name the data too")
        names = _names(paths)
        shown = []
        for path, log, name in zip(paths, logs, names, strict=True):
            records = read_log(log) if log.is_file() else []
            shown.append(Shown(name, DistilledSet.load(path), path.stat().st_size, records))
        first = shown[0].distilled_set
        with progress_bar() as progress:
            real = None if data.dataset is None else load_data(data, (first.height, first.width), progress)
        write_page(out, page_document(shown, real, per_class=per_class), inputs=reads)
    print(f"{out}: {counted(len(shown), 'set')}, {bytes_in_words(out.stat().st_size)}; open it in a browser")


def _names(paths: list[Path]) -> list[str]:
    """Of the sets: of their files, where these differ."""
    names = [path.name.removesuffix(".safetensors") for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
