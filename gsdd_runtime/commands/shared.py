"""What several commands share: the progress display, sizes and ranges on the command line, JSON output."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsdd_runtime.errors import InputError
from gsdd_runtime.progress import Progress, Reporter, say_once, silent

if TYPE_CHECKING:
    from gsdd_runtime.datasets import RealData
    from gsdd_runtime.networks.model_file import TrainedModel
    from gsdd_runtime.sets.distilled_set import DistilledSet

DatasetOption = Annotated[
    str,
    typer.Option(
        "--dataset",
        help="fashion-mnist-sample (embedded), fashion-mnist (with --data-dir), or imagefolder:DIR.",
    ),
]
DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", help="The folder of the dataset's files, where it has any.")
]
TestPartOption = Annotated[
    float | None,
    typer.Option(
        "--test-part",
        metavar="SHARE",
        help="Of an imagefolder without a test folder: the share of each class held out to test on, 0 for none. "
        "[default: 0.2]",
    ),
]
SizeOption = Annotated[str | None, typer.Option("--size", metavar="HxW", help="Size of the images, in pixels.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Fixes the result on a device.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
NetworkOption = Annotated[
    str | None, typer.Option("--network", help="Architecture to train. [default: a ConvNet by the images' size]")
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace the file that is there, whatever it is; never one that is read.")
]
SetOrModelArgument = Annotated[
    Path, typer.Argument(metavar="SET|MODEL", help="A distilled set or a trained network (.safetensors).")
]
SetArgument = Annotated[Path, typer.Argument(metavar="SET", help="A distilled set (.safetensors).")]


def parse_size(text: str | None, option: str = "--size") -> tuple[int, int] | None:
    """``"HxW"`` or ``"S"`` as (height, width), or None for None.

    Raises:
        InputError: anything else.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})(?:x(\d{1,6}))?", text)
    if match is None or int(match[1]) == 0 or int(match[2] or match[1]) == 0:
        raise InputError(f"{option}: {text!r} is not a size: give HxW in pixels, such as 32x32")
    return int(match[1]), int(match[2] or match[1])


def parse_range(text: str | None, length: int) -> range:
    """``"A:B"``, ``"A:"``, ``":B"`` or ``"A"`` as a range within ``length``; all of it for None.

    Raises:
        InputError: anything else, or a range that leaves the set.
    """
    if text is None:
        return range(length)
    match = re.fullmatch(r"(\d*):(\d*)|(\d+)", text)
    if match is None:
        raise InputError(f"--indices: {text!r} is not a range: give A:B, A:, :B or A")
    first = int(match[3] or match[1] or 0)
    last = first + 1 if match[3] else int(match[2] or length)
    if not first < last <= length:
        raise InputError(f"--indices: {text!r} selects nothing or leaves the set, which holds 0:{length}")
    return range(first, last)


def load_data(dataset: str, data_dir: Path | None, size: str | None, test_part: float | None) -> RealData:
    """The real data that the options name; says on stderr what is held out of a folder."""
    from gsdd_runtime.datasets import load_dataset

    data = load_dataset(dataset, data_dir=data_dir, size=parse_size(size), test_part=test_part)
    if data.split is not None:
        say_once(data.split)
    return data


def load_set_or_model(path: Path, network: str | None = None) -> DistilledSet | TrainedModel:
    """What the file holds, by its metadata; a file that is neither is explained as no set.

    ``network`` names the architecture of a trained network again where that is code of the user's own.
    """
    from gsdd_runtime.networks import model_file
    from gsdd_runtime.sets.container import is_of_kind
    from gsdd_runtime.sets.distilled_set import DistilledSet

    if is_of_kind(path, model_file.KIND):
        return model_file.load_model(path, network=network)
    return DistilledSet.load(path)


def warn_of_other_data(fingerprint: str | None, size: tuple[int, int], data: RealData) -> None:
    """Says on stderr where test images may be among those that a set was made from: another split, say."""
    if fingerprint is not None and fingerprint != data.fingerprint and size == (data.height, data.width):
        say_once(
            f"{data.name} is not the data that the set was made from, or is split otherwise (--test-part): "
            "test images that it was made from would be no test"
        )


def print_json(document: dict[str, Any]) -> None:
    """One JSON document on stdout."""
    print(json.dumps(document, indent=2))


@contextmanager
def progress_bar() -> Iterator[Reporter]:
    """Draws reports on stderr: phase, bar, rate, loss, time left. Silent where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=False) as bars:
        tasks: dict[str, Any] = {}

        def report(progress: Progress) -> None:
            if progress.phase not in tasks:
                tasks[progress.phase] = bars.add_task(progress.phase, total=progress.total, rate="", loss="")
            task = tasks[progress.phase]
            speed = bars.tasks[task].speed
            bars.update(
                task,
                completed=progress.step,
                total=progress.total,
                rate=f"{speed:.1f}/s" if speed else "",
                loss="" if progress.loss is None else f"loss {progress.loss:.4g}",
            )

        yield report
