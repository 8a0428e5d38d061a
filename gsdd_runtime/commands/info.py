"""``gsdd-rt info``: what a file holds."""

from __future__ import annotations

from typing import Annotated

import typer

from gsdd_runtime.commands.shared import JsonOption, SetOrModelArgument, load_set_or_model, print_json
from gsdd_runtime.errors import printable


def command(
    path: SetOrModelArgument,
    network: Annotated[
        str | None, typer.Option(help="Of a trained network that is code of yours: its module:Class, which is run.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a distilled set or a trained network holds and how it was made."""
    from gsdd_runtime.networks.model_file import TrainedModel, model_description
    from gsdd_runtime.sets.description import description

    source = load_set_or_model(path, network)
    is_model = isinstance(source, TrainedModel)
    facts = {
        "file": str(path),
        "file_bytes": path.stat().st_size,
        "kind": "trained network" if is_model else "distilled set",
        **(model_description(source) if isinstance(source, TrainedModel) else description(source)),
    }
    if as_json:
        print_json(facts)
        return
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        if value is not None and value != {}:
            print(f"{name.replace('_', ' '):<{width}}  {printable(_readable(value))}")


def _readable(value: object) -> str:
    if isinstance(value, list) and value and all(isinstance(one, dict) and "last_epoch" in one for one in value):
        return ", ".join(f"{one['network']} {100 * one['last_epoch']['mean']:.2f} %" for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    return str(value)
