"""``gsdd-rt bench``: measure decoding against what one would use instead, and sets against one another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsdd_runtime.commands import outputs
from gsdd_runtime.commands.progress_lines import progress_bar
from gsdd_runtime.commands.protocol import REPEATS, SEED
from gsdd_runtime.commands.shared import (
    DataOptions,
    DeviceOption,
    JsonOption,
    NetworkOption,
    OverwriteOption,
    load_data,
    print_json,
    takes_data,
    warn_of_other_data,
)
from gsdd_runtime.errors import InputError
from gsdd_runtime.progress import Reporter

if TYPE_CHECKING:
    from rich.console import RenderableType

# Options by name; a result and what makes a table of it.
Options = dict[str, Any]
Outcome = tuple[dict[str, Any], "Callable[[dict[str, Any]], RenderableType]"]

ROUNDS = 5
# What each benchmark takes, besides the options that all take and those of real data, which are for rate.
_TAKES = {
    "decode": ("--rounds", "--threads", "--chart"),
    "train": ("--rounds",),
    "rate": ("SET", "--network", "--epochs", "--repeats", "--seed", "--code", "--chart"),
}


TestedOption = Annotated[
    str | None, typer.Option("--dataset", help="Of rate: real images to test on; named as for distill.")
]


@takes_data(dataset=TestedOption)
def command(
    what: Annotated[
        str,
        typer.Argument(help="decode: the decoder and its peers; train: a training step; rate: accuracy by bits."),
    ] = "decode",
    sets: Annotated[list[Path] | None, typer.Argument(metavar="[SET]...", help="Of rate: sets to compare.")] = None,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help=f"Interleaved rounds; medians over them are reported. [default: {ROUNDS}]"),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Of decode. [default: one, then all]")] = None,
    *,
    data: DataOptions,
    network: NetworkOption = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Of rate: passes over a set. [default: 1000]")] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, help=f"Of rate: networks to train on each set. [default: {REPEATS}]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help=f"Of rate: fixes the result on a device. [default: {SEED}]")
    ] = None,
    code: Annotated[
        bool, typer.Option("--code", help="Of rate: also code each set, at a few steps or bits of a pixel.")
    ] = False,
    chart: Annotated[
        Path | None, typer.Option(help="Of decode and rate: also draw a chart into this SVG file.")
    ] = None,
    device: DeviceOption = "auto",
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure the decoder on this machine, side by side with its peers, or what accuracy the bits of sets buy."""
    from rich.console import Console

    options: Options = {
        "sets": sets, "rounds": rounds, "threads": threads, "network": network, "epochs": epochs, "repeats": repeats,
        "seed": seed, "code": code, "chart": chart, "device": device, "data": data,
    }  # fmt: skip
    _check(what, options)
    places = [] if chart is None else [outputs.Output("--chart", chart, outputs.DRAWING)]
    reads = [*(sets or []), *data.folders()]
    with outputs.claim(places, reads=reads, overwrite=overwrite), progress_bar() as progress:
        result, table = _BENCHMARKS[what](options, progress)
    if as_json:
        print_json(result)
    else:
        Console().print(table(result))


def _decode(options: Options, progress: Reporter) -> Outcome:
    from gsdd_runtime.bench import render_chart, render_table, run_decode_bench

    result = run_decode_bench(rounds=options["rounds"] or ROUNDS, threads=options["threads"], progress=progress)
    if options["chart"] is not None:
        render_chart(result, options["chart"])
    return result, render_table


def _train(options: Options, progress: Reporter) -> Outcome:
    from gsdd_runtime.bench.train import render_train_table, run_train_bench

    result = run_train_bench(rounds=options["rounds"] or ROUNDS, device=options["device"], progress=progress)
    return result, render_train_table


def _rate(options: Options, progress: Reporter) -> Outcome:
    from gsdd_runtime.bench.rate import render_rate_table, run_rate_bench
    from gsdd_runtime.bench.rate_chart import render_rate_chart
    from gsdd_runtime.sets.distilled_set import DistilledSet

    paths = options["sets"]
    alike = len({path.stem for path in paths}) < len(paths)
    sets = {str(path) if alike else path.stem: DistilledSet.load(path) for path in paths}
    data = load_data(options["data"], progress=progress)
    for one in sets.values():
        warn_of_other_data(one.fingerprint, (one.height, one.width), data)
    defaults = {"epochs": 1000, "repeats": REPEATS, "seed": SEED}
    chosen = {name: default if options[name] is None else options[name] for name, default in defaults.items()}
    result = run_rate_bench(
        sets, data, code=options["code"], network=options["network"], device=options["device"], progress=progress,
        **chosen,
    )  # fmt: skip
    if options["chart"] is not None:
        render_rate_chart(result, options["chart"])
    return result, render_rate_table


_BENCHMARKS: dict[str, Callable[[Options, Reporter], Outcome]] = {"decode": _decode, "train": _train, "rate": _rate}


def _check(what: str, options: Options) -> None:
    """Raises InputError for options that the benchmark does not take, or lacks."""
    if what not in _BENCHMARKS:
        raise InputError(f"bench: {what!r} is not a benchmark: choose one of {', '.join(_BENCHMARKS)}")
    asked = {"SET" if name == "sets" else f"--{name}": value for name, value in options.items() if name != "data"}
    given = [name for name, value in asked.items() if value is not None and value is not False and value != []]
    if what != "rate":
        given += ["--dataset"] * (options["data"].dataset is not None) + options["data"].given()
    for option in given:
        if option not in ("--device", *_TAKES[what]):
            raise InputError(f"bench {what} takes no {option}: leave it out")
    if what == "decode" and options["device"] not in ("auto", "cpu"):
        raise InputError(
            f"bench decode measures the CPU, --device {options['device']!r} cannot be had: "
            "benchmarks/cuda_bench.py measures CUDA"
        )
    if what == "rate" and not options["sets"]:
        raise InputError("bench rate compares distilled sets: give at least one SET")
    if what == "rate" and options["data"].dataset is None:
        raise InputError("bench rate tests on real images: name them by --dataset")
