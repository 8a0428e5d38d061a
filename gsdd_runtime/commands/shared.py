"""What several commands share: the progress display, sizes and ranges on the command line, JSON output."""

from __future__ import annotations

import inspect
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from gsdd_runtime.errors import InputError
from gsdd_runtime.progress import Progress, Reporter, say, say_once, silent
from gsdd_runtime.wording import time_in_words

if TYPE_CHECKING:
    from gsdd_runtime.datasets import RealData
    from gsdd_runtime.networks.model_file import TrainedModel
    from gsdd_runtime.sets.distilled_set import DistilledSet

# Between two lines where stderr is no terminal.
SECONDS_A_LINE = 60.0

DatasetOption = Annotated[
    str,
    typer.Option("--dataset", help="fashion-mnist-sample (embedded), cifar10, ... (with --data-dir), imagefolder:DIR."),
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
ClassesOption = Annotated[
    str | None,
    typer.Option(
        "--classes",
        help="nette, woof, fruit, yellow, meow, squawk, a to e, imagenet (all, by readable names), names with commas "
        "between them, or a file of names. [default: all]",
    ),
]
ResizeOption = Annotated[
    str, typer.Option("--resize", help="To --size: cover (and cut the centre) or squash, of pictures of another shape.")
]
NormalizationOption = Annotated[
    str,
    typer.Option("--normalization", help="Mean and deviation: computed from the training images, or published ones."),
]
ZcaOption = Annotated[
    bool, typer.Option("--zca", help="Networks take ZCA-whitened images, fitted on the training images.")
]
CacheOption = Annotated[
    bool,
    typer.Option(
        "--cache/--no-cache",
        help="Keep the decoded pictures of a folder, to start in seconds the next time (GSDD_CACHE, GSDD_CACHE_LIMIT).",
    ),
]
SizeOption = Annotated[str | None, typer.Option("--size", metavar="HxW", help="Size of the images, in pixels.")]
MeanOption = Annotated[
    str | None, typer.Option("--mean", metavar="R,G,B", help="A number a channel, in pixel units 0 to 1.")
]
StdOption = Annotated[str | None, typer.Option("--std", metavar="R,G,B", help="The deviation likewise.")]
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


# Of a command that has to know what was given, such as one that takes a recipe: None stands for what was not.
OPTIONAL_DATA: dict[str, Any] = {
    "dataset": Annotated[
        str | None,
        typer.Option("--dataset", help="fashion-mnist-sample (embedded), cifar10, ... (with --data-dir), "
                     "imagefolder:DIR; a recipe may name it."),
    ],
    "resize": Annotated[
        str | None,
        typer.Option("--resize", help="To --size: cover (and cut the centre) or squash, of pictures of another shape. "
                     "[default: cover]"),
    ],
    "normalization": Annotated[
        str | None,
        typer.Option("--normalization", help="Mean and deviation: computed from the training images, or published "
                     "ones. [default: computed]"),
    ],
    "zca": Annotated[
        bool | None,
        typer.Option("--zca/--no-zca", help="Networks take ZCA-whitened images, fitted on the training images."),
    ],
}  # fmt: skip


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


def parse_numbers(option: str, text: str | None) -> list[float] | None:
    """``"0.5,0.25"`` as numbers; None for None.

    Raises:
        InputError: anything else.
    """
    if text is None:
        return None
    try:
        return [float(number) for number in text.split(",")]
    except ValueError as error:
        raise InputError(f"{option}: {text!r} are no numbers: give one a channel, such as 0.49,0.48,0.45") from error


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


@dataclass(frozen=True)
class DataOptions:
    """What a command that reads real data is told of it: declared here alone, see :func:`takes_data`."""

    dataset: DatasetOption
    data_dir: DataDirOption = None
    size: SizeOption = None
    test_part: TestPartOption = None
    classes: ClassesOption = None
    resize: ResizeOption = "cover"
    normalization: NormalizationOption = "computed"
    zca: ZcaOption = False
    cache: CacheOption = True

    def given(self) -> list[str]:
        """The options, besides --dataset, that are not what they are by default."""
        return given_options(self, "dataset")

    def folders(self) -> list[Path]:
        """What will be read from."""
        from gsdd_runtime.datasets import folders_of

        listed = Path(self.classes or "")
        return [*folders_of(self.dataset or "", self.data_dir), *([listed] if listed.is_file() else [])]


def given_options(options: Any, *but: str) -> list[str]:
    """The options of a dataclass, besides fields ``but``, that are not what they are by default."""
    others = [field for field in fields(options) if field.name not in but]
    return [_option(field.name) for field in others if getattr(options, field.name) != field.default]


def takes_data(*, dataset: Any = None, without: Sequence[str] = ()) -> Callable[[Callable[..., Any]], Any]:
    """For a command with a parameter ``data``: it gets DataOptions, and its command line an option for each.

    Args:
        dataset: the annotation of an option that may be left out; ``data.dataset`` is None then.
        without: fields that the command has no option for; they keep their defaults.
    """
    return takes_options("data", DataOptions, {} if dataset is None else {"dataset": dataset}, without)


def takes_options(
    place: str, kind: Any, optional: Mapping[str, Any], without: Sequence[str] = ()
) -> Callable[[Callable[..., Any]], Any]:
    """For a command with a parameter ``place``: it gets a ``kind``, and its command line an option for each field.

    Args:
        place: of the parameter.
        kind: a dataclass whose fields are annotated as options.
        optional: other annotations of fields that may be left out, by name; they are None then.
        without: fields that the command has no option for; they keep their defaults.
    """

    def expand(command: Callable[..., Any]) -> Callable[..., Any]:
        parameters: list[inspect.Parameter] = []
        hints = get_type_hints(command, include_extras=True)
        ours = get_type_hints(kind, include_extras=True)
        names = [field.name for field in fields(kind) if field.name not in without]
        for parameter in inspect.signature(command).parameters.values():
            kept = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints.get(parameter.name))
            if parameter.name != place:
                parameters.append(kept)
                continue
            for field in fields(kind):
                default = inspect.Parameter.empty if field.default is MISSING else field.default
                if field.name in names:
                    parameters.append(kept.replace(
                        name=field.name,
                        annotation=optional.get(field.name, ours[field.name]),
                        default=None if field.name in optional else default,
                    ))  # fmt: skip

        def call(**arguments: Any) -> Any:
            given = kind(**{name: arguments.pop(name) for name in names})
            return command(**arguments, **{place: given})

        call.__name__, call.__doc__ = command.__name__, command.__doc__
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return call

    return expand


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def load_data(options: DataOptions, size: tuple[int, int] | None = None, progress: Reporter = silent) -> RealData:
    """The real data that the options name, at ``size`` where one is given; says what is held out of a folder."""
    from gsdd_runtime.datasets import load_dataset

    data = load_dataset(
        options.dataset,
        data_dir=options.data_dir,
        size=parse_size(options.size) if size is None else size,
        test_part=options.test_part,
        classes=options.classes,
        resize=options.resize,
        normalization=options.normalization,
        zca=options.zca,
        cache=options.cache,
        progress=progress,
    )
    if data.split is not None:
        say_once(data.split)
    return data


