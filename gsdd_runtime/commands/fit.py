"""``gsdd-rt fit``: a pixel set, or all training images of a dataset, as Gaussians."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from gsdd_runtime import ranks
from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.progress_lines import progress_bar
from gsdd_runtime.commands.shared import (
    DataOptions,
    DeviceOption,
    OverwriteOption,
    SeedOption,
    load_data,
    takes_data,
)
from gsdd_runtime.errors import InputError
from gsdd_runtime.wording import bytes_in_words, counted, time_in_words


@takes_data(without=("dataset", "normalization", "zca"))
def command(
    source: Annotated[
        str, typer.Argument(metavar="SET|DATASET", help="A distilled set, or images: imagefolder:DIR, cifar10, ...")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="SET", help="The file to write (.safetensors).")],
    ipc: Annotated[int | None, typer.Option(min=1, help="Storage: that of IPC float32 pixel images per class.")] = None,
    gaussians: Annotated[int | None, typer.Option(min=1, help="Gaussians an image, instead of --ipc.")] = None,
    gpc: Annotated[int | None, typer.Option(min=1, help="Images of each class to take. [default: all]")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Of the fitting.")] = 1000,
    part: Annotated[
        int | None, typer.Option(min=1, help="Images of a dataset that are fitted at once. [default: 64]")
    ] = None,
    *,
    data: DataOptions,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the images that are missing.")] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Turn the images of a set, or all that a dataset has to train on, into Gaussians that reproduce them."""
    from gsdd_runtime.datasets import DATASETS
    from gsdd_runtime.datasets.catalog import FOLDER

    resume = resume or ranks.restarted()
    if source in DATASETS or source.startswith(FOLDER):
        for option, value in (("--ipc", ipc), ("--gpc", gpc)):
            if value is not None:
                raise InputError(f"{option} is for a set: all images of {source} are taken, give --gaussians")
        if gaussians is None:
            raise InputError("say by --gaussians how many an image gets, such as 170 at 128 x 128")
        _fit_data(replace(data, dataset=source), out, gaussians, steps, part, seed, device, resume, overwrite)
        return
    asked = [*(["--part"] if part is not None else []), *(["--resume"] if resume else []), *data.given()]
    if asked:
        raise InputError(f"{asked[0]} is for a dataset, and {source} is taken for a set: leave it out")
    if ranks.joined().count > 1:
        raise InputError(f"{source} is taken for a set, which one process fits: start it without torchrun")
    _fit_set(Path(source), out, ipc, gpc, gaussians, steps, seed, device, overwrite)


def _fit_set(
    path: Path, out: Path, ipc: int | None, gpc: int | None, count: int | None, steps: int, seed: int, device: str,
    overwrite: bool,
) -> None:  # fmt: skip
    from gsdd_runtime.distillation.fitted_set import fit_set
    from gsdd_runtime.sets.distilled_set import DistilledSet

    place = outputs.Output("--out", out, outputs.SET)
    with outputs.claim([place], reads=[path], overwrite=overwrite), progress_bar() as progress:
        original = DistilledSet.load(path)
        found = fit_set(
            original, ipc=ipc, gpc=gpc, count=count, steps=steps, seed=seed, device=device, progress=progress
        )
        found.distilled_set.save(out)
    made = found.distilled_set
    assert made.gaussians is not None
    print(
        f"{out}: {counted(len(made), 'image')} of {counted(made.gaussians.shape[1], 'Gaussian')}, "
        f"{found.psnr:.1f} dB to the images, {made.image_nbytes} bytes after {original.image_nbytes}"
    )
    if found.cut > 0:
        print(f"  {100 * found.cut:.1f} % of the values lay outside 0 to 1 and were cut")


def _fit_data(
    options: DataOptions, out: Path, count: int, steps: int, part: int | None, seed: int, device: str, resume: bool,
    overwrite: bool,
) -> None:  # fmt: skip
    from gsdd_runtime.datasets.catalog import FOLDER
    from gsdd_runtime.datasets.folder_layout import has_test_folder
    from gsdd_runtime.distillation.fitted_data import DEFAULT_PART, fit_data

    place = outputs.Output("--out", out, outputs.SET)
    # Whether what is there is this run's own is for the library to judge.
    outputs.check([place], reads=options.folders(), overwrite=overwrite or resume)
    folder = options.dataset.removeprefix(FOLDER)
    if options.test_part is None and folder != options.dataset and folder and Path(folder).is_dir():
        # Images that nobody asked to hold out are fitted too.
        options = options if has_test_folder(Path(folder)) else replace(options, test_part=0.0)
    with progress_bar() as progress:
        data = load_data(options, progress=progress)
        began = time.monotonic()
        found = fit_data(
            data, out, count=count, steps=steps, part=part or DEFAULT_PART, seed=seed, device=device, resume=resume,
            overwrite=overwrite, progress=progress,
        )  # fmt: skip
    took = time.monotonic() - began
    made = found.distilled_set
    print(
        f"{out}: {counted(len(made), 'image')} of {data.height}x{data.width} as {counted(count, 'Gaussian')} each, "
        f"{found.psnr:.2f} dB to the images ({found.least_psnr:.2f} at least), {bytes_in_words(made.image_nbytes)} "
        f"after {bytes_in_words(data.train_images.numel())} of pixels"
    )
    if found.fitted:
        print(
            f"  {counted(found.fitted, 'image')} fitted in {time_in_words(took)}: images x steps a second: "
            f"{found.fitted * steps / took:.0f}"
        )
