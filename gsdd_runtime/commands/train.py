"""``gsdd-rt train``: train one network on a distilled set and keep it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsdd_runtime.commands.shared import DeviceOption, NetworkOption, SeedOption, SetArgument, progress_bar
from gsdd_runtime.wording import counted


def command(
    path: SetArgument,
    out: Annotated[Path, typer.Option("--out", metavar="MODEL", help="The file to write (.safetensors).")],
    network: NetworkOption = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the set.")] = 1000,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
) -> None:
    """Train a network on a distilled set and write its weights."""
    from gsdd_runtime.atomic import check_place
    from gsdd_runtime.networks import default_network
    from gsdd_runtime.networks.model_file import save_model
    from gsdd_runtime.sets.distilled_set import DistilledSet
    from gsdd_runtime.training.trainer import train

    check_place(out)
    with progress_bar() as progress:
        distilled = DistilledSet.load(path)
        network = default_network((distilled.height, distilled.width)) if network is None else network
        model = train(distilled, network=network, epochs=epochs, seed=seed, device=device, progress=progress)
    facts = {"epochs": epochs, "seed": seed, "set": path.name}
    save_model(model, out, network=network, distilled_set=distilled, training=facts)
    print(f"{out}: {network} trained on {counted(len(distilled), 'image')} for {counted(epochs, 'epoch')}")
