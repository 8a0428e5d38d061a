"""``gsdd-rt info``: what a file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsdd_runtime.commands.known_files import Described, described
from gsdd_runtime.commands.shared import JsonOption, bytes_of, load_set_or_model, print_json
from gsdd_runtime.errors import printable


def command(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A set, a trained network, labels of views, experts, a run's checkpoint or log."
        ),
    ],
    network: Annotated[
        str | None, typer.Option(help="Of a trained network that is code of yours: its module:Class, which is run.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a file of gsdd-rt holds and how it was made: a set, a trained network, a run's log, and others."""
    kind, told = described(path, network) or _set_or_model(path, network)
    facts = {"file": str(path), "file_bytes": bytes_of(path), "kind": kind, **told}
    if as_json:
        print_json(facts)
        return
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        if value is not None and value != {}:
            print(f"{name.replace('_', ' '):<{width}}  {printable(_readable(value))}")


def _set_or_model(path: Path, network: str | None) -> Described:
    from gsdd_runtime.networks.model_file import TrainedModel, model_description
    from gsdd_runtime.sets.description import description

    source = load_set_or_model(path, network)
    if isinstance(source, TrainedModel):
        return "trained network", model_description(source)
    return "distilled set", description(source)


def _readable(value: object) -> str:
    if isinstance(value, list) and value and all(isinstance(one, dict) and "last_epoch" in one for one in value):
        return ", ".join(f"{one['network']} {100 * one['last_epoch']['mean']:.2f} %" for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}={_nested(item)}" for name, item in value.items() if item is not None)
    if isinstance(value, (list, tuple)):
        return ", ".join(_nested(item) for item in value)
    # All digits are for --json.
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _nested(value: object) -> str:
    told = _readable(value)
    return f"({told})" if isinstance(value, (dict, list, tuple)) else told
