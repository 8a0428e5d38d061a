"""``gsdd-rt bench``: measure decoding against what one would use instead."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsdd_runtime.commands.shared import JsonOption, print_json, progress_bar
from gsdd_runtime.errors import InputError


def command(
    what: Annotated[str, typer.Argument(help="decode.")] = "decode",
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds; medians over them are reported.")] = 5,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads. [default: all]")] = None,
    chart: Annotated[Path | None, typer.Option(help="Also draw a chart into this file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the decoder on this machine, side by side with its peers."""
    if what != "decode":
        raise InputError(f"bench: {what!r} is not a benchmark: choose decode")
    from rich.console import Console

    from gsdd_runtime.bench import render_chart, render_table, run_decode_bench

    with progress_bar() as progress:
        result = run_decode_bench(rounds=rounds, threads=threads, progress=progress)
    if chart is not None:
        render_chart(result, chart)
    if as_json:
        print_json(result)
    else:
        Console().print(render_table(result))
