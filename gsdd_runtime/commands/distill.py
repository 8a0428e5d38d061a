"""``gsdd-rt distill``: from real images to a distilled set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.shared import (
    DataOptions,
    DeviceOption,
    OverwriteOption,
    SeedOption,
    load_data,
    progress_bar,
    takes_data,
)
from gsdd_runtime.wording import counted


@takes_data()
def command(
    data: DataOptions,
    out: Annotated[Path, typer.Option("--out", metavar="SET", help="The file to write (.safetensors).")],
    method: Annotated[str, typer.Option(help="The matching objective: dm.")] = "dm",
    ipc: Annotated[int, typer.Option(min=1, help="Storage: that of IPC float32 pixel images per class.")] = 1,
    gpc: Annotated[int | None, typer.Option(help="Gaussian images per class. [default: by the budget]")] = None,
    coding: Annotated[
        str, typer.Option(help="none, or entropy: rounded and coded, as many images as that holds.")
    ] = "none",
    pixel_bits: Annotated[int, typer.Option(min=1, max=12, help="Of a coded pixel.")] = 8,
    downscale: Annotated[int, typer.Option(min=1, help="Pixels: keep them smaller by this factor.")] = 1,
    rate_weight: Annotated[float, typer.Option(help="Of a penalty on the bits of a coded Gaussian.")] = 0.0,
    iterations: Annotated[int | None, typer.Option(help="Matching steps. [default: the paper's]")] = None,
    representation: Annotated[str, typer.Option(help="gaussians, or pixels: the baseline.")] = "gaussians",
    init: Annotated[str, typer.Option(help="real images, the mean color, or random.")] = "real",
    network: Annotated[str | None, typer.Option(help="Embeds the images. [default: a ConvNet by their size]")] = None,
    batch_real: Annotated[int, typer.Option(help="Real images per class and step.")] = 256,
    batch_syn: Annotated[int | None, typer.Option(help="Distilled images per class and step. [default: all]")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of the matching. [default: the recipe's]")] = None,
    schedule: Annotated[str, typer.Option(help="Of that learning rate: constant or cosine.")] = "constant",
    fit_steps: Annotated[int | None, typer.Option(help="Steps of fitting real images first. [default: 1000]")] = None,
    augment: Annotated[str, typer.Option(help="dsa or none.")] = "dsa",
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    checkpoint_interval: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 100,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Distill a dataset into Gaussians and write one small file."""
    from gsdd_runtime.distillation import distill

    # What an earlier run left there is for the library to judge where this one goes on.
    place = outputs.Output("--out", out, outputs.SET)
    outputs.check([place], reads=data.folders(), overwrite=overwrite or resume)
    with progress_bar() as progress:
        distilled = distill(
            load_data(data, progress=progress),
            method=method,
            representation=representation,
            ipc=ipc,
            gpc=gpc,
            coding=coding,
            pixel_bits=pixel_bits,
            downscale=downscale,
            rate_weight=rate_weight,
            iterations=iterations,
            init=init,
            network=network,
            batch_real=batch_real,
            batch_syn=batch_syn,
            learning_rate=learning_rate,
            schedule=schedule,
            fit_steps=fit_steps,
            augment=augment,
            seed=seed,
            device=device,
            out=out,
            resume=resume,
            overwrite=overwrite,
            checkpoint_interval=checkpoint_interval,
            progress=progress,
        )
    images, classes = counted(len(distilled), "image"), counted(distilled.classes, "class")
    print(f"{out}: {images} of {classes} in {out.stat().st_size} bytes")
