"""``gsdd-rt bench``: measure decoding against what one would use instead."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.shared import DeviceOption, JsonOption, OverwriteOption, print_json, progress_bar
from gsdd_runtime.errors import InputError


def command(
    what: Annotated[str, typer.Argument(help="decode: the decoder and its peers; train: a training step.")] = "decode",
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds; medians over them are reported.")] = 5,
    threads: Annotated[int | None, typer.Option(min=1, help="Of decode. [default: one, then all]")] = None,
    chart: Annotated[Path | None, typer.Option(help="Of decode: also draw a chart into this SVG file.")] = None,
    device: DeviceOption = "auto",
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure the decoder on this machine, side by side with its peers."""
    from rich.console import Console

    if what not in ("decode", "train"):
        raise InputError(f"bench: {what!r} is not a benchmark: choose decode or train")
    if what == "train" and (threads is not None or chart is not None):
        raise InputError("bench train takes no --threads and no --chart: leave them out")
    if what == "decode" and device not in ("auto", "cpu"):
        raise InputError(
            f"bench decode measures the CPU, --device {device!r} cannot be had: benchmarks/cuda.py measures CUDA"
        )
    places = [] if chart is None else [outputs.Output("--chart", chart, outputs.DRAWING)]
    with outputs.claim(places, reads=[], overwrite=overwrite), progress_bar() as progress:
        if what == "train":
            from gsdd_runtime.bench.train import render_train_table, run_train_bench

            result = run_train_bench(rounds=rounds, device=device, progress=progress)
        else:
            from gsdd_runtime.bench import render_chart, render_table, run_decode_bench

            result = run_decode_bench(rounds=rounds, threads=threads, progress=progress)
            if chart is not None:
                render_chart(result, chart)
    if as_json:
        print_json(result)
    else:
        Console().print(render_train_table(result) if what == "train" else render_table(result))
