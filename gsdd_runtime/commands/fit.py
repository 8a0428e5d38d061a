"""``gsdd-rt fit``: a pixel set as Gaussians."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.progress_lines import progress_bar
from gsdd_runtime.commands.shared import DeviceOption, OverwriteOption, SeedOption, SetArgument
from gsdd_runtime.wording import counted


def command(
    path: SetArgument,
    out: Annotated[Path, typer.Option("--out", metavar="SET", help="The file to write (.safetensors).")],
    ipc: Annotated[int | None, typer.Option(min=1, help="Storage: that of IPC float32 pixel images per class.")] = None,
    gaussians: Annotated[int | None, typer.Option(min=1, help="Gaussians an image, instead of --ipc.")] = None,
    gpc: Annotated[int | None, typer.Option(min=1, help="Images of each class to take. [default: all]")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Of the fitting.")] = 1000,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Turn the images of a set into Gaussians that reproduce them."""
    from gsdd_runtime.distillation.fitted_set import fit_set
    from gsdd_runtime.sets.distilled_set import DistilledSet

    place = outputs.Output("--out", out, outputs.SET)
    with outputs.claim([place], reads=[path], overwrite=overwrite), progress_bar() as progress:
        original = DistilledSet.load(path)
        found = fit_set(
            original, ipc=ipc, gpc=gpc, count=gaussians, steps=steps, seed=seed, device=device, progress=progress
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
