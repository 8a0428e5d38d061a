"""``gsdd-rt export``: write the decoder as a graph for another runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsdd_runtime.commands.shared import SetArgument, SizeOption, parse_size
from gsdd_runtime.errors import InputError

# Option of each target and the suffix of its file.
TARGETS = {"--onnx": ".onnx"}


def fill_omitted_outputs(arguments: list[str]) -> list[str]:
    """Puts an empty OUT behind each target of `export` that stands without one."""
    if arguments[:1] != ["export"]:
        return arguments
    filled: list[str] = []
    for position, argument in enumerate(arguments):
        filled.append(argument)
        following = arguments[position + 1 : position + 2]
        if argument in TARGETS and (not following or following[0].startswith("-")):
            filled.append("")
    return filled


def command(
    path: SetArgument,
    onnx: Annotated[str | None, typer.Option("--onnx", metavar="[OUT]", help="An ONNX decoder.")] = None,
    normalize: Annotated[bool, typer.Option("--normalize", help="Images come out normalised for training.")] = False,
    size: SizeOption = None,
) -> None:
    """Write the decoder of a set as a graph. OUT may be left out: the file then stands beside the set."""
    from gsdd_runtime.distilled_set import DistilledSet

    if onnx is None:
        raise InputError(f"nothing to export: name a target, such as {', '.join(TARGETS)}")
    distilled = DistilledSet.load(path)
    from gsdd_runtime.export.onnx import export_onnx

    out = Path(onnx) if onnx else path.with_suffix(TARGETS["--onnx"])
    export_onnx(distilled, out, normalize=normalize, size=parse_size(size))
    print(f"{out}: {out.stat().st_size} bytes")
