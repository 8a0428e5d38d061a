"""``gsdd-rt rank``: DD-Ranking's measures of a set."""

from __future__ import annotations

from typing import Annotated

import typer

from gsdd_runtime.commands import protocol as protocols
from gsdd_runtime.commands.progress_lines import progress_bar
from gsdd_runtime.commands.protocol import TrainingOptions, takes_training
from gsdd_runtime.commands.shared import (
    DataOptions,
    JsonOption,
    SetArgument,
    check_own_preparation,
    load_data,
    print_json,
    takes_data,
    warn_of_other_data,
)
from gsdd_runtime.errors import InputError


@takes_data(without=("size",))
@takes_training(without=("sizes", "tests", "accuracy_at"))
def command(
    path: SetArgument,
    *,
    data: DataOptions,
    whole: Annotated[
        float | None,
        typer.Option(min=0, max=100, metavar="PERCENT", help="Accuracy of the whole data. [default: it is trained]"),
    ] = None,
    weight: Annotated[float, typer.Option(min=0, max=1, help="Of the improvement over random images.")] = 0.5,
    equal: Annotated[str, typer.Option(help="Random images of as many images, or bytes.")] = "images",
    training: TrainingOptions,
    as_json: JsonOption = False,
) -> None:
    """Report DD-Ranking's measures: hard-label recovery, improvement over random images, and the score of both."""
    from gsdd_runtime.evaluation.ranking import rank
    from gsdd_runtime.evaluation.report import accuracy_text
    from gsdd_runtime.sets.distilled_set import DistilledSet

    request = protocols.request([path], data, training)
    if len(request["networks"]) > 1:
        raise InputError("rank trains networks of one kind: give one with --network")
    one = DistilledSet.load(path)
    check_own_preparation(one, data, path)
    options = protocols.training_of(request, {str(path): one})
    for name in ("tests", "accuracy_at"):
        del options[name]
    with progress_bar() as progress:
        real = load_data(data, (one.height, one.width), progress)
        warn_of_other_data(one.fingerprint, (one.height, one.width), real)
        found = rank(
            one, real, whole=None if whole is None else whole / 100, weight=weight, equal=equal,
            network=request["networks"][0], progress=progress, **options,
        )  # fmt: skip
    if as_json:
        print_json({"file": str(path), **found})
        return
    print(f"{path}: {found['protocol']['network']}, recipe {found['protocol']['recipe']}; accuracies in %")
    for name, figures in found["accuracies"].items():
        print(f"  {name:<14} {accuracy_text(figures)}")
    print(f"  hard-label recovery (HLR, less is better)             {100 * found['hlr']:.2f} points")
    print(f"  improvement over random images (IOR, more is better)  {100 * found['ior']:.2f} points")
    print(f"  label-robust score (LRS, of shares, 0 to 1)           {found['lrs']:.4f}")
