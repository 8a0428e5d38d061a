"""``gsdd-rt eval``: test on real images what was trained on a set, or train it first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsdd_runtime.commands.shared import (
    DataOptions,
    DeviceOption,
    JsonOption,
    NetworkOption,
    SetOrModelArgument,
    check_own_preparation,
    load_data,
    load_set_or_model,
    parse_size,
    print_json,
    progress_bar,
    takes_data,
    warn_of_other_data,
)
from gsdd_runtime.errors import InputError
from gsdd_runtime.wording import counted, percent

if TYPE_CHECKING:
    from gsdd_runtime.networks.model_file import TrainedModel
    from gsdd_runtime.sets.distilled_set import DistilledSet

EPOCHS, REPEATS, SEED = 1000, 5, 0


@takes_data()
def command(
    path: SetOrModelArgument,
    data: DataOptions,
    network: NetworkOption = None,
    epochs: Annotated[int | None, typer.Option(min=1, help=f"Passes over a set. [default: {EPOCHS}]")] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, help=f"Networks to train, each from its own seed. [default: {REPEATS}]")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help=f"Fixes the result on a device. [default: {SEED}]")] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Report accuracy on held-out real images: of a trained network, or of fresh ones that are trained on a set."""
    from gsdd_runtime.networks.model_file import TrainedModel

    source = load_set_or_model(path, network)
    check_own_preparation(source, data, path)
    training = {"network": network, "epochs": epochs, "repeats": repeats, "seed": seed}
    if isinstance(source, TrainedModel):
        named_again = {"network": source.name}
        given = next((name for name, value in training.items() if value not in (None, named_again.get(name))), None)
        if given is not None:
            raise InputError(f"{path} is a trained network and is tested as it is: leave --{given} out")
        _test(path, source, data, device, as_json)
        return
    training |= {"epochs": epochs or EPOCHS, "repeats": repeats or REPEATS, "seed": SEED if seed is None else seed}
    _train_and_test(path, source, data, training, device, as_json)


def _test(path: Path, model: TrainedModel, options: DataOptions, device: str, as_json: bool) -> None:
    from gsdd_runtime.evaluation.trained import evaluate_model

    if options.size is not None and parse_size(options.size) != model.size:
        own = f"{model.size[0]}x{model.size[1]}"
        raise InputError(f"{path} takes images of {own}: leave --size out, the data is scaled to that")
    with progress_bar() as progress:
        data = load_data(options, model.size, progress)
    warn_of_other_data(model.training.get("data_fingerprint"), model.size, data)
    result = evaluate_model(model, data, device=device)
    if as_json:
        print_json(result.to_dict())
        return
    print(
        f"{path}: {model.name}, {percent(result.accuracy, 0.0, 1)} test accuracy on "
        f"{counted(len(data.test_labels), 'image')} of {data.name}"
    )


def _train_and_test(
    path: Path,
    distilled: DistilledSet,
    options: DataOptions,
    training: dict[str, Any],
    device: str,
    as_json: bool,
) -> None:
    from gsdd_runtime.evaluation.accuracy import evaluate

    shape = parse_size(options.size)
    with progress_bar() as progress:
        data = load_data(options, progress=progress)
        warn_of_other_data(distilled.fingerprint, (distilled.height, distilled.width), data)
        result = evaluate(distilled, data, device=device, size=shape, progress=progress, **training)
    if as_json:
        print_json(result.to_dict())
        return
    repeats = len(result.repeats)
    print(
        f"{path}: {result.network}, {counted(result.recipe.epochs, 'epoch')}, {counted(repeats, 'network')}; "
        "test accuracy"
    )
    print(f"  last epoch                            {percent(result.last_epoch_mean, result.last_epoch_std, repeats)}")
    print(f"  best epoch, chosen on the test images {percent(result.best_epoch_mean, result.best_epoch_std, repeats)}")
