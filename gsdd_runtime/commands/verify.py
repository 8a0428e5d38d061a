"""``gsdd-rt verify``: measure again what a set says that it is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsdd_runtime.commands.progress_lines import progress_bar
from gsdd_runtime.commands.protocol import TeacherOption
from gsdd_runtime.commands.shared import (
    DataOptions,
    DeviceOption,
    JsonOption,
    SetArgument,
    load_data,
    print_json,
    takes_data,
)


@takes_data(without=("size", "normalization", "zca"))
def command(
    path: SetArgument,
    *,
    data: DataOptions,
    within: Annotated[
        float | None,
        typer.Option(min=0, metavar="POINTS", help="That means may differ by. [default: the stated deviation, or 0.5]"),
    ] = None,
    network: Annotated[str | None, typer.Option(help="Of your own: its module:Class again, which is run.")] = None,
    teacher: TeacherOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> int:
    """Measure the accuracy that a set states again, by its own protocol; exit code 1 says that it is another."""
    from gsdd_runtime import networks
    from gsdd_runtime.evaluation.report import accuracy_text
    from gsdd_runtime.evaluation.verification import verify_accuracy
    from gsdd_runtime.experts.teaching import load_labels
    from gsdd_runtime.sets.distilled_set import DistilledSet

    one = DistilledSet.load(path)
    if network is not None:
        networks.chosen(network, (one.height, one.width))
    known = None if teacher is None else load_labels(Path(teacher), one.preparation)
    with progress_bar() as progress:
        found = verify_accuracy(
            one, lambda size: load_data(data, size, progress), within=None if within is None else within / 100,
            network=network, teacher=known, device=device, progress=progress,
        )  # fmt: skip
    agrees = all(each["agrees"] for each in found)
    if as_json:
        print_json({"file": str(path), "agrees": agrees, "results": found})
        return 0 if agrees else 1
    for each in found:
        words = "agrees" if each["agrees"] else "IS ANOTHER"
        size = "x".join(map(str, each["size"]))
        print(
            f"{path}: {each['network']} at {size}, stated {accuracy_text(each['stated'])} %, "
            f"measured {accuracy_text(each['measured'])} %: {words} (within {100 * each['within']:.2f} points)"
        )
    return 0 if agrees else 1