def check_own_preparation(source: DistilledSet | TrainedModel, options: DataOptions, path: Path) -> None:
    """Raises InputError where the options ask for another preparation of images than a set or network has."""
    asked = [option for option in options.given() if option in ("--zca", "--normalization")]
    if asked and (source.mean is not None or source.zca is not None):
        raise InputError(f"{path} says itself how a network takes images: leave {asked[0]} out")


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
    if fingerprint is not None and size == (data.height, data.width) and not data.has_fingerprint(fingerprint):
        say_once(
            f"{data.name} is not the data that the set was made from, or is split otherwise (--test-part): "
            "test images that it was made from would be no test"
        )


def print_json(document: dict[str, Any]) -> None:
    """One JSON document on stdout."""
    print(json.dumps(document, indent=2))


def line_a_minute(clock: Callable[[], float] = time.monotonic) -> Reporter:
    """Says on stderr where a run stands, once a minute, the first time after one."""
    last = clock()
    began: dict[str, tuple[float, int]] = {}

    def report(progress: Progress) -> None:
        nonlocal last
        now = clock()
        since, first = began.setdefault(progress.phase, (now, progress.step))
        if now - last < SECONDS_A_LINE:
            return
        last = now
        words = [f"{progress.phase}: {progress.step} of {progress.total}"]
        if progress.loss is not None:
            words.append(f"loss {progress.loss:.4g}")
        if progress.step > first and now > since:
            rate = (progress.step - first) / (now - since)
            words.append(f"{rate:.3g}/s, {time_in_words((progress.total - progress.step) / rate)} left")
        say(", ".join(words))

    return report


@contextmanager
def progress_bar() -> Iterator[Reporter]:
    """Draws reports on stderr: phase, bar, rate, loss, time left. A line a minute where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield line_a_minute()
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
