"""``gsdd-rt experts``: networks trained on real images, with their weights after every epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsdd_runtime import ranks
from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.progress_lines import progress_bar
from gsdd_runtime.commands.shared import (
    DataOptions,
    DeviceOption,
    NetworkOption,
    SeedOption,
    load_data,
    takes_data,
)
from gsdd_runtime.errors import InputError
from gsdd_runtime.wording import counted, percent


@takes_data()
def command(
    data: DataOptions,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to fill: one file an expert.")],
    network: NetworkOption = None,
    count: Annotated[int, typer.Option(min=1, help="Experts to train.")] = 100,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the real images of each.")] = 50,
    batch_size: Annotated[int, typer.Option(min=1, help="Images of a step.")] = 256,
    learning_rate: Annotated[float, typer.Option(help="Of SGD, constant.")] = 0.01,
    momentum: Annotated[float, typer.Option(help="Of SGD.")] = 0.0,
    weight_decay: Annotated[float, typer.Option(help="Of SGD.")] = 0.0,
    augment: Annotated[str, typer.Option(help="dsa or none.")] = "dsa",
    buffers: Annotated[
        list[Path] | None,
        typer.Option(
            "--import",
            metavar="FILE",
            help="Take experts from a .pt buffer of trajectory matching's published code, not train any; "
            "may be given several times.",
        ),
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the experts that are missing.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Remove the experts that are there first.")] = False,
) -> None:
    """Train experts on real images, as distill --method tm takes them: their weights after every epoch."""
    from gsdd_runtime.experts import import_experts, make_experts

    resume = resume or ranks.restarted()
    if buffers and ranks.joined().count > 1:
        raise InputError("--import runs in one process: start it without torchrun")
    outputs.check_folder("--out", out, reads=[*data.folders(), *(buffers or [])])
    with progress_bar() as progress:
        real = load_data(data, progress=progress)
        if buffers:
            experts = import_experts(
                buffers, real, out, network=network, device=device, overwrite=overwrite, progress=progress
            )
        else:
            experts = make_experts(
                real,
                out,
                network=network,
                count=count,
                epochs=epochs,
                seed=seed,
                device=device,
                batch_size=batch_size,
                learning_rate=learning_rate,
                momentum=momentum,
                weight_decay=weight_decay,
                augment=augment,
                resume=resume,
                overwrite=overwrite,
                progress=progress,
            )
    known = f"{counted(len(experts), 'expert')} of {experts.subject.network}, {counted(experts.epochs, 'epoch')} each"
    tested = (
        "not tested"
        if experts.accuracy is None
        else f"{percent(experts.accuracy, 0.0, 1, digits=1)} of real test images"
    )
    print(f"{out}: {known}, {experts.subject.length} parameters; at the end {tested}")
    if not buffers and len(experts) < count:
        print(f"  other runs are training {counted(count - len(experts), 'expert')} more")
