"""``gsdd-rt distill``: from real images to a distilled set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsdd_runtime.commands.shared import (
    DataDirOption,
    DatasetOption,
    DeviceOption,
    SeedOption,
    SizeOption,
    load_data,
    progress_bar,
)


def command(
    dataset: DatasetOption,
    out: Annotated[Path, typer.Option("--out", metavar="SET", help="The file to write (.safetensors).")],
    data_dir: DataDirOption = None,
    size: SizeOption = None,
    method: Annotated[str, typer.Option(help="The matching objective: dm.")] = "dm",
    ipc: Annotated[int, typer.Option(min=1, help="Storage: that of IPC float32 pixel images per class.")] = 1,
    gpc: Annotated[int | None, typer.Option(min=1, help="Gaussian images per class. [default: from the budget]")] = None,
    iterations: Annotated[int | None, typer.Option(min=1, help="Matching steps. [default: the paper's]")] = None,
    representation: Annotated[str, typer.Option(help="gaussians, or pixels: the baseline they are compared with.")] = (
        "gaussians"
    ),
    network: Annotated[str, typer.Option(help="Architecture that embeds the images.")] = "convnet3",
    batch_real: Annotated[int, typer.Option(min=1, help="Real images per class and step.")] = 256,
    learning_rate: Annotated[float | None, typer.Option(help="Of the matching. [default: the recipe's]")] = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")] = False,
) -> None:
    """Distill a dataset into Gaussians and write one small file."""
    from gsdd_runtime.distill import distill

    with progress_bar() as progress:
        distilled = distill(
            load_data(dataset, data_dir, size),
            method=method,
            ipc=ipc,
            gpc=gpc,
            iterations=iterations,
            representation=representation,
            network=network,
            batch_real=batch_real,
            learning_rate=learning_rate,
            seed=seed,
            device=device,
            out=out,
            resume=resume,
            progress=progress,
        )
    print(f"{out}: {len(distilled)} images of {distilled.classes} classes in {out.stat().st_size} bytes")
