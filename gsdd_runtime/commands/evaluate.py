"""``gsdd-rt eval``: train networks on a set and test them on real images."""

from __future__ import annotations

from typing import Annotated

import typer

from gsdd_runtime.commands.shared import (
    DataDirOption,
    DatasetOption,
    DeviceOption,
    JsonOption,
    NetworkOption,
    SeedOption,
    SetArgument,
    SizeOption,
    TestPartOption,
    load_data,
    parse_size,
    print_json,
    progress_bar,
)
from gsdd_runtime.wording import counted, percent


def command(
    path: SetArgument,
    dataset: DatasetOption,
    data_dir: DataDirOption = None,
    size: SizeOption = None,
    test_part: TestPartOption = None,
    network: NetworkOption = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the set.")] = 1000,
    repeats: Annotated[int, typer.Option(min=1, help="Networks to train, each from its own seed.")] = 5,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train fresh networks on a distilled set and report their accuracy on held-out real images."""
    from gsdd_runtime.evaluation.accuracy import evaluate
    from gsdd_runtime.sets.distilled_set import DistilledSet

    with progress_bar() as progress:
        result = evaluate(
            DistilledSet.load(path),
            load_data(dataset, data_dir, size, test_part),
            network=network,
            epochs=epochs,
            repeats=repeats,
            seed=seed,
            device=device,
            size=parse_size(size),
            progress=progress,
        )
    if as_json:
        print_json(result.to_dict())
        return
    print(f"{path}: {result.network}, {counted(epochs, 'epoch')}, {counted(repeats, 'network')}; test accuracy")
    print(f"  last epoch                            {percent(result.last_epoch_mean, result.last_epoch_std, repeats)}")
    print(f"  best epoch, chosen on the test images {percent(result.best_epoch_mean, result.best_epoch_std, repeats)}")
